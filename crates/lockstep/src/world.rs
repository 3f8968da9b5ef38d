//! What a scenario can be played in.
//!
//! The runner knows a cluster only through [`World`]: it acts, lets time pass instant by instant, and looks. Whether
//! there is a model, a real controller or a whole cluster behind it changes nothing in how a scenario is judged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use towtank_model::server::TraceEntry;
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, TableCommand};
use towtank_scenario::observation::{Observation, PodView};

/// Names of worlds, as `--world` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorldKind {
    /// The discrete-event model.
    Model,
    /// The production crates against the in-process API server.
    Embedded,
    /// The same with the real Kubernetes controller as a client of that API server.
    ReferenceOpen,
    /// The real Kubernetes controller and registry on virtual time.
    Reference,
    /// A real control plane on real time.
    Cluster,
}

impl WorldKind {
    /// All worlds, in the order of their distance from reality.
    pub const ALL: [Self; 5] =
        [Self::Model, Self::Embedded, Self::ReferenceOpen, Self::Reference, Self::Cluster];

    /// The name, as `--world` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Embedded => "embedded",
            Self::ReferenceOpen => "reference-open",
            Self::Reference => "reference",
            Self::Cluster => "cluster",
        }
    }

    /// Whether MiniClusters are looked after by the production operator; in the others by a model of it.
    pub const fn has_production_operator(self) -> bool {
        !matches!(self, Self::Model | Self::Reference)
    }

    /// Whether time is virtual in it: `towtank run` plays there.
    pub const fn is_virtual(self) -> bool {
        !matches!(self, Self::Cluster)
    }
}

impl fmt::Display for WorldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown world `{0}`: known are model, embedded, reference, reference-open and cluster")]
pub struct UnknownWorld(pub String);

impl FromStr for WorldKind {
    type Err = UnknownWorld;

    fn from_str(text: &str) -> Result<Self, UnknownWorld> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownWorld(text.to_owned()))
    }
}

/// Why an action had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason of the API's answer (`Invalid`, `NotFound`, `Conflict`, …).
    pub reason: String,
    /// The whole message.
    pub message: String,
    /// The fields that are wrong, when the reason is `Invalid`.
    pub fields: Vec<RefusedField>,
}

/// One field error of a [`Refusal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedField {
    /// Path of the field: `spec.completions`.
    pub field: String,
    /// Type of the error: `Invalid`, `Forbidden`, `Required`, ….
    pub kind: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Reason of a refusal that is none.
const NOT_MODELLED: &str = "NotModelled";

impl Refusal {
    /// A refusal without fields.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), fields: Vec::new() }
    }

    /// What is asked for is not modelled: nobody knows whether it would be refused.
    pub fn not_modelled(message: impl Into<String>) -> Self {
        Self::new(NOT_MODELLED, message)
    }

    /// Whether it says nothing but that the model does not know.
    pub fn is_ignorance(&self) -> bool {
        self.reason == NOT_MODELLED
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// Why a world cannot go on, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorldError(pub String);

/// Pods that are shown otherwise, by a number that a pod keeps for life.
pub type PodChanges = BTreeMap<u64, Option<PodView>>;

/// Something that a scenario can be played in.
///
/// A world is quiet between calls: time passes only in [`World::next_instant`]. The caller acts, looks, lets one instant
/// pass, looks again.
pub trait World {
    /// Which world this is.
    fn kind(&self) -> WorldKind;

    /// The present instant.
    fn now(&self) -> Time;

    /// Does what a step says, at the present instant. Nothing that follows from it has happened when this returns.
    ///
    /// # Errors
    ///
    /// The API server's refusal, or `NotFound` when the action names an object that is not there now.
    fn perform(&mut self, action: &Action) -> Result<(), Refusal>;

    /// Goes on to the next instant at which anything happens and lets everything of that instant happen; returns it.
    /// When nothing happens up to and including `limit`, the clock stands at `limit` afterwards and the answer is
    /// `None`.
    ///
    /// # Errors
    ///
    /// The world cannot go on.
    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError>;

    /// Whether anything is still going to happen without a further action.
    fn is_quiescent(&self) -> bool;

    /// What is to be seen now. Computed anew only when the state has changed since the last call.
    fn observe(&mut self) -> &Observation;

    /// From now on [`World::observe`] shows what these commands of Flux print at the leads of these MiniClusters, and no others. A
    /// world may show more.
    fn show(&mut self, _commands: Vec<(String, TableCommand)>) {}

    /// The pods that [`World::observe`] shows otherwise than when this was last called, each as it is shown now, or not at all any
    /// more. `None`: the world does not know; all must be compared.
    fn take_changes(&mut self) -> Option<PodChanges> {
        None
    }

    /// Grows with every change of the state that an observation can show.
    fn generation(&self) -> u64;

    /// Takes the trace since the last call.
    fn take_trace(&mut self) -> Vec<TraceEntry>;
}
