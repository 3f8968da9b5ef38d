//! Feature gates of the Job controller and their stages, version by version.

use super::KubernetesVersion;

/// How far a feature has come in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not yet there: the gate is unknown.
    Absent,
    /// Off unless switched on.
    Alpha,
    /// On unless switched off.
    Beta,
    /// On; the gate is locked.
    Stable,
    /// On; the gate is gone.
    Removed,
}

impl Stage {
    /// Whether the version knows the gate.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Alpha | Self::Beta | Self::Stable)
    }

    /// Whether the feature is on when nobody sets the gate.
    pub const fn is_on_by_default(self) -> bool {
        matches!(self, Self::Beta | Self::Stable | Self::Removed)
    }
}

/// A feature gate that some rule of the model depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// KEP-3715.
    ElasticIndexedJob,
    /// KEP-3329.
    JobPodFailurePolicy,
    /// KEP-3329.
    PodDisruptionConditions,
    /// KEP-2879.
    JobReadyPods,
    /// KEP-4017.
    PodIndexLabel,
    /// KEP-3850.
    JobBackoffLimitPerIndex,
    /// KEP-3939.
    JobPodReplacementPolicy,
    /// KEP-3998.
    JobSuccessPolicy,
    /// KEP-4368.
    JobManagedBy,
    /// KEP-753.
    SidecarContainers,
    /// KEP-5440.
    MutableSchedulingDirectivesForSuspendedJobs,
    /// KEP-5440.
    MutablePodResourcesForSuspendedJobs,
    /// Pull request #137210.
    StaleControllerConsistencyJob,
    /// KEP-4671.
    WorkloadWithJob,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 14] = [
        Self::ElasticIndexedJob,
        Self::JobPodFailurePolicy,
        Self::PodDisruptionConditions,
        Self::JobReadyPods,
        Self::PodIndexLabel,
        Self::JobBackoffLimitPerIndex,
        Self::JobPodReplacementPolicy,
        Self::JobSuccessPolicy,
        Self::JobManagedBy,
        Self::SidecarContainers,
        Self::MutableSchedulingDirectivesForSuspendedJobs,
        Self::MutablePodResourcesForSuspendedJobs,
        Self::StaleControllerConsistencyJob,
        Self::WorkloadWithJob,
    ];

    /// The gate's name and its stages from 1.28 to 1.37, one letter each: `-` absent, `a`lpha, `b`eta, `G`A, `R`emoved.
    /// Read from the versioned gate list of each release.
    const fn row(self) -> (&'static str, &'static [u8; 10]) {
        match self {
            Self::ElasticIndexedJob => ("ElasticIndexedJob", b"bbbGGGRRRR"),
            Self::JobPodFailurePolicy => ("JobPodFailurePolicy", b"bbbGGRRRRR"),
            Self::PodDisruptionConditions => ("PodDisruptionConditions", b"bbbGGGRRRR"),
            Self::JobReadyPods => ("JobReadyPods", b"bGGRRRRRRR"),
            Self::PodIndexLabel => ("PodIndexLabel", b"bbbbGGGRRR"),
            Self::JobBackoffLimitPerIndex => ("JobBackoffLimitPerIndex", b"abbbbGGGGR"),
            Self::JobPodReplacementPolicy => ("JobPodReplacementPolicy", b"abbbbbGGGR"),
            Self::JobSuccessPolicy => ("JobSuccessPolicy", b"--abbGGGGR"),
            Self::JobManagedBy => ("JobManagedBy", b"--aabbbGGG"),
            Self::SidecarContainers => ("SidecarContainers", b"abbbbGGGGR"),
            Self::MutableSchedulingDirectivesForSuspendedJobs => {
                ("MutableSchedulingDirectivesForSuspendedJobs", b"-------abb")
            }
            Self::MutablePodResourcesForSuspendedJobs => {
                ("MutablePodResourcesForSuspendedJobs", b"-------abb")
            }
            Self::StaleControllerConsistencyJob => ("StaleControllerConsistencyJob", b"--------bb"),
            Self::WorkloadWithJob => ("WorkloadWithJob", b"--------aa"),
        }
    }

    /// The gate's name, as on the command line of the API server and the controller manager.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The gate of this name, in any version.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.name() == name)
    }

    /// How far the feature has come in this version.
    pub const fn stage(self, version: KubernetesVersion) -> Stage {
        match self.row().1[(version.minor() - KubernetesVersion::OLDEST.minor()) as usize] {
            b'a' => Stage::Alpha,
            b'b' => Stage::Beta,
            b'G' => Stage::Stable,
            b'R' => Stage::Removed,
            _ => Stage::Absent,
        }
    }
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
