//! Replays the recordings of real Flux (`snapshots/flux/`) on the model: the same deeds at the same times,
//! the same commands, and every answer compared: exit code, every column, class of message.
//!
//! Three numbers per recording: commands that agree, commands that the model covers, commands that were
//! recorded. `FLUX_REPLAY=NAME` prints what differs in the recordings of that name,
//! `snapshots/flux/replay.txt` lists it with its reasons.

#![expect(clippy::expect_used, clippy::panic, reason = "a fixture that cannot be read fails the test")]

mod compare;
mod document;
mod fixture;
mod normal;
mod reasons;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use document::Row;
use fixture::Fixture;
use world::{Kind, World};

/// Of what the model covers, so much must agree; of what was recorded, so much must be covered.
const AGREE_MIN: f64 = 0.98;
const COVER_MIN: f64 = 0.85;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/flux")
}

fn fixtures() -> Vec<Fixture> {
    let folder = folder();
    let mut fixtures = Vec::new();
    for version in ["0.50.0", "0.61.2", "0.88.0"] {
        let mut files: Vec<_> = fs::read_dir(folder.join(version))
            .expect("the folder of a version")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        for file in files {
            let name =
                format!("{version}/{}", file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default());
            fixtures.push(Fixture::read(&name, &fs::read_to_string(&file).expect("a fixture")));
        }
    }
    fixtures
}

#[test]
fn recordings_of_real_flux_replay() {
    let details = std::env::var("FLUX_REPLAY").ok();
    let (mut agree, mut covered, mut recorded) = (0, 0, 0);
    // Writing to a string cannot fail.
    let (mut approved, mut shown) = (String::new(), String::new());
    let mut rows = Vec::new();
    for fixture in fixtures() {
        let tally = World::new(&fixture).replay(&fixture);
        let _ = writeln!(
            approved,
            "{:>4} / {:>4} / {:>4}  {}",
            tally.agree,
            tally.covered,
            fixture.recorded(),
            fixture.name
        );
        for note in &tally.notes {
            let kind = match note.kind {
                Kind::Differs => "differs",
                Kind::Unknown => "unknown",
                Kind::Skipped => "skipped",
            };
            let reason = reasons::reason(&fixture.name, note).unwrap_or("WITHOUT A REASON");
            let _ = writeln!(approved, "    {kind} @{:.3} {}\n        {reason}", note.time, note.line);
            if note.kind == Kind::Differs && details.as_ref().is_some_and(|only| fixture.name.contains(only))
            {
                let _ = writeln!(
                    shown,
                    "{} @{:.3} {}\n    {}",
                    fixture.name,
                    note.time,
                    note.line,
                    note.differences.join("\n    ")
                );
            }
        }
        agree += tally.agree;
        covered += tally.covered;
        recorded += fixture.recorded();
        rows.push(Row {
            name: fixture.name.clone(),
            agree: tally.agree,
            covered: tally.covered,
            recorded: fixture.recorded(),
            notes: tally.notes,
        });
    }
    let _ = writeln!(approved, "{agree:>4} / {covered:>4} / {recorded:>4}  agree / covered / recorded");
    println!("{shown}");
    assert!(
        covered as f64 >= COVER_MIN * recorded as f64,
        "the model covers {covered} of {recorded} recorded commands"
    );
    assert!(agree as f64 >= AGREE_MIN * covered as f64, "{agree} of {covered} covered commands agree");
    assert!(!approved.contains("WITHOUT A REASON"), "no reason is known for some differences:\n{approved}");
    // The list of what does not agree and the page of it are reviewed like snapshots: `FLUX_REPLAY_WRITE=1`
    // writes them anew.
    let page = document::page(&rows);
    for (file, text) in
        [(folder().join("replay.txt"), &approved), (folder().join("../../docs/flux-versions.md"), &page)]
    {
        if std::env::var_os("FLUX_REPLAY_WRITE").is_some() {
            fs::write(&file, text).expect("a list of differences");
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        assert!(known == *text, "the replay is not what {} says:\n{text}", file.display());
    }
}
