//! Why the controller did what it did: decisions, each with the rule behind it.

use crate::objects::Uid;

/// One decision and the rule behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// The rule.
    pub rule: Rule,
    /// What the rule came to, with its figures; may be empty.
    pub detail: String,
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The Job.
    Job,
    /// A completion index.
    Index(u32),
    /// A pod.
    Pod(Uid),
}

/// Where the findings of a sync are collected; off, it costs a branch.
#[derive(Debug, Default)]
pub(super) struct Notes {
    findings: Option<Vec<Finding>>,
}

impl Notes {
    /// Collects findings if `explain` says so.
    pub(super) fn new(explain: bool) -> Self {
        Self { findings: explain.then(Vec::new) }
    }

    /// Adds a finding, which is made only when findings are collected.
    pub(super) fn add(&mut self, finding: impl FnOnce() -> (Subject, Rule, String)) {
        if let Some(findings) = &mut self.findings {
            let (subject, rule, detail) = finding();
            findings.push(Finding { subject, rule, detail });
        }
    }

    /// The subjects of several findings, or none when findings are not collected.
    pub(super) fn when_on<T>(&self, subjects: impl FnOnce() -> Vec<T>) -> Vec<T> {
        if self.findings.is_some() { subjects() } else { Vec::new() }
    }

    /// Takes what was collected.
    pub(super) fn take(&mut self) -> Vec<Finding> {
        self.findings.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// A rule of the Job controller. [`Rule::text`] states it, [`Rule::section`] names its public source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A Job that is not suspended gets a start time in its first sync.
    StartTimeSet,
    /// While creations or deletions asked for earlier are not yet seen in the cache, pods are neither created nor
    /// deleted and the Job is not declared finished.
    ExpectationsUnmet,
    /// Pods of a Job that is being deleted are neither created nor deleted by the Job controller.
    JobBeingDeleted,
    /// An ended pod without the tracking finalizer has been dealt with and is never counted again.
    PodWithoutFinalizer,
    /// By default a pod counts as failed, and is replaced, as soon as it is being deleted.
    DeletedPodFails,
    /// With podReplacementPolicy Failed, or with a pod failure policy, a pod being deleted is neither counted nor
    /// replaced before it has ended.
    TerminatingPodAwaited,
    /// A pod that succeeded is counted, and its finalizer is removed.
    PodSucceeded,
    /// A pod that failed is counted, and its finalizer is removed.
    PodFailed,
    /// A failure that matches an Ignore rule is not counted.
    PodFailureIgnored,
    /// With backoffLimitPerIndex the last failed pod of an index keeps its finalizer, uncounted, until the
    /// replacement carries its failure count on.
    PodHeld,
    /// An ended pod whose index is out of range loses its finalizer and is not counted.
    EndedOutOfRange,
    /// When a Job fails, its pods that have not ended count as failed.
    UnfinishedPodFails,
    /// When a Job has been decided or is being deleted, all its pods lose their finalizers.
    PodReleased,
    /// When a Job succeeds, its pods that have not ended do not count as failed.
    SurvivorNotFailed,
    /// One sync records at most 500 ended pods; the others wait for the next sync.
    AccountingCapped,
    /// An index with a succeeded pod is completed and gets no other pod.
    IndexCompleted,
    /// A completed index that is out of range is forgotten with the next status write.
    IndexForgotten,
    /// An index with more failures than backoffLimitPerIndex, or one that matches a FailIndex rule, has failed and
    /// gets no other pod.
    IndexFailed,
    /// The lowest indexes that are neither active, completed nor failed get pods.
    IndexStarted,
    /// An index whose pod failed gets its replacement after 10 s, doubled with each failure up to 10 min.
    IndexDelayed,
    /// An active pod of an Indexed Job without a usable index is deleted, and is not a failure.
    DeletedNoIndex,
    /// Of several active pods with the same index all but one are deleted, and are no failures.
    DeletedDuplicate,
    /// An active pod whose index is not below completions is deleted, and is not a failure.
    DeletedOutOfRange,
    /// Of too many active pods the least advanced go first (unbound, pending, not ready, ready for a short time,
    /// often restarted, young); the index has no say, and they are no failures.
    DeletedSurplus,
    /// All active pods of a suspended Job are deleted, and are no failures.
    DeletedSuspended,
    /// When a Job has been decided, all its active pods are deleted.
    DeletedDecided,
    /// One sync either deletes or creates pods; deletion comes first.
    DeletionFirst,
    /// Of the active pods those that are wanted and have an index of their own stay.
    PodKept,
    /// As many pods are wanted as parallelism says, but no more than completions are missing.
    PodsWanted,
    /// After the first success of a Job without completions, no pods are created or deleted.
    SuccessKeepsPods,
    /// With podReplacementPolicy Failed, or with a pod failure policy, pods being deleted occupy the places of new
    /// ones.
    SlotsHeld,
    /// One sync creates at most 500 pods, and deletes at most 500.
    CreationCapped,
    /// After n failures without a success no pod of the Job is created for 10 s times 2^(n-1), at most 10 min.
    CreationDelayed,
    /// Pods are created in batches of 1, 2, 4, 8 and so on; after a batch with an error the rest waits for the next
    /// sync.
    SlowStart,
    /// A pod that could not be created because the namespace is being terminated counts as active.
    NamespaceTerminating,
    /// A Job with the condition SuccessCriteriaMet or FailureTarget stays decided, whatever its spec says later.
    DecisionStands,
    /// A failed pod that matches a FailJob rule fails the Job.
    PodFailurePolicyFails,
    /// More counted failures than backoffLimit fail the Job.
    BackoffLimitExceeded,
    /// With restartPolicy OnFailure, as many restarts of unfinished pods as backoffLimit fail the Job.
    RestartLimitExceeded,
    /// A Job fails when it was active for activeDeadlineSeconds since its start time.
    DeadlineExceeded,
    /// A Job with a deadline is synced again when the deadline is over.
    DeadlinePending,
    /// More failed indexes than maxFailedIndexes fail the Job.
    MaxFailedIndexesExceeded,
    /// When every index is completed or failed and at least one has failed, the Job fails.
    FailedIndexes,
    /// A Job whose completed indexes fulfil a rule of its success policy succeeds.
    SuccessPolicyMet,
    /// A Job with as many successes as completions, or without completions and with at least one, succeeds once no
    /// pod is active.
    CompletionsReached,
    /// A decided Job is not declared so while a pod could not be deleted or expectations are unmet.
    DecisionDeferred,
    /// A suspended Job gets the condition Suspended; from 1.36 it also loses its start time.
    Suspended,
    /// A resumed Job gets a new start time, so that its deadline starts again.
    Resumed,
    /// When the status cannot be written, no finalizer is removed and the sync is tried again.
    StatusRefused,
    /// A Job is not finished before every ended pod is counted.
    FinalWaitsForUncounted,
    /// From 1.31 a Job is not finished while a pod of it is being deleted.
    FinalWaitsForTerminating,
    /// A decided Job whose pods are all counted is finished.
    Finished,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 52] = [
        Self::StartTimeSet,
        Self::ExpectationsUnmet,
        Self::JobBeingDeleted,
        Self::PodWithoutFinalizer,
        Self::DeletedPodFails,
        Self::TerminatingPodAwaited,
        Self::PodSucceeded,
        Self::PodFailed,
        Self::PodFailureIgnored,
        Self::PodHeld,
        Self::EndedOutOfRange,
        Self::UnfinishedPodFails,
        Self::PodReleased,
        Self::SurvivorNotFailed,
        Self::AccountingCapped,
        Self::IndexCompleted,
        Self::IndexForgotten,
        Self::IndexFailed,
        Self::IndexStarted,
        Self::IndexDelayed,
        Self::DeletedNoIndex,
        Self::DeletedDuplicate,
        Self::DeletedOutOfRange,
        Self::DeletedSurplus,
        Self::DeletedSuspended,
        Self::DeletedDecided,
        Self::DeletionFirst,
        Self::PodKept,
        Self::PodsWanted,
        Self::SuccessKeepsPods,
        Self::SlotsHeld,
        Self::CreationCapped,
        Self::CreationDelayed,
        Self::SlowStart,
        Self::NamespaceTerminating,
        Self::DecisionStands,
        Self::PodFailurePolicyFails,
        Self::BackoffLimitExceeded,
        Self::RestartLimitExceeded,
        Self::DeadlineExceeded,
        Self::DeadlinePending,
        Self::MaxFailedIndexesExceeded,
        Self::FailedIndexes,
        Self::SuccessPolicyMet,
        Self::CompletionsReached,
        Self::DecisionDeferred,
        Self::Suspended,
        Self::Resumed,
        Self::StatusRefused,
        Self::FinalWaitsForUncounted,
        Self::FinalWaitsForTerminating,
        Self::Finished,
    ];

    /// Where the rule can be looked up: the enhancement proposal (KEP), or the part of the Job controller.
    pub const fn section(self) -> &'static str {
        match self {
            Self::StartTimeSet => "job controller: syncJob",
            Self::ExpectationsUnmet => "job controller: expectations",
            Self::JobBeingDeleted => "job controller: syncJob",
            Self::PodWithoutFinalizer => "KEP-2307",
            Self::DeletedPodFails => "KEP-3939",
            Self::TerminatingPodAwaited => "KEP-3939",
            Self::PodSucceeded => "KEP-2307",
            Self::PodFailed => "KEP-2307",
            Self::PodFailureIgnored => "KEP-3329",
            Self::PodHeld => "KEP-3850: getPodsWithDelayedDeletionPerIndex",
            Self::EndedOutOfRange => "KEP-3715: trackJobStatusAndRemoveFinalizers",
            Self::UnfinishedPodFails => "job controller: trackJobStatusAndRemoveFinalizers",
            Self::PodReleased => "job controller: canRemoveFinalizer",
            Self::SurvivorNotFailed => "KEP-3998",
            Self::AccountingCapped => "KEP-2307: MaxUncountedPods",
            Self::IndexCompleted => "KEP-2214: calculateSucceededIndexes",
            Self::IndexForgotten => "KEP-3715: calculateSucceededIndexes",
            Self::IndexFailed => "KEP-3850: calculateFailedIndexes",
            Self::IndexStarted => "KEP-2214: firstPendingIndexes",
            Self::IndexDelayed => "KEP-3850: getPodCreationInfoForIndependentIndexes",
            Self::DeletedNoIndex => "KEP-2214: appendDuplicatedIndexPodsForRemoval",
            Self::DeletedDuplicate => "KEP-2214: appendDuplicatedIndexPodsForRemoval",
            Self::DeletedOutOfRange => "KEP-3715: appendDuplicatedIndexPodsForRemoval",
            Self::DeletedSurplus => "job controller: activePodsForRemoval",
            Self::DeletedSuspended => "KEP-2232",
            Self::DeletedDecided => "job controller: deleteActivePods",
            Self::DeletionFirst => "job controller: manageJob",
            Self::PodKept => "job controller: activePodsForRemoval",
            Self::PodsWanted => "job controller: manageJob",
            Self::SuccessKeepsPods => "job controller: manageJob",
            Self::SlotsHeld => "KEP-3939",
            Self::CreationCapped => "job controller: MaxPodCreateDeletePerSync",
            Self::CreationDelayed => "job controller: backoffRecord",
            Self::SlowStart => "job controller: slow start",
            Self::NamespaceTerminating => "job controller: manageJob",
            Self::DecisionStands => "KEP-3998, KEP-3329",
            Self::PodFailurePolicyFails => "KEP-3329",
            Self::BackoffLimitExceeded => "job controller: backoffLimit",
            Self::RestartLimitExceeded => "job controller: pastBackoffLimitOnFailure",
            Self::DeadlineExceeded => "job controller: activeDeadlineSeconds",
            Self::DeadlinePending => "job controller: activeDeadlineSeconds",
            Self::MaxFailedIndexesExceeded => "KEP-3850",
            Self::FailedIndexes => "KEP-3850",
            Self::SuccessPolicyMet => "KEP-3998",
            Self::CompletionsReached => "job controller: syncJob",
            Self::DecisionDeferred => "job controller: syncJob",
            Self::Suspended => "KEP-2232",
            Self::Resumed => "KEP-2232",
            Self::StatusRefused => "KEP-2307",
            Self::FinalWaitsForUncounted => "KEP-2307",
            Self::FinalWaitsForTerminating => "KEP-3939",
            Self::Finished => "job controller: enactJobFinished",
        }
    }

    /// The rule in one sentence, without capital and full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::StartTimeSet => "a Job that is not suspended gets a start time in its first sync",
            Self::ExpectationsUnmet => {
                "while creations or deletions asked for earlier are not yet seen in the cache, pods are neither created nor deleted and the Job is not declared finished"
            }
            Self::JobBeingDeleted => {
                "pods of a Job that is being deleted are neither created nor deleted by the Job controller"
            }
            Self::PodWithoutFinalizer => {
                "an ended pod without the tracking finalizer has been dealt with and is never counted again"
            }
            Self::DeletedPodFails => {
                "by default a pod counts as failed, and is replaced, as soon as it is being deleted"
            }
            Self::TerminatingPodAwaited => {
                "with podReplacementPolicy Failed, or with a pod failure policy, a pod being deleted is neither counted nor replaced before it has ended"
            }
            Self::PodSucceeded => "a pod that succeeded is counted, and its finalizer is removed",
            Self::PodFailed => "a pod that failed is counted, and its finalizer is removed",
            Self::PodFailureIgnored => "a failure that matches an Ignore rule is not counted",
            Self::PodHeld => {
                "with backoffLimitPerIndex the last failed pod of an index keeps its finalizer, uncounted, until the replacement carries its failure count on"
            }
            Self::EndedOutOfRange => {
                "an ended pod whose index is out of range loses its finalizer and is not counted"
            }
            Self::UnfinishedPodFails => "when a Job fails, its pods that have not ended count as failed",
            Self::PodReleased => {
                "when a Job has been decided or is being deleted, all its pods lose their finalizers"
            }
            Self::SurvivorNotFailed => {
                "when a Job succeeds, its pods that have not ended do not count as failed"
            }
            Self::AccountingCapped => {
                "one sync records at most 500 ended pods; the others wait for the next sync"
            }
            Self::IndexCompleted => "an index with a succeeded pod is completed and gets no other pod",
            Self::IndexForgotten => {
                "a completed index that is out of range is forgotten with the next status write"
            }
            Self::IndexFailed => {
                "an index with more failures than backoffLimitPerIndex, or one that matches a FailIndex rule, has failed and gets no other pod"
            }
            Self::IndexStarted => "the lowest indexes that are neither active, completed nor failed get pods",
            Self::IndexDelayed => {
                "an index whose pod failed gets its replacement after 10 s, doubled with each failure up to 10 min"
            }
            Self::DeletedNoIndex => {
                "an active pod of an Indexed Job without a usable index is deleted, and is not a failure"
            }
            Self::DeletedDuplicate => {
                "of several active pods with the same index all but one are deleted, and are no failures"
            }
            Self::DeletedOutOfRange => {
                "an active pod whose index is not below completions is deleted, and is not a failure"
            }
            Self::DeletedSurplus => {
                "of too many active pods the least advanced go first (unbound, pending, not ready, ready for a short time, often restarted, young); the index has no say, and they are no failures"
            }
            Self::DeletedSuspended => "all active pods of a suspended Job are deleted, and are no failures",
            Self::DeletedDecided => "when a Job has been decided, all its active pods are deleted",
            Self::DeletionFirst => "one sync either deletes or creates pods; deletion comes first",
            Self::PodKept => "of the active pods those that are wanted and have an index of their own stay",
            Self::PodsWanted => {
                "as many pods are wanted as parallelism says, but no more than completions are missing"
            }
            Self::SuccessKeepsPods => {
                "after the first success of a Job without completions, no pods are created or deleted"
            }
            Self::SlotsHeld => {
                "with podReplacementPolicy Failed, or with a pod failure policy, pods being deleted occupy the places of new ones"
            }
            Self::CreationCapped => "one sync creates at most 500 pods, and deletes at most 500",
            Self::CreationDelayed => {
                "after n failures without a success no pod of the Job is created for 10 s times 2^(n-1), at most 10 min"
            }
            Self::SlowStart => {
                "pods are created in batches of 1, 2, 4, 8 and so on; after a batch with an error the rest waits for the next sync"
            }
            Self::NamespaceTerminating => {
                "a pod that could not be created because the namespace is being terminated counts as active"
            }
            Self::DecisionStands => {
                "a Job with the condition SuccessCriteriaMet or FailureTarget stays decided, whatever its spec says later"
            }
            Self::PodFailurePolicyFails => "a failed pod that matches a FailJob rule fails the Job",
            Self::BackoffLimitExceeded => "more counted failures than backoffLimit fail the Job",
            Self::RestartLimitExceeded => {
                "with restartPolicy OnFailure, as many restarts of unfinished pods as backoffLimit fail the Job"
            }
            Self::DeadlineExceeded => {
                "a Job fails when it was active for activeDeadlineSeconds since its start time"
            }
            Self::DeadlinePending => "a Job with a deadline is synced again when the deadline is over",
            Self::MaxFailedIndexesExceeded => "more failed indexes than maxFailedIndexes fail the Job",
            Self::FailedIndexes => {
                "when every index is completed or failed and at least one has failed, the Job fails"
            }
            Self::SuccessPolicyMet => {
                "a Job whose completed indexes fulfil a rule of its success policy succeeds"
            }
            Self::CompletionsReached => {
                "a Job with as many successes as completions, or without completions and with at least one, succeeds once no pod is active"
            }
            Self::DecisionDeferred => {
                "a decided Job is not declared so while a pod could not be deleted or expectations are unmet"
            }
            Self::Suspended => {
                "a suspended Job gets the condition Suspended; from 1.36 it also loses its start time"
            }
            Self::Resumed => "a resumed Job gets a new start time, so that its deadline starts again",
            Self::StatusRefused => {
                "when the status cannot be written, no finalizer is removed and the sync is tried again"
            }
            Self::FinalWaitsForUncounted => "a Job is not finished before every ended pod is counted",
            Self::FinalWaitsForTerminating => {
                "from 1.31 a Job is not finished while a pod of it is being deleted"
            }
            Self::Finished => "a decided Job whose pods are all counted is finished",
        }
    }
}
