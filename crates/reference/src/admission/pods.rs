//! Random bare pods and random writes to them.

use std::sync::Arc;

use towtank_model::objects::{
    COMPLETION_INDEX, ConditionStatus, Container, ContainerState, ContainerStatus, INDEX_FAILURE_COUNT,
    OwnerReference, Pod, PodCondition, PodPhase, PodSpec, PodStatus, RestartPolicy, TRACKING_FINALIZER,
    Termination, Uid,
};
use towtank_model::server::{PodManifest, PodPatch};
use towtank_model::time::Time;

use super::jobs::change_spec;
use crate::draw::Draw;

/// A new bare pod.
pub(super) fn new_pod(draw: &mut Draw) -> PodManifest {
    let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
    let main = Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false };
    let mut spec =
        PodSpec { restart_policy: draw.one_of(&policies), containers: vec![main], ..PodSpec::default() };
    for _ in 0..draw.below(3) {
        change_spec(draw, &mut spec);
    }
    let mut annotations = draw.annotations();
    if draw.one_in(3) {
        annotations.insert(COMPLETION_INDEX.into(), draw.one_of(&["0", "7", "-1", "x", ""]).into());
    }
    if draw.one_in(6) {
        annotations.insert(INDEX_FAILURE_COUNT.into(), draw.one_of(&["0", "7", "x"]).into());
    }
    let mut finalizers = draw.finalizers();
    if draw.one_in(3) {
        finalizers.push(TRACKING_FINALIZER.into());
    }
    PodManifest { labels: draw.labels(), annotations, finalizers, spec: Arc::new(spec) }
}

/// A change of a pod's metadata.
pub(super) fn patch(draw: &mut Draw, pod: &Pod) -> PodPatch {
    let mut patch = PodPatch::default();
    match draw.below(7) {
        0 => patch.remove_tracking_finalizer = true,
        1 => {
            patch.remove_finalizer =
                pod.foreign_finalizers.first().cloned().or_else(|| Some(TRACKING_FINALIZER.into()));
        }
        2 | 3 => {
            let uid = Uid(u32::try_from(draw.below(2)).unwrap_or(0));
            patch.adopt = Some(OwnerReference { is_job: !draw.one_in(5), name: "owner".into(), uid });
        }
        4 => patch.release = true,
        5 => patch.orphan = true,
        _ => {
            let labels = draw.labels().into_iter();
            patch.labels = labels.map(|(label, value)| (label, Some(value))).collect();
            patch.labels.extend(pod.labels.keys().take(draw.below(2)).map(|label| (Arc::clone(label), None)));
        }
    }
    patch
}

/// A step that a kubelet, the scheduler or a controller may take in a pod's status.
pub(super) fn status(draw: &mut Draw, pod: &Pod) -> PodStatus {
    use PodPhase::{Failed, Pending, Running, Succeeded, Unknown};
    let mut status = pod.status.clone();
    for _ in 0..=draw.below(3) {
        match draw.below(6) {
            0 | 1 => status.phase = draw.one_of(&[Pending, Running, Running, Succeeded, Failed, Unknown]),
            2 => status.reason = draw.one_of(&["", "Evicted"]).into(),
            3 => condition(draw, &mut status),
            4 => status.start_time = Some(Time::from_micros(draw.one_of(&[0, 1_500_000, 3_000_000]))),
            _ => {
                status.containers = containers(draw, &pod.spec.containers, &status.containers);
                status.init_containers = containers(draw, &pod.spec.init_containers, &status.init_containers);
            }
        }
    }
    status
}

fn condition(draw: &mut Draw, status: &mut PodStatus) {
    const TYPES: &[&str] = &["Ready", "DisruptionTarget", "acme.io/Own"];
    let kind: Arc<str> = draw.one_of(TYPES).into();
    let statuses = [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];
    let new = PodCondition {
        kind,
        status: draw.one_of(&statuses),
        reason: draw.one_of(&["", "Reason"]).into(),
        last_transition_time: Time::from_secs(2),
    };
    match status.conditions.iter_mut().find(|condition| condition.kind == new.kind) {
        Some(condition) => *condition = new,
        None => status.conditions.push(new),
    }
}

/// Every container goes on, from waiting to running to ended; some run again, whether they may or not.
fn containers(draw: &mut Draw, specs: &[Container], old: &[ContainerStatus]) -> Vec<ContainerStatus> {
    let states = specs.iter().map(|spec| {
        let before = old.iter().find(|status| status.name == spec.name);
        let ended = ContainerState::Terminated(Termination {
            exit_code: draw.one_of(&[0, 1, 137]),
            finished_at: Some(Time::from_micros(draw.one_of(&[2_000_000, 2_700_000]))),
        });
        let state = match before.map(|status| &status.state) {
            None => ContainerState::Waiting("ContainerCreating".into()),
            Some(ContainerState::Waiting(_)) => draw.one_of(&[ContainerState::Running, ended]),
            Some(ContainerState::Running) => ended,
            Some(ContainerState::Terminated(_)) if draw.one_in(4) => ContainerState::Running,
            Some(ended @ ContainerState::Terminated(_)) => ended.clone(),
        };
        let restart_count = before.map_or(0, |status| status.restart_count);
        ContainerStatus { name: Arc::clone(&spec.name), restart_count, ready: draw.one_in(2), state }
    });
    states.collect()
}
