//! A cluster of somebody's: a control plane, a node that takes no pods, and somebody who says of the operator's pods what a kubelet would.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http::Method;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use towtank_cluster::connection::Connection;
use towtank_cluster::deployed::Images;
use towtank_cluster::kubeconfig::ForeignConfig;
use towtank_cluster::site::{ProviderConfig, SiteConfig};
use towtank_control_plane::{Binaries, Component, Config, ControlPlane};
use towtank_model::version::KubernetesVersion;

use crate::ensure;

/// Names the release of Kubernetes to test, such as 1.36.3.
const VERSION_VARIABLE: &str = "TOWTANK_KUBERNETES";
/// Nearly everything comes within seconds, on a machine that has nothing else to do.
const LIMIT: Duration = Duration::from_secs(180);
const OPERATOR_PODS: &str = "/api/v1/namespaces/towtank-system/pods";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// The release that is tested.
pub(crate) fn release() -> Result<String, Failed> {
    let release = std::env::var(VERSION_VARIABLE)
        .map_err(|_| format!("{VERSION_VARIABLE} names no release: use cargo xtask control-plane test"))?;
    Ok(release)
}

/// How a run begins in the cluster of this kubeconfig.
pub(crate) fn site(kubeconfig: &Path, dir: &Path) -> Result<SiteConfig, Failed> {
    let images =
        Images { operator: "operator:test".to_owned(), broker: "broker:test".to_owned(), view: None };
    let foreign = ForeignConfig { kubeconfig: kubeconfig.to_owned(), context: None, images };
    Ok(SiteConfig {
        provider: ProviderConfig::Foreign(foreign),
        version: KubernetesVersion::of_release(&release()?)?,
        dir: dir.to_owned(),
        feature_gates: Vec::new(),
        pods_by_hand: false,
        controller_qps: None,
        interrupt: None,
    })
}

/// Waits for something.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let start = Instant::now();
    while !is_so()? {
        ensure(start.elapsed() < LIMIT, format!("not within {} s: {what}", LIMIT.as_secs()))?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A cluster of somebody's.
pub(crate) struct Cluster {
    /// Ends before what it talks to.
    kubelet: Kubelet,
    /// A client that may do everything.
    pub(crate) connection: Connection,
    /// The directory of runs in it.
    pub(crate) runs: PathBuf,
    plane: ControlPlane,
}

impl Cluster {
    /// Starts one, with a node, and with things in the namespace `team` that are nobody's business.
    pub(crate) fn start(dir: &Path) -> Result<Self, Failed> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/reference");
        let plane = ControlPlane::start(Config {
            // The node says only once that it lives.
            extra_flags: [(Component::ControllerManager, vec!["--node-monitor-grace-period=1h".to_owned()])]
                .into(),
            ..Config::new(Binaries::in_dir(&built, &release()?), dir.join("plane"))
        })?;
        let connection = Connection::from_kubeconfig(plane.kubeconfig(), None)?;
        let kubelet = Kubelet::start(connection.clone());
        let this = Self { kubelet, connection, runs: dir.join("runs"), plane };
        this.post("/api/v1/nodes", &json!({"metadata": {"name": "machine"}}))?;
        let none = json!({"cpu": "8", "memory": "8Gi", "pods": "0"});
        let now = jiff::Timestamp::now().to_string();
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let status = json!({"status": {"capacity": none, "allocatable": none, "conditions": [ready]}});
        this.ask(Method::PATCH, "/api/v1/nodes/machine/status", &status)?;
        eventually("the node takes pods", || {
            Ok(this.get("/api/v1/nodes/machine")?.pointer("/spec/taints").is_none())
        })?;
        eventually("the API server has its service", || {
            Ok(this.connection.get("/api/v1/namespaces/default/services/kubernetes")?.is_some())
        })?;
        this.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}}))?;
        for namespace in ["team", "default"] {
            let precious = json!({"metadata": {"name": "precious"}, "data": {"a": "b"}});
            this.post(&format!("/api/v1/namespaces/{namespace}/configmaps"), &precious)?;
            let root = format!("/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt");
            eventually("the controllers work", || Ok(this.connection.get(&root)?.is_some()))?;
        }
        Ok(this)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.plane.kubeconfig()
    }

    /// How a run begins here.
    pub(crate) fn site(&self) -> Result<SiteConfig, Failed> {
        site(self.kubeconfig(), &self.runs)
    }

    /// From now on nobody speaks for the operator's pods.
    pub(crate) fn stop_kubelet(&mut self) {
        self.kubelet.stop();
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failed> {
        Ok(self.connection.get(path)?.ok_or_else(|| format!("{path} is not there"))?)
    }

    pub(crate) fn post(&self, collection: &str, object: &Value) -> Result<Value, Failed> {
        self.ask(Method::POST, collection, object)
    }

    pub(crate) fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failed> {
        let content_type = if method == Method::PATCH { MERGE } else { JSON };
        let answer = self.connection.ask(method.clone(), path, content_type, body)?;
        ensure(answer.is_success(), format!("{method} {path}: {}", answer.body))?;
        Ok(answer.body)
    }

    fn items(&self, path: &str) -> Result<Vec<Value>, Failed> {
        Ok(self.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// All that was not there before the first run: names of namespaces, definitions, roles and bindings.
    pub(crate) fn made_by_runs(&self) -> Result<Vec<String>, Failed> {
        let mut names = Vec::new();
        for (collection, prefix) in [
            ("/api/v1/namespaces", "towtank"),
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ""),
            ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "towtank"),
            ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "towtank"),
        ] {
            let items = self.items(collection)?;
            let all = items.iter().filter_map(|object| object["metadata"]["name"].as_str());
            names.extend(all.filter(|name| name.starts_with(prefix)).map(str::to_owned));
        }
        Ok(names)
    }

    /// Uids and versions of all that is in the namespaces of others, and of these.
    pub(crate) fn of_others(&self) -> Result<Vec<String>, Failed> {
        let mut all = vec![self.get("/api/v1/namespaces/default")?, self.get("/api/v1/namespaces/team")?];
        for namespace in ["default", "team"] {
            for kind in ["configmaps", "secrets", "services", "pods"] {
                all.extend(self.items(&format!("/api/v1/namespaces/{namespace}/{kind}"))?);
            }
        }
        Ok(all
            .iter()
            .map(|object| {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
                format!("{} {} {}", text("name"), text("uid"), text("resourceVersion"))
            })
            .collect())
    }
}

/// Who says that the operator's pods are ready.
struct Kubelet {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    fn start(connection: Connection) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // A request that fails is made again.
                let pods = connection.get(OPERATOR_PODS).ok().flatten().unwrap_or_default();
                for pod in pods["items"].as_array().into_iter().flatten() {
                    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                    if pod["status"]["phase"] != "Running" {
                        let now = jiff::Timestamp::now().to_string();
                        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
                        let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
                        let path = format!("{OPERATOR_PODS}/{name}/status");
                        let _ = connection.ask(Method::PATCH, &path, MERGE, &status);
                    }
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { is_over, thread: Some(thread) }
    }

    fn stop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop();
    }
}
