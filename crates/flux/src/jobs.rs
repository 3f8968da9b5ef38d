//! The job manager: what becomes of a job from its submission to the event `clean`.
//!
//! A job goes DEPEND → SCHED → RUN → CLEANUP → INACTIVE (Flux spec B.7). Its events and their distances are those of
//! the recordings; the decisions are the [`crate::scheduler`]'s.

mod event;
mod job;
mod latency;
mod manager;
mod spec;
pub mod text;

pub use event::{Annotation, Event, EventKind, Exception};
pub use job::{Job, Outcome, PRIORITY_MAX, State};
pub use latency::{JobLatencies, Spread};
pub use manager::{CancelError, Checkpoint, JobManager, NodeLoss, RequestCounts, Setup};
pub use spec::{Dependency, DependsOn, JobSpec, Program, SubmitError};
