//! What happens by itself: from the submission to the end.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::{JobManager, Slot, Timer, nanos};
use crate::jobs::event::{Annotation, Event, EventKind, Exception};
use crate::jobs::job::{Outcome, State};
use crate::jobs::spec::DependsOn;
use crate::scheduler::{Allocation, Decision};
use crate::time::{Draw, Instant};
use crate::version::Scheduler;

/// The wait status of a process that exits with a code.
const fn exit_status(code: u32) -> u32 {
    code << 8
}

/// The status of tasks that got SIGTERM, SIGALRM (recordings 03, 05).
pub(super) const TERMINATED: u32 = exit_status(128 + 15);
const SIGTERM: u32 = 15;
const ALARM: u32 = exit_status(128 + 14);

impl JobManager {
    /// Lets everything happen that is due until `to`.
    pub fn advance(&mut self, to: Instant, draw: &mut dyn Draw) {
        for (submitted, slot) in std::mem::take(&mut self.fresh) {
            self.accept(slot, submitted, draw);
        }
        let end = nanos(to);
        while let Some(Reverse(due)) = self.timers.peek().copied().filter(|Reverse(due)| due.time() <= end) {
            self.timers.pop();
            self.reach(Instant::from_nanos(due.time()));
            self.handle(due.timer, draw);
        }
        self.reach(to);
    }

    fn handle(&mut self, timer: Timer, draw: &mut dyn Draw) {
        match timer {
            Timer::Depend(slot) => self.depend(slot, draw),
            Timer::Finish(slot, generation) if self.is_current(slot, generation) => {
                let code = self.at_slot(slot).map_or(0, |job| job.program.code);
                self.finish(slot, exit_status(u32::from(code)), draw);
            }
            Timer::Expire(slot, generation) if self.is_current(slot, generation) => {
                let note = "resource allocation expired".to_owned();
                self.raise(slot, Exception { class: "timeout", severity: 0, note });
                self.kill(slot, ALARM);
            }
            Timer::Kill(slot, generation, status) => {
                let latency = self.setup.latencies.kill.draw(draw);
                self.after(latency, Timer::Killed(slot, generation, status));
            }
            Timer::Killed(slot, generation, status) if self.is_current(slot, generation) => {
                // Of a job that has not started, the shells die by the signal itself (recording 09).
                let started = self.at_slot(slot).is_some_and(|job| job.has_started(self.now));
                self.finish(slot, if started { status } else { SIGTERM }, draw);
            }
            Timer::Finish(..) | Timer::Expire(..) | Timer::Killed(..) => {}
            Timer::Clean(slot) => self.clean(slot),
            Timer::Wake => {
                let latency = self.setup.latencies.schedule.draw(draw);
                self.after(latency, Timer::Pass);
            }
            Timer::Pass => {
                self.awake = false;
                if self.stopped.is_none() {
                    self.pass(draw);
                }
            }
        }
    }

    fn is_current(&self, slot: Slot, generation: u32) -> bool {
        self.at_slot(slot).is_some_and(|job| job.generation == generation)
    }

    /// Writes an event. Events keep the order of their times, even where some were written ahead.
    pub(super) fn log(&mut self, slot: Slot, time: Instant, kind: EventKind) {
        let Some(job) = self.at_slot_mut(slot) else { return };
        let event = Event { time, kind };
        if job.events.last().is_none_or(|last| last.time <= time) {
            job.events.push(event);
        } else {
            let at = job.events.partition_point(|earlier| earlier.time <= time);
            job.events.insert(at, event);
        }
    }

    fn accept(&mut self, slot: Slot, submitted: Instant, draw: &mut dyn Draw) {
        let validated = submitted + self.setup.latencies.validate.draw(draw);
        self.log(slot, validated, EventKind::Validate);
        let depend = self.setup.latencies.depend.draw(draw);
        self.at(validated + depend, Timer::Depend(slot));
    }

    /// Goes on to SCHED when the dependencies are met; ends the job when they cannot be met any more.
    fn depend(&mut self, slot: Slot, draw: &mut dyn Draw) {
        let Some(job) = self.at_slot(slot).filter(|job| job.state == State::Depend) else { return };
        if let Some(begin) = job.spec.begin.filter(|begin| *begin > self.now) {
            self.at(begin, Timer::Depend(slot));
            return;
        }
        let mut unmet = job.unmet.clone();
        unmet.retain(|dependency| self.is_met(dependency.on, dependency.job) != Some(true));
        let hopeless = unmet
            .iter()
            .find(|dependency| self.is_met(dependency.on, dependency.job) == Some(false))
            .copied();
        let waits = !unmet.is_empty();
        if let Some(job) = self.at_slot_mut(slot) {
            job.unmet = unmet;
        }
        if let Some(dependency) = hopeless {
            let note =
                format!("dependency {}={} can never be satisfied", dependency.on.scheme(), dependency.job);
            self.raise(slot, Exception { class: "dependency", severity: 0, note });
        } else if waits {
            // A start that was written ahead is the only thing that comes without a timer.
            let starts = self.at_slot(slot).into_iter().flat_map(|job| &job.unmet).filter_map(|dependency| {
                let start = self.job(dependency.job)?.event("start").filter(|start| *start > self.now);
                start.filter(|_| dependency.on == DependsOn::Start)
            });
            if let Some(start) = starts.min() {
                self.at(start, Timer::Depend(slot));
            }
            if !self.dependent.contains(&slot) {
                self.dependent.push(slot);
            }
        } else {
            self.log(slot, self.now, EventKind::Depend);
            let latency = self.setup.latencies.priority.draw(draw);
            self.prioritise(slot, latency);
        }
    }

    /// Whether a dependency is met, or never will be; `None` while that is open.
    fn is_met(&self, on: DependsOn, id: crate::job_id::JobId) -> Option<bool> {
        let job = self.job(id)?;
        let outcome = job.outcome();
        match on {
            DependsOn::Start => job.has_started(self.now).then_some(true).or(outcome.map(|_| false)),
            DependsOn::Finish => outcome.map(|_| true),
            DependsOn::Success => outcome.map(|outcome| outcome == Outcome::Completed),
            DependsOn::Failure => outcome.map(|outcome| outcome != Outcome::Completed),
        }
    }

    /// Sets the priority and puts the job into the queue, unless it is held.
    pub(super) fn prioritise(&mut self, slot: Slot, latency: Duration) {
        let Some(job) = self.at_slot_mut(slot) else { return };
        job.state = State::Sched;
        let (priority, id) = (job.priority(), job.id);
        self.log(slot, self.now + latency, EventKind::Priority(priority));
        if priority > 0 {
            self.queue.insert((Reverse(priority), id, slot));
            self.wake();
        }
    }

    /// One pass of the scheduler over its queue. It answers one request after the other.
    fn pass(&mut self, draw: &mut dyn Draw) {
        /// Between two answers of a pass (recording 04: 0.2 to 1 ms).
        const ALLOCATION: Duration = Duration::from_micros(300);
        for slot in std::mem::take(&mut self.reserved) {
            if let Some(job) = self.at_slot_mut(slot) {
                job.estimate = None;
            }
        }
        let jobs = &self.jobs;
        let queue =
            self.queue.iter().filter_map(|(_, id, slot)| Some((*id, &jobs.get(*slot as usize)?.request)));
        let mut time = self.now;
        for (id, decision) in self.engine.pass(self.now, queue) {
            let Some(slot) = self.slot(id) else { continue };
            match decision {
                Decision::Allocate(allocation) => {
                    self.allocate(slot, time, allocation, draw);
                    time += ALLOCATION;
                }
                Decision::Deny(note) => self.raise(slot, Exception { class: "alloc", severity: 0, note }),
                Decision::Reserve(time, _) => {
                    self.reserved.push(slot);
                    if let Some(job) = self.at_slot_mut(slot) {
                        job.estimate = Some(time);
                    }
                }
            }
        }
    }

    fn allocate(&mut self, slot: Slot, time: Instant, allocation: Arc<Allocation>, draw: &mut dyn Draw) {
        let annotation = match self.setup.scheduler {
            Scheduler::Simple => Annotation::Summary(Arc::clone(&allocation)),
            Scheduler::Fluxion(_) if self.setup.features.fluxion_annotates => Annotation::Immediate,
            Scheduler::Fluxion(_) => Annotation::None,
        };
        self.log(slot, time, EventKind::Alloc(annotation));
        let hosts = Arc::clone(&self.hosts);
        let Some(job) = self.at_slot_mut(slot) else { return };
        job.state = State::Run;
        job.allocation = Some(allocation);
        job.allocated = Some(time);
        job.estimate = None;
        job.hosts = hosts;
        let (entry, generation, limit) =
            ((Reverse(job.priority()), job.id, slot), job.generation, job.request.limit);
        let runs = job.program.time;
        self.queue.remove(&entry);
        // Only an exception can come between, and that takes back what was written ahead.
        let start = time + self.setup.latencies.start.draw(draw);
        self.log(slot, start, EventKind::Start);
        let end = start.saturating_add(self.setup.latencies.shell.draw(draw)).saturating_add(runs);
        self.at(end, Timer::Finish(slot, generation));
        if let Some(limit) = limit {
            self.at(time.saturating_add(limit), Timer::Expire(slot, generation));
        }
        self.release_dependents();
    }

    /// Everything that ran has ended.
    pub(super) fn finish(&mut self, slot: Slot, status: u32, draw: &mut dyn Draw) {
        self.log(slot, self.now, EventKind::Finish(status));
        let now = self.now;
        if let Some(job) = self.at_slot_mut(slot) {
            job.status = Some(status);
            job.ended = job.ended.or(Some(now));
            job.state = State::Cleanup;
        }
        self.clean_up(slot, draw);
    }

    /// Gives back what the job holds. Nothing can come between, so the events are written ahead.
    pub(super) fn clean_up(&mut self, slot: Slot, draw: &mut dyn Draw) {
        let latencies = &self.setup.latencies;
        let released = self.now + latencies.release.draw(draw);
        let freed = released + latencies.free.draw(draw);
        let clean = freed + latencies.clean.draw(draw);
        self.log(slot, released, EventKind::Release);
        self.log(slot, freed, EventKind::Free);
        self.log(slot, clean, EventKind::Clean);
        if let Some(job) = self.at_slot_mut(slot) {
            job.generation += 1;
        }
        self.at(clean, Timer::Clean(slot));
    }

    fn clean(&mut self, slot: Slot) {
        let now = self.now;
        let Some(job) = self.at_slot_mut(slot) else { return };
        job.state = State::Inactive;
        job.inactive = Some(now);
        let id = job.id;
        // Only cores that come back are news to the scheduler.
        if self.engine.release(id) {
            self.wake();
        }
        self.release_dependents();
    }

    /// Jobs that wait for others look again.
    fn release_dependents(&mut self) {
        for slot in std::mem::take(&mut self.dependent) {
            self.after(Instant::ZERO, Timer::Depend(slot));
        }
    }

    /// Raises an exception. A severe one takes a waiting job out of the queue and ends it; of a running job it only
    /// marks the end, the caller says what becomes of its tasks.
    pub(super) fn raise(&mut self, slot: Slot, exception: Exception) {
        /// What a waiting job needs to be cleaned up (recording 04: 80-150 µs).
        const CLEAN: Duration = Duration::from_micros(110);
        let exception = Arc::new(exception);
        let now = self.now;
        if exception.severity == 0
            && let Some(job) = self.at_slot_mut(slot)
        {
            job.events.retain(|event| event.time <= now);
        }
        self.log(slot, self.now, EventKind::Exception(Arc::clone(&exception)));
        let Some(job) = self.at_slot_mut(slot) else { return };
        let severe = exception.severity == 0;
        if job.exception.as_ref().is_none_or(|earlier| severe && earlier.severity > 0) {
            job.exception = Some(exception);
        }
        if !severe {
            return;
        }
        job.generation += 1;
        let waiting = job.state <= State::Sched;
        let entry = (Reverse(job.priority()), job.id, slot);
        job.state = State::Cleanup;
        if waiting {
            self.queue.remove(&entry);
            self.dependent.retain(|other| *other != slot);
            self.log(slot, now + CLEAN, EventKind::Clean);
            self.after(CLEAN, Timer::Clean(slot));
        } else {
            job.ended = job.ended.or(Some(now));
        }
    }

    /// Kills what runs of a job that a severe exception has ended.
    pub(super) fn kill(&mut self, slot: Slot, status: u32) {
        if let Some(generation) = self.at_slot(slot).map(|job| job.generation) {
            self.after(Duration::ZERO, Timer::Kill(slot, generation, status));
        }
    }

    /// What ran of the job is dead already.
    pub(super) fn died(&mut self, slot: Slot, status: u32) {
        /// Until the execution system says so (recording 03: 60-340 µs).
        const NOTICED: Duration = Duration::from_micros(120);
        if let Some(generation) = self.at_slot(slot).map(|job| job.generation) {
            self.after(NOTICED, Timer::Killed(slot, generation, status));
        }
    }
}
