//! The command line of `flux jobs`.

use crate::job_id::JobId;
use crate::jobs::{Job, Outcome, State};

/// What `flux jobs` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// What a job must be.
    pub(super) filter: Vec<Filter>,
    pub(super) count: usize,
    pub(super) header: bool,
    pub(super) format: String,
    pub(super) statistics: bool,
    pub(super) statistics_only: bool,
    pub(super) ids: Vec<JobId>,
}

/// A state, or a way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    State(State),
    Outcome(Outcome),
}

impl Filter {
    const PENDING: [Self; 2] = [Self::State(State::Depend), Self::State(State::Sched)];
    const RUNNING: [Self; 2] = [Self::State(State::Run), Self::State(State::Cleanup)];

    fn named(name: &str) -> Option<Vec<Self>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "pending" => Self::PENDING.to_vec(),
            "running" => Self::RUNNING.to_vec(),
            "active" => [Self::PENDING, Self::RUNNING].concat(),
            "inactive" => vec![Self::State(State::Inactive)],
            "depend" => vec![Self::State(State::Depend)],
            "sched" | "priority" => vec![Self::State(State::Sched)],
            "run" => vec![Self::State(State::Run)],
            "cleanup" => vec![Self::State(State::Cleanup)],
            "completed" => vec![Self::Outcome(Outcome::Completed)],
            "failed" => vec![Self::Outcome(Outcome::Failed)],
            "canceled" => vec![Self::Outcome(Outcome::Canceled)],
            "timeout" => vec![Self::Outcome(Outcome::Timeout)],
            _ => return None,
        })
    }

    pub(super) fn holds(self, job: &Job) -> bool {
        match self {
            Self::State(state) => job.state() == state,
            Self::Outcome(outcome) => job.outcome() == Some(outcome),
        }
    }
}

/// The default columns (recordings 01-05, all versions).
const DEFAULT: &str = "{id.f58:>12} {username:<8.8+} {name:<10.10+} {status_abbrev:>2.2} {ntasks:>6} {nnodes:>6h} \
                       {contextual_time!F:>8h} {contextual_info}";

impl Options {
    /// Reads what stands behind `flux jobs`, or says what is wrong with it.
    pub(super) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            filter: Filter::named("active").unwrap_or_default(),
            count: 1_000,
            header: true,
            format: DEFAULT.to_owned(),
            statistics: false,
            statistics_only: false,
            ids: Vec::new(),
        };
        let mut args = args.iter().copied();
        while let Some(arg) = args.next() {
            match arg {
                "--stats" => options.statistics = true,
                "--stats-only" => options.statistics_only = true,
                "--no-header" => options.header = false,
                "--all" => options.show_all(),
                _ if arg.starts_with("--") => {
                    let (name, value) =
                        arg.split_once('=').map_or((arg, None), |(name, value)| (name, Some(value)));
                    let value = match value {
                        Some(value) => value,
                        None => args.next().ok_or_else(|| missing(name))?,
                    };
                    options.set(name, value)?;
                }
                _ if arg.starts_with('-') && arg.len() > 1 => {
                    // Letters may stand together; the last one may take a value: `-no FORMAT`.
                    let letters = arg.trim_start_matches('-');
                    for (at, letter) in letters.char_indices() {
                        match letter {
                            'a' => options.show_all(),
                            // All users: there is only one.
                            'A' => {}
                            'n' => options.header = false,
                            'c' | 'f' | 'o' => {
                                let behind = letters.get(at + 1..).unwrap_or_default();
                                let value = if behind.is_empty() {
                                    args.next().ok_or_else(|| missing(&format!("-{letter}")))?
                                } else {
                                    behind
                                };
                                options.set(&format!("-{letter}"), value)?;
                                break;
                            }
                            _ => return Err(format!("unrecognized arguments: {arg}")),
                        }
                    }
                }
                _ => options
                    .ids
                    .push(arg.parse().map_err(|_| format!("argument JOBID: invalid JobID value: '{arg}'"))?),
            }
        }
        Ok(options)
    }

    fn show_all(&mut self) {
        self.filter.push(Filter::State(State::Inactive));
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "-c" | "--count" => {
                self.count = value
                    .parse()
                    .map_err(|_| format!("argument -c/--count: invalid int value: '{value}'"))?;
            }
            "-o" | "--format" => value.clone_into(&mut self.format),
            "-f" | "--filter" => {
                self.filter.clear();
                for name in value.split(',') {
                    self.filter.extend(
                        Filter::named(name).ok_or_else(|| format!("Invalid filter specified: {name}"))?,
                    );
                }
            }
            _ => return Err(format!("unrecognized arguments: {name}")),
        }
        Ok(())
    }
}

fn missing(name: &str) -> String {
    format!("argument {name}: expected one argument")
}
