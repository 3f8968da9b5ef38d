//! Time: how long ago the caller's epoch was. The crate never asks a clock.

/// A point in time, as the distance from an epoch that the caller chooses.
pub type Instant = std::time::Duration;

/// A source of uniform numbers in `[0, 1)`, so that a caller can seed or fix every random latency.
pub trait Draw {
    /// The next number.
    fn unit(&mut self) -> f64;
}
