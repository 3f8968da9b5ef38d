//! The provider `kind`: real nodes and containers, the operator as the Deployment of `deploy/`, and in the pods of MiniClusters a program that does what a broker does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use towtank_kind::{Config, Kind};
pub use towtank_kind::{NEWEST_ON_CGROUP_V1, OPERATOR_IMAGE, STAND_IN_IMAGE};
use towtank_lockstep::virtual_world::embedded;

use crate::clock;
use crate::connection::Connection;
use crate::processes::Victim;
use crate::provider::{Machines, Provider};
use crate::site::{self, Images, SiteConfig, SiteError, eventually};

/// A cluster of kind.
#[derive(Clone, Debug)]
pub struct KindConfig {
    /// Cargo's target directory: where kind and kubectl are.
    pub target_dir: PathBuf,
    /// The image of the nodes; `None`: that which `cargo xtask kind build-node-image` builds.
    pub node_image: Option<String>,
    /// The operator's image.
    pub operator_image: String,
    /// What pods of MiniClusters run.
    pub images: Images,
}

/// A running cluster of kind, with the operator in it.
pub(crate) struct KindCluster {
    connection: Connection,
    machines: Machines,
    /// Replicas of the operator, when it runs.
    replicas: u64,
    operator_runs: bool,
    kind: Kind,
}

/// How long images may take to start for the first time, on nodes that have them.
const OPERATOR_WITHIN: Duration = Duration::from_secs(120);

impl KindCluster {
    pub(crate) fn start(config: &SiteConfig, settings: &KindConfig) -> Result<Self, SiteError> {
        // Other runs are cleaned up after in another way.
        let kind = Kind::create(Config {
            node_image: settings.node_image.clone(),
            interrupt: config.interrupt.clone(),
            ..Config::new(&settings.target_dir, config.dir.join("kind"), config.version)
        })?;
        let images = &settings.images;
        let own: BTreeSet<&String> =
            [&settings.operator_image, &images.broker].into_iter().chain(&images.view).collect();
        for image in own {
            kind.load_image(image)?;
        }
        let connection = Connection::from_kubeconfig(kind.kubeconfig()).map_err(SiteError::Client)?;
        site::deploy(&connection)?;
        let (collection, mut deployment) = embedded::deployment()?;
        if let Some(image) = deployment.pointer_mut("/spec/template/spec/containers/0/image") {
            *image = settings.operator_image.as_str().into();
        }
        let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        site::must(&connection, Method::POST, &collection, &deployment)?;
        let machines = Machines { names: workers(&connection)?, images: images.clone() };
        let this = Self { connection, machines, replicas, operator_runs: true, kind };
        this.await_operator()?;
        Ok(this)
    }

    fn deployment_path(subresource: &str) -> String {
        let (namespace, name) = (embedded::NAMESPACE, embedded::OPERATOR);
        format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}{subresource}")
    }

    fn operator_pods(&self) -> Result<Vec<Value>, SiteError> {
        let path = format!("/api/v1/namespaces/{}/pods", embedded::NAMESPACE);
        let answer = site::must(&self.connection, Method::GET, &path, &Value::Null)?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// Until as many replicas are available as are wanted.
    fn await_operator(&self) -> Result<(), SiteError> {
        let wanted = if self.operator_runs { self.replicas } else { 0 };
        eventually(OPERATOR_WITHIN, "the operator's Deployment does not have its replicas", || {
            let deployment = self.connection.get(&Self::deployment_path(""))?.unwrap_or_default();
            let available = deployment.pointer("/status/availableReplicas").and_then(Value::as_u64);
            let is_seen = deployment.pointer("/status/observedGeneration")
                == deployment.pointer("/metadata/generation");
            Ok(is_seen && available.unwrap_or(0) == wanted && self.operator_pods()?.len() as u64 == wanted)
        })
    }
}

/// Names of the nodes that take pods.
fn workers(connection: &Connection) -> Result<Vec<String>, SiteError> {
    let nodes = site::must(connection, Method::GET, "/api/v1/nodes", &Value::Null)?;
    let takes_pods = |node: &&Value| {
        let taints = node.pointer("/spec/taints").and_then(Value::as_array);
        !taints.into_iter().flatten().any(|taint| taint["effect"] != "PreferNoSchedule")
    };
    let all = nodes["items"].as_array().into_iter().flatten().filter(takes_pods);
    Ok(all.filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

impl Provider for KindCluster {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn machines(&self) -> Option<&Machines> {
        Some(&self.machines)
    }

    /// Stories that stop them are not played here.
    fn turn_job_controllers(&mut self, _on: bool) -> Result<(), SiteError> {
        Ok(())
    }

    fn turn_operator(&mut self, on: bool) -> Result<(), SiteError> {
        if self.operator_runs == on {
            return Ok(());
        }
        let replicas = if on { self.replicas } else { 0 };
        let body = json!({"spec": {"replicas": replicas}});
        site::must(&self.connection, Method::PATCH, &Self::deployment_path("/scale"), &body)?;
        self.operator_runs = on;
        self.await_operator()
    }

    fn strike(&mut self, victim: Victim) -> Result<bool, SiteError> {
        if !self.operator_runs {
            return Ok(false);
        }
        if victim != Victim::Operator {
            return Err(SiteError::Client(format!("{victim} of a cluster of kind is not killed")));
        }
        for pod in self.operator_pods()? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{name}", embedded::NAMESPACE);
            site::must(&self.connection, Method::DELETE, &path, &json!({"gracePeriodSeconds": 0}))?;
        }
        clock::pause(Duration::from_secs(1));
        self.await_operator()?;
        Ok(true)
    }

    /// Kubelets see to it.
    fn check(&mut self) -> Result<(), SiteError> {
        Ok(())
    }

    fn revive(&mut self) -> Result<Vec<Victim>, SiteError> {
        Ok(Vec::new())
    }

    fn keep_logs(&mut self, to: PathBuf) {
        self.kind.keep_logs(to);
    }
}
