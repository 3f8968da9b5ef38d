//! A real cluster in which one scenario after another is played: a control plane, virtual nodes, and the production operator as a process of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use towtank_control_plane::{
    Binaries, Component, Config, ControlPlane, ControlPlaneError, Interrupt, Launch,
};
use towtank_lockstep::virtual_world::SetupError;
use towtank_lockstep::virtual_world::embedded;
use towtank_model::version::KubernetesVersion;

use crate::clock::{self, Clock};
use crate::connection::{Connection, Unanswered};
use crate::nodes::{Machine, VirtualNodes};
use crate::processes::{Processes, controllers};

/// How a site is set up.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The programs of the control plane.
    pub binaries: Binaries,
    /// Their version.
    pub version: KubernetesVersion,
    /// The production operator's program.
    pub operator: PathBuf,
    /// Where the directories of runs are made.
    pub dir: PathBuf,
    /// Feature gates that differ from what the version has.
    pub feature_gates: Vec<(String, bool)>,
    /// Nobody moves pods but users: there are no controllers of pods.
    pub pods_by_hand: bool,
    /// Requests per second and burst of the controllers, when they are not Kubernetes' own.
    pub controller_qps: Option<(f32, u32)>,
    /// Breaks off a start.
    pub interrupt: Option<Interrupt>,
}

impl SiteConfig {
    /// Whether scenarios can follow one another on one site.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.version == other.version
            && self.feature_gates == other.feature_gates
            && self.pods_by_hand == other.pods_by_hand
            && self.controller_qps == other.controller_qps
    }
}

/// Why a cluster cannot be had, or cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The control plane.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// A request has no answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A request of the set-up is refused.
    #[error("{what}: {answer}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The answer.
        answer: Value,
    },
    /// Something does not come about in time.
    #[error("{what} within {seconds} s")]
    Late {
        /// What has not happened.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// No client, no threads, no world.
    #[error("{0}")]
    Client(String),
    /// The scenario cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// Everything that must have happened before, or after, a scenario.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long the operator may act; a site lives for hours at most.
const TOKEN_S: u32 = 24 * 3600;

const JSON: &str = "application/json";

/// A running cluster. What it consists of ends with it.
pub struct Site {
    /// In this order: the nodes' heartbeat ends before what it talks to.
    nodes: VirtualNodes,
    connection: Connection,
    processes: Rc<RefCell<Processes>>,
    config: SiteConfig,
}

impl Site {
    /// Starts everything; nothing is in the cluster yet but what the operator needs.
    ///
    /// # Errors
    ///
    /// See [`SiteError`].
    pub fn start(config: SiteConfig) -> Result<Self, SiteError> {
        let plane = ControlPlane::start(Config {
            feature_gates: config.feature_gates.clone(),
            controller_qps: config.controller_qps,
            interrupt: config.interrupt.clone(),
            extra_flags: [(Component::ControllerManager, controllers(true, config.pods_by_hand))].into(),
            ..Config::new(config.binaries.clone(), &config.dir)
        })?;
        let client = |why: &dyn std::fmt::Display| SiteError::Client(why.to_string());
        let kubeconfig =
            kube::config::Kubeconfig::read_from(plane.kubeconfig()).map_err(|why| client(&why))?;
        let options = kube::config::KubeConfigOptions::default();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| client(&why))?;
        let settings = runtime
            .block_on(kube::Config::from_custom_kubeconfig(kubeconfig, &options))
            .map_err(|why| client(&why))?;
        let connection = Connection::new(settings).map_err(SiteError::Client)?;
        deploy(&connection)?;
        let operator = operator(&connection, &plane, &config)?;
        let processes = Processes::new(plane, operator, config.pods_by_hand)?;
        let nodes = VirtualNodes::new(connection.clone());
        // The controllers are healthy before they have begun: a Job would have to wait for them.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        eventually("the controllers do nothing", || Ok(connection.get(account)?.is_some()))?;
        Ok(Self { nodes, connection, processes: Rc::new(RefCell::new(processes)), config })
    }

    /// How it was set up.
    pub const fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// A client that may do everything.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> Rc<RefCell<Processes>> {
        Rc::clone(&self.processes)
    }

    /// At the end, the logs are moved there.
    pub fn keep_logs(&self, to: PathBuf) {
        self.processes.borrow_mut().plane.keep_logs(to);
    }

    /// Makes the cluster one of these nodes and without anything that a scenario has made, and its controllers run.
    ///
    /// # Errors
    ///
    /// Something does not go, or does not come.
    pub fn prepare(&mut self, nodes: u32, machine: Machine, namespaces: &[String]) -> Result<(), SiteError> {
        self.clean()?;
        for namespace in namespaces {
            let body = json!({"metadata": {"name": namespace}});
            let answer = self.connection.ask(Method::POST, "/api/v1/namespaces", JSON, &body)?;
            if !answer.is_success() && answer.code != 409 {
                return Err(SiteError::Refused {
                    what: format!("namespace {namespace}"),
                    answer: answer.body,
                });
            }
        }
        self.nodes.become_these(nodes, machine)
    }

    /// Takes away what a scenario has made.
    fn clean(&mut self) -> Result<(), SiteError> {
        let mut processes = self.processes.borrow_mut();
        processes.turn_operator(true)?;
        processes.turn_job_controllers(true)?;
        drop(processes);
        let namespaces = self.list("/api/v1/namespaces")?;
        let names = namespaces.iter().filter_map(|object| object["metadata"]["name"].as_str());
        let own = names.filter(|name| !name.starts_with("kube-") && *name != embedded::NAMESPACE);
        for namespace in own {
            // Owners before what they would make again.
            for (resource, propagation) in [
                ("apis/flux-framework.org/v1alpha2/namespaces/{}/miniclusters", "Background"),
                ("apis/batch/v1/namespaces/{}/jobs", "Background"),
                ("api/v1/namespaces/{}/pods", "Background"),
                ("apis/policy/v1/namespaces/{}/poddisruptionbudgets", "Background"),
            ] {
                let collection = format!("/{}", resource.replace("{}", namespace));
                self.empty(&collection, propagation)?;
            }
            self.delete_others(namespace)?;
        }
        Ok(())
    }

    /// Deletes all objects of a collection until none is left.
    fn empty(&self, collection: &str, propagation: &str) -> Result<(), SiteError> {
        let clock = Clock::start();
        let began = clock.now();
        loop {
            let objects = self.list(collection)?;
            if objects.is_empty() {
                return Ok(());
            }
            for object in &objects {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("{collection}/{name}");
                if object["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|finalizers| !finalizers.is_empty())
                {
                    let patch = json!({"metadata": {"finalizers": null}});
                    self.connection.ask(Method::PATCH, &path, "application/merge-patch+json", &patch)?;
                }
                let options = json!({"gracePeriodSeconds": 0, "propagationPolicy": propagation});
                self.connection.ask(Method::DELETE, &path, JSON, &options)?;
            }
            if clock.now().since(began) > SETTLED_WITHIN {
                let what = format!("{collection} is not empty: {} objects are left", objects.len());
                return Err(SiteError::Late { what, seconds: SETTLED_WITHIN.as_secs() });
            }
            clock::pause(POLL);
        }
    }

    /// What an operator leaves to the garbage collector, which comes late.
    fn delete_others(&self, namespace: &str) -> Result<(), SiteError> {
        for kind in ["configmaps", "secrets", "services", "events"] {
            let collection = format!("/api/v1/namespaces/{namespace}/{kind}");
            let keeps = |name: &str| matches!(name, "kube-root-ca.crt" | "kubernetes");
            for object in self.list(&collection)? {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if !keeps(name) {
                    let path = format!("{collection}/{name}");
                    self.connection.ask(Method::DELETE, &path, JSON, &Value::Null)?;
                }
            }
        }
        Ok(())
    }

    fn list(&self, collection: &str) -> Result<Vec<Value>, SiteError> {
        let answer = self.connection.ask(Method::GET, collection, JSON, &Value::Null)?;
        match answer.body.get("items").and_then(Value::as_array) {
            Some(items) if answer.is_success() => Ok(items.clone()),
            _ => Err(SiteError::Refused { what: collection.to_owned(), answer: answer.body }),
        }
    }
}

/// Makes MiniClusters known, and what the operator may do, from the manifests that users apply.
fn deploy(connection: &Connection) -> Result<(), SiteError> {
    for (collection, body) in embedded::manifests()? {
        let path = format!("{collection}?fieldManager=kubectl&fieldValidation=Strict");
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let answer = connection.ask(Method::POST, &path, JSON, &body)?;
        if !answer.is_success() {
            return Err(SiteError::Refused { what: format!("deploy/ at {collection}"), answer: answer.body });
        }
    }
    let served = "/apis/flux-framework.org/v1alpha2/miniclusters";
    eventually("miniclusters are not served", || Ok(connection.get(served)?.is_some()))
}

/// The operator's own program as what its manifests make it: a ServiceAccount with its roles.
fn operator(connection: &Connection, plane: &ControlPlane, config: &SiteConfig) -> Result<Launch, SiteError> {
    let (namespace, name) = (embedded::NAMESPACE, embedded::OPERATOR);
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request = json!({"spec": {"expirationSeconds": TOKEN_S}});
    let answer = connection.ask(Method::POST, &path, JSON, &request)?;
    let token = answer.body.pointer("/status/token").and_then(Value::as_str);
    let Some(token) = token else {
        return Err(SiteError::Refused { what: format!("a token of {name}"), answer: answer.body });
    };
    let kubeconfig = plane.write_kubeconfig(name, token)?;
    let launch = plane.launch(name, &config.operator).args(["--metrics-address", "127.0.0.1:0"]);
    Ok(launch.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info"))
}

/// Waits until it is so.
pub(crate) fn eventually(
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, SiteError>,
) -> Result<(), SiteError> {
    let clock = Clock::start();
    let began = clock.now();
    while !is_so()? {
        if clock.now().since(began) > SETTLED_WITHIN {
            return Err(SiteError::Late { what: what.to_owned(), seconds: SETTLED_WITHIN.as_secs() });
        }
        clock::pause(POLL);
    }
    Ok(())
}
