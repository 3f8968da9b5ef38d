//! What every object has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Identity of one object for the whole run. Handed out densely from 0 per kind and never used twice, so that a table
/// indexed by uid is a plain vector; an object recreated under the same name gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

impl Uid {
    /// The uid as an index into a dense table.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid-{}", self.0)
    }
}

/// Version of one object's stored content: grows with every write that changes something, over all kinds.
pub type ResourceVersion = u64;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name within the namespace.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of `name` in `namespace`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Labels, or a `matchLabels` selector.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// Whether every pair of `selector` stands in `labels`. An empty selector, which only a user can write, matches everything.
pub fn selector_matches(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It is not known whether the condition holds.
    Unknown,
}

impl ConditionStatus {
    /// The API's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The finalizer that keeps a pod until the Job controller has counted it.
pub const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Label (from 1.28) and annotation that carry a pod's completion index.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation with the counted failures of a pod's index before it.
pub const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation with the ignored failures of a pod's index before it.
pub const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Label with the owning Job's name (1.27 and later).
pub const JOB_NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// The same label's name before 1.27, still written.
pub const LEGACY_JOB_NAME_LABEL: &str = "job-name";
/// Label with the owning Job's uid, the selector of a Job without `manualSelector`.
pub const CONTROLLER_UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
/// The same label's name before 1.27, still written.
pub const LEGACY_CONTROLLER_UID_LABEL: &str = "controller-uid";
/// Value of `managedBy` that names the built-in controller.
pub const BUILT_IN_CONTROLLER: &str = "kubernetes.io/job-controller";
