//! `towtank schema`.

use std::process::ExitCode;

use crate::failure::{AGREE, Failure};

/// Prints the JSON Schema of the scenario format.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    super::print(&format!("{:#}\n", towtank_scenario::schema()))?;
    Ok(ExitCode::from(AGREE))
}
