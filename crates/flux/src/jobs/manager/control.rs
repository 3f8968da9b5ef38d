//! What users and the instance do to jobs and to the queue.

use std::cmp::Reverse;
use std::sync::Arc;

use super::flow::TERMINATED;
use super::{JobManager, Slot};
use crate::job_id::JobId;
use crate::jobs::event::{EventKind, Exception};
use crate::jobs::job::State;
use crate::jobs::spec::SubmitError;
use crate::time::Instant;

/// How a node left (Flux spec B.4, I 5, J 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeLoss {
    /// Its broker died or was cut off.
    Lost,
    /// Its broker went in an orderly way and took the job shell with it.
    Left,
}

/// Why `flux cancel` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job (recording 05).
    #[error("flux-cancel: ERROR: {0}: unknown job id")]
    Unknown(JobId),
    /// It is over.
    #[error("flux-cancel: ERROR: {0}: job is inactive")]
    Inactive(JobId),
}

/// The numbers of `flux queue status -v` (recordings 04 and 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCounts {
    /// Jobs whose request for cores was not sent yet.
    pub queued: usize,
    /// Jobs whose request the scheduler has.
    pub pending: usize,
    /// Jobs with cores.
    pub running: usize,
}

impl JobManager {
    /// Cancels a job that is not over.
    pub fn cancel(&mut self, now: Instant, id: JobId) -> Result<(), CancelError> {
        self.reach(now);
        let slot = self.slot(id).ok_or(CancelError::Unknown(id))?;
        match self.at_slot(slot).map(super::Job::state) {
            Some(State::Inactive) | None => Err(CancelError::Inactive(id)),
            Some(_) => {
                self.cancel_slot(slot);
                Ok(())
            }
        }
    }

    /// Cancels all jobs that are in one of these states; how many there were.
    pub fn cancel_all(&mut self, now: Instant, states: &[State]) -> usize {
        self.reach(now);
        let chosen: Vec<Slot> = (0..)
            .zip(&self.jobs)
            .filter(|(_, job)| states.contains(&job.state))
            .map(|(slot, _)| slot)
            .collect();
        for slot in &chosen {
            self.cancel_slot(*slot);
        }
        chosen.len()
    }

    fn cancel_slot(&mut self, slot: Slot) {
        let Some(state) = self.at_slot(slot).map(|job| job.state) else { return };
        if state >= State::Cleanup {
            return;
        }
        self.raise(slot, Exception { class: "cancel", severity: 0, note: String::new() });
        if state == State::Run {
            self.kill(slot, TERMINATED);
        } else {
            // Another job may be the head of the queue now.
            self.wake();
        }
    }

    /// Changes the urgency of a job that is not over: 0 holds it, 31 puts it first.
    pub fn set_urgency(&mut self, now: Instant, id: JobId, urgency: i64) -> Result<(), SubmitError> {
        self.reach(now);
        let urgency =
            u32::try_from(urgency).ok().filter(|urgency| *urgency <= 31).ok_or(SubmitError::Urgency)?;
        let slot = self.slot(id).ok_or(SubmitError::UnknownJob(id))?;
        let Some(job) = self.at_slot_mut(slot) else { return Err(SubmitError::UnknownJob(id)) };
        if job.state == State::Inactive {
            return Err(SubmitError::UnknownJob(id));
        }
        let (before, state) = (job.priority(), job.state);
        job.urgency = urgency;
        self.log(slot, self.now, EventKind::Urgency(urgency));
        if state == State::Sched {
            self.queue.remove(&(Reverse(before), id, slot));
            self.prioritise(slot, std::time::Duration::ZERO);
            self.wake();
        }
        Ok(())
    }

    /// `flux queue stop`: no new allocations. Versions before 0.88 show the reason.
    pub fn stop(&mut self, now: Instant, reason: Option<String>) {
        self.reach(now);
        self.stopped = Some(reason);
    }

    /// `flux queue start`.
    pub fn start(&mut self, now: Instant) {
        self.reach(now);
        self.stopped = None;
        self.wake();
    }

    /// `flux queue disable`: no submissions, for this reason.
    pub fn disable(&mut self, now: Instant, reason: &str) {
        self.reach(now);
        self.disabled = Some(reason.to_owned());
    }

    /// `flux queue enable`.
    pub fn enable(&mut self, now: Instant) {
        self.reach(now);
        self.disabled = None;
    }

    /// Whether the queue is stopped, and the reason if one was given.
    pub fn stopped(&self) -> Option<Option<&str>> {
        self.stopped.as_ref().map(Option::as_deref)
    }

    /// Why submission is disabled, if it is.
    pub fn disabled(&self) -> Option<&str> {
        self.disabled.as_deref()
    }

    /// `flux queue idle`: nothing has cores, and the scheduler has no request.
    pub fn is_idle(&self) -> bool {
        let counts = self.request_counts();
        counts.pending == 0 && !self.jobs.iter().any(|job| matches!(job.state, State::Run | State::Cleanup))
    }

    /// `flux queue drain`: no job is active.
    pub fn is_drained(&self) -> bool {
        self.jobs.iter().all(|job| job.state == State::Inactive)
    }

    /// How many jobs wait, for dependencies or for cores.
    pub fn pending_count(&self) -> usize {
        self.jobs.iter().filter(|job| job.state <= State::Sched).count()
    }

    /// Jobs that have not ended.
    pub fn unfinished(&self) -> usize {
        self.jobs.iter().filter(|job| job.state != State::Inactive).count()
    }

    /// The numbers of `flux queue status -v`. A stopped queue withdraws its requests.
    pub fn request_counts(&self) -> RequestCounts {
        let running = self.jobs.iter().filter(|job| job.state == State::Run).count();
        let waiting = if self.stopped.is_none() { self.queue.len() } else { 0 };
        // sched-simple takes a limited number of requests, Fluxion all.
        let limit = match self.setup.scheduler {
            crate::version::Scheduler::Simple => self.engine.depth(),
            crate::version::Scheduler::Fluxion(_) => usize::MAX,
        };
        RequestCounts { queued: waiting.saturating_sub(limit), pending: waiting.min(limit), running }
    }

    /// A node is gone, and with it what ran there. Jobs of several nodes lose their other tasks too, unless they are
    /// instances that still have their first node.
    pub fn node_failed(&mut self, now: Instant, rank: u32, loss: NodeLoss) {
        self.reach(now);
        let host = self.hosts.get(rank as usize).unwrap_or_default();
        for slot in (0..).zip(&self.jobs).map(|(slot, _)| slot).collect::<Vec<Slot>>() {
            let Some(job) = self.at_slot(slot).filter(|job| job.state == State::Run) else { continue };
            let Some(allocation) = job.allocation.as_ref() else { continue };
            let Some(shell) = allocation.nodes().iter().position(|node| node.0 == rank) else { continue };
            // Where the only shell was is nothing left to kill.
            let gone = allocation.nodes().len() == 1 && job.has_started(self.now);
            if job.spec.instance && shell > 0 {
                let note = if self.setup.features.node_failure_note {
                    format!("node failure on {host} (shell rank {shell})")
                } else {
                    format!("lost contact with job shell on {host} (shell rank {shell})")
                };
                self.raise(slot, Exception { class: "node-failure", severity: 2, note });
                continue;
            }
            let note = match loss {
                NodeLoss::Left => "flux_job_event_watch_get: Function not implemented".to_owned(),
                NodeLoss::Lost if self.setup.features.node_failure_note => {
                    format!("node failure on {host} (rank {rank})")
                }
                NodeLoss::Lost => format!("lost contact with job shell on broker {host} (rank {rank})"),
            };
            self.raise(slot, Exception { class: "exec", severity: 0, note });
            if gone {
                self.died(slot, 1 << 8);
            } else {
                self.kill(slot, TERMINATED);
            }
        }
    }

    /// What the instance does to jobs when it shuts down: stop the queue, cancel what runs, keep what waits (B.9).
    pub fn shutdown(&mut self, now: Instant) {
        self.stop(now, None);
        self.cancel_all(now, &[State::Run]);
    }

    /// The exceptions of a job, oldest first.
    pub fn exceptions(&self, id: JobId) -> Vec<Arc<Exception>> {
        let events = self.job(id).map(|job| job.events.as_slice()).unwrap_or_default();
        events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Exception(exception) => Some(Arc::clone(exception)),
                _ => None,
            })
            .collect()
    }
}
