//! What runs of the model explain, and what they do not. The model's own runs stand in for a real cluster, with other seeds, timings and mistakes.

use std::time::Duration;

use towtank_lockstep::explanation::{Explained, Gap, Search, explain};
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
    let search = Search { seeds, profiles: Vec::new() };
    explain(scenario, &Observed::of(run), &search).expect("the model can be set up")
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
