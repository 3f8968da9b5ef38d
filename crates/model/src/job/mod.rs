//! The process that runs the Job controller: a discrete-event component.
//!
//! Changes of the store reach it through [`Controller::observe`](crate::simulation::Controller::observe), as a watch would deliver them: into caches that lag
//! and can be held. The handlers of section 1.3 of the specification turn deliveries into keys on a [`WorkQueue`];
//! workers take keys from it and run a [`sync::SyncPass`] each, whose API calls go through a client with a rate limit
//! and a latency. Beside it, in the same process and on the same caches, run the worker that takes finalizers off
//! orphaned pods (section 1.4) and the controller of `ttlSecondsAfterFinished` (section 5.11).
//!
//! All decisions about a Job are in [`sync`]; everything here is about *when* they are taken and on *which* view.

mod claim;
mod client;
mod config;
mod controller;
mod faults;
mod handlers;
mod informer;
mod memory;
mod orphans;
mod outbox;
mod pool;
mod queue;
pub mod sync;
#[cfg(test)]
mod tests;
mod ttl;
mod worker;

pub use client::ClientId;
pub use config::ControllerConfig;
pub use controller::JobController;
pub use faults::{CallKind, Fault, FaultInjector, FaultPlan};
pub use informer::{Watch, WatchKind};
pub use queue::{RetryDelays, WorkQueue};

/// A work queue of the Job controller's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueId {
    /// Jobs to sync.
    Jobs,
    /// Orphaned pods, and selectors of Jobs whose pods may be orphaned.
    Orphans,
    /// Finished Jobs with a time to live.
    Ttl,
}

/// What the Job controller's process waits for, besides its own timers. An event of a process that has ended since means nothing to its
/// successor: that is what `incarnation` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerEvent {
    /// Changes of this kind are due in the cache.
    Deliver {
        /// The watch.
        kind: WatchKind,
        /// The process.
        incarnation: u32,
    },
    /// An API call reaches the server, or its answer the caller.
    Call {
        /// The client.
        client: ClientId,
        /// The call.
        id: u32,
    },
}
