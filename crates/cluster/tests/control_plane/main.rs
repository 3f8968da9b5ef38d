//! Runs in a cluster of somebody else's: `cargo xtask control-plane test` builds what they need.
//!
//! The cluster is a real control plane without kubelets, so no scenario is played there: what is tested is what a run makes, and that it removes that and nothing else.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real processes take real time")]

mod cluster;
mod guest;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test, and what is wrong if it is.
type Test = fn(&Path) -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("a_scenario_gets_namespaces_of_its_own", guest::a_scenario_gets_namespaces_of_its_own),
    ("a_cluster_says_its_version", guest::a_cluster_says_its_version),
    ("what_is_there_already_is_refused", guest::what_is_there_already_is_refused),
    ("a_run_in_order_leaves_nothing", guest::a_run_in_order_leaves_nothing),
    ("a_terminated_run_leaves_nothing", guest::a_terminated_run_leaves_nothing),
    ("a_panic_leaves_nothing", guest::a_panic_leaves_nothing),
    ("a_start_that_is_interrupted_leaves_nothing", guest::a_start_that_is_interrupted_leaves_nothing),
    ("the_next_start_removes_what_a_killed_run_left", guest::the_next_start_removes_what_a_killed_run_left),
    ("miniclusters_of_others_keep_their_definition", guest::miniclusters_of_others_keep_their_definition),
];

fn main() -> ExitCode {
    towtank_control_plane::shim();
    if let Some(code) = guest::main() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Each of them has work for all cores.
    arguments.test_threads = Some(1);
    let trials = TESTS.iter().map(|(name, test)| {
        Trial::test(*name, || in_own_directory(*test))
            .with_kind("needs cargo xtask control-plane build")
            .with_ignored_flag(true)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs a test in an empty directory, and removes that if nothing is wrong.
fn in_own_directory(test: Test) -> Result<(), Failed> {
    let dir =
        std::env::temp_dir().join(format!("towtank-guest-{}-{:x}", std::process::id(), fastrand::u64(..)));
    std::fs::create_dir(&dir)?;
    test(&dir).map_err(|failed| {
        let message = failed.message().unwrap_or("failed").to_owned();
        format!("{message}\nits directory: {}", dir.display())
    })?;
    Ok(std::fs::remove_dir_all(&dir)?)
}

/// Fails with `what` unless it is so.
fn ensure(is_so: bool, what: impl Into<String>) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(what.into().into()) }
}
