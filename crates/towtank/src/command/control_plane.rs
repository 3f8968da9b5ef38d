//! `towtank control-plane`: a real control plane for kubectl and any other client, while somebody needs it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use towtank_control_plane::{Binaries, Config, ControlPlane, ControlPlaneError, Interrupt, end_runs};

use crate::args::{ControlPlaneAction, UpArguments};
use crate::failure::{AGREE, Failure};

/// How often it is looked whether everything still runs.
const POLL: Duration = Duration::from_millis(100);

/// Starts one, or ends those that are up.
pub(crate) fn run(action: &ControlPlaneAction) -> Result<ExitCode, Failure> {
    match action {
        ControlPlaneAction::Up(arguments) => up(arguments)?,
        ControlPlaneAction::Down { dir } => {
            let ended = end_runs(dir, &|_| Ok(())).map_err(no_cluster)?;
            super::print(&format!("{ended} ended\n"))?;
        }
    }
    Ok(ExitCode::from(AGREE))
}

fn no_cluster(error: ControlPlaneError) -> Failure {
    Failure::NoCluster(error.to_string())
}

/// Keeps it until Ctrl-C or SIGTERM.
fn up(arguments: &UpArguments) -> Result<(), Failure> {
    let interrupt = Interrupt::install().map_err(|error| Failure::NoCluster(error.to_string()))?;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let binaries = Binaries::in_dir(&absolute(&arguments.programs), &arguments.kubernetes.full());
    let config =
        Config { interrupt: Some(interrupt.clone()), ..Config::new(binaries, absolute(&arguments.dir)) };
    let mut plane = match ControlPlane::start(config) {
        // Whoever interrupts it while it starts gets what they want.
        Err(ControlPlaneError::Interrupted) => return Ok(()),
        started => started.map_err(no_cluster)?,
    };
    super::print(&format!(
        "Kubernetes {} at {}, {} MB resident; logs in {}\nexport KUBECONFIG='{}'\n",
        arguments.kubernetes.full(),
        plane.server(),
        plane.resident_bytes() / 1_000_000,
        plane.dir().join("logs").display(),
        plane.kubeconfig().display(),
    ))?;
    while !interrupt.is_raised() {
        plane.check().map_err(no_cluster)?;
        pause();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
fn pause() {
    std::thread::sleep(POLL);
}
