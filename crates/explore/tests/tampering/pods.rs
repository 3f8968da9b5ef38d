//! Against the rules about the pods of a Job.

use towtank_model::objects::{JobConditionType, PodPhase, PodReplacementPolicy};
use towtank_model::server::{Actor, JobManifest, Verb};
use towtank_model::simulation::Simulation;

use super::{Tampering, against, condition, end, end_counted, pass};

fn two_at_a_time(job: &mut JobManifest) {
    job.parallelism = Some(2);
}

fn one_at_a_time(job: &mut JobManifest) {
    job.parallelism = Some(1);
}

fn delete_second_pod(simulation: &mut Simulation) {
    let pod = simulation.server().pods().nth(1).map(|pod| pod.uid);
    simulation.delete_pod(pod.unwrap(), None).unwrap();
    pass(simulation, 2);
}

pub(super) fn all() -> Vec<Tampering> {
    let mut all = creation();
    all.extend(fate());
    all
}

fn creation() -> Vec<Tampering> {
    vec![
        against("a decided Job gets no pods", |tape| {
            tape.make_room();
            tape.edit(|job| job.spec.active_deadline_seconds = Some(1));
            let target = condition(JobConditionType::FailureTarget, "DeadlineExceeded");
            tape.set_status(|status| status.conditions.push(target));
            tape.create_pod(2);
        })
        .job(two_at_a_time),
        against("a suspended Job gets no pods", |tape| {
            tape.make_room();
            tape.edit(|job| job.spec.suspend = true);
            tape.create_pod(2);
        })
        .job(two_at_a_time),
        against("a Job that is being deleted gets no pods", |tape| {
            tape.make_room();
            let now = tape.now;
            tape.edit(|job| job.deletion_time = Some(now));
            tape.create_pod(2);
        })
        .job(two_at_a_time),
        against("a completed index in range never gets a new pod", |tape| {
            tape.make_room();
            tape.create_pod(0);
        })
        .job(one_at_a_time)
        .after(|simulation| end_counted(simulation, 0, PodPhase::Succeeded)),
        against("a failed index in range never gets a new pod", |tape| {
            tape.make_room();
            tape.create_pod(0);
        })
        .job(|job| (job.parallelism, job.backoff_limit_per_index) = (Some(1), Some(0)))
        .after(|simulation| end_counted(simulation, 0, PodPhase::Failed)),
        against("new pods of an Indexed Job have an index in range, and only they have one", |tape| {
            tape.make_room();
            tape.create_pod(7);
        })
        .job(two_at_a_time),
        against("a new pod never doubles an active index", |tape| {
            tape.make_room();
            tape.create_pod(1);
        })
        .job(two_at_a_time),
        against("a pod that must have ended first is not replaced before", |tape| {
            tape.make_room();
            tape.create_pod(1);
        })
        .job(|job| {
            job.parallelism = Some(2);
            job.pod_replacement_policy = Some(PodReplacementPolicy::Failed);
        })
        .after(delete_second_pod),
        against("a new pod never makes more pods than are wanted", |tape| tape.create_pod(2))
            .job(two_at_a_time),
        against("indexes are created in ascending order", |tape| {
            tape.make_room();
            tape.make_room();
            tape.create_pod(2);
            tape.create_pod(1);
        })
        .job(one_at_a_time),
        against("one sync does not both delete and create", |tape| {
            tape.make_room();
            tape.delete_pod(0);
            tape.create_pod(2);
        })
        .job(two_at_a_time),
        against("failures delay new pods", |tape| tape.create_pod(0))
            .after(|simulation| end_counted(simulation, 0, PodPhase::Failed)),
    ]
}

fn fate() -> Vec<Tampering> {
    vec![
        against("an elastic shrink removes exactly the pods out of range", |tape| {
            tape.write_pod(0, Actor::JobController, Verb::Update, |pod| pod.tracked = false);
            tape.delete_pod(0);
        }),
        against("a pod that has ended stays ended", |tape| {
            tape.write_pod(0, Actor::Kubelet, Verb::UpdateStatus, |pod| pod.status.phase = PodPhase::Running);
        })
        .after(|simulation| end(simulation, 0, PodPhase::Failed)),
        against("a deletion is not taken back, and a pod goes once and without finalizers", |tape| {
            tape.write_pod(0, Actor::User, Verb::Update, |pod| pod.deletion = None);
        })
        .after(|simulation| {
            let pod = simulation.server().pods().next().map(|pod| pod.uid);
            simulation.delete_pod(pod.unwrap(), None).unwrap();
        }),
    ]
}
