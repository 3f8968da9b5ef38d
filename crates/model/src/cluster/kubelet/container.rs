//! One container of a pod on its node.

use std::time::Duration;

use super::restarts::RestartBackoff;
use crate::cluster::workload::{Behaviour, OnTerm};
use crate::engine::Timer;
use crate::objects::RestartPolicy;
use crate::time::Time;

/// Exit code of a process that SIGKILL ended: 128 + 9.
pub(super) const KILLED: i32 = 137;
/// Exit code of a process that SIGTERM ended: 128 + 15.
pub(super) const TERMINATED: i32 = 143;

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: stays beside the others and decides nothing.
    Sidecar,
    /// One of `spec.containers`.
    Main,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) at: Time,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Not started yet.
    Waiting,
    /// Its process runs; it will end with this code when the timer expires, if that is armed.
    Running { exit_code: i32 },
    /// Its process has ended and nobody has noticed.
    Exited(Exit),
    /// It has ended. It starts again when the timer expires, if that is armed.
    Ended(Exit),
    /// It has ended and starts again only after a back-off.
    BackingOff(Exit),
}

/// A container and its one timer: the end of its process, then the notice of that, then the restart.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContainerRun {
    pub(super) role: Role,
    pub(super) run: Run,
    pub(super) restarts: i32,
    pub(super) backoff: RestartBackoff,
    pub(super) timer: Timer,
    /// When the process will end, as far as that is settled.
    pub(super) ends_at: Option<Time>,
}

/// What a signal or a start does to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as before.
    Unchanged,
    /// It ends now with this code.
    EndsNow(i32),
    /// It ends at this instant; the timer is to be armed.
    EndsAt(Time),
}

impl ContainerRun {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            run: Run::Waiting,
            restarts: 0,
            backoff: RestartBackoff::default(),
            timer: Timer::default(),
            ends_at: None,
        }
    }

    /// Its process runs, noticed or not.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.run, Run::Running { .. })
    }

    /// Its process has ended and the kubelet knows, or never was.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.run, Run::Waiting | Run::Ended(_) | Run::BackingOff(_))
    }

    /// How it ended last, if it is not running.
    pub(super) fn last_exit(&self) -> Option<Exit> {
        match self.run {
            Run::Exited(exit) | Run::Ended(exit) | Run::BackingOff(exit) => Some(exit),
            Run::Waiting | Run::Running { .. } => None,
        }
    }

    /// Its process starts. Containers that only prepare or accompany run for `init_runs_for`, or until they are told to stop.
    pub(super) fn start(&mut self, behaviour: &Behaviour, init_runs_for: Duration, now: Time) -> Fate {
        if let Some(exit) = self.last_exit() {
            self.backoff.restarted(exit.at, now);
            self.restarts = self.restarts.saturating_add(1);
        }
        let (runs_for, exit_code) = match self.role {
            Role::Main => (behaviour.runs_for, behaviour.exit_code),
            Role::Init => (Some(init_runs_for), 0),
            Role::Sidecar => (None, TERMINATED),
        };
        self.run = Run::Running { exit_code };
        self.timer.cancel();
        self.ends_at = runs_for.map(|runs_for| now + runs_for);
        self.ends_at.map_or(Fate::Unchanged, Fate::EndsAt)
    }

    /// SIGTERM arrives.
    pub(super) fn terminate(&mut self, behaviour: &Behaviour, now: Time) -> Fate {
        let on_term = match self.role {
            Role::Main => behaviour.on_term,
            Role::Init | Role::Sidecar => OnTerm::Exit { exit_code: TERMINATED, after: Duration::ZERO },
        };
        match (self.run, on_term) {
            (Run::Running { .. }, OnTerm::Exit { exit_code, after }) => {
                if after.is_zero() {
                    return Fate::EndsNow(exit_code);
                }
                let at = now + after;
                // A process that would have ended before goes on to do so.
                if self.ends_at.is_some_and(|ends_at| ends_at <= at) {
                    return Fate::Unchanged;
                }
                self.run = Run::Running { exit_code };
                self.ends_at = Some(at);
                Fate::EndsAt(at)
            }
            _ => Fate::Unchanged,
        }
    }

    /// Its process has ended.
    pub(super) fn exit(&mut self, code: i32, now: Time) {
        self.run = Run::Exited(Exit { code, at: now });
        self.ends_at = None;
        self.timer.cancel();
    }

    /// Whether it runs again after this end.
    pub(super) fn restarts_after(&self, exit: Exit, policy: RestartPolicy) -> bool {
        match (self.role, policy) {
            (Role::Sidecar, _) => true,
            (Role::Main, RestartPolicy::Always) => true,
            (_, RestartPolicy::Never) => false,
            (Role::Init, RestartPolicy::Always) | (_, RestartPolicy::OnFailure) => exit.code != 0,
        }
    }
}
