//! The discrete-event engine: what happens next, in which order, and with which random numbers.
//!
//! * [`EventQueue`]: pending events in the total order (time, sequence of scheduling).
//! * [`Timer`]: a timer that can be re-armed and cancelled without touching the queue.
//! * [`RandomStreams`]: one seeded stream per [`Purpose`], so that one more draw here shifts nothing there.
//! * [`Distribution`]: how long something takes, at one draw per sample.

mod distribution;
mod random;
mod timer;
mod wheel;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod oracle;

pub use distribution::Distribution;
pub use random::{Purpose, RandomStreams};
pub use timer::{Stamp, Timer};
pub use wheel::EventQueue;
