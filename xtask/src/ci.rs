//! What continuous integration runs.

use towtank_reference::build::check_go;

use crate::command::{Failed, Outcome, cargo, command, quietly, run};
use crate::control_plane;
use crate::e2e::e2e_after_build;
use crate::kubectl::kubectl;
use crate::reference::{build_drivers, random_writes, record};
use crate::stories::differential_after_tests;
use crate::tests::deny;

/// Random stories for each of these.
const STORIES_IN_CI: u64 = 300;
/// Random updates for each of these.
const UPDATES_IN_CI: u64 = 5_000;

/// The versions that continuous integration plays the reference of: the newest, and one as old as can be.
const PLAYED_IN_CI: [&str; 2] = ["1.37", "1.28"];

/// The version whose control plane is built: that of a driver, with which it shares most of what is compiled.
const CONTROL_PLANE_IN_CI: &str = "1.37";
/// Scenarios that take longer in real time are for people who wait.
const SECONDS_IN_CI: &str = "20";

pub(crate) fn ci() -> Outcome {
    let go = check_go();
    // A thread builds with Go what is not built yet, while cargo checks and compiles.
    std::thread::scope(|scope| {
        let build = || {
            build_drivers(&PLAYED_IN_CI.map(String::from), false)?;
            control_plane::build(&[CONTROL_PLANE_IN_CI.to_owned()])
        };
        let drivers = go.is_ok().then(|| scope.spawn(build));
        step("format", || cargo(["fmt", "--all", "--check"]))?;
        step("clippy", || {
            cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
        })?;
        step("documentation", || {
            run(command("cargo", ["doc", "--workspace", "--no-deps", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"))
        })?;
        step("dependencies", deny)?;
        step("kubectl", || kubectl().map(drop))?;
        // README's two commands, exactly as it shows them.
        step("scenarios", || cargo(["towtank", "run"]))?;
        step("tests", || cargo(["xtask", "test"]))?;
        let Some(drivers) = drivers else {
            let why = go.err().map(|error| format!(": {error}")).unwrap_or_default();
            eprintln!("xtask: the real controller was not played, only its recordings compared with{why}");
            return Ok(());
        };
        step("drivers of the reference, and a control plane", || {
            drivers.join().unwrap_or_else(|_| Err(Failed::new("building with Go")))
        })?;
        play_the_reference()?;
        step("a real control plane", || {
            control_plane::test(&[CONTROL_PLANE_IN_CI.to_owned()])?;
            // A machine that builds beside it is late now and then: the verdict tells what came true at the second attempt only.
            let version = ["--kubernetes", CONTROL_PLANE_IN_CI];
            let limits = ["--length-max-s", SECONDS_IN_CI, "--retries", "2"];
            e2e_after_build(
                &[&version[..], &limits].concat().into_iter().map(String::from).collect::<Vec<_>>(),
            )
        })
    })
}

/// The real controller, played now: beside the model, against its own recordings, in random stories, and its API server with
/// random writes.
fn play_the_reference() -> Outcome {
    for version in PLAYED_IN_CI {
        step(&format!("the real controller of Kubernetes {version} beside the model"), || {
            quietly(["towtank", "run", "--world", "model", "--world", "reference", "--kubernetes", version])
        })?;
    }
    for version in PLAYED_IN_CI {
        step(&format!("the real controller of Kubernetes {version} at the embedded API server"), || {
            play_open(version)
        })?;
    }
    step("recordings", || record(&PLAYED_IN_CI.map(String::from), true))?;
    let versions = PLAYED_IN_CI.map(String::from);
    step("random stories", || differential_after_tests(&versions, STORIES_IN_CI, 1))?;
    step("random writes", || random_writes(&versions, UPDATES_IN_CI, 1, false))
}

/// Stories of Jobs are the same with the driver's own registry, and MiniClusters with the model's Job controller and its operator.
fn play_open(version: &str) -> Outcome {
    let jobs = ["scenarios/track-record"];
    let miniclusters = ["scenarios/downsize", "scenarios/scaling", "--flux", "0.61.2", "--world", "model"];
    for (what, other) in [(&jobs[..], "reference"), (&miniclusters, "embedded")] {
        let worlds = ["--world", "reference-open", "--world", other, "--kubernetes", version];
        quietly([&["towtank", "run"][..], what, &worlds].concat())?;
    }
    Ok(())
}

/// Announces a part of a chore, so that a log shows where it stands.
fn step(name: &str, chore: impl FnOnce() -> Outcome) -> Outcome {
    eprintln!("xtask: {name}");
    chore()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    /// The workflow that users copy. What `e2e` passes on is checked where it goes, in `towtank`.
    #[test]
    fn the_example_of_a_workflow_uses_what_there_is() {
        let workflow = include_str!("../../examples/ci/github-actions.yml");
        let mut commands = 0;
        for run in workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: cargo xtask ")) {
            let words = run.split_whitespace().map(|word| match word.trim_matches('"') {
                "$KUBERNETES" | "$KIND_KUBERNETES" => "1.36",
                word => word,
            });
            if let Err(error) = crate::Cli::try_parse_from(std::iter::once("xtask").chain(words)) {
                panic!("{run}: {error}");
            }
            commands += 1;
        }
        assert_eq!(commands, 4);
    }
}
