//! `flux resource …` (recordings 01, 03b, 11).

use super::{Answer, Code, Session};
use crate::resource::{DrainError, ListFilter, Overwrite};

const PROGRAM: &str = "flux-resource";

pub(super) fn run(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    let busy = session.instance.busy();
    let journal = session.instance.setup().features.resource_journal;
    let resources = session.instance.resources()?;
    Some(match words {
        ["list", options @ ..] => match list_options(options) {
            Some(Listing { format: Some(format), filter, .. }) => custom(session, &format, filter)?,
            Some(Listing { ranks, filter, .. }) => {
                Answer::ok(resources.list_text(&session.instance.up(), &busy, filter, ranks))
            }
            None => Answer::usage(2, PROGRAM),
        },
        ["status"] => Answer::ok(resources.status_text(&busy, false)),
        ["status", "-s", "all"] => Answer::ok(resources.status_text(&busy, true)),
        ["drain"] => Answer::ok(resources.drain_text(&busy)),
        ["info"] => Answer::ok(resources.info_text()),
        ["R"] => Answer::ok(resources.r_text()),
        ["eventlog"] if journal => Answer::ok(resources.eventlog(true)),
        ["drain", "-u", targets, reason @ ..] => drain(session, targets, reason, Overwrite::Update)?,
        ["drain", "-f", targets, reason @ ..] => drain(session, targets, reason, Overwrite::Force)?,
        ["drain", targets, reason @ ..] if !targets.starts_with('-') => {
            drain(session, targets, reason, Overwrite::No)?
        }
        ["undrain", targets] => undrain(session, targets)?,
        _ => Answer::usage(2, PROGRAM),
    })
}

fn drain(session: &mut Session<'_>, targets: &str, reason: &[&str], overwrite: Overwrite) -> Option<Answer> {
    let now = session.now;
    let result = session.instance.lead_mut()?.resources.drain(now, targets, &reason.join(" "), overwrite);
    Some(after(session, result, true))
}

fn undrain(session: &mut Session<'_>, targets: &str) -> Option<Answer> {
    let now = session.now;
    let result = session.instance.lead_mut()?.resources.undrain(now, targets);
    Some(after(session, result, false))
}

fn after(session: &mut Session<'_>, result: Result<(), DrainError>, drained: bool) -> Answer {
    match result {
        Ok(()) => {
            session.instance.drained(session.now, drained, session.draw);
            Answer::ok("")
        }
        Err(error) => {
            let hint = "flux-resource: INFO: Use --force to overwrite existing drain reason\n";
            let hint = if matches!(error, DrainError::Drained(_)) { hint } else { "" };
            Answer {
                code: Code::Exit(1),
                stdout: String::new(),
                stderr: format!("{PROGRAM}: ERROR: {error}\n{hint}"),
            }
        }
    }
}

/// What `flux resource list` is asked for.
struct Listing {
    filter: ListFilter,
    ranks: bool,
    format: Option<String>,
}

fn list_options(options: &[&str]) -> Option<Listing> {
    let mut listing = Listing { filter: ListFilter::DEFAULT, ranks: false, format: None };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "-s" => {
                let states: Vec<&str> = options.next()?.split(',').collect();
                let has = |state: &str| states.contains(&state);
                if states.iter().any(|state| !["all", "free", "allocated", "down"].contains(state)) {
                    return None;
                }
                listing.filter = if has("all") {
                    ListFilter::All
                } else {
                    ListFilter::Some { free: has("free"), allocated: has("allocated"), down: has("down") }
                };
            }
            "-o" if options.as_slice().first() == Some(&"rlist") => {
                options.next();
                listing.ranks = true;
            }
            "-no" => listing.format = Some((*options.next()?).to_owned()),
            _ => return None,
        }
    }
    Some(listing)
}

/// `flux resource list -no '{state} {nnodes} …'`.
fn custom(session: &Session<'_>, format: &str, filter: ListFilter) -> Option<Answer> {
    let resources = session.instance.resources()?;
    let mut text = String::new();
    for row in resources.list(&session.instance.up(), &session.instance.busy(), filter) {
        let hosts = session.instance.setup().hosts.select(&row.ranks).to_string();
        let line = format
            .replace("{state}", &row.state)
            .replace("{nnodes}", &row.ranks.len().to_string())
            .replace("{ncores}", &row.cores.to_string())
            .replace("{ngpus}", "0")
            .replace("{ranks}", &row.ranks.bare())
            .replace("{nodelist}", &hosts);
        if line.contains('{') {
            // A field that was not recorded.
            return None;
        }
        text += &line;
        text.push('\n');
    }
    Some(Answer::ok(text))
}
