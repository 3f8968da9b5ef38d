//! Job spec sections 7.1 to 7.3: what deleting a pod leads to.

use super::*;
use crate::objects::DISRUPTION_TARGET;

/// What the process does at SIGTERM, the grace period that is asked for, and what comes of it: seconds to the terminal
/// phase, the phase, and the exit code.
#[test]
fn grace_periods_and_terminal_phases() {
    let exit = |exit_code, after_s| OnTerm::Exit { exit_code, after: Duration::from_secs(after_s) };
    let cases = [
        (exit(143, 0), None, 0, PodPhase::Failed, 143),
        (exit(0, 0), None, 0, PodPhase::Succeeded, 0),
        (exit(0, 12), None, 12, PodPhase::Succeeded, 0),
        (exit(0, 29), None, 29, PodPhase::Succeeded, 0),
        (exit(0, 31), None, 30, PodPhase::Failed, 137),
        (OnTerm::Ignore, None, 30, PodPhase::Failed, 137),
        (OnTerm::Ignore, Some(5), 5, PodPhase::Failed, 137),
        (OnTerm::Ignore, Some(90), 90, PodPhase::Failed, 137),
        (exit(7, 3), Some(5), 3, PodPhase::Failed, 7),
    ];
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure] {
        for (on_term, grace_period_s, after_s, phase, exit_code) in cases {
            let mut bench = Bench::new(behaving(Behaviour { on_term, ..Behaviour::DEFAULT }));
            let pod = bench.create("pod", spec(policy));
            bench.run_for_secs(100);
            bench.delete(pod, grace_period_s);
            bench.run_for_secs(100);
            let case = format!("{policy:?} {on_term:?} {grace_period_s:?}");
            let ended_at = bench.when(pod, |pod| pod.status.phase.is_terminal());
            assert_eq!(ended_at, Some(secs(100 + after_s)), "{case}");
            assert_eq!(bench.gone_at(pod), Some(secs(100 + after_s)), "{case}");
            let last = bench.last(pod);
            assert_eq!(last.status.phase, phase, "{case}");
            let state = &last.status.containers[0].state;
            let ContainerState::Terminated(end) = state else { panic!("{case}: {state:?}") };
            assert_eq!((end.exit_code, end.finished_at), (exit_code, Some(secs(100 + after_s))), "{case}");
            assert_eq!(last.status.containers[0].restart_count, 0, "{case}");
            assert!(!last.is_ready(), "{case}");
        }
    }
}

/// Asked again after 10 s. From 1.33 on a grace period that would be over already becomes one of a second.
#[test]
fn asking_again_can_only_shorten_the_grace_period() {
    for (minor, second, gone_after_s) in [
        (32, Some(15), 25),
        (32, Some(5), 15),
        (33, Some(15), 25),
        (33, Some(5), 11),
        (36, Some(60), 30),
        (36, None, 30),
    ] {
        let config = behaving(Behaviour { on_term: OnTerm::Ignore, ..Behaviour::DEFAULT });
        let mut bench = Bench::with_version(config, minor);
        let pod = bench.create("pod", spec(RestartPolicy::Never));
        bench.run_for_secs(100);
        bench.delete(pod, None);
        bench.run_for_secs(10);
        bench.delete(pod, second);
        bench.run_for_secs(100);
        assert_eq!(bench.gone_at(pod), Some(secs(100 + gone_after_s)), "1.{minor} {second:?}");
    }
}

#[test]
fn unscheduled_pods_and_forced_deletions_vanish_at_once() {
    let mut bench = Bench::new(config(1));
    let gated = PodSpec { scheduling_gates: vec!["wait".into()], ..spec(RestartPolicy::Never) };
    let gated = bench.create("gated", gated);
    let forced = bench.create("forced", spec(RestartPolicy::Never));
    let ended = bench.create("ended", spec(RestartPolicy::Never));
    bench.run_for_secs(10);
    bench.act(|cluster, ctx| cluster.exit(ended, ContainerChoice::All, 3, None, ctx)).unwrap();
    bench.run_for_secs(10);
    for (pod, grace, phase) in [
        (gated, None, PodPhase::Pending),
        (forced, Some(0), PodPhase::Running),
        (ended, None, PodPhase::Failed),
    ] {
        bench.delete(pod, grace);
        assert_eq!(bench.gone_at(pod), Some(secs(20)));
        assert_eq!(bench.last(pod).status.phase, phase);
    }
}

#[test]
fn a_pod_that_never_started_ends_failed() {
    let mut bench = Bench::new(profile("kind", 1));
    let pod = bench.create("pod", spec(RestartPolicy::OnFailure));
    bench.run_for(Duration::from_millis(100));
    assert!(bench.pod(pod).unwrap().node.is_some());
    bench.delete(pod, None);
    bench.run_for_secs(10);
    let last = bench.last(pod);
    assert_eq!(last.status.phase, PodPhase::Failed);
    let lost = ContainerState::Terminated(Termination { exit_code: 137, finished_at: None });
    assert_eq!(last.status.containers[0].state, lost);
    assert!(bench.gone_at(pod).is_some());
    assert!(bench.when(pod, |pod| pod.status.phase == PodPhase::Running).is_none());
}

#[test]
fn finalizers_hold_a_pod_that_has_ended() {
    let mut bench = Bench::new(config(1));
    let manifest = PodManifest {
        labels: Labels::new(),
        annotations: Labels::new(),
        finalizers: vec!["example.com/hold".into()],
        spec: Arc::new(spec(RestartPolicy::Never)),
    };
    let key = ObjectKey::new("default", "held");
    let pod = bench.act(|_, ctx| ctx.server.create_pod(ctx.now, Actor::User, key, &manifest)).unwrap().uid;
    bench.run_for_secs(10);
    bench.delete(pod, None);
    bench.run_for_secs(100);
    let held = bench.pod(pod).unwrap();
    assert_eq!(held.status.phase, PodPhase::Failed);
    assert_eq!(held.deletion.unwrap().grace_period_s, 0, "the kubelet is done with it");
    let writes = bench.history.len();
    bench.run_for_secs(1_000);
    assert_eq!(bench.history.len(), writes);
}

#[test]
fn eviction_marks_the_pod_and_the_kubelet_keeps_the_mark() {
    let mut bench = Bench::new(config(1));
    let pod = bench.create("pod", spec(RestartPolicy::Never));
    bench.run_for_secs(10);
    bench.act(|_, ctx| ctx.server.evict_pod(ctx.now, Actor::User, pod)).unwrap();
    bench.run_for_secs(100);
    let last = bench.last(pod);
    assert_eq!(last.status.phase, PodPhase::Failed);
    assert_eq!(reason(last, DISRUPTION_TARGET), Some("EvictionByEvictionAPI"));
}

#[test]
fn sidecars_go_last_and_decide_nothing() {
    let with_sidecar =
        PodSpec { init_containers: vec![container("proxy", 0, true)], ..spec(RestartPolicy::Never) };
    let on_term = OnTerm::Exit { exit_code: 0, after: Duration::from_secs(5) };
    let mut bench = Bench::new(behaving(Behaviour { on_term, ..Behaviour::DEFAULT }));
    let deleted = bench.create("deleted", with_sidecar.clone());
    let finished = bench.create("finished", with_sidecar);
    bench.run_for_secs(10);
    let sidecar_runs =
        |pod: &Pod| pod.status.init_containers.iter().any(|init| init.state == ContainerState::Running);
    assert!(sidecar_runs(bench.pod(deleted).unwrap()));
    bench.delete(deleted, None);
    bench.act(|cluster, ctx| cluster.exit(finished, ContainerChoice::First, 0, None, ctx)).unwrap();
    bench.run_for_secs(2);
    assert!(sidecar_runs(bench.pod(deleted).unwrap()), "while the main container takes its time");
    bench.run_for_secs(10);
    assert_eq!(bench.gone_at(deleted), Some(secs(15)));
    for pod in [deleted, finished] {
        let last = bench.last(pod);
        assert_eq!(last.status.phase, PodPhase::Succeeded);
        let ContainerState::Terminated(end) = &last.status.init_containers[0].state else { panic!() };
        assert_eq!(end.exit_code, 143);
    }
}

#[test]
fn deletions_on_kind_take_as_long_as_recorded() {
    let behaviour = Behaviour { on_term: OnTerm::Ignore, ..Behaviour::DEFAULT };
    let rule = WorkloadRule { job: None, indexes: None, incarnation: None, behaviour };
    let mut bench = Bench::new(ClusterConfig { workload: vec![rule], ..profile("kind", 2) });
    for number in 0..50 {
        let pod = bench.create(&format!("p{number}"), spec(RestartPolicy::Never));
        bench.run_for_secs(10);
        let asked_at = bench.events.now();
        bench.delete(pod, None);
        bench.run_for_secs(60);
        let ended =
            bench.when(pod, |pod| pod.status.phase.is_terminal()).unwrap().since(asked_at).as_millis();
        let gone = bench.gone_at(pod).unwrap().since(asked_at).as_millis();
        // Recorded: 30155 to 30617 and 30245 to 31595.
        assert!((30_150..30_650).contains(&ended), "{ended}");
        assert!((30_210..31_650).contains(&gone), "{gone}");
    }
}
