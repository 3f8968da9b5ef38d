//! The status: what is, in counts and conditions, with reasons (A.10, A.11.3).
//!
//! | type | True | False |
//! | --- | --- | --- |
//! | Ready | AllOnline | BrokersMissing, Suspended, NotCreated, Completed, Failed, Degraded's reason |
//! | Progressing | Starting, Shrinking, WaitingForDeletion | AsWanted, Suspended, NotCreated, Completed, Failed, Degraded's reason |
//! | Degraded | NameTaken, InvalidSpec, WriteRefused, JobFailed | AsWanted |
//! | ScalingLimited | MaximumExceeded, JobFinished | WithinLimits |
//!
//! It is what is true once the plan's other writes are done, so that a second look at the same finds nothing to say.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use towtank_api::condition::{DEGRADED, PROGRESSING, READY, SCALING_LIMITED};
use towtank_api::{Condition, MiniClusterStatus};

use super::{Observed, Plan, Problem, Write, finish, size_of};
use crate::objects::{Created, HPA_LABEL};

/// A condition that is about to be: status, reason, message.
struct Said(bool, &'static str, String);

/// Writes the status where it says anything new, and notes what the user should hear of. `refused`: a write that was wanted and that
/// the API server does not let through.
pub(super) fn write(
    observed: &Observed,
    created: Created,
    problem: Option<&Problem>,
    refused: Option<&str>,
    plan: &mut Plan,
) {
    let cluster = &observed.cluster;
    let old = cluster.status.clone().unwrap_or_default();
    let job = observed.job.own();
    // What this plan makes of it.
    let size = match (plan.writes.iter().find_map(resized), job) {
        (Some(size), _) => size,
        (None, Some(job)) => size_of(job),
        (None, None) => 0,
    };
    let counts = job.and_then(|job| job.status.as_ref());
    let completed_indexes = counts.and_then(|status| status.completed_indexes.clone()).unwrap_or_default();
    let online =
        observed.pods.iter().filter(|pod| is_member(observed, pod) && pod.is_online && pod.index < size);
    let mut new = MiniClusterStatus {
        size,
        selector: format!("{HPA_LABEL}={}", cluster.name_any()),
        jobid: old.jobid.clone(),
        maximum_size: created.maximum,
        ready: counts.and_then(|status| status.ready).unwrap_or_default(),
        online: i32::try_from(online.count()).unwrap_or(i32::MAX),
        completed_indexes,
        observed_generation: cluster.metadata.generation,
        conditions: Vec::new(),
    };
    let is_fixed = job.is_some() || observed.config_map.own().is_some();
    if !is_fixed && (refused.is_some() || matches!(problem, Some(Problem::Invalid(_)))) {
        new.maximum_size = old.maximum_size;
    }
    for (type_, said) in conditions(observed, &new, size, problem, refused) {
        new.conditions.push(condition(type_, said, &old, observed, plan));
    }
    if cluster.status.as_ref() != Some(&new) {
        plan.writes.push(Write::Status(Box::new(new)));
    }
}

fn resized(write: &Write) -> Option<i32> {
    match write {
        Write::CreateJob(job) => Some(size_of(job)),
        Write::Resize { to, .. } => Some(*to),
        _ => None,
    }
}

fn is_member(observed: &Observed, pod: &super::PodBrief) -> bool {
    observed.job.own().is_some_and(|job| job.metadata.uid.as_deref() == Some(&pod.job)) && !pod.is_leaving
}

/// In the order in which they stand.
fn conditions(
    observed: &Observed,
    new: &MiniClusterStatus,
    size: i32,
    problem: Option<&Problem>,
    refused: Option<&str>,
) -> [(&'static str, Said); 4] {
    let job = observed.job.own();
    let finished = job.and_then(finish);
    let degraded = degraded(problem, refused, finished);
    let limited = limited(problem);
    let wanted = (size - count_below(&new.completed_indexes, size)).max(0);
    let is_held_back = refused.is_some() && !limited.0 && size != observed.cluster.spec.size;
    let surplus = observed.pods.iter().any(|pod| pod.index >= size && is_running(&pod.phase));
    let (ready, progressing) = match (&degraded, finished, job) {
        (_, Some((type_, _)), _) => {
            let reason = if type_ == "Complete" { "Completed" } else { "Failed" };
            (
                Said(false, reason, format!("the Job is {type_}")),
                Said(false, reason, format!("the Job is {type_}")),
            )
        }
        (_, None, None) if problem == Some(&Problem::Former) => {
            let why = "a MiniCluster of this name is still being deleted".to_owned();
            (Said(false, "NotCreated", why.clone()), Said(true, "WaitingForDeletion", why))
        }
        // What is there is not what is wanted, and cannot become so.
        (Said(true, reason, message), None, job) if job.is_none() || is_held_back => {
            (Said(false, reason, message.clone()), Said(false, reason, message.clone()))
        }
        (_, None, None) if size == 0 => {
            let why = "there is no Job".to_owned();
            (Said(false, "NotCreated", why.clone()), Said(false, "NotCreated", why))
        }
        (_, None, _) => {
            let online = format!("{} of {wanted} brokers online", new.online);
            let is_suspended = job.and_then(|job| job.spec.as_ref()?.suspend) == Some(true);
            let progressing = if surplus {
                Said(true, "Shrinking", format!("to {size}: pods are leaving"))
            } else if new.online < wanted && is_suspended {
                Said(false, "Suspended", "the Job is suspended".to_owned())
            } else if new.online < wanted {
                Said(true, "Starting", online.clone())
            } else {
                Said(false, "AsWanted", format!("{size} pods are wanted and there"))
            };
            let is_ready = new.online >= wanted;
            let reason = match (is_ready, is_suspended) {
                (true, _) => "AllOnline",
                (false, true) => "Suspended",
                (false, false) => "BrokersMissing",
            };
            (Said(is_ready, reason, online), progressing)
        }
    };
    [(READY, ready), (PROGRESSING, progressing), (DEGRADED, degraded), (SCALING_LIMITED, limited)]
}

fn is_running(phase: &str) -> bool {
    matches!(phase, "Running" | "Pending")
}

fn degraded(problem: Option<&Problem>, refused: Option<&str>, finished: Option<(&str, &str)>) -> Said {
    match (problem, finished) {
        (Some(Problem::Taken(names)), _) => {
            let names: Vec<_> = names.iter().map(|(kind, name)| format!("{kind} `{name}`")).collect();
            let one =
                "is there already, and was not made for this MiniCluster: delete it, or choose another name";
            Said(true, "NameTaken", format!("{} {one}", names.join(", ")))
        }
        (Some(Problem::Invalid(why)), _) => Said(true, "InvalidSpec", why.clone()),
        (_, Some(("Failed", message))) => Said(true, "JobFailed", message.to_owned()),
        _ => match refused {
            Some(why) => Said(true, "WriteRefused", why.to_owned()),
            None => Said(false, "AsWanted", String::new()),
        },
    }
}

fn limited(problem: Option<&Problem>) -> Said {
    match problem {
        Some(Problem::OverAsk { size, maximum }) => Said(
            true,
            "MaximumExceeded",
            format!(
                "spec.size: {size}: must be no more than {maximum}, the maximum since the MiniCluster was created"
            ),
        ),
        Some(Problem::Finished { size, has }) => Said(
            true,
            "JobFinished",
            format!(
                "spec.size: {size}: the Job has finished with {has}: delete the MiniCluster and apply it again"
            ),
        ),
        _ => Said(false, "WithinLimits", String::new()),
    }
}

fn condition(
    type_: &str,
    Said(is_true, reason, message): Said,
    old: &MiniClusterStatus,
    observed: &Observed,
    plan: &mut Plan,
) -> Condition {
    let status = if is_true { "True" } else { "False" };
    let old = old.condition(type_);
    let has_changed = old.is_none_or(|old| old.status != status || old.reason != reason);
    let tells = match type_ {
        READY => is_true,
        DEGRADED | SCALING_LIMITED => is_true,
        _ => false,
    };
    if tells && (has_changed || (type_ != READY && old.is_some_and(|old| old.message != message))) {
        plan.note(type_ != READY, if type_ == READY { "Ready" } else { reason }, message.clone());
    }
    let since = old.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(observed))),
        observed_generation: observed.cluster.metadata.generation,
    }
}

/// Times of the API are whole seconds: what is read again must be what was written.
fn whole_seconds(observed: &Observed) -> jiff::Timestamp {
    jiff::Timestamp::from_second(observed.now.as_second()).unwrap_or(observed.now)
}

/// How many indexes of `0-1,3` are below `size`: after a shrink the Job tells of those above until its controller has looked.
fn count_below(indexes: &str, size: i32) -> i32 {
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    let ranges = indexes.split(',').filter(|range| !range.is_empty());
    ranges
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (number(last).min(size - 1) - number(first) + 1).max(0)
        })
        .sum()
}
