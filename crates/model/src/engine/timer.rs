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
    /// Arms the timer; earlier stamps become stale.
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
