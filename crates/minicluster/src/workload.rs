//! What the lead runs inside of Flux (Flux spec A.6): its command as a job, a launcher that submits its own, or a batch.
//!
//! A script is a list of lines that the model knows the end of: commands of Flux, `sleep`, `true`, `false`, `exit`, `echo`. It is
//! played beside the instance: a line that waits is asked again whenever anything has happened.

use std::time::Duration;

use towtank_flux::command::{self, Answer, COMMANDS, Code, words};
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::jobs::Program;
use towtank_flux::overlay::Quorum;
use towtank_flux::time::{Draw, Instant};
use towtank_flux::{Hostlist, JobId};

use crate::operator::Operator;
use crate::spec::MiniClusterSpec;

/// Lines of a script.
const LINES_MAX: usize = 10_000;
/// Instants at which something happens while a batch is played.
const INSTANTS_MAX: usize = 1_000_000;
/// What a command of Flux takes to start: longer than a job takes from its submission to the scheduler (Flux spec I, 12 ms for each
/// step), so that `flux queue idle` finds the jobs that were submitted before it.
const COMMAND_START: Duration = Duration::from_millis(100);
/// How a line begins that submits the script of a batch.
const BATCH: &str = "flux batch";
/// Exit code of a program that does not exist.
const NOT_FOUND: u8 = 127;

/// What the lead does inside of Flux.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    lines: Vec<Line>,
    /// The lines of the instance that the only job is.
    batch: Option<Vec<Line>>,
}

/// One line of a script.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// It stands behind `&&`.
    after_success: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// `flux submit …`, `flux batch …`; with `flux run` and `--watch` the job is waited for.
    Submit { line: String, waits: bool },
    /// `flux job wait --all`: all jobs of the script.
    WaitAll,
    /// Any other command of Flux.
    Flux(String),
    /// `sleep …`, `true`, `false`, `echo …`.
    Program(Program),
    /// `exit N`; without a number, with what the line before ended with.
    Exit(Option<i32>),
}

/// Why a command cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Pipes, redirections, an open quote.
    #[error("`{0}` is more than one program: pipes, redirections and substitutions are not played")]
    Shell(String),
    /// Nobody knows how long it takes.
    #[error("the model does not know how long `{0}` takes, nor what it ends with")]
    Unknown(String),
    /// There is no end to it.
    #[error("a script has at most {LINES_MAX} lines")]
    TooLong,
}

/// Whether what the lead runs can be played.
///
/// # Errors
///
/// [`WorkloadError`] says which line cannot.
pub fn check(spec: &MiniClusterSpec) -> Result<(), WorkloadError> {
    Workload::of(spec, Operator::Contract).map(drop)
}

impl Workload {
    /// What the lead of this MiniCluster runs under an operator; `None`: nothing, it waits for its users.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] says which line cannot be played.
    pub fn of(spec: &MiniClusterSpec, operator: Operator) -> Result<Option<Self>, WorkloadError> {
        let Some(container) = spec.flux_container().filter(|_| !spec.is_interactive) else { return Ok(None) };
        let Some(command) = container.command.as_deref() else { return Ok(None) };
        let only = |what: What, batch| Self { lines: vec![Line { after_success: false, what }], batch };
        let flags = flags(spec);
        if container.is_batch {
            let lines = match container.is_batch_raw {
                true => read(command)?,
                false => batch(command, operator)?,
            };
            let line = format!("{BATCH} {flags} --flags waitable ./flux-job.batch");
            return Ok(Some(only(What::Submit { line, waits: true }, Some(lines))));
        }
        if container.is_launcher {
            return Ok(Some(Self { lines: read(unwrapped(command))?, batch: None }));
        }
        known(command)?;
        let line = format!("flux submit {flags} {}", command.trim());
        Ok(Some(only(What::Submit { line, waits: true }, None)))
    }

    /// What a lead runs that has this command line in its pod, and this script where the command is `flux batch`.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`] says which line cannot be played.
    pub fn read(command: &str, script: Option<&str>) -> Result<Self, WorkloadError> {
        let lines = read(unwrapped(command))?;
        Ok(Self { lines, batch: script.map(read).transpose()? })
    }
}

/// How much the lead asks for: one task per node at least, on as many nodes as the MiniCluster had pods when it was made.
fn flags(spec: &MiniClusterSpec) -> String {
    let size = spec.size;
    match spec.tasks {
        0 => format!("-N {size}"),
        tasks if tasks >= size => format!("-N {size} -n{tasks}"),
        tasks => format!("-n{tasks}"),
    }
}

/// The lines of a batch: each is submitted, and at the end the queue must be idle. With the contract a job that has failed makes the batch
/// fail; the original does not look (A.11, 11).
fn batch(command: &str, operator: Operator) -> Result<Vec<Line>, WorkloadError> {
    let mut lines = Vec::new();
    for line in command.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        known(line)?;
        let line = format!("flux submit --flags waitable {line}");
        lines.push(Line { after_success: false, what: What::Submit { line, waits: false } });
    }
    lines.push(Line { after_success: false, what: What::Flux("flux queue idle".to_owned()) });
    if operator == Operator::Contract {
        lines.push(Line { after_success: false, what: What::WaitAll });
    }
    if lines.len() > LINES_MAX { Err(WorkloadError::TooLong) } else { Ok(lines) }
}

/// The script in `sh -c "…"`; anything else is one already.
fn unwrapped(command: &str) -> &str {
    let command = command.trim();
    let shells = ["sh -c ", "bash -c ", "/bin/sh -c ", "/bin/bash -c "];
    let Some(script) = shells.iter().find_map(|shell| command.strip_prefix(shell)).map(str::trim) else {
        return command;
    };
    let inside = |quote: char| {
        let inside = script.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(quote)).then_some(inside)
    };
    inside('"').or_else(|| inside('\'')).unwrap_or(command)
}

/// Reads the lines of a script, which end with a new line, `;` or `&&`.
fn read(script: &str) -> Result<Vec<Line>, WorkloadError> {
    let mut lines = Vec::new();
    for (after_success, text) in split(script) {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if lines.len() == LINES_MAX {
            return Err(WorkloadError::TooLong);
        }
        lines.push(Line { after_success, what: read_line(text)? });
    }
    Ok(lines)
}

fn split(script: &str) -> Vec<(bool, String)> {
    let mut lines = vec![(false, String::new())];
    let mut quote = None;
    let mut characters = script.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '\n' | ';') => lines.push((false, String::new())),
            // A comment goes to the end of the line, whatever is in it.
            (None, '#')
                if lines.last().is_none_or(|(_, line)| !line.ends_with(|c: char| !c.is_whitespace())) =>
            {
                while characters.next_if(|c| *c != '\n').is_some() {}
            }
            (None, '&') if characters.next_if_eq(&'&').is_some() => lines.push((true, String::new())),
            _ => {
                if quote == Some(c) {
                    quote = None;
                } else if quote.is_none() && matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                if let Some((_, line)) = lines.last_mut() {
                    line.push(c);
                }
            }
        }
    }
    lines
}

fn read_line(text: &str) -> Result<What, WorkloadError> {
    let shell = || WorkloadError::Shell(text.to_owned());
    let words = words(text).ok_or_else(shell)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit"] => Ok(What::Exit(None)),
        ["exit", code] => code.parse().map(|code| What::Exit(Some(code))).map_err(|_| shell()),
        ["flux", "job", "wait", "--all"] => Ok(What::WaitAll),
        ["flux", "batch", ..] => Ok(What::Submit { line: text.to_owned(), waits: false }),
        ["flux", verb @ ("submit" | "run"), rest @ ..] => {
            let waits = *verb == "run" || rest.iter().any(|word| matches!(*word, "--watch" | "--wait"));
            let options = text.trim_start_matches("flux").trim_start().trim_start_matches(verb);
            // What watches is this script.
            let line = format!("flux submit{}", options.replacen(" --watch", " --quiet", 1));
            Ok(What::Submit { line, waits })
        }
        ["flux", verb, ..] if COMMANDS.contains(verb) => Ok(What::Flux(text.to_owned())),
        ["flux", ..] => Err(WorkloadError::Unknown(text.to_owned())),
        _ => known(text).map(What::Program),
    }
}

/// What a program does, where the model knows it.
fn known(text: &str) -> Result<Program, WorkloadError> {
    let words = words(text.trim()).ok_or_else(|| WorkloadError::Shell(text.to_owned()))?;
    let program = Program::of(&words);
    if program.code == NOT_FOUND { Err(WorkloadError::Unknown(text.to_owned())) } else { Ok(program) }
}

/// How far a script has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// The line after the one that runs.
    next: usize,
    waiting: Option<Wait>,
    /// The jobs that it has submitted.
    jobs: Vec<JobId>,
    /// What the last line ended with.
    code: i32,
}

#[derive(Clone, Debug, PartialEq)]
enum Wait {
    /// For a job to become inactive.
    Job(JobId),
    /// For all of its jobs.
    Jobs,
    /// For a program, which ends then with this code.
    Program(Instant, i32),
    /// For a command of Flux, which looks for the first time then.
    Flux(Instant, String),
}

/// Where a script stands after a look at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    /// It waits; until this time, if that depends on nothing else.
    Waits(Option<Instant>),
    /// It has ended with this code.
    Ended(i32),
    /// Flux does not know this line.
    Unknown(String),
}

impl Progress {
    /// Plays as far as it gets by `at`.
    pub(crate) fn play(
        &mut self,
        workload: &Workload,
        instance: &mut Instance,
        at: Instant,
        draw: &mut dyn Draw,
    ) -> Standing {
        self.play_lines(&workload.lines, workload.batch.as_deref(), instance, at, draw)
    }

    fn play_lines(
        &mut self,
        lines: &[Line],
        batch: Option<&[Line]>,
        instance: &mut Instance,
        at: Instant,
        draw: &mut dyn Draw,
    ) -> Standing {
        loop {
            if let Some(waiting) = self.still_waits(instance, at, draw) {
                return Standing::Waits(waiting);
            }
            // Every round takes a line.
            let Some(Line { after_success, what }) = lines.get(self.next) else {
                return Standing::Ended(self.code);
            };
            self.next += 1;
            if *after_success && self.code != 0 {
                continue;
            }
            match what {
                What::Exit(code) => return Standing::Ended(code.unwrap_or(self.code)),
                What::WaitAll => self.waiting = Some(Wait::Jobs),
                What::Program(program) => {
                    let end = at.saturating_add(program.time);
                    self.waiting = Some(Wait::Program(end, i32::from(program.code)));
                }
                What::Flux(line) => {
                    self.waiting = Some(Wait::Flux(at.saturating_add(COMMAND_START), line.clone()));
                }
                What::Submit { line, waits } => {
                    if let Some(lines) = batch.filter(|_| line.starts_with(BATCH)) {
                        let program = play_batch(lines, instance.setup(), line, draw);
                        instance.give_program(Some(program));
                    }
                    let Some(answer) = run(instance, at, line, draw) else {
                        return Standing::Unknown(line.clone());
                    };
                    match answer.stdout.trim().parse::<JobId>() {
                        Ok(job) => {
                            self.jobs.push(job);
                            self.code = 0;
                            self.waiting = waits.then_some(Wait::Job(job));
                        }
                        Err(_) => self.code = exit_code(&answer).max(1),
                    }
                }
            }
        }
    }

    /// Until when it waits, if it does; otherwise the line that was waited for has its code.
    fn still_waits(
        &mut self,
        instance: &mut Instance,
        at: Instant,
        draw: &mut dyn Draw,
    ) -> Option<Option<Instant>> {
        let code = match self.waiting.as_ref()? {
            Wait::Program(end, _) if *end > at => return Some(Some(*end)),
            Wait::Program(_, code) => *code,
            Wait::Job(job) => match outcome(instance, *job, at) {
                None => return Some(None),
                Some(code) => code,
            },
            Wait::Jobs => {
                let codes: Option<Vec<i32>> =
                    self.jobs.iter().map(|job| outcome(instance, *job, at)).collect();
                match codes {
                    None => return Some(None),
                    Some(codes) => i32::from(codes.iter().any(|code| *code != 0)),
                }
            }
            Wait::Flux(start, _) if *start > at => return Some(Some(*start)),
            Wait::Flux(_, line) => match run(instance, at, line, draw) {
                Some(Answer { code: Code::Waits, .. }) => return Some(None),
                Some(answer) => exit_code(&answer),
                None => i32::from(NOT_FOUND),
            },
        };
        (self.waiting, self.code) = (None, code);
        None
    }
}

fn run(instance: &mut Instance, at: Instant, line: &str, draw: &mut dyn Draw) -> Option<Answer> {
    command::run(instance, at, Duration::ZERO, line, draw).map(|(answer, _)| answer)
}

const fn exit_code(answer: &Answer) -> i32 {
    match answer.code {
        Code::Exit(code) => code,
        Code::Waits => 0,
    }
}

/// What a job ended with, once it is inactive; one that cannot be asked for has failed.
fn outcome(instance: &Instance, job: JobId, at: Instant) -> Option<i32> {
    let Some(job) = instance.jobs().and_then(|jobs| jobs.job(job)) else { return Some(1) };
    job.event("clean").filter(|clean| *clean <= at)?;
    Some(job.returncode().and_then(|code| i32::try_from(code).ok()).unwrap_or(1))
}

/// How long a batch takes, and what it ends with: its script is played in an instance of its own, on what `line` asks for.
fn play_batch(lines: &[Line], outer: &Setup, line: &str, draw: &mut dyn Draw) -> Program {
    let option = |name: &str| {
        let mut words = line.split_whitespace();
        let found = words.find_map(|word| word.strip_prefix(name))?;
        if found.is_empty() { words.next()?.parse().ok() } else { found.parse::<u32>().ok() }
    };
    let all = outer.cores.max(1);
    let (nodes, cores) = match (option("-N"), option("-n")) {
        (Some(nodes), None) => (nodes, all),
        (Some(nodes), Some(tasks)) => (nodes, tasks.div_ceil(nodes.max(1)).min(all)),
        (None, tasks) => (tasks.unwrap_or(1).div_ceil(all), tasks.unwrap_or(1).min(all)),
    };
    let hosts: Hostlist = outer.hosts.iter().take(nodes.max(1) as usize).collect();
    let nodes = u32::try_from(hosts.len()).unwrap_or(1);
    let mut setup = Setup::new(outer.version, outer.scheduler, hosts, cores);
    setup.latencies = outer.latencies.clone();
    setup.quorum = Quorum::Size(nodes);
    let mut instance = Instance::new(setup);
    for rank in 0..nodes {
        // It is one of the list.
        let _ = instance.broker_started(Duration::ZERO, rank, draw);
    }
    let (mut progress, mut at) = (Progress::default(), Duration::ZERO);
    for _ in 0..INSTANTS_MAX {
        let mut alarm = None;
        if instance.runs() {
            match progress.play_lines(lines, None, &mut instance, at, draw) {
                Standing::Waits(until) => alarm = until,
                Standing::Ended(code) => {
                    return Program { time: at, code: u8::try_from(code).unwrap_or(u8::MAX) };
                }
                Standing::Unknown(_) => return Program { time: at, code: NOT_FOUND },
            }
        }
        let Some(next) = instance.next_time().into_iter().chain(alarm).min() else { break };
        at = at.max(next);
        instance.advance(at, draw);
    }
    // It waits for what never comes.
    Program::runs(Duration::from_secs(100 * 365 * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the batch's script says (Flux spec A.6), and what the contract adds to it.
    #[test]
    fn only_the_original_does_not_ask_what_became_of_the_jobs_of_a_batch() {
        let script =
            "flux submit --flags waitable sleep 1\nflux submit --flags waitable false\nflux queue idle";
        let command = "sleep 1\n\n# a comment\nfalse";
        assert_eq!(batch(command, Operator::Upstream), read(script));
        assert_eq!(batch(command, Operator::Contract), read(&format!("{script}\nflux job wait --all")));
    }
}
