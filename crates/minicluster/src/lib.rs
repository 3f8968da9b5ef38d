//! The MiniCluster above the Job controller: the contract of its operator, written from the specification, and the Flux
//! brokers in its pods.
//!
//! * [`spec`]: the resource; [`rules`]: what it must keep.
//! * [`operator`]: what an operator sees and does; [`contract`]: what it must do; [`original`]: what flux-operator does instead.
//! * [`brokers`]: the first processes in pods with Flux, and the brokers that they run; they know nothing of operators.
//! * [`fleet`]: all MiniClusters of a simulation, as its application: the modelled operator above such brokers.
//! * [`workload`]: what the lead runs inside of Flux.
//!
//! The production operator shares no code with this: what it must do is written here a second time, so that a comparison proves
//! something.

pub mod brokers;
pub mod contract;
mod entrypoint;
pub mod fleet;
pub mod operator;
pub mod original;
pub mod rules;
pub mod spec;
pub mod workload;
