//! The one place that looks at the clock: a run's time is how long ago the second was in which it began.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a real cluster lives in real time")]

use std::time::{Duration, Instant, SystemTime};

use towtank_model::time::Time;

/// A clock that goes on evenly from the second in which it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began_s: i64,
    /// When the second began.
    start: Instant,
}

impl Clock {
    /// Waits for the next second and starts it there: objects keep their times in whole seconds.
    pub(crate) fn start_with_a_second() -> Self {
        let fraction = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
        pause(Duration::from_secs(1).saturating_sub(Duration::from_nanos(fraction.into())));
        Self::start()
    }

    /// Starts it.
    pub(crate) fn start() -> Self {
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let fraction = Duration::from_nanos(unix.subsec_nanos().into());
        let start = Instant::now();
        Self {
            began_s: i64::try_from(unix.as_secs()).unwrap_or(i64::MAX),
            start: start.checked_sub(fraction).unwrap_or(start),
        }
    }

    /// The second of Unix time in which it was started, which is its zero.
    pub(crate) const fn began_s(&self) -> i64 {
        self.began_s
    }

    /// What it showed at an instant.
    pub(crate) fn time_of(&self, stamp: Stamp) -> Time {
        let since = stamp.0.saturating_duration_since(self.start);
        Time::ZERO + Duration::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The present instant.
    pub(crate) fn now(&self) -> Time {
        self.time_of(Stamp::now())
    }
}

/// An instant, for whoever knows no clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(Instant);

impl Stamp {
    /// The present instant.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }
}

/// Lets time pass.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// The time of day, to the second, as objects have it.
pub(crate) fn timestamp() -> String {
    format!("{:.0}", now())
}

/// The day, as observations have it.
pub fn today() -> String {
    now().strftime("%Y-%m-%d").to_string()
}

/// The same to the microsecond, as Leases have it.
pub(crate) fn micro_timestamp() -> String {
    format!("{:.6}", now())
}

fn now() -> jiff::Timestamp {
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    jiff::SignedDuration::try_from(unix)
        .ok()
        .and_then(|unix| jiff::Timestamp::from_duration(unix).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
