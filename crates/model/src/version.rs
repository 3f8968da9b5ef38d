//! Kubernetes versions as data.
//!
//! A version is never a cargo feature or a type: it is a value, and all that differs between versions is a field of
//! [`Features`]. Stages are those of the upstream gate list (job-controller KEPs 3329, 3715, 3850, 3939, 3998, 4368);
//! behaviours without a gate are named after what they do, with the pull request that changed them.

use std::fmt;
use std::str::FromStr;

/// A minor version of Kubernetes 1, at the patch level named by [`KubernetesVersion::patch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    minor: u16,
}

/// The text is no version that the model knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown Kubernetes version `{text}`: known are {} to {}",
    KubernetesVersion::OLDEST,
    KubernetesVersion::NEWEST
)]
pub struct UnknownVersion {
    /// What was given.
    pub text: String,
}

impl KubernetesVersion {
    /// The oldest version that the model knows.
    pub const OLDEST: Self = Self { minor: 28 };
    /// The newest version that the model knows.
    pub const NEWEST: Self = Self { minor: 37 };

    /// All versions, oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        (Self::OLDEST.minor..=Self::NEWEST.minor).map(|minor| Self { minor })
    }

    /// The version 1.`minor`, when it is known.
    pub const fn from_minor(minor: u16) -> Option<Self> {
        if minor >= Self::OLDEST.minor && minor <= Self::NEWEST.minor { Some(Self { minor }) } else { None }
    }

    /// The `36` of 1.36.
    pub const fn minor(self) -> u16 {
        self.minor
    }

    /// The patch release whose behaviour is modelled. Several defects were mended within a minor version, so a minor
    /// version alone does not say what the controller does.
    pub const fn patch(self) -> u16 {
        const PATCHES: [u16; 10] = [15, 6, 14, 14, 13, 13, 4, 4, 3, 0];
        PATCHES[(self.minor - Self::OLDEST.minor) as usize]
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl FromStr for KubernetesVersion {
    type Err = UnknownVersion;

    /// Reads `1.36`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        text.strip_prefix("1.")
            .filter(|minor| minor.len() == 2)
            .and_then(|minor| minor.parse().ok())
            .and_then(Self::from_minor)
            .ok_or_else(|| UnknownVersion { text: text.to_owned() })
    }
}

/// What a version does. Every field is a fact of that version's controller or API server; a field that a feature gate
/// governs can be switched by a scenario with [`Features::set_gate`] while the gate is not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one independent switch per upstream gate or change")]
pub struct Features {
    /// The version that these features belong to.
    pub version: KubernetesVersion,
    /// Gate ElasticIndexedJob: `completions` of an Indexed Job may change together with `parallelism` (KEP-3715).
    pub elastic_indexed_job: bool,
    /// Gate JobPodFailurePolicy (KEP-3329).
    pub pod_failure_policy: bool,
    /// Gate PodIndexLabel: pods carry their index as a label too (KEP-4017).
    pub pod_index_label: bool,
    /// Gate JobBackoffLimitPerIndex (KEP-3850).
    pub backoff_limit_per_index: bool,
    /// Gate JobPodReplacementPolicy (KEP-3939).
    pub pod_replacement_policy: bool,
    /// Gate JobSuccessPolicy (KEP-3998).
    pub success_policy: bool,
    /// Gate JobManagedBy (KEP-4368): with it comes the strict validation of status updates.
    pub managed_by: bool,
    /// Gate StaleControllerConsistencyJob: a sync waits until the caches show the controller's own writes (#137210).
    pub read_own_writes: bool,
    /// Gate MutableSchedulingDirectivesForSuspendedJobs: suspending clears `startTime` (KEP-5440).
    pub clears_start_time_on_suspend: bool,
}

/// A feature gate that cannot be set as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No such gate in this version.
    #[error("unknown feature gate `{name}` in Kubernetes {version}")]
    Unknown {
        /// What was given.
        name: String,
        /// The version asked.
        version: KubernetesVersion,
    },
    /// The gate is locked to its default.
    #[error("feature gate `{name}` is locked to true in Kubernetes {version}")]
    Locked {
        /// The gate.
        name: String,
        /// The version asked.
        version: KubernetesVersion,
    },
}
