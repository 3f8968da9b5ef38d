//! What a sync says about itself.

use super::build::{Change, NOW, job, pod, pods, snapshot};
use super::drive::{Api, run};
use super::*;
use crate::objects::*;

fn explains(outcome: &super::drive::Outcome, subject: Subject, rule: Rule) -> bool {
    outcome.findings.iter().any(|finding| finding.subject == subject && finding.rule == rule)
}

#[test]
fn every_rule_is_stated_once_and_has_a_source() {
    let mut texts = BTreeSet::new();
    for rule in Rule::ALL {
        assert!(
            rule.section().starts_with("KEP-") || rule.section().starts_with("job controller: "),
            "{rule:?}"
        );
        let text = rule.text();
        assert!(text.len() > 30 && !text.ends_with('.') && !text.contains("spec section"), "{rule:?}");
        assert!(texts.insert(text), "{rule:?} says what another rule says");
    }
}

#[test]
fn a_shrink_is_explained_pod_by_pod_and_index_by_index() {
    let mut shrunk = job(3, Some(3), true);
    shrunk.status.completed_indexes = "2,4".into();
    let outcome = run(snapshot(36, shrunk, pods("R0 R3 F5 S1")), &Api::default());
    for (subject, rule) in [
        (Subject::Index(4), Rule::IndexForgotten),
        (Subject::Index(2), Rule::IndexCompleted),
        (Subject::Index(1), Rule::IndexCompleted),
        (Subject::Pod(Uid(2)), Rule::DeletedOutOfRange),
        (Subject::Pod(Uid(3)), Rule::EndedOutOfRange),
        (Subject::Pod(Uid(4)), Rule::PodSucceeded),
        (Subject::Job, Rule::PodsWanted),
    ] {
        assert!(explains(&outcome, subject, rule), "{subject:?} {rule:?} in {:#?}", outcome.findings);
    }
    let wanted = outcome.findings.iter().find(|finding| finding.rule == Rule::PodsWanted).expect("found");
    assert_eq!(wanted.detail, "1 wanted (parallelism 3, completions 3, succeeded 2), 2 active");
}

#[test]
fn delays_and_ends_are_explained() {
    let waiting = run(
        snapshot(36, job(1, Some(1), true), vec![pod(1, PodPhase::Failed).index(0).exited(1, NOW)]),
        &Api::default(),
    );
    assert!(explains(&waiting, Subject::Job, Rule::CreationDelayed));
    assert!(explains(&waiting, Subject::Pod(Uid(1)), Rule::PodFailed));
    let finished = run(snapshot(36, job(1, Some(1), true), pods("S0")), &Api::default());
    assert!(explains(&finished, Subject::Job, Rule::CompletionsReached));
    assert!(explains(&finished, Subject::Job, Rule::Finished));
    let pending = run(snapshot(36, job(1, Some(1), true), pods("S0 T0")), &Api::default());
    assert!(explains(&pending, Subject::Job, Rule::FinalWaitsForTerminating));
}

#[test]
fn nothing_is_collected_unless_asked_for() {
    let mut pass = SyncPass::new(snapshot(36, job(1, Some(1), true), pods("S0")), false);
    pass.next(NOW, vec![]);
    assert_eq!(pass.take_findings(), []);
}
