//! A batch ends with what became of its jobs, in the model as with the production operator.

use towtank_lockstep::session;
use towtank_lockstep::verdict::{self, Judgement};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::VersionRange;
use towtank_scenario::{NoFiles, parse};

const BATCH: &str = r#"apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: batch}
spec:
  cluster: {timing: kind}
  steps:
    - name: create
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {name: flux-sample}
        spec:
          size: 2
          tasks: 0
          backoffLimit: 0
          pod: {restartPolicy: Never}
          containers: [{image: "rockylinux:9", batch: true, command: "sleep 20\nfalse\nsleep 20"}]
      expect:
        - {within: 2m, that: job.failedCondition && job.succeeded == 0}
"#;

#[test]
fn a_batch_fails_with_its_jobs() {
    let scenario = parse("batch.yaml", BATCH, &NoFiles).unwrap_or_else(|error| panic!("{error}"));
    let newest = VersionRange { first: KubernetesVersion::NEWEST, last: KubernetesVersion::NEWEST };
    let stack = scenario.stacks(newest, VersionRange::ALL).pop().expect("a version of Flux");
    let model = session::play_model(&scenario, stack, 1).expect("it can be played");
    let embedded = session::play_embedded(&scenario, stack, 1).expect("it can be played");
    assert!(model.passed(), "{:?}", model.failure);
    assert!(embedded.passed(), "{:?}", embedded.failure);
    let judgement = verdict::compare(&model, &embedded).judgement;
    assert!(!matches!(judgement, Judgement::Diverges(_)), "{judgement:?}");
}
