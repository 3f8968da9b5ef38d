//! Command lines, as typed in the recordings, and what Flux answers.
//!
//! Only what was recorded is known: [`run`] answers `None` to any other line, so that nobody takes silence
//! for an answer. Some commands wait: they let the instance go on until what they wait for has happened, or
//! until the caller's patience ends.

mod admin;
mod hostlist;
mod job;
mod overlay;
mod queue;
mod resource;
mod submit;

use std::time::Duration;

use crate::instance::Instance;
use crate::time::{Draw, Instant};

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub code: Code,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It ended with this code.
    Exit(i32),
    /// It still waits.
    Waits,
}

impl Answer {
    /// Success.
    fn ok(stdout: impl Into<String>) -> Self {
        Self { code: Code::Exit(0), stdout: stdout.into(), stderr: String::new() }
    }

    /// A program says on standard error what is wrong.
    fn error(program: &str, message: impl std::fmt::Display) -> Self {
        Self { code: Code::Exit(1), stdout: String::new(), stderr: format!("{program}: ERROR: {message}\n") }
    }

    /// A message without `ERROR:`, as programs in C write it.
    fn plain(code: i32, message: impl std::fmt::Display) -> Self {
        Self { code: Code::Exit(code), stdout: String::new(), stderr: format!("{message}\n") }
    }

    /// The command line is wrong. Programs in Python exit with 2, those in C with 1.
    fn usage(code: i32, program: &str) -> Self {
        Self { code: Code::Exit(code), stdout: String::new(), stderr: format!("usage: {program}\n") }
    }

    fn waits() -> Self {
        Self { code: Code::Waits, stdout: String::new(), stderr: String::new() }
    }
}

/// Somebody at a terminal of a rank.
struct Session<'a> {
    instance: &'a mut Instance,
    rank: u32,
    now: Instant,
    deadline: Instant,
    draw: &'a mut dyn Draw,
}

impl Session<'_> {
    /// Lets time pass until something is so; false if patience ends first.
    fn wait(&mut self, until: Instant, mut so: impl FnMut(&Instance, Instant) -> bool) -> bool {
        let deadline = self.deadline.min(until);
        loop {
            if so(self.instance, self.now) {
                return true;
            }
            // Something is always due or nothing ever happens: the loop ends with the deadline.
            match self.instance.next_time().filter(|next| *next <= deadline) {
                Some(next) => {
                    self.now = self.now.max(next);
                    self.instance.advance(self.now, self.draw);
                }
                None => {
                    self.now = deadline.max(self.now);
                    self.instance.advance(self.now, self.draw);
                    return so(self.instance, self.now);
                }
            }
        }
    }
}

/// The commands of which the model knows at least some.
pub const COMMANDS: [&str; 22] = [
    "alloc",
    "batch",
    "cancel",
    "drain",
    "dump",
    "exec",
    "getattr",
    "heartbeat",
    "hostlist",
    "job",
    "jobs",
    "kvs",
    "module",
    "overlay",
    "ping",
    "queue",
    "resource",
    "run",
    "shutdown",
    "submit",
    "undrain",
    "uptime",
];

/// Runs a command line at the lead. Answers with what it printed and when it ended, or with `None` if the
/// model does not know the command.
pub fn run(
    instance: &mut Instance,
    now: Instant,
    patience: Duration,
    line: &str,
    draw: &mut dyn Draw,
) -> Option<(Answer, Instant)> {
    run_at(instance, 0, now, patience, line, draw)
}

/// Runs a command line on the host of a rank: the same instance answers, unless its broker is not there.
pub fn run_at(
    instance: &mut Instance,
    rank: u32,
    now: Instant,
    patience: Duration,
    line: &str,
    draw: &mut dyn Draw,
) -> Option<(Answer, Instant)> {
    let (line, stdin) = piped(line);
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["flux", command, arguments @ ..] = words.as_slice() else { return None };
    instance.advance(now, draw);
    if *command == "hostlist" {
        return Some((hostlist::run(instance, arguments, stdin), now));
    }
    if !COMMANDS.contains(command) {
        return None;
    }
    if instance.lead().is_none() || !instance.overlay().online().contains(rank) {
        // Nobody listens there (recording 08).
        let message = "Unable to connect to Flux: broker socket /run/flux/local was not found";
        return Some((Answer::error(&format!("flux-{command}"), message), now));
    }
    let mut session = Session { instance, rank, now, deadline: now.saturating_add(patience), draw };
    let answer = match *command {
        "resource" => resource::run(&mut session, arguments),
        "drain" | "undrain" => resource::run(&mut session, words.get(1..).unwrap_or_default()),
        "overlay" => overlay::run(&mut session, arguments),
        "submit" | "run" | "batch" | "alloc" => submit::run(&mut session, command, arguments),
        "job" => job::run(&mut session, arguments),
        "jobs" => job::table(&mut session, arguments),
        "cancel" => job::cancel(&mut session, arguments),
        "queue" => queue::run(&mut session, arguments),
        _ => admin::run(&mut session, command, arguments),
    }?;
    Some((answer, session.now))
}

/// `echo TEXT | COMMAND`: the command and what it reads.
fn piped(line: &str) -> (&str, Option<String>) {
    let Some((text, command)) = line.strip_prefix("echo ").and_then(|rest| rest.split_once(" | ")) else {
        return (line, None);
    };
    (command, Some(text.trim_matches('\'').to_owned()))
}

/// The words of a command line as a shell splits them; `None` for pipes, lists and redirections.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | ';' | '>' | '<' | '&') => return None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { None } else { Some(words) }
}
