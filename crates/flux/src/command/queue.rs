//! `flux queue …` (recording 11, Flux spec B.9).

use std::time::Duration;

use super::{Answer, Session};
use crate::duration::parse_fsd;
use crate::jobs::RequestCounts;

const PROGRAM: &str = "flux-queue";

pub(super) fn run(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    let named = session.instance.setup().features.queue_by_name;
    let now = session.now;
    Some(match words {
        ["status"] => Answer::ok(status(session, false)?),
        ["status", "-v"] => Answer::ok(status(session, true)?),
        ["list"] => list(session),
        ["stop", options @ ..]
            if options.iter().all(|option| *option == "--nocheckpoint" || !option.starts_with('-')) =>
        {
            let reason = options.iter().find(|option| !option.starts_with('-'));
            match reason {
                // Later versions take the word for the name of a queue, and say so in an odd way.
                Some(queue) if named => {
                    Answer::error(PROGRAM, format!("start: '{queue}' is not a valid queue"))
                }
                _ => {
                    let reason = reason.map(|reason| (*reason).to_owned());
                    let lead = session.instance.lead_mut()?;
                    lead.jobs.stop(now, reason.clone());
                    lead.stopped |= !options.contains(&"--nocheckpoint");
                    Answer::ok(match reason {
                        Some(reason) => format!("Scheduling is stopped: {reason}\n"),
                        None => "Scheduling is stopped\n".to_owned(),
                    })
                }
            }
        }
        ["start"] => {
            let lead = session.instance.lead_mut()?;
            lead.jobs.start(now);
            (lead.stopped, lead.announced) = (false, false);
            Answer::ok("Scheduling is started\n")
        }
        ["disable", reason] if named => {
            Answer::error(PROGRAM, format!("enable: '{reason}' is not a valid queue"))
        }
        ["disable", reason @ ..] if !reason.is_empty() => {
            let reason = reason.join(" ");
            session.instance.lead_mut()?.jobs.disable(now, &reason);
            Answer::ok(format!("Job submission is disabled: {reason}\n"))
        }
        ["enable"] => {
            session.instance.lead_mut()?.jobs.enable(now);
            Answer::ok("Job submission is enabled\n")
        }
        ["idle", options @ ..] => wait(session, "idle", options)?,
        ["drain", options @ ..] => wait(session, "drain", options)?,
        _ => Answer::usage(2, PROGRAM),
    })
}

/// `idle` waits until nothing runs, `drain` until there are no jobs left.
fn wait(session: &mut Session<'_>, what: &str, options: &[&str]) -> Option<Answer> {
    let until = match options {
        [] => Duration::MAX,
        [option] => {
            let Some(limit) = option.strip_prefix("--timeout=") else {
                return Some(Answer::usage(2, PROGRAM));
            };
            let Ok(limit) = parse_fsd(limit) else { return Some(Answer::usage(2, PROGRAM)) };
            session.now + Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX / 2)
        }
        _ => return Some(Answer::usage(2, PROGRAM)),
    };
    let idle = what == "idle";
    let done = session.wait(until, |instance, _| {
        instance.jobs().is_none_or(|jobs| if idle { jobs.is_idle() } else { jobs.is_drained() })
    });
    if done {
        let pending = session.instance.jobs()?.pending_count();
        return Some(Answer::ok(if idle { format!("{pending} jobs\n") } else { String::new() }));
    }
    if session.now >= until {
        Some(Answer::error(PROGRAM, format!("{what}: timeout")))
    } else {
        Some(Answer::waits())
    }
}

fn status(session: &Session<'_>, verbose: bool) -> Option<String> {
    let jobs = session.instance.jobs()?;
    let stopped = match (jobs.stopped(), session.instance.lead()?.announced) {
        (Some(Some(reason)), _) => format!("Scheduling is stopped: {reason}\n"),
        (Some(None), _) | (None, true) => "Scheduling is stopped\n".to_owned(),
        (None, false) => "Scheduling is started\n".to_owned(),
    };
    let submission = match jobs.disabled() {
        Some(reason) => format!("Job submission is disabled: {reason}\n"),
        None => "Job submission is enabled\n".to_owned(),
    };
    let mut text = submission + &stopped;
    if verbose {
        let RequestCounts { queued, pending, running } = jobs.request_counts();
        text += &format!(
            "{queued} alloc requests queued\n{pending} alloc requests pending to scheduler\n{running} running jobs\n"
        );
    }
    Some(text)
}

/// Without named queues there is one row, which has no name.
fn list(session: &Session<'_>) -> Answer {
    let setup = session.instance.setup();
    if !setup.features.queue_by_name {
        return Answer::ok(
            "DEFAULTTIME  TIMELIMIT     NNODES     NCORES      NGPUS\n        inf        inf      0-inf      0-inf      0-inf\n",
        );
    }
    let nodes = setup.hosts.len();
    let cores = nodes as u64 * u64::from(setup.cores);
    Answer::ok(format!(
        " EN ST TDEFAULT   TLIMIT     NNODES     NCORES      NGPUS\n  ✔  ✔      inf      inf {:>10} {:>10} {:>10}\n",
        format!("0-{nodes}"),
        format!("0-{cores}"),
        "0-0"
    ))
}
