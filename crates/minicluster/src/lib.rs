//! The MiniCluster above the Job controller: the contract of its operator, written from the specification, and the Flux
//! brokers in its pods.
//!
//! * [`spec`]: the resource and the rules that it must keep.
//! * [`contract`]: what an operator makes of it, as pure functions.
//! * [`fleet`]: all MiniClusters of a simulation, as its application: the operator, and in every pod an entrypoint that runs a
//!   broker.
//!
//! The production operator shares no code with this: what it must do is written here a second time, so that a comparison proves
//! something.

pub mod contract;
mod entrypoint;
pub mod fleet;
pub mod spec;
