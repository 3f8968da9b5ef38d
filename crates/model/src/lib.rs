//! The pure core of Towtank: elastic Indexed Jobs on Kubernetes as a discrete-event model.

#[macro_use]
mod mutant;

pub mod admission;
pub mod cluster;
pub mod engine;
pub mod index_set;
pub mod job;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod objects;
pub mod server;
pub mod simulation;
pub mod time;
pub mod version;
