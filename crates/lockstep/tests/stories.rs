//! A story and the scenario file that tells it come to the same trace.

use towtank_explore::story::Story;
use towtank_explore::{Form, scenario_text};
use towtank_lockstep::{session, trace_text};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::NoFiles;

const STORIES: u64 = 600;

#[test]
fn the_file_of_a_story_does_the_same_at_the_same_times() {
    let versions: Vec<KubernetesVersion> = KubernetesVersion::all().collect();
    let mut writes = 0;
    for seed in 0..STORIES {
        let story = Story::random(versions[seed as usize % versions.len()], seed, 24);
        let text = scenario_text(&story, "story", "A story: it's random.", Form::OfVersion)
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        let scenario = towtank_scenario::parse("story.yaml", &text, &NoFiles)
            .unwrap_or_else(|error| panic!("seed {seed}: {error} at {:?}\n{text}", error.position()));
        let run = session::play_model(&scenario, story.version, story.seed)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let told = story.trace().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        let (told, played) = (trace_text::lines(&told), trace_text::lines(&run.trace));
        for (told, played) in told.iter().zip(&played) {
            assert_eq!(told, played, "seed {seed}\n{text}");
        }
        assert!(run.failure.is_none(), "seed {seed}: {:?}\n{text}", run.failure);
        assert_eq!(told.len(), played.len(), "seed {seed}\n{text}");
        writes += told.len();
    }
    assert!(writes > 10_000, "only {writes} writes");
}
