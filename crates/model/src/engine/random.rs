//! Seeded randomness, split by purpose.

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// What random numbers are drawn for. Each purpose has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Name suffixes that the API server appends to `generateName`.
    Names,
    /// The scheduler's choice among equal nodes, and its latency.
    Scheduling,
    /// Durations on nodes: image pull, start, readiness, stop.
    Node,
    /// Durations of API calls and watch deliveries.
    Network,
    /// Order in which the original walks its hash maps, where that order shows.
    MapOrder,
    /// What the workload does.
    Workload,
}

const PURPOSES: usize = 6;

/// One stream of random numbers per [`Purpose`].
#[derive(Clone, Debug)]
pub struct RandomStreams {
    streams: [Pcg64Mcg; PURPOSES],
}

impl RandomStreams {
    /// Streams that depend on nothing but `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            streams: std::array::from_fn(|purpose| {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                bytes[8..].copy_from_slice(&(purpose as u64 + 1).to_le_bytes());
                Pcg64Mcg::from_seed(bytes)
            }),
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self, purpose: Purpose) -> u64 {
        self.streams[purpose as usize].next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, purpose: Purpose, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64(purpose)) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self, purpose: Purpose) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let mantissa = (self.next_u64(purpose) >> 11) as f64;
        mantissa / 9_007_199_254_740_992.0
    }
}
