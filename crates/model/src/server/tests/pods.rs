//! Writes to pods.

use super::*;
use crate::admission::FieldError;
use crate::objects::{
    COMPLETION_INDEX, ConditionStatus, ContainerState, ContainerStatus, DISRUPTION_TARGET, Deletion, Labels,
    OwnerReference, POD_SCHEDULED, PodIndex, PodPhase, PodSpec, TRACKING_FINALIZER, Termination,
};

const NODE: NodeId = NodeId(0);

fn patch(change: impl FnOnce(&mut PodPatch)) -> PodPatch {
    let mut patch = PodPatch::default();
    change(&mut patch);
    patch
}

fn set_phase(server: &mut Server, uid: Uid, phase: PodPhase) {
    server.update_pod_status(Time::ZERO, Actor::Kubelet, uid, |status| status.phase = phase).unwrap();
}

fn untrack(server: &mut Server, uid: Uid) {
    let patch = patch(|patch| patch.remove_tracking_finalizer = true);
    server.patch_pod(Time::ZERO, Actor::JobController, uid, &patch).unwrap();
}

#[test]
fn pods_of_a_job_share_what_they_can() {
    let mut server = server(36);
    let job = server.create_job(Time::ZERO, Actor::User, key("a"), &elastic(&["example.com/hold"])).unwrap();
    let mut random = RandomStreams::new(1);
    let draft = PodDraft { index: Some(2), index_failure_count: Some(1), index_ignored_failure_count: None };
    let now = Time::from_millis(7_999);
    let mut create =
        |draft| server.create_job_pod(now, Actor::JobController, &job, draft, &mut random).unwrap();
    let (first, second) = (create(draft), create(DRAFT));
    assert!(first.key.name.starts_with("a-2-") && first.key.name.len() == 9, "{}", first.key.name);
    assert!(
        Arc::ptr_eq(&first.labels, &second.labels) && Arc::ptr_eq(&first.labels, &job.spec.template.labels)
    );
    assert!(Arc::ptr_eq(&first.spec, &second.spec));
    assert!(Arc::ptr_eq(&first.key.namespace, &job.key.namespace));
    assert_eq!(first.owner, Some(OwnerReference { is_job: true, name: "a".into(), uid: job.uid }));
    assert_eq!((first.index, first.index_failure_count), (PodIndex::At(2), Some(1)));
    assert_eq!((first.tracked, first.foreign_finalizers.concat()), (true, "example.com/hold".to_owned()));
    assert_eq!((first.creation_time, first.status.phase), (Time::from_secs(7), PodPhase::Pending));
}

/// A Job name of 63 characters cannot have an index, but a NonIndexed Job may have one: its pods' names are cut.
#[test]
fn pod_names_never_exceed_63_characters() {
    let mut server = server(36);
    let manifest = JobManifest { completion_mode: None, ..elastic(&[]) };
    let job = server.create_job(Time::ZERO, Actor::User, key(&"a".repeat(63)), &manifest).unwrap();
    for index in [None, Some(0), Some(99_999)] {
        let draft = PodDraft { index, ..DRAFT };
        let mut random = RandomStreams::new(1);
        let pod = server.create_job_pod(Time::ZERO, Actor::JobController, &job, draft, &mut random).unwrap();
        assert_eq!(pod.key.name.len(), 63, "{}", pod.key.name);
        let tail = index.map_or(String::new(), |index| format!("-{index}-"));
        assert!(pod.key.name[..58].ends_with(&tail), "{}", pod.key.name);
    }
}

/// The names that a seed gives are taken one by one; 1.31 and later try eight times.
#[test]
fn generated_names_that_are_taken() {
    for (minor, tries) in [(30, 1), (31, 8)] {
        let mut server = server(minor);
        let job = created(&mut server, "a");
        for _ in 0..tries {
            let mut random = RandomStreams::new(5);
            server.create_job_pod(Time::ZERO, Actor::JobController, &job, DRAFT, &mut random).unwrap();
        }
        let mut random = RandomStreams::new(5);
        let refused = server.create_job_pod(Time::ZERO, Actor::JobController, &job, DRAFT, &mut random);
        assert!(matches!(refused, Err(ApiError::AlreadyExists { kind: "pods", .. })), "1.{minor}");
        assert_eq!(server.pods().count(), tries, "1.{minor}");
    }
}

#[test]
fn bare_pods_carry_what_their_user_wrote() {
    let mut server = server(36);
    let manifest = PodManifest {
        labels: [("app".into(), "x".into())].into(),
        annotations: [(COMPLETION_INDEX.into(), "4".into())].into(),
        finalizers: vec![TRACKING_FINALIZER.into(), "example.com/hold".into()],
        spec: pod_spec(),
    };
    let pod = server.create_pod(Time::ZERO, Actor::User, key("bare"), &manifest).unwrap();
    assert_eq!((pod.index, pod.tracked, pod.foreign_finalizers.len()), (PodIndex::At(4), true, 1));
    let again = server.create_pod(Time::ZERO, Actor::User, key("bare"), &manifest);
    assert_eq!(again, Err(ApiError::AlreadyExists { kind: "pods", key: key("bare") }));
    for (name, text, index) in [
        ("negative", "-1", PodIndex::Invalid),
        ("no-number", "x", PodIndex::Invalid),
        ("zero", "0", PodIndex::At(0)),
    ] {
        let annotations = [(COMPLETION_INDEX.into(), text.into())].into();
        let manifest = PodManifest { annotations, ..manifest.clone() };
        let pod = server.create_pod(Time::ZERO, Actor::User, key(name), &manifest).unwrap();
        assert_eq!(pod.index, index, "{name}");
    }
}

/// Section 7.1: (bound, phase, finalizer, request) and what is left: a grace period, or nothing.
#[test]
fn graceful_deletion() {
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let gone: Option<u32> = None;
    for (bound, phase, finalizer, asked, left) in [
        (true, Running, true, None, Some(30)),
        (true, Running, false, None, Some(30)),
        (true, Running, false, Some(5), Some(5)),
        (true, Running, false, Some(60), Some(60)),
        (true, Running, false, Some(0), gone),
        (true, Running, true, Some(0), Some(0)),
        (true, Pending, false, None, Some(30)),
        (true, Succeeded, false, None, gone),
        (true, Succeeded, true, Some(9), Some(0)),
        (true, Failed, true, None, Some(0)),
        (false, Pending, false, None, gone),
        (false, Pending, false, Some(9), gone),
        (false, Pending, true, Some(9), Some(0)),
    ] {
        let case = format!("bound {bound} {phase:?} finalizer {finalizer} asked {asked:?}");
        let mut server = server(36);
        let job = created(&mut server, "a");
        let uid = pod_of(&mut server, &job, Time::ZERO).uid;
        if bound {
            server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
        }
        set_phase(&mut server, uid, phase);
        if !finalizer {
            untrack(&mut server, uid);
        }
        changes(&mut server);
        server.delete_pod(Time::from_millis(10_600), Actor::User, uid, asked).unwrap();
        let deletion = server.pod(uid).and_then(|pod| pod.deletion);
        let expected = left.map(|grace_period_s| Deletion {
            timestamp: Time::from_secs(10 + u64::from(grace_period_s)),
            grace_period_s,
        });
        assert_eq!(deletion, expected, "{case}");
        let seen: &[&str] = if left.is_some() { &["~pod"] } else { &["~pod", "-pod"] };
        assert_eq!(changes(&mut server), seen, "{case}");
    }
}

/// `rest.BeforeDelete` on a pod that is being deleted; 1.33 keeps the deletion time out of the past.
#[test]
fn a_second_deletion_can_only_shorten() {
    for (minor, now, asked, expected) in [
        (36, 20, None, Some((40, 30))),
        (36, 20, Some(30), Some((40, 30))),
        (36, 20, Some(31), Some((40, 30))),
        (36, 12, Some(5), Some((15, 5))),
        (36, 20, Some(5), Some((20, 1))),
        (32, 20, Some(5), Some((15, 5))),
        (36, 20, Some(0), None),
        (32, 20, Some(0), None),
    ] {
        let case = format!("1.{minor} at {now}: {asked:?}");
        let mut server = server(minor);
        let job = created(&mut server, "a");
        let uid = pod_of(&mut server, &job, Time::ZERO).uid;
        untrack(&mut server, uid);
        server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
        server.delete_pod(Time::from_secs(10), Actor::User, uid, None).unwrap();
        server.delete_pod(Time::from_secs(now), Actor::User, uid, asked).unwrap();
        let deletion = server.pod(uid).and_then(|pod| pod.deletion);
        let found =
            deletion.map(|deletion| (deletion.timestamp.as_micros() / 1_000_000, deletion.grace_period_s));
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn the_last_finalizer_lets_a_pod_go_only_when_its_grace_period_is_0() {
    let mut server = server(36);
    let job = server.create_job(Time::ZERO, Actor::User, key("a"), &elastic(&["example.com/hold"])).unwrap();
    let uid = pod_of(&mut server, &job, Time::ZERO).uid;
    server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
    server.delete_pod(Time::ZERO, Actor::User, uid, None).unwrap();
    untrack(&mut server, uid);
    let hold = patch(|patch| patch.remove_finalizer = Some("example.com/hold".into()));
    server.delete_pod(Time::ZERO, Actor::Kubelet, uid, Some(0)).unwrap();
    changes(&mut server);
    server.delete_pod(Time::ZERO, Actor::Kubelet, uid, Some(0)).unwrap();
    assert_eq!(changes(&mut server), [""; 0], "deleting again is no news");
    let last = server.patch_pod(Time::ZERO, Actor::User, uid, &hold).unwrap();
    assert_eq!(
        (changes(&mut server), server.pod(uid), last.has_finalizers()),
        (vec!["-pod".to_owned()], None, false)
    );
    assert!(matches!(server.patch_pod(Time::ZERO, Actor::User, uid, &hold), Err(ApiError::NotFound { .. })));

    let uid = pod_of(&mut server, &job, Time::ZERO).uid;
    server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
    server.delete_pod(Time::ZERO, Actor::User, uid, None).unwrap();
    untrack(&mut server, uid);
    server.patch_pod(Time::ZERO, Actor::User, uid, &hold).unwrap();
    assert!(server.pod(uid).is_some(), "the kubelet has not let go");
}

#[test]
fn eviction_sets_the_condition_and_deletes() {
    for minor in 28..=37 {
        let mut server = server(minor);
        let job = created(&mut server, "a");
        let uid = pod_of(&mut server, &job, Time::ZERO).uid;
        server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
        changes(&mut server);
        server.evict_pod(Time::from_millis(3_500), Actor::User, uid).unwrap();
        let pod = server.pod(uid).unwrap();
        let condition = pod.condition(DISRUPTION_TARGET).unwrap();
        assert_eq!((condition.status, &*condition.reason), (ConditionStatus::True, "EvictionByEvictionAPI"));
        assert_eq!(condition.last_transition_time, Time::from_secs(3));
        assert_eq!(pod.deletion.map(|deletion| deletion.grace_period_s), Some(30));
        assert_eq!(changes(&mut server), ["~pod", "~pod"], "1.{minor}");
        server.evict_pod(Time::from_secs(9), Actor::User, uid).unwrap();
        assert_eq!(changes(&mut server), [""; 0], "nothing new");
    }
}

/// Pods that have ended get the condition too, and go at once.
#[test]
fn eviction_of_a_pod_that_has_ended() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let uid = pod_of(&mut server, &job, Time::ZERO).uid;
    server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
    set_phase(&mut server, uid, PodPhase::Succeeded);
    untrack(&mut server, uid);
    changes(&mut server);
    server.evict_pod(Time::ZERO, Actor::User, uid).unwrap();
    assert_eq!(
        (changes(&mut server), server.pod(uid)),
        (["~pod", "~pod", "-pod"].map(String::from).to_vec(), None)
    );
}

#[test]
fn status_updates() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let pod = pod_of(&mut server, &job, Time::ZERO);
    changes(&mut server);
    let update = |server: &mut Server, change: fn(&mut crate::objects::PodStatus)| {
        server.update_pod_status(Time::ZERO, Actor::Kubelet, pod.uid, change).unwrap()
    };
    assert!(Arc::ptr_eq(&update(&mut server, |_| {}), &pod));
    let ended = update(&mut server, |status| {
        status.phase = PodPhase::Failed;
        status.start_time = Some(Time::from_millis(1_500));
        let finished_at = Some(Time::from_millis(2_500));
        status.containers.push(ContainerStatus {
            name: "main".into(),
            restart_count: 0,
            ready: false,
            state: ContainerState::Terminated(Termination { exit_code: 1, finished_at }),
        });
    });
    assert_eq!(ended.status.start_time, Some(Time::from_secs(1)));
    let finished_at = Some(Time::from_secs(2));
    let terminated = ContainerState::Terminated(Termination { exit_code: 1, finished_at });
    assert_eq!(ended.status.containers[0].state, terminated);
    let stays = update(&mut server, |status| {
        status.phase = PodPhase::Succeeded;
        status.reason = "Evicted".into();
    });
    let (phase, reason) = (stays.status.phase, &*stays.status.reason);
    assert_eq!(
        (phase, reason),
        (PodPhase::Succeeded, "Evicted"),
        "kubelets leave no terminal phase, the API would"
    );
    let again = server.update_pod_status(Time::ZERO, Actor::Kubelet, pod.uid, |status| {
        status.containers[0].state = ContainerState::Running;
    });
    let detail = "may not be transitioned to non-terminated state";
    let errors = vec![FieldError::forbidden("status.containerStatuses[0].state", detail)];
    assert_eq!(again, Err(ApiError::Invalid { key: pod.key.clone(), errors }));
    assert_eq!(changes(&mut server), ["~pod", "~pod"]);
}

/// Upstream `TestApplySchedulingGatedCondition`. Up to 1.30 the condition had no time.
#[test]
fn gates_show_in_a_new_pods_status() {
    for (minor, since) in [(30, Time::ZERO), (31, Time::from_secs(3))] {
        let spec =
            PodSpec { scheduling_gates: vec!["example.com/wait".into()], ..PodSpec::clone(&pod_spec()) };
        let manifest = PodManifest {
            labels: Labels::new(),
            annotations: Labels::new(),
            finalizers: Vec::new(),
            spec: Arc::new(spec),
        };
        let key = ObjectKey::new("default", "p");
        let pod = server(minor).create_pod(Time::from_secs(3), Actor::User, key, &manifest).unwrap();
        let held = pod.condition(POD_SCHEDULED).unwrap();
        assert_eq!((held.status, &*held.reason), (ConditionStatus::False, "SchedulingGated"));
        assert_eq!(held.last_transition_time, since, "1.{minor}");
    }
}

#[test]
fn binding() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let uid = pod_of(&mut server, &job, Time::ZERO).uid;
    server.bind_pod(Time::from_millis(1_500), Actor::Scheduler, uid, NODE).unwrap();
    let pod = server.pod(uid).unwrap();
    let scheduled = pod.condition(POD_SCHEDULED).unwrap();
    assert_eq!((pod.node, scheduled.last_transition_time), (Some(NODE), Time::from_secs(1)));
    let conflict = ApiError::Conflict { kind: "pods", key: pod.key.clone() };
    assert_eq!(server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NodeId(1)), Err(conflict));

    let deleting = pod_of(&mut server, &job, Time::ZERO).uid;
    server.delete_pod(Time::ZERO, Actor::User, deleting, None).unwrap();
    assert!(matches!(
        server.bind_pod(Time::ZERO, Actor::Scheduler, deleting, NODE),
        Err(ApiError::Conflict { .. })
    ));

    let gated = PodSpec { scheduling_gates: vec!["gate".into()], ..PodSpec::clone(&pod_spec()) };
    let manifest = PodManifest {
        labels: Labels::new(),
        annotations: Labels::new(),
        finalizers: vec![],
        spec: Arc::new(gated),
    };
    let gated = server.create_pod(Time::ZERO, Actor::User, key("gated"), &manifest).unwrap().uid;
    assert!(matches!(
        server.bind_pod(Time::ZERO, Actor::Scheduler, gated, NODE),
        Err(ApiError::Conflict { .. })
    ));
}

#[test]
fn adoption_and_release() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let owner = |uid| OwnerReference { is_job: true, name: "a".into(), uid };
    let adopt = |uid| patch(|patch| patch.adopt = Some(owner(uid)));
    let uid = pod_of(&mut server, &job, Time::ZERO).uid;
    let apply = |server: &mut Server, patch: &PodPatch| {
        server.patch_pod(Time::ZERO, Actor::JobController, uid, patch)
    };
    let refused = apply(&mut server, &adopt(Uid(9))).unwrap_err();
    assert!(
        matches!(refused, ApiError::Invalid { errors, .. } if errors[0].field == "metadata.ownerReferences")
    );

    let released = apply(&mut server, &patch(|patch| patch.release = true)).unwrap();
    assert_eq!((&released.owner, released.tracked), (&None, false));
    let adopted = apply(&mut server, &adopt(Uid(9))).unwrap();
    assert_eq!((&adopted.owner, adopted.tracked), (&Some(owner(Uid(9))), true));
    let same = apply(&mut server, &adopt(Uid(9))).unwrap();
    assert!(Arc::ptr_eq(&same, &adopted));
    let orphaned = apply(&mut server, &patch(|patch| patch.orphan = true)).unwrap();
    assert_eq!((&orphaned.owner, orphaned.tracked), (&None, true));

    server.bind_pod(Time::ZERO, Actor::Scheduler, uid, NODE).unwrap();
    untrack(&mut server, uid);
    server.delete_pod(Time::ZERO, Actor::User, uid, None).unwrap();
    let refused = apply(&mut server, &adopt(job.uid)).unwrap_err();
    assert!(matches!(refused, ApiError::Invalid { errors, .. } if errors[0].field == "metadata.finalizers"));
}

#[test]
fn edited_labels_are_a_pods_own() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let (first, second) = (pod_of(&mut server, &job, Time::ZERO), pod_of(&mut server, &job, Time::ZERO));
    let edit = |label: &str, value: Option<&str>| {
        patch(|patch| patch.labels = vec![(label.into(), value.map(Into::into))])
    };
    let edited = server.patch_pod(Time::ZERO, Actor::User, first.uid, &edit("job-name", None)).unwrap();
    assert!(!edited.labels.contains_key("job-name") && second.labels.contains_key("job-name"));
    let same = server.patch_pod(Time::ZERO, Actor::User, first.uid, &edit("no-such", None)).unwrap();
    assert!(Arc::ptr_eq(&same, &edited));
    let added = server.patch_pod(Time::ZERO, Actor::User, first.uid, &edit("a", Some("b"))).unwrap();
    assert_eq!(added.labels.get("a").map(|value| &**value), Some("b"));
}
