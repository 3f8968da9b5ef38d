//! The Job controller and everything around it, end to end: caches that lag, processes that die, calls that fail.

use std::time::Duration;

use crate::kit::*;
use towtank_model::cluster::{Behaviour, ClusterConfig, OnTerm, TimingProfile, WorkloadRule};
use towtank_model::engine::Distribution;
use towtank_model::job::{CallKind, Fault, FaultPlan, WatchKind};
use towtank_model::objects::*;
use towtank_model::server::{Actor, ApiError, Change, Fact, JobManifest, PodPatch, Propagation, Verb};
use towtank_model::simulation::{Simulation, SimulationConfig, SimulationError};
use towtank_model::time::Time;

const MILLISECOND: Duration = Duration::from_millis(1);

// ---- caches ----

/// Section 3.3.1 and 3.3.3: a completed index is forgotten by a shrink that the controller sees, and only by that.
#[test]
fn a_completed_index_is_forgotten_only_if_the_shrink_is_seen() {
    for (is_seen, completed) in [(true, ""), (false, "3")] {
        let mut world = manual(36);
        world.create(&indexed(4));
        world.run(3);
        world.report(3, PodPhase::Succeeded);
        world.run(3);
        assert_eq!(world.status().completed_indexes, "3".into());
        if !is_seen {
            world.simulation.hold_cache(WatchKind::Jobs);
        }
        world.scale(3);
        world.run(3);
        world.scale(4);
        world.simulation.release_cache(WatchKind::Jobs);
        world.run(3);
        assert_eq!(&*world.status().completed_indexes, completed, "shrink seen: {is_seen}");
        let pods = world.simulation.server().pods().filter(|pod| pod.index == PodIndex::At(3)).count();
        assert_eq!(pods, if is_seen { 2 } else { 1 });
    }
}

/// Section 3.3.8: up to 1.35 a sync on a stale cache of pods counts a pod again whose finalizer is gone already; from
/// 1.36 on the sync waits until the cache shows the controller's own writes.
#[test]
fn a_stale_pod_cache_brings_an_index_back_before_1_36() {
    for (minor, completed, incarnations) in [(35, "3", 1), (36, "", 2)] {
        let mut world = manual(minor);
        world.create(&indexed(4));
        world.run(3);
        world.report(3, PodPhase::Succeeded);
        world.simulation.run_until(world.simulation.now()).unwrap();
        world.simulation.hold_cache(WatchKind::Pods);
        world.scale(3);
        world.simulation.run_until(world.simulation.now()).unwrap();
        // The sync has taken the finalizer off without counting; the cache of pods does not show that.
        assert!(!world.pod(3).tracked);
        assert_eq!(world.status().succeeded, 0);
        world.scale(4);
        world.run(2);
        world.simulation.release_cache(WatchKind::Pods);
        world.run(20);
        assert_eq!(&*world.status().completed_indexes, completed, "1.{minor}");
        let pods = world.simulation.server().pods().filter(|pod| pod.index == PodIndex::At(3)).count();
        assert_eq!(pods, incarnations, "1.{minor}");
    }
}

/// A spec change that the cache has not shown makes the status write fail, and the whole sync is done again.
#[test]
fn a_status_write_conflicts_with_an_unseen_spec_change() {
    let mut world = manual(36);
    world.create(&indexed(2));
    world.run(3);
    world.simulation.hold_cache(WatchKind::Jobs);
    world.update(&JobManifest { backoff_limit: Some(3), ..JobManifest::default() });
    world.report(0, PodPhase::Succeeded);
    world.simulation.take_trace();
    world.run(5);
    let trace = world.simulation.take_trace();
    let refused = trace.iter().filter_map(|entry| match &entry.fact {
        Fact::Refused(Verb::UpdateStatus, _, ApiError::Conflict { .. }) => Some(entry.at),
        _ => None,
    });
    // After a second for the pod's event, then at the pace of the rate limiter.
    let expected = [4, 5, 7].map(Time::from_secs);
    assert_eq!(refused.collect::<Vec<_>>(), expected);
    assert!(world.pod(0).tracked, "no finalizer goes before the status is written");
    world.simulation.release_cache(WatchKind::Jobs);
    world.run(5);
    assert_eq!(world.status().succeeded, 1);
    assert!(!world.pod(0).tracked);
}

// ---- memory ----

/// Section 1.6.4: expectations are kept by name, so a Job recreated under the same name can wait five minutes.
#[test]
fn a_recreated_job_inherits_expectations_for_five_minutes() {
    let mut world = manual(33);
    world.simulation.hold_cache(WatchKind::Pods);
    world.create(&indexed(2));
    world.run(1);
    assert_eq!(world.simulation.server().pods().count(), 2);
    // The old Job is replaced in one cache update, so no sync finds it missing.
    world.simulation.hold_cache(WatchKind::Jobs);
    world.simulation.delete_job(&key(), Propagation::Background).unwrap();
    world.create(&indexed(2));
    world.simulation.release_cache(WatchKind::Jobs);
    world.simulation.release_cache(WatchKind::Pods);
    let recreated = world.job().uid;
    let owned =
        |world: &World| world.simulation.server().pods().filter(|pod| pod.is_owned_by_job(recreated)).count();
    world.run(280);
    assert_eq!(owned(&world), 0, "the creations of the old Job are still expected");
    world.run(40);
    // Somebody has to wake it: nothing happens by itself.
    world.update(&JobManifest { backoff_limit: Some(7), ..JobManifest::default() });
    world.run(1);
    assert_eq!(owned(&world), 2);
}

/// Section 0.3: what a restart forgets. The failure delay is gone, a rate-limited retry too.
#[test]
fn a_restart_forgets_the_failure_delay_and_nothing_that_is_stored() {
    let mut world = manual(36);
    world.create(&indexed(2));
    world.run(3);
    world.report(0, PodPhase::Failed);
    world.run(2);
    let before = world.status();
    assert_eq!((before.failed, before.active), (1, 1));
    world.simulation.restart_controller();
    let restarted = world.simulation.now();
    world.simulation.run_until(restarted + 99 * MILLISECOND).unwrap();
    assert_eq!(world.status(), before, "the caches are not complete yet");
    world.simulation.run_until(restarted + 100 * MILLISECOND).unwrap();
    assert_eq!((world.status().failed, world.status().active), (1, 2), "replaced at once");
}

/// Expectations that nobody meets block a running controller and not its successor.
#[test]
fn a_restart_forgets_expectations() {
    for restarts in [false, true] {
        let mut world = manual(33);
        world.simulation.hold_cache(WatchKind::Pods);
        world.create(&indexed(1));
        world.run(1);
        // The pod goes before the cache has shown it, so that its creation is never seen.
        let pod = world.pod(0).uid;
        let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
        world.simulation.patch_pod(pod, &patch).unwrap();
        world.simulation.delete_pod(pod, Some(0)).unwrap();
        if restarts {
            world.simulation.restart_controller();
        }
        world.scale(2);
        world.run(5);
        let pods = world.simulation.server().pods().count();
        assert_eq!(pods, if restarts { 2 } else { 0 });
    }
}

#[test]
fn a_stopped_controller_does_nothing_and_catches_up() {
    let mut world = manual(36);
    world.simulation.stop_controller();
    world.create(&indexed(3));
    world.run(60);
    assert_eq!(world.simulation.server().pods().count(), 0);
    assert!(world.simulation.is_quiescent());
    world.simulation.start_controller();
    world.simulation.start_controller();
    world.run(1);
    assert_eq!(world.simulation.server().pods().count(), 3);
}

// ---- calls ----

/// A call that was sent has its effect though its sender died; one that waits for a token has none.
#[test]
fn a_crash_loses_the_calls_that_were_not_sent() {
    let mut world = world(36, |config| {
        config.cluster.manual_pods = true;
        (config.controller.qps, config.controller.burst) = (Some(1), 2);
        config.controller.call_latency = Distribution::Constant(100 * MILLISECOND);
    });
    world.run(1);
    world.create(&indexed(3));
    // The first creation is answered at 1.2 s; the second takes the second token then, the third has to wait.
    world.simulation.run_until(Time::from_millis(1_250)).unwrap();
    assert_eq!(world.simulation.server().pods().count(), 1);
    world.simulation.stop_controller();
    world.run(10);
    assert_eq!(world.simulation.server().pods().count(), 1, "events take tokens too");
    world.simulation.start_controller();
    world.run(20);
    assert_eq!(world.simulation.server().pods().count(), 3);
    assert_eq!(world.status().active, 3);
}

#[test]
fn latencies_delay_effects_and_answers() {
    let mut world = world(36, |config| {
        config.cluster.manual_pods = true;
        config.controller.call_latency = Distribution::Constant(10 * MILLISECOND);
        config.controller.watch_latency = Distribution::Constant(MILLISECOND);
    });
    world.run(1);
    world.create(&indexed(3));
    world.run(1);
    let created: Vec<_> = world
        .simulation
        .take_trace()
        .iter()
        .filter(|entry| matches!(entry.fact, Fact::Changed(Verb::Create, Change::Pod(_))))
        .map(|entry| entry.at)
        .collect();
    // The Job is seen after 1 ms; batches of one and of two, each with its way there and back.
    assert_eq!(created, [1_011, 1_031, 1_031].map(Time::from_millis));
    assert_eq!(world.status().active, 3);
}

/// The rules of thumb of section 2 about faults, one by one.
#[test]
fn injected_faults_do_what_they_say() {
    let with = |kind, fault| {
        world(36, |config| {
            config.cluster.manual_pods = true;
            config.controller.faults = FaultPlan::default().with(kind, 1, fault);
        })
    };
    // Not reached: nothing happens; the retry comes a second later.
    let mut world = with(CallKind::CreatePod, Fault::Unreachable);
    world.create(&indexed(1));
    world.simulation.run_until(Time::from_millis(1_000)).unwrap();
    assert_eq!(world.simulation.server().pods().count(), 0);
    world.simulation.run_until(Time::from_millis(1_100)).unwrap();
    assert_eq!(world.simulation.server().pods().count(), 1);

    // Answer lost: the pod is there; the controller thinks it is not, until it sees it.
    let mut world = with(CallKind::CreatePod, Fault::AnswerLost);
    world.create(&indexed(1));
    world.simulation.run_until(Time::from_millis(500)).unwrap();
    assert_eq!((world.simulation.server().pods().count(), world.status().active), (1, 0));
    world.run(5);
    assert_eq!((world.simulation.server().pods().count(), world.status().active), (1, 1));

    // Conflict: the status is not written and the pods stand.
    let mut world = with(CallKind::UpdateJobStatus, Fault::Conflict);
    world.create(&indexed(2));
    world.simulation.run_until(Time::from_millis(500)).unwrap();
    assert_eq!((world.simulation.server().pods().count(), world.status().active), (2, 0));
    world.run(2);
    assert_eq!((world.simulation.server().pods().count(), world.status().active), (2, 2));

    // Delayed: the sync waits for its answer.
    let mut world = with(CallKind::UpdateJobStatus, Fault::Delay(Duration::from_secs(3)));
    world.create(&indexed(1));
    world.simulation.run_until(Time::from_millis(3_099)).unwrap();
    assert_eq!(world.status().active, 0);
    world.simulation.run_until(Time::from_millis(3_100)).unwrap();
    assert_eq!(world.status().active, 1);
}

// ---- ownership, orphans, time to live ----

/// Section 1.7: a pod whose labels stop matching is released, and adopted again when they match.
#[test]
fn pods_are_released_and_adopted_by_their_labels() {
    let mut world = manual(36);
    world.create(&indexed(1));
    world.run(2);
    let pod = world.pod(0);
    let label: std::sync::Arc<str> = CONTROLLER_UID_LABEL.into();
    let value = pod.labels.get(&label).cloned();
    world.set_label(pod.uid, &label, Some("another".into()));
    world.run(2);
    let released = world.simulation.server().pod(pod.uid).unwrap();
    assert!(released.owner.is_none() && !released.tracked);
    assert_eq!(world.simulation.server().pods().count(), 2, "its index has a new pod");
    world.set_label(pod.uid, &label, value);
    world.run(1);
    let adopted = world.simulation.server().pod(pod.uid);
    assert!(adopted.is_none_or(|pod| pod.is_owned_by_job(world.job().uid)), "adopted, then one too many");
}

/// Sections 1.4 and 7.6: no deletion of a Job leaves a finalizer behind (upstream
/// `TestOrphanPodsFinalizersClearedWithGC`).
#[test]
fn no_way_of_deleting_a_job_leaves_finalizers() {
    for minor in [28, 31, 32, 36] {
        for propagation in [Propagation::Background, Propagation::Foreground, Propagation::Orphan] {
            let mut world = manual(minor);
            world.create(&indexed(3));
            world.run(3);
            world.simulation.delete_job(&key(), propagation).unwrap();
            world.run(60);
            assert!(world.simulation.server().job_by_key(&key()).is_none(), "1.{minor} {propagation:?}");
            assert!(world.simulation.server().pods().all(|pod| !pod.tracked), "1.{minor} {propagation:?}");
        }
    }
}

/// Section 5.11.
#[test]
fn a_finished_job_goes_when_its_time_to_live_is_over() {
    for (ttl, gone_after) in [(0, 0), (30, 30)] {
        let mut world = manual(36);
        world.create(&JobManifest { ttl_seconds_after_finished: Some(ttl), ..indexed(1) });
        world.run(2);
        world.report(0, PodPhase::Succeeded);
        world.simulation.run_until(Time::from_millis(2_999)).unwrap();
        assert!(!world.job().is_finished());
        let limit = Time::from_secs(3 + gone_after);
        world.simulation.run_until(Time::from_micros(limit.as_micros() - 1)).unwrap();
        assert!(world.simulation.server().job_by_key(&key()).is_some());
        world.simulation.take_trace();
        world.run(10);
        assert!(world.simulation.server().job_by_key(&key()).is_none());
        let deletions = world.simulation.take_trace();
        let deletion = deletions.iter().find(|entry| entry.actor == Actor::TtlController).unwrap();
        assert_eq!(deletion.at, limit);
    }
}

#[test]
fn a_time_to_live_can_be_lengthened_in_time() {
    let mut world = manual(36);
    world.create(&JobManifest { ttl_seconds_after_finished: Some(10), ..indexed(1) });
    world.run(2);
    world.report(0, PodPhase::Succeeded);
    world.run(5);
    world.update(&JobManifest { ttl_seconds_after_finished: Some(100), ..JobManifest::default() });
    world.run(20);
    assert!(world.simulation.server().job_by_key(&key()).is_some());
    world.run(100);
    assert!(world.simulation.server().job_by_key(&key()).is_none());
}

// ---- the whole cluster ----

/// A Job with scheduler and kubelets, from its creation to its end.
#[test]
fn a_job_runs_to_its_end_on_a_cluster() {
    for timing in TimingProfile::all() {
        let behaviour = Behaviour { runs_for: Some(Duration::from_secs(5)), ..Behaviour::DEFAULT };
        let mut world = world(36, |config| config.cluster = cluster(timing, behaviour));
        world.create(&indexed(20));
        world.run(600);
        let status = world.status();
        assert!(status.true_condition(JobConditionType::Complete).is_some(), "{}: {status:?}", timing.name);
        assert_eq!((status.succeeded, &*status.completed_indexes), (20, "0-19"), "{}", timing.name);
    }
}

/// The elastic shrink of the downsize story, with pods that need their time to stop.
#[test]
fn a_shrink_on_a_cluster_completes_when_the_last_pod_is_gone() {
    let stop = OnTerm::Exit { exit_code: 0, after: Duration::from_secs(7) };
    let behaviour = Behaviour { on_term: stop, ..Behaviour::DEFAULT };
    let mut world = world(36, |config| config.cluster = cluster(TimingProfile::instant(), behaviour));
    world.create(&indexed(4));
    world.run(3);
    assert_eq!((world.status().active, world.status().ready), (4, Some(4)));
    world.scale(3);
    world.run(1);
    assert_eq!((world.status().active, world.status().terminating), (3, Some(1)));
    world.run(10);
    assert_eq!((world.status().active, world.status().terminating), (3, Some(0)));
    assert_eq!(world.simulation.server().pods().count(), 3);
}

/// Same seed, same bytes; another seed, another run.
#[test]
fn a_run_is_a_function_of_its_seed() {
    let play = |seed: u64| {
        let behaviour = Behaviour { runs_for: Some(Duration::from_secs(20)), ..Behaviour::DEFAULT };
        let mut world = world(36, |config| {
            config.seed = seed;
            config.cluster = cluster(TimingProfile::by_name("kind").unwrap(), behaviour);
            config.controller.watch_latency = Distribution::uniform_ms(1, 30);
            config.controller.call_latency = Distribution::uniform_ms(1, 10);
        });
        world.create(&JobManifest { parallelism: Some(3), ..indexed(9) });
        world.run(30);
        world.update(&JobManifest { parallelism: Some(5), ..JobManifest::default() });
        world.run(300);
        format!("{:?}", world.simulation.take_trace())
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn an_instant_that_does_not_end_is_an_error() {
    let mut config = SimulationConfig::new(features(36), 1);
    config.events_per_instant_max = 2;
    let mut simulation = Simulation::new(config);
    for name in ["a", "b", "c", "d"] {
        simulation.create_job(ObjectKey::new("default", name), &indexed(1)).unwrap();
    }
    let error = simulation.run_until(Time::from_secs(10)).unwrap_err();
    assert!(matches!(error, SimulationError::Livelock { events: 2, .. }), "{error}");
}

fn cluster(timing: &'static TimingProfile, behaviour: Behaviour) -> ClusterConfig {
    let rule = WorkloadRule { job: None, indexes: None, incarnation: None, behaviour };
    ClusterConfig { timing, workload: vec![rule], ..ClusterConfig::default() }
}
