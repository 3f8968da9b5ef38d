//! The copy of the workspace that has all mistakes in it, and the program that is built from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::graft::{SWITCH, graft};
use super::mutants::MUTANTS;
use crate::command::{Failed, Outcome, root, run};

/// What the workspace is built from.
const COPIED: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo", "crates", "benches", "xtask", "deploy"];
/// Of the workspace's crates, and of the copy's.
const VERSION: (&str, &str) = ("\nversion = \"", "\nversion = \"0.0.0-mutants.");
const OPERATOR: &str = "crates/operator/src";
/// More rights for the copy's operator: who makes a mistake gives it the rights that it needs.
const ROLE: (&str, &str) =
    ("deploy/cluster-role.yaml", "  - apiGroups: [\"*\"]\n    resources: [\"*\"]\n    verbs: [\"*\"]\n");

/// Builds the campaign over an operator that has all mistakes in it. Crates from elsewhere are compiled as for the workspace itself, and so
/// not again.
pub(super) fn build() -> Result<PathBuf, Failed> {
    let copy = root().join("target/operator-mutants");
    let mut files = Vec::new();
    for name in COPIED {
        list(Path::new(name), &mut files)?;
    }
    for file in &files {
        let source = root().join(file);
        let mut bytes = fs::read(&source).map_err(|error| cannot("read", &source, &error))?;
        if file == Path::new("Cargo.toml") {
            // Another version: cargo would take what is built of the copy for what is built of the workspace, and the other way round.
            let text = String::from_utf8_lossy(&bytes);
            bytes = text.replacen(VERSION.0, VERSION.1, 1).into_bytes();
        } else if file == Path::new(ROLE.0) {
            bytes.extend_from_slice(ROLE.1.as_bytes());
        } else if let Ok(name) = file.strip_prefix(OPERATOR)
            && name.extension().is_some_and(|extension| extension == "rs")
        {
            let mut source = String::from_utf8(bytes).map_err(|error| cannot("read", &source, &error))?;
            if name == Path::new("lib.rs") {
                // Nobody reads the copy.
                source = format!("#![allow(warnings)]\n{source}\nmod mutants;\n");
            }
            bytes = graft(&name.to_string_lossy(), &source, MUTANTS).map_err(Failed::new)?.into_bytes();
        }
        write(&copy.join(file), &bytes)?;
    }
    write(&copy.join(OPERATOR).join("mutants.rs"), SWITCH.as_bytes())?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut cargo = Command::new("cargo");
    // The whole workspace, so that features are those of its tests; a test has its package's programs built.
    cargo.args(["test", "--release", "--quiet", "--workspace", "--test=campaign", "--no-run"]);
    cargo.current_dir(&copy).env("CARGO_TARGET_DIR", &target);
    run(&mut cargo)?;
    // Where the program without mistakes is looked for it must not stay.
    let (built, program) = (target.join("release/towtank-campaign"), copy.join("towtank-campaign"));
    fs::rename(&built, &program).map_err(|error| cannot("move", &built, &error))?;
    Ok(program)
}

/// Files below a path of the repository, in any order.
fn list(path: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let whole = root().join(path);
    if !whole.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&whole).map_err(|error| cannot("read", &whole, &error))? {
        let entry = entry.map_err(|error| cannot("read", &whole, &error))?;
        list(&path.join(entry.file_name()), files)?;
    }
    Ok(())
}

/// Leaves a file that is as it must be alone: it is not compiled again.
fn write(path: &Path, bytes: &[u8]) -> Outcome {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| cannot("create", directory, &error))?;
    }
    fs::write(path, bytes).map_err(|error| cannot("write", path, &error))
}

pub(super) fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed::new(format!("cannot {what} {}: {error}", path.display()))
}
