//! Chores with a real control plane.

use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{Program, build_program};

use crate::command::{Failed, Outcome, cargo, command, root, run};
use crate::reference::versions;

/// Builds etcd, the API server, the controllers and the scheduler of these versions, one after the other: one Go build has work for all cores.
pub(crate) fn build(named: &[String]) -> Outcome {
    for version in versions(named)? {
        build_version(version)?;
    }
    Ok(())
}

fn build_version(version: KubernetesVersion) -> Outcome {
    build_programs(version, &Program::CONTROL_PLANE)
}

/// Builds programs of a version.
pub(crate) fn build_programs(version: KubernetesVersion, programs: &[Program]) -> Outcome {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    for &program in programs {
        let path = build_program(&root().join("target"), version, program, &mut say)
            .map_err(|error| Failed::new(error.to_string()))?;
        eprintln!("xtask: Kubernetes {version}: {}", path.display());
    }
    Ok(())
}

/// Builds what is missing, starts a control plane and keeps it until Ctrl-C or SIGTERM.
pub(crate) fn up(kubernetes: &str) -> Outcome {
    build(&[kubernetes.to_owned()])?;
    cargo(["towtank", "control-plane", "up", "--kubernetes", kubernetes])
}

/// Ends what [`up`] has started, whichever terminal it is in, and removes what killed ones have left.
pub(crate) fn down() -> Outcome {
    cargo(["towtank", "control-plane", "down"])
}

/// Runs the tests that need a control plane, with one version after the other.
pub(crate) fn test(named: &[String]) -> Outcome {
    for version in versions(named)? {
        build_version(version)?;
        let args = ["test", "--release", "--workspace", "--test", "control_plane", "--", "--include-ignored"];
        run(command("cargo", args).env("TOWTANK_KUBERNETES", version.full()))?;
    }
    Ok(())
}
