//! A real cluster in which one scenario after another is played: a control plane, virtual nodes, and the production operator as a process of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use towtank_control_plane::{ControlPlaneError, Interrupt};
use towtank_kind::KindError;
use towtank_lockstep::virtual_world::SetupError;
use towtank_lockstep::virtual_world::embedded;
use towtank_model::version::KubernetesVersion;

use crate::clock::{self, Clock};
use crate::connection::{Connection, Unanswered};
use crate::kind::{KindCluster, KindConfig};
use crate::nodes::{Machine, VirtualNodes};
use crate::processes::Processes;
use crate::provider::{Machines, Provider};
use crate::watch::is_of_the_cluster;

/// How a site is set up.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// What the cluster is made of.
    pub provider: ProviderConfig,
    /// The version of its Kubernetes.
    pub version: KubernetesVersion,
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

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// A control plane on this machine, with virtual nodes.
    Local(Local),
    /// A cluster of kind.
    Kind(KindConfig),
}

/// A control plane on this machine, and the production operator's program beside it.
#[derive(Clone, Debug)]
pub struct Local {
    /// Where the programs of control planes are, as `cargo xtask control-plane build` names them.
    pub programs: PathBuf,
    /// The production operator's program.
    pub operator: PathBuf,
    /// The control plane's programs run in containers.
    pub containers: Option<Containers>,
}

/// What the pods of MiniClusters run where containers are real, whatever a story names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Of their containers.
    pub broker: String,
    /// The view, which brings Flux or a stand-in for it into them; `None`: the broker's image has it.
    pub view: Option<String>,
}

/// Where images of a control plane come from.
#[derive(Clone, Debug)]
pub enum Containers {
    /// They are built around the programs.
    Built,
    /// Their names, with `{component}` and `{version}` in them.
    Named(String),
}

impl ProviderConfig {
    /// Its name, as `--provider` takes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Local(Local { containers: None, .. }) => "process",
            Self::Local(Local { containers: Some(_), .. }) => "containers",
            Self::Kind(_) => "kind",
        }
    }
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
    /// A cluster of kind.
    #[error(transparent)]
    Kind(#[from] KindError),
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
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// The provider, for those who act upon it during a run.
pub(crate) type SharedProvider = Rc<RefCell<Box<dyn Provider>>>;

/// A running cluster. What it consists of ends with it.
pub struct Site {
    /// In this order: the nodes' heartbeat ends before what it talks to.
    nodes: VirtualNodes,
    connection: Connection,
    provider: SharedProvider,
    config: SiteConfig,
}

impl Site {
    /// Starts everything; nothing is in the cluster yet but what the operator needs.
    ///
    /// # Errors
    ///
    /// See [`SiteError`].
    pub fn start(config: SiteConfig) -> Result<Self, SiteError> {
        let provider: Box<dyn Provider> = match &config.provider {
            ProviderConfig::Local(local) => Box::new(Processes::start(&config, local)?),
            ProviderConfig::Kind(settings) => Box::new(KindCluster::start(&config, settings)?),
        };
        let connection = provider.connection().clone();
        let nodes = VirtualNodes::new(connection.clone());
        // The controllers are healthy before they have begun: a Job would have to wait for them.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        eventually(SETTLED_WITHIN, "the controllers do nothing", || Ok(connection.get(account)?.is_some()))?;
        Ok(Self { nodes, connection, provider: Rc::new(RefCell::new(provider)), config })
    }

    /// How it was set up.
    pub const fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// A client that may do everything.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What can be done to it.
    pub(crate) fn provider(&self) -> SharedProvider {
        Rc::clone(&self.provider)
    }

    /// At the end, the logs are moved there.
    pub fn keep_logs(&self, to: PathBuf) {
        self.provider.borrow_mut().keep_logs(to);
    }

    /// Its nodes, where they are real.
    pub(crate) fn machines(&self) -> Option<Machines> {
        self.provider.borrow().machines().cloned()
    }

    /// Makes the cluster one of these nodes, if it has no real ones, and without anything that a scenario has made, and its controllers run. Returns the names of the nodes.
    ///
    /// # Errors
    ///
    /// Something does not go, or does not come.
    pub fn prepare(
        &mut self,
        nodes: u32,
        machine: Machine,
        namespaces: &[String],
    ) -> Result<Vec<String>, SiteError> {
        self.clean()?;
        for namespace in namespaces {
            make(&self.connection, "/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))?;
        }
        match self.machines() {
            Some(machines) => Ok(machines.names),
            None => self.nodes.become_these(nodes, machine),
        }
    }

    /// Takes away what a scenario has made.
    fn clean(&mut self) -> Result<(), SiteError> {
        let mut provider = self.provider.borrow_mut();
        provider.turn_operator(true)?;
        provider.turn_job_controllers(true)?;
        drop(provider);
        let namespaces = self.list("/api/v1/namespaces")?;
        let names = namespaces.iter().filter_map(|object| object["metadata"]["name"].as_str());
        let own = names.filter(|name| !is_of_the_cluster(name));
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
                    self.connection.ask(Method::PATCH, &path, MERGE, &patch)?;
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
        let answer = must(&self.connection, Method::GET, collection, &Value::Null)?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }
}

/// Makes MiniClusters known, and what the operator may do, from the manifests that users apply.
pub(crate) fn deploy(connection: &Connection) -> Result<(), SiteError> {
    for (collection, body) in embedded::manifests()? {
        let path = format!("{collection}?fieldManager=kubectl&fieldValidation=Strict");
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        must(connection, Method::POST, &path, &body)?;
    }
    let served = "/apis/flux-framework.org/v1alpha2/miniclusters";
    eventually(SETTLED_WITHIN, "miniclusters are not served", || Ok(connection.get(served)?.is_some()))
}

/// Has a request carried out that nobody may refuse; returns the answer.
pub(crate) fn must(
    connection: &Connection,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, SiteError> {
    let content_type = if method == Method::PATCH { MERGE } else { JSON };
    let what = format!("{method} {path}");
    let answer = connection.ask(method, path, content_type, body)?;
    if answer.is_success() { Ok(answer.body) } else { Err(SiteError::Refused { what, answer: answer.body }) }
}

/// Makes an object unless there is one of its name.
pub(crate) fn make(connection: &Connection, collection: &str, body: &Value) -> Result<(), SiteError> {
    match must(connection, Method::POST, collection, body) {
        Err(SiteError::Refused { answer, .. }) if answer["code"] == 409 => Ok(()),
        made => made.map(drop),
    }
}

/// Waits until it is so.
pub(crate) fn eventually(
    within: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, SiteError>,
) -> Result<(), SiteError> {
    let clock = Clock::start();
    let began = clock.now();
    while !is_so()? {
        if clock.now().since(began) > within {
            return Err(SiteError::Late { what: what.to_owned(), seconds: within.as_secs() });
        }
        clock::pause(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_called_as_their_option_is() {
        let local = |containers| {
            ProviderConfig::Local(Local { programs: PathBuf::new(), operator: PathBuf::new(), containers })
        };
        assert_eq!(local(None).name(), "process");
        assert_eq!(local(Some(Containers::Built)).name(), "containers");
    }
}
