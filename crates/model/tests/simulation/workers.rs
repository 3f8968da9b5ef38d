//! Workers, their clients and their limits; the orphan worker; whatever is left to chance.

use std::time::Duration;

use crate::kit::*;
use towtank_model::engine::Distribution;
use towtank_model::job::{CallKind, Fault, FaultPlan, WatchKind};
use towtank_model::objects::*;
use towtank_model::server::{Change, Fact, JobManifest, PodManifest, Verb};
use towtank_model::time::Time;

/// When pods were created, in milliseconds.
fn creations(world: &mut World) -> Vec<u64> {
    let trace = world.simulation.take_trace();
    let created =
        trace.iter().filter(|entry| matches!(entry.fact, Fact::Changed(Verb::Create, Change::Pod(_))));
    created.map(|entry| entry.at.as_micros() / 1_000).collect()
}

/// Upstream default of five: as many Jobs make progress at once as there are workers.
#[test]
fn each_worker_syncs_one_job_at_a_time() {
    for (workers, expected) in
        [(1, vec![1_100, 5_100, 9_100]), (2, vec![1_100, 1_100, 5_100]), (5, vec![1_100; 3])]
    {
        let mut world = world(36, |config| {
            config.cluster.manual_pods = true;
            config.controller.workers = workers;
            config.controller.call_latency = Distribution::Constant(Duration::from_secs(1));
        });
        for name in ["a", "b", "c"] {
            world.simulation.create_job(ObjectKey::new("default", name), &indexed(1)).unwrap();
        }
        world.run(30);
        // A creation and a status write, each two seconds there and back.
        assert_eq!(creations(&mut world), expected, "{workers} workers");
    }
}

/// One key is never with two workers: a change during a sync is synced after it.
#[test]
fn a_change_during_a_sync_waits_for_its_end() {
    let mut world = world(35, |config| {
        config.cluster.manual_pods = true;
        config.controller.call_latency = Distribution::Constant(Duration::from_secs(1));
    });
    world.create(&indexed(1));
    world.simulation.run_until(Time::from_millis(500)).unwrap();
    world.scale(2);
    world.run(1);
    world.run(10);
    // The status write of the first sync conflicts at 3.1 s with the new spec, of which the answer tells at 4.1 s; the
    // key is dirty and comes again at once.
    assert_eq!(creations(&mut world), [1_100, 5_100]);
    assert_eq!(world.status().active, 2);
}

/// Section 6.7: 20 requests per second after a burst of 30; Events cost requests too.
#[test]
fn the_client_is_limited_to_its_rate() {
    let mut world = world(36, |config| {
        config.cluster.manual_pods = true;
        config.controller.qps = Some(20);
    });
    world.run(1);
    world.create(&indexed(100));
    world.run(30);
    let created = creations(&mut world);
    assert_eq!(created.len(), 100);
    let within_burst = created.iter().take_while(|at| **at == 1_000).count();
    assert!(
        (15..=30).contains(&within_burst),
        "{within_burst} at once, the rest of the burst goes to Events"
    );
    let last = created.last().copied().unwrap_or(0);
    // 100 creations, at most 25 Events before the spam filter holds the others back.
    assert!((4_450..=5_800).contains(&last), "the last creation is at {last} ms");
    assert!(created.windows(2).skip(within_burst).all(|pair| pair[1] - pair[0] >= 50), "{created:?}");
}

/// Adoption asks the server first whether the Job still stands; when it cannot know, the sync fails and comes again.
#[test]
fn no_pod_is_adopted_without_a_live_look_at_the_job() {
    let mut world = world(36, |config| {
        config.cluster.manual_pods = true;
        config.controller.faults = FaultPlan::default().with(CallKind::GetJob, 1, Fault::Unreachable);
    });
    let selector = Labels::from([("app".into(), "mine".into())]);
    let manifest = indexed(2);
    let pod = PodManifest {
        labels: selector.clone(),
        annotations: Labels::from([(COMPLETION_INDEX.into(), "1".into())]),
        finalizers: Vec::new(),
        spec: std::sync::Arc::clone(&manifest.template.as_ref().unwrap().spec),
    };
    world.simulation.create_pod(ObjectKey::new("default", "stray"), &pod).unwrap();
    // The pod is known before the Job is there, so that it wakes nobody.
    world.simulation.run_until(Time::ZERO).unwrap();
    let mut template = PodTemplate::clone(manifest.template.as_ref().unwrap());
    template.labels = std::sync::Arc::new(selector.clone());
    world.create(&JobManifest {
        manual_selector: Some(true),
        selector: Some(selector),
        template: Some(std::sync::Arc::new(template)),
        ..manifest
    });
    world.simulation.run_until(Time::from_millis(1_099)).unwrap();
    assert_eq!(world.simulation.server().pods().filter(|pod| pod.owner.is_some()).count(), 0);
    world.simulation.run_until(Time::from_millis(1_100)).unwrap();
    let stray = world.simulation.server().pod_by_key(&ObjectKey::new("default", "stray")).unwrap();
    assert!(stray.is_owned_by_job(world.job().uid) && stray.tracked);
    assert_eq!(world.simulation.server().pods().count(), 2, "only index 0 was missing");
}

/// Upstream `TestWatchOrphanPods`: a pod that is being deleted and belongs to nobody loses the finalizer.
#[test]
fn an_orphan_with_the_finalizer_loses_it() {
    for minor in [28, 36] {
        let mut world = manual(minor);
        let pod = PodManifest {
            labels: Labels::new(),
            annotations: Labels::new(),
            finalizers: vec![TRACKING_FINALIZER.into()],
            spec: std::sync::Arc::clone(&indexed(1).template.unwrap().spec),
        };
        let key = ObjectKey::new("default", "orphan");
        let uid = world.simulation.create_pod(key.clone(), &pod).unwrap().uid;
        world.simulation.delete_pod(uid, None).unwrap();
        assert!(world.simulation.server().pod(uid).is_some(), "the finalizer holds it");
        world.run(1);
        assert!(world.simulation.server().pod_by_key(&key).is_none(), "1.{minor}");
    }
}

/// A failing patch of a single orphan is tried again at the pace of the limiter.
#[test]
fn the_orphan_worker_tries_again() {
    let mut world = world(36, |config| {
        config.cluster.manual_pods = true;
        let plan = FaultPlan::default().with(CallKind::PatchPod, 1, Fault::Unreachable);
        config.controller.faults = plan.with(CallKind::PatchPod, 2, Fault::Unreachable);
    });
    let pod = PodManifest {
        labels: Labels::new(),
        annotations: Labels::new(),
        finalizers: vec![TRACKING_FINALIZER.into()],
        spec: std::sync::Arc::clone(&indexed(1).template.unwrap().spec),
    };
    let uid = world.simulation.create_pod(ObjectKey::new("default", "orphan"), &pod).unwrap().uid;
    world.simulation.run_until(Time::from_millis(3_099)).unwrap();
    assert!(world.simulation.server().pod(uid).unwrap().tracked);
    world.simulation.run_until(Time::from_millis(3_100)).unwrap();
    assert!(!world.simulation.server().pod(uid).unwrap().tracked);
}

/// Section 1.5.1: while the cache does not show the controller's own status write, syncs of 1.36 end at the gate; those
/// of 1.35 run into a conflict. Both come again at the pace of the limiter.
#[test]
fn from_1_36_on_a_sync_waits_for_its_own_writes() {
    for (minor, conflicts) in [(35, 4), (36, 0)] {
        let mut world = manual(minor);
        world.create(&indexed(1));
        world.run(3);
        world.simulation.hold_cache(WatchKind::Jobs);
        let pod = world.pod(0).uid;
        world.simulation.update_pod_status(pod, ready).unwrap();
        world.run(1);
        assert_eq!(world.status().ready, Some(1));
        let before = world.simulation.controller().syncs();
        world.simulation.take_trace();
        world.set_label(pod, &"note".into(), Some("changed".into()));
        world.run(8);
        // A second after the pod's event, then after 1, 2 and 4 s.
        assert_eq!(world.simulation.controller().syncs() - before, 4, "1.{minor}");
        let trace = world.simulation.take_trace();
        let refused =
            trace.iter().filter(|entry| matches!(entry.fact, Fact::Refused(Verb::UpdateStatus, ..)));
        assert_eq!(refused.count(), conflicts, "1.{minor}");
    }
}

/// Where the original's order is that of a hash map, the choice is the seed's.
#[test]
fn interchangeable_victims_are_chosen_by_the_seed() {
    let survivors = |seed: u64| {
        let mut world = world(36, |config| {
            config.seed = seed;
            config.cluster.manual_pods = true;
            config.controller.has_random_map_order = true;
        });
        world.create(&JobManifest { completion_mode: Some(CompletionMode::NonIndexed), ..indexed(8) });
        world.run(3);
        world.update(&JobManifest { parallelism: Some(4), ..JobManifest::default() });
        world.run(3);
        let uids: Vec<_> = world.simulation.server().pods().map(|pod| pod.uid.0).collect();
        assert_eq!(uids.len(), 4);
        uids
    };
    assert_eq!(survivors(1), survivors(1));
    let choices: std::collections::BTreeSet<_> = (0..20).map(survivors).collect();
    assert!(choices.len() > 10, "{choices:?}");
}

fn ready(status: &mut PodStatus) {
    status.conditions.push(PodCondition {
        kind: READY.into(),
        status: ConditionStatus::True,
        reason: "".into(),
        last_transition_time: Time::ZERO,
    });
}
