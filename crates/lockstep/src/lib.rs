//! Plays scenarios in worlds and judges what is to be seen.
//!
//! A [`world::World`] acts, lets time pass and shows an observation. The [`runner`] plays a scenario in it step by step
//! and yields a [`run::Run`], a value that everything else is computed from: the observation trace for review, the
//! verdict of a pair of worlds ([`verdict`]), the explanation of a step ([`explain`]), and all reports.

mod changes;
pub mod claim;
pub mod explain;
pub mod explanation;
mod history;
pub mod kubectl;
pub mod latency;
pub mod observation_trace;
pub mod observed;
pub mod recording;
pub mod run;
pub mod runner;
pub mod session;
pub mod sight;
pub mod table;
pub mod trace_text;
pub mod verdict;
pub mod virtual_world;
pub mod world;
