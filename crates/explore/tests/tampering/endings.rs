//! Against the rules about the end of a Job, and about the state in which a run comes to rest.

use towtank_model::objects::{JobCondition, JobConditionType, PodPhase};
use towtank_model::server::JobManifest;

use super::{Tampering, Tape, against, condition, end_counted, key, pass, template};

/// The Job is decided, as its deadline of one second says; `conditions` tell it.
fn exceed_deadline(tape: &mut Tape, conditions: Vec<JobCondition>, active: i32, terminating: i32) {
    tape.edit(|job| job.spec.active_deadline_seconds = Some(1));
    tape.set_status(|status| {
        status.conditions = conditions;
        (status.active, status.ready, status.terminating) = (active, Some(0), Some(terminating));
    });
}

fn failure(kind: JobConditionType) -> JobCondition {
    condition(kind, "DeadlineExceeded")
}

pub(super) fn all() -> Vec<Tampering> {
    let mut all = verdicts();
    all.extend(rest());
    all
}

fn verdicts() -> Vec<Tampering> {
    vec![
        against("decisions stand", |tape| tape.set_status(|status| status.conditions.clear()))
            .job(|job| (job.backoff_limit, job.template) = (Some(0), Some(template(&["example.com/hold"]))))
            .after(|simulation| end_counted(simulation, 0, PodPhase::Failed)),
        against("a Job does not both succeed and fail", |tape| {
            let met = condition(JobConditionType::SuccessCriteriaMet, "CompletionsReached");
            tape.set_status(|status| status.conditions.push(met));
        })
        .job(|job| (job.backoff_limit, job.template) = (Some(0), Some(template(&["example.com/hold"]))))
        .after(|simulation| {
            end_counted(simulation, 0, PodPhase::Failed);
            let none = JobManifest { completions: Some(0), parallelism: Some(0), ..JobManifest::default() };
            simulation.update_job(&key(), &none).unwrap();
            pass(simulation, 2);
        }),
        against("the interim decision comes before the final one", |tape| {
            exceed_deadline(tape, vec![failure(JobConditionType::Failed)], 0, 0);
        }),
        against("success needs enough completions", |tape| {
            let met = condition(JobConditionType::SuccessCriteriaMet, "CompletionsReached");
            tape.set_status(|status| status.conditions.push(met));
        }),
        against("failure has the reason that it names", |tape| {
            let target = condition(JobConditionType::FailureTarget, "BackoffLimitExceeded");
            tape.set_status(|status| status.conditions.push(target));
        }),
        against("a finished Job has no pods and nothing uncounted", |tape| {
            let both = [JobConditionType::FailureTarget, JobConditionType::Failed].map(failure);
            exceed_deadline(tape, both.to_vec(), 3, 0);
        }),
        against("a finished Job waits for terminating pods", |tape| {
            let both = [JobConditionType::FailureTarget, JobConditionType::Failed].map(failure);
            exceed_deadline(tape, both.to_vec(), 0, 1);
        }),
        against("the status of a finished Job is final", |tape| {
            tape.set_status(|status| status.terminating = None);
        })
        .after(|simulation| {
            for index in 0..3 {
                end_counted(simulation, index, PodPhase::Succeeded);
            }
        }),
    ]
}

fn rest() -> Vec<Tampering> {
    vec![
        against("at rest every ended pod is counted and no finalizer is left behind", |tape| {
            tape.remove_job();
            tape.rest();
        }),
        against("at rest as many pods are active as are wanted", |tape| {
            tape.make_room();
            tape.rest();
        })
        .job(|job| job.parallelism = Some(2)),
        against("at rest a suspended Job has no active pods", |tape| {
            tape.edit(|job| job.spec.suspend = true);
            let suspended = condition(JobConditionType::Suspended, "JobSuspended");
            tape.set_status(|status| status.conditions.push(suspended));
            tape.rest();
        }),
        against("at rest the condition Suspended tells whether the Job is suspended", |tape| {
            tape.set_status(|status| status.conditions.clear());
            tape.rest();
        })
        .job(|job| job.suspend = Some(true)),
        against("at rest a Job with enough successes is Complete", |tape| {
            tape.set_status(|status| (status.completed_indexes, status.succeeded) = ("0-2".into(), 3));
            tape.rest();
        })
        .job(|job| job.suspend = Some(true)),
    ]
}
