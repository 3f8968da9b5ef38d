//! `flux job …`, `flux jobs …`, `flux cancel …` (recordings 03, 04, 05).

use std::fmt::Write as _;
use std::time::Duration;

use super::{Answer, Code, Session};
use crate::JobId;
use crate::duration::parse_fsd;
use crate::instance::Instance;
use crate::jobs::{EventKind, Job, State, text};
use crate::jobs_table;
use crate::time::Instant;

const PROGRAM: &str = "flux-job";

pub(super) fn run(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    let now = session.now;
    let jobs = session.instance.jobs()?;
    Some(match words {
        ["eventlog", id] => match find(session, id) {
            Some(job) => Answer::ok(text::eventlog(jobs, job, now)),
            None => Answer::plain(1, format!("{PROGRAM}: job {id} not found")),
        },
        ["info", id, "R"] => match find(session, id).map(|job| text::resources(jobs, job)) {
            Some(Some(resources)) => Answer::ok(format!("{resources}\n")),
            Some(None) if session.instance.setup().features.info_names_key => {
                Answer::plain(1, format!("{PROGRAM}: R: key not found"))
            }
            _ => Answer::plain(1, format!("{PROGRAM}: No such file or directory")),
        },
        ["attach", id] | ["attach", "-v", id] => match find(session, id).map(Job::id) {
            Some(id) => attach(session, id)?,
            None => Answer::plain(1, format!("{PROGRAM}: Failed to attach to {id}: No such job")),
        },
        ["wait-event", "-t", limit, id, event] => wait_event(session, Some(limit), id, event)?,
        ["wait-event", id, event] if !id.starts_with('-') => wait_event(session, None, id, event)?,
        ["last"] => last(session, 1)?,
        ["last", count] => last(session, count.parse().ok()?)?,
        ["id", form, id] => spelled(form, id)?,
        ["eventlog", ..] if words.contains(&"-p") => return None,
        ["eventlog" | "wait-event", ..] => Answer::usage(1, PROGRAM),
        _ => return None,
    })
}

/// `flux jobs …`.
pub(super) fn table(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    if words.contains(&"--help") {
        return None;
    }
    let jobs_table::Answer { stdout, stderr, code } =
        jobs_table::run(session.instance.jobs()?, session.now, words);
    Some(Answer { code: Code::Exit(code), stdout, stderr })
}

/// `flux cancel ID …` or `flux cancel --all [-S pending|running]`.
pub(super) fn cancel(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    const PROGRAM: &str = "flux-cancel";
    let now = session.now;
    let jobs = &mut session.instance.lead_mut()?.jobs;
    let waiting = [State::Depend, State::Sched];
    let count = match words {
        [] => return Some(Answer::error(PROGRAM, "No target jobs were provided")),
        ["--all"] => jobs.cancel_all(now, &[State::Depend, State::Sched, State::Run]),
        ["--all", "-S", "pending"] => jobs.cancel_all(now, &waiting),
        ["--all", "-S", "running"] => jobs.cancel_all(now, &[State::Run]),
        ids => {
            let mut stderr = String::new();
            for id in ids {
                let Ok(id) = id.parse::<JobId>() else { return Some(Answer::usage(2, PROGRAM)) };
                if let Err(error) = jobs.cancel(now, id) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(stderr, "{error}");
                }
            }
            let code = Code::Exit(i32::from(!stderr.is_empty()));
            return Some(Answer { code, stdout: String::new(), stderr });
        }
    };
    let plural = if count == 1 { "" } else { "s" };
    let stderr = format!("{PROGRAM}: Canceled {count} job{plural} (0 errors)\n");
    Some(Answer { code: Code::Exit(0), stdout: String::new(), stderr })
}

fn find<'a>(session: &'a Session<'_>, id: &str) -> Option<&'a Job> {
    session.instance.jobs()?.job(id.parse().ok()?)
}

/// When the job was done with, if it is by now.
fn clean(instance: &Instance, now: Instant, id: JobId) -> bool {
    let job = instance.jobs().and_then(|jobs| jobs.job(id));
    job.is_none_or(|job| job.event("clean").is_some_and(|time| time <= now))
}

/// `flux job attach`, and the end of `flux run`: waits for the job and shows what it printed.
pub(super) fn attach(session: &mut Session<'_>, id: JobId) -> Option<Answer> {
    if !session.wait(Duration::MAX, |instance, now| clean(instance, now, id)) {
        return Some(Answer::waits());
    }
    let job = session.instance.jobs()?.job(id)?;
    let mut stderr = String::new();
    for event in job.events(session.now) {
        let EventKind::Exception(exception) = &event.kind else { continue };
        let after = event.time.saturating_sub(job.submitted_at()).as_secs_f64();
        let name = if session.instance.setup().features.exception_names_job {
            format!(" {id}")
        } else {
            String::new()
        };
        let (class, severity, note) = (exception.class, exception.severity, &exception.note);
        let _ = writeln!(stderr, "{after:.3}s: job.exception{name} type={class} severity={severity} {note}");
    }
    let code = job.returncode().and_then(|code| i32::try_from(code).ok()).unwrap_or(1);
    if code != 0 && job.status().is_some() {
        let _ = writeln!(stderr, "{PROGRAM}: task(s) exited with exit code {code}");
    }
    Some(Answer {
        code: Code::Exit(if code < 0 { 1 } else { code }),
        stdout: output(session.instance, job),
        stderr,
    })
}

/// What the tasks of the commands of the recordings print, rank by rank.
fn output(instance: &Instance, job: &Job) -> String {
    let Some(allocation) = job.allocation().filter(|_| job.status() == Some(0)) else { return String::new() };
    let ranks: Vec<u32> = allocation.ranks().iter().collect();
    let nodes = u32::try_from(ranks.len()).unwrap_or(u32::MAX).max(1);
    let words: Vec<&str> = job.spec().command.iter().map(String::as_str).collect();
    let mut text = String::new();
    for task in 0..job.tasks() {
        // Blocks of tasks, as the job shell maps them.
        let at = u64::from(task) * u64::from(nodes) / u64::from(job.tasks().max(1));
        let rank = usize::try_from(at).ok().and_then(|at| ranks.get(at)).copied().unwrap_or_default();
        let _ = match words.as_slice() {
            ["hostname"] | ["flux", "getattr", "hostname"] => {
                writeln!(text, "{}", instance.overlay().host(rank))
            }
            ["flux", "getattr", "rank"] => writeln!(text, "{rank}"),
            ["whoami"] => writeln!(text, "{}", instance.setup().user),
            ["echo", words @ ..] => writeln!(text, "{}", words.join(" ")),
            _ => Ok(()),
        };
    }
    text
}

/// `flux job wait-event [-t SECONDS] ID EVENT`.
fn wait_event(session: &mut Session<'_>, limit: Option<&str>, id: &str, event: &str) -> Option<Answer> {
    let until = match limit.map(parse_fsd) {
        None => Duration::MAX,
        Some(Ok(limit)) => {
            session.now.saturating_add(Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX))
        }
        Some(Err(_)) => return Some(Answer::usage(1, PROGRAM)),
    };
    let Some(id) = find(session, id).map(Job::id) else {
        return Some(Answer::plain(1, format!("{PROGRAM}: Failed to attach to {id}: No such job")));
    };
    let time = |instance: &Instance, now: Instant| {
        let time = instance.jobs().and_then(|jobs| jobs.job(id)).and_then(|job| job.event(event));
        time.filter(|time| *time <= now)
    };
    session.wait(until, |instance, now| time(instance, now).is_some() || clean(instance, now, id));
    let wall = session.instance.setup().wall;
    Some(match time(session.instance, session.now) {
        Some(time) => Answer::ok(format!("{:.6} {event}\n", (wall + time).as_secs_f64())),
        None if session.now >= until => {
            Answer::plain(1, format!("{PROGRAM}: wait-event timeout on event '{event}'"))
        }
        None if clean(session.instance, session.now, id) => {
            Answer::plain(1, format!("{PROGRAM}: event '{event}' never received"))
        }
        None => Answer::waits(),
    })
}

fn last(session: &Session<'_>, count: usize) -> Option<Answer> {
    let ids = session.instance.jobs()?.newest().take(count);
    Some(Answer::ok(ids.map(|id| format!("{id}\n")).collect::<String>()))
}

/// `flux job id --to=FORM ID`.
fn spelled(form: &str, id: &str) -> Option<Answer> {
    let id: JobId = id.parse().ok()?;
    Some(Answer::ok(match form.strip_prefix("--to=")? {
        "dec" => format!("{}\n", id.0),
        "hex" => format!("{}\n", id.hex()),
        "dothex" => format!("{}\n", id.dothex()),
        "kvs" => format!("{}\n", id.kvs()),
        "f58" => format!("{id}\n"),
        "f58plain" => format!("{}\n", id.f58_plain()),
        _ => return None,
    }))
}
