//! A Kubernetes API server inside the process: the same answers, no sockets, no clock of its own.
//!
//! The pure parts know nothing of a store. They take and give `serde_json::Value`:
//!
//! * [`error`]: a refused request, worded as a real API server words it;
//! * [`openapi`]: the documents that `kubectl explain` reads;
//! * [`metadata`]: what every object's metadata must look like;
//! * [`names`]: what names and labels may look like;
//! * [`defaults`]: what is filled in for built-in kinds;
//! * [`fields`], [`managed_fields`] and [`apply`]: who owns which field, and server-side apply;
//! * [`protobuf`]: bodies that `kubectl` sends in binary form;
//! * [`selector`]: label and field selectors;
//! * [`patch`]: JSON patch, merge patch and strategic merge patch;
//! * [`schema`]: what the fields of a kind are: pruning, defaults and validation;

pub mod apply;
pub mod defaults;
pub mod error;
pub mod fields;
pub mod managed_fields;
pub mod metadata;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod schema;
pub mod selector;
mod typed;
