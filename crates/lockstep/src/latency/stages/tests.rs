//! KWOK's own Stages, written down by what they say, and what is refused.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;

/// A Stage with these lines in its spec.
fn stage(name: &str, kind: &str, selector: &[&str], spec: &str) -> String {
    let mut text = format!(
        "---\napiVersion: kwok.x-k8s.io/v1alpha1\nkind: Stage\nmetadata: {{name: {name}}}\nspec:\n  resourceRef: {{apiGroup: v1, kind: {kind}}}\n  selector:\n    matchExpressions:\n"
    );
    for requirement in selector {
        writeln!(text, "    - {requirement}").unwrap();
    }
    text + spec
}

const WANTED: &str = "{key: .metadata.deletionTimestamp, operator: DoesNotExist}";
const TOLD_TO_GO: &str = "{key: .metadata.deletionTimestamp, operator: Exists}";
const UNSEEN: &str = "{key: .status.podIP, operator: DoesNotExist}";
const RUNNING: &str = "{key: .status.phase, operator: In, values: [Running]}";
const READY: &str = r#"{key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: In, values: ["True"]}"#;
const NOT_READY: &str = r#"{key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}"#;
const INITIALIZED: &str = r#"{key: '.status.conditions.[] | select( .type == "Initialized" ) | .status', operator: In, values: ["True"]}"#;
const NOT_RUNNING: &str =
    "{key: '.status.containerStatuses.[].state.running.startedAt', operator: DoesNotExist}";
const FREE: &str = "{key: .metadata.finalizers, operator: DoesNotExist}";
const KEPT: &str = "{key: '.metadata.finalizers.[]', operator: In, values: [kwok.x-k8s.io/fake]}";
const OF_JOBS: &str = "{key: '.metadata.ownerReferences.[].kind', operator: In, values: [Job]}";

const ONE_TO_FIVE: &str =
    "  weight: 1\n  delay: {durationMilliseconds: 1000, jitterDurationMilliseconds: 5000}\n";

/// All containers run.
const RUN: &str = r#"  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
      {{ range .spec.readinessGates }}
      - status: "True"
        type: {{ .conditionType | Quote }}
      {{ end }}
      containerStatuses:
      {{ range .spec.containers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        restartCount: 0
        state: {running: {startedAt: {{ $now | Quote }}}}
      {{ end }}
      initContainerStatuses:
      {{ range .spec.initContainers }}
      - name: {{ .name | Quote }}
        {{ if eq .restartPolicy "Always" }}
        state: {running: {}}
        {{ else }}
        state: {terminated: {exitCode: 0}}
        {{ end }}
      {{ end }}
      podIP: {{ PodIPWith .spec.nodeName ( or .metadata.uid "" ) | Quote }}
      phase: Running
"#;

const WAIT: &str = r#"  next:
    event: {type: Normal, reason: Created, message: Created container}
    finalizers: {add: [{value: kwok.x-k8s.io/fake}]}
    statusTemplate: |
      conditions:
      - {type: Ready, status: "False", message: 'not ready: [{{ range .spec.containers }} {{ .name }} {{ end }}]'}
      {{ if .spec.initContainers }}
      containerStatuses: [{ready: false, state: {waiting: {reason: PodInitializing}}}]
      {{ else }}
      containerStatuses: [{ready: false, state: {waiting: {reason: ContainerCreating}}}]
      {{ end }}
      phase: Pending
"#;

const END: &str = "  next:\n    statusTemplate: |\n      phase: Succeeded\n";
const GO: &str = "  next: {delete: true}\n";
const GO_WITH_ALL: &str = "  next: {finalizers: {empty: true}, delete: true}\n";
const LET_GO: &str = "  next: {finalizers: {remove: [{value: kwok.x-k8s.io/fake}]}, event: {type: Normal, reason: Killing, message: Stopping container}}\n";

const NODE: &str = r#"  next:
    statusTemplate: |
      conditions:
      {{ range NodeConditions }}
      - lastHeartbeatTime: {{ Now | Quote }}
        status: {{ .status | Quote }}
        type: {{ .type  | Quote}}
      {{ end }}
      allocatable:
      {{ with .status.allocatable }}
      {{ YAML . 1 }}
      {{ else }}
        cpu: 1k
      {{ end }}
      nodeInfo:
        architecture: {{ with .architecture }} {{ . }} {{ else }} "amd64" {{ end }}
      phase: Running
"#;

fn fast() -> String {
    stage("pod-ready", "Pod", &[WANTED, UNSEEN], RUN)
        + &stage("pod-delete", "Pod", &[TOLD_TO_GO], GO_WITH_ALL)
        + &nodes()
}

fn nodes() -> String {
    let delay = "  delay: {durationMilliseconds: 20000, jitterDurationMilliseconds: 25000}\n  immediateNextStage: true\n";
    stage("node-initialize", "Node", &[NOT_READY], NODE)
        + &stage("node-heartbeat", "Node", &[RUNNING, READY], &format!("{delay}{NODE}"))
}

fn general() -> String {
    let late = |next: &str| format!("{ONE_TO_FIVE}{next}");
    stage("pod-create", "Pod", &[WANTED, UNSEEN], &late(WAIT))
        + &stage("pod-ready", "Pod", &[WANTED, INITIALIZED, NOT_RUNNING], &late(RUN))
        + &stage("pod-remove-finalizer", "Pod", &[TOLD_TO_GO, KEPT], &late(LET_GO))
        + &stage("pod-delete", "Pod", &[TOLD_TO_GO, FREE], &late(GO))
        + &nodes()
}

fn read(text: &str) -> TimingProfile {
    profile(text, "stages.yaml").unwrap()
}

#[test]
fn the_fast_set_takes_no_time() {
    let without_machines = TimingProfile::by_name("virtual").unwrap();
    assert_eq!(read(&fast()), TimingProfile { name: "stages.yaml", ..*without_machines });
}

#[test]
fn the_general_set_waits_before_each_step() {
    let profile = read(&general());
    let start = |share| profile.start.quantile(share).as_millis();
    assert_eq!((start(0.0), start(0.5), start(1.0)), (2_000, 6_000, 10_000));
    // A quarter of the density's triangle: 2 s and the square root of 2 · 4 s · 4 s · ¼.
    assert_eq!(start(0.25), 4_828);
    assert!(profile.start.is_well_formed());
    let one_to_five = Distribution::uniform_ms(1_000, 5_000);
    assert_eq!((profile.stop_notice, profile.cleanup), (one_to_five, one_to_five));
}

#[test]
fn each_delay_has_its_step() {
    let after = |ms: u32, next: &str| format!("  delay: {{durationMilliseconds: {ms}}}\n{next}");
    let profile = read(
        &(stage("pod-create", "Pod", &[WANTED, UNSEEN], &after(1_000, WAIT))
            + &stage("pod-ready", "Pod", &[WANTED, INITIALIZED, NOT_RUNNING], &after(20, RUN))
            + &stage("pod-remove-finalizer", "Pod", &[TOLD_TO_GO, KEPT], &after(300, LET_GO))
            + &stage("pod-delete", "Pod", &[TOLD_TO_GO, FREE], &after(4, GO))),
    );
    let steps = [profile.start, profile.stop_notice, profile.cleanup];
    assert_eq!(steps, [1_020, 300, 4].map(Distribution::constant_ms));
}

#[test]
fn delays_that_follow_one_another_are_added() {
    let seconds =
        |low: u64, high: u64| Distribution::Uniform(Duration::from_secs(low), Duration::from_secs(high));
    assert_eq!(Span(1_000, 1_000).then(Span(2_000, 2_000)), Distribution::constant_ms(3_000));
    assert_eq!(Span(1_000, 1_000).then(Span(2_000, 4_000)), seconds(3, 5));
    assert_eq!(Span(2_000, 4_000).then(Span(0, 0)), seconds(2, 4));
    let both = Span(0, 1_000).then(Span(0, 3_000));
    // One sixth of the sums is below 1 s, one sixth above 3 s.
    let of = |share| both.quantile(share).as_secs_f64();
    for (share, expected) in [(1.0 / 6.0, 1.0), (0.5, 2.0), (5.0 / 6.0, 3.0), (1.0, 4.0)] {
        assert!((of(share) - expected).abs() < 0.001, "{share}: {} and not {expected}", of(share));
    }
}

#[test]
fn a_jitter_is_where_the_delay_ends() {
    let cleanup = |delay: &str| {
        read(&stage("pod-delete", "Pod", &[TOLD_TO_GO], &format!("  delay: {delay}\n{GO}"))).cleanup
    };
    assert_eq!(cleanup("{durationMilliseconds: 70}"), Distribution::constant_ms(70));
    assert_eq!(
        cleanup("{durationMilliseconds: 70, jitterDurationMilliseconds: 90}"),
        Distribution::uniform_ms(70, 90)
    );
    assert_eq!(cleanup("{jitterDurationMilliseconds: 90}"), Distribution::uniform_ms(0, 90));
    assert_eq!(
        cleanup("{durationMilliseconds: 70, jitterDurationMilliseconds: 50}"),
        Distribution::constant_ms(50)
    );
}

/// What is said of each file.
fn refusals(files: &[(&str, String)]) -> String {
    let mut said = String::new();
    for (what, text) in files {
        let why = profile(text, "stages.yaml").expect_err(what);
        writeln!(said, "{what}\n    {why}").unwrap();
    }
    said
}

#[test]
fn what_is_no_stage_is_refused() {
    let delete = |spec: &str| stage("pod-delete", "Pod", &[TOLD_TO_GO], spec);
    insta::assert_snapshot!(refusals(&[
        ("nothing", String::new()),
        ("no YAML", "a: [".to_owned()),
        ("too many", delete(GO).repeat(STAGES_MAX + 1)),
        ("another version", delete(GO).replace("v1alpha1", "v1alpha2")),
        ("another kind", fast() + "---\nkind: Pod\napiVersion: kwok.x-k8s.io/v1alpha1\n"),
        ("an unknown field", delete("  next: {patches: []}\n")),
        ("nothing next", delete("")),
        ("no number", delete(&format!("  delay: {{durationMilliseconds: -1}}\n{GO}"))),
        ("a long delay", delete(&format!("  delay: {{durationMilliseconds: 86400001}}\n{GO}"))),
    ]));
}

#[test]
fn what_virtual_nodes_do_not_do_is_refused() {
    let ready = |next: &str| stage("pod-ready", "Pod", &[WANTED, UNSEEN], next);
    let delete = |spec: &str| stage("pod-delete", "Pod", &[TOLD_TO_GO], spec);
    let heartbeat = |next: &str| stage("node-heartbeat", "Node", &[READY], next);
    insta::assert_snapshot!(refusals(&[
        ("pods of a Job that end", fast() + &stage("pod-complete", "Pod", &[WANTED, RUNNING, OF_JOBS], END)),
        ("another phase", ready(&RUN.replace("phase: Running", "phase: Unknown"))),
        (
            "a phase that depends",
            ready(&RUN.replace("phase: Running", "{{ if .x }}\n      phase: Running\n      {{ end }}"))
        ),
        ("a pod that runs and is not Ready", ready(&RUN.replace("type: Ready", "type: Late"))),
        ("a container that has ended", ready(&RUN.replace("ready: true", "ready: false"))),
        (
            "a pod that waits and is Ready",
            stage("pod-create", "Pod", &[WANTED, UNSEEN], &WAIT.replace("\"False\"", "\"True\""))
        ),
        ("a template that cannot be read", ready(&RUN.replace("Now }}", "Now"))),
        ("a template without fields", ready("  next: {statusTemplate: '{{ Now }}'}\n")),
        ("a status for a pod that goes", delete(&RUN.replace("  next:\n", "  next:\n    delete: true\n"))),
        ("nothing", delete("  next: {}\n")),
        ("finalizers of others", delete("  next: {finalizers: {empty: true}}\n")),
        (
            "pods with a label",
            fast().replacen("    matchExpressions", "    matchLabels: {app: x}\n    matchExpressions", 1)
        ),
        ("pods of Jobs only", stage("pod-ready", "Pod", &[WANTED, UNSEEN, OF_JOBS], RUN)),
        ("pods told to go that start", stage("pod-ready", "Pod", &[TOLD_TO_GO, UNSEEN], RUN)),
        (
            "no selector",
            delete(GO).replace(&format!("  selector:\n    matchExpressions:\n    - {TOLD_TO_GO}\n"), "")
        ),
        ("another resource", stage("lease", "Lease", &[READY], NODE)),
        ("another group", fast().replacen("apiGroup: v1", "apiGroup: apps/v1", 1)),
        (
            "a delay by annotation",
            delete(&format!("  delay: {{durationFrom: {{expressionFrom: .metadata.annotations}}}}\n{GO}"))
        ),
        (
            "a weight by annotation",
            delete(&format!("  weightFrom: {{expressionFrom: .metadata.annotations}}\n{GO}"))
        ),
        ("nodes that fail", heartbeat(&NODE.replace("status: {{ .status | Quote }}", "status: \"False\""))),
        ("nodes in another phase", heartbeat(&NODE.replace("phase: Running", "phase: Lost"))),
        ("nodes that go", heartbeat(GO)),
        ("nodes without a status", heartbeat("  next: {}\n")),
        (
            "nodes that are Ready late",
            stage("node-initialize", "Node", &[NOT_READY], &format!("{ONE_TO_FIVE}{NODE}"))
        ),
    ]));
}

#[test]
fn stages_that_do_not_fit_together_are_refused() {
    let general_with = |from: &str, to: &str| general().replacen(from, to, 1);
    insta::assert_snapshot!(refusals(&[
        ("two that start", fast() + &stage("pod-start", "Pod", &[WANTED, UNSEEN], RUN)),
        ("two of new pods", stage("pod-create", "Pod", &[WANTED, UNSEEN], WAIT) + &fast()),
        ("two of pods that go", general_with(&format!("    - {FREE}\n"), "")),
        ("nobody makes Initialized", stage("pod-ready", "Pod", &[WANTED, INITIALIZED, NOT_RUNNING], RUN)),
        ("a finalizer for ever", stage("pod-create", "Pod", &[WANTED, UNSEEN], WAIT)),
        ("a finalizer that nobody gives", stage("pod-remove-finalizer", "Pod", &[TOLD_TO_GO, KEPT], LET_GO)),
        ("another finalizer", general_with("remove: [{value: kwok", "remove: [{value: look")),
    ]));
}
