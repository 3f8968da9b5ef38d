//! `flux submit`, `flux run`, `flux batch`, `flux alloc --bg` (recordings 02, 04, 05).

use std::time::Duration;

use super::{Answer, Session, job};
use crate::JobId;
use crate::duration::parse_fsd;
use crate::jobs::{Dependency, DependsOn, JobSpec, Program};

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn run(session: &mut Session<'_>, command: &str, words: &[&str]) -> Option<Answer> {
    if words.contains(&"--dry-run") {
        return None;
    }
    let program = format!("flux-{command}");
    let mut spec = match parse(session, words) {
        Ok(spec) => spec,
        Err(Unread::Wrong(message)) => return Some(Answer::error(&program, message)),
        Err(Unread::Unknown) => return None,
    };
    if matches!(command, "batch" | "alloc") {
        // An instance runs until its script ends; without one, until it is canceled.
        spec.instance = true;
        let script = spec.command.first().cloned();
        spec.program = Some(Program::runs(FOR_EVER));
        spec.name = spec.name.or_else(|| Some(script.unwrap_or_else(|| "flux".to_owned())));
        if spec.command.is_empty() {
            spec.command = vec!["flux".to_owned(), "broker".to_owned()];
        }
    }
    spec.program = session.instance.take_program().or(spec.program);
    let (now, rank) = (session.now, session.rank);
    let id = match session.instance.lead_mut()?.jobs.submit(now, rank, spec) {
        Ok(id) => id,
        Err(error) => return Some(Answer::plain(1, error)),
    };
    // The id is the answer; the rest happens from now on.
    if command == "run" { job::attach(session, id) } else { Some(Answer::ok(format!("{id}\n"))) }
}

/// Why options were not read.
enum Unread {
    /// Flux refuses them so.
    Wrong(String),
    /// What Flux makes of them was not recorded.
    Unknown,
}

impl From<String> for Unread {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// Reads the options up to the first word that is none.
fn parse(session: &Session<'_>, words: &[&str]) -> Result<JobSpec, Unread> {
    let mut spec = JobSpec::new(Vec::<String>::new());
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with('-')) {
        let (name, attached) = split(word);
        let needs_value = !matches!(name, "--bg" | "--wait" | "--quiet" | "--exclusive" | "-x");
        let value = match attached {
            Some(value) => value,
            None if needs_value => {
                words.next().ok_or_else(|| format!("argument {name}: expected one argument"))?
            }
            None => "",
        };
        let number =
            || value.parse::<i64>().map_err(|_| format!("argument {name}: invalid int value: '{value}'"));
        match name {
            "-N" | "--nodes" => spec.nodes = Some(number()?),
            // 0 tasks are as good as none given (recording 05).
            "-n" | "--ntasks" => spec.tasks = Some(number()?).filter(|tasks| *tasks != 0),
            "-c" | "--cores-per-task" => spec.cores_per_task = Some(number()?),
            "-t" | "--time-limit" => {
                let limit = parse_fsd(value).map_err(|error| error.to_string())?;
                spec.limit = Some(limit).filter(|limit| limit.is_finite() && *limit > 0.0);
            }
            "--urgency" => spec.urgency = number()?,
            "--job-name" => spec.name = Some(value.to_owned()),
            "--requires" => {
                let (operator, hosts) = value.split_once(':').unwrap_or(("host", value));
                if !matches!(operator, "host" | "hosts") {
                    return Err(Unread::Unknown);
                }
                spec.hosts = Some(hosts.parse().map_err(|_| format!("invalid constraint: {value}"))?);
            }
            "--dependency" => {
                let after = value.strip_prefix("afterok:").ok_or(Unread::Unknown)?;
                let id: JobId = after.parse().map_err(|_| format!("invalid job id {after}"))?;
                spec.dependencies.push(Dependency { on: DependsOn::Success, job: id });
            }
            "--begin-time" => {
                let later = value.strip_prefix('+').ok_or(Unread::Unknown)?;
                let later = parse_fsd(later).map_err(|error| error.to_string())?;
                spec.begin = Some(
                    session.now + Duration::try_from_secs_f64(later).map_err(|error| error.to_string())?,
                );
            }
            "-x" | "--exclusive" => spec.exclusive = true,
            // What the shell does with a job says nothing about when and where it runs.
            "-o" | "--cwd" | "--setattr" | "--output" | "--error" | "--flags" | "--bg" | "--wait"
            | "--quiet" => {}
            _ => return Err(Unread::Unknown),
        }
    }
    spec.command = words.map(str::to_owned).collect();
    Ok(spec)
}

/// `-N4`, `--nodes=4`, `-N`: the option and the value that is attached to it.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    let (name, value) = word.split_at_checked(2).unwrap_or((word, ""));
    (name, Some(value).filter(|value| !value.is_empty()))
}
