//! The rest: `flux uptime`, `getattr`, `exec`, `ping`, `module reload heartbeat`, `dump`, `shutdown`, `kvs`
//! (recordings 01, 06, 09).

use std::time::Duration;

use super::{Answer, Code, Session};
use crate::calendar::Date;
use crate::duration::parse_fsd;
use crate::overlay::BrokerState;
use crate::time::Instant;

/// The process ids that the model gives to brokers: real ones say nothing.
const FIRST_PID: u32 = 1000;

pub(super) fn run(session: &mut Session<'_>, command: &str, words: &[&str]) -> Option<Answer> {
    Some(match (command, words) {
        ("uptime", []) => Answer::ok(uptime(session)?),
        ("getattr", [name]) => attribute(session, session.rank, name)?,
        ("exec", ["-r", rank, command @ ..]) => exec(session, rank.parse().ok()?, command)?,
        ("ping", [.., rank]) => {
            let arrived = session.instance.reach(session.now, rank.parse().ok()?, session.draw);
            if arrived { return None } else { silence(session) }
        }
        ("module", ["reload", "heartbeat", period]) => {
            let period = parse_fsd(period.strip_prefix("period=")?).ok().filter(|period| *period > 0.0)?;
            let period = Duration::try_from_secs_f64(period).ok()?;
            session.instance.overlay_mut().heartbeat_loaded(session.now, period);
            Answer::ok("")
        }
        ("kvs", ["eventlog", "get", "resource.eventlog"]) => {
            Answer::ok(session.instance.resources()?.eventlog(false))
        }
        ("kvs", ["get", "-r", key] | ["dir", key]) => {
            Answer::plain(1, format!("flux-kvs: {key}: No such file or directory"))
        }
        ("dump", [path]) => dump(session, path),
        ("shutdown", options) => shutdown(session, options)?,
        ("heartbeat", []) => Answer::plain(1, "flux: `heartbeat' is not a flux command.  See 'flux --help'"),
        _ => return None,
    })
}

/// Nobody answers, and nobody says so.
fn silence(session: &mut Session<'_>) -> Answer {
    session.wait(Duration::MAX, |_, _| false);
    Answer::waits()
}

fn uptime(session: &Session<'_>) -> Option<String> {
    let overlay = session.instance.overlay();
    let (state, since) = overlay.state(0)?;
    let since = if state == BrokerState::Run { overlay.started(0)? } else { since };
    let seconds = session.now.saturating_sub(since).as_secs_f64();
    let length = if seconds < 10.0 { format!("{seconds:.1}s") } else { format!("{seconds:.0}s") };
    let clock = Date::of(session.instance.setup().wall + session.now).clock();
    let size = overlay.size();
    let missing = size as usize - overlay.online().len();
    let offline = if state == BrokerState::Run && missing > 0 {
        format!(",  {missing} offline")
    } else {
        String::new()
    };
    let user = &session.instance.setup().user;
    Some(format!(" {clock} {} {length},  owner {user},  depth 0,  size {size}{offline}\n", state.name()))
}

fn attribute(session: &Session<'_>, rank: u32, name: &str) -> Option<Answer> {
    let setup = session.instance.setup();
    let overlay = session.instance.overlay();
    let value = match name {
        "hostlist" => setup.hosts.to_string(),
        "hostname" => overlay.host(rank),
        "rank" => rank.to_string(),
        "size" => overlay.size().to_string(),
        "version" => setup.version.to_string(),
        "broker.pid" => (FIRST_PID + rank).to_string(),
        "broker.starttime" => format!("{:.2}", (setup.wall + overlay.started(rank)?).as_secs_f64()),
        "tbon.topo" => setup.topology.to_string(),
        _ => return None,
    };
    Some(Answer::ok(format!("{value}\n")))
}

/// `flux exec -r RANK COMMAND`: on a rank that is dead nothing ever answers, but the overlay finds out.
fn exec(session: &mut Session<'_>, rank: u32, command: &[&str]) -> Option<Answer> {
    if !session.instance.reach(session.now, rank, session.draw) {
        return Some(silence(session));
    }
    match command {
        ["flux", "getattr", name] => attribute(session, rank, name),
        ["hostname"] => Some(Answer::ok(format!("{}\n", session.instance.overlay().host(rank)))),
        // The only process of a rank that has a number is its broker.
        ["kill", "-15" | "-TERM", _] => {
            let ended = session.instance.broker_terminated(session.now, rank, session.draw);
            // The answer comes when the broker is gone.
            session.wait(Duration::MAX, |instance, _| instance.overlay().state(rank).is_none());
            Some(ended.map_or_else(|error| Answer::error("flux-exec", error), |()| Answer::ok("")))
        }
        ["kill", "-9" | "-KILL", _] => {
            let ended = session.instance.broker_killed(session.now, rank, session.draw);
            Some(ended.map_or_else(|error| Answer::error("flux-exec", error), |()| Answer::ok("")))
        }
        _ => None,
    }
}

/// The archive's name is the last part of its path.
fn archive(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn dump(session: &mut Session<'_>, path: &str) -> Answer {
    let known = [".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip"];
    if !known.iter().any(|suffix| path.ends_with(suffix)) {
        return Answer::plain(1, format!("flux-dump: No such format '{path}'"));
    }
    if path.starts_with("/nonexistent/") {
        return Answer::plain(1, format!("flux-dump: Failed to open '{path}'"));
    }
    session.instance.dump(archive(path), false);
    Answer::ok("")
}

/// `flux shutdown [--dump=PATH]`: answers when the lead is gone.
fn shutdown(session: &mut Session<'_>, options: &[&str]) -> Option<Answer> {
    let path = match options {
        [] => None,
        [option] => Some(option.strip_prefix("--dump=")?.to_owned()),
        _ => return None,
    };
    session.instance.lead_mut()?.dump = path.as_deref().map(archive).map(str::to_owned);
    let message = path.map_or_else(String::new, |path| {
        let path = if session.instance.setup().features.shutdown_names_dump {
            format!(" to {path}")
        } else {
            String::new()
        };
        format!("flux-shutdown: shutdown will dump KVS{path} (this may take some time)\n")
    });
    session.instance.broker_terminated(session.now, 0, session.draw).ok()?;
    let gone = |instance: &crate::instance::Instance, _: Instant| instance.overlay().state(0).is_none();
    if session.wait(Duration::MAX, gone) {
        Some(Answer { code: Code::Exit(0), stdout: String::new(), stderr: message })
    } else {
        Some(Answer::waits())
    }
}
