//! Kubernetes objects as typed rows: the subset of fields that some rule of the model reads or writes.
//!
//! Objects are immutable values behind `Arc`. The server replaces a whole object with every write; caches and
//! observers hold on to the version they have seen, and whatever pods share (labels, spec, owner name) is stored once.

mod job;
mod meta;
mod node;
mod pod;

pub use job::*;
pub use meta::*;
pub use node::*;
pub use pod::*;
