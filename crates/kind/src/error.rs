//! What can go wrong, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use towtank_control_plane::ControlPlaneError;
use towtank_reference::build::BuildError;

/// Why there is no cluster of kind.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// A program is not installed.
    #[error("there is no `{program}` command: {advice}")]
    Missing {
        /// Which.
        program: String,
        /// What to do.
        advice: &'static str,
    },
    /// No docker daemon answers, or not to this user.
    #[error(
        "docker does not answer: {0}; start it, or one of this repository's own with `cargo xtask docker up`"
    )]
    NoDocker(String),
    /// Something that only root may do.
    #[error("{0} needs root")]
    NotRoot(&'static str),
    /// The docker daemon, or the machine, is not one that kind can work with.
    #[error("kind cannot work here: {0}")]
    Unfit(String),
    /// A command did not succeed.
    #[error("`{command}` {how}:\n{said}")]
    Failed {
        /// What was run.
        command: String,
        /// Its exit code or signal.
        how: String,
        /// The last lines that it printed.
        said: String,
    },
    /// A command took too long, and was ended.
    #[error("`{command}` was not done after {} s", limit.as_secs())]
    Slow {
        /// What was run.
        command: String,
        /// How long it was given.
        limit: Duration,
    },
    /// A cluster did not come up, and the logs of its nodes are kept.
    #[error("{error}\nlogs of the nodes: {}", logs.display())]
    Logged {
        /// Why.
        error: Box<KindError>,
        /// Where the logs will be.
        logs: PathBuf,
    },
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The image that was asked for is not there.
    #[error("docker has no image `{0}`: build or pull it first")]
    NoImage(String),
    /// The daemon that `cargo xtask docker up` has started is still there.
    #[error("{0}")]
    Daemon(String),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Programs that are written in Go.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Directories of runs, and children.
    #[error(transparent)]
    Run(#[from] ControlPlaneError),
}

/// Names the file in an error of the operating system.
pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, KindError> {
    result.map_err(|source| KindError::File { path: path.to_owned(), source })
}
