//! The commands.

pub(crate) mod check;
mod cluster;
pub(crate) mod control_plane;
pub(crate) mod e2e;
pub(crate) mod explain;
pub(crate) mod latency;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The path from the root of the file system: programs of a cluster run in other directories.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
}

/// Prints to stdout; colours go where there is a terminal.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader has seen enough (`towtank run | head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::Output { what: "to stdout".to_owned(), error }),
    }
}
