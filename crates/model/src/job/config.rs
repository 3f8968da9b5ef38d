//! How the controllers of Jobs are set up: workers, client, watch.

use std::time::Duration;

use super::faults::FaultPlan;
use super::sync::Limits;
use crate::engine::{Purpose, RandomStreams};

/// Settings of the process that runs the Job controller. The default is upstream's on a network without latency and
/// without a limit on requests.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Jobs synced at the same time (`--concurrent-job-syncs`).
    pub workers: u32,
    /// Requests per second of each controller's client (`--kube-api-qps`); `None`: no limit.
    pub qps: Option<u32>,
    /// Requests that may exceed the rate for a moment (`--kube-api-burst`).
    pub burst: u32,
    /// From a change in the store to its arrival in a cache. Changes of one kind never overtake each other.
    pub watch_latency: Latency,
    /// Each way of an API call: to the server, and back with the answer.
    pub call_latency: Latency,
    /// From the start of the process to the first sync: client-go looks at its caches every 100 ms.
    pub cache_sync_delay: Duration,
    /// Caps of one sync.
    pub limits: Limits,
    /// What goes wrong with API calls.
    pub faults: FaultPlan,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            workers: 5,
            qps: None,
            burst: 30,
            watch_latency: Latency::ZERO,
            call_latency: Latency::ZERO,
            cache_sync_delay: Duration::from_millis(100),
            limits: Limits::default(),
            faults: FaultPlan::default(),
        }
    }
}

/// A duration that differs from case to case: uniform between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

impl Latency {
    /// None at all.
    pub const ZERO: Self = Self::fixed(Duration::ZERO);

    /// Always the same.
    pub const fn fixed(duration: Duration) -> Self {
        Self { min: duration, max: duration }
    }

    /// There is never any.
    pub const fn is_zero(self) -> bool {
        self.max.is_zero()
    }

    /// One draw, to the microsecond. No random number is drawn when there is nothing to choose.
    pub fn draw(self, random: &mut RandomStreams) -> Duration {
        let spread = self.max.saturating_sub(self.min).as_micros();
        if spread == 0 {
            return self.min;
        }
        let bound = u64::try_from(spread).unwrap_or(u64::MAX).saturating_add(1);
        self.min + Duration::from_micros(random.below(Purpose::Network, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_stays_between_the_bounds_and_reaches_both() {
        let latency = Latency { min: Duration::from_micros(3), max: Duration::from_micros(5) };
        let mut random = RandomStreams::new(7);
        let draws: Vec<_> = (0..100).map(|_| latency.draw(&mut random).as_micros()).collect();
        assert_eq!(draws.iter().min(), Some(&3));
        assert_eq!(draws.iter().max(), Some(&5));
    }
}
