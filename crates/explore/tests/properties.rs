//! No story breaks a rule.

use std::collections::BTreeSet;

use proptest::prelude::*;
use towtank_explore::invariants;
use towtank_explore::story::Story;
use towtank_model::version::KubernetesVersion;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_story_breaks_a_rule(
        minor in 28_u16..=37,
        seed in 0_u64..1_000,
        setting: u64,
        job: u128,
        verbs in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let version = KubernetesVersion::from_minor(minor).ok_or_else(|| TestCaseError::fail("no such version"))?;
        let story = Story::from_genes(version, seed, setting, job, &verbs);
        let played = story.play().map_err(|broken| TestCaseError::fail(format!("{broken}\n{:?}", story.verbs)))?;
        prop_assert!(!played.trace.is_empty(), "nothing happened");
    }
}

#[test]
fn rules_have_names_of_their_own() {
    let names: BTreeSet<&str> = invariants::all().map(|invariant| invariant.name).collect();
    assert_eq!(names.len(), invariants::all().count());
}
