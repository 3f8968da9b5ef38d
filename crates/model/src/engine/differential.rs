//! The timing wheel against the heap: the same calls, the same answers.

use std::time::Duration;

use proptest::prelude::*;

use super::oracle::HeapQueue;
use super::{EventQueue, Purpose, RandomStreams};
use crate::time::Time;

/// One call. Instants are relative to the clock or absolute, so that both near and far ones are frequent.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// Schedules this many events at the clock plus so many microseconds.
    Schedule { ahead: u64, burst: u8 },
    /// Schedules at an absolute instant, most often in the past or at the end of time.
    ScheduleAt(u64),
    /// Schedules at the instant of the next event, or before it by so little.
    ScheduleBesideNext { before: u64 },
    /// Pops up to this many events due within so many microseconds.
    Pop { count: u8, within: u64 },
    /// Moves the clock so far, or to the next event when that is earlier.
    Advance(u64),
}

/// Lengths of every order of magnitude, dense around the borders of slots.
fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        4 => 0..200_u64,
        4 => 0..20_000_000_u64,
        2 => (0..64_u32, 0..5_u64).prop_map(|(bits, offset)| (1_u64 << bits).wrapping_add(offset).wrapping_sub(2)),
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (length(), 1..6_u8).prop_map(|(ahead, burst)| Call::Schedule { ahead, burst }),
        1 => length().prop_map(Call::ScheduleAt),
        2 => (0..3_u64).prop_map(|before| Call::ScheduleBesideNext { before }),
        3 => (1..8_u8, length()).prop_map(|(count, within)| Call::Pop { count, within }),
        2 => length().prop_map(Call::Advance),
    ]
}

/// Both queues side by side.
#[derive(Default)]
struct Pair {
    wheel: EventQueue<u32>,
    heap: HeapQueue<u32>,
    scheduled: u32,
}

impl Pair {
    fn schedule(&mut self, at: Time) {
        self.wheel.schedule(at, self.scheduled);
        self.heap.schedule(at, self.scheduled);
        self.scheduled += 1;
    }

    /// Pops from both and returns what both agree on.
    fn pop_until(&mut self, limit: Time) -> Option<(Time, u32)> {
        let popped = self.wheel.pop_until(limit);
        assert_eq!(popped, self.heap.pop_until(limit));
        popped
    }

    fn make(&mut self, call: Call) {
        let now = self.heap.now();
        match call {
            Call::Schedule { ahead, burst } => {
                (0..burst).for_each(|_| self.schedule(now + Duration::from_micros(ahead)))
            }
            Call::ScheduleAt(at) => self.schedule(Time::from_micros(at)),
            Call::ScheduleBesideNext { before } => {
                self.schedule(
                    self.heap.next_time().unwrap_or(now).saturating_sub(Duration::from_micros(before)),
                );
            }
            Call::Pop { count, within } => {
                let limit = now + Duration::from_micros(within);
                for _ in 0..count {
                    self.pop_until(limit);
                }
            }
            Call::Advance(length) => {
                let to = now + Duration::from_micros(length);
                let to = self.heap.next_time().map_or(to, |next| next.min(to));
                self.wheel.advance_to(to);
                self.heap.advance_to(to);
            }
        }
        assert_eq!(self.wheel.now(), self.heap.now());
        assert_eq!(self.wheel.next_time(), self.heap.next_time());
        assert_eq!(self.wheel.len(), self.heap.len());
        assert_eq!(self.wheel.is_empty(), self.heap.len() == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wheel_and_heap_give_the_same_answers(calls in prop::collection::vec(call(), 1..80)) {
        let mut pair = Pair::default();
        for call in calls {
            pair.make(call);
            pair.wheel.check();
        }
        while pair.pop_until(Time::MAX).is_some() {}
        prop_assert!(pair.wheel.is_empty());
    }
}

/// How many events the long comparison schedules, and the hash of the order in which they come out. The hash is kept so
/// that a change of both sides, or of the random streams, shows as well. Without optimisation fewer have to do.
const LONG_RUN: (u32, u64) = if cfg!(debug_assertions) {
    (250_000, 0x944c_2a59_e750_3a5c)
} else {
    (2_000_000, 0xc04f_872d_399c_2e26)
};

/// Events over all orders of magnitude, as many as 100,000 pending at once.
#[test]
fn a_long_run_in_a_known_order() {
    const EVENTS: u32 = LONG_RUN.0;
    const SPANS: [u64; 7] = [0, 1, 1_000, 1_000_000, 10_000_000, 300_000_000, 1 << 40];
    let mut random = RandomStreams::new(42);
    let mut pair = Pair::default();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let (mut growing, mut most_pending) = (true, 0);
    while pair.scheduled < EVENTS || pair.heap.len() > 0 {
        most_pending = most_pending.max(pair.heap.len());
        growing = if growing { pair.heap.len() < 100_000 } else { pair.heap.len() < 10 };
        let births = if pair.scheduled >= EVENTS {
            0
        } else {
            random.below(Purpose::Workload, if growing { 5 } else { 2 })
        };
        for _ in 0..births {
            let span = SPANS[random.below(Purpose::Workload, SPANS.len() as u64) as usize];
            let jitter = random.below(Purpose::Workload, 2) * random.below(Purpose::Workload, span + 1);
            pair.schedule(pair.heap.now() + Duration::from_micros(span + jitter));
        }
        if let Some((at, event)) = pair.pop_until(Time::MAX) {
            for word in [at.as_micros(), u64::from(event)] {
                hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
            }
        }
    }
    assert_eq!(hash, LONG_RUN.1, "the order is not the known one: {hash:#x}");
    assert!(most_pending >= 100_000);
}
