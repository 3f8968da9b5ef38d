//! Starts, ends and restarts.

use super::*;

fn exits(runs_for_s: u64, exit_code: i32) -> ClusterConfig {
    behaving(Behaviour { runs_for: Some(Duration::from_secs(runs_for_s)), exit_code, ..Behaviour::DEFAULT })
}

#[test]
fn a_pod_becomes_running_and_ready_in_one_report() {
    let mut bench = Bench::new(profile("kind", 1));
    let pod = bench.create("pod", spec(RestartPolicy::Never));
    bench.run_for_secs(10);
    let accepted = bench.when(pod, |pod| pod.status.start_time.is_some()).unwrap();
    let running = bench.when(pod, |pod| pod.status.phase == PodPhase::Running).unwrap();
    assert!(accepted < running);
    assert_eq!(bench.when(pod, Pod::is_ready), Some(running));
    let (_, waiting) = bench.history.iter().find(|(at, _)| *at == accepted).unwrap();
    let waiting = waiting.new.as_ref().unwrap();
    assert_eq!(waiting.status.containers[0].state, ContainerState::Waiting("ContainerCreating".into()));
    assert_eq!(reason(waiting, READY), Some("ContainersNotReady"));
}

#[test]
fn a_process_that_ends_by_itself_ends_its_pod() {
    for (policy, exit_code, phase) in [
        (RestartPolicy::Never, 0, PodPhase::Succeeded),
        (RestartPolicy::Never, 3, PodPhase::Failed),
        (RestartPolicy::OnFailure, 0, PodPhase::Succeeded),
    ] {
        let mut bench = Bench::new(exits(42, exit_code));
        let pod = bench.create("pod", spec(policy));
        bench.run_for_secs(100);
        assert_eq!(bench.phase(pod), Some(phase), "{policy:?} {exit_code}");
        assert_eq!(bench.when(pod, |pod| pod.status.phase == phase), Some(secs(42)));
        let end = Termination { exit_code, finished_at: Some(secs(42)) };
        assert_eq!(bench.pod(pod).unwrap().status.containers[0].state, ContainerState::Terminated(end));
    }
}

#[test]
fn on_failure_restarts_in_place_with_back_off() {
    let mut bench = Bench::new(exits(1, 1));
    let pod = bench.create("pod", spec(RestartPolicy::OnFailure));
    bench.run_for_secs(1_000);
    let mut restarts: Vec<u64> = Vec::new();
    for (at, versions) in &bench.history {
        let count =
            versions.new.as_ref().and_then(|pod| pod.status.containers.first()).map(|c| c.restart_count);
        if usize::try_from(count.unwrap_or(0)).unwrap() > restarts.len() {
            restarts.push(at.as_micros() / 1_000_000);
        }
    }
    // Each run lasts a second; the waits between are 0, 10, 20, 40, 80, 160, 300 and 300 s.
    assert_eq!(restarts, [1, 12, 33, 74, 155, 316, 617, 918]);
    assert_eq!(bench.phase(pod), Some(PodPhase::Running));
    let backing_off = |pod: &Pod| {
        pod.status.containers.first().map(|c| &c.state)
            == Some(&ContainerState::Waiting("CrashLoopBackOff".into()))
    };
    assert_eq!(bench.when(pod, backing_off), Some(secs(2)));
    assert!(bench.history.iter().all(|(_, versions)| {
        versions.new.as_ref().is_none_or(|pod| !(backing_off(pod) && pod.is_ready()))
    }));
}

#[test]
fn init_containers_run_in_order_before_the_main_ones() {
    let mut bench = Bench::new(profile("kind", 1));
    let inits =
        vec![container("first", 0, false), container("proxy", 0, true), container("second", 0, false)];
    let pod = bench.create("pod", PodSpec { init_containers: inits, ..spec(RestartPolicy::Never) });
    bench.run_for_secs(20);
    let runs = |name: &'static str| {
        bench.when(pod, |pod| {
            let mut all = pod.status.init_containers.iter().chain(&pod.status.containers);
            all.any(|status| &*status.name == name && status.state == ContainerState::Running)
        })
    };
    let order = ["first", "proxy", "second", "main"].map(runs);
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{order:?}");
    let running = bench.when(pod, |pod| pod.status.phase == PodPhase::Running);
    assert_eq!(running, order[3], "Pending until all init containers are done");
    let waiting = bench.when(pod, |pod| {
        pod.status
            .containers
            .iter()
            .any(|main| main.state == ContainerState::Waiting("PodInitializing".into()))
    });
    assert!(waiting < running);
}

#[test]
fn a_failed_init_container_fails_the_pod_or_is_restarted() {
    for (policy, phase, restarts) in
        [(RestartPolicy::Never, PodPhase::Failed, 0), (RestartPolicy::OnFailure, PodPhase::Running, 1)]
    {
        let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
            init_container: crate::engine::Distribution::constant_ms(5_000),
            ..*TimingProfile::instant()
        }));
        let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
        let inits = vec![container("setup", 0, false)];
        let pod = bench.create("pod", PodSpec { init_containers: inits, ..spec(policy) });
        bench.run_for_secs(2);
        let choice = ContainerChoice::Named("setup");
        bench.act(|cluster, ctx| cluster.exit(pod, choice, 9, None, ctx)).unwrap();
        bench.run_for_secs(60);
        assert_eq!(bench.phase(pod), Some(phase), "{policy:?}");
        assert_eq!(bench.pod(pod).unwrap().status.init_containers[0].restart_count, restarts);
    }
}

#[test]
fn a_probe_finds_out_when_it_runs() {
    // It is ready from 7 on.
    let cases = [
        (0, 0, 0, 7),
        (5, 0, 0, 10),
        (7, 0, 0, 14),
        (5, 0, 1, 11),
        (5, 1, 0, 11),
        (5, 8, 0, 8),
        (5, 8, 2, 10),
        (5, 6, 2, 13),
    ];
    for (period_s, first_s, answer_s, ready_after_s) in cases {
        let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
            probe_period: Duration::from_secs(period_s),
            first_probe: crate::engine::Distribution::constant_ms(first_s * 1_000),
            probe: crate::engine::Distribution::constant_ms(answer_s * 1_000),
            ..*TimingProfile::instant()
        }));
        let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
        let pod = bench.create("pod", spec(RestartPolicy::Never));
        bench.act(|cluster, _| cluster.kubelets.hand_over(pod, true));
        bench.run_for_secs(7);
        assert_eq!(bench.when(pod, Pod::is_ready), None);
        bench.act(|cluster, ctx| cluster.kubelets.probed(pod, true, ctx));
        bench.run_for_secs(20);
        assert_eq!(bench.when(pod, Pod::is_ready), Some(secs(ready_after_s)), "every {period_s} s");
        // What comes and goes between two runs is not noticed.
        bench.act(|cluster, ctx| cluster.kubelets.probed(pod, false, ctx));
        bench.act(|cluster, ctx| cluster.kubelets.probed(pod, true, ctx));
        bench.run_for_secs(20);
        let is_unready_again = |pod: &Pod| !pod.is_ready();
        let unready = bench.history.iter().filter(|(at, versions)| {
            *at > secs(ready_after_s) && versions.new.as_ref().is_some_and(|pod| is_unready_again(pod))
        });
        assert_eq!(unready.count(), 0, "every {period_s} s");
    }
}

#[test]
fn what_starts_and_ends_shares_the_cores_of_a_machine() {
    let ms = crate::engine::Distribution::constant_ms;
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        cores_milli: 2_000,
        start_slot: ms(4_000),
        start: ms(1_000),
        stop_slot: ms(1_000),
        ..*TimingProfile::instant()
    }));
    for (nodes, pods, runs_after_s, gone_after_s) in [(1, 1, 5, 1), (2, 2, 5, 1), (1, 4, 9, 2), (4, 4, 9, 2)]
    {
        let mut bench = Bench::new(ClusterConfig { timing, ..config(nodes) });
        let pods: Vec<_> =
            (0..pods).map(|pod| bench.create(&format!("pod-{pod}"), spec(RestartPolicy::Never))).collect();
        bench.run_for_secs(20);
        for pod in &pods {
            let runs = bench.when(*pod, |pod| pod.status.phase == PodPhase::Running);
            assert_eq!(runs, Some(secs(runs_after_s)), "{} pods on {nodes} nodes", pods.len());
        }
        pods.iter().for_each(|pod| bench.delete(*pod, None));
        bench.run_for_secs(20);
        for pod in &pods {
            assert_eq!(
                bench.gone_at(*pod),
                Some(secs(20 + gone_after_s)),
                "{} pods on {nodes} nodes",
                pods.len()
            );
        }
    }
}

#[test]
fn what_is_called_off_or_gone_takes_no_core() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        cores_milli: 1_000,
        start_slot: crate::engine::Distribution::constant_ms(4_000),
        ..*TimingProfile::instant()
    }));
    for grace_period_s in [None, Some(0)] {
        let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
        let [stays, goes] = ["stays", "goes"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
        bench.run_for_secs(2);
        bench.delete(goes, grace_period_s);
        bench.run_for_secs(20);
        let runs = |pod| bench.when(pod, |pod| pod.status.phase == PodPhase::Running);
        // A second of its own work is done in the first two.
        assert_eq!((runs(stays), runs(goes)), (Some(secs(5)), None), "{grace_period_s:?}");
    }
}

#[test]
fn an_image_comes_once_to_a_node_and_takes_no_core() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        cores_milli: 1_000,
        image_pull: crate::engine::Distribution::constant_ms(10_000),
        start_slot: crate::engine::Distribution::constant_ms(4_000),
        ..*TimingProfile::instant()
    }));
    let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
    let pods = ["first", "second"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
    bench.run_for_secs(30);
    let runs = pods.map(|pod| bench.when(pod, |pod| pod.status.phase == PodPhase::Running));
    assert_eq!(runs, [Some(secs(18)), Some(secs(8))], "half a core each, and ten seconds for the first");
}

#[test]
fn one_thread_writes_one_report_after_the_other() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        is_one_thread: true,
        start: crate::engine::Distribution::constant_ms(1_000),
        status_report: crate::engine::Distribution::constant_ms(2_000),
        ..*TimingProfile::instant()
    }));
    let mut bench = Bench::new(ClusterConfig { timing, ..config(2) });
    let pods = ["one", "other"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
    bench.run_for_secs(20);
    let when = |bench: &Bench, is_so: fn(&Pod) -> bool| pods.map(|pod| bench.when(pod, is_so));
    // It hears of both after a second.
    let accepted = when(&bench, |pod| pod.status.start_time.is_some());
    assert_eq!(accepted, [Some(secs(3)), Some(secs(5))]);
    assert_eq!(when(&bench, |pod| pod.status.phase == PodPhase::Running), [Some(secs(7)), Some(secs(9))]);
    pods.iter().for_each(|pod| bench.delete(*pod, None));
    bench.run_for_secs(20);
    // Of each the end of its container and then its own.
    assert_eq!(when(&bench, |pod| pod.status.phase.is_terminal()), [Some(secs(26)), Some(secs(28))]);
    assert_eq!(pods.map(|pod| bench.gone_at(pod)), [Some(secs(28)); 2], "nothing is done during a write");
}

#[test]
fn a_thread_goes_on_whatever_becomes_of_a_write() {
    let thread = |report_ms| -> &'static TimingProfile {
        Box::leak(Box::new(TimingProfile {
            is_one_thread: true,
            status_report: crate::engine::Distribution::constant_ms(report_ms),
            ..*TimingProfile::instant()
        }))
    };
    let runs = |bench: &Bench, pod| bench.when(pod, |pod| pod.status.phase == PodPhase::Running);
    // Writes that take no time keep nobody waiting.
    let mut bench = Bench::new(ClusterConfig { timing: thread(0), ..config(2) });
    let pods = ["one", "other"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
    bench.run_for_secs(1);
    assert_eq!(pods.map(|pod| runs(&bench, pod)), [Some(secs(0)); 2]);
    // The pod is gone while something is written about it: the other one's turn comes.
    let mut bench = Bench::new(ClusterConfig { timing: thread(2_000), ..config(2) });
    let [goes, stays] = ["goes", "stays"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
    bench.run_for_secs(1);
    bench.delete(goes, Some(0));
    bench.run_for_secs(20);
    assert_eq!((runs(&bench, goes), runs(&bench, stays)), (None, Some(secs(6))));
    // A kubelet falls silent while its report is written: nothing of it is to be seen before it is back, and the whole write is to be made then.
    let mut bench = Bench::new(ClusterConfig { timing: thread(2_000), ..config(1) });
    let pod = bench.create("pod", spec(RestartPolicy::Never));
    bench.run_for_secs(1);
    bench.node("node-0", NodeChange::Down);
    bench.run_for_secs(9);
    assert_eq!(bench.when(pod, |pod| pod.status.start_time.is_some()), None);
    bench.node("node-0", NodeChange::Up);
    bench.run_for_secs(10);
    assert_eq!(runs(&bench, pod), Some(secs(12)));
}

#[test]
fn a_container_that_starts_again_is_probed_anew() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        probe_period: Duration::from_secs(5),
        probe: crate::engine::Distribution::constant_ms(1_000),
        ..*TimingProfile::instant()
    }));
    let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
    let pod = bench.create("pod", spec(RestartPolicy::OnFailure));
    bench.act(|cluster, _| cluster.kubelets.hand_over(pod, true));
    bench.run_for_secs(2);
    // It would be found ready by the run at 5. It ends before that, and the next process is there right away: its probe runs at 2, 7, 12.
    bench.act(|cluster, ctx| cluster.kubelets.probed(pod, true, ctx));
    bench.act(|cluster, ctx| cluster.exit(pod, ContainerChoice::First, 1, None, ctx)).unwrap();
    bench.run_for_secs(1);
    bench.act(|cluster, ctx| cluster.kubelets.probed(pod, true, ctx));
    bench.run_for_secs(20);
    let started = bench.last(pod).status.containers[0].restart_count;
    assert_eq!((started, bench.when(pod, Pod::is_ready)), (1, Some(secs(8))));
}

#[test]
fn pods_of_one_machine_go_together() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        cores_milli: 1_000,
        cleanup: crate::engine::Distribution::uniform_ms(1_000, 4_000),
        ..*TimingProfile::instant()
    }));
    let mut bench = Bench::new(ClusterConfig { timing, ..config(2) });
    let pods = ["one", "other"].map(|name| bench.create(name, spec(RestartPolicy::Never)));
    bench.run_for_secs(1);
    pods.iter().for_each(|pod| bench.delete(*pod, None));
    bench.run_for_secs(20);
    let gone = pods.map(|pod| bench.gone_at(pod));
    assert!(gone[0].is_some_and(|at| (secs(2)..=secs(5)).contains(&at)) && gone[0] == gone[1], "{gone:?}");
}

#[test]
fn a_kubelet_that_was_silent_takes_up_starts_and_probes() {
    let timing: &'static TimingProfile = Box::leak(Box::new(TimingProfile {
        cores_milli: 1_000,
        start_slot: crate::engine::Distribution::constant_ms(4_000),
        probe_period: Duration::from_secs(5),
        probe: crate::engine::Distribution::constant_ms(1_000),
        ..*TimingProfile::instant()
    }));
    // Silent while the pod starts; while its probe runs first; while it waits for the next run.
    for (from_s, to_s, runs_at_s, ready_at_s) in
        [(1, 3, 4, 10), (1, 30, 30, 36), (4, 6, 4, 10), (7, 12, 4, 15)]
    {
        let mut bench = Bench::new(ClusterConfig { timing, ..config(1) });
        let pod = bench.create("pod", spec(RestartPolicy::Never));
        bench.act(|cluster, _| cluster.kubelets.hand_over(pod, true));
        let mut turns = [(from_s, NodeChange::Down), (to_s, NodeChange::Up)].into_iter().peekable();
        for second in 0..60 {
            if let Some((_, change)) = turns.next_if(|(at, _)| *at == second) {
                bench.node("node-0", change);
            }
            if second == runs_at_s + 1 {
                bench.act(|cluster, ctx| cluster.kubelets.probed(pod, true, ctx));
            }
            bench.run_for_secs(1);
        }
        let case = format!("silent from {from_s} to {to_s}");
        assert_eq!(
            bench.when(pod, |pod| pod.status.phase == PodPhase::Running),
            Some(secs(runs_at_s)),
            "{case}"
        );
        assert_eq!(bench.when(pod, Pod::is_ready), Some(secs(ready_at_s)), "{case}");
    }
}

#[test]
fn signals_reach_the_first_container() {
    for (signal, on_term, exit_code) in [
        (Signal::Kill, OnTerm::Ignore, Some(137)),
        (Signal::Term, OnTerm::Ignore, None),
        (Signal::Term, OnTerm::Exit { exit_code: 0, after: Duration::from_secs(2) }, Some(0)),
    ] {
        let mut bench = Bench::new(behaving(Behaviour { on_term, ..Behaviour::DEFAULT }));
        let pod = bench.create("pod", spec(RestartPolicy::Never));
        bench.run_for_secs(1);
        bench.act(|cluster, ctx| cluster.signal(pod, signal, ctx)).unwrap();
        bench.run_for_secs(10);
        let ended = match &bench.pod(pod).unwrap().status.containers[0].state {
            ContainerState::Terminated(end) => Some(end.exit_code),
            _ => None,
        };
        assert_eq!(ended, exit_code, "{signal:?} {on_term:?}");
    }
}

#[test]
fn a_user_can_end_containers_with_a_condition() {
    let mut bench = Bench::new(config(1));
    let two = vec![container("a", 0, false), container("b", 0, false)];
    let pod = bench.create("pod", PodSpec { containers: two, ..spec(RestartPolicy::Never) });
    bench.run_for_secs(1);
    let exit = |bench: &mut Bench, choice: ContainerChoice<'_>, condition| {
        bench.act(|cluster, ctx| cluster.exit(pod, choice, 0, condition, ctx))
    };
    let condition = Some(("example.com/Checked".into(), ConditionStatus::True));
    exit(&mut bench, ContainerChoice::Named("b"), condition).unwrap();
    bench.run_for_secs(1);
    assert_eq!(bench.phase(pod), Some(PodPhase::Running), "the other container goes on");
    assert!(!bench.pod(pod).unwrap().is_ready());
    assert!(bench.pod(pod).unwrap().condition("example.com/Checked").is_some());
    let refused = exit(&mut bench, ContainerChoice::Named("b"), None);
    assert_eq!(refused, Err(ActionError::NotRunning));
    let refused = exit(&mut bench, ContainerChoice::Named("c"), None);
    assert_eq!(refused, Err(ActionError::NoSuchContainer("c".to_owned())));
    exit(&mut bench, ContainerChoice::All, None).unwrap();
    bench.run_for_secs(1);
    assert_eq!(bench.phase(pod), Some(PodPhase::Succeeded));
    assert_eq!(exit(&mut bench, ContainerChoice::First, None), Err(ActionError::NotRunning));
}

/// Recorded: 0.7 s for one pod and 8.2 s for 30 on two nodes of kind; published: 2.5 s for four and 119.4 s for 246 on
/// one node, the controller's time included.
#[test]
fn pods_that_start_together_wait_for_their_node() {
    for (timing, nodes, pods, fastest_ms, slowest_ms) in [
        ("kind", 2, 1, 500, 950),
        ("kind", 2, 30, 5_500, 7_500),
        ("gke", 1, 4, 2_000, 3_000),
        ("gke", 1, 246, 115_000, 130_000),
    ] {
        let mut bench = Bench::new(ClusterConfig { pods_max: 250, ..profile(timing, nodes) });
        let template = Arc::new(spec(RestartPolicy::Never));
        let pods: Vec<Uid> =
            (0..pods).map(|number| bench.create_shared(&format!("p{number}"), &template)).collect();
        bench.run_for_secs(600);
        let ready = pods.iter().map(|&pod| bench.when(pod, Pod::is_ready).unwrap().as_micros() / 1_000);
        let last = ready.max().unwrap();
        assert!((fastest_ms..slowest_ms).contains(&last), "{timing}: {} pods took {last} ms", pods.len());
    }
}

#[test]
fn by_hand_nothing_happens_by_itself() {
    let mut bench = Bench::new(ClusterConfig { manual_pods: true, ..config(1) });
    let pod = bench.create("pod", spec(RestartPolicy::Never));
    bench.run_for_secs(100);
    assert_eq!((bench.handled, bench.phase(pod)), (0, Some(PodPhase::Pending)));
    let status = |phase, ready| ManualStatus { phase, exit_code: Some(4), condition: None, ready };
    let set = |bench: &mut Bench, status: ManualStatus| {
        bench.act(|cluster, ctx| cluster.set_phase(pod, &status, ctx)).unwrap();
    };
    set(&mut bench, status(PodPhase::Running, Some(true)));
    assert!(bench.pod(pod).unwrap().is_ready());
    set(&mut bench, status(PodPhase::Failed, None));
    let end = Termination { exit_code: 4, finished_at: Some(secs(100)) };
    let ended = bench.pod(pod).unwrap();
    assert_eq!(ended.status.containers[0].state, ContainerState::Terminated(end));
    assert!(!ended.is_ready());
    bench.delete(pod, None);
    assert_eq!(bench.gone_at(pod), Some(secs(100)));
}
