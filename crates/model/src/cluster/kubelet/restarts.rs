//! Back-off between restarts of a container that ends again and again.

use std::time::Duration;

use crate::time::Time;

/// Back-off after the first restart.
const INITIAL: Duration = Duration::from_secs(10);
/// Longest back-off.
const LONGEST: Duration = Duration::from_secs(300);
/// A container that ends later than this after its last restart starts from the beginning.
const STABLE: Duration = Duration::from_secs(600);

/// Memory of a container's restarts. The first restart happens at once; each later one waits, from the end of the
/// container, twice as long as the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RestartBackoff {
    /// The wait before the next restart, and when the last one was.
    last: Option<(Duration, Time)>,
}

impl RestartBackoff {
    /// The instant from which a container that ended at `ended_at` may run again.
    pub(super) fn not_before(self, ended_at: Time) -> Time {
        match self.last {
            Some((wait, restarted_at)) if ended_at.since(restarted_at) <= STABLE => ended_at + wait,
            _ => ended_at,
        }
    }

    /// The container that ended at `ended_at` runs again.
    pub(super) fn restarted(&mut self, ended_at: Time, now: Time) {
        let wait = match self.last {
            Some((wait, restarted_at)) if ended_at.since(restarted_at) <= STABLE => {
                wait.saturating_mul(2).min(LONGEST)
            }
            _ => INITIAL,
        };
        self.last = Some((wait, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let mut backoff = RestartBackoff::default();
        let mut now = Time::from_secs(1_000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let ended_at = now + Duration::from_secs(1);
            now = backoff.not_before(ended_at);
            waits.push(now.since(ended_at).as_secs());
            backoff.restarted(ended_at, now);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_reset_the_wait() {
        for (ran_s, wait_s) in [(599, 20), (600, 20), (601, 0)] {
            let mut backoff = RestartBackoff::default();
            backoff.restarted(Time::from_secs(1), Time::from_secs(1));
            backoff.restarted(Time::from_secs(2), Time::from_secs(12));
            let ended_at = Time::from_secs(12 + ran_s);
            assert_eq!(backoff.not_before(ended_at).since(ended_at).as_secs(), wait_s, "ran for {ran_s} s");
        }
    }
}
