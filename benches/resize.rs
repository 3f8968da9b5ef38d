//! A story of a large MiniCluster, played and judged: it is created, shrinks to half its size and grows back. What a resize costs
//! must not depend on the pods that stay.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use towtank_lockstep::session::play_model;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::NoFiles;
use towtank_scenario::ast::{FluxVersion, Scenario, Stack};

/// `timing` is a profile; every resize takes or gives `step` pods.
fn story(timing: &str, size: u32, step: u32) -> Scenario {
    let smaller = size - step;
    let text = format!(
        "apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {{name: resize}}
spec:
  about: A resize.
  source: this bench
  cluster: {{nodes: 100, coresPerNode: 10, timing: {timing}, flux: {{version: 0.88.0}}}}
  steps:
    - name: create
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {{name: flux-sample}}
        spec: {{size: {size}, interactive: true, containers: [{{image: flux}}]}}
      expect:
        - {{within: 10m, that: flux.running && flux.online == {size}}}
    - name: shrink
      patch: {{minicluster: flux-sample, spec: {{size: {smaller}}}}}
      expect:
        - {{within: 10m, that: flux.online == {smaller}, job: {{active: {smaller}}}}}
    - name: grow
      patch: {{minicluster: flux-sample, spec: {{size: {size}}}}}
      expect:
        - {{within: 10m, that: flux.online == {size}, job: {{active: {size}}}}}
"
    );
    match towtank_scenario::parse("resize.yaml", &text, &NoFiles) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn resize(c: &mut Criterion) {
    let stack = Stack { kubernetes: KubernetesVersion::NEWEST, flux: Some(FluxVersion::V0_88) };
    let mut group = c.benchmark_group("resize");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (timing, size, step) in
        [("instant", 1_000, 500), ("kind", 1_000, 500), ("kind", 1_000, 1), ("kind", 500, 1)]
    {
        let story = story(timing, size, step);
        let ends_well = play_model(&story, stack, 1).is_ok_and(|run| run.failure.is_none());
        if !ends_well {
            eprintln!("the story of {size} pods with timing {timing} fails");
            std::process::exit(1);
        }
        group.bench_function(format!("{timing}/{size}-{step}"), |bencher| {
            bencher.iter(|| black_box(play_model(&story, stack, 1)));
        });
    }
    group.finish();
}

criterion_group!(benches, resize);
criterion_main!(benches);
