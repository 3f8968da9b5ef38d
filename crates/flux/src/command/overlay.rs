//! `flux overlay …` (recordings 01, 03).

use std::fmt::Write as _;

use super::{Answer, Code, Session};
use crate::overlay::Refused;

pub(super) fn run(session: &mut Session<'_>, words: &[&str]) -> Option<Answer> {
    let now = session.now;
    let overlay = session.instance.overlay();
    Some(match words {
        ["status"] => Answer::ok(overlay.status_text(now, true, false)),
        ["status", "-vv"] => Answer::ok(overlay.status_text(now, true, true)),
        ["status", "--no-pretty"] => Answer::ok(overlay.status_text(now, false, false)),
        ["status", "--summary"] => Answer::ok(format!("{}\n", overlay.status(0).0.name())),
        ["errors"] if session.instance.setup().features.overlay_errors => {
            let mut text = String::new();
            for (hosts, error) in overlay.errors() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{hosts}: {error}");
            }
            Answer::ok(text)
        }
        ["disconnect", target] => disconnect(session, target),
        ["errors"] => Answer::usage(1, "flux overlay"),
        _ => return None,
    })
}

fn disconnect(session: &mut Session<'_>, target: &str) -> Answer {
    let hosts = session.instance.overlay().hosts();
    let rank = target.parse().ok().or_else(|| hosts.find(target).and_then(|at| u32::try_from(at).ok()));
    let Some(rank) = rank else {
        return Answer::error(
            "flux-overlay",
            format!("{target} is neither a rank nor a host of the instance"),
        );
    };
    let overlay = session.instance.overlay();
    let parent = session.instance.setup().topology.parent(rank).unwrap_or(0);
    let (host, above) = (overlay.host(rank), overlay.host(parent));
    let message =
        format!("flux-overlay: asking {above} (rank {parent}) to disconnect child {host} (rank {rank})\n");
    match session.instance.disconnected(session.now, rank, session.draw) {
        Ok(()) => Answer { code: Code::Exit(0), stdout: String::new(), stderr: message },
        Err(error @ (Refused::UnknownRank { .. } | Refused::NotConnected(_))) => {
            Answer::error("flux-overlay", error)
        }
        Err(error) => Answer::error("flux-overlay", error),
    }
}
