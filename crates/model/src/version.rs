//! Kubernetes versions as data.
//!
//! A version is never a cargo feature or a type: it is a value, and all that differs between versions is a field of
//! [`Features`]. Stages are those of the upstream gate list (job-controller KEPs 3329, 3715, 3850, 3939, 3998, 4368);
//! behaviours without a gate are named after what they do, with the pull request that changed them.

use std::fmt;
use std::str::FromStr;

mod gates;

pub use gates::{Gate, GateError, Stage};

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

    /// The release as a whole: `1.36.3`.
    pub fn full(self) -> String {
        format!("{self}.{}", self.patch())
    }

    /// The version that a release such as `1.36.3` is of, whatever its patch.
    ///
    /// # Errors
    /// It is no release of a version that is known.
    pub fn of_release(release: &str) -> Result<Self, UnknownVersion> {
        let minor = release.rsplit_once('.').map_or("", |(minor, _patch)| minor);
        minor.parse().map_err(|_| UnknownVersion { text: release.to_owned() })
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

    // ---- Feature gates ----
    /// Gate ElasticIndexedJob: `completions` of an Indexed Job may change together with `parallelism` (KEP-3715).
    pub elastic_indexed_job: bool,
    /// Gate JobPodFailurePolicy (KEP-3329).
    pub pod_failure_policy: bool,
    /// Gate PodDisruptionConditions: whoever evicts a pod leaves a DisruptionTarget condition (KEP-3329).
    pub pod_disruption_conditions: bool,
    /// Gate JobReadyPods: `status.ready` is reported (KEP-2879).
    pub status_ready: bool,
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
    /// Gate SidecarContainers: init containers may be restartable (KEP-753).
    pub sidecar_containers: bool,
    /// Gate MutableSchedulingDirectivesForSuspendedJobs: suspending clears `startTime`, and a suspended Job's scheduling
    /// directives may change again after it ran (KEP-5440).
    pub clears_start_time_on_suspend: bool,
    /// Gate MutablePodResourcesForSuspendedJobs: a suspended Job's container resources may change (KEP-5440).
    pub mutable_resources_while_suspended: bool,
    /// Gate StaleControllerConsistencyJob: a sync waits until the caches show the controller's own writes (#137210).
    pub read_own_writes: bool,
    /// Gate WorkloadWithJob: gang scheduling through a Workload object. The model has no Workloads: the gate is known and
    /// has no effect.
    pub gang_workload: bool,

    // ---- Follow from gates ----
    /// `status.terminating` is reported (KEP-3939).
    pub status_terminating: bool,
    /// The API server judges updates of a Job's status (KEP-4368).
    pub strict_status_validation: bool,
    /// The orphan worker leaves the pods of Jobs that another controller manages alone (KEP-4368).
    pub orphan_checks_managed_by: bool,
    /// Every Job gets an interim condition (FailureTarget, SuccessCriteriaMet) first, and the final one when no pod is
    /// terminating (#125510).
    pub delays_terminal_condition: bool,
    /// Plain success has the reason CompletionsReached instead of an empty one (#126097).
    pub completions_reached_reason: bool,
    /// A SuccessCriteriaMet condition that is there decides the Job, and pods that are still running at success are not
    /// counted as failed (KEP-3998).
    pub honours_success_criteria: bool,
    /// The end of restartable init containers counts for a pod's finish time (#124718).
    pub sidecar_finish_time: bool,

    // ---- Behaviours without a gate ----
    /// A sync that deletes pods reports them in `ready` and `terminating` at once (#125175).
    pub adjusts_counters_on_delete: bool,
    /// While creation is blocked by back-off, `active` is reported as 0 (#139457).
    pub active_zero_in_backoff: bool,
    /// A Job that was declared finished is not synced again before the cache shows it (#130333).
    pub skips_finished_unseen: bool,
    /// A FailureTarget condition counts only while it is True.
    pub checks_failure_target_status: bool,
    /// An update of a finished Job still enqueues a (void) sync.
    pub finished_update_enqueues_sync: bool,
    /// An update of a finished Job sends its pods to the orphan worker.
    pub finished_update_orphans_pods: bool,
    /// The orphan queue gets one key per selector instead of one per pod.
    pub orphan_selector_key: bool,
    /// The orphan queue is served by as many workers as the Job queue instead of one.
    pub orphan_parallel_workers: bool,
    /// The orphan worker leaves pods alone whose controller is no Job.
    pub orphan_checks_owner_kind: bool,
    /// The back-off record goes with the DELETE event of the Job, not only with the next sync.
    pub job_delete_drops_backoff: bool,
    /// Restarts of restartable init containers break ties when pods to delete are ranked.
    pub sidecar_restart_tiebreak: bool,
    /// A change of `status.terminating` alone makes the controller write the status (in 1.28 it is compared only after
    /// it was overwritten).
    pub compares_terminating: bool,
    /// `podReplacementPolicy` alone says when a pod is replaced; before, `podFailurePolicy` implies Failed.
    pub only_policy_decides_replacement: bool,
    /// An update validates the spec twice, so that every broken rule is reported twice.
    pub update_reports_spec_errors_twice: bool,
    /// A removed `startTime` is reported as Invalid rather than Required.
    pub start_time_error_is_invalid: bool,
    /// Three messages of status validation have their newer wording.
    pub status_messages_of_1_34: bool,
    /// Status updates are judged by the rules on SuccessCriteriaMet whatever the gates say.
    pub success_criteria_status_rules: bool,
    /// SuccessCriteriaMet is refused unless the Job is Indexed and has a success policy.
    pub success_criteria_needs_policy: bool,
    /// The API server tries another generated name when one is taken (gate RetryGenerateName).
    pub retries_generated_names: bool,

    // ---- Defects of all versions: switched off by who wants to see what they do ----
    /// What the controller expects of a Job's pods outlives the Job, until the next sync of its name (#131917).
    pub expectations_outlive_job: bool,
    /// A failure that becomes known late overwrites the time of a newer one.
    pub late_failure_is_newest: bool,
    /// The pod failure policy is asked about pods whose index is out of range.
    pub removed_pods_fail_job: bool,
}

impl Features {
    /// What this version does with its default feature gates.
    pub fn of(version: KubernetesVersion) -> Self {
        let mut features = Self::without_gates(version);
        for gate in Gate::ALL {
            *features.switch(gate) = gate.stage(version).is_on_by_default();
        }
        features.follow_gates();
        features
    }

    /// Switches a feature gate, with everything that follows from it. Setting a locked gate to the value that it has
    /// is no error, as upstream.
    pub fn set_gate(&mut self, name: &str, is_on: bool) -> Result<(), GateError> {
        let version = self.version;
        let unknown = || GateError::Unknown { name: name.to_owned(), version };
        let gate = Gate::from_name(name).ok_or_else(unknown)?;
        match gate.stage(version) {
            Stage::Absent | Stage::Removed => return Err(unknown()),
            Stage::Stable if !is_on => return Err(GateError::Locked { name: name.to_owned(), version }),
            Stage::Stable | Stage::Alpha | Stage::Beta => *self.switch(gate) = is_on,
        }
        self.follow_gates();
        Ok(())
    }

    /// The gates that this version knows, with their stages and whether they are on.
    pub fn gates(&self) -> impl Iterator<Item = (Gate, Stage, bool)> {
        let mut features = *self;
        Gate::ALL
            .into_iter()
            .map(move |gate| (gate, gate.stage(features.version), *features.switch(gate)))
            .filter(|(_, stage, _)| stage.is_known())
    }

    /// The behaviours that no gate governs; all gates and what follows from them off.
    fn without_gates(version: KubernetesVersion) -> Self {
        let minor = version.minor();
        Self {
            version,
            elastic_indexed_job: false,
            pod_failure_policy: false,
            pod_disruption_conditions: false,
            status_ready: false,
            pod_index_label: false,
            backoff_limit_per_index: false,
            pod_replacement_policy: false,
            success_policy: false,
            managed_by: false,
            sidecar_containers: false,
            clears_start_time_on_suspend: false,
            mutable_resources_while_suspended: false,
            read_own_writes: false,
            gang_workload: false,
            status_terminating: false,
            strict_status_validation: false,
            orphan_checks_managed_by: false,
            delays_terminal_condition: false,
            completions_reached_reason: false,
            honours_success_criteria: false,
            sidecar_finish_time: false,
            adjusts_counters_on_delete: minor >= 31,
            active_zero_in_backoff: minor <= 35,
            skips_finished_unseen: minor >= 34,
            checks_failure_target_status: minor >= 31,
            finished_update_enqueues_sync: minor <= 31,
            finished_update_orphans_pods: minor >= 29,
            orphan_selector_key: minor >= 32,
            orphan_parallel_workers: minor >= 32,
            orphan_checks_owner_kind: minor >= 31,
            job_delete_drops_backoff: minor >= 31,
            sidecar_restart_tiebreak: minor >= 32,
            compares_terminating: minor >= 29,
            only_policy_decides_replacement: minor >= 37,
            update_reports_spec_errors_twice: minor <= 36,
            start_time_error_is_invalid: minor >= 36,
            status_messages_of_1_34: minor >= 34,
            success_criteria_status_rules: minor >= 30,
            success_criteria_needs_policy: minor == 30,
            retries_generated_names: minor >= 31,
            expectations_outlive_job: true,
            late_failure_is_newest: true,
            removed_pods_fail_job: true,
        }
    }

    /// Sets the behaviours that follow from gates, in some versions together with the code that came with them.
    fn follow_gates(&mut self) {
        let minor = self.version.minor();
        self.status_terminating = self.pod_replacement_policy;
        self.strict_status_validation = self.managed_by;
        self.orphan_checks_managed_by = self.managed_by;
        self.delays_terminal_condition = minor >= 31 && (self.managed_by || self.pod_replacement_policy);
        self.completions_reached_reason = minor >= 31 && self.success_policy;
        self.honours_success_criteria = self.success_policy || self.delays_terminal_condition;
        self.sidecar_finish_time = minor >= 31 && self.sidecar_containers;
    }

    /// The field that a gate governs.
    fn switch(&mut self, gate: Gate) -> &mut bool {
        match gate {
            Gate::ElasticIndexedJob => &mut self.elastic_indexed_job,
            Gate::JobPodFailurePolicy => &mut self.pod_failure_policy,
            Gate::PodDisruptionConditions => &mut self.pod_disruption_conditions,
            Gate::JobReadyPods => &mut self.status_ready,
            Gate::PodIndexLabel => &mut self.pod_index_label,
            Gate::JobBackoffLimitPerIndex => &mut self.backoff_limit_per_index,
            Gate::JobPodReplacementPolicy => &mut self.pod_replacement_policy,
            Gate::JobSuccessPolicy => &mut self.success_policy,
            Gate::JobManagedBy => &mut self.managed_by,
            Gate::SidecarContainers => &mut self.sidecar_containers,
            Gate::MutableSchedulingDirectivesForSuspendedJobs => &mut self.clears_start_time_on_suspend,
            Gate::MutablePodResourcesForSuspendedJobs => &mut self.mutable_resources_while_suspended,
            Gate::StaleControllerConsistencyJob => &mut self.read_own_writes,
            Gate::WorkloadWithJob => &mut self.gang_workload,
        }
    }
}

#[cfg(test)]
mod tests;
