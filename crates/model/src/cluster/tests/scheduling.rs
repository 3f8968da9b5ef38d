//! Which node takes which pod, and when.

use super::*;
use crate::objects::{POD_SCHEDULED, TaintEffect};

fn with_cpu(cpu_milli: u32) -> PodSpec {
    PodSpec { containers: vec![container("main", cpu_milli, false)], ..spec(RestartPolicy::Never) }
}

fn node_of(bench: &Bench, pod: Uid) -> Option<u32> {
    bench.pod(pod).and_then(|pod| pod.node).map(|node| node.0)
}

#[test]
fn the_least_allocated_node_is_taken_first() {
    let mut bench = Bench::new(ClusterConfig { tie_break: TieBreak::NodeOrder, ..config(3) });
    let nodes: Vec<Option<u32>> = (0..7)
        .map(|number| {
            let pod = bench.create(&format!("p{number}"), with_cpu(2_000));
            bench.run_for_secs(1);
            node_of(&bench, pod)
        })
        .collect();
    assert_eq!(nodes, [0, 1, 2, 0, 1, 2, 0].map(Some));
}

#[test]
fn equal_nodes_are_drawn_by_lot() {
    let mut bench = Bench::new(config(10));
    let pods: Vec<Uid> = (0..10).map(|number| bench.create(&format!("p{number}"), with_cpu(2_000))).collect();
    bench.run_for_secs(1);
    let mut nodes: Vec<u32> = pods.iter().filter_map(|&pod| node_of(&bench, pod)).collect();
    assert_ne!(nodes, (0..10).collect::<Vec<_>>(), "not in order of nodes");
    nodes.sort_unstable();
    assert_eq!(nodes, (0..10).collect::<Vec<_>>(), "one each");
}

#[test]
fn a_pod_that_fits_nowhere_waits_until_another_leaves() {
    let mut bench = Bench::new(config(1));
    let first = bench.create("first", with_cpu(6_000));
    let second = bench.create("second", with_cpu(6_000));
    let small = bench.create("small", with_cpu(3_000));
    bench.run_for_secs(60);
    assert_eq!(bench.phase(first), Some(PodPhase::Running));
    assert_eq!(bench.phase(small), Some(PodPhase::Running), "a pod that fits is not held up");
    let waiting = bench.pod(second).unwrap();
    assert_eq!((waiting.node, reason(waiting, POD_SCHEDULED)), (None, Some("Unschedulable")));
    let writes = bench.history.len();
    bench.run_for_secs(3_600);
    assert_eq!(bench.history.len(), writes, "nothing is tried while nothing changes");
    bench.delete(first, None);
    bench.run_for_secs(1);
    assert_eq!(bench.phase(second), Some(PodPhase::Running));
    assert_eq!(bench.pod(second).unwrap().condition(POD_SCHEDULED).unwrap().status, ConditionStatus::True);
}

#[test]
fn a_pod_that_fits_nowhere_is_retried_when_nodes_change() {
    let retried = |change: fn(&mut Bench)| {
        let mut bench = Bench::new(config(1));
        bench.node("node-0", NodeChange::Cordon);
        let pod = bench.create("pod", with_cpu(1));
        bench.run_for_secs(10);
        assert_eq!(node_of(&bench, pod), None);
        change(&mut bench);
        bench.run_for_secs(1);
        node_of(&bench, pod)
    };
    assert_eq!(retried(|bench| bench.node("node-0", NodeChange::Uncordon)), Some(0));
    assert_eq!(retried(|bench| bench.node("node-1", NodeChange::Add)), Some(1));
    assert_eq!(retried(|_| {}), None);
}

#[test]
fn selectors_taints_gates_and_pod_counts_filter() {
    let mut bench = Bench::new(ClusterConfig { pods_max: 1, ..config(3) });
    let taint = Taint {
        key: "gpu".into(),
        value: "".into(),
        effect: TaintEffect::NoSchedule,
        time_added: Time::ZERO,
    };
    bench.act(|_, ctx| {
        let label = |node: &mut crate::objects::Node| {
            node.labels = Arc::new([("zone".into(), "a".into())].into());
        };
        ctx.server.update_node(ctx.now, Actor::User, NodeId(1), label).unwrap();
        ctx.server.update_node(ctx.now, Actor::User, NodeId(2), |node| node.taints.push(taint)).unwrap();
    });
    let plain = spec(RestartPolicy::Never);
    let zone = PodSpec { node_selector: [("zone".into(), "a".into())].into(), ..plain.clone() };
    let toleration =
        Toleration { key: Some("gpu".into()), value: None, effect: None, toleration_seconds: None };
    let tolerant = PodSpec { tolerations: vec![toleration], ..plain.clone() };
    let gated = PodSpec { scheduling_gates: vec!["wait".into()], ..plain.clone() };
    let gated = bench.create("gated", gated);
    let zone = bench.create("zone", zone);
    bench.run_for_secs(1);
    let first = bench.create("first", plain.clone());
    let second = bench.create("second", plain);
    let tolerant = bench.create("tolerant", tolerant);
    bench.run_for_secs(1);
    let nodes = [gated, zone, first, second, tolerant].map(|pod| node_of(&bench, pod));
    assert_eq!(nodes, [None, Some(1), Some(0), None, Some(2)]);
    let gated = bench.pod(gated).unwrap();
    assert_eq!(gated.condition(POD_SCHEDULED).map(|held| &*held.reason), Some("SchedulingGated"));
}

#[test]
fn the_scheduler_takes_its_time_for_one_pod_after_the_other() {
    let mut bench = Bench::new(profile("kind", 2));
    let template = Arc::new(spec(RestartPolicy::Never));
    let pods: Vec<Uid> =
        (0..30).map(|number| bench.create_shared(&format!("p{number}"), &template)).collect();
    bench.run_for_secs(60);
    let bound: Vec<Time> =
        pods.iter().map(|&pod| bench.when(pod, |pod| pod.node.is_some()).unwrap()).collect();
    let last = bound.iter().max().unwrap().as_micros();
    assert!((100_000..400_000).contains(&last), "30 pods are bound after {last} us");
}

#[test]
fn a_hundred_thousand_pods_cost_the_same_each() {
    let mut bench = Bench::new(ClusterConfig { cpu_milli: 110_000, ..config(1_000) });
    let template = Arc::new(with_cpu(1_000));
    for number in 0..100_000 {
        bench.create_shared(&format!("p{number}"), &template);
    }
    bench.run_for_secs(1);
    let mut loads = vec![0_u32; 1_000];
    for pod in bench.server.pods() {
        loads[pod.node.unwrap().0 as usize] += 1;
    }
    assert!(loads.iter().all(|&load| load == 100), "spread evenly");
    // Decision, binding, start, and two reports.
    assert_eq!(bench.handled, 500_000);
}
