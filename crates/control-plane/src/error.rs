//! What can go wrong, each with what to do or where to look.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Component, Program};

/// Why a control plane, or a child, does not run.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A program is not there.
    #[error("{component} is missing: {} does not exist; `cargo xtask control-plane build --kubernetes {version}` builds it", path.display())]
    Missing {
        /// Which.
        component: Component,
        /// Where it was looked for.
        path: PathBuf,
        /// The minor version in the name of the file, or `VERSION`.
        version: String,
    },
    /// The program cannot start children: they would outlive it.
    #[error(
        "the program that starts a control plane must call `towtank_control_plane::shim()` first of all in `main`"
    )]
    NoShim,
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The path of a run's directory gets into configuration files, which are text.
    #[error("{} is no text: choose another directory", .0.display())]
    NotText(PathBuf),
    /// Another process holds the lock of the directory of runs for too long.
    #[error("{} stays locked: another process starts or removes runs there", .0.display())]
    Busy(PathBuf),
    /// A child cannot be started at all.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// Which.
        program: Program,
        /// Why.
        source: io::Error,
    },
    /// The container engine (docker, or what `DOCKER_HOST` names) does not answer, or refuses.
    #[error("{doing}: {why}; `docker info` tells whether a container engine answers")]
    Container {
        /// What was tried.
        doing: String,
        /// Its words.
        why: String,
    },
    /// A child has ended that should run.
    #[error("{name} has ended ({status}); the last lines of {}:\n{last_lines}", log.display())]
    Ended {
        /// Which.
        name: String,
        /// Its exit code or signal.
        status: String,
        /// Its log. After a failed start this is where the log is kept.
        log: PathBuf,
        /// The end of its log.
        last_lines: String,
    },
    /// A component runs and is not ready in time.
    #[error("{component} is not healthy after {} s: {why}; the last lines of {}:\n{last_lines}", limit.as_secs(), log.display())]
    Unhealthy {
        /// Which.
        component: Component,
        /// How long it was waited for.
        limit: Duration,
        /// What it answered last.
        why: String,
        /// Its log. After a failed start this is where the log is kept.
        log: PathBuf,
        /// The end of its log.
        last_lines: String,
    },
    /// No component knows a feature gate.
    #[error("no component of this Kubernetes knows the feature gate {0}")]
    UnknownGate(String),
    /// A component knows a feature gate and does not accept the value.
    #[error("{component} refuses the feature gate {gate}: {said}")]
    RefusedGate {
        /// Which.
        component: Component,
        /// The gate and its value.
        gate: String,
        /// Its own words.
        said: String,
    },
    /// Every try met a port that another process had taken.
    #[error("no free ports: other processes took one of them {0} times")]
    NoPorts(usize),
    /// The certificate authority, or a key.
    #[error("cannot make certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The client, the operating system's random numbers, or the threads that watch over children.
    #[error("{0}")]
    Machine(String),
    /// Ctrl-C or SIGTERM came while the control plane started.
    #[error("interrupted")]
    Interrupted,
}

/// Names the file in an error of the operating system.
pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, ControlPlaneError> {
    result.map_err(|source| ControlPlaneError::File { path: path.to_owned(), source })
}
