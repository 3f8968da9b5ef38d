//! The work queue of a controller: a set of keys with delays and a rate limiter (spec section 1.2, client-go
//! `util/workqueue`).
//!
//! Keys are small dense numbers. The queue has no clock and schedules nothing by itself: where a key has to wait, the
//! caller is told until when and reports back with [`WorkQueue::due`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// How long keys wait after errors: the limiter of a queue (`ItemExponentialFailureRateLimiter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDelays {
    /// Delay after the first error of a key; each further one doubles it.
    pub min: Duration,
    /// Delay that doubling does not exceed.
    pub max: Duration,
}

impl RetryDelays {
    /// Of the queues of the Job controller, from 1.28 on.
    pub const JOBS: Self = Self { min: Duration::from_secs(1), max: Duration::from_secs(60) };
    /// Of controllers that set nothing special (`DefaultControllerRateLimiter`), without its limit over all keys.
    pub const DEFAULT: Self = Self { min: Duration::from_millis(5), max: Duration::from_secs(1_000) };

    fn after(self, failures: u32) -> Duration {
        self.min.saturating_mul(2_u32.saturating_pow(mutant!(66, failures => failures + 1))).min(self.max)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Earliest ready time in the delay heap; a direct add leaves it alone.
    waiting_until: Option<Time>,
    /// Errors since the last success.
    failures: u32,
    /// To be processed; in `ready` unless it is being processed.
    dirty: bool,
    /// A worker has it.
    processing: bool,
}

/// A delaying, rate-limited set-queue.
#[derive(Debug)]
pub struct WorkQueue {
    delays: RetryDelays,
    /// By key.
    entries: Vec<Entry>,
    /// Keys that are dirty and not being processed, first come first served.
    ready: VecDeque<u32>,
}

impl WorkQueue {
    /// An empty queue.
    pub const fn new(delays: RetryDelays) -> Self {
        Self { delays, entries: Vec::new(), ready: VecDeque::new() }
    }

    /// Adds a key. A key that is already there is not added twice; one that is being processed is processed once more
    /// when the worker is done with it.
    pub fn add(&mut self, key: u32) {
        let entry = self.entry(key);
        if entry.dirty {
            return;
        }
        entry.dirty = true;
        if !entry.processing {
            self.ready.push_back(key);
        }
    }

    /// Adds a key after a delay; none means now. Of several delays only the earliest end counts. Returns when
    /// [`WorkQueue::due`] has to be called, unless a call is already under way or the key was added at once.
    #[must_use]
    pub fn add_after(&mut self, now: Time, key: u32, delay: Duration) -> Option<Time> {
        if delay.is_zero() {
            self.add(key);
            return None;
        }
        let until = now + delay;
        let entry = self.entry(key);
        if entry.waiting_until.is_some_and(|earlier| earlier <= until) {
            return None;
        }
        entry.waiting_until = Some(until);
        Some(until)
    }

    /// Adds a key after the delay that its errors have earned it.
    /// Returns when [`WorkQueue::due`] has to be called, as [`WorkQueue::add_after`] does.
    #[must_use]
    pub fn add_rate_limited(&mut self, now: Time, key: u32) -> Option<Time> {
        let delays = self.delays;
        let entry = self.entry(key);
        let delay = delays.after(entry.failures);
        entry.failures = entry.failures.saturating_add(1);
        self.add_after(now, key, delay)
    }

    /// A key's delay is over at `now`; a call for a delay that an earlier one has replaced changes nothing.
    pub fn due(&mut self, now: Time, key: u32) {
        let entry = self.entry(key);
        if entry.waiting_until == Some(now) {
            entry.waiting_until = None;
            self.add(key);
        }
    }

    /// Takes the next key to process. No key is with two workers at once.
    pub fn take(&mut self) -> Option<u32> {
        let key = self.ready.pop_front()?;
        let entry = self.entry(key);
        entry.dirty = false;
        entry.processing = true;
        Some(key)
    }

    /// The worker is done with a key that it took.
    pub fn done(&mut self, key: u32) {
        let entry = self.entry(key);
        entry.processing = false;
        if entry.dirty {
            self.ready.push_back(key);
        }
    }

    /// Forgets the key's errors, as after a success.
    pub fn forget(&mut self, key: u32) {
        self.entry(key).failures = mutant!(67, 0 => self.entry(key).failures);
    }

    /// Errors of the key since the last success.
    pub fn failures(&self, key: u32) -> u32 {
        self.entries.get(key as usize).map_or(0, |entry| entry.failures)
    }

    /// Until when the key waits in the delay heap.
    pub fn waiting_until(&self, key: u32) -> Option<Time> {
        self.entries.get(key as usize)?.waiting_until
    }

    /// Keys that wait for a worker.
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        let index = key as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, Entry::default());
        }
        &mut self.entries[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u32 = 3;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_key_is_queued_once_and_in_order() {
        let mut queue = WorkQueue::new(RetryDelays::JOBS);
        for key in [5, 1, 5, 2, 1] {
            queue.add(key);
        }
        assert_eq!(std::iter::from_fn(|| queue.take()).collect::<Vec<_>>(), [5, 1, 2]);
    }

    #[test]
    fn a_key_added_while_processed_comes_again_after_done() {
        let mut queue = WorkQueue::new(RetryDelays::JOBS);
        queue.add(KEY);
        assert_eq!(queue.take(), Some(KEY));
        queue.add(KEY);
        queue.add(KEY);
        assert_eq!(queue.take(), None);
        queue.done(KEY);
        assert_eq!(queue.take(), Some(KEY));
        queue.done(KEY);
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn only_the_earliest_delay_counts() {
        let mut queue = WorkQueue::new(RetryDelays::JOBS);
        let now = Time::from_secs(10);
        assert_eq!(queue.add_after(now, KEY, secs(5)), Some(Time::from_secs(15)));
        assert_eq!(queue.add_after(now, KEY, secs(7)), None, "later than the one that waits");
        assert_eq!(queue.add_after(now, KEY, secs(1)), Some(Time::from_secs(11)), "earlier");
        queue.due(Time::from_secs(11), KEY);
        assert_eq!(queue.take(), Some(KEY));
        queue.done(KEY);
        queue.due(Time::from_secs(15), KEY);
        assert_eq!(queue.take(), None, "the replaced delay is void");
    }

    #[test]
    fn a_direct_add_leaves_the_waiting_entry() {
        let mut queue = WorkQueue::new(RetryDelays::JOBS);
        assert_eq!(queue.add_after(Time::ZERO, KEY, secs(1)), Some(Time::from_secs(1)));
        assert_eq!(queue.add_after(Time::ZERO, KEY, secs(0)), None);
        assert_eq!(queue.take(), Some(KEY));
        queue.done(KEY);
        queue.due(Time::from_secs(1), KEY);
        assert_eq!(queue.take(), Some(KEY));
    }

    /// Upstream `TestJobApiBackoffReset`, with the whole ladder.
    #[test]
    fn errors_double_the_delay_until_success_forgets_them() {
        let mut queue = WorkQueue::new(RetryDelays::JOBS);
        let mut now = Time::ZERO;
        for delay in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(queue.add_rate_limited(now, KEY), Some(now + secs(delay)));
            now += secs(delay);
            queue.due(now, KEY);
            assert_eq!(queue.take(), Some(KEY));
            queue.done(KEY);
        }
        queue.forget(KEY);
        assert_eq!(queue.failures(KEY), 0);
        assert_eq!(queue.add_rate_limited(now, KEY), Some(now + secs(1)));
    }
}
