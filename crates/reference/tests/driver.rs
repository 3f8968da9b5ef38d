//! Drivers that misbehave: small shell scripts in the place of the real one.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use towtank_model::version::KubernetesVersion;
use towtank_reference::driver::{Driver, DriverError};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// The form of an answer.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct Done {
    a: u8,
}

/// One test at a time: a script that another thread is just writing cannot be started, and a process that is just being
/// started holds what its parent is writing.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A driver that is a shell script.
fn fake(name: &str, script: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-drivers");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A line of shell that writes a frame.
fn frame(content: &str) -> String {
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    let len: String = len.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{len}'; printf '%s' '{content}'")
}

fn hello(protocol: u64, kubernetes: &str) -> String {
    frame(&json!({"protocol": protocol, "kubernetes": kubernetes, "source": "abc"}).to_string())
}

/// Starts a fake that shakes hands well and then goes on as the script says.
fn shaken(name: &str, watchdog: Duration, rest: &str) -> Driver {
    let path = fake(name, &format!("{}\n{rest}", hello(1, "1.36.3")));
    Driver::start_with_watchdog(&path, version(), watchdog).unwrap()
}

fn version() -> KubernetesVersion {
    "1.36".parse().unwrap()
}

fn start(name: &str, watchdog: Duration, script: &str) -> DriverError {
    Driver::start_with_watchdog(&fake(name, script), version(), watchdog).unwrap_err()
}

#[test]
fn a_driver_that_is_not_built_says_how_to_build_it() {
    let _alone = alone();
    let error = Driver::start(Path::new("/nowhere/driver"), version()).unwrap_err();
    assert!(matches!(error, DriverError::Missing(_)), "{error:?}");
    assert!(error.to_string().contains("cargo xtask reference build --kubernetes 1.36"), "{error}");
}

#[test]
fn a_file_that_cannot_run_is_no_driver() {
    let _alone = alone();
    let path = fake("not-executable", "");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Driver::start(&path, version()).unwrap_err();
    assert!(matches!(error, DriverError::Start { .. }), "{error:?}");
}

#[test]
fn the_last_words_of_a_driver_that_dies_are_kept() {
    let _alone = alone();
    let script = "for n in $(seq 30); do echo line $n >&2; done; exit 7";
    let DriverError::Died { stderr } = start("dies", LONG, script) else { panic!("it did not die") };
    assert_eq!(stderr.len(), 20);
    assert_eq!(stderr.last().unwrap(), "line 30");
}

/// It reads the whole handshake and the beginning of the next request.
#[test]
fn a_driver_that_dies_in_an_answer_is_dead_for_good() {
    let _alone = alone();
    let mut driver =
        shaken("dies-later", LONG, "head -c 40 >/dev/null; printf '\\000\\000\\000\\011{'; echo oh >&2");
    for _ in 0..2 {
        let DriverError::Died { stderr } = driver.ask::<Done>(&json!({"do": "end"})).unwrap_err() else {
            panic!("it did not die")
        };
        assert_eq!(stderr, ["oh"]);
    }
}

#[test]
fn a_driver_that_hangs_is_killed() {
    let _alone = alone();
    let script = "echo thinking >&2; exec sleep 600";
    let DriverError::Hung { after, stderr } = start("hangs", SHORT, script) else {
        panic!("it did not hang")
    };
    assert_eq!((after, stderr), (SHORT, vec!["thinking".to_owned()]));
}

/// A request that is longer than a pipe holds waits in the writing, not in the reading.
#[test]
fn a_driver_that_does_not_read_hangs_too() {
    let _alone = alone();
    let mut driver = shaken("does-not-read", SHORT, "exec sleep 600");
    let error = driver.ask::<Done>(&"x".repeat(1 << 20)).unwrap_err();
    assert!(matches!(error, DriverError::Hung { .. }), "{error:?}");
}

#[test]
fn nonsense_is_told() {
    let _alone = alone();
    for (name, script, expected) in [
        ("text", "echo PASS; exec cat >/dev/null".to_owned(), "PASS"),
        ("no-json", format!("{}; exec cat >/dev/null", frame("hello")), "hello"),
        ("no-object", format!("{}; exec cat >/dev/null", frame("[1]")), "[1]"),
        ("no-handshake", format!("{}; exec cat >/dev/null", frame("{}")), "missing field `protocol`"),
        ("odd-error", format!("{}; exec cat >/dev/null", frame("{\"error\":1}")), "{\"error\":1}"),
    ] {
        let error = start(name, LONG, &script);
        assert!(matches!(error, DriverError::Nonsense { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[test]
fn another_protocol_and_another_version_are_noticed() {
    let _alone = alone();
    let error = start("protocol", LONG, &format!("{}; exec cat >/dev/null", hello(2, "1.36.3")));
    assert!(matches!(error, DriverError::Protocol { ours: 1, theirs: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("reference build --kubernetes 1.36"), "{error}");
    for theirs in ["1.35.4", "1.36.2"] {
        let error = start("version", LONG, &format!("{}; exec cat >/dev/null", hello(1, theirs)));
        assert!(matches!(error, DriverError::Version { .. }), "{error:?}");
        assert!(error.to_string().contains(theirs) && error.to_string().contains("1.36.3"), "{error}");
    }
}

#[test]
fn a_driver_goes_on_after_something_it_could_not_do() {
    let _alone = alone();
    let script = format!("{}; {}; exec cat >/dev/null", frame("{\"error\":\"no run\"}"), frame("{\"a\":1}"));
    let mut driver = shaken("refuses", LONG, &script);
    let error = driver.ask::<Done>(&json!({"do": "end"})).unwrap_err();
    assert!(matches!(&error, DriverError::Refused(text) if text == "no run"), "{error:?}");
    assert_eq!(driver.ask::<Done>(&json!({"do": "end"})).unwrap(), Done { a: 1 });
}
