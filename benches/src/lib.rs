//! What the benches share: workloads that are the same for everything that is compared. See README.md for what each bench
//! measures and how to run it.

pub mod cluster;

use std::rc::Rc;
use std::time::Duration;

use towtank_model::engine::{Purpose, RandomStreams};

/// Delays of a cluster's events, in the order in which they are drawn: at once, API latency, batching and probes, back-off,
/// time-outs. A fifth of each.
pub const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(300),
];

/// An endless sequence of [`DELAYS`] in random order, drawn beforehand so that drawing is not what is measured. Clones
/// are cheap.
#[derive(Clone, Debug)]
pub struct Delays {
    /// Indices into [`DELAYS`]: small, so as not to take the cache from what is measured.
    drawn: Rc<[u8]>,
    next: usize,
}

impl Delays {
    /// A sequence that depends on nothing but `seed` and repeats after 65,536 delays.
    pub fn new(seed: u64) -> Self {
        let mut random = RandomStreams::new(seed);
        let drawn =
            (0..1 << 16).map(|_| random.below(Purpose::Workload, DELAYS.len() as u64) as u8).collect();
        Self { drawn, next: 0 }
    }

    /// The next delay.
    #[inline]
    pub fn draw(&mut self) -> Duration {
        let index = self.drawn[self.next % self.drawn.len()];
        self.next += 1;
        DELAYS[usize::from(index)]
    }
}

/// `count` delays uniform over `span`, to the microsecond.
pub fn spread(seed: u64, count: usize, span: Duration) -> Vec<Duration> {
    let mut random = RandomStreams::new(seed);
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    (0..count).map(|_| Duration::from_micros(random.below(Purpose::Workload, micros))).collect()
}
