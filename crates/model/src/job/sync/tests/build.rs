//! Short words for Jobs, pods and snapshots.

use std::sync::Arc;

use super::*;
use crate::objects::*;

/// The present instant of most tests: late enough that nothing of a fresh pod lies in a delay.
pub(super) const NOW: Time = Time::from_secs(1_000_000);

/// A known version by its minor number.
pub(super) fn version(minor: u16) -> KubernetesVersion {
    KubernetesVersion::from_minor(minor).expect("a known version")
}

/// A Job with these numbers and nothing else.
pub(super) fn job(parallelism: i32, completions: Option<i32>, is_indexed: bool) -> Job {
    let labels: Arc<Labels> = Arc::new([("job".into(), "test".into())].into());
    let pod = PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false }],
        ..PodSpec::default()
    };
    Job {
        key: ObjectKey::new("default", "job"),
        uid: Uid(0),
        resource_version: 1,
        generation: 1,
        labels: labels.clone(),
        creation_time: Time::ZERO,
        deletion_time: None,
        finalizers: Vec::new(),
        spec: JobSpec {
            parallelism,
            completions,
            completion_mode: if is_indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed },
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            pod_replacement_policy: None,
            pod_failure_policy: None,
            success_policy: None,
            managed_by: None,
            manual_selector: Some(false),
            selector: labels.clone(),
            template: Arc::new(PodTemplate {
                labels,
                annotations: Arc::default(),
                finalizers: Arc::from([]),
                spec: Arc::new(pod),
            }),
        },
        status: JobStatus::default(),
    }
}

/// A tracked pod of [`job`].
pub(super) fn pod(uid: u32, phase: PodPhase) -> Pod {
    let template = job(1, None, false).spec.template;
    Pod {
        key: ObjectKey::new("default", format!("pod-{uid}")),
        uid: Uid(uid),
        resource_version: 1,
        labels: template.labels.clone(),
        owner: Some(OwnerReference { is_job: true, name: "job".into(), uid: Uid(0) }),
        index: PodIndex::Absent,
        index_failure_count: None,
        index_ignored_failure_count: None,
        tracked: true,
        foreign_finalizers: Arc::from([]),
        creation_time: Time::ZERO,
        deletion: None,
        spec: template.spec.clone(),
        node: None,
        status: PodStatus { phase, ..PodStatus::default() },
    }
}

/// Words that change a pod.
pub(super) trait Change: Sized {
    fn index(self, index: u32) -> Self;
    fn failures(self, counted: i32) -> Self;
    fn deleting_since(self, start: Time) -> Self;
    fn untracked(self) -> Self;
    fn ready(self, since: Time) -> Self;
    fn exited(self, exit_code: i32, at: Time) -> Self;
    fn condition(self, kind: &str) -> Self;
}

impl Change for Pod {
    fn index(mut self, index: u32) -> Self {
        self.index = PodIndex::At(index);
        self
    }

    fn failures(mut self, counted: i32) -> Self {
        self.index_failure_count = Some(counted);
        self
    }

    fn deleting_since(mut self, start: Time) -> Self {
        self.deletion = Some(Deletion { timestamp: start, grace_period_s: 0 });
        self
    }

    fn untracked(mut self) -> Self {
        self.tracked = false;
        self
    }

    fn ready(mut self, since: Time) -> Self {
        self = self.condition(READY);
        if let Some(ready) = self.status.conditions.last_mut() {
            ready.last_transition_time = since;
        }
        self
    }

    fn exited(mut self, exit_code: i32, at: Time) -> Self {
        let end = Termination { exit_code, finished_at: Some(at) };
        self.status.containers.push(container("main", ContainerState::Terminated(end)));
        self
    }

    fn condition(mut self, kind: &str) -> Self {
        self.status.conditions.push(PodCondition {
            kind: kind.into(),
            status: ConditionStatus::True,
            reason: Arc::from(""),
            last_transition_time: Time::ZERO,
        });
        self
    }
}

/// A container's status.
pub(super) fn container(name: &str, state: ContainerState) -> ContainerStatus {
    ContainerStatus { name: name.into(), restart_count: 0, ready: false, state }
}

/// Pods from a text of words: a letter for the state (`P`ending, `R`unning, `r`unning and ready, `S`ucceeded,
/// `F`ailed, `T`erminating), then an index or `?` for an unusable one, then `*n` for n of them. Uids count from 1.
pub(super) fn pods(text: &str) -> Vec<Pod> {
    let mut pods = Vec::new();
    for word in text.split_whitespace() {
        let (word, count) = word.split_once('*').unwrap_or((word, "1"));
        let (state, index) = word.split_at(1);
        for _ in 0..count.parse::<usize>().expect("a count") {
            let uid = u32::try_from(pods.len()).expect("few pods") + 1;
            let mut made = match state {
                "P" => pod(uid, PodPhase::Pending),
                "R" => pod(uid, PodPhase::Running),
                "r" => pod(uid, PodPhase::Running).ready(Time::ZERO),
                "S" => pod(uid, PodPhase::Succeeded),
                "F" => pod(uid, PodPhase::Failed),
                "T" => pod(uid, PodPhase::Running).deleting_since(Time::ZERO),
                other => panic!("unknown state {other}"),
            };
            made.index = match index {
                "" => PodIndex::Absent,
                "?" => PodIndex::Invalid,
                index => PodIndex::At(index.parse().expect("an index")),
            };
            pods.push(made);
        }
    }
    pods
}

/// The usual snapshot: expectations met, nothing remembered.
pub(super) fn snapshot(minor: u16, job: Job, pods: Vec<Pod>) -> Snapshot {
    Snapshot {
        features: Features::of(version(minor)),
        limits: Limits::default(),
        job: Arc::new(job),
        pods: pods.into_iter().map(Arc::new).collect(),
        expectations_satisfied: true,
        finalizers_expected_gone: BTreeSet::new(),
        backoff: BackoffRecord::default(),
    }
}

/// A condition that is True, without reason and message.
pub(super) fn condition(kind: JobConditionType, status: ConditionStatus) -> JobCondition {
    JobCondition {
        kind,
        status,
        reason: Arc::from(""),
        message: Arc::from(""),
        last_transition_time: Time::from_secs(1),
    }
}
