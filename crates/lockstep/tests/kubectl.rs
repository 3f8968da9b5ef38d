//! The columns of `kubectl get`, case by case (upstream `TestPrintPod`, `TestPrintJob` of the table printers).

use std::sync::Arc;
use std::time::Duration;

use towtank_lockstep::kubectl::{self, PrinterFeatures};
use towtank_model::objects::{
    ConditionStatus, Container, ContainerState, ContainerStatus, Deletion, ObjectKey, Pod, PodCondition,
    PodIndex, PodPhase, PodSpec, PodStatus, READY, RestartPolicy, Termination, Uid,
};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::observation::{JobConditionView, JobView};

fn printers(minor: u16) -> PrinterFeatures {
    PrinterFeatures::of(KubernetesVersion::from_minor(minor).expect("a known version"))
}

fn waiting(reason: &str) -> ContainerState {
    ContainerState::Waiting(Arc::from(reason))
}

fn ended(exit_code: i32) -> ContainerState {
    ContainerState::Terminated(Termination { exit_code, finished_at: Some(Time::ZERO) })
}

fn status(name: usize, ready: bool, restart_count: i32, state: ContainerState) -> ContainerStatus {
    ContainerStatus { name: Arc::from(format!("c{name}").as_str()), restart_count, ready, state }
}

/// A pod with these containers; those of `init` come first.
fn pod(phase: PodPhase, init: Vec<ContainerState>, main: Vec<(bool, i32, ContainerState)>) -> Pod {
    let container = |name: usize| Container {
        name: Arc::from(format!("c{name}").as_str()),
        cpu_request_milli: 0,
        is_sidecar: false,
    };
    let is_ready = main.iter().any(|(ready, ..)| *ready);
    let ready = PodCondition {
        kind: Arc::from(READY),
        status: if is_ready { ConditionStatus::True } else { ConditionStatus::False },
        reason: Arc::from(""),
        last_transition_time: Time::ZERO,
    };
    Pod {
        key: ObjectKey::new("default", "work-0-aaaaa"),
        uid: Uid(0),
        resource_version: 1,
        labels: Arc::default(),
        owner: None,
        index: PodIndex::At(0),
        index_failure_count: None,
        index_ignored_failure_count: None,
        tracked: true,
        foreign_finalizers: Arc::from([]),
        creation_time: Time::ZERO,
        deletion: None,
        spec: Arc::new(PodSpec {
            restart_policy: RestartPolicy::Never,
            containers: (0..main.len()).map(container).collect(),
            init_containers: (0..init.len()).map(|it| container(it + main.len())).collect(),
            ..PodSpec::default()
        }),
        node: None,
        status: PodStatus {
            phase,
            conditions: vec![ready],
            init_containers: (main.len()..)
                .zip(init)
                .map(|(it, state)| status(it, false, 1, state))
                .collect(),
            containers: (0..)
                .zip(main)
                .map(|(it, (ready, restarts, state))| status(it, ready, restarts, state))
                .collect(),
            ..PodStatus::default()
        },
    }
}

fn columns(pod: &Pod, minor: u16) -> (String, String, i32) {
    let columns = kubectl::pod_columns(pod, printers(minor));
    (columns.ready, columns.status, columns.restarts)
}

#[test]
fn status_ready_and_restarts() {
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let run = ContainerState::Running;
    for (case, pod, expected) in [
        ("not bound", pod(Pending, vec![], vec![(false, 0, waiting(""))]), ("0/1", "Pending", 0)),
        (
            "pulling",
            pod(Pending, vec![], vec![(false, 0, waiting("ContainerCreating"))]),
            ("0/1", "ContainerCreating", 0),
        ),
        ("running", pod(Running, vec![], vec![(true, 2, run.clone())]), ("1/1", "Running", 2)),
        ("not yet ready", pod(Running, vec![], vec![(false, 0, run.clone())]), ("0/1", "Running", 0)),
        (
            "restarting",
            pod(Running, vec![], vec![(false, 3, waiting("CrashLoopBackOff"))]),
            ("0/1", "CrashLoopBackOff", 3),
        ),
        ("ended well", pod(Succeeded, vec![], vec![(false, 0, ended(0))]), ("0/1", "Completed", 0)),
        ("ended badly", pod(Failed, vec![], vec![(false, 0, ended(137))]), ("0/1", "Error", 0)),
        (
            "one of two runs",
            pod(Running, vec![], vec![(false, 0, ended(0)), (true, 0, run.clone())]),
            ("1/2", "Running", 0),
        ),
        (
            "initializing",
            pod(Pending, vec![run.clone(), waiting("")], vec![(false, 0, waiting("PodInitializing"))]),
            ("0/1", "Init:0/2", 1),
        ),
        (
            "half initialized",
            pod(Pending, vec![ended(0), run.clone()], vec![(false, 0, waiting("PodInitializing"))]),
            ("0/1", "Init:1/2", 2),
        ),
        (
            "init failed",
            pod(Pending, vec![ended(1)], vec![(false, 0, waiting("PodInitializing"))]),
            ("0/1", "Init:Error", 1),
        ),
        (
            "initialized",
            pod(Pending, vec![ended(0)], vec![(false, 0, waiting("PodInitializing"))]),
            ("0/1", "PodInitializing", 0),
        ),
        (
            "init restarts are forgotten",
            pod(Running, vec![ended(0)], vec![(true, 0, run)]),
            ("1/1", "Running", 0),
        ),
    ] {
        let (ready, status, restarts) = columns(&pod, 36);
        assert_eq!((&*ready, &*status, restarts), expected, "{case}");
    }
}

#[test]
fn a_deleted_pod_shows_terminating_unless_it_has_ended_since_1_31() {
    let deleted = |mut pod: Pod| {
        pod.deletion = Some(Deletion { timestamp: Time::ZERO, grace_period_s: 30 });
        pod
    };
    let running = deleted(pod(PodPhase::Running, vec![], vec![(true, 0, ContainerState::Running)]));
    let completed = deleted(pod(PodPhase::Succeeded, vec![], vec![(false, 0, ended(0))]));
    for minor in [28, 30, 31, 37] {
        assert_eq!(columns(&running, minor).1, "Terminating", "1.{minor}");
    }
    assert_eq!(columns(&completed, 30).1, "Terminating");
    assert_eq!(columns(&completed, 31).1, "Completed");
}

#[test]
fn of_several_containers_the_failed_one_shows_since_1_35() {
    let pod = pod(PodPhase::Failed, vec![], vec![(false, 0, ended(0)), (false, 0, ended(1))]);
    assert_eq!(columns(&pod, 34).1, "Completed");
    assert_eq!(columns(&pod, 35).1, "Error");
}

#[test]
fn the_job_columns() {
    let job = |conditions: &[&str], deleting| JobView {
        deleting,
        conditions: conditions
            .iter()
            .map(|kind| JobConditionView {
                kind: (*kind).to_owned(),
                status: "True".to_owned(),
                ..JobConditionView::default()
            })
            .collect(),
        ..JobView::default()
    };
    for (conditions, deleting, minor, expected) in [
        (&[][..], false, 29, None),
        (&[], false, 30, Some("Running")),
        (&[], true, 36, Some("Terminating")),
        (&["Suspended"], false, 36, Some("Suspended")),
        (&["FailureTarget", "Failed"], true, 36, Some("Failed")),
        (&["FailureTarget"], false, 36, Some("FailureTarget")),
        (&["SuccessCriteriaMet"], false, 33, Some("Running")),
        (&["SuccessCriteriaMet"], false, 34, Some("SuccessCriteriaMet")),
        (&["SuccessCriteriaMet", "Complete"], false, 34, Some("Complete")),
    ] {
        let status = kubectl::job_status(&job(conditions, deleting), printers(minor));
        assert_eq!(status, expected, "{conditions:?} in 1.{minor}");
    }
    for (completions, parallelism, expected) in [(Some(4), 2, "1/4"), (None, 5, "1/1 of 5"), (None, 1, "1/1")]
    {
        let job = JobView { completions, parallelism, succeeded: 1, ..JobView::default() };
        assert_eq!(kubectl::job_completions(&job), expected);
    }
}

#[test]
fn lengths_of_time_are_short() {
    for (secs, expected) in [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (312, "5m12s"),
        (3_540, "59m"),
        (10_800, "3h"),
        (11_100, "3h5m"),
        (86_400, "24h"),
        (187_200, "2d4h"),
        (864_000, "10d"),
    ] {
        assert_eq!(kubectl::human_duration(Duration::from_secs(secs)), expected, "{secs}");
    }
}
