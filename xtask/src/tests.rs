//! Tests, documents and dependencies.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Failed, Outcome, cargo, command, root, run};
use crate::kubectl::kubectl;

pub(crate) fn test(args: &[String]) -> Outcome {
    let mut tests = command("cargo", ["test", "--workspace", "--release", "--quiet"]);
    // The same cases every time, so that a build does not fail by lot; plain `cargo test` draws new ones.
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        tests.env("PROPTEST_RNG_SEED", "1");
    }
    // Said aloud when it cannot be had: an empty path tells the test so (`crates/towtank/tests/kubectl.rs`).
    match kubectl() {
        Ok(path) => tests.env("TOWTANK_KUBECTL", path),
        Err(why) => {
            eprintln!("xtask: the session with kubectl is not tested: {}", why.what);
            tests.env("TOWTANK_KUBECTL", "")
        }
    };
    run(tests.args(args))?;
    if args.is_empty() { same_bytes_in_debug_and_release() } else { Ok(()) }
}

/// Invariant 5 of ARCHITECTURE.md: one seed, one trace, whatever the build.
fn same_bytes_in_debug_and_release() -> Outcome {
    let traces = |profile: &[&str]| {
        let mut command =
            command("cargo", ["run", "--quiet", "--package", "towtank-explore", "--example", "traces"]);
        let output = command.args(profile).stderr(Stdio::inherit()).output();
        match output {
            Ok(output) if output.status.success() && !output.stdout.is_empty() => Ok(output.stdout),
            _ => Err(Failed::new(format!("{command:?}"))),
        }
    };
    let (debug, release) = (traces(&[])?, traces(&["--release"])?);
    if debug != release {
        return Err(Failed::new("the debug and the release build print different traces for the same seeds"));
    }
    eprintln!(
        "xtask: {} seeds: same bytes in debug and release",
        debug.iter().filter(|&&byte| byte == b'\n').count()
    );
    Ok(())
}

/// The tests that compare the documents with runs write them, when they are told to.
pub(crate) fn docs() -> Outcome {
    let tests = ["test", "--release", "--quiet", "--package", "towtank", "--test=documents"];
    run(command("cargo", tests).env("UPDATE_DOCS", "1"))
}

/// The CustomResourceDefinition is what the types say.
pub(crate) fn crds() -> Outcome {
    let example = ["run", "--release", "--quiet", "--package", "towtank-api", "--example", "crds"];
    let output = command("cargo", example)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failed::new(format!("cannot print the CustomResourceDefinition: {error}")))?;
    if !output.status.success() {
        return Err(Failed::new("printing the CustomResourceDefinition"));
    }
    let path = root().join("deploy/crds/flux-framework.org_miniclusters.yaml");
    std::fs::write(&path, output.stdout).map_err(|error| Failed::new(format!("{}: {error}", path.display())))
}

/// Version of cargo-deny that is installed when none is there.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn deny() -> Outcome {
    let tools = root().join("target/tools");
    let local = tools.join("bin/cargo-deny");
    let has = |program: &Path| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let program = if has(Path::new("cargo-deny")) {
        PathBuf::from("cargo-deny")
    } else {
        if !has(&local) {
            cargo([
                "install",
                "cargo-deny",
                "--locked",
                "--quiet",
                "--version",
                CARGO_DENY,
                "--root",
                &tools.to_string_lossy(),
            ])?;
        }
        local
    };
    let check = |what: &[&str]| run(command(&program, ["--log-level", "error", "check"]).args(what));
    check(&["licenses", "bans", "sources"])?;
    // The advisory database is a git repository elsewhere; a machine without a way to it says so and goes on.
    let fetched = command(&program, ["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        check(&["advisories"])
    } else {
        eprintln!("xtask: advisories not checked: their database cannot be reached from here");
        Ok(())
    }
}

/// Not part of `ci`: the feature would have the model, and all that is built on it, compiled twice.
pub(crate) fn mutants() -> Outcome {
    const STORIES: [&str; 8] = [
        "test",
        "--release",
        "--quiet",
        "--package",
        "towtank-explore",
        "--features",
        "mutants",
        "--test=mutants",
    ];
    cargo(STORIES)
}
