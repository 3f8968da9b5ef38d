//! A real cluster in which one scenario after another is played: a control plane, nodes, and the production operator as a program of its own.

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

use crate::clean::clean;
use crate::clock::{self, Clock};
use crate::connection::{Connection, Unanswered};
use crate::guest::GuestCluster;
use crate::kind::{KindCluster, KindConfig};
use crate::kubeconfig::ForeignConfig;
use crate::nodes::{Machine, VirtualNodes};
use crate::processes::Processes;
use crate::provider::{Machines, Provider};

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
    /// A cluster that is there already.
    Foreign(ForeignConfig),
}

impl ProviderConfig {
    /// Its name, as `--provider` takes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Local(Local { containers: None, .. }) => "process",
            Self::Local(Local { containers: Some(_), .. }) => "containers",
            Self::Kind(_) => "kind",
            Self::Foreign(_) => "kubeconfig",
        }
    }

    /// Whether there are kubelets, which move pods, and nobody else does.
    pub const fn has_kubelets(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Kind(_) | Self::Foreign(_) => true,
        }
    }

    /// How many such clusters there can be at once, at most.
    pub(crate) const fn sites_max(&self) -> usize {
        match self {
            Self::Local(_) | Self::Kind(_) => usize::MAX,
            Self::Foreign(_) => 1,
        }
    }
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

/// Where images of a control plane come from.
#[derive(Clone, Debug)]
pub enum Containers {
    /// They are built around the programs.
    Built,
    /// Their names, with `{component}` and `{version}` in them.
    Named(String),
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
    /// It is of another version than it is to be played as.
    #[error(
        "the cluster has Kubernetes {there}, and {wanted} is to be played: name `--kubernetes {there}`, or images of {wanted}"
    )]
    Version {
        /// The cluster's.
        there: KubernetesVersion,
        /// What is to be played.
        wanted: KubernetesVersion,
    },
    /// A cluster of other people's that is not touched.
    #[error("{0}")]
    Occupied(String),
    /// It did not start, and its logs are kept.
    #[error("{error}\nlogs: {}", logs.display())]
    Logged {
        /// Why it did not start.
        error: Box<SiteError>,
        /// The directory where they will be when it has ended.
        logs: PathBuf,
    },
    /// It did not start, and what it had made could not be removed either.
    #[error("{error}; what it had made is still there: {left}")]
    Left {
        /// Why it did not start.
        error: Box<SiteError>,
        /// Why something is left.
        left: Box<SiteError>,
    },
    /// The scenario cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl SiteError {
    /// Why something did not start whose logs `keep` keeps. Where a user has broken it off, or asked for something else, they tell nothing.
    pub(crate) fn logged(self, keep: impl FnOnce() -> PathBuf) -> Self {
        match self {
            Self::ControlPlane(ControlPlaneError::Interrupted)
            | Self::Kind(KindError::Interrupted)
            | Self::Version { .. } => self,
            error => Self::Logged { error: Box::new(error), logs: keep() },
        }
    }
}

/// Everything that must have happened before, or after, a scenario.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// Who waits for long asks less often: others may use the cluster too.
const POLL_MAX: Duration = Duration::from_millis(320);
pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";

/// The provider, for those who act upon it during a run.
pub(crate) type SharedProvider = Rc<RefCell<Box<dyn Provider>>>;

/// A running cluster. What it consists of ends with it.
pub struct Site {
    /// In this order: the nodes' heartbeat ends before what it talks to.
    nodes: VirtualNodes,
    connection: Connection,
    /// The same as the present scenario has it.
    story: Connection,
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
        let mut provider: Box<dyn Provider> = match &config.provider {
            ProviderConfig::Local(local) => Box::new(Processes::start(&config, local)?),
            ProviderConfig::Kind(settings) => Box::new(KindCluster::start(&config, settings)?),
            ProviderConfig::Foreign(settings) => Box::new(GuestCluster::start(&config, settings)?),
        };
        let connection = provider.connection().clone();
        let nodes = VirtualNodes::new(connection.clone());
        check(&connection, config.version)
            .map_err(|error| error.logged(|| provider.keep_logs_of_failed()))?;
        let story = connection.clone();
        Ok(Self { nodes, connection, story, provider: Rc::new(RefCell::new(provider)), config })
    }

    /// Ends it. A site that is dropped ends too, but nobody hears then of what could not be removed.
    ///
    /// # Errors
    ///
    /// Something is left of it.
    pub fn end(self) -> Result<(), SiteError> {
        self.provider.borrow_mut().end()
    }

    /// How it was set up.
    pub const fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// A client that may do everything.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A client for the scenario that it was made ready for, in whose namespaces it may do everything.
    pub const fn story(&self) -> &Connection {
        &self.story
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

    /// Makes the cluster one of these nodes, if it has no real ones, and these namespaces without anything that a scenario has made, and its controllers run. Returns the names of the nodes.
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
        let mut provider = self.provider.borrow_mut();
        provider.turn_operator(true)?;
        provider.turn_job_controllers(true)?;
        let fresh = provider.fresh_namespaces(namespaces)?;
        drop(provider);
        self.story = match fresh {
            Some(fresh) => self.connection.within(fresh),
            None => {
                clean(&self.connection)?;
                for namespace in namespaces {
                    let body = json!({"metadata": {"name": namespace}});
                    make(&self.connection, "/api/v1/namespaces", &body)?;
                }
                self.connection.clone()
            }
        };
        match self.machines() {
            Some(machines) => Ok(machines.names),
            None => self.nodes.become_these(nodes, machine),
        }
    }
}

/// All objects of a collection.
pub(crate) fn list(connection: &Connection, collection: &str) -> Result<Vec<Value>, SiteError> {
    let answer = must(connection, Method::GET, collection, &Value::Null)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

/// Whether pods can be made in a namespace: most clusters refuse them as long as their account is not there.
pub(crate) fn has_account(connection: &Connection, namespace: &str) -> Result<bool, SiteError> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
    Ok(connection.get(&path)?.is_some())
}

/// Makes MiniClusters known, and what the operator may do, from the manifests that users apply; `mark` is done to each before.
pub(crate) fn deploy(connection: &Connection, mark: impl Fn(&mut Value)) -> Result<(), SiteError> {
    for (collection, body) in embedded::manifests()? {
        let path = format!("{collection}?fieldManager=kubectl&fieldValidation=Strict");
        let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
        mark(&mut body);
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

/// Waits until stories can be played in this version.
fn check(connection: &Connection, wanted: KubernetesVersion) -> Result<(), SiteError> {
    let there = version(connection)?;
    if there != wanted {
        return Err(SiteError::Version { there, wanted });
    }
    // The controllers are healthy before they have begun: a Job would have to wait for them.
    eventually(SETTLED_WITHIN, "the controllers do nothing", || has_account(connection, "default"))
}

/// The version that the API server says it has.
pub(crate) fn version(connection: &Connection) -> Result<KubernetesVersion, SiteError> {
    let answer = connection.get("/version")?.unwrap_or_default();
    version_of(&answer).map_err(SiteError::Client)
}

/// The version of an answer to `/version`.
fn version_of(answer: &Value) -> Result<KubernetesVersion, String> {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    // Some who offer clusters write `36+`.
    let version = format!("{}.{}", text("major"), text("minor").trim_end_matches('+'));
    version.parse().map_err(|error: towtank_model::version::UnknownVersion| error.to_string())
}

/// Waits until it is so.
pub(crate) fn eventually(
    within: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, SiteError>,
) -> Result<(), SiteError> {
    let clock = Clock::start();
    let began = clock.now();
    let mut pause = POLL;
    while !is_so()? {
        if clock.now().since(began) > within {
            return Err(SiteError::Late { what: what.to_owned(), seconds: within.as_secs() });
        }
        clock::pause(pause);
        pause = (pause * 2).min(POLL_MAX);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_says_its_version() {
        let read = |major: &str, minor: &str| version_of(&json!({"major": major, "minor": minor}));
        assert_eq!(read("1", "36"), Ok("1.36".parse().expect("a version")));
        assert_eq!(read("1", "30+"), Ok("1.30".parse().expect("a version")));
        for (major, minor) in [("1", "19"), ("2", "36"), ("", "")] {
            let error = read(major, minor).expect_err("unknown");
            assert!(error.contains(&format!("`{major}.{minor}`")), "{error}");
        }
    }

    #[test]
    fn logs_are_kept_of_what_fails_and_not_of_what_is_broken_off() {
        let late = SiteError::Late { what: "nothing happens".to_owned(), seconds: 1 };
        let told = late.logged(|| PathBuf::from("logs-of-it")).to_string();
        assert_eq!(told, "nothing happens within 1 s\nlogs: logs-of-it");
        let broken_off = SiteError::ControlPlane(ControlPlaneError::Interrupted);
        let error = broken_off.logged(|| panic!("nobody wants logs"));
        assert!(matches!(error, SiteError::ControlPlane(ControlPlaneError::Interrupted)), "{error}");
    }

    #[test]
    fn providers_are_called_as_their_option_is() {
        let local = |containers| {
            ProviderConfig::Local(Local { programs: PathBuf::new(), operator: PathBuf::new(), containers })
        };
        assert_eq!(local(None).name(), "process");
        assert_eq!(local(Some(Containers::Built)).name(), "containers");
    }
}
