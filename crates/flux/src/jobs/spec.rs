//! What a user submits, and what Flux refuses at once.

use std::time::Duration;

use crate::duration::InvalidDuration;
use crate::hostlist::Hostlist;
use crate::job_id::JobId;
use crate::scheduler::{Request, Shape};
use crate::time::Instant;

/// A submission: the options of `flux submit` that the recordings use.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `-N`.
    pub nodes: Option<i64>,
    /// `-n`.
    pub tasks: Option<i64>,
    /// `-c`.
    pub cores_per_task: Option<i64>,
    /// `-x`: whole nodes even if `-n` is given.
    pub exclusive: bool,
    /// `-t`, in seconds; none, 0 and infinity mean no limit.
    pub limit: Option<f64>,
    /// `--urgency`; 16 unless said otherwise.
    pub urgency: i64,
    /// `--job-name`; the name of the program unless said otherwise.
    pub name: Option<String>,
    /// `--requires=host:…`.
    pub hosts: Option<Hostlist>,
    /// `--dependency`.
    pub dependencies: Vec<Dependency>,
    /// `--begin-time`.
    pub begin: Option<Instant>,
    /// What the program does; taken from the command if not given.
    pub program: Option<Program>,
    /// A Flux instance of its own (`flux alloc`, `flux batch`): it outlives the loss of any node but its first (B.7).
    pub instance: bool,
}

/// What must have happened to another job before this one may be scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What must have happened.
    pub on: DependsOn,
    /// The other job.
    pub job: JobId,
}

/// `after`, `afterany`, `afterok`, `afternotok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependsOn {
    /// It has started.
    Start,
    /// It is inactive.
    Finish,
    /// It is inactive and completed.
    Success,
    /// It is inactive and did not complete.
    Failure,
}

impl DependsOn {
    /// As `flux jobs` shows it (recording 05: `depends:after-success=ƒ5xSDkvb`).
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Start => "after-start",
            Self::Finish => "after-finish",
            Self::Success => "after-success",
            Self::Failure => "after-failure",
        }
    }
}

/// What a program does once it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// How long it runs.
    pub time: Duration,
    /// Its exit code; 128 and more are signals.
    pub code: u8,
}

impl Program {
    /// A program that ends at once with a code.
    pub const fn exits(code: u8) -> Self {
        Self { time: Duration::ZERO, code }
    }

    /// A program that runs for a time and succeeds.
    pub const fn runs(time: Duration) -> Self {
        Self { time, code: 0 }
    }

    /// What the commands of the recordings do. Anything else is not found: exit code 127 (recording 05).
    pub fn of(command: &[String]) -> Self {
        let Some((program, arguments)) = command.split_first() else { return Self::exits(127) };
        match (program.as_str(), arguments) {
            ("sleep", [time]) => crate::duration::parse_fsd(time).ok().map_or(Self::exits(1), |time| {
                // Sleeping for ever is possible.
                Self::runs(Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX / 4))
            }),
            // The script of a batch makes a place for what its jobs print.
            (
                "true" | "hostname" | "whoami" | "echo" | "date" | "flux" | "printenv" | "pwd" | "id"
                | "mkdir",
                _,
            ) => Self::exits(0),
            ("false", _) => Self::exits(1),
            ("bash" | "sh", [option, script]) if option == "-c" => Self::of_script(script),
            _ => Self::exits(127),
        }
    }

    fn of_script(script: &str) -> Self {
        let words: Vec<&str> = script.split_whitespace().collect();
        match words.as_slice() {
            ["exit", code] => Self::exits(code.parse().unwrap_or(2)),
            ["kill", signal, "$$"] => {
                let number = signal.trim_start_matches('-').parse::<u8>().unwrap_or(15);
                Self::exits(number.saturating_add(128))
            }
            _ => Self::of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
        }
    }
}

/// Why `flux submit` failed. The texts are those of the recordings (05, 08, 11).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No program.
    #[error("flux-submit: ERROR: job command and arguments are missing")]
    NoCommand,
    /// `-N 0`.
    #[error("flux-submit: ERROR: node count must be an integer >= 1 (if set)")]
    NodeCount,
    /// A negative count.
    #[error("flux-submit: ERROR: task count must be a integer >= 1")]
    TaskCount,
    /// `-c 0`.
    #[error("flux-submit: ERROR: cores per task must be an integer >= 1")]
    CoreCount,
    /// `-N 4 -n 2`.
    #[error("flux-submit: ERROR: node count must not be greater than task count")]
    MoreNodesThanTasks,
    /// `-t xyz`.
    #[error("flux-submit: ERROR: {0}")]
    Limit(#[from] InvalidDuration),
    /// `--urgency=32`.
    #[error("[Errno 22] urgency range is [0:31]")]
    Urgency,
    /// `flux queue disable`.
    #[error("[Errno 22] job submission is disabled: {0}")]
    Disabled(String),
    /// A host that the instance does not have; before 0.88 accepted and denied later.
    #[error("[Errno 1] host constraint contains invalid hosts: host '{0}' not found")]
    UnknownHost(String),
    /// A dependency on a job that does not exist.
    #[error("[Errno 22] dependency: {0}: job not found")]
    UnknownJob(JobId),
}

impl JobSpec {
    /// A submission of a command without options.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            nodes: None,
            tasks: None,
            cores_per_task: None,
            exclusive: false,
            limit: None,
            urgency: 16,
            name: None,
            hosts: None,
            dependencies: Vec::new(),
            begin: None,
            program: None,
            instance: false,
        }
    }

    /// The name that `flux jobs` shows: the last part of the program's path.
    pub fn shown_name(&self) -> String {
        let program = self.command.first().map_or("", String::as_str);
        self.name.clone().unwrap_or_else(|| program.rsplit('/').next().unwrap_or(program).to_owned())
    }

    /// The number of tasks that `flux jobs` shows.
    pub fn shown_tasks(&self) -> u32 {
        count(self.tasks).or(count(self.nodes)).unwrap_or(1)
    }

    /// What the scheduler is asked for, or what is wrong with the counts. `hosts` are those of the instance.
    pub fn request(&self, hosts: &Hostlist) -> Result<Request, SubmitError> {
        if self.command.is_empty() {
            return Err(SubmitError::NoCommand);
        }
        let tasks = self.tasks.or(self.nodes);
        match (self.nodes, tasks) {
            (Some(0), _) => return Err(SubmitError::NodeCount),
            (_, Some(tasks)) if tasks < 0 => return Err(SubmitError::TaskCount),
            (Some(nodes), _) if nodes < 0 => return Err(SubmitError::NodeCount),
            (Some(nodes), Some(tasks)) if nodes > tasks => return Err(SubmitError::MoreNodesThanTasks),
            _ => {}
        }
        if self.cores_per_task.is_some_and(|cores| cores < 1) {
            return Err(SubmitError::CoreCount);
        }
        if !(0..=31).contains(&self.urgency) {
            return Err(SubmitError::Urgency);
        }
        let slots = self.shown_tasks();
        let shape = match (count(self.nodes), self.tasks) {
            (None, _) => Shape::Slots(slots),
            (Some(nodes), None) => Shape::WholeNodes(nodes),
            (Some(nodes), Some(_)) if self.exclusive => Shape::WholeNodes(nodes),
            (Some(nodes), Some(_)) => Shape::Nodes { nodes, slots: slots.div_ceil(nodes) },
        };
        let ranks = self.hosts.as_ref().map(|wanted| {
            // Hosts that do not exist are no ranks; whether that is an error depends on the version.
            wanted.iter().filter_map(|host| hosts.find(&host).and_then(|at| u32::try_from(at).ok())).collect()
        });
        let limit =
            self.limit.filter(|limit| *limit > 0.0).and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        Ok(Request { shape, cores_per_slot: count(self.cores_per_task).unwrap_or(1), ranks, limit })
    }
}

/// A count that was given and is at least 1. `-n 0` counts as not given (recording 05 accepts it).
fn count(given: Option<i64>) -> Option<u32> {
    given.filter(|count| *count > 0).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}
