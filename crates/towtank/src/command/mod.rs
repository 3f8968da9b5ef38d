//! The commands.

pub(crate) mod check;
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

use towtank_cluster::site::{Containers, Local};

use crate::failure::Failure;

/// The path from the root of the file system: programs of a cluster run in other directories.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Usage(format!("`{}`: {error}", path.display())))
}

/// A control plane on this machine, of these programs, with the production operator beside it.
fn local(programs: &Path, operator: &Path, containers: Option<Containers>) -> Result<Local, Failure> {
    if !operator.is_file() {
        return Err(Failure::NoCluster(format!(
            "the operator `{}` is not there: `cargo build --release --package towtank-operator` builds it",
            operator.display()
        )));
    }
    Ok(Local { programs: absolute(programs)?, operator: absolute(operator)?, containers })
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
