//! What is said about each kind of bad input. One snapshot per group of mistakes; each case is the good scenario below
//! with one change.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme};
use towtank_scenario::{FileLoader, NoFiles, parse};

const GOOD: &str = r#"apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: good}
spec:
  about: A story.
  source: nowhere
  kubernetes: ">=1.28"
  cluster: {nodes: 3, timing: kind}
  workloads:
    - {job: work, indexes: "0-2", runsFor: 10s, onTerm: ignore}
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {name: work}
        spec:
          completions: 4
          parallelism: 4
          completionMode: Indexed
          template:
            spec:
              restartPolicy: Never
              containers:
                - name: main
                  image: busybox
                  command: [sleep, "10"]
                  resources: {requests: {cpu: 500m}}
      expect:
        - within: 60s
          kubectl get pods: |
            NAME           READY   STATUS    RESTARTS   AGE
            work-0-9zsjw   1/1     Running   0          40s
            work-1-z94mv   1/1     Running   0          40s
          job: {active: 2, completedIndexes: "0,1"}
    - name: fail one
      fail: {pod: work-2, exitCode: 1}
      expect:
        - never: pods.exists(p, p.index == 2 && p.incarnation > 1)
        - holds: {for: 5m, that: job.active == 2}
    - name: shrink
      scale: {job: work, to: 3}
"#;

/// The same with a MiniCluster.
const MINICLUSTER: &str = r#"apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: good}
spec:
  cluster: {nodes: 3}
  steps:
    - name: create
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {name: flux-sample}
        spec:
          size: 4
          maxSize: 10
          interactive: true
          flux:
            scheduler: {simple: true}
          containers:
            - image: rockylinux:9
              volumes:
                data: {path: /data, claimName: data}
      expect:
        - within: 60s
          that: minicluster.status.size == 4 && minicluster.refusal == ""
"#;

struct Files;

impl FileLoader for Files {
    fn load(&self, path: &str) -> std::io::Result<String> {
        match path {
            "typo.yaml" => {
                Ok("apiVersion: batch/v1\nkind: Job\nmetadata: {name: work}\nspec:\n  paralelism: 2\n".into())
            }
            "empty.yaml" => Ok("# nothing\n---\n".into()),
            "scenario.yaml" => Ok(GOOD.into()),
            "huge.yaml" => Ok("a".repeat((1 << 20) + 1)),
            _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")),
        }
    }
}

/// The message about the good scenario after replacing `from`, which must be in it, by `to`.
fn message(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "`{from}` is not in the good scenario");
    let text = good.replacen(from, to, 1);
    let error = parse("bad.yaml", &text, &Files).expect_err(to);
    let mut printed = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(110)
        .render_report(&mut printed, &error)
        .expect("a String takes everything");
    printed.trim_end().to_owned()
}

/// Prints all cases of a group and compares them with the snapshot.
fn check(group: &str, cases: &[(&str, &str, &str)]) {
    check_of(GOOD, group, cases);
}

fn check_of(good: &str, group: &str, cases: &[(&str, &str, &str)]) {
    let mut all = String::new();
    for (title, from, to) in cases {
        writeln!(all, "## {title}\n{}\n", message(good, from, to)).expect("a String takes everything");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots/messages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(group, all));
}

#[test]
fn the_good_scenario_is_good() {
    parse("good.yaml", GOOD, &NoFiles).unwrap_or_else(|error| panic!("{error} at {:?}", error.position()));
}

#[test]
fn miniclusters() {
    parse("good.yaml", MINICLUSTER, &NoFiles).expect("the good scenario is good");
    check_of(
        MINICLUSTER,
        "miniclusters",
        &[
            ("no pods", "size: 4", "size: 0"),
            ("a negative size", "size: 4", "size: -1"),
            ("more than the maximum", "size: 4", "size: 11"),
            ("a least size above the size", "size: 4", "size: 4\n          minSize: 5"),
            ("a policy that is not", "simple: true", "simple: true, queuePolicy: banana"),
            ("a claim without a path", "path: /data, ", ""),
            (
                "two containers with Flux",
                "containers:\n            - ",
                "containers:\n            - {name: a, runFlux: true}\n            - runFlux: true\n              ",
            ),
            (
                "one name twice",
                "containers:\n            - ",
                "services: [{name: a}, {name: a}]\n          containers:\n            - ",
            ),
            (
                "a service with a command for brokers",
                "containers:",
                "services: [{name: a, commands: {brokerPre: x}}]\n          containers:",
            ),
            (
                "hosts and clusters",
                "simple: true}",
                "simple: true}\n            bursting: {hostlist: a, clusters: [{name: b}]}",
            ),
            (
                "a lead elsewhere",
                "simple: true}",
                "simple: true}\n            bursting: {leadBroker: {address: x, name: y, size: 1}}",
            ),
            ("no number", "size: 4", "size: many"),
            (
                "no list of ports",
                "- image: rockylinux:9",
                "- image: rockylinux:9\n              ports: {http: 80}",
            ),
            ("no flag", "interactive: true", "interactive: true\n          logging: {strict: 1}"),
            ("no labels", "interactive: true", "interactive: true\n          pod: {labels: [a]}"),
            (
                "no tolerations",
                "interactive: true",
                "interactive: true\n          pod: {tolerations: {key: a}}",
            ),
            ("an unknown field far down", "claimName: data", "claimName: data, claim: data"),
            (
                "an unknown field of Kubernetes' own",
                "interactive: true",
                "interactive: true\n          pod: {securityContext: {fsGrup: 1}}",
            ),
            (
                "another restart policy",
                "interactive: true",
                "interactive: true\n          pod: {restartPolicy: Always}",
            ),
            (
                "two namespaces",
                "      expect:",
                "    - name: again\n      apply:\n        apiVersion: flux-framework.org/v1alpha2\n        kind: MiniCluster\n        metadata: {name: flux-sample, namespace: other}\n        spec: {containers: [{image: a}]}\n      expect:",
            ),
            (
                "a program nobody knows the end of",
                "interactive: true\n          flux:\n            scheduler: {simple: true}\n          containers:\n            - image: rockylinux:9",
                "containers:\n            - command: lmp -v x 2",
            ),
            (
                "two programs",
                "interactive: true\n          flux:\n            scheduler: {simple: true}\n          containers:\n            - image: rockylinux:9",
                "containers:\n            - command: sleep 1 | cat",
            ),
            (
                "a launcher of another kind",
                "interactive: true\n          flux:\n            scheduler: {simple: true}\n          containers:\n            - image: rockylinux:9",
                "containers:\n            - launcher: true\n              command: |\n                sleep 1\n                srun hostname",
            ),
            (
                "a script",
                "interactive: true\n          flux:\n            scheduler: {simple: true}\n          containers:\n            - image: rockylinux:9",
                "containers:\n            - commands: {script: sleep 1}",
            ),
            ("an unknown operator", "nodes: 3", "nodes: 3, compat: downstream"),
        ],
    );
    let refused = MINICLUSTER.replace("size: 4\n", "size: 0\n").replace(
        "within: 60s\n          that: minicluster.status.size == 4 && minicluster.refusal == \"\"",
        "refused: {field: spec.size}",
    );
    parse("refused.yaml", &refused, &NoFiles).expect("what is expected to be refused may be wrong");
    let upstream =
        MINICLUSTER.replace("size: 4\n", "size: 0\n").replace("nodes: 3", "nodes: 3, compat: upstream");
    parse("upstream.yaml", &upstream, &NoFiles).expect("the original takes anything");
}

#[test]
fn operator() {
    let with = |step: &str| format!("operator: {step}\n      expect:");
    let cases: Vec<(&str, String)> = [
        ("unknown word", "reboot"),
        ("two things", "{stop: leader, faults: [{watch: pods, fault: broken}]}"),
        ("nothing", "{faults: []}"),
        ("no leader", "{stop: leader}"),
        ("unknown replica", "{stop: follower}"),
        ("unknown verb", "{faults: [{call: patches jobs, fault: conflict}]}"),
        ("unknown resource", "{faults: [{call: patch job, fault: conflict}]}"),
        ("no resource", "{faults: [{call: patch, fault: conflict}]}"),
        ("what is not watched", "{faults: [{watch: leases, fault: broken}]}"),
        ("call and watch", "{faults: [{call: patch jobs, watch: pods, fault: broken}]}"),
        ("neither", "{faults: [{fault: broken}]}"),
        ("unknown fault of a call", "{faults: [{call: patch jobs, fault: expired}]}"),
        ("unknown fault of a watch", "{faults: [{watch: pods, fault: conflict}]}"),
        ("a conflict of what changes nothing", "{faults: [{call: create jobs, fault: conflict}]}"),
        ("event 0", "{faults: [{watch: pods, nth: 0, fault: broken}]}"),
        ("no length", "{faults: [{watch: pods, fault: {delay: 2}}]}"),
        ("one twice", "{faults: [{watch: pods, nth: 1, fault: broken}, {watch: pods, fault: expired}]}"),
    ]
    .map(|(title, step)| (title, with(step)))
    .into();
    let good = MINICLUSTER.replace("      expect:", "    - name: step\n      wait: 1s\n      expect:");
    let mut all: Vec<(&str, &str, &str)> =
        cases.iter().map(|(title, step)| (*title, "wait: 1s\n      expect:", &**step)).collect();
    all.push(("no replica", "nodes: 3", "nodes: 3, operatorReplicas: 0"));
    all.push(("too many replicas", "nodes: 3", "nodes: 3, operatorReplicas: 6"));
    all.push(("replicas of the original", "nodes: 3", "nodes: 3, operatorReplicas: 2, compat: upstream"));
    let upstream =
        good.replace("wait: 1s", "operator: stop").replace("nodes: 3", "nodes: 3, compat: upstream");
    all.push(("the original", &good, &upstream));
    let without = GOOD.replace("scale: {job: work, to: 3}", "operator: stop");
    all.push(("no MiniCluster", &good, &without));
    check_of(&good, "operator", &all);
}

#[test]
fn structure() {
    check(
        "structure",
        &[
            ("empty file", GOOD, ""),
            ("another kind", "kind: Scenario", "kind: Job"),
            ("another version", "v1alpha1", "v1"),
            ("no mapping", GOOD, "- a\n- b\n"),
            ("two documents", GOOD, "a: 1\n---\nb: 2\n"),
            ("broken YAML", "metadata: {name: good}", "metadata: {name: good"),
            ("tab", "  about:", "\tabout:"),
            ("unknown anchor", "nowhere", "*nowhere"),
            ("duplicate field", "  source: nowhere", "  about: nowhere"),
            ("text cut by a comma", "that: job.active == 2", "that: pods.filter(p, p.ready).size() == 2"),
            ("a tag", "that: job.active == 2", "that: !pods.exists(p)"),
            ("a comment for a value", "source: nowhere", "source: #123"),
            ("unknown field", "  about:", "  abuot:"),
            ("unknown field of a step", "      fail:", "      fial:"),
            ("missing field", "    - name: shrink\n      scale", "    - scale"),
            ("wrong type", "nodes: 3", "nodes: three"),
            ("negative number", "nodes: 3", "nodes: -3"),
            ("a list for a mapping", "cluster: {nodes: 3, timing: kind}", "cluster: [3]"),
            ("no value", "timing: kind", "timing:"),
            ("no steps", &GOOD[GOOD.find("  steps:").unwrap_or(0)..], "  steps: []\n"),
            ("no name", "{name: good}", "{name: Good Story}"),
        ],
    );
}

#[test]
fn values() {
    check(
        "values",
        &[
            ("duration without unit", "within: 60s", "within: 60"),
            ("no duration", "within: 60s", "within: soon"),
            ("units in the wrong order", "within: 60s", "within: 30s1m"),
            ("unknown version", ">=1.28", ">=1.48"),
            ("no version", ">=1.28", "latest"),
            ("no version satisfies", ">=1.28", ">=1.33 <1.30"),
            ("unknown timing", "timing: kind", "timing: knd"),
            ("unknown gate", "timing: kind", "featureGates: {JobManagdBy: true}"),
            ("locked gate", "timing: kind", "featureGates: {ElasticIndexedJob: false}"),
            ("unknown call", "timing: kind", "faults: [{call: create pods, nth: 1, fault: conflict}]"),
            ("unknown fault", "timing: kind", "faults: [{call: create pod, nth: 1, fault: lost}]"),
            ("call 0", "timing: kind", "faults: [{call: create pod, nth: 0, fault: conflict}]"),
            ("no call", "timing: kind", "faults: [{call: create pod, fault: conflict}]"),
            ("no length of a delay", "timing: kind", "faults: [{call: get job, nth: 1, fault: {delay: 2}}]"),
            (
                "two faults of one call",
                "timing: kind",
                "faults: [{call: get job, nth: 1, fault: conflict}, {call: get job, nth: 1, fault: unreachable}]",
            ),
            ("unknown pod mode", "timing: kind", "pods: manually"),
            ("index set", "\"0-2\"", "\"2-0\""),
            ("index set of a rule, out of range", "\"0-2\"", "0-4"),
            ("no index set", "\"0-2\"", "all"),
            ("unknown behaviour", "onTerm: ignore", "onTerm: ignored"),
            ("exit code", "exitCode: 1}", "exitCode: one}"),
            ("exit code 0", "exitCode: 1}", "exitCode: 0}"),
            ("no wait", "scale: {job: work, to: 3}", "wait: 0s"),
            ("unknown signal", "fail: {pod: work-2, exitCode: 1}", "signal: {pod: work-2, signal: HUP}"),
            ("unknown node action", "scale: {job: work, to: 3}", "node: {drain: node-0}"),
            ("a word for a node action", "scale: {job: work, to: 3}", "node: down"),
            ("unknown controller word", "scale: {job: work, to: 3}", "controller: reboot"),
            ("both sizes", "to: 3", "to: 3, parallelism: 2"),
            (
                "phase without manual",
                "fail: {pod: work-2, exitCode: 1}",
                "phase: {pod: work-2, phase: Running}",
            ),
        ],
    );
}

#[test]
fn names() {
    check(
        "names",
        &[
            ("duplicate step", "name: shrink", "name: create"),
            ("two actions", "to: 3}", "to: 3}\n      wait: 1s"),
            ("unknown Job", "{job: work, to: 3}", "{job: wrok, to: 3}"),
            ("unknown Job in workloads", "{job: work, indexes", "{job: flux, indexes"),
            ("index out of range", "pod: work-2", "pod: work-4"),
            ("a Job for a pod", "pod: work-2", "pod: work"),
            ("unknown pod", "pod: work-2", "pod: {name: helper}"),
            ("half a pod", "pod: work-2", "pod: {job: work}"),
            ("number of an unknown Job", "pod: work-2", "pod: {job: flux, number: 1}"),
            ("incarnation 0", "pod: work-2", "pod: {job: work, index: 1, incarnation: 0}"),
            ("no pod", "{pod: work-2, exitCode: 1}", "{exitCode: 1}"),
            ("unknown node", "scale: {job: work, to: 3}", "node: {down: node-3}"),
            ("unknown namespace", "scale: {job: work, to: 3}", "namespace: {terminate: flux}"),
            (
                "a Job before it is applied",
                "    - name: create",
                "    - name: early\n      delete: {job: work}\n    - name: create",
            ),
        ],
    );
}

#[test]
fn manifests() {
    let manifest = &GOOD[GOOD.find("      apply:").unwrap_or(0)..GOOD.find("      expect:").unwrap_or(0)];
    check(
        "manifests",
        &[
            ("unknown field", "parallelism: 4", "paralelism: 4"),
            ("unknown field, deep", "command: [sleep", "comand: [sleep"),
            ("wrong type", "completions: 4", "completions: four"),
            ("wrong type, deep", "command: [sleep, \"10\"]", "command: sleep"),
            ("number for a text", "[sleep, \"10\"]", "[sleep, 10]"),
            ("unknown kind", "kind: Job", "kind: Deployment"),
            ("wrong version", "batch/v1", "batch/v1beta1"),
            ("no name", "metadata: {name: work}", "metadata: {}"),
            ("no image", "image: busybox", "imagePullPolicy: Never"),
            ("unknown policy", "restartPolicy: Never", "restartPolicy: never"),
            ("no cores", "cpu: 500m", "cpu: half"),
            (
                "rule without condition",
                "completions: 4",
                "completions: 4\n          podFailurePolicy: {rules: [{action: FailJob}]}",
            ),
            (
                "unknown action",
                "completions: 4",
                "completions: 4\n          podFailurePolicy: {rules: [{action: Fail}]}",
            ),
            (
                "patch of an unknown field",
                "scale: {job: work, to: 3}",
                "patch: {job: work, spec: {suspended: true}}",
            ),
            ("file not found", manifest, "      apply: job.yaml\n"),
            ("mistake in a file", manifest, "      apply: typo.yaml\n"),
            ("file without manifest", manifest, "      apply: empty.yaml\n"),
            ("scenario applied", manifest, "      apply: scenario.yaml\n"),
            ("huge file", manifest, "      apply: huge.yaml\n"),
            ("number applied", manifest, "      apply: 3\n"),
        ],
    );
}

#[test]
fn claims() {
    let expect_of_create =
        &GOOD[GOOD.find("        - within: 60s").unwrap_or(0)..GOOD.find("    - name: fail").unwrap_or(0)];
    let expect_of_fail =
        &GOOD[GOOD.find("        - never").unwrap_or(0)..GOOD.find("    - name: shrink").unwrap_or(0)];
    let mut silent = GOOD.replace(expect_of_create, "").replace(expect_of_fail, "");
    let never_looked_at = GOOD.replace(">=1.28", ">=1.30").replace(
        "- within: 60s",
        "- {kubernetes: 1.28, within: 60s, job: {active: 1}}\n        - within: 60s",
    );
    silent = silent.replace("      expect:\n", "");
    check(
        "claims",
        &[
            ("no expectations", GOOD, &silent),
            ("unknown column", "RESTARTS", "RESTART"),
            ("ragged row", "work-1-z94mv   1/1     Running   0          40s", "work-1-z94mv   Running"),
            ("row of an unknown Job", "work-1-z94mv", "flux-1-z94mv"),
            ("row out of range", "work-1-z94mv", "work-7-z94mv"),
            ("table of the wrong command", "kubectl get pods", "kubectl get pod"),
            (
                "no headings",
                "NAME           READY   STATUS    RESTARTS   AGE",
                "READY   STATUS   RESTARTS   AGE   NODE",
            ),
            ("index set of a claim", "\"0,1\"", "\"0-1\""),
            ("index set out of range", "\"0,1\"", "\"0,9\""),
            ("unknown field of the status", "active: 2, c", "actve: 2, c"),
            ("job claims nothing", "{active: 2, completedIndexes: \"0,1\"}", "{}"),
            ("unknown condition", "active: 2, c", "conditions: [Completed], c"),
            ("CEL does not parse", "job.active == 2", "job.active = 2"),
            ("CEL of an unknown variable", "job.active == 2", "jobb.active == 2"),
            ("CEL of an unknown field", "p.incarnation", "p.incarnations"),
            ("CEL of the wrong type", "that: job.active == 2", "that: job.active"),
            ("CEL compares types", "job.active == 2", "job.active == 'two'"),
            ("CEL of an unknown function", "pods.exists(", "pods.any("),
            ("two times", "within: 60s", "within: 60s\n          at: 5s"),
            ("a time alone", "{for: 5m, that: job.active == 2}", "{for: 5m}"),
            ("never with more", "p.incarnation > 1)", "p.incarnation > 1)\n          job: {active: 1}"),
            ("versions out of range", GOOD, &never_looked_at),
            (
                "refused without an action",
                "    - name: fail one\n      fail: {pod: work-2, exitCode: 1}\n      expect:\n",
                "    - name: fail one\n      expect:\n        - refused: {type: Invalid}\n",
            ),
            ("refused later", "within: 60s", "within: 60s\n          refused: {type: Invalid}"),
        ],
    );
}

#[test]
fn limits() {
    let deep = format!("about: {}{}", "[".repeat(60), "]".repeat(60));
    let bomb: String = (1..20)
        .map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1))
        .fold("a0: &a0 [x]\n".to_owned(), |all, line| all + &line);
    let steps: String = (0..1_001).map(|n| format!("    - {{name: s{n}, wait: 1s}}\n")).collect();
    check(
        "limits",
        &[
            ("deep", "about: A story.", &deep),
            ("aliases that multiply", GOOD, &bomb),
            ("a value within itself", "about: A story.", "about: &a [*a]"),
            ("steps", "  steps:\n", &format!("  steps:\n{steps}")),
            ("nodes", "nodes: 3", "nodes: 4000000000"),
            (
                "nested condition",
                "that: job.active == 2",
                &format!("that: \"{}true{}\"", "(".repeat(40), ")".repeat(40)),
            ),
        ],
    );
    let long = GOOD.replace("that: job.active == 2", &format!("that: \"true{}\"", " && true".repeat(400)));
    let error = parse("bad.yaml", &long, &NoFiles).expect_err("a long condition");
    assert_eq!(error.to_string(), "too much input: a condition may have 2000 characters");
    let long = format!("{GOOD}# {}\n", "x".repeat(1 << 20));
    let error = parse("bad.yaml", &long, &NoFiles).expect_err("too long");
    assert!(error.to_string().starts_with("too much input: the file has 10"), "{error}");
}

#[test]
fn anchors_do_not_change_what_is_written() {
    let text = GOOD
        .replace("kubernetes: \">=1.28\"", "kubernetes: &version 1.30")
        .replace("within: 60s", "kubernetes: *version\n          within: !!str 60s")
        .replace("runsFor: 10s", "runsFor: &length 10s")
        .replace("for: 5m", "for: *length");
    let scenario = parse("anchors.yaml", &text, &NoFiles)
        .unwrap_or_else(|error| panic!("{error} at {:?}", error.position()));
    assert_eq!(scenario.versions.first.to_string(), "1.30");
    assert_eq!(scenario.steps[0].expect[0].versions, Some(scenario.versions));
}
