//! Running commands in the repository.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A chore that did not succeed.
pub(crate) struct Failed {
    /// What was run, and what is wrong.
    pub(crate) what: String,
    /// What the chore ends with: the code of the command that did not succeed, if there was one.
    pub(crate) code: u8,
}

impl Failed {
    /// Nothing that was run has failed; it is wrong all the same.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), code: 1 }
    }
}

pub(crate) type Outcome = Result<(), Failed>;

/// Runs cargo and shows what it printed only when it did not succeed.
pub(crate) fn quietly(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
    let mut command = command("cargo", args);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| cannot_run(&command, &error))?;
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    ended(&command, output.status)
}

pub(crate) fn cargo(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
    run(&mut command("cargo", args))
}

pub(crate) fn command(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// A program of the workspace that stands beside this one: the one that the tests have built, where `--package` would build what it depends on with other features.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failed> {
    let own =
        std::env::current_exe().map_err(|error| Failed::new(format!("where this program is: {error}")))?;
    Ok(own.with_file_name(name))
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| cannot_run(command, &error))?;
    ended(command, status)
}

fn ended(command: &Command, status: ExitStatus) -> Outcome {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failed { what: format!("{command:?} ended with {status}"), code })
}

fn cannot_run(command: &Command, error: &std::io::Error) -> Failed {
    Failed::new(format!("{command:?}: {error}"))
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
