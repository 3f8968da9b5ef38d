//! Pending events: a hierarchical timing wheel.
//!
//! An instant is read as eleven digits of six bits. An event lies on the *level* of the highest digit in which its instant
//! differs from the present one, in the *slot* that this digit names; events of the present instant lie on level 0. Level
//! 0 has a slot for each microsecond, level 10 reaches the end of `u64`, so that there is no horizon beyond which events
//! would need a place (and an order) of their own.
//!
//! Two things follow, and everything else rests on them:
//!
//! * The place of an event depends on its instant and the clock alone. Events of one instant therefore always share a
//!   slot, lists are only ever appended to, and a list that moves down a level (a *cascade*) is walked from its head: the
//!   order of scheduling survives, and an event scheduled later can never overtake one that waited on a higher level.
//! * When the clock moves and nothing was due before, exactly one slot has to cascade: the one that the new instant
//!   names on the highest level whose digit changed. Levels above keep their digits, levels below are empty.
//!
//! The clock moves only to the event that is popped (or to where [`EventQueue::advance_to`] puts it), never to the start of
//! a slot, so that looking for an event changes nothing, and a slot with a single event is popped without a cascade. Each
//! slot remembers its earliest instant, each level the slots in use, and the queue the levels in use: the next instant is
//! found by two bit scans. Events live in one slab whose free places are reused, so a run that has seen its largest
//! number of pending events allocates no more.

use std::fmt;

use crate::time::Time;

/// Bits of an instant that one level looks at.
const DIGIT_BITS: u32 = 6;
/// Slots of a level; a level's slots in use fit one `u64`.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels that cover every bit of an instant.
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
/// End of a list.
const NIL: u32 = u32::MAX;

/// A place of the slab.
#[derive(Clone)]
struct Entry<E> {
    /// When the event is due, in microseconds.
    at: u64,
    /// The next entry of the same slot, or of the free list.
    next: u32,
    /// Empty while the place is free.
    event: Option<E>,
}

/// A list of entries in the order in which they were scheduled, as far as they are of one instant.
#[derive(Clone, Copy)]
struct Slot {
    /// The earliest instant in the list. Exact without ever being searched for: a list above level 0 only grows until all
    /// of it leaves, and on level 0 all entries of a slot are of one instant.
    earliest: u64,
    head: u32,
    tail: u32,
}

impl Slot {
    const EMPTY: Self = Self { earliest: u64::MAX, head: NIL, tail: NIL };
}

/// Pending events in the total order (time, sequence of scheduling).
///
/// ```
/// use towtank_model::engine::EventQueue;
/// use towtank_model::time::Time;
///
/// let mut events = EventQueue::default();
/// events.schedule(Time::from_secs(2), "resync");
/// events.schedule(Time::from_secs(1), "pod added");
/// events.schedule(Time::from_secs(1), "pod deleted");
///
/// let mut due = Vec::new();
/// while let Some((_, event)) = events.pop_until(Time::from_millis(1_500)) {
///     due.push(event);
/// }
/// assert_eq!(due, ["pod added", "pod deleted"]);
/// assert_eq!((events.now(), events.next_time()), (Time::from_secs(1), Some(Time::from_secs(2))));
/// ```
#[derive(Clone)]
pub struct EventQueue<E> {
    /// Every event that is pending, and places that are free.
    entries: Vec<Entry<E>>,
    /// Head of the list of free places.
    free: u32,
    /// `LEVELS` times `SLOTS`, level 0 first.
    slots: Vec<Slot>,
    /// Per level: the slots that have entries. No slot in use has a digit below that of `now`.
    used: [u64; LEVELS],
    /// The levels that have entries.
    used_levels: u32,
    len: usize,
    /// No pending event is earlier.
    now: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: NIL,
            slots: vec![Slot::EMPTY; LEVELS * SLOTS],
            used: [0; LEVELS],
            used_levels: 0,
            len: 0,
            now: 0,
        }
    }
}

impl<E> fmt::Debug for EventQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("now", &self.now())
            .field("next", &self.next_time())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<E> EventQueue<E> {
    /// The time of the event that was popped last, or what [`EventQueue::advance_to`] set.
    pub fn now(&self) -> Time {
        Time::from_micros(self.now)
    }

    /// Schedules `event` at `at`; an instant in the past means now. Events of one instant come out in the order in
    /// which they were scheduled.
    ///
    /// # Panics
    /// When 2^32 - 1 events are pending.
    pub fn schedule(&mut self, at: Time, event: E) {
        let at = at.as_micros().max(self.now);
        let index = self.allocate(at, event);
        self.append(index, at);
        self.len += 1;
    }

    /// The time of the next event. Costs two bit scans.
    pub fn next_time(&self) -> Option<Time> {
        self.first_slot()
            .map(|(level, digit)| Time::from_micros(self.slots[slot_index(level, digit)].earliest))
    }

    /// Removes and returns the next event if it is due at or before `limit`, and moves the clock to it.
    pub fn pop_until(&mut self, limit: Time) -> Option<(Time, E)> {
        let (level, digit) = self.first_slot()?;
        let slot = self.slots[slot_index(level, digit)];
        if slot.earliest > limit.as_micros() {
            return None;
        }
        self.now = slot.earliest;
        let index = if slot.head == slot.tail {
            self.vacate(level, digit);
            slot.head
        } else if level == 0 {
            self.behead(digit)
        } else {
            self.cascade(level, digit);
            self.behead(digit_of(self.now, 0))
        };
        let event = self.release(index)?;
        Some((Time::from_micros(slot.earliest), event))
    }

    /// Moves the clock to `to` when nothing is due before. An instant in the past changes nothing.
    ///
    /// # Panics
    /// When an event is due before `to`: it would be lost.
    pub fn advance_to(&mut self, to: Time) {
        assert!(self.next_time().is_none_or(|next| next >= to), "an event is due before {to}");
        let to = to.as_micros();
        if to <= self.now {
            return;
        }
        let level = level_of(to, self.now);
        let digit = digit_of(to, level);
        self.now = to;
        if level > 0 && self.used[level] >> digit & 1 == 1 {
            self.cascade(level, digit);
        }
    }

    /// Pending events.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of the next event: the first in use of the lowest level in use.
    fn first_slot(&self) -> Option<(usize, usize)> {
        if self.used_levels == 0 {
            return None;
        }
        let level = self.used_levels.trailing_zeros() as usize;
        Some((level, self.used[level].trailing_zeros() as usize))
    }

    /// Stores `event` in a free place of the slab.
    fn allocate(&mut self, at: u64, event: E) -> u32 {
        let entry = Entry { at, next: NIL, event: Some(event) };
        if let Some(place) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = place.next;
            *place = entry;
            return index;
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(NIL);
        assert!(index != NIL, "more than 2^32 - 1 events are pending");
        self.entries.push(entry);
        index
    }

    /// Takes the event out of an entry that is in no list any more.
    fn release(&mut self, index: u32) -> Option<E> {
        let entry = &mut self.entries[index as usize];
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        entry.event.take()
    }

    /// Appends an entry to the slot where its instant belongs. `self.entries[index].next` is `NIL`.
    fn append(&mut self, index: u32, at: u64) {
        let level = level_of(at, self.now);
        let digit = digit_of(at, level);
        let slot = &mut self.slots[slot_index(level, digit)];
        let last = std::mem::replace(&mut slot.tail, index);
        slot.earliest = slot.earliest.min(at);
        if last == NIL {
            slot.head = index;
            self.used[level] |= 1 << digit;
            self.used_levels |= 1 << level;
        } else {
            self.entries[last as usize].next = index;
        }
    }

    /// Empties a slot; its list is the caller's.
    fn vacate(&mut self, level: usize, digit: usize) {
        self.slots[slot_index(level, digit)] = Slot::EMPTY;
        self.used[level] &= !(1 << digit);
        if self.used[level] == 0 {
            self.used_levels &= !(1 << level);
        }
    }

    /// Removes the first entry of a slot in use of level 0.
    fn behead(&mut self, digit: usize) -> u32 {
        let slot = &mut self.slots[slot_index(0, digit)];
        let head = slot.head;
        if head == slot.tail {
            self.vacate(0, digit);
        } else {
            slot.head = self.entries[head as usize].next;
        }
        head
    }

    /// Moves the list of a slot to where its entries belong now that the clock has reached the slot: all of them end on
    /// lower levels.
    fn cascade(&mut self, level: usize, digit: usize) {
        let mut index = self.slots[slot_index(level, digit)].head;
        self.vacate(level, digit);
        while index != NIL {
            let entry = &mut self.entries[index as usize];
            let (at, next) = (entry.at, std::mem::replace(&mut entry.next, NIL));
            self.append(index, at);
            index = next;
        }
    }
}

/// The level for an event at `at` while the clock shows `now`.
const fn level_of(at: u64, now: u64) -> usize {
    ((at ^ now) | 1).ilog2() as usize / DIGIT_BITS as usize
}

/// What `instant` has in the place of `level`.
const fn digit_of(instant: u64, level: usize) -> usize {
    (instant >> (level as u32 * DIGIT_BITS)) as usize % SLOTS
}

const fn slot_index(level: usize, digit: usize) -> usize {
    level * SLOTS + digit
}

#[cfg(test)]
impl<E> EventQueue<E> {
    /// Checks what the comments of the fields claim. Visits everything.
    pub(super) fn check(&self) {
        let mut pending = 0;
        for (level, digit) in (0..LEVELS).flat_map(|level| (0..SLOTS).map(move |digit| (level, digit))) {
            let slot = self.slots[slot_index(level, digit)];
            let list: Vec<&Entry<E>> = self.list(slot.head).collect();
            assert_eq!(self.used[level] >> digit & 1 == 1, !list.is_empty(), "level {level}, digit {digit}");
            assert_eq!(slot.earliest, list.iter().map(|entry| entry.at).min().unwrap_or(u64::MAX));
            for entry in &list {
                assert!(entry.at >= self.now && entry.event.is_some());
                assert_eq!((level_of(entry.at, self.now), digit_of(entry.at, level)), (level, digit));
            }
            pending += list.len();
        }
        assert!((0..LEVELS).all(|level| (self.used_levels >> level & 1 == 1) == (self.used[level] != 0)));
        assert_eq!(pending, self.len);
        assert_eq!(
            self.list(self.free).filter(|entry| entry.event.is_none()).count(),
            self.entries.len() - pending
        );
    }

    fn list(&self, head: u32) -> impl Iterator<Item = &Entry<E>> {
        std::iter::successors(self.entries.get(head as usize), |entry| self.entries.get(entry.next as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut EventQueue<u32>) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| queue.pop_until(Time::MAX)).map(|(at, event)| (at.as_micros(), event)).collect()
    }

    #[test]
    fn levels_cover_every_instant() {
        assert_eq!(LEVELS, 11);
        assert_eq!(level_of(7, 7), 0);
        assert_eq!(level_of(63, 0), 0);
        assert_eq!(level_of(64, 63), 1);
        assert_eq!(level_of(u64::MAX, 0), LEVELS - 1);
        assert_eq!(digit_of(u64::MAX, LEVELS - 1), 0b1111);
    }

    #[test]
    fn events_of_one_instant_keep_the_order_of_scheduling() {
        let mut queue = EventQueue::default();
        for event in 0..5 {
            queue.schedule(Time::from_secs(1), event);
        }
        assert_eq!(drain(&mut queue), (0..5).map(|event| (1_000_000, event)).collect::<Vec<_>>());
    }

    #[test]
    fn a_late_schedule_does_not_overtake_what_waits_on_a_higher_level() {
        let mut queue = EventQueue::default();
        queue.schedule(Time::from_micros(5_000), 1);
        queue.schedule(Time::from_micros(4_999), 0);
        // The clock now shares all but the last digit with 5,000: a new event goes to level 0 at once.
        assert_eq!(queue.pop_until(Time::MAX), Some((Time::from_micros(4_999), 0)));
        queue.schedule(Time::from_micros(5_000), 2);
        assert_eq!(drain(&mut queue), [(5_000, 1), (5_000, 2)]);
    }

    #[test]
    fn advancing_the_clock_does_not_let_a_late_schedule_overtake() {
        let mut queue = EventQueue::default();
        queue.schedule(Time::from_micros(5_000), 1);
        queue.advance_to(Time::from_micros(4_999));
        queue.schedule(Time::from_micros(5_000), 2);
        assert_eq!(drain(&mut queue), [(5_000, 1), (5_000, 2)]);
    }

    #[test]
    fn the_far_future_is_as_ordered_as_the_near_one() {
        let mut queue = EventQueue::default();
        for (event, at) in
            [u64::MAX, u64::MAX - 1, 1 << 60, u64::MAX, (1 << 60) - 1, u64::MAX - 1].into_iter().enumerate()
        {
            queue.schedule(Time::from_micros(at), event as u32);
        }
        let order: Vec<u32> = drain(&mut queue).into_iter().map(|(_, event)| event).collect();
        assert_eq!(order, [4, 2, 1, 5, 0, 3]);
        assert_eq!(queue.now(), Time::MAX);
        queue.schedule(Time::ZERO, 6);
        assert_eq!(drain(&mut queue), [(u64::MAX, 6)]);
    }

    #[test]
    fn looking_does_not_move_the_clock() {
        let mut queue = EventQueue::default();
        queue.schedule(Time::from_secs(10), 0);
        assert_eq!(queue.pop_until(Time::from_secs(9)), None);
        assert_eq!((queue.now(), queue.next_time()), (Time::ZERO, Some(Time::from_secs(10))));
        queue.schedule(Time::from_secs(3), 1);
        assert_eq!(queue.next_time(), Some(Time::from_secs(3)));
        assert_eq!(drain(&mut queue), [(3_000_000, 1), (10_000_000, 0)]);
    }

    #[test]
    fn the_past_means_now() {
        let mut queue = EventQueue::default();
        queue.advance_to(Time::from_secs(5));
        queue.advance_to(Time::from_secs(4));
        queue.schedule(Time::from_secs(5), 0);
        queue.schedule(Time::from_secs(1), 1);
        assert_eq!(drain(&mut queue), [(5_000_000, 0), (5_000_000, 1)]);
    }

    #[test]
    #[should_panic(expected = "an event is due before 2.0s")]
    fn advancing_past_an_event_is_refused() {
        let mut queue = EventQueue::default();
        queue.schedule(Time::from_secs(1), ());
        queue.advance_to(Time::from_secs(2));
    }

    #[test]
    fn places_are_reused() {
        let mut queue = EventQueue::default();
        for event in 0..100 {
            queue.schedule(Time::from_millis(u64::from(event)), event);
        }
        let capacity = queue.entries.capacity();
        for _ in 0..10_000 {
            let (at, event) = queue.pop_until(Time::MAX).expect("100 are pending");
            queue.schedule(at + std::time::Duration::from_millis(100), event);
        }
        assert_eq!((queue.len(), queue.entries.len(), queue.entries.capacity()), (100, 100, capacity));
        assert_eq!(drain(&mut queue).len(), 100);
        assert!(queue.is_empty() && queue.used == [0; LEVELS] && queue.used_levels == 0);
    }
}
