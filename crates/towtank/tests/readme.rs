//! README's output is real and current: every command in a `console` block is run, and prints what stands below it. A
//! line `…` stands for any number of lines. `UPDATE_README=1` writes what the commands print, as far as no `…` stands for it.

mod console;

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command as a reader would, with the binary of this build in the place of `cargo towtank`.
fn run(command: &str) -> Vec<String> {
    let command = command.replace("cargo towtank", &format!("'{}'", env!("CARGO_BIN_EXE_towtank")));
    let output = Command::new("sh").args(["-c", &format!("{command} 2>&1")]).current_dir(root()).output();
    let output = output.expect("sh runs");
    let text = String::from_utf8(output.stdout).expect("output is text");
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn the_output_in_readme_is_what_the_commands_print() {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md is there");
    std::fs::create_dir_all(root().join("target")).expect("target can be made");
    let blocks = console::shown(&readme);
    assert!(blocks.len() >= 4, "only {} commands found", blocks.len());
    // In the order of the page: a command may use what one above it has made.
    let printed: Vec<Vec<String>> = blocks.iter().map(|shown| run(&shown.command)).collect();
    let (wrong, mended) = console::compare(&readme, &blocks, &printed, &str::to_owned);
    if std::env::var_os("UPDATE_README").is_some() && !wrong.is_empty() {
        std::fs::write(&path, mended).expect("README.md can be written");
    }
    assert!(wrong.is_empty(), "README.md shows something else than:\n{}", wrong.join("\n\n"));
}
