//! Nodes that are lost, come back, are deleted, drained by taints or shut down (Job spec sections 7.3 to 7.5).

use super::*;
use crate::objects::{DISRUPTION_TARGET, UNREACHABLE_TAINT};

/// A pod that runs on `node-0` of two nodes, and the instant 100 s.
fn bench_with_pod(minor: u16, spec: PodSpec) -> (Bench, Uid) {
    let config = ClusterConfig { tie_break: TieBreak::NodeOrder, ..config(2) };
    let mut bench = Bench::with_version(config, minor);
    let pod = bench.create("pod", spec);
    bench.run_for_secs(100);
    assert_eq!(bench.pod(pod).unwrap().node, Some(NodeId(0)));
    (bench, pod)
}

fn is_ready(bench: &Bench) -> bool {
    bench.server.node(NodeId(0)).unwrap().is_ready
}

#[test]
fn a_lost_node_is_noticed_after_the_grace_period_and_drained_after_the_toleration() {
    for (minor, grace_s) in [(28, 40), (31, 40), (32, 50), (36, 50)] {
        let (mut bench, pod) = bench_with_pod(minor, spec(RestartPolicy::Never));
        bench.node("node-0", NodeChange::Down);
        bench.run_to(secs(100 + grace_s - 1));
        assert!(is_ready(&bench) && bench.pod(pod).unwrap().is_ready(), "1.{minor}");
        bench.run_to(secs(100 + grace_s));
        assert!(!is_ready(&bench) && !bench.pod(pod).unwrap().is_ready(), "1.{minor}");
        let deleted = |pod: &Pod| pod.is_deleting();
        bench.run_for_secs(1_000);
        assert_eq!(bench.when(pod, deleted), Some(secs(100 + grace_s + 300)), "1.{minor}");
        let stuck = bench.pod(pod).unwrap();
        assert_eq!(reason(stuck, DISRUPTION_TARGET), Some("DeletionByTaintManager"));
        assert_eq!(stuck.status.phase, PodPhase::Running, "nobody can confirm its end");
    }
}

#[test]
fn tolerations_decide_how_long_a_pod_stays_on_a_lost_node() {
    let toleration = |seconds| Toleration {
        key: Some(UNREACHABLE_TAINT.into()),
        value: None,
        effect: Some(TaintEffect::NoExecute),
        toleration_seconds: seconds,
    };
    for (seconds, deleted_at) in [(Some(0), Some(140)), (Some(5), Some(145)), (None, None)] {
        let tolerant = PodSpec { tolerations: vec![toleration(seconds)], ..spec(RestartPolicy::Never) };
        let (mut bench, pod) = bench_with_pod(31, tolerant);
        bench.node("node-0", NodeChange::Down);
        bench.run_for_secs(1_000);
        assert_eq!(bench.when(pod, Pod::is_deleting), deleted_at.map(secs), "{seconds:?}");
    }
}

#[test]
fn a_node_that_comes_back_in_time_keeps_its_pods() {
    for back_after_s in [10, 39, 41, 300] {
        let (mut bench, pod) = bench_with_pod(31, spec(RestartPolicy::Never));
        bench.node("node-0", NodeChange::Down);
        bench.run_for_secs(back_after_s);
        bench.node("node-0", NodeChange::Up);
        bench.run_for_secs(1_000);
        let kept = bench.pod(pod).unwrap();
        assert!(kept.is_ready() && !kept.is_deleting(), "after {back_after_s} s");
        let node = bench.server.node(NodeId(0)).unwrap();
        assert!(node.is_ready && node.taints.is_empty());
    }
}

#[test]
fn a_kubelet_that_is_back_ends_the_pods_that_were_deleted_meanwhile() {
    let (mut bench, pod) = bench_with_pod(31, spec(RestartPolicy::OnFailure));
    bench.node("node-0", NodeChange::Down);
    bench.run_for_secs(1_000);
    assert!(bench.pod(pod).unwrap().is_terminating());
    bench.node("node-0", NodeChange::Up);
    bench.run_for_secs(1);
    assert_eq!(bench.gone_at(pod), Some(secs(1_100)));
    assert_eq!(bench.last(pod).status.phase, PodPhase::Failed);
}

#[test]
fn processes_go_on_while_their_kubelet_is_silent() {
    let behaviour = Behaviour { runs_for: Some(Duration::from_secs(120)), ..Behaviour::DEFAULT };
    let mut bench = Bench::new(behaving(behaviour));
    let pod = bench.create("pod", spec(RestartPolicy::Never));
    bench.run_for_secs(100);
    bench.node("node-0", NodeChange::Down);
    bench.run_for_secs(100);
    assert_eq!(bench.phase(pod), Some(PodPhase::Running));
    bench.node("node-0", NodeChange::Up);
    bench.run_for_secs(1);
    let ended = bench.pod(pod).unwrap();
    let end = Termination { exit_code: 0, finished_at: Some(secs(120)) };
    assert_eq!(ended.status.phase, PodPhase::Succeeded);
    assert_eq!(ended.status.containers[0].state, ContainerState::Terminated(end));
}

#[test]
fn lost_nodes_are_drained_one_per_ten_seconds() {
    let mut bench = Bench::with_version(config(8), 31);
    for node in ["node-0", "node-1", "node-2"] {
        bench.node(node, NodeChange::Down);
    }
    let no_execute = |bench: &Bench| {
        let tainted = |node: &&Arc<crate::objects::Node>| {
            node.taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute)
        };
        bench.server.nodes().filter(tainted).count()
    };
    let counts: Vec<usize> = [40, 49, 50, 60]
        .map(|at| {
            bench.run_to(secs(at));
            no_execute(&bench)
        })
        .into();
    assert_eq!(counts, [1, 1, 2, 3]);
}

/// Nodes, how many of them are lost, control plane nodes, and whether pods are evicted at all.
#[test]
fn a_cluster_that_is_mostly_lost_evicts_nobody() {
    for (nodes, lost, control_plane_nodes, evicts) in [
        (1, 1, 1, true),
        (1, 1, 0, false),
        (2, 2, 1, true),
        (3, 2, 1, true),
        (4, 3, 1, false),
        (5, 3, 1, true),
        (4, 4, 0, false),
        (60, 40, 1, true),
    ] {
        let config = ClusterConfig { control_plane_nodes, ..config(nodes) };
        let mut bench = Bench::with_version(config, 31);
        for number in 0..lost {
            bench.node(&format!("node-{number}"), NodeChange::Down);
        }
        bench.run_for_secs(1_000);
        let tainted = bench
            .server
            .nodes()
            .any(|node| node.taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute));
        assert_eq!(tainted, evicts, "{lost} of {nodes} lost beside {control_plane_nodes}");
    }
}

#[test]
fn pods_of_deleted_nodes_are_collected_after_the_quarantine() {
    // Seen at the next multiple of 20 s, collected 40 s later.
    for (deleted_at, collected_at) in [(100, 160), (101, 160), (119, 160), (121, 180)] {
        let (mut bench, pod) = bench_with_pod(36, spec(RestartPolicy::Never));
        bench.run_to(secs(deleted_at));
        bench.node("node-0", NodeChange::Delete);
        bench.run_for_secs(1_000);
        assert_eq!(bench.gone_at(pod), Some(secs(collected_at)), "node deleted at {deleted_at}");
        let last = bench.last(pod);
        assert_eq!(last.status.phase, PodPhase::Failed);
        assert_eq!(reason(last, DISRUPTION_TARGET), Some("DeletionByPodGC"));
    }
}

#[test]
fn out_of_service_lets_go_of_terminating_pods_of_lost_nodes() {
    let (mut bench, pod) = bench_with_pod(31, spec(RestartPolicy::OnFailure));
    bench.node("node-0", NodeChange::Down);
    bench.run_to(secs(150));
    bench.node("node-0", NodeChange::OutOfService);
    bench.run_for_secs(1_000);
    assert_eq!(bench.when(pod, Pod::is_deleting), Some(secs(150)), "the taint is not tolerated");
    assert_eq!(bench.gone_at(pod), Some(secs(160)));
    let last = bench.last(pod);
    assert_eq!(last.status.phase, PodPhase::Failed);
    assert_eq!(reason(last, DISRUPTION_TARGET), Some("DeletionByTaintManager"), "and no other");
}

#[test]
fn terminating_pods_without_a_node_are_collected() {
    let mut bench = Bench::new(config(0));
    let manifest = PodManifest {
        labels: Labels::new(),
        annotations: Labels::new(),
        finalizers: vec!["example.com/hold".into()],
        spec: Arc::new(spec(RestartPolicy::Never)),
    };
    let key = ObjectKey::new("default", "held");
    let pod = bench.act(|_, ctx| ctx.server.create_pod(ctx.now, Actor::User, key, &manifest)).unwrap().uid;
    bench.run_for_secs(30);
    bench.delete(pod, None);
    bench.run_for_secs(1_000);
    let held = bench.pod(pod).unwrap();
    assert_eq!(bench.when(pod, |pod| pod.status.phase == PodPhase::Failed), Some(secs(40)));
    assert_eq!(held.condition(DISRUPTION_TARGET), None);
    assert!(bench.handled < 10, "held pods do not keep the collector busy: {} events", bench.handled);
}

#[test]
fn surplus_of_ended_pods_goes_evicted_first_then_oldest() {
    let mut bench = Bench::new(ClusterConfig { terminated_pods_max: 3, ..config(1) });
    let pods: Vec<Uid> = (0..6)
        .map(|number| {
            let pod = bench.create(&format!("p{number}"), spec(RestartPolicy::Never));
            bench.run_for_secs(1);
            pod
        })
        .collect();
    for &pod in &pods {
        bench.act(|cluster, ctx| cluster.exit(pod, ContainerChoice::All, 0, None, ctx)).unwrap();
    }
    let evicted = pods[4];
    bench
        .act(|_, ctx| {
            ctx.server.update_pod_status(ctx.now, Actor::Kubelet, evicted, |status| {
                status.reason = "Evicted".into();
            })
        })
        .unwrap();
    bench.run_for_secs(100);
    let left: Vec<Uid> = bench.server.pods().map(|pod| pod.uid).collect();
    assert_eq!(left, [pods[2], pods[3], pods[5]]);
    assert_eq!(bench.gone_at(evicted), Some(secs(20)));
    assert!(bench.events.is_empty(), "and then all is quiet");
}

#[test]
fn a_no_execute_taint_of_a_user_evicts_and_its_removal_calls_off() {
    let taint = || Taint {
        key: "maintenance".into(),
        value: "".into(),
        effect: TaintEffect::NoExecute,
        time_added: Time::ZERO,
    };
    let toleration = Toleration {
        key: Some("maintenance".into()),
        value: None,
        effect: Some(TaintEffect::NoExecute),
        toleration_seconds: Some(60),
    };
    let tolerant = PodSpec { tolerations: vec![toleration], ..spec(RestartPolicy::Never) };
    for (removed_after_s, deleted_at) in [(59, None), (61, Some(160))] {
        let (mut bench, pod) = bench_with_pod(36, tolerant.clone());
        let update = |bench: &mut Bench, change: &dyn Fn(&mut crate::objects::Node)| {
            bench.act(|_, ctx| ctx.server.update_node(ctx.now, Actor::User, NodeId(0), change)).unwrap();
        };
        update(&mut bench, &|node| node.taints.push(taint()));
        bench.run_for_secs(removed_after_s);
        update(&mut bench, &|node| node.taints.clear());
        bench.run_for_secs(1_000);
        assert_eq!(bench.when(pod, Pod::is_deleting), deleted_at.map(secs));
    }
}

#[test]
fn graceful_shutdown_ends_pods_without_deleting_them() {
    for (exit_code, phase) in [(143, PodPhase::Failed), (0, PodPhase::Succeeded)] {
        let on_term = OnTerm::Exit { exit_code, after: Duration::from_secs(3) };
        let rule = WorkloadRule {
            job: None,
            indexes: None,
            incarnation: None,
            behaviour: Behaviour { on_term, ..Behaviour::DEFAULT },
        };
        let mut bench = Bench::new(ClusterConfig { workload: vec![rule], ..config(1) });
        let pod = bench.create("pod", spec(RestartPolicy::OnFailure));
        bench.run_for_secs(100);
        bench.node("node-0", NodeChange::ShutDown);
        let late = bench.create("late", spec(RestartPolicy::Never));
        bench.run_for_secs(200);
        let ended = bench.pod(pod).unwrap();
        assert_eq!((ended.status.phase, ended.is_deleting()), (phase, false));
        assert_eq!(bench.when(pod, |pod| pod.status.phase.is_terminal()), Some(secs(103)));
        assert_eq!(reason(ended, DISRUPTION_TARGET), Some("TerminationByKubelet"));
        assert_eq!(bench.phase(late), Some(PodPhase::Pending), "the node takes no more");
        bench.run_for_secs(1_000);
        assert_eq!(bench.gone_at(pod), Some(secs(400)), "a node that stays away loses its ended pods too");
        assert!(bench.events.is_empty());
    }
}

#[test]
fn nodes_join_after_their_time() {
    let mut bench = Bench::new(profile("gke", 1));
    bench.node("extra", NodeChange::Add);
    bench.run_for_secs(20);
    assert_eq!(bench.server.nodes().count(), 1);
    bench.run_for_secs(300);
    assert_eq!(bench.server.nodes().count(), 2);
    let refused = bench.act(|cluster, ctx| cluster.set_node("nowhere", NodeChange::Down, ctx));
    assert_eq!(refused, Err(ActionError::NoSuchNode("nowhere".to_owned())));
}

#[test]
fn a_no_execute_taint_takes_ended_pods_too() {
    let (mut bench, pod) = bench_with_pod(36, spec(RestartPolicy::Never));
    bench.act(|cluster, ctx| cluster.exit(pod, ContainerChoice::All, 0, None, ctx)).unwrap();
    bench.run_for_secs(1);
    bench.node("node-0", NodeChange::OutOfService);
    bench.run_for_secs(1);
    assert_eq!(bench.gone_at(pod), Some(secs(101)));
    assert_eq!(bench.last(pod).status.phase, PodPhase::Succeeded);
    assert_eq!(reason(bench.last(pod), DISRUPTION_TARGET), Some("DeletionByTaintManager"));
}
