//! Against the rules about a Job's status and the counting of pods.

use towtank_model::objects::{
    CompletionMode, ConditionStatus, JobConditionType, PodPhase, Uid, UncountedPods,
};
use towtank_model::server::{Actor, JobManifest, Verb};
use towtank_model::time::Time;

use super::{Tampering, against, condition, end, end_counted, pass};

fn failed(pods: &[Uid]) -> Option<UncountedPods> {
    Some(UncountedPods { succeeded: Vec::new(), failed: pods.to_vec() })
}

pub(super) fn all() -> Vec<Tampering> {
    let mut all = status();
    all.extend(counting());
    all
}

fn status() -> Vec<Tampering> {
    vec![
        against("resource versions rise", |tape| {
            tape.write_pod(0, Actor::Kubelet, Verb::UpdateStatus, |pod| pod.resource_version = 1);
        }),
        against("generation counts changes of the spec and the deletion", |tape| tape.edit(|_| {})),
        against("counters are never negative", |tape| {
            tape.set_status(|status| status.terminating = Some(-1))
        }),
        against("ready pods are active pods", |tape| tape.set_status(|status| status.ready = Some(4))),
        against("active, ready and terminating tell how many pods there are", |tape| {
            tape.report(|status| status.active = 2);
        }),
        against("index sets are ascending, in range and only in Indexed Jobs", |tape| {
            tape.set_status(|status| (status.completed_indexes, status.succeeded) = ("0,7".into(), 1));
        }),
        against("completed and failed indexes do not overlap", |tape| {
            tape.set_status(|status| {
                (status.completed_indexes, status.succeeded) = ("0".into(), 1);
                status.failed_indexes = Some("0".into());
            });
        })
        .job(|job| job.backoff_limit_per_index = Some(1)),
        against("no pod is uncounted twice", |tape| {
            tape.set_status(|status| status.uncounted = failed(&[Uid(99), Uid(99)]));
        }),
        against("a type of condition is there once", |tape| {
            let mut resumed = condition(JobConditionType::Suspended, "JobResumed");
            resumed.status = ConditionStatus::False;
            tape.set_status(|status| status.conditions = vec![resumed.clone(), resumed]);
        }),
        against("startTime changes only with suspension", |tape| {
            tape.set_status(|status| status.start_time = Some(Time::from_secs(1)));
        }),
        against("completionTime exists exactly in Complete Jobs and never changes", |tape| {
            tape.set_status(|status| status.completion_time = Some(Time::from_secs(2)));
        }),
        against("one sync writes the status at most twice", |tape| {
            for _ in 0..3 {
                tape.report(|_| {});
            }
        }),
    ]
}

fn counting() -> Vec<Tampering> {
    vec![
        against("failed rises by the pods that leave uncountedTerminatedPods", |tape| {
            tape.set_status(|status| status.failed = 1);
        }),
        against(
            "succeeded of a NonIndexed Job rises by the pods that leave uncountedTerminatedPods",
            |tape| {
                tape.set_status(|status| status.succeeded = 1);
            },
        )
        .job(|job| job.completion_mode = Some(CompletionMode::NonIndexed)),
        against("succeeded of an Indexed Job is the size of completedIndexes", |tape| {
            tape.set_status(|status| status.succeeded = 1);
        }),
        against("no index in range is forgotten", |tape| {
            tape.set_status(|status| (status.completed_indexes, status.succeeded) = ("".into(), 0));
        })
        .after(|simulation| end_counted(simulation, 0, PodPhase::Succeeded)),
        against(
            "an index completes through a pod that succeeded, and fails through one that failed",
            |tape| {
                tape.report(|status| (status.completed_indexes, status.succeeded) = ("0".into(), 1));
            },
        ),
        against("a pod is counted for what it is", |tape| {
            tape.set_status(|status| status.uncounted = failed(&[Uid(0)]));
        }),
        against("a pod is counted once", |tape| {
            tape.set_status(|status| status.uncounted = failed(&[Uid(0)]));
        })
        .after(|simulation| end_counted(simulation, 0, PodPhase::Failed)),
        against("a pod that is not wanted is not counted as failed", |tape| {
            tape.set_status(|status| status.uncounted = failed(&[Uid(2)]));
        })
        .after(|simulation| {
            let two = JobManifest { completions: Some(2), parallelism: Some(2), ..JobManifest::default() };
            simulation.update_job(&super::key(), &two).unwrap();
            pass(simulation, 2);
        }),
        against("a finalizer goes when the end of its pod is recorded", |tape| {
            tape.write_pod(0, Actor::JobController, Verb::Update, |pod| pod.tracked = false);
        })
        .after(|simulation| end(simulation, 0, PodPhase::Failed)),
    ]
}
