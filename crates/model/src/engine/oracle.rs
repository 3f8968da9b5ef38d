//! What the timing wheel has to agree with: a binary heap over (time, sequence of scheduling).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// [`super::EventQueue`] with the same contract and nothing clever in it.
pub(super) struct HeapQueue<E> {
    heap: BinaryHeap<Reverse<(Time, u64, E)>>,
    sequence: u64,
    now: Time,
}

impl<E: Ord> Default for HeapQueue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0, now: Time::ZERO }
    }
}

impl<E: Ord> HeapQueue<E> {
    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn schedule(&mut self, at: Time, event: E) {
        self.heap.push(Reverse((at.max(self.now), self.sequence, event)));
        self.sequence += 1;
    }

    pub(super) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn pop_until(&mut self, limit: Time) -> Option<(Time, E)> {
        self.next_time().filter(|&next| next <= limit)?;
        let Reverse((at, _, event)) = self.heap.pop()?;
        self.now = at;
        Some((at, event))
    }

    pub(super) fn advance_to(&mut self, to: Time) {
        assert!(self.next_time().is_none_or(|next| next >= to), "an event is due before {to}");
        self.now = self.now.max(to);
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
