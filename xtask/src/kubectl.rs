//! kubectl for the tests: the one on the PATH when it is new enough, and one that is built from the sources of Kubernetes when it is not.

use std::path::{Path, PathBuf};
use std::process::Command;

use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{Program, build_program};

use crate::command::{Failed, root};

/// The oldest minor version that the tests know.
const OLDEST: u32 = 32;

/// Where a kubectl is that is new enough, built if need be.
pub(crate) fn kubectl() -> Result<PathBuf, Failed> {
    let installed = PathBuf::from("kubectl");
    if minor(&installed).is_some_and(|minor| minor >= OLDEST) {
        return Ok(installed);
    }
    let mut say = |line: &str| eprintln!("xtask: {line}");
    build_program(&root().join("target"), KubernetesVersion::NEWEST, Program::Kubectl, &mut say).map_err(
        |error| {
            Failed::new(format!("no kubectl 1.{OLDEST} or newer on the PATH, and none can be built: {error}"))
        },
    )
}

/// The minor version of a kubectl, if there is one and it runs: `"minor": "32"`, and `32+` of some vendors.
fn minor(kubectl: &Path) -> Option<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "--output=json"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = text.split_once("\"minor\":")?;
    let number: String =
        rest.trim_start_matches([' ', '"']).chars().take_while(char::is_ascii_digit).collect();
    number.parse().ok()
}
