//! Chores with the programs of a real control plane.

use towtank_reference::build::{Program, build_program};

use crate::command::{Failed, Outcome, root};
use crate::reference::versions;

/// Builds etcd, the API server, the controllers and the scheduler of these versions, one after the other: one Go build has work for all cores.
pub(crate) fn build(named: &[String]) -> Outcome {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    for version in versions(named)? {
        for program in Program::CONTROL_PLANE {
            let path = build_program(&root().join("target"), version, program, &mut say)
                .map_err(|error| Failed::new(error.to_string()))?;
            eprintln!("xtask: Kubernetes {version}: {}", path.display());
        }
    }
    Ok(())
}
