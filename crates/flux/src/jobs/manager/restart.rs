//! What survives the end of an instance: the jobs as they were at a checkpoint (Flux spec D.2-D.4, recordings 03b
//! and 06).
//!
//! A clean shutdown or a dump takes a checkpoint. After a crash the last one counts, so later jobs are gone and jobs that
//! waited in it run a second time (part I 10). The same happens when an archive is restored.

use std::sync::Arc;
use std::time::Duration;

use super::{JobManager, Setup, Timer};
use crate::jobs::event::{EventKind, Exception};
use crate::jobs::job::{Job, State};
use crate::time::Instant;

/// Jobs as they were at some time.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    jobs: Vec<Job>,
}

impl Checkpoint {
    /// The jobs.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }
}

impl JobManager {
    /// The jobs as they are now.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut jobs = self.jobs.clone();
        for job in &mut jobs {
            // What was written ahead has not happened yet.
            job.events.retain(|event| event.time <= self.now);
            job.estimate = None;
        }
        Checkpoint { jobs }
    }

    /// A job manager with the jobs of a checkpoint: finished ones stay as they are, waiting ones wait again, running ones
    /// fail, because nothing is left of them. Ids go on from the largest one.
    pub fn restore(setup: Setup, now: Instant, checkpoint: Checkpoint, started: bool) -> Self {
        /// Until a job that ran is cleaned up (recording 06: release 50-150 µs after the exception, then free and clean).
        const STEP: Duration = Duration::from_micros(60);
        let newest = checkpoint.jobs.iter().map(|job| job.id.millis()).max().unwrap_or(0);
        let mut this = Self::new(setup, now);
        this.stopped = (!started).then_some(None);
        // Time of ids: `newest` at `now`. The epoch may lie before the caller's time zero, then ids start anew from it.
        this.epoch = now.saturating_sub(Duration::from_millis(newest));
        let mut running = Vec::new();
        for mut job in checkpoint.jobs {
            if let Ok(request) = job.spec.request(&this.hosts) {
                job.request = request;
            }
            let state = job.state;
            if let Some(last) = this.last_ids.get_mut(&job.id.generator()) {
                *last = (*last).max(job.id);
            } else {
                this.last_ids.insert(job.id.generator(), job.id);
            }
            let slot = this.insert(job);
            match state {
                State::Inactive => {}
                State::Depend => {
                    this.log(slot, now, EventKind::Restart);
                    this.at(now, Timer::Depend(slot));
                }
                State::Sched => {
                    this.log(slot, now, EventKind::Restart);
                    this.prioritise(slot, STEP);
                }
                State::Run | State::Cleanup => running.push(slot),
            }
        }
        if !this.setup.features.restores_oldest_first {
            running.reverse();
        }
        for (before, slot) in (0..).zip(running) {
            this.reach(now + STEP * before * 4);
            // What had ended only needs cleaning up.
            let ended = this.at_slot(slot).is_some_and(|job| job.status.is_some());
            let note = "failed to create guest ns: No such file or directory".to_owned();
            if !ended {
                this.raise(slot, Exception { class: "exec", severity: 0, note });
            }
            let failed = this.now;
            for (step, kind) in (1..).zip([EventKind::Release, EventKind::Free, EventKind::Clean]) {
                if this.at_slot(slot).is_some_and(|job| job.event(kind.name()).is_none()) {
                    this.log(slot, failed + STEP * step, kind);
                }
            }
            // A lead that ended in the middle of this has written the end already.
            let clean = this.at_slot(slot).and_then(|job| job.event(EventKind::Clean.name()));
            this.at(clean.unwrap_or(failed).max(now), Timer::Clean(slot));
        }
        this
    }

    /// The hosts of the instance.
    pub fn hosts(&self) -> Arc<crate::hostlist::Hostlist> {
        Arc::clone(&self.hosts)
    }
}
