//! Every seeded mutant of the sync function shows: among few random stories there is one that it tells differently.
//! What does not show here cannot show in a comparison with the real controller either.

use towtank_explore::story::Story;
use towtank_model::mutants::{self, MUTANTS};
use towtank_model::server::TraceEntry;
use towtank_model::version::KubernetesVersion;

/// Stories within which a mutant must show.
const STORIES: u64 = 500;

fn story(seed: u64) -> Story {
    let version = KubernetesVersion::from_minor(36).expect("a version that the model knows");
    Story::random(version, seed, 24)
}

/// What a story comes to; a livelock is something as well.
fn told(story: &Story) -> Result<Vec<TraceEntry>, String> {
    story.trace().map_err(|broken| broken.to_string())
}

#[test]
fn every_mutant_shows_within_few_stories() {
    let stories: Vec<_> = (0..STORIES).map(|seed| story(seed)).map(|story| (told(&story), story)).collect();
    let mut survivors = Vec::new();
    for (place, (number, mistake)) in (1..).zip(MUTANTS) {
        assert_eq!(place, *number, "mutants are numbered from 1");
        mutants::select(*number);
        match stories.iter().position(|(unharmed, story)| told(story) != *unharmed) {
            Some(found) => println!("mutant {number} shows in story {found}: {mistake}"),
            None => survivors.push((number, mistake)),
        }
    }
    mutants::select(0);
    assert!(
        stories.iter().all(|(unharmed, story)| told(story) == *unharmed),
        "without a mutant nothing changes"
    );
    assert!(survivors.is_empty(), "mutants that do not show in {STORIES} stories: {survivors:#?}");
}
