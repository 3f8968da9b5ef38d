//! What can be wrong.

use std::io;
use std::path::{Path, PathBuf};

use towtank_flux::instance::ConfigError;
use towtank_flux::overlay::{InvalidQuorum, InvalidTopology, Refused};
use towtank_flux::version::UnknownVersion;

/// Why the stand-in does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandInError {
    #[error("a command is missing: this stands in for flux, see crates/stand-in/README.md")]
    Usage,
    #[error("{0}: the stand-in does not know this option")]
    Option(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {why}", path.display())]
    BadFile { path: PathBuf, why: String },
    #[error("{0}: no endpoint such as tcp://eth0:8050")]
    Endpoint(String),
    #[error("FLUX_URI is not set, and there is no broker to ask")]
    NoUri,
    #[error("Unable to connect to Flux: {uri}: {source}")]
    NoBroker { uri: String, source: io::Error },
    #[error("{0}")]
    Machine(io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Version(#[from] UnknownVersion),
    #[error(transparent)]
    Quorum(#[from] InvalidQuorum),
    #[error(transparent)]
    Topology(#[from] InvalidTopology),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Names the file in an error of the operating system.
pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, StandInError> {
    result.map_err(|source| StandInError::File { path: path.to_owned(), source })
}
