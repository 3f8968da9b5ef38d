//! `towtank check`: validates files and plays nothing.

use std::process::ExitCode;

use crate::args::CheckArguments;
use crate::failure::{AGREE, Failure, plural};
use crate::files;

/// Reads all scenarios; every file that is none is shown.
pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let scenarios = files::load(&arguments.paths)?;
    super::print(&format!("{} valid\n", plural(scenarios.len(), "scenario")))?;
    Ok(ExitCode::from(AGREE))
}
