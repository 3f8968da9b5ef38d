//! Timers that are cancelled by generation stamp.

/// A timer: at most one pending expiry counts. Arming it again or cancelling it makes events that are already in the
/// queue stale; they are recognised by their stamp when they come up, so that nothing ever searches the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    generation: u32,
    armed: bool,
}

/// What an event carries to prove that it belongs to the timer's last arming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u32);

impl Timer {
    /// Arms the timer; earlier stamps become stale (for the next 2^32 armings, more than a run has).
    pub fn arm(&mut self) -> Stamp {
        self.generation = self.generation.wrapping_add(1);
        self.armed = true;
        Stamp(self.generation)
    }

    /// Disarms the timer; all stamps become stale.
    pub fn cancel(&mut self) {
        self.armed = false;
    }

    /// Whether an expiry is pending.
    pub const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Takes an expiry: true when `stamp` is of the last arming and the timer was not cancelled.
    pub fn expire(&mut self, stamp: Stamp) -> bool {
        let current = self.armed && stamp.0 == self.generation;
        if current {
            self.armed = false;
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_timer_expires_once() {
        let mut timer = Timer::default();
        assert!(!timer.is_armed());
        let stamp = timer.arm();
        assert!(timer.is_armed());
        assert!(timer.expire(stamp));
        assert!(!timer.is_armed());
        assert!(!timer.expire(stamp), "the same event twice");
    }

    #[test]
    fn arming_again_makes_the_earlier_stamp_stale() {
        let mut timer = Timer::default();
        let (first, second) = (timer.arm(), timer.arm());
        assert!(!timer.expire(first));
        assert!(timer.is_armed(), "a stale event leaves the timer armed");
        assert!(timer.expire(second));
    }

    #[test]
    fn cancelling_makes_every_stamp_stale() {
        let mut timer = Timer::default();
        let cancelled = timer.arm();
        timer.cancel();
        assert!(!timer.is_armed());
        assert!(!timer.expire(cancelled));
        let armed = timer.arm();
        assert!(!timer.expire(cancelled), "arming again must not revive a cancelled expiry");
        assert!(timer.expire(armed));
    }

    #[test]
    fn a_timer_that_expired_forgets_the_stamps_before() {
        let mut timer = Timer::default();
        let (old, last) = (timer.arm(), timer.arm());
        assert!(timer.expire(last));
        let next = timer.arm();
        assert!(!timer.expire(old) && !timer.expire(last));
        assert!(timer.expire(next));
    }

    #[test]
    fn generations_wrap_around() {
        let mut timer = Timer { generation: u32::MAX, armed: false };
        let stamp = timer.arm();
        assert_eq!(stamp, Stamp(0));
        assert!(timer.expire(stamp));
    }
}
