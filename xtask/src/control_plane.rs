//! Chores with a real control plane.

use std::path::PathBuf;
use std::time::Duration;

use towtank_control_plane::{Binaries, Config, ControlPlane, ControlPlaneError, Interrupt, end_runs};
use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{Program, build_program};

use crate::command::{Failed, Outcome, command, root, run};
use crate::reference::versions;

/// How often it is looked whether everything still runs.
const POLL: Duration = Duration::from_millis(100);

/// Builds etcd, the API server, the controllers and the scheduler of these versions, one after the other: one Go build has work for all cores.
pub(crate) fn build(named: &[String]) -> Outcome {
    for version in versions(named)? {
        build_version(version)?;
    }
    Ok(())
}

fn build_version(version: KubernetesVersion) -> Outcome {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    for program in Program::CONTROL_PLANE {
        let path = build_program(&root().join("target"), version, program, &mut say)
            .map_err(|error| Failed::new(error.to_string()))?;
        eprintln!("xtask: Kubernetes {version}: {}", path.display());
    }
    Ok(())
}

/// Where control planes that are up have their directories: tests and other chores have theirs elsewhere, so that [`down`] ends nothing of them.
fn runs() -> PathBuf {
    root().join("target/control-plane")
}

/// Starts a control plane, prints how to reach it, and keeps it until Ctrl-C or SIGTERM.
pub(crate) fn up(kubernetes: &str) -> Outcome {
    let versions = versions(&[kubernetes.to_owned()])?;
    let [version] = versions.as_slice() else {
        return Err(Failed::new(format!("one control plane at a time: {kubernetes} is several versions")));
    };
    build_version(*version)?;
    let interrupt = Interrupt::install().map_err(|error| Failed::new(error.to_string()))?;
    let binary = |program: Program| program.path(&root().join("target"), *version);
    let binaries = Binaries {
        etcd: binary(Program::Etcd),
        apiserver: binary(Program::Apiserver),
        controller_manager: binary(Program::ControllerManager),
        scheduler: binary(Program::Scheduler),
    };
    let config = Config { interrupt: Some(interrupt.clone()), ..Config::new(binaries, runs()) };
    match serve(config, *version, &interrupt) {
        // Whoever interrupts it while it starts gets what they want.
        Ok(()) | Err(ControlPlaneError::Interrupted) => Ok(()),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

#[expect(clippy::disallowed_types, reason = "how long a start takes is a fact about the machine")]
#[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
fn serve(config: Config, version: KubernetesVersion, interrupt: &Interrupt) -> Result<(), ControlPlaneError> {
    let start = std::time::Instant::now();
    let mut plane = ControlPlane::start(config)?;
    println!(
        "Kubernetes {} serves at {} after {:.1} s, with {} MB resident",
        version.full(),
        plane.server(),
        start.elapsed().as_secs_f64(),
        plane.resident_bytes() / 1_000_000
    );
    println!("  kubectl --kubeconfig {} get namespaces", plane.kubeconfig().display());
    println!("  logs: {}", plane.dir().join("logs").display());
    println!("Ctrl-C, or cargo xtask control-plane down, ends it and removes everything");
    while !interrupt.is_raised() {
        plane.check()?;
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Ends what [`up`] has started, whichever terminal it is in, and removes what killed ones have left.
pub(crate) fn down() -> Outcome {
    let ended = end_runs(&runs()).map_err(|error| Failed::new(error.to_string()))?;
    eprintln!("xtask: control planes ended: {ended}");
    Ok(())
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
