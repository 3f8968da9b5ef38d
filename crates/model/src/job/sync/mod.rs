//! One sync of one Job: from a snapshot of the caches to writes, in order, as a pure function.
//!
//! A sync talks to the API server several times and what it does next depends on the answers, so the function is a
//! resumable one: [`SyncPass::next`] takes the answers to the last batch and returns the next batch, until it is done.
//! It sees nothing but its snapshot, the clock and the answers, and touches nothing: what has to change in the
//! controller's memory comes back as [`Effect`]s.
//!
//! The order is upstream's `syncJob`: sort the pods (`census`) and the indexes (`indexed`), decide whether the Job is
//! over (`decide`), delete or create pods (`manage`), count what has ended (`account`), write the status, remove
//! finalizers, and write the status again if that changed the counters or finished the Job (`finish`).
//!
//! What the caller does before a sync is not part of it: waiting for the caches (#137210), skipping Jobs that are gone,
//! finished, managed by somebody else or of an unknown completion mode, adopting and releasing pods.

mod account;
mod backoff;
mod census;
mod contract;
mod decide;
mod failure_policy;
mod findings;
mod finish;
mod indexed;
mod manage;
mod pass;
mod ranking;
mod snapshot;
mod success_policy;
mod uncounted;

pub use contract::{Answer, BackoffRecord, Effect, Limits, Snapshot, Step, Write, Written};
pub use findings::{Finding, Rule, Subject};
pub use pass::SyncPass;
pub use ranking::deletion_order;

#[cfg(test)]
mod tests;
