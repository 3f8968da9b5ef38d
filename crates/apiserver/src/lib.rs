//! A Kubernetes API server inside the process: the same answers, no sockets, no clock of its own.
//!
//! [`ApiServer`] is a synchronous state machine: [`ApiServer::handle`] carries out one request at an instant that the caller
//! names, [`ApiServer::poll_watch`] gives the next event of a watch, [`ApiServer::fire`] does what is due. Jobs, pods and nodes
//! are rows of [`towtank_model::server::Server`], which the model's controllers read and write without JSON; everything else
//! is kept here.
//!
//! From a request to an answer (`call`): `request` reads it, `server` sends it on its way, `auth` judges the caller; `read`, `write`,
//! `patching`, `delete` and `subresources` are the verbs; `strategy` knows what is particular to a kind, `write_rows` takes what
//! concerns rows to the model; `store` and `storing` keep versions and history, `watch` walks it, `rows` follows the model, `overlay` makes
//! objects of rows; `lifecycle` collects garbage; `crd`, `discovery`, `schemas` and `table` say what they are called.
//!
//! [`adapter`] has the ways to it: for `kube::Client` on virtual time, and over HTTP.
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

pub mod adapter;
pub mod apply;
mod auth;
mod call;
mod crd;
pub mod defaults;
mod delete;
mod discovery;
pub mod error;
pub mod fields;
mod kinds;
mod lifecycle;
pub mod managed_fields;
pub mod metadata;
pub mod names;
pub mod openapi;
mod overlay;
pub mod patch;
mod patching;
mod present;
pub mod protobuf;
mod read;
mod request;
mod rows;
pub mod schema;
mod schemas;
pub mod selector;
mod server;
mod shape;
mod store;
mod storing;
mod strategy;
mod subresources;
mod table;
mod typed;
mod validation;
mod watch;
mod write;
mod write_rows;

pub use server::{Answer, ApiServer, Caller, Config};
pub use watch::{WatchId, WatchPoll};

/// The example of the README is one that runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
