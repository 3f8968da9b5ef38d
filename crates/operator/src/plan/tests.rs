//! The planner from tables: the rows of A.2, A.8 and A.11 that are the operator's, and what must hold whatever happens.

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use proptest::prelude::*;
use serde_json::{Value, json};
use towtank_api::condition::{DEGRADED, PROGRESSING, READY, SCALING_LIMITED};

use super::*;

/// A MiniCluster as it is first seen.
fn observed(spec: Value) -> Observed {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"image": "flux"}]);
    }
    let cluster = json!({
        "metadata": {"name": "sample", "namespace": "default", "uid": "cluster-1", "generation": 1, "resourceVersion": "7"},
        "spec": spec,
    });
    let cluster: MiniCluster = serde_json::from_value(cluster).unwrap();
    Observed {
        services: objects::services(&cluster)
            .iter()
            .map(|service| (service.name_any(), Found::Absent))
            .collect(),
        cluster: Arc::new(cluster),
        now: Timestamp::from_second(1_000).unwrap(),
        config_map: Found::Absent,
        secret: Found::Absent,
        services_pod: Found::Absent,
        job: Found::Absent,
        pods: Vec::new(),
    }
}

/// What is seen after a plan was carried out, some time later.
fn after(observed: &Observed, plan: &Plan) -> Observed {
    let mut next = observed.clone();
    next.now = Timestamp::from_second(next.now.as_second() + 10).unwrap();
    for write in plan.writes.clone() {
        match write {
            Write::CreateConfigMap(object) | Write::ApplyConfigMap(object) => {
                next.config_map = Found::Own(Arc::new(*object))
            }
            Write::CreateSecret(_) => next.secret = Found::Own(Arc::new(())),
            Write::CreateService(object) | Write::ApplyService(object) => {
                next.services.insert(object.name_any(), Found::Own(Arc::new(*object)));
            }
            Write::CreatePod(_) => next.services_pod = Found::Own(Arc::new(())),
            Write::CreateJob(mut job) => {
                assert_eq!(next.job, Found::Absent, "a second Job");
                job.metadata.uid = Some("job-1".to_owned());
                next.job = Found::Own(Arc::new(*job));
            }
            Write::Resize { uid, to, from, .. } => {
                let mut job = next.job.own().expect("a Job to resize").clone();
                assert_eq!((job.uid(), size_of(&job)), (Some(uid), from));
                let spec = job.spec.as_mut().unwrap();
                (spec.completions, spec.parallelism) = (Some(to), Some(to));
                next.job = Found::Own(Arc::new(job));
            }
            Write::Status(status) => set(&mut next, |cluster| cluster.status = Some(*status)),
            Write::Delete => set(&mut next, |cluster| {
                cluster.metadata.deletion_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(observed.now));
            }),
        }
    }
    next
}

fn set(observed: &mut Observed, change: impl FnOnce(&mut MiniCluster)) {
    let mut cluster = MiniCluster::clone(&observed.cluster);
    change(&mut cluster);
    observed.cluster = Arc::new(cluster);
}

fn settled(spec: Value) -> Observed {
    let observed = observed(spec);
    after(&observed, &plan(&observed))
}

/// The user asks for another size.
fn ask(observed: &mut Observed, size: i32) {
    set(observed, |cluster| {
        cluster.spec.size = size;
        cluster.metadata.generation = cluster.metadata.generation.map(|generation| generation + 1);
    });
}

/// The Job's status, and as many pods as it has size, of which this many are online.
fn play(observed: &mut Observed, online: i32, status: JobStatus) {
    let mut job = observed.job.own().unwrap().clone();
    job.status = Some(status);
    let size = size_of(&job);
    observed.job = Found::Own(Arc::new(job));
    observed.pods = (0..size)
        .map(|index| PodBrief {
            job: "job-1".to_owned(),
            index,
            phase: "Running".to_owned(),
            is_online: index < online,
            is_leaving: false,
        })
        .collect();
}

fn status(observed: &Observed) -> &MiniClusterStatus {
    observed.cluster.status.as_ref().unwrap()
}

fn says(observed: &Observed, type_: &str) -> (bool, String) {
    let condition = status(observed).condition(type_).unwrap();
    (condition.is_true(), condition.reason.clone())
}

fn yes(reason: &str) -> (bool, String) {
    (true, reason.to_owned())
}

fn no(reason: &str) -> (bool, String) {
    (false, reason.to_owned())
}

fn finished(type_: &str) -> JobStatus {
    let condition = JobCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        message: Some("why".to_owned()),
        ..JobCondition::default()
    };
    JobStatus { conditions: Some(vec![condition]), ..JobStatus::default() }
}

fn touches_objects(plan: &Plan) -> bool {
    plan.writes.iter().any(|write| !matches!(write, Write::Status(_)))
}

#[test]
fn a_new_minicluster_gets_its_objects_in_order() {
    let plan = plan(&observed(json!({"size": 4})));
    let kinds: Vec<_> = plan
        .writes
        .iter()
        .map(|write| match write {
            Write::CreateConfigMap(_) => "ConfigMap",
            Write::CreateSecret(None) => "Secret",
            Write::CreateService(_) => "Service",
            Write::CreateJob(_) => "Job",
            Write::Status(_) => "status",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["ConfigMap", "Secret", "Service", "Job", "status"]);
    assert_eq!(plan.notes.len(), 1);
}

/// The size is what the Job was told, from the start (A.11.3).
#[test]
fn the_status_tells_the_truth() {
    let mut seen = settled(json!({"size": 4, "maxSize": 8}));
    assert_eq!((status(&seen).size, status(&seen).maximum_size, status(&seen).online), (4, 8, 0));
    assert_eq!(status(&seen).selector, "hpa-selector=sample");
    assert_eq!(says(&seen, READY), no("BrokersMissing"));
    assert_eq!(says(&seen, PROGRESSING), yes("Starting"));

    play(&mut seen, 3, JobStatus { ready: Some(3), ..JobStatus::default() });
    let seen = after(&seen, &plan(&seen));
    assert_eq!((status(&seen).ready, status(&seen).online), (3, 3));
    assert_eq!(says(&seen, READY), no("BrokersMissing"));
    assert_eq!(says(&seen, PROGRESSING), yes("Starting"));

    let mut seen = seen;
    play(&mut seen, 4, JobStatus { ready: Some(4), ..JobStatus::default() });
    let planned = plan(&seen);
    assert_eq!(planned.notes.len(), 1, "{:?}", planned.notes);
    let seen = after(&seen, &planned);
    assert_eq!(says(&seen, READY), yes("AllOnline"));
    assert_eq!(says(&seen, PROGRESSING), no("AsWanted"));
    assert_eq!(plan(&seen), Plan::default());
}

/// A broker that was retired on purpose is not waited for.
#[test]
fn a_completed_index_is_not_missing() {
    let mut seen = settled(json!({"size": 4}));
    play(&mut seen, 4, JobStatus { completed_indexes: Some("2".to_owned()), ..JobStatus::default() });
    seen.pods.remove(2);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(says(&seen, READY), yes("AllOnline"));
    assert_eq!((status(&seen).online, status(&seen).completed_indexes.as_str()), (3, "2"));
}

/// A Job tells of completed indexes above its size until its controller has looked.
#[test]
fn a_completed_index_above_the_size_is_no_broker_less() {
    let mut seen = settled(json!({"size": 4}));
    let status = JobStatus { completed_indexes: Some("3".to_owned()), ..JobStatus::default() };
    play(&mut seen, 1, status);
    ask(&mut seen, 2);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(says(&seen, READY), no("BrokersMissing"));
}

/// What the API server refuses leaves the rest true.
#[test]
fn a_refusal_is_told_beside_what_else_is_so() {
    let refused = |size: i32, seen: &mut Observed| {
        ask(seen, size);
        let planned = plan_refused(seen, "no");
        assert!(!touches_objects(&planned));
        after(seen, &planned)
    };
    let mut seen = settled(json!({"size": 2, "maxSize": 4}));
    let small = refused(3, &mut seen);
    assert_eq!((says(&small, READY), says(&small, PROGRESSING)), (no("WriteRefused"), no("WriteRefused")));
    assert_eq!(says(&small, DEGRADED), yes("WriteRefused"));
    let large = refused(9, &mut settled(json!({"size": 2})));
    assert_eq!(
        (says(&large, DEGRADED), says(&large, SCALING_LIMITED)),
        (yes("WriteRefused"), yes("MaximumExceeded"))
    );

    // A ConfigMap that is there has fixed the maximum; before it nothing is.
    let mut seen = observed(json!({"size": 2}));
    assert_eq!(status(&after(&seen, &plan_refused(&seen, "no"))).maximum_size, 0);
    let mut first = plan(&seen);
    first.writes.truncate(1);
    seen = after(&seen, &first);
    assert_eq!(status(&after(&seen, &plan_refused(&seen, "no"))).maximum_size, 2);
}

/// The table of A.8: what is asked of a cluster of three that was created with four, and what becomes of it.
#[test]
fn sizes() {
    // minSize, maxSize, asked; the Job's size after it, and the condition that is true.
    let table = [
        (None, None, 3, 3, None),
        (None, None, 2, 2, None),
        (None, None, 4, 4, None),
        // The original grows to the maximum.
        (None, None, 5, 3, Some((SCALING_LIMITED, "MaximumExceeded"))),
        (None, Some(6), 6, 6, None),
        (None, Some(6), 7, 3, Some((DEGRADED, "InvalidSpec"))),
        (Some(2), None, 1, 3, Some((DEGRADED, "InvalidSpec"))),
        (None, None, 0, 3, Some((DEGRADED, "InvalidSpec"))),
        (None, None, -1, 3, Some((DEGRADED, "InvalidSpec"))),
    ];
    for (min, max, asked, size, condition) in table {
        let mut spec = json!({"size": 4});
        if let Some(min) = min {
            spec["minSize"] = json!(min);
        }
        if let Some(max) = max {
            spec["maxSize"] = json!(max);
        }
        let mut seen = settled(spec);
        ask(&mut seen, 3);
        let mut seen = after(&seen, &plan(&seen));
        ask(&mut seen, asked);
        let planned = plan(&seen);
        let refused = condition.is_some();
        assert!(!refused || !touches_objects(&planned), "asked for {asked}: {planned:?}");
        let seen = after(&seen, &planned);
        let case = format!("min {min:?}, max {max:?}, asked for {asked}");
        assert_eq!(size_of(seen.job.own().unwrap()), size, "{case}");
        assert_eq!(status(&seen).size, size, "{case}");
        assert_eq!(seen.cluster.spec.size, asked, "the spec is the user's: {case}");
        assert_eq!(status(&seen).observed_generation, Some(3), "{case}");
        for type_ in [DEGRADED, SCALING_LIMITED] {
            let expected = condition.filter(|(of, _)| *of == type_).map(|(_, reason)| reason);
            let (is_true, reason) = says(&seen, type_);
            assert_eq!(is_true.then_some(reason.as_str()), expected, "{case}");
        }
        assert_eq!(
            planned.notes.iter().filter(|note| note.is_warning).count(),
            usize::from(refused),
            "{case}"
        );
        assert_eq!(plan(&seen), Plan::default(), "{case}");
    }
}

#[test]
fn an_over_ask_says_what_would_be_right_once() {
    let mut seen = settled(json!({"size": 4}));
    ask(&mut seen, 5);
    let planned = plan(&seen);
    let message = "spec.size: 5: must be no more than 4, the maximum since the MiniCluster was created";
    let note = Note { is_warning: true, reason: "MaximumExceeded".to_owned(), message: message.to_owned() };
    assert_eq!(planned.notes, [note]);
    let mut seen = after(&seen, &planned);
    assert_eq!(plan(&seen).notes, []);
    // Another wish, another answer; and an end of it.
    ask(&mut seen, 6);
    assert_eq!(plan(&seen).notes.len(), 1);
    ask(&mut seen, 4);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(says(&seen, SCALING_LIMITED), no("WithinLimits"));
}

/// maximumSize is what brokers were told, whatever becomes of the status or of maxSize.
#[test]
fn the_maximum_is_that_of_the_creation() {
    let mut seen = settled(json!({"size": 4}));
    ask(&mut seen, 2);
    let mut seen = after(&seen, &plan(&seen));
    set(&mut seen, |cluster| {
        cluster.status = None;
        cluster.spec.size = 5;
        cluster.spec.max_size = Some(10);
    });
    let planned = plan(&seen);
    assert!(!touches_objects(&planned), "{planned:?}");
    assert_eq!(status(&after(&seen, &planned)).maximum_size, 4);
}

/// A crash after the first write, and another size before there is a Job: what was fixed is what there can be.
#[test]
fn an_over_ask_before_there_is_a_job_leaves_the_first_size() {
    let mut seen = observed(json!({"size": 2}));
    let mut first = plan(&seen);
    first.writes.truncate(1);
    seen = after(&seen, &first);
    ask(&mut seen, 5);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(seen.job.own().map(size_of), Some(2));
    assert_eq!(says(&seen, SCALING_LIMITED), yes("MaximumExceeded"));
}

/// The ConfigMap follows the size (A.11.12), so that a lead which starts again does not wait for brokers that nobody wants.
#[test]
fn the_quorum_follows_the_size() {
    let quorum = |seen: &Observed| {
        let data = seen.config_map.own().unwrap().data.as_ref().unwrap();
        data["broker.options"].lines().last().unwrap().to_owned()
    };
    let mut seen = settled(json!({"size": 4}));
    assert_eq!(quorum(&seen), "-Sbroker.quorum=4");
    ask(&mut seen, 2);
    let planned = plan(&seen);
    assert!(matches!(planned.writes[0], Write::ApplyConfigMap(_)), "before the pods go: {planned:?}");
    let mut seen = after(&seen, &planned);
    assert_eq!(quorum(&seen), "-Sbroker.quorum=2");
    // The command asks for what it asked for.
    ask(&mut seen, 4);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(quorum(&seen), "-Sbroker.quorum=4");
}

/// What others have is left alone, and said (A.11.5: two MiniClusters with one headless service among it).
#[test]
fn names_of_others_are_left_alone() {
    type Take = fn(&mut Observed);
    let takes: [(&str, Take); 5] = [
        ("ConfigMap `sample-entrypoint`", |seen| seen.config_map = Found::Foreign),
        ("Secret `sample-curve`", |seen| seen.secret = Found::Foreign),
        ("Service `sample`", |seen| drop(seen.services.insert("sample".to_owned(), Found::Foreign))),
        ("Pod `sample-services`", |seen| seen.services_pod = Found::Foreign),
        ("Job `sample`", |seen| seen.job = Found::Foreign),
    ];
    for (name, take) in takes {
        let mut seen = observed(json!({"size": 4, "services": [{"name": "db", "image": "db"}]}));
        take(&mut seen);
        let planned = plan(&seen);
        assert!(!touches_objects(&planned), "{planned:?}");
        assert_eq!(planned.requeue, Some(TAKEN_RETRY));
        assert!(planned.notes[0].message.starts_with(name), "{:?}", planned.notes);
        let seen = after(&seen, &planned);
        assert_eq!(says(&seen, DEGRADED), yes("NameTaken"));
        assert_eq!(says(&seen, READY), no("NameTaken"));
    }
}

#[test]
fn a_former_minicluster_of_the_name_is_waited_for() {
    let mut seen = observed(json!({"size": 4}));
    seen.job = Found::Former;
    let planned = plan(&seen);
    assert!(!touches_objects(&planned) && planned.notes.is_empty(), "{planned:?}");
    let seen = after(&seen, &planned);
    assert_eq!(says(&seen, DEGRADED), no("AsWanted"));
    assert_eq!(says(&seen, PROGRESSING), yes("WaitingForDeletion"));
}

#[test]
fn a_finished_job_keeps_its_size() {
    for (type_, ready, degraded) in
        [("Complete", no("Completed"), no("AsWanted")), ("Failed", no("Failed"), yes("JobFailed"))]
    {
        let mut seen = settled(json!({"size": 4}));
        play(&mut seen, 0, finished(type_));
        let mut seen = after(&seen, &plan(&seen));
        assert_eq!((says(&seen, READY), says(&seen, DEGRADED)), (ready, degraded));
        ask(&mut seen, 2);
        let planned = plan(&seen);
        assert!(!planned.writes.iter().any(|write| matches!(write, Write::Resize { .. })));
        assert_eq!(says(&after(&seen, &planned), SCALING_LIMITED), yes("JobFinished"));
    }
}

/// What it ends with is decided, though its pods are still there.
#[test]
fn a_job_that_is_about_to_finish_keeps_its_size() {
    for type_ in ["SuccessCriteriaMet", "FailureTarget"] {
        let mut seen = settled(json!({"size": 4}));
        play(&mut seen, 4, finished(type_));
        ask(&mut seen, 2);
        let planned = plan(&seen);
        assert!(!planned.writes.iter().any(|write| matches!(write, Write::Resize { .. })), "{type_}");
        assert_eq!(says(&after(&seen, &planned), SCALING_LIMITED), yes("JobFinished"));
    }
}

/// Nobody waits for pods that are not to come.
#[test]
fn a_suspended_job_is_not_starting() {
    let mut seen = settled(json!({"size": 4}));
    let mut job = seen.job.own().unwrap().clone();
    job.spec.as_mut().unwrap().suspend = Some(true);
    seen.job = Found::Own(Arc::new(job));
    let seen = after(&seen, &plan(&seen));
    assert_eq!((says(&seen, READY), says(&seen, PROGRESSING)), (no("Suspended"), no("Suspended")));
}

/// `cleanup` looks at the Job's own lead, not at whatever pod has a name like it (A.10).
#[test]
fn cleanup_waits_for_the_lead() {
    let mut seen = settled(json!({"size": 2, "cleanup": true}));
    play(&mut seen, 2, JobStatus::default());
    assert!(!plan(&seen).writes.contains(&Write::Delete));
    seen.pods[1].phase = "Succeeded".to_owned();
    assert!(!plan(&seen).writes.contains(&Write::Delete));
    seen.pods.push(PodBrief {
        index: 0,
        phase: "Succeeded".to_owned(),
        job: "another".to_owned(),
        ..PodBrief::default()
    });
    assert!(!plan(&seen).writes.contains(&Write::Delete));
    seen.pods[0].phase = "Succeeded".to_owned();
    assert_eq!(plan(&seen).writes, [Write::Delete]);
    let seen = after(&seen, &plan(&seen));
    assert_eq!(plan(&seen), Plan::default());
}

#[test]
fn a_given_certificate_is_taken() {
    let planned = plan(&observed(json!({"size": 1, "flux": {"curveCert": "mine"}})));
    assert!(planned.writes.contains(&Write::CreateSecret(Some("mine".to_owned()))));
}

/// Brokers of pods that leave are not online any more, and those outside the size do not count.
#[test]
fn what_leaves_is_not_counted() {
    let mut seen = settled(json!({"size": 4}));
    play(&mut seen, 4, JobStatus::default());
    ask(&mut seen, 2);
    let mut seen = after(&seen, &plan(&seen));
    assert_eq!((status(&seen).online, says(&seen, PROGRESSING)), (2, yes("Shrinking")));
    let next = after(&seen, &plan(&seen));
    assert_eq!(says(&next, PROGRESSING), yes("Shrinking"), "pods are still there");
    seen.pods.truncate(2);
    seen.pods[1].is_leaving = true;
    let seen = after(&seen, &plan(&seen));
    assert_eq!((status(&seen).online, says(&seen, READY)), (1, no("BrokersMissing")));
}

/// What may happen between two reconciles.
#[derive(Clone, Debug)]
enum Happening {
    Ask(i32),
    Play(i32, Option<&'static str>),
    ForgetStatus,
    LoseConfigMap,
    LoseService,
    Take,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (-1..8).prop_map(Happening::Ask),
        4 => (0..6, prop_oneof![6 => Just(None), 1 => Just(Some("Complete")), 1 => Just(Some("Failed"))])
            .prop_map(|(online, end)| Happening::Play(online, end)),
        1 => Just(Happening::ForgetStatus),
        1 => Just(Happening::LoseConfigMap),
        1 => Just(Happening::LoseService),
        1 => Just(Happening::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Carrying a plan out leaves nothing to do; the Job keeps its uid and its template for ever; no pod more than brokers
    /// were told of is ever asked for.
    #[test]
    fn a_plan_settles_and_keeps_the_job(
        size in 1..5,
        max in prop_oneof![Just(None), (5..7).prop_map(Some)],
        story in prop::collection::vec(happening(), 0..12),
    ) {
        let mut spec = json!({"size": size});
        if let Some(max) = max {
            spec["maxSize"] = json!(max);
        }
        let first = settled(spec);
        let template = first.job.own().unwrap().spec.clone().unwrap().template;
        let mut seen = first;
        for happening in story {
            match happening {
                Happening::Ask(size) => ask(&mut seen, size),
                Happening::Play(online, end) => play(&mut seen, online, end.map_or_else(JobStatus::default, finished)),
                Happening::ForgetStatus => set(&mut seen, |cluster| cluster.status = None),
                Happening::LoseConfigMap => seen.config_map = Found::Absent,
                Happening::LoseService => drop(seen.services.insert("sample".to_owned(), Found::Absent)),
                Happening::Take => seen.secret = Found::Foreign,
            }
            let planned = plan(&seen);
            seen = after(&seen, &planned);
            if seen.secret == Found::Foreign {
                seen.secret = Found::Own(Arc::new(()));
                seen = after(&seen, &plan(&seen));
            }
            prop_assert_eq!(plan(&seen), Plan::default());
            let job = seen.job.own().unwrap();
            let spec = job.spec.clone().unwrap();
            prop_assert_eq!(job.uid(), Some("job-1".to_owned()));
            prop_assert_eq!(&spec.template, &template);
            prop_assert_eq!(spec.completions, spec.parallelism);
            prop_assert!(size_of(job) >= 1 && size_of(job) <= max.unwrap_or(size));
            prop_assert_eq!(status(&seen).size, size_of(job));
            prop_assert!(status(&seen).online <= status(&seen).size);
        }
    }
}
