//! Children of every kind, and real control planes: `cargo xtask control-plane test` builds what those need and runs them too.
//!
//! The tests have a `main` of their own, because a program that starts children must be able to become one.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real processes take real time")]

mod children;
mod cluster;
mod endings;
mod holder;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use towtank_control_plane::{Binaries, Config};

/// A test, and what is wrong if it is.
type Test = fn(&Path) -> Result<(), Failed>;

/// With any program.
const CHILDREN: &[(&str, Test)] = &[
    ("a_child_ends_with_its_parent", children::a_child_ends_with_its_parent),
    ("a_child_lives_on_when_the_thread_is_gone", children::a_child_lives_on_when_the_thread_is_gone),
    ("a_child_knows_nothing_of_the_shell", children::a_child_knows_nothing_of_the_shell),
    ("a_program_that_cannot_be_run_says_so", children::a_program_that_cannot_be_run_says_so),
    ("a_child_that_does_not_listen_is_killed", children::a_child_that_does_not_listen_is_killed),
    ("what_a_child_has_started_ends_with_it", children::what_a_child_has_started_ends_with_it),
    ("a_command_is_tied_as_it_is", children::a_command_is_tied_as_it_is),
];

/// With a control plane.
const CONTROL_PLANES: &[(&str, Test)] = &[
    ("an_administrator_is_served", cluster::an_administrator_is_served),
    ("the_components_have_their_own_rights", cluster::the_components_have_their_own_rights),
    ("a_job_becomes_pods", cluster::a_job_becomes_pods),
    ("each_component_comes_back", cluster::each_component_comes_back),
    ("a_component_that_ends_by_itself_is_an_error", cluster::a_component_that_ends_by_itself_is_an_error),
    ("gates_go_to_those_that_know_them", cluster::gates_go_to_those_that_know_them),
    ("a_failed_start_keeps_its_logs", cluster::a_failed_start_keeps_its_logs),
    ("taken_ports_are_tried_again_but_not_for_ever", cluster::taken_ports_are_tried_again_but_not_for_ever),
    ("nothing_outlives_a_killed_process", endings::nothing_outlives_a_killed_process),
    ("nothing_outlives_a_terminated_process", endings::nothing_outlives_a_terminated_process),
    ("nothing_outlives_a_process_that_is_interrupted_early", endings::nothing_outlives_an_interrupted_start),
    ("nothing_outlives_a_panic", endings::nothing_outlives_a_panic),
    ("runs_are_ended_from_outside", endings::runs_are_ended_from_outside),
];

fn main() -> ExitCode {
    towtank_control_plane::shim();
    if let Some(code) = holder::main() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Each of them has work for all cores.
    arguments.test_threads = Some(1);
    // Nobody builds Kubernetes by the way: `cargo xtask control-plane test` does, and asks for them.
    if !(arguments.ignored || arguments.include_ignored) {
        eprintln!("control planes are not tested here: cargo xtask control-plane test");
    }
    let children = CHILDREN.iter().map(|(name, test)| Trial::test(*name, || in_own_directory(*test)));
    let planes = CONTROL_PLANES.iter().map(|(name, test)| {
        Trial::test(*name, || in_own_directory(*test))
            .with_kind("needs cargo xtask control-plane build")
            .with_ignored_flag(true)
    });
    let trials = children.chain(planes);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs a test in an empty directory, and removes that if nothing is wrong.
fn in_own_directory(test: Test) -> Result<(), Failed> {
    let name = format!("towtank-control-plane-{}-{:x}", std::process::id(), getrandom::u64()?);
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir)?;
    test(&dir).map_err(|failed| {
        let message = failed.message().unwrap_or("failed").to_owned();
        format!("{message}\nits directory: {}", dir.display())
    })?;
    Ok(std::fs::remove_dir_all(&dir)?)
}

/// Names the release of Kubernetes to test, such as 1.36.3.
const VERSION_VARIABLE: &str = "TOWTANK_KUBERNETES";

/// The control plane of the release that is to be tested, with runs in this directory.
pub(crate) fn config(dir: &Path) -> Result<Config, Failed> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/reference");
    let version = std::env::var(VERSION_VARIABLE)
        .map_err(|_| format!("{VERSION_VARIABLE} names no release: use cargo xtask control-plane test"))?;
    Ok(Config::new(Binaries::in_dir(&built, &version), dir))
}

/// Fails with `what` unless it is so.
pub(crate) fn ensure(is_so: bool, what: impl Into<String>) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(what.into().into()) }
}

/// Nearly everything comes within seconds. But a controller whose watches broke, or met an API server that was not yet allowed to answer it, tries again after up to 60 s
/// (client-go's reflector: 30 s at most, and as much again by chance), and may do so twice.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits for something.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let start = std::time::Instant::now();
    while !is_so()? {
        ensure(start.elapsed() < LIMIT, format!("not within {} s: {what}", LIMIT.as_secs()))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
