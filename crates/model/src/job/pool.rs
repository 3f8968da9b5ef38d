//! Workers on a queue: keys that are ready meet workers that are idle.

use std::time::Duration;

use super::queue::{RetryDelays, WorkQueue};
use super::{ControllerEvent, QueueId};
use crate::simulation::{Context, Event};

/// A queue and the workers that serve it.
#[derive(Debug)]
pub(super) struct Pool {
    id: QueueId,
    incarnation: u32,
    queue: WorkQueue,
    /// Workers without a key.
    idle: Vec<u32>,
    /// A [`ControllerEvent::Work`] is pending.
    is_work_scheduled: bool,
    /// The caches are complete: workers may take keys.
    is_started: bool,
}

impl Pool {
    /// An empty queue whose workers have not started.
    pub(super) fn new(id: QueueId, incarnation: u32, workers: u32) -> Self {
        let delays = if id == QueueId::Ttl { RetryDelays::DEFAULT } else { RetryDelays::JOBS };
        Self {
            id,
            incarnation,
            queue: WorkQueue::new(delays),
            idle: (0..workers.max(1)).rev().collect(),
            is_work_scheduled: false,
            is_started: false,
        }
    }

    /// The workers start.
    pub(super) fn start(&mut self, ctx: &mut Context<'_>) {
        self.is_started = true;
        self.wake(ctx);
    }

    /// Adds a key after a delay; none means now.
    pub(super) fn add_after(&mut self, key: u32, delay: Duration, ctx: &mut Context<'_>) {
        if let Some(at) = self.queue.add_after(ctx.now, key, delay) {
            self.schedule_due(at, key, ctx);
        } else if delay.is_zero() {
            self.wake(ctx);
        }
    }

    /// A key's delay is over.
    pub(super) fn due(&mut self, key: u32, ctx: &mut Context<'_>) {
        self.queue.due(ctx.now, key);
        self.wake(ctx);
    }

    /// Answers a [`ControllerEvent::Work`]: an idle worker and its key. Further keys get an event of their own, so that
    /// what this one causes is seen first.
    pub(super) fn next(&mut self, ctx: &mut Context<'_>) -> Option<(u32, u32)> {
        self.is_work_scheduled = false;
        let worker = self.idle.pop()?;
        let Some(key) = self.queue.take() else {
            self.idle.push(worker);
            return None;
        };
        self.wake(ctx);
        Some((worker, key))
    }

    /// A worker is done with its key; after a failure the key comes again at the pace of the rate limiter.
    pub(super) fn finish(&mut self, worker: u32, key: u32, has_failed: bool, ctx: &mut Context<'_>) {
        if has_failed {
            if let Some(at) = self.queue.add_rate_limited(ctx.now, key) {
                self.schedule_due(at, key, ctx);
            }
        } else {
            self.queue.forget(key);
        }
        self.queue.done(key);
        self.idle.push(worker);
        self.wake(ctx);
    }

    /// The queue.
    #[cfg(test)]
    pub(super) const fn queue(&mut self) -> &mut WorkQueue {
        &mut self.queue
    }

    fn schedule_due(&self, at: crate::time::Time, key: u32, ctx: &mut Context<'_>) {
        let event = ControllerEvent::Due { queue: self.id, key, incarnation: self.incarnation };
        ctx.events.schedule(at, Event::Controller(event));
    }

    fn wake(&mut self, ctx: &mut Context<'_>) {
        if self.is_started && !self.is_work_scheduled && self.queue.ready_len() > 0 && !self.idle.is_empty() {
            self.is_work_scheduled = true;
            let event = ControllerEvent::Work { queue: self.id, incarnation: self.incarnation };
            ctx.events.schedule(ctx.now, Event::Controller(event));
        }
    }
}
