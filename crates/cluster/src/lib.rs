//! The world `cluster`: scenarios on a real Kubernetes control plane, in real time.
//!
//! A [`site::Site`] is a running cluster, in which one scenario after another is played ([`world::play`]). The rows of a simulation are a copy of what the real API
//! server stores (`mirror`): the model's kubelets and its Flux work on the copy, what they write goes to the API server, and what
//! everybody else writes there comes back through watches. So scheduler, controllers, garbage collection and the operator are real, and
//! nodes and Flux are the same implementation as in every other world.

pub mod chaos;
mod clean;
pub mod clock;
pub mod connection;
pub mod deployed;
mod engine;
mod guest;
pub mod kind;
pub mod kubeconfig;
pub mod latency;
mod mirror;
pub mod namespaces;
pub mod nodes;
pub mod processes;
mod provider;
pub mod site;
pub mod suite;
mod translate;
mod watch;
mod workloads;
pub mod world;
