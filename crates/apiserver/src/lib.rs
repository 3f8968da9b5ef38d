//! A Kubernetes API server inside the process: the same answers, no sockets, no clock of its own.
//!
//! The pure parts know nothing of a store. They take and give `serde_json::Value`:
//!
//! * [`error`]: a refused request, worded as a real API server words it;
//! * [`selector`]: label and field selectors;
//! * [`patch`]: JSON patch, merge patch and strategic merge patch;
//! * [`schema`]: what the fields of a kind are: pruning, defaults and validation;

pub mod error;
pub mod patch;
pub mod schema;
pub mod selector;
pub mod adapter;
#[derive(Clone,Copy,Debug,PartialEq,Eq,PartialOrd,Ord)]
pub struct WatchId(pub u64);
pub enum Answer { Response(http::Response<bytes::Bytes>), Watch(WatchId) }
pub enum WatchPoll { Event(bytes::Bytes), Empty, Closed }
#[derive(Default)]
pub struct Caller;
