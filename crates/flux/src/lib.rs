//! Real Flux as a pure state machine: what flux-core 0.50.0, 0.61.2 and 0.88.0 with sched-simple or Fluxion do,
//! as far as recordings of them show it.
//!
//! Nothing here opens a socket, reads a clock or starts a thread, and nothing knows of Kubernetes: the caller
//! says what happens and when, and asks what follows from it.
//!
//! ```
//! use std::time::Duration;
//! use towtank_flux::instance::{Instance, Setup};
//! use towtank_flux::{FluxVersion, Scheduler, command};
//!
//! // Every random latency is its median.
//! struct Median;
//! impl towtank_flux::time::Draw for Median {
//!     fn unit(&mut self) -> f64 {
//!         0.5
//!     }
//! }
//!
//! let hosts = Setup::read_hosts("flux-sample-[0-3]")?;
//! let mut flux = Instance::new(Setup::new(FluxVersion::V0_61, Scheduler::Simple, hosts, 10));
//! for host in ["flux-sample-0", "flux-sample-1", "flux-sample-2", "flux-sample-3"] {
//!     flux.host_started(Duration::ZERO, host, &mut Median)?;
//! }
//! // Ten seconds later all are up; rank 2 is drained, and dies.
//! let at = Duration::from_secs;
//! command::run(&mut flux, at(10), Duration::ZERO, "flux drain 2 maintenance", &mut Median);
//! flux.broker_killed(at(11), 2, &mut Median)?;
//! let answer = command::run(&mut flux, at(20), Duration::ZERO, "flux resource status", &mut Median);
//! let (answer, _) = answer.ok_or("a command that the model knows")?;
//! assert_eq!(
//!     answer.stdout,
//!     "     STATE UP NNODES NODELIST
//!      avail  ✔      3 flux-sample-[0-1,3]
//!   drained*  ✗      1 flux-sample-2
//! "
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
