//! Which commands of a lead can be played (Flux spec A.6), and what is said of others.

use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_minicluster::workload::{WorkloadError, check};

#[derive(Clone, Copy)]
enum Mode {
    Job,
    Launcher,
    Batch,
    RawBatch,
}

fn checked(mode: Mode, command: &str) -> Result<(), WorkloadError> {
    let container = ContainerSpec {
        runs_flux: true,
        command: Some(command.to_owned()),
        is_launcher: matches!(mode, Mode::Launcher),
        is_batch: matches!(mode, Mode::Batch | Mode::RawBatch),
        is_batch_raw: matches!(mode, Mode::RawBatch),
        ..ContainerSpec::default()
    };
    check(&MiniClusterSpec { containers: vec![container], ..MiniClusterSpec::default() })
}

#[test]
fn what_can_be_played() {
    for (mode, command) in [
        (Mode::Job, "sleep 5"),
        (Mode::Job, "  hostname"),
        (Mode::Job, "sh -c 'exit 3'"),
        (Mode::Job, "flux resource list"),
        (Mode::Launcher, "flux submit --watch sleep 3"),
        (Mode::Launcher, "sh -c \"flux submit sleep 3; sleep 1 && flux queue idle\""),
        (Mode::Launcher, "bash -c 'flux run -N2 sleep 1\n# a comment\n\nflux job wait --all\nexit 4'"),
        (Mode::Launcher, "flux submit sh -c 'exit 1; exit 2'"),
        (Mode::Batch, "sleep 1\n\n# a comment\nhostname"),
        (Mode::RawBatch, "flux submit sleep 1\nflux queue drain"),
    ] {
        assert_eq!(checked(mode, command), Ok(()), "{command}");
    }
}

#[test]
fn what_cannot_be_played() {
    let shell = |text: &str| Err(WorkloadError::Shell(text.to_owned()));
    let unknown = |text: &str| Err(WorkloadError::Unknown(text.to_owned()));
    for (mode, command, expected) in [
        (Mode::Job, "lmp -v x 2 -in in.reaxff", unknown("lmp -v x 2 -in in.reaxff")),
        (Mode::Job, "sleep 1 | cat", shell("sleep 1 | cat")),
        (Mode::Launcher, "python3 launch.py", unknown("python3 launch.py")),
        (Mode::Launcher, "flux pstree", unknown("flux pstree")),
        (Mode::Launcher, "sleep 1\nflux jobs > file", shell("flux jobs > file")),
        (Mode::Launcher, "sleep 1 & sleep 2", shell("sleep 1 & sleep 2")),
        (Mode::Launcher, "exit many", shell("exit many")),
        (Mode::Launcher, "echo \"open", shell("echo \"open")),
        (Mode::Batch, "sleep 1\nlmp", unknown("lmp")),
        (Mode::RawBatch, "srun sleep 1", unknown("srun sleep 1")),
        (Mode::Launcher, &"true\n".repeat(10_001), Err(WorkloadError::TooLong)),
        (Mode::Batch, &"true\n".repeat(10_001), Err(WorkloadError::TooLong)),
    ] {
        assert_eq!(checked(mode, command), expected, "{command}");
    }
}

#[test]
fn nobody_asks_what_an_interactive_lead_would_run() {
    let container = ContainerSpec { command: Some("lmp".to_owned()), ..ContainerSpec::default() };
    let spec =
        MiniClusterSpec { containers: vec![container], is_interactive: true, ..MiniClusterSpec::default() };
    assert_eq!(check(&spec), Ok(()));
}
