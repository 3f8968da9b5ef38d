//! Which of several active pods is deleted first (upstream `controller.ActivePods`).

use std::cmp::Reverse;

use crate::objects::{Pod, READY};
use crate::time::Time;
use crate::version::Features;

/// Sort key of a pod: the smallest is deleted first. In this order: not bound before bound; Pending, Unknown, Running;
/// not ready before ready; ready for a shorter time; more restarts; younger. The completion index has no say.
type Rank = (bool, u8, bool, Option<Reverse<Time>>, Reverse<i32>, Reverse<i32>, Reverse<Time>);

/// Sorts positions of `pods` by rank. Ties keep their order: upstream's sort is not stable, but it is for up to twelve
/// pods and for pods that are already in order.
pub(super) fn sort<T: AsRef<Pod>>(positions: &mut [usize], pods: &[T], features: &Features) {
    positions.sort_by_cached_key(|&position| rank(pods[position].as_ref(), features));
}

/// Positions of these active pods, the one that is deleted first at the beginning.
pub fn deletion_order(pods: &[Pod], features: &Features) -> Vec<usize> {
    let pods: Vec<Handle<'_>> = pods.iter().map(Handle).collect();
    let mut order: Vec<usize> = (0..pods.len()).collect();
    sort(&mut order, &pods, features);
    order
}

/// A pod that is only looked at.
struct Handle<'a>(&'a Pod);

impl AsRef<Pod> for Handle<'_> {
    fn as_ref(&self) -> &Pod {
        self.0
    }
}

fn rank(pod: &Pod, features: &Features) -> Rank {
    let ready = pod.is_ready();
    let ready_time =
        if ready { pod.condition(READY).map(|ready| Reverse(ready.last_transition_time)) } else { None };
    let restarts = pod.status.containers.iter().map(|container| container.restart_count).max();
    let sidecar_restarts = if features.sidecar_restart_tiebreak { sidecar_restarts(pod) } else { 0 };
    (
        pod.node.is_some(),
        mutant!(36, pod.status.phase as u8 => u8::MAX - pod.status.phase as u8),
        ready,
        ready_time,
        Reverse(restarts.unwrap_or(0).max(0)),
        Reverse(sidecar_restarts),
        Reverse(mutant!(37, pod.creation_time => Time::ZERO)),
    )
}

/// The most restarts of any restartable init container.
fn sidecar_restarts(pod: &Pod) -> i32 {
    let is_sidecar = |name: &str| {
        pod.spec.init_containers.iter().any(|container| container.is_sidecar && &*container.name == name)
    };
    let restarts = pod.status.init_containers.iter().filter(|container| is_sidecar(&container.name));
    restarts.map(|container| container.restart_count).max().unwrap_or(0).max(0)
}
