//! Pending events (placeholder on a heap; to become the timing wheel).
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

struct Entry<E>(Time, u64, E);
impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Pending events in the total order (time, sequence of scheduling).
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    sequence: u64,
    now: Time,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0, now: Time::ZERO }
    }
}

impl<E> EventQueue<E> {
    /// The time of the event that was popped last, or what [`EventQueue::advance_to`] set.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Schedules `event` at `at`; an instant in the past means now. Events of one instant come out in the order in
    /// which they were scheduled.
    pub fn schedule(&mut self, at: Time, event: E) {
        self.heap.push(Reverse(Entry(at.max(self.now), self.sequence, event)));
        self.sequence += 1;
    }

    /// The time of the next event.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.0)
    }

    /// Removes and returns the next event if it is due at or before `limit`, and moves the clock to it.
    pub fn pop_until(&mut self, limit: Time) -> Option<(Time, E)> {
        if self.next_time()? > limit {
            return None;
        }
        let Reverse(Entry(at, _, event)) = self.heap.pop()?;
        self.now = at;
        Some((at, event))
    }

    /// Moves the clock to `to` when nothing is due before.
    ///
    /// # Panics
    /// When an event is due before `to`: it would be lost.
    pub fn advance_to(&mut self, to: Time) {
        assert!(self.next_time().is_none_or(|next| next >= to), "an event is due before {to}");
        self.now = self.now.max(to);
    }

    /// Pending events.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
