//! How long things of the overlay and of the resource module take.

use std::time::Duration;

use crate::time::Draw;

/// A span of time between two extremes, with a known median: half of the draws fall on either side of it, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The shortest.
    pub min: Duration,
    /// Half are shorter.
    pub median: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// A spread in milliseconds.
    pub const fn ms(min: u64, median: u64, max: u64) -> Self {
        Self {
            min: Duration::from_millis(min),
            median: Duration::from_millis(median),
            max: Duration::from_millis(max),
        }
    }

    /// A spread in microseconds.
    pub const fn micros(min: u64, median: u64, max: u64) -> Self {
        Self {
            min: Duration::from_micros(min),
            median: Duration::from_micros(median),
            max: Duration::from_micros(max),
        }
    }

    /// Always the same.
    pub const fn fixed(length: Duration) -> Self {
        Self { min: length, median: length, max: length }
    }

    /// One length. A spread without width asks for no random number.
    pub fn draw(&self, draw: &mut dyn Draw) -> Duration {
        if self.min == self.max {
            return self.median;
        }
        let unit = draw.unit().clamp(0.0, 1.0);
        // In nanoseconds: this is drawn for every step of every job, and arithmetic of `Duration` is slow.
        let (low, high, part) = if unit < 0.5 {
            (self.min, self.median, unit * 2.0)
        } else {
            (self.median, self.max, unit * 2.0 - 1.0)
        };
        let width = high.saturating_sub(low);
        let nanos = width.as_secs() as f64 * 1e9 + f64::from(width.subsec_nanos());
        low + Duration::from_nanos((nanos * part) as u64)
    }
}

/// The latencies of brokers, their overlay network and the resource module.
///
/// The defaults are those of a quiet machine with 0.61.2 and 0.88.0 (recordings 01 to 03, `constants.json`, specs/flux.md part I).
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// Broker start to hello.
    pub connect: Spread,
    /// A child that waits asks its parent again after this time.
    pub retry: Spread,
    /// rc1 of the lead.
    pub lead_rc1: Spread,
    /// rc1 of any other rank; then it is online.
    pub rc1: Spread,
    /// rc3 of a rank without children; then it says goodbye.
    pub rc3: Spread,
    /// How far into rc3 the shells of running jobs are gone, as a part of it.
    pub shells_part: f64,
    /// The cleanup of the lead: stop the queue, cancel running jobs, wait until it is idle.
    pub lead_cleanup: Spread,
    /// A rank of the overlay goes to the scheduler's `down` after this time.
    pub down: Spread,
    /// A child of a parent that came back notices that nobody knows it.
    pub orphan: Spread,
    /// How long ago a broker was last heard: it says something at the latest after `torpid_min`, and when its parent looks adds to that.
    pub idle: Spread,
    /// Period of the heartbeat.
    pub heartbeat: Duration,
    /// The tcp user timeout: how long a send to a host that does not answer may take.
    pub tcp_timeout: Duration,
    /// A child that was silent for so long is torpid.
    pub torpid_max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            connect: Spread::ms(35, 57, 180),
            retry: Spread::ms(0, 50, 100),
            lead_rc1: Spread::ms(700, 810, 1_450),
            rc1: Spread::ms(520, 850, 1_300),
            rc3: Spread::ms(450, 570, 900),
            shells_part: 0.6,
            lead_cleanup: Spread::ms(1_900, 2_400, 2_900),
            down: Spread::ms(90, 100, 110),
            orphan: Spread::ms(800, 2_500, 5_000),
            idle: Spread::ms(0, 2_500, 5_000),
            heartbeat: Duration::from_secs(2),
            tcp_timeout: Duration::from_secs(20),
            torpid_max: Duration::from_secs(30),
        }
    }
}

impl Latencies {
    /// The medians of a version where they were measured to differ (`constants.json`).
    pub fn slow_start() -> Self {
        Self {
            connect: Spread::ms(35, 76, 180),
            rc1: Spread::ms(1_190, 1_650, 2_030),
            rc3: Spread::ms(950, 1_160, 1_600),
            ..Self::default()
        }
    }
}
