//! Real clusters of kind, for machines with and without an image registry: the image of their nodes, a docker daemon where there is none, and clusters
//! that end with the process that made them.
//!
//! A node image is built of Debian packages and of programs that are built from the sources of Kubernetes ([`NodeImage`]); nothing is pulled. Where
//! images can be pulled, any other node image will do.
//!
//! [`Kind::create`] returns when all nodes are ready. A cluster is deleted when its [`Kind`] is dropped; that of a process which was killed is deleted by the next
//! [`Kind::create`] with the same directory of runs, and no other is touched. A program that uses this crate begins `main` with
//! [`towtank_control_plane::shim`].

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real clusters take real time")]

mod cluster;
mod command;
mod daemon;
mod error;
mod images;
mod node_image;
mod oci;
mod processes;

pub use cluster::{Config, Kind, NEWEST_ON_CGROUP_V1, clean_up, end_clusters};
pub use daemon::{Daemon, Started, check_docker};
pub use error::KindError;
pub use images::{OPERATOR_IMAGE, STAND_IN_IMAGE, operator_image, stand_in_image};
pub use node_image::NodeImage;
pub use oci::become_runtime;
