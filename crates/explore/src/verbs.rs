//! What can happen in a story.

use std::time::Duration;

use towtank_model::cluster::{NodeChange, Signal};
use towtank_model::job::WatchKind;
use towtank_model::objects::{ConditionStatus, DISRUPTION_TARGET, PodPhase, PodReplacementPolicy};
use towtank_model::server::{JobManifest, Propagation};

use crate::genes::{CONFIG_ISSUE, Gene, SIDE};
use crate::story::Stage;

/// A pod, by its position among the stored pods in order of creation, modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodPick(pub u32);

/// Type and status of a condition of a pod.
pub type Condition = (&'static str, ConditionStatus);

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Time passes.
    Wait(Duration),
    /// A pod that has not ended gets a phase, and is ready or not. Like the next two on [`Stage::Manual`] only.
    Phase(PodPick, PodPhase, bool),
    /// A pod succeeds.
    Succeed(PodPick),
    /// A pod fails with this exit code, and gets a condition with it.
    Fail(PodPick, i32, Option<Condition>),
    /// All containers of a pod end with code 0. Like the next three on [`Stage::Nodes`] only.
    Exit(PodPick),
    /// One container of a pod, the first when absent, ends with this exit code; the pod gets a condition with it.
    Crash(PodPick, Option<&'static str>, i32, Option<Condition>),
    /// A process gets a signal.
    Kill(PodPick, Signal),
    /// Something happens to the node of this number.
    Node(u64, NodeChange),
    /// Completions and parallelism are set to the same number.
    Scale(i32),
    /// Parallelism alone is set.
    SetParallelism(i32),
    /// Completions alone are set; refused unless they are equal to parallelism.
    SetCompletions(i32),
    /// The Job is suspended, or resumed.
    SetSuspend(bool),
    /// `backoffLimit` is set.
    SetBackoffLimit(i32),
    /// `activeDeadlineSeconds` is set.
    SetDeadline(i64),
    /// `maxFailedIndexes` is set.
    SetMaxFailedIndexes(i32),
    /// `ttlSecondsAfterFinished` is set.
    SetTtl(i32),
    /// `podReplacementPolicy` is set.
    SetReplacementPolicy(PodReplacementPolicy),
    /// A user deletes a pod.
    DeletePod(PodPick),
    /// A user deletes a pod without grace.
    ForceDeletePod(PodPick),
    /// A pod is evicted.
    Evict(PodPick),
    /// A user takes the tracking finalizer off a pod.
    RemoveFinalizer(PodPick),
    /// A user takes the other finalizer off a pod.
    LetGo(PodPick),
    /// A user takes the label away by which the Job knows its pod.
    Disown(PodPick),
    /// A user gives a pod the label by which the Job knows its pods; only with a selector of the user's.
    Claim(PodPick),
    /// A user creates a pod that the Job's selector selects; only with a selector of the user's.
    Adopt,
    /// The Job controller's process restarts.
    Restart,
    /// It stops.
    Stop,
    /// It starts, if it does not run.
    Start,
    /// A cache of the controller stands still.
    Hold(WatchKind),
    /// All caches catch up.
    Release,
    /// The Job is deleted.
    DeleteJob(Propagation),
    /// The Job is created again under its name, if it is gone.
    Recreate,
    /// Another Job is created beside it, if it is not there.
    Other,
    /// Nothing can be created in the namespace any more.
    EndNamespace,
}

/// Number of kinds of verbs on each stage.
pub const VERB_KINDS: u64 = 30;

impl Verb {
    /// The verb of a gene.
    pub fn from_gene(stage: Stage, gene: u64) -> Self {
        let mut gene = Gene(gene.into());
        let kind = gene.below(VERB_KINDS);
        let pod = PodPick(u32::try_from(gene.below(16)).unwrap_or(0));
        match kind {
            0 => {
                let tenths = Duration::from_millis(100 * (1 + gene.below(300)));
                Self::Wait(tenths + Duration::from_millis(gene.maybe(3, |gene| gene.below(100)).unwrap_or(0)))
            }
            1..=3 => Self::of_stage(stage, kind, pod, gene),
            4 => Self::Scale(gene.small(7)),
            5 => Self::SetParallelism(gene.small(6)),
            6 => Self::SetCompletions(gene.small(6)),
            7 => Self::DeletePod(pod),
            8 => Self::SetSuspend(gene.below(2) == 0),
            9 => Self::Restart,
            10 => Self::Hold(gene.one_of([WatchKind::Pods, WatchKind::Jobs])),
            11 => Self::Release,
            12 => Self::SetBackoffLimit(gene.small(6)),
            13 => Self::SetDeadline(1 + i64::from(gene.small(120))),
            14 => Self::SetMaxFailedIndexes(gene.small(4)),
            15 => Self::SetReplacementPolicy(
                gene.one_of([PodReplacementPolicy::Failed, PodReplacementPolicy::TerminatingOrFailed]),
            ),
            16 => Self::ForceDeletePod(pod),
            17 => Self::Evict(pod),
            18 => Self::RemoveFinalizer(pod),
            19 => Self::Disown(pod),
            20 => Self::DeleteJob(gene.one_of([
                Propagation::Background,
                Propagation::Foreground,
                Propagation::Orphan,
            ])),
            21 => gene.maybe(16, |_| Self::EndNamespace).unwrap_or(Self::Recreate),
            22 => Self::Adopt,
            23 => Self::LetGo(pod),
            24 => Self::Claim(pod),
            25 => Self::Stop,
            26 | 27 => Self::Start,
            28 => Self::SetTtl(gene.small(60)),
            _ => Self::Other,
        }
    }

    fn of_stage(stage: Stage, kind: u64, pod: PodPick, mut gene: Gene) -> Self {
        match (stage, kind) {
            (Stage::Manual, 1) => {
                let (phase, is_ready) = gene.one_of([
                    (PodPhase::Running, true),
                    (PodPhase::Running, true),
                    (PodPhase::Running, false),
                    (PodPhase::Pending, false),
                    (PodPhase::Unknown, false),
                ]);
                Self::Phase(pod, phase, is_ready)
            }
            (Stage::Manual, 2) => Self::Succeed(pod),
            (Stage::Manual, _) => Self::Fail(pod, 1 + gene.small(4), condition(&mut gene)),
            (Stage::Nodes, 1) => match gene.small(4) {
                0 => Self::Exit(pod),
                code => Self::Crash(pod, gene.maybe(4, |_| SIDE), code, condition(&mut gene)),
            },
            (Stage::Nodes, 2) => Self::Kill(pod, gene.one_of([Signal::Term, Signal::Kill])),
            (Stage::Nodes, _) => {
                let node = gene.below(3);
                Self::Node(
                    node,
                    gene.one_of([
                        NodeChange::Down,
                        NodeChange::Up,
                        NodeChange::Cordon,
                        NodeChange::Uncordon,
                        NodeChange::Delete,
                        NodeChange::Add,
                        NodeChange::OutOfService,
                        NodeChange::ShutDown,
                    ]),
                )
            }
        }
    }

    /// The verb without what it is about; changes of a node are told apart.
    pub fn name(&self) -> String {
        let text = match self {
            Self::Node(_, change) => format!("{change:?} Node"),
            verb => format!("{verb:?}"),
        };
        text.split('(').next().unwrap_or_default().to_owned()
    }

    /// The pod that it is about.
    pub(crate) const fn pod(&self) -> Option<PodPick> {
        match self {
            Self::Phase(pod, ..)
            | Self::Succeed(pod)
            | Self::Fail(pod, ..)
            | Self::Exit(pod)
            | Self::Crash(pod, ..)
            | Self::Kill(pod, _)
            | Self::DeletePod(pod)
            | Self::ForceDeletePod(pod)
            | Self::Evict(pod)
            | Self::RemoveFinalizer(pod)
            | Self::LetGo(pod)
            | Self::Disown(pod)
            | Self::Claim(pod) => Some(*pod),
            _ => None,
        }
    }

    /// What an update of the Job changes; nothing when the verb is no update.
    pub(crate) fn manifest(&self) -> Option<JobManifest> {
        let mut manifest = JobManifest::default();
        match *self {
            Self::Scale(count) => (manifest.completions, manifest.parallelism) = (Some(count), Some(count)),
            Self::SetParallelism(count) => manifest.parallelism = Some(count),
            Self::SetCompletions(count) => manifest.completions = Some(count),
            Self::SetSuspend(suspend) => manifest.suspend = Some(suspend),
            Self::SetBackoffLimit(limit) => manifest.backoff_limit = Some(limit),
            Self::SetDeadline(seconds) => manifest.active_deadline_seconds = Some(seconds),
            Self::SetMaxFailedIndexes(limit) => manifest.max_failed_indexes = Some(limit),
            Self::SetTtl(seconds) => manifest.ttl_seconds_after_finished = Some(seconds),
            Self::SetReplacementPolicy(policy) => manifest.pod_replacement_policy = Some(policy),
            _ => return None,
        }
        Some(manifest)
    }
}

/// A condition that comes with a failure, most often none.
fn condition(gene: &mut Gene) -> Option<Condition> {
    gene.one_of([
        None,
        None,
        Some((DISRUPTION_TARGET, ConditionStatus::True)),
        Some((CONFIG_ISSUE, ConditionStatus::True)),
        Some((DISRUPTION_TARGET, ConditionStatus::False)),
    ])
}
