//! Ways to the server.
//!
//! * [`virtual_time`](pump): programs written for `kube::Client`, unmodified, on the simulation's clock; [`faults`]: what goes wrong with what they send and hear.

pub mod faults;
pub mod loopback;
mod mailbox;
pub mod pump;
mod runtime;
pub mod site;

pub use mailbox::{Wire, WireBody};

#[cfg(test)]
mod tests;
