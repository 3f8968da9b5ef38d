//! Replays the recordings of real Flux (`snapshots/flux/`) on the model: the same deeds at the same times, the same commands, and every
//! answer compared: exit code, every column, class of message.
//!
//! Three numbers per recording: commands that agree, commands that the model covers, commands that were recorded. `FLUX_REPLAY=1` prints what differs.

#![expect(clippy::expect_used, clippy::panic, reason = "a fixture that cannot be read fails the test")]

mod compare;
mod fixture;
mod normal;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use fixture::Fixture;
use world::World;

/// Of what the model covers, so much must agree; of what was recorded, so much must be covered.
const AGREE_MIN: f64 = 0.98;
const COVER_MIN: f64 = 0.85;

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/flux");
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
    let details = std::env::var_os("FLUX_REPLAY").is_some();
    let only = std::env::var("FLUX_REPLAY").unwrap_or_default();
    let (mut agree, mut covered, mut recorded) = (0, 0, 0);
    let mut report = String::new();
    for fixture in fixtures() {
        let tally = World::new(&fixture).replay(&fixture);
        let _ = writeln!(
            report,
            "{:>4} / {:>4} / {:>4}  {}",
            tally.agree,
            tally.covered,
            fixture.recorded(),
            fixture.name
        );
        if details && fixture.name.contains(&only) {
            tally.notes.iter().for_each(|note| report.push_str(note));
        }
        agree += tally.agree;
        covered += tally.covered;
        recorded += fixture.recorded();
    }
    println!("{report}{agree:>4} / {covered:>4} / {recorded:>4}  agree / covered / recorded");
    assert!(
        covered as f64 >= COVER_MIN * recorded as f64,
        "the model covers {covered} of {recorded} recorded commands"
    );
    assert!(agree as f64 >= AGREE_MIN * covered as f64, "{agree} of {covered} covered commands agree");
}
