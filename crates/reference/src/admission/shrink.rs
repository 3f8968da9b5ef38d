//! The smallest form of a write on which the sides do not agree: whatever it does not need is left out.

use serde_json::Value;
use towtank_model::objects::{JobStatus, PodStatus};
use towtank_model::server::{JobManifest, PodPatch};

use super::served::Alone;
use super::story::{Answer, Row, Step, Story};
use super::{AdmissionError, Difference, Side, alone, ask};
use crate::driver::Driver;

/// Rounds of leaving things out.
const ROUNDS_MAX: usize = 40;

/// Leaves out of `step` what the difference does not need. `story` is the object before it.
pub(super) fn smallest(
    driver: &mut Driver,
    story: &Story,
    mut step: Step,
    side: Side,
) -> Result<Difference, AdmissionError> {
    for _ in 0..ROUNDS_MAX {
        let candidates = smaller(story, &step);
        let questions: Vec<Value> = candidates.iter().map(|step| story.question(step)).collect();
        let answers = ask(driver, questions.clone())?;
        let mut next = None;
        for ((candidate, question), answer) in candidates.into_iter().zip(questions).zip(answers) {
            if tried(story, &candidate, &question, &answer, side, true)?.is_some() {
                next = Some(candidate);
                break;
            }
        }
        match next {
            Some(smaller) => step = smaller,
            None => break,
        }
    }
    let question = story.question(&step);
    let answers = ask(driver, vec![question.clone()])?;
    let answer = answers.first().ok_or(AdmissionError::Shape { count: 1, len: 0 })?;
    let (ours, theirs) = tried(story, &step, &question, answer, side, false)?.unwrap_or_default();
    let old = question.get("old").cloned().unwrap_or_default();
    Ok(Difference { side, old, question, ours, theirs })
}

/// In what this side's answer to another try differs from the original's; what the driver cannot read may be left out.
fn tried(
    story: &Story,
    step: &Step,
    question: &Value,
    answer: &Value,
    side: Side,
    is_readable: bool,
) -> Result<Option<Alone>, AdmissionError> {
    let mut again = story.again();
    if side == Side::ApiServer {
        return Ok(again.served.differs(question, answer));
    }
    let (ours, theirs) = (again.ours(step), again.theirs(answer)?);
    Ok(alone(&ours, &theirs).filter(|_| !is_readable || !is_off_the_point(&ours, &theirs)))
}

/// The driver could not read it.
fn is_off_the_point(ours: &Answer, theirs: &Answer) -> bool {
    !matches!(ours, Answer::Refused(_)) && matches!(theirs, Answer::Refused(_))
}

/// The write with one thing less.
fn smaller(story: &Story, step: &Step) -> Vec<Step> {
    match step {
        Step::CreateJob(manifest) => manifests(manifest).into_iter().map(Step::CreateJob).collect(),
        Step::UpdateJob(manifest) => manifests(manifest).into_iter().map(Step::UpdateJob).collect(),
        Step::JobStatus(status) => match story.row() {
            Some(Row::Job(job)) => {
                job_statuses(status, &job.status).into_iter().map(Step::JobStatus).collect()
            }
            _ => Vec::new(),
        },
        Step::PodStatus(status) => match story.row() {
            Some(Row::Pod(pod)) => {
                pod_statuses(status, &pod.status).into_iter().map(Step::PodStatus).collect()
            }
            _ => Vec::new(),
        },
        Step::PatchPod(patch) => (0..patch.labels.len())
            .map(|position| {
                let mut smaller = PodPatch::clone(patch);
                smaller.labels.remove(position);
                Step::PatchPod(smaller)
            })
            .collect(),
        Step::CreatePod(_) | Step::DeleteJob(_) | Step::DeletePod(_) => Vec::new(),
    }
}

/// Every copy of `$from` in which one of the fields is as in `$simple`, where it is not already.
macro_rules! simpler {
    ($from:expr, $simple:expr, $($field:ident),+) => {{
        let (from, simple) = ($from, $simple);
        let mut candidates = Vec::new();
        $(if from.$field != simple.$field {
            let mut candidate = from.clone();
            candidate.$field.clone_from(&simple.$field);
            candidates.push(candidate);
        })+
        candidates
    }};
}

fn manifests(manifest: &JobManifest) -> Vec<JobManifest> {
    let nothing = JobManifest::default();
    simpler!(
        manifest,
        &nothing,
        labels,
        finalizers,
        parallelism,
        completions,
        completion_mode,
        backoff_limit,
        backoff_limit_per_index,
        max_failed_indexes,
        active_deadline_seconds,
        ttl_seconds_after_finished,
        suspend,
        pod_replacement_policy,
        pod_failure_policy,
        success_policy,
        managed_by,
        manual_selector,
        selector,
        template,
        cleared
    )
}

fn job_statuses(status: &JobStatus, old: &JobStatus) -> Vec<JobStatus> {
    simpler!(
        status,
        old,
        conditions,
        start_time,
        completion_time,
        active,
        ready,
        terminating,
        succeeded,
        failed,
        completed_indexes,
        failed_indexes,
        uncounted
    )
}

fn pod_statuses(status: &PodStatus, old: &PodStatus) -> Vec<PodStatus> {
    simpler!(status, old, phase, reason, conditions, containers, init_containers, start_time)
}
