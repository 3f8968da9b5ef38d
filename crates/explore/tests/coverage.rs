//! Random stories leave nothing out.

use std::collections::BTreeSet;

use towtank_explore::story::{Stage, Story};
use towtank_explore::verbs::{VERB_KINDS, Verb};
use towtank_model::version::KubernetesVersion;

const STORIES: u64 = 3_000;

#[test]
fn every_verb_has_an_effect_somewhere() {
    let mut names = BTreeSet::new();
    for stage in [Stage::Manual, Stage::Nodes] {
        // Beyond the kind and the pod a gene says more: all of it, for the few things that it can say.
        let genes = (0..VERB_KINDS).flat_map(|kind| (0..512).map(move |rest| kind + VERB_KINDS * 16 * rest));
        names.extend(genes.map(|gene| Verb::from_gene(stage, gene).name()));
    }
    assert!(names.len() > 30, "{names:?}");
    let versions: Vec<KubernetesVersion> = KubernetesVersion::all().collect();
    for seed in 0..STORIES {
        let story = Story::random(versions[seed as usize % versions.len()], seed, 24);
        let played = story.play().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        assert_eq!(played.accepted.len(), story.verbs.len());
        for (verb, _) in story.verbs.iter().zip(played.accepted).filter(|(_, accepted)| *accepted) {
            names.remove(&verb.name());
        }
    }
    assert_eq!(names, BTreeSet::new(), "verbs without effect in {STORIES} stories");
}

#[test]
fn every_version_plays_on_every_stage() {
    for version in KubernetesVersion::all() {
        let mut stages = 0;
        for seed in 0..20 {
            let story = Story::random(version, seed, 24);
            let played = story.play().unwrap_or_else(|broken| panic!("{version}, seed {seed}: {broken}"));
            assert!(!played.trace.is_empty());
            stages |= 1 << u32::from(story.setting.stage == Stage::Nodes);
        }
        assert_eq!(stages, 3, "{version}");
    }
}
