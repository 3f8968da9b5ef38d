//! Real Flux as a pure state machine: what flux-core 0.50.0, 0.61.2 and 0.88.0 with sched-simple or Fluxion do,
//! as far as recordings of them show it.
//!
//! Nothing here opens a socket, reads a clock or starts a thread, and nothing knows of Kubernetes: the caller says what
//! happens and when, and asks what follows from it.

pub mod calendar;
pub mod command;
pub mod duration;
pub mod hostlist;
pub mod idset;
pub mod instance;
pub mod job_id;
pub mod jobs;
pub mod jobs_table;
pub mod latency;
pub mod overlay;
pub mod resource;
pub mod scheduler;
pub mod time;
pub mod version;

pub use hostlist::Hostlist;
pub use idset::Idset;
pub use job_id::JobId;
pub use version::{Features, FluxVersion, Scheduler};
