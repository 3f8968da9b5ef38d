//! The program `towtank-e2e` as a user meets it.

use std::process::Command;

#[test]
fn bad_usage_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_towtank-e2e")).arg("--nonsense").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
