//! Workers on a queue: keys that are ready meet workers that are idle.

use std::time::Duration;

use super::QueueId;
use super::queue::{RetryDelays, WorkQueue};
use crate::engine::EventQueue;
use crate::time::Time;

/// A queue and the workers that serve it.
#[derive(Debug)]
pub(super) struct Pool {
    queue: WorkQueue,
    /// Keys whose delay is not over.
    delayed: EventQueue<u32>,
    /// Workers without a key.
    idle: Vec<u32>,
    /// The caches are complete: workers may take keys.
    is_started: bool,
}

impl Pool {
    /// An empty queue whose workers have not started.
    pub(super) fn new(id: QueueId, workers: u32) -> Self {
        let delays = if id == QueueId::Ttl { RetryDelays::DEFAULT } else { RetryDelays::JOBS };
        Self {
            queue: WorkQueue::new(delays),
            delayed: EventQueue::default(),
            idle: (0..workers.max(1)).rev().collect(),
            is_started: false,
        }
    }

    /// The workers start.
    pub(super) fn start(&mut self) {
        self.is_started = true;
    }

    /// Adds a key after a delay; none means now.
    pub(super) fn add_after(&mut self, now: Time, key: u32, delay: Duration) {
        if let Some(at) = self.queue.add_after(now, key, delay) {
            self.delayed.schedule(at, key);
        }
    }

    /// When the next delay is over.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.delayed.next_time()
    }

    /// Delays that are over by now are over.
    pub(super) fn fire(&mut self, now: Time) {
        while let Some((_, key)) = self.delayed.pop_until(now) {
            self.queue.due(now, key);
        }
    }

    /// An idle worker takes the next key.
    pub(super) fn next(&mut self) -> Option<(u32, u32)> {
        if !self.is_started || self.queue.ready_len() == 0 {
            return None;
        }
        let worker = self.idle.pop()?;
        let Some(key) = self.queue.take() else {
            self.idle.push(worker);
            return None;
        };
        Some((worker, key))
    }

    /// A worker is done with its key; after a failure the key comes again at the pace of the rate limiter.
    pub(super) fn finish(&mut self, now: Time, worker: u32, key: u32, has_failed: bool) {
        if has_failed {
            if let Some(at) = self.queue.add_rate_limited(now, key) {
                self.delayed.schedule(at, key);
            }
        } else {
            self.queue.forget(key);
        }
        self.queue.done(key);
        self.idle.push(worker);
    }

    /// The queue.
    #[cfg(test)]
    pub(super) const fn queue(&mut self) -> &mut WorkQueue {
        &mut self.queue
    }
}
