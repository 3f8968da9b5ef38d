//! The fields of a job that formats name, with their headings.

use super::format::ShownAs;
use crate::calendar::Date;
use crate::duration::fsd;
use crate::jobs::{Annotation, Dependency, Job, JobManager, State};
use crate::time::Instant;

/// The heading of a field; `None` if the model does not have the field.
pub(super) fn heading(field: &str) -> Option<&'static str> {
    Some(match field {
        "id" | "id.f58" | "id.dec" | "id.f58plain" => "JOBID",
        "username" => "USER",
        "userid" => "UID",
        "name" => "NAME",
        "status" => "STATUS",
        "status_abbrev" => "ST",
        "state" => "STATE",
        "result" => "RESULT",
        "ntasks" => "NTASKS",
        "nnodes" => "NNODES",
        "priority" => "PRI",
        "urgency" => "URG",
        "runtime" => "RUNTIME",
        "duration" => "DURATION",
        "contextual_time" => "TIME",
        "contextual_info" => "INFO",
        "ranks" => "RANKS",
        "nodelist" => "NODELIST",
        "returncode" => "RC",
        "inactive_reason" => "INACTIVE-REASON",
        "annotations" => "ANNOTATIONS",
        "t_submit" => "T_SUBMIT",
        "t_run" => "T_RUN",
        "t_cleanup" => "T_CLEANUP",
        "t_inactive" => "T_INACTIVE",
        "t_remaining" => "T_REMAINING",
        "exception.occurred" => "EXCEPTION-OCCURRED",
        "exception.type" => "EXCEPTION-TYPE",
        "exception.severity" => "EXCEPTION-SEVERITY",
        "exception.note" => "EXCEPTION-NOTE",
        _ => return None,
    })
}

/// The value of a field of a job. The caller has asked for the heading first.
pub(super) fn value(manager: &JobManager, job: &Job, field: &str, shown_as: ShownAs, now: Instant) -> String {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let seconds = |seconds: f64| match shown_as {
        ShownAs::Duration => fsd(seconds),
        ShownAs::Date => {
            Date::of(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()).short()
        }
        ShownAs::Number => python_float(seconds),
    };
    let stamp =
        |time: Option<Instant>| seconds(time.map_or(0.0, |time| time.as_secs_f64() + manager.setup().wall));
    match field {
        "id" | "id.f58" => job.id().to_string(),
        "id.dec" => job.id().0.to_string(),
        "id.f58plain" => job.id().f58_plain(),
        "username" => manager.setup().user.clone(),
        "userid" => "0".to_owned(),
        "name" => job.spec().shown_name(),
        "status" => job.outcome().map_or(job.state().name(), |outcome| outcome.name()).to_owned(),
        "status_abbrev" => status(job).to_owned(),
        "state" => job.state().name().to_owned(),
        "result" => text(job.outcome().map(|outcome| outcome.name())),
        "ntasks" => job.spec().shown_tasks().to_string(),
        "nnodes" => nodes(job).map(|nodes| nodes.to_string()).unwrap_or_default(),
        "priority" => job.priority().to_string(),
        "urgency" => job.urgency().to_string(),
        "runtime" => seconds(job.runtime(now).as_secs_f64()),
        "duration" => seconds(job.request().limit.unwrap_or_default().as_secs_f64()),
        "contextual_time" => seconds(contextual_time(job, now)),
        "contextual_info" => info(manager, job, now),
        "ranks" => job.allocation().map(|allocation| allocation.ranks().bracketed()).unwrap_or_default(),
        "nodelist" => job.nodes().to_string(),
        "returncode" => job.returncode().map(|code| code.to_string()).unwrap_or_default(),
        "inactive_reason" => job.inactive_reason(),
        "annotations" => annotations(job),
        "t_submit" => stamp(Some(job.submitted_at())),
        "t_run" => stamp(job.allocated_at()),
        "t_cleanup" => stamp(job.ended_at()),
        "t_inactive" => stamp(job.inactive_at()),
        "t_remaining" => seconds(remaining(job, now)),
        "exception.occurred" => if job.exception().is_some() { "True" } else { "" }.to_owned(),
        "exception.type" => text(job.exception().map(|exception| exception.class)),
        "exception.severity" => {
            job.exception().map(|exception| exception.severity.to_string()).unwrap_or_default()
        }
        "exception.note" => text(job.exception().map(|exception| exception.note.as_str())),
        _ => String::new(),
    }
}

/// The column ST.
pub(super) fn status(job: &Job) -> &'static str {
    match (job.outcome(), job.state()) {
        (Some(outcome), _) => outcome.code(),
        (None, State::Depend) => "D",
        (None, State::Sched) => "S",
        (None, State::Run) => "R",
        (None, State::Cleanup | State::Inactive) => "C",
    }
}

/// Nodes: those that it got, or those that it asks for by number (recording 05, part I 8).
fn nodes(job: &Job) -> Option<usize> {
    match job.allocation() {
        Some(allocation) => Some(allocation.nodes().len()),
        None => job.request().nodes().map(|nodes| nodes as usize),
    }
}

/// The column TIME: the run time, and before that the limit (recording 04: `10s` of a waiting job).
fn contextual_time(job: &Job, now: Instant) -> f64 {
    if job.state() <= State::Sched {
        job.request().limit.unwrap_or_default().as_secs_f64()
    } else {
        job.runtime(now).as_secs_f64()
    }
}

/// The column INFO: why a job waits, or where it runs or ran.
fn info(manager: &JobManager, job: &Job, now: Instant) -> String {
    match job.state() {
        State::Depend => {
            let depends: Vec<String> =
                begin(manager, job, now).into_iter().chain(job.unmet().iter().map(depends)).collect();
            if depends.is_empty() { String::new() } else { format!("depends:{}", depends.join(",")) }
        }
        State::Sched if job.priority() == 0 && manager.setup().features.info_held => "held".to_owned(),
        State::Sched => job.estimate().map_or_else(String::new, |time| {
            let left = time.saturating_sub(now);
            if left.is_zero() { "eta:now".to_owned() } else { format!("eta:{}", fsd(left.as_secs_f64())) }
        }),
        State::Run | State::Cleanup | State::Inactive => job.nodes().to_string(),
    }
}

fn depends(dependency: &Dependency) -> String {
    format!("{}={}", dependency.on.scheme(), dependency.job)
}

/// A begin time that has not come yet, as a time of day (recording 05: `begin@01:11:36`).
fn begin(manager: &JobManager, job: &Job, now: Instant) -> Option<String> {
    let begin = job.spec().begin.filter(|begin| *begin > now)?;
    let second = (begin.as_secs_f64() + manager.setup().wall).rem_euclid(86_400.0) as u32;
    Some(format!("begin@{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60))
}

/// As Python prints the dictionary that the scheduler wrote.
fn annotations(job: &Job) -> String {
    match job.annotation() {
        Some(Annotation::Immediate) => r#"{"sched": {"selection_type": "immediate"}}"#.to_owned(),
        Some(Annotation::Summary(allocation)) => {
            format!(r#"{{"sched": {{"resource_summary": "{allocation}"}}}}"#)
        }
        Some(Annotation::None) | None => String::new(),
    }
}

/// What is left of the limit of a job that runs.
fn remaining(job: &Job, now: Instant) -> f64 {
    let left = job
        .request()
        .limit
        .filter(|_| job.state() == State::Run)
        .map(|limit| limit.saturating_sub(job.runtime(now)));
    left.unwrap_or_default().as_secs_f64()
}

fn python_float(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.1}") } else { value.to_string() }
}
