//! Events per second of the timing wheel, of `std::collections::BinaryHeap` and of the `simcore` crate, side by side.
//!
//! * `hold/N`: N events are pending; each event that is popped schedules one after a delay from a cluster's mix of 0, 1 ms,
//!   1 s, 10 s and 5 min. An element is one pop and one schedule.
//! * `drain/N`: N events spread over five minutes are scheduled, then all of them are popped. An element is one event.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use simcore::{EventHandler, Simulation, SimulationContext};
use towtank_benches::{Delays, spread};
use towtank_model::engine::EventQueue;
use towtank_model::time::Time;

/// Pops of one measured iteration of `hold`.
const POPS: u64 = 100_000;
const SPAN: Duration = Duration::from_secs(300);

/// About as large as an event of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Payload {
    object: u64,
    stamp: u32,
    kind: u32,
}

const PAYLOAD: Payload = Payload { object: 7, stamp: 1, kind: 3 };

/// What is compared: something that keeps pending events in the order (time, sequence of scheduling).
trait Engine {
    fn new() -> Self;

    /// Schedules one event.
    fn schedule(&mut self, delay: Duration);

    /// Handles `count` events, each of which schedules another one.
    fn hold(&mut self, count: u64, delays: &mut Delays);

    /// Handles all pending events, which schedule nothing. Returns how many there were.
    fn drain(&mut self) -> u64;
}

#[derive(Default)]
struct Wheel(EventQueue<Payload>);

impl Engine for Wheel {
    fn new() -> Self {
        Self::default()
    }

    fn schedule(&mut self, delay: Duration) {
        self.0.schedule(self.0.now() + delay, PAYLOAD);
    }

    fn hold(&mut self, count: u64, delays: &mut Delays) {
        for _ in 0..count {
            let Some((now, payload)) = self.0.pop_until(Time::MAX) else { return };
            self.0.schedule(now + delays.draw(), black_box(payload));
        }
    }

    fn drain(&mut self) -> u64 {
        let mut count = 0;
        while let Some(event) = self.0.pop_until(Time::MAX) {
            black_box(event);
            count += 1;
        }
        count
    }
}

/// The usual event queue: a binary heap with a sequence number.
#[derive(Default)]
struct Heap {
    heap: BinaryHeap<Reverse<(Time, u64, Payload)>>,
    sequence: u64,
    now: Time,
}

impl Heap {
    #[inline]
    fn push(&mut self, at: Time, payload: Payload) {
        self.heap.push(Reverse((at, self.sequence, payload)));
        self.sequence += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<(Time, Payload)> {
        let Reverse((at, _, payload)) = self.heap.pop()?;
        self.now = at;
        Some((at, payload))
    }
}

impl Engine for Heap {
    fn new() -> Self {
        Self::default()
    }

    fn schedule(&mut self, delay: Duration) {
        self.push(self.now + delay, PAYLOAD);
    }

    fn hold(&mut self, count: u64, delays: &mut Delays) {
        for _ in 0..count {
            let Some((now, payload)) = self.pop() else { return };
            self.push(now + delays.draw(), black_box(payload));
        }
    }

    fn drain(&mut self) -> u64 {
        let mut count = 0;
        while let Some(event) = self.pop() {
            black_box(event);
            count += 1;
        }
        count
    }
}

/// A `simcore` simulation with one component. Its events are boxed and reach the component by dynamic dispatch; there is
/// no way to use its queue without them.
struct Simcore {
    simulation: Simulation,
    component: Rc<RefCell<Component>>,
}

struct Component {
    context: SimulationContext,
    /// Where the delays come from; nothing is scheduled when there are none.
    delays: Option<Delays>,
}

impl EventHandler for Component {
    fn on(&mut self, event: simcore::Event) {
        if let (Some(delays), Some(payload)) = (&mut self.delays, event.data.downcast_ref::<Payload>()) {
            self.context.emit_self(black_box(*payload), delays.draw().as_secs_f64());
        }
    }
}

impl Engine for Simcore {
    fn new() -> Self {
        let mut simulation = Simulation::new(0);
        let context = simulation.create_context("component");
        let component = Rc::new(RefCell::new(Component { context, delays: None }));
        simulation.add_handler("component", component.clone());
        Self { simulation, component }
    }

    fn schedule(&mut self, delay: Duration) {
        self.component.borrow().context.emit_self(PAYLOAD, delay.as_secs_f64());
    }

    fn hold(&mut self, count: u64, delays: &mut Delays) {
        self.component.borrow_mut().delays = Some(delays.clone());
        self.simulation.steps(count);
        if let Some(used) = self.component.borrow_mut().delays.take() {
            *delays = used;
        }
    }

    fn drain(&mut self) -> u64 {
        let before = self.simulation.event_count();
        let mut count = 0;
        while self.simulation.step() {
            count += 1;
        }
        debug_assert_eq!(before, self.simulation.event_count(), "nothing was scheduled");
        count
    }
}

fn hold<E: Engine>(criterion: &mut Criterion, name: &str, pending: usize) {
    let mut engine = E::new();
    let mut delays = Delays::new(1);
    for delay in spread(2, pending, SPAN) {
        engine.schedule(delay);
    }
    engine.hold(2 * pending as u64 + POPS, &mut delays);
    let mut group = criterion.benchmark_group(format!("hold/{pending}"));
    group.throughput(Throughput::Elements(POPS));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| engine.hold(POPS, &mut delays));
    });
    group.finish();
}

fn drain<E: Engine>(criterion: &mut Criterion, name: &str, pending: usize) {
    let mut engine = E::new();
    let delays = spread(3, pending, SPAN);
    let mut group = criterion.benchmark_group(format!("drain/{pending}"));
    group.throughput(Throughput::Elements(pending as u64));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| {
            delays.iter().for_each(|&delay| engine.schedule(delay));
            assert_eq!(engine.drain(), pending as u64);
        });
    });
    group.finish();
}

fn engines(criterion: &mut Criterion) {
    for pending in [1_000, 10_000, 100_000] {
        hold::<Wheel>(criterion, "wheel", pending);
        hold::<Heap>(criterion, "binary_heap", pending);
        hold::<Simcore>(criterion, "simcore", pending);
    }
    drain::<Wheel>(criterion, "wheel", 100_000);
    drain::<Heap>(criterion, "binary_heap", 100_000);
    drain::<Simcore>(criterion, "simcore", 100_000);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = engines
}
criterion_main!(benches);
