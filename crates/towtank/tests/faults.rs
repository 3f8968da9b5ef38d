//! Drivers of the reference that are missing or misbehave: shell scripts in the place of the real one. Each ends the run with
//! exit code 3, whatever the model says. A driver that hangs is a test of the reference's own, with a shorter time to wait.
//!
//! One test alone in this program: a script cannot be started while another thread starts a process.

#![cfg(unix)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const SCENARIO: &str = "\
apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: one}
spec:
  about: One Job.
  source: made up
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {name: work}
        spec:
          template: {spec: {restartPolicy: Never, containers: [{name: main, image: app}]}}
      expect:
        - that: jobs.size() == 1
";

/// A line of shell that writes a frame.
fn frame(text: &str) -> String {
    format!("printf '\\000\\000\\000\\{:03o}%s' '{text}'", text.len())
}

fn hello(protocol: u32, version: &str) -> String {
    frame(&format!("{{\"protocol\":{protocol},\"kubernetes\":\"{version}\"}}"))
}

#[test]
fn a_reference_that_is_missing_or_fails_ends_the_run() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let driver = directory.join("driver-1.36-0");
    fs::create_dir_all(&directory).expect("the directory can be made");
    fs::write(directory.join("one.yaml"), SCENARIO).expect("the scenario can be written");
    // What an earlier run left behind; it need not be there.
    let _ = fs::remove_file(&driver);

    let (good, wait) = (hello(1, "1.36.3"), "exec cat >/dev/null");
    let (begun, refusal) = (frame("{}"), frame("{\"error\":\"no bubble\"}"));
    let mut text = String::new();
    for (case, script) in [
        ("there is no driver", String::new()),
        ("it dies at once", "echo panic: out of memory >&2; exit 2".to_owned()),
        ("it speaks another protocol", format!("{}; {wait}", hello(2, "1.36.3"))),
        ("it carries another version", format!("{}; {wait}", hello(1, "1.35.4"))),
        ("it cannot begin", format!("{good}; {refusal}; {wait}")),
        ("it dies in a run", format!("{good}; {begun}; head -c 60 >/dev/null; echo SIGSEGV >&2")),
        ("it answers nonsense in a run", format!("{good}; {begun}; {}; {wait}", frame("{\"a\":1}"))),
    ] {
        if !script.is_empty() {
            fs::write(&driver, format!("#!/bin/sh\n{script}\n")).expect("the driver can be written");
            fs::set_permissions(&driver, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let output = Command::new(env!("CARGO_BIN_EXE_towtank"))
            .args(["run", "one.yaml", "--world", "model", "--world", "reference", "--kubernetes", "1.36"])
            .env("TOWTANK_REFERENCE", ".")
            .current_dir(&directory)
            .output()
            .expect("the binary was built");
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty(), "{case}: no run is reported");
        writeln!(text, "# {case}: exit {}\n{said}", code.unwrap_or(-1)).expect("a string takes it");
    }
    insta::assert_snapshot!(text);
}
