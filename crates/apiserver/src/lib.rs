//! A Kubernetes API server inside the process: the same answers, no sockets, no clock of its own.
//!
//! The pure parts know nothing of a store. They take and give `serde_json::Value`:
//!
//! * [`error`]: a refused request, worded as a real API server words it;
//! * [`names`]: what names and labels may look like;
//! * [`defaults`]: what is filled in for built-in kinds;
//! * [`fields`], [`managed_fields`] and [`apply`]: who owns which field, and server-side apply;
//! * [`selector`]: label and field selectors;
//! * [`patch`]: JSON patch, merge patch and strategic merge patch;
//! * [`schema`]: what the fields of a kind are: pruning, defaults and validation;

pub mod apply;
pub mod defaults;
pub mod error;
pub mod fields;
pub mod managed_fields;
pub mod names;
pub mod patch;
pub mod schema;
pub mod selector;
mod typed;
