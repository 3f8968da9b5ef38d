//! A real Kubernetes control plane as child processes: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, on free
//! ports of the loopback interface, with a certificate authority and tokens of their own. It says nothing about what the cluster is for.
//!
//! [`ControlPlane::start`] returns when everything serves. Nothing outlives the process that started it, however that ends: every child is started through
//! [`shim`], which has the kernel kill it when its parent is gone. So the first line of `main` of a program that uses this crate is
//!
//! ```no_run
//! towtank_control_plane::shim();
//! ```
//!
//! What a killed process has left on disk, the next start removes.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real processes run in real time and serve on real sockets"
)]

mod certificates;
mod child;
mod config;
mod container;
mod error;
mod flags;
mod gates;
mod health;
mod interrupt;
mod kubeconfig;
mod plane;
mod ports;
mod process;
mod run;
mod shim;

pub use child::{Child, Launch, kill_group, spawn_child, spawn_tied};
pub use config::{Binaries, Component, Config, Program};
pub use container::build_image;
pub use error::ControlPlaneError;
pub use interrupt::Interrupt;
pub use plane::{BRING_BACK_TRIES, ControlPlane};
pub use process::Recorded;
pub use run::{RunDir, Undo, clean_up, end_runs};
pub use shim::shim;
