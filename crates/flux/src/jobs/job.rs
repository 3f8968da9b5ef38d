//! One job: its events, and what `flux jobs` derives from them.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Annotation, Event, EventKind, Exception};
use super::spec::{Dependency, JobSpec, Program};
use crate::hostlist::Hostlist;
use crate::job_id::JobId;
use crate::scheduler::{Allocation, Request};
use crate::time::Instant;

/// Where a job is on its way (Flux spec B.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for dependencies.
    Depend,
    /// Waits for cores.
    Sched,
    /// Has cores.
    Run,
    /// Ended or was ended, still has cores.
    Cleanup,
    /// Over.
    Inactive,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Exit code 0, no severe exception.
    Completed,
    /// Anything else.
    Failed,
    /// Canceled.
    Canceled,
    /// Ran into its limit.
    Timeout,
}

impl State {
    /// `SCHED`, `RUN`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::Depend => "DEPEND",
            Self::Sched => "SCHED",
            Self::Run => "RUN",
            Self::Cleanup => "CLEANUP",
            Self::Inactive => "INACTIVE",
        }
    }
}

impl Outcome {
    /// `COMPLETED`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Timeout => "TIMEOUT",
        }
    }

    /// The code in the column ST.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Completed => "CD",
            Self::Failed => "F",
            Self::Canceled => "CA",
            Self::Timeout => "TO",
        }
    }
}

/// The priority of a job with urgency 31.
pub const PRIORITY_MAX: u32 = u32::MAX;

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    pub(super) id: JobId,
    pub(super) spec: Arc<JobSpec>,
    pub(super) request: Request,
    pub(super) program: Program,
    pub(super) urgency: u32,
    pub(super) state: State,
    /// In order of time; some are written ahead, because nothing can change them any more.
    pub(super) events: Vec<Event>,
    /// The hosts of the instance that gave cores to the job: after a restore they may have other names.
    pub(super) hosts: Arc<Hostlist>,
    pub(super) allocation: Option<Arc<Allocation>>,
    pub(super) allocated: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) inactive: Option<Instant>,
    /// The exception that decided the job, or the first lesser one.
    pub(super) exception: Option<Arc<Exception>>,
    pub(super) status: Option<u32>,
    /// When the scheduler expects to start it.
    pub(super) estimate: Option<Instant>,
    /// Dependencies that are not met yet.
    pub(super) unmet: Vec<Dependency>,
    /// Timers of an older generation are void.
    pub(super) generation: u32,
}

impl Job {
    /// The id.
    pub const fn id(&self) -> JobId {
        self.id
    }

    /// What was submitted.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What the scheduler is asked for.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The urgency given by the user.
    pub const fn urgency(&self) -> u32 {
        self.urgency
    }

    /// The urgency is the priority, but 31 goes before everything (recording 04).
    pub const fn priority(&self) -> u32 {
        if self.urgency == 31 { PRIORITY_MAX } else { self.urgency }
    }

    /// The number of tasks.
    pub fn tasks(&self) -> u32 {
        self.spec.shown_tasks()
    }

    /// What it holds or held.
    pub fn allocation(&self) -> Option<&Allocation> {
        self.allocation.as_deref()
    }

    /// The hosts that it holds or held.
    pub fn nodes(&self) -> Hostlist {
        self.allocation
            .as_ref()
            .map_or_else(Hostlist::new, |allocation| self.hosts.select(&allocation.ranks()))
    }

    /// When it got cores (`t_run`).
    pub const fn allocated_at(&self) -> Option<Instant> {
        self.allocated
    }

    /// When it ended or was ended (`t_cleanup`).
    pub const fn ended_at(&self) -> Option<Instant> {
        self.ended
    }

    /// When nothing was left to do (`t_inactive`).
    pub const fn inactive_at(&self) -> Option<Instant> {
        self.inactive
    }

    /// When it was submitted (`t_submit`).
    pub fn submitted_at(&self) -> Instant {
        self.events.first().map_or(Instant::ZERO, |event| event.time)
    }

    /// When the scheduler expects to start it, if it holds a reservation.
    pub const fn estimate(&self) -> Option<Instant> {
        self.estimate
    }

    /// Dependencies that are not met yet.
    pub fn unmet(&self) -> &[Dependency] {
        &self.unmet
    }

    /// The exception that decided the job, or the first lesser one.
    pub fn exception(&self) -> Option<&Exception> {
        self.exception.as_deref()
    }

    /// The wait status of the event `finish`.
    pub const fn status(&self) -> Option<u32> {
        self.status
    }

    /// The events so far.
    pub fn events(&self, now: Instant) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.time <= now)
    }

    /// When an event of this name came first; may lie some milliseconds ahead.
    pub fn event(&self, name: &str) -> Option<Instant> {
        self.events.iter().find(|event| event.kind.name() == name).map(|event| event.time)
    }

    /// Whether it has started.
    pub fn has_started(&self, now: Instant) -> bool {
        self.event("start").is_some_and(|start| start <= now)
    }

    /// What the scheduler wrote beside the allocation.
    pub fn annotation(&self) -> Option<&Annotation> {
        self.events.iter().rev().find_map(|event| match &event.kind {
            EventKind::Alloc(annotation) => Some(annotation),
            _ => None,
        })
    }

    /// How long it has had cores (recordings 03 and 05: from alloc to the end or to the severe exception).
    pub fn runtime(&self, now: Instant) -> Duration {
        self.allocated.map_or(Duration::ZERO, |start| self.ended.unwrap_or(now).saturating_sub(start))
    }

    /// How it ended, once it is inactive.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.state != State::Inactive {
            return None;
        }
        Some(match self.exception() {
            Some(Exception { severity: 0, class: "cancel", .. }) => Outcome::Canceled,
            Some(Exception { severity: 0, class: "timeout", .. }) => Outcome::Timeout,
            Some(Exception { severity: 0, .. }) => Outcome::Failed,
            _ if self.status == Some(0) => Outcome::Completed,
            _ => Outcome::Failed,
        })
    }

    /// The exit code (recording 05: 128 and the signal for tasks that were killed, -128 for a job canceled before it ran).
    pub fn returncode(&self) -> Option<i64> {
        let outcome = self.outcome()?;
        Some(match self.status {
            Some(status) if status & 0x7f == 0 => i64::from(status >> 8),
            Some(status) => 128 + i64::from(status & 0x7f),
            None if outcome == Outcome::Canceled => -128,
            None => 1,
        })
    }

    /// Why it is inactive, in the words of `flux jobs`.
    pub fn inactive_reason(&self) -> String {
        let Some(outcome) = self.outcome() else { return String::new() };
        let code = self.returncode().unwrap_or_default();
        match (outcome, self.exception()) {
            (Outcome::Canceled, Some(exception)) if !exception.note.is_empty() => {
                format!("Canceled: {}", exception.note)
            }
            (Outcome::Canceled, _) => "Canceled".to_owned(),
            (Outcome::Timeout, _) => "Timeout".to_owned(),
            (Outcome::Failed, Some(exception)) if exception.severity == 0 && exception.class != "exec" => {
                format!("Exception: type={} note={}", exception.class, exception.note)
            }
            (Outcome::Failed, _) => match code {
                126 => "permission denied".to_owned(),
                127 => "command not found".to_owned(),
                129.. => {
                    signal_name(code - 128).map_or_else(|| format!("Signal {}", code - 128), str::to_owned)
                }
                _ => format!("Exit {code}"),
            },
            (Outcome::Completed, _) => format!("Exit {code}"),
        }
    }
}

/// What the C library calls a signal.
const fn signal_name(signal: i64) -> Option<&'static str> {
    Some(match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        6 => "Aborted",
        9 => "Killed",
        11 => "Segmentation fault",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        _ => return None,
    })
}
