//! What runs of the model explain, and what they do not. The model's own runs stand in for a real cluster, with other seeds, timings and mistakes.

use std::time::Duration;

use towtank_lockstep::explanation::ordering::{Broken, Rule};
use towtank_lockstep::explanation::{ExplainError, Explained, Gap, Search, explain};
use towtank_lockstep::observed::Observed;
use towtank_lockstep::run::Run;
use towtank_lockstep::runner::{self, Limits, Reality, Setting};
use towtank_lockstep::virtual_world::ModelWorld;
use towtank_scenario::ast::{Scenario, Stack};
use towtank_scenario::{NoFiles, parse};

const STORY: &str = r#"
apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: shrink}
spec:
  about: The last index goes.
  cluster: {nodes: 2, coresPerNode: 8, timing: kind}
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {name: sample}
        spec:
          completions: SIZE
          parallelism: SIZE
          completionMode: Indexed
          template: {spec: {restartPolicy: Never, containers: [{name: main, image: sample}]}}
      expect:
        - within: 20s
          that: pods.filter(p, p.ready).size() == READY
    - name: all are there
      expect:
        - within: 60s
          that: pods.all(p, p.ready)
    - name: shrink
      scale: {job: sample, to: 2}
      expect:
        - within: 60s
          that: pods.size() == 2
"#;

/// A Job of so many pods that is waited for until so many of them are ready.
fn story_until(size: u32, ready: u32) -> Scenario {
    let text = STORY.replace("SIZE", &size.to_string()).replace("READY", &ready.to_string());
    parse("shrink.yaml", &text, &NoFiles).expect("a scenario")
}

fn story(size: u32) -> Scenario {
    story_until(size, 1)
}

/// A run that is to be explained.
fn observed(scenario: &Scenario, seed: u64) -> Run {
    observed_for(scenario, seed, Limits::default().tail)
}

/// The same, and how long it goes on after the last step.
fn observed_for(scenario: &Scenario, seed: u64, tail: Duration) -> Run {
    let stack = Stack::from("1.36".parse::<towtank_model::version::KubernetesVersion>().expect("a version"));
    let mut world = ModelWorld::new(scenario, stack, seed).expect("a world");
    let reality = Some(Reality::default());
    let limits = Limits { keeps_sights: true, reality, tail, ..Limits::default() };
    let run = runner::play(scenario, &mut world, Setting { stack, seed }, limits);
    assert!(run.passed(), "{:?}", run.failure);
    run
}

fn explained(scenario: &Scenario, run: &Run, seeds: u64) -> Explained {
    explained_as(scenario, &Observed::of(run), seeds).expect("the model can be set up")
}

fn explained_as(scenario: &Scenario, observed: &Observed, seeds: u64) -> Result<Explained, ExplainError> {
    explain(scenario, observed, &Search { seeds, profiles: Vec::new() })
}

/// The same with one line so much earlier, in seconds.
fn earlier(observed: &Observed, text: &str, seconds: u64) -> Observed {
    let mut changed = observed.clone();
    let mut lines = changed.history.iter_mut().filter(|line| line.text == text);
    let line = lines.next().unwrap_or_else(|| panic!("no line `{text}` in {:?}", observed.history));
    line.at = line.at.saturating_sub(Duration::from_secs(seconds));
    changed
}

#[test]
fn a_run_of_another_seed_is_explained() {
    let story = story(4);
    let explanation = explained(&story, &observed(&story, 1_000), 64).expect("it is explained");
    assert!(explanation.run.passed());
}

#[test]
fn many_pods_on_their_way_are_explained_one_by_one() {
    let story = story_until(40, 20);
    let explanation = explained(&story, &observed(&story, 1_000), 8).expect("it is explained");
    assert_eq!(explanation.apart, [0], "which of forty pods are ready first is chance");
}

/// Pods without indexes are deleted, edited and ended in three steps that wait for nothing.
#[test]
fn what_goes_may_linger_while_nobody_waits() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../scenarios/jobs/pod-failure-policy-verdict-outlives-pod.yaml");
    let story = towtank_scenario::load(&path).expect("a scenario");
    let step = story.steps.iter().position(|step| step.name.value == "the other pods end").expect("the step");
    let observed = Observed::of(&observed(&story, 1));
    // When this step has settled, with these lines more.
    let seen_with = |lines: &[&str]| {
        let mut changed = observed.clone();
        let settled = changed.steps[step].settled.take().expect("a sight");
        let more = lines.iter().map(|line| (*line).to_owned());
        changed.steps[step].settled =
            Some(settled.lines().iter().cloned().chain(more).collect::<Vec<_>>().into());
        explained_as(&story, &changed, 8).expect("the model can be set up")
    };
    let goes = "pod sample/#: Failed, is to go";
    assert!(seen_with(&[]).expect("it is the model's own").apart.is_empty());
    assert_eq!(seen_with(&[goes]).expect("the first lingers").apart, [step]);
    for wrong in [&[goes, goes][..], &["pod sample/#: Running"], &["job other: 1 of 1"]] {
        let unexplained = seen_with(wrong).expect_err("nothing shows that");
        assert!(matches!(unexplained.gap, Gap::Sight { step_index, .. } if step_index == step), "{wrong:?}");
    }
}

#[test]
fn another_history_is_not_explained() {
    let (four, five) = (story(4), story(5));
    let unexplained = explained(&four, &observed(&five, 1), 8).expect_err("a pod more");
    assert_eq!(unexplained.tried, 8);
    assert!(matches!(unexplained.gap, Gap::History { .. }), "{:?}", unexplained.gap);
}

#[test]
fn what_no_run_ever_shows_is_not_explained() {
    let story = story(4);
    let mut run = observed(&story, 1);
    // As if the first step had settled with what is there after the last.
    run.sights[0].settled = run.sights[2].settled.clone();
    let unexplained = explained(&story, &run, 8).expect_err("it is not to be seen then");
    let Gap::Sight { step, seen, nearest, .. } = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
    assert_eq!(step, "create");
    assert_ne!(seen, nearest);
}

#[test]
fn the_end_is_compared_too() {
    let story = story(4);
    let mut run = observed(&story, 1);
    run.rest = Some(Default::default());
    let unexplained = explained(&story, &run, 8).expect_err("two pods are left");
    let Gap::Sight { step, .. } = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
    assert_eq!(step, "until all is at rest");
}

#[test]
fn a_passing_state_is_no_end() {
    let story = story(4);
    // It ends when the pod has gone, before the Job's status says so.
    let run = observed_for(&story, 1, Duration::ZERO);
    let unexplained = explained(&story, &run, 8).expect_err("the status still counts the pod");
    let Gap::Sight { step, .. } = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
    assert_eq!(step, "until all is at rest");
}

#[test]
fn the_explanation_says_what_was_compared() {
    let story = story(4);
    let run = observed(&story, 1_000);
    let compared = explained(&story, &run, 64).expect("it is explained").compared;
    assert_eq!((compared.steps, compared.sights), (3, 3));
    assert!(compared.has_steps && compared.has_order && compared.has_end, "{compared}");
    let history = Observed { steps: Vec::new(), rest: None, ..Observed::of(&run) };
    let compared =
        explained_as(&story, &history, 64).expect("the same story").expect("it is explained").compared;
    assert_eq!((compared.lines, compared.sights), (history.history.len(), 0));
    assert!(compared.has_order && !compared.has_steps && !compared.has_end, "{compared}");
}

#[test]
fn another_story_is_refused() {
    let story = story(4);
    let seen = Observed::of(&observed(&story, 1));
    let mut renamed = seen.clone();
    renamed.steps[1].name = "no such step".to_owned();
    let error = explained_as(&story, &renamed, 1).expect_err("another name").to_string();
    assert!(error.contains("its step 2 is `no such step`, and the scenario's is `all are there`"), "{error}");
    let mut fewer = seen;
    fewer.steps.pop();
    let error = explained_as(&story, &fewer, 1).expect_err("a step less").to_string();
    assert!(error.contains("it has 2 steps, and the scenario has 3"), "{error}");
}

#[test]
fn what_is_missing_is_missed() {
    let story = story_until(40, 20);
    let seen = Observed::of(&observed(&story, 1_000));
    // Nothing at all, and all but one pod that has come long since.
    for (step, kept) in [(0, 0), (1, 40)] {
        let mut changed = seen.clone();
        let lines = seen.steps[step].settled.as_ref().expect("it was seen").lines();
        changed.steps[step].settled = Some(lines[..kept].to_vec().into());
        let unexplained =
            explained_as(&story, &changed, 8).expect("the same story").expect_err("more is there");
        let Gap::Sight { step_index, .. } = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
        assert_eq!(*step_index, step);
    }
}

#[test]
fn a_pod_that_is_told_to_go_too_early_is_not_explained() {
    let story = story(4);
    let seen = Observed::of(&observed(&story, 1));
    let told = "pod sample/3#1: told to go";
    assert!(explained_as(&story, &earlier(&seen, told, 0), 64).expect("the same story").is_ok());
    let early = earlier(&seen, told, 2);
    let unexplained =
        explained_as(&story, &early, 64).expect("the same story").expect_err("nobody shrinks yet");
    let Gap::Order(Broken { rule, line }) = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
    assert_eq!((*rule, &*line.text), (Rule::ToldToGo, told));
    // Where nothing is known of the order, the step tells.
    let disturbed = Observed { is_disturbed: true, ..early };
    let unexplained =
        explained_as(&story, &disturbed, 64).expect("the same story").expect_err("another step");
    let Gap::Step { line, real, model, .. } = &unexplained.gap else { panic!("{:?}", unexplained.gap) };
    assert_eq!((&*line.text, &**model), (told, "shrink"));
    assert_ne!(real, model);
}

#[test]
fn a_pod_is_not_on_its_way_where_it_stays() {
    let story = story_until(40, 20);
    let mut seen = Observed::of(&observed(&story, 1_000));
    let lines = seen.steps[0].settled.as_ref().expect("it was seen").lines().to_vec();
    let goes = lines.iter().map(|line| match line.ends_with(": Running") {
        true => format!("{line}, is to go"),
        false => line.clone(),
    });
    seen.steps[0].settled = Some(goes.collect::<Vec<_>>().into());
    let explained = explained_as(&story, &seen, 8).expect("the same story");
    let unexplained = explained.map(|explanation| explanation.apart).expect_err("nobody goes yet");
    assert!(matches!(unexplained.gap, Gap::Sight { step_index: 0, .. }), "{:?}", unexplained.gap);
}
