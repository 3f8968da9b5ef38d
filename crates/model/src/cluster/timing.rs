//! How long the cluster takes for what it does: one [`Distribution`] per step, collected in named profiles.
//!
//! Four profiles exist. `instant` takes no time at all, so that only the rules show: the order of steps, periods,
//! grace periods and back-offs stay what they are. `virtual` is the same with what runs in pods taking its time. `kind` was recorded on a small real cluster, `gke` is fitted to
//! published tables of managed clusters; each constant names its source, and what no source gives is said to be so. Others are made of
//! measurements, outside of this crate.
//!
//! Starting containers is the bottleneck of a node: pods that arrive together start one after the other. Each profile
//! therefore splits a start into a part that the node does for one pod at a time ([`TimingProfile::start_slot`]) and a
//! rest that overlaps ([`TimingProfile::start`]), and likewise for stops. Where all nodes are one machine that was measured ([`TimingProfile::cores_milli`]),
//! the first part is work instead, for which pods share the machine's cores.
//!
//! Not modelled: that a node short of CPU reports late (30 pods that started at once on two nodes of two shared cores
//! were reported Running up to 2.8 s after their processes ran), the kubelets' own request limit, the size of images,
//! and the time in which a cloud removes a machine.

use std::time::Duration;

use crate::engine::Distribution;
use crate::version::KubernetesVersion;

/// Durations of everything that the cluster does, the API server and its watches included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimingProfile {
    /// Its name in scenario files.
    pub name: &'static str,
    /// From a change that an operator watches to its write; `None`: a watch event and a call.
    pub operator: Option<Distribution>,
    /// A call of the Job controller, from sending it to its answer.
    pub api_call: Distribution,
    /// From a write to the watch event that tells a controller of it.
    pub watch_delivery: Distribution,
    /// The scheduler's decision about one pod; it decides about one at a time.
    pub scheduling: Distribution,
    /// From that decision to the stored binding; bindings overlap.
    pub binding: Distribution,
    /// How long pods that fit nowhere are left alone before they are tried again, first and at most; it doubles in
    /// between (`podInitialBackoffSeconds`, `podMaxBackoffSeconds`).
    pub scheduling_backoff: (Duration, Duration),
    /// Image pull, once per node: later pods find the image there.
    pub image_pull: Distribution,
    /// Part of a pod's start that its node does for one pod at a time.
    pub start_slot: Distribution,
    /// All nodes are one thread, that of a program which plays them and what runs there: it writes one report after the other, each of which takes [`Self::status_report`], and
    /// does nothing else meanwhile. It hears of a pod after [`Self::start`], and takes no slots.
    pub is_one_thread: bool,
    /// Thousandths of a core of the machine that all nodes are: slots are work then that shares the cores, and nothing waits for its turn. 0: slots are taken one after the other.
    pub cores_milli: u32,
    /// The rest of a pod's start, to the first process: sandbox, network, container.
    pub start: Distribution,
    /// How long an init container runs by itself.
    pub init_container: Distribution,
    /// From one container's noticed end, or from a sidecar's start, to the next process.
    pub next_container: Distribution,
    /// From a process's end by itself to the kubelet's noticing it: it lists its containers every second.
    pub exit_notice: Distribution,
    /// From the last container's start to Ready, beyond the status report, where no probe has a say.
    pub readiness: Distribution,
    /// How often a readiness probe runs (`periodSeconds`), counted from its first run; zero: at once whenever there is something to find out. One run decides
    /// (`failureThreshold` is taken as 1).
    pub probe_period: Duration,
    /// From the start of the process to the first run of its probe: a kubelet lists its containers once a second, and one that it finds running is probed at once
    /// (kubernetes/kubernetes, `pkg/kubelet/prober`, `UpdatePodStatus`).
    pub first_probe: Distribution,
    /// How long a run takes. It finds out what is so when it begins.
    pub probe: Distribution,
    /// From a change on the node to the pod status that shows it; changes meanwhile share the report.
    pub status_report: Distribution,
    /// From the deletion timestamp to SIGTERM.
    pub stop_notice: Distribution,
    /// Part of a pod's stop, after its last process, that its node does for one pod at a time.
    pub stop_slot: Distribution,
    /// The rest of a pod's stop, to its last status report.
    pub stop: Distribution,
    /// From the terminal phase of a deleted pod to the kubelet's deleting the object; with [`Self::cores_milli`] pods go together that wait at the same time.
    pub cleanup: Distribution,
    /// How long before a kubelet's silence its last heartbeat was; detection counts from that.
    pub heartbeat_age: Distribution,
    /// How late the node controller notices that the grace period is over; it looks every five seconds.
    pub detection: Distribution,
    /// From a kubelet's return to the node's being Ready again.
    pub recovery: Distribution,
    /// From asking for a machine to its node's joining.
    pub node_join: Distribution,
    /// From an owner's deletion to the write of the garbage collector.
    pub garbage_collection: Distribution,
}

const ZERO: Distribution = Distribution::Constant(Duration::ZERO);

/// Everything at once, in order.
const INSTANT: TimingProfile = TimingProfile {
    name: "instant",
    operator: None,
    api_call: ZERO,
    watch_delivery: ZERO,
    scheduling: ZERO,
    binding: ZERO,
    scheduling_backoff: (Duration::ZERO, Duration::ZERO),
    image_pull: ZERO,
    start_slot: ZERO,
    is_one_thread: false,
    cores_milli: 0,
    start: ZERO,
    init_container: ZERO,
    next_container: ZERO,
    exit_notice: ZERO,
    readiness: ZERO,
    probe_period: Duration::ZERO,
    first_probe: ZERO,
    probe: ZERO,
    status_report: ZERO,
    stop_notice: ZERO,
    stop_slot: ZERO,
    stop: ZERO,
    cleanup: ZERO,
    heartbeat_age: ZERO,
    detection: ZERO,
    recovery: ZERO,
    node_join: ZERO,
    garbage_collection: ZERO,
};

/// Nodes without machines below them: nothing takes time but what runs in pods, which is as fast as in pods elsewhere.
const VIRTUAL: TimingProfile = TimingProfile { name: "virtual", ..INSTANT };

/// Recorded on a three-node kind cluster (two workers), Kubernetes 1.36.3, on two busy cores, images on the nodes,
/// pods of one container with Flux brokers in it; milliseconds as (share, quantile).
const KIND: TimingProfile = TimingProfile {
    name: "kind",
    operator: None,
    // From the PATCH's answer to the watch event of the pod that the controller made for it, n = 64.
    api_call: Distribution::Quantiles(&[
        (0.0, 2.3),
        (0.25, 5.9),
        (0.5, 7.4),
        (0.75, 9.8),
        (0.9, 12.9),
        (1.0, 37.7),
    ]),
    // From the PATCH's answer to its watch event, n = 128; early ones count as 0.
    watch_delivery: Distribution::Quantiles(&[(0.25, 0.0), (0.5, 0.1), (0.75, 0.5), (0.9, 1.1), (1.0, 4.7)]),
    // Pod seen to binding seen took 11.9 [5.5-25.1], n = 32, one pod at a time. 30 pods at once were bound 15 ms
    // apart at that load; half of the single figure is taken as the part that cannot overlap.
    scheduling: Distribution::Quantiles(&[
        (0.0, 2.5),
        (0.25, 4.5),
        (0.5, 6.0),
        (0.75, 7.6),
        (0.9, 10.0),
        (1.0, 12.5),
    ]),
    binding: Distribution::Quantiles(&[
        (0.0, 3.0),
        (0.25, 4.6),
        (0.5, 5.9),
        (0.75, 7.7),
        (0.9, 10.2),
        (1.0, 12.6),
    ]),
    // kube-scheduler's defaults.
    scheduling_backoff: (Duration::from_secs(1), Duration::from_secs(10)),
    image_pull: ZERO,
    // One pod takes 620 [537-904] from its binding to its first process, n = 27. Of 30 pods on two nodes the last one
    // took 5.7 s and 6.5 s: some 390 per pod and node that do not overlap.
    start_slot: Distribution::Constant(Duration::from_millis(390)),
    is_one_thread: false,
    cores_milli: 0,
    start: Distribution::Quantiles(&[
        (0.0, 146.7),
        (0.25, 200.0),
        (0.5, 229.9),
        (0.75, 282.9),
        (0.9, 383.5),
        (1.0, 514.1),
    ]),
    // The init containers only copied files; from their start to their end as the API shows it took 613 [97-1993],
    // n = 15, nearly all of which is `exit_notice`.
    init_container: Distribution::Constant(Duration::from_millis(50)),
    // From the init container's end to the main process, n = 15.
    next_container: Distribution::Quantiles(&[
        (0.0, 85.3),
        (0.25, 96.8),
        (0.5, 102.5),
        (0.75, 131.1),
        (0.9, 138.3),
        (1.0, 188.4),
    ]),
    // The same 15 init containers less the 50 ms that they ran.
    exit_notice: Distribution::Quantiles(&[
        (0.0, 46.5),
        (0.25, 283.9),
        (0.5, 563.2),
        (0.75, 801.0),
        (0.9, 929.9),
        (1.0, 1942.7),
    ]),
    readiness: ZERO,
    // The pods had no probes.
    probe_period: Duration::ZERO,
    first_probe: ZERO,
    probe: ZERO,
    // From the process's own first mark to Running in the API, n = 32; early ones count as 0.
    status_report: Distribution::Quantiles(&[
        (0.1, 0.0),
        (0.25, 3.7),
        (0.5, 8.3),
        (0.75, 13.3),
        (0.9, 16.5),
        (1.0, 32.2),
    ]),
    // Processes that ignore SIGTERM were reported ended 30 s and 239 [155-617] after the deletion timestamp, n = 33:
    // notice, kill and report together. The split between `stop_notice` and `stop_slot` follows 30 pods that were
    // killed at once: they were reported over 3 s on two nodes, 200 per pod and node.
    stop_notice: Distribution::Quantiles(&[
        (0.0, 5.0),
        (0.25, 15.0),
        (0.5, 30.0),
        (0.75, 70.0),
        (0.9, 110.0),
        (1.0, 380.0),
    ]),
    stop_slot: Distribution::Uniform(Duration::from_millis(150), Duration::from_millis(210)),
    stop: ZERO,
    // From the container's end in the API to the object's end, n = 81.
    cleanup: Distribution::Quantiles(&[
        (0.0, 62.1),
        (0.25, 334.9),
        (0.5, 500.1),
        (0.75, 725.9),
        (0.9, 913.6),
        (1.0, 999.7),
    ]),
    // The kubelet renews its lease every 10 s, the node controller looks every 5 s (their defaults); a paused worker
    // was NotReady after 49 s (n = 1), as these give.
    heartbeat_age: Distribution::Uniform(Duration::ZERO, Duration::from_secs(10)),
    detection: Distribution::Uniform(Duration::ZERO, Duration::from_secs(5)),
    // The same worker, from being resumed to Ready, n = 1.
    recovery: Distribution::Constant(Duration::from_secs(11)),
    // Not recorded: kind's nodes are there from the start.
    node_join: ZERO,
    // Not recorded; the collector's queue works at once, two calls away from the deletion.
    garbage_collection: Distribution::Uniform(Duration::from_millis(10), Duration::from_millis(50)),
};

/// Managed clusters of published experiments: Indexed Jobs of busybox-like pods on one m5.16xlarge node (means of 11
/// runs), node pool resizes on GKE with c2-standard-8 (320 runs). Control plane figures, which nobody published, are
/// those of [`KIND`].
const GKE: TimingProfile = TimingProfile {
    name: "gke",
    // 246 pods on one node were ready after 119.4 s, 64 after 43.2 s, 32 after 20.2 s: 0.49 s to 0.68 s per pod.
    start_slot: Distribution::Uniform(Duration::from_millis(440), Duration::from_millis(560)),
    // Four pods were ready after 2.5 s.
    start: Distribution::Uniform(Duration::from_millis(300), Duration::from_millis(600)),
    // Published runs had their images on the nodes; what a pull takes depends on the image.
    image_pull: ZERO,
    // Four pods were gone after 32.4 s, of which 30 s are the grace period; 246 after 49.9 s: 72 ms per pod.
    stop_slot: Distribution::Uniform(Duration::from_millis(52), Duration::from_millis(92)),
    cleanup: Distribution::Uniform(Duration::from_millis(1_500), Duration::from_millis(2_300)),
    // One more node of c2-standard-8: median 31.6 s, 95 % within 37.8 s, at most 233.5 s, n = 320. The smallest value
    // was not published; 25 s is a guess.
    node_join: Distribution::Quantiles(&[
        (0.0, 25_000.0),
        (0.5, 31_600.0),
        (0.95, 37_800.0),
        (1.0, 233_500.0),
    ]),
    ..KIND
};

static PROFILES: [TimingProfile; 4] = [INSTANT, VIRTUAL, KIND, GKE];

impl TimingProfile {
    /// All profiles, fastest first.
    pub fn all() -> &'static [Self] {
        &PROFILES
    }

    /// The profile of this name: `instant`, `virtual`, `kind` or `gke`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The profile in which nothing takes time.
    pub fn instant() -> &'static Self {
        &PROFILES[0]
    }
}

/// How long a kubelet may be silent before its node counts as lost (`--node-monitor-grace-period`): 40 s, and 50 s from
/// 1.32 on.
pub const fn node_monitor_grace(version: KubernetesVersion) -> Duration {
    if version.minor() >= 32 { Duration::from_secs(50) } else { Duration::from_secs(40) }
}

/// How long pods bear the taints of a lost node when their spec does not say (admission plugin
/// DefaultTolerationSeconds).
pub const DEFAULT_TOLERATION: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn distributions(profile: &TimingProfile) -> [Distribution; 23] {
        [
            profile.api_call,
            profile.watch_delivery,
            profile.scheduling,
            profile.binding,
            profile.image_pull,
            profile.start_slot,
            profile.start,
            profile.init_container,
            profile.next_container,
            profile.exit_notice,
            profile.readiness,
            profile.first_probe,
            profile.probe,
            profile.status_report,
            profile.stop_notice,
            profile.stop_slot,
            profile.stop,
            profile.cleanup,
            profile.heartbeat_age,
            profile.detection,
            profile.recovery,
            profile.node_join,
            profile.garbage_collection,
        ]
    }

    #[test]
    fn every_table_is_well_formed() {
        for profile in TimingProfile::all() {
            for distribution in distributions(profile) {
                assert!(distribution.is_well_formed(), "{}: {distribution:?}", profile.name);
            }
        }
    }

    #[test]
    fn instant_takes_no_time() {
        for distribution in distributions(TimingProfile::instant()) {
            assert_eq!(distribution.quantile(1.0), Duration::ZERO);
        }
    }

    #[test]
    fn profiles_are_found_by_name() {
        for name in ["instant", "virtual", "kind", "gke"] {
            assert_eq!(TimingProfile::by_name(name).map(|profile| profile.name), Some(name));
        }
        assert_eq!(TimingProfile::by_name("minikube"), None);
    }

    #[test]
    fn a_single_pod_starts_on_kind_as_recorded() {
        let kind = TimingProfile::by_name("kind").unwrap();
        let start = kind.start_slot.median() + kind.start.median();
        assert_eq!(start.as_millis(), 619, "binding to first process, median of 27 recorded starts");
        let scheduled = kind.scheduling.median() + kind.binding.median();
        assert_eq!(scheduled.as_micros(), 11_900, "creation to binding, median of 32");
    }

    #[test]
    fn node_monitor_grace_grew_in_1_32() {
        let grace = |minor| node_monitor_grace(KubernetesVersion::from_minor(minor).unwrap()).as_secs();
        assert_eq!((grace(28), grace(31), grace(32), grace(37)), (40, 40, 50, 50));
    }
}
