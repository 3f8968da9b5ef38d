//! The reference: Kubernetes' own Job controller and API rules, carried by a Go driver (`reference/` at the top of the
//! repository) and put in the place of the model's.
//!
//! * [`build`]: making the driver, one binary for each version of Kubernetes.
//! * [`driver`]: the process and the frames to and from it.
//! * [`drivers`]: those that are running, by version.
//! * [`admission`]: random writes, judged by the model, by the embedded API server and by the original.
//! * [`text`]: the controller's small languages: lists of indexes, the order of deletion.
//! * [`controller`]: the real controllers as a part of a simulation; writes of all others go to the driver's store.
//! * [`open`]: the same without a store in the driver: their calls go to an API server elsewhere.

pub mod admission;
pub mod build;
pub mod controller;
mod draw;
pub mod driver;
pub mod drivers;
pub mod open;
mod registry;
mod session;
pub mod text;
