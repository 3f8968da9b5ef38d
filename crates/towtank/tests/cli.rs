//! The real binary on throwaway projects: what it prints, where, and with which exit code.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use towtank_lockstep::recording::{self, Recording};
use towtank_lockstep::session;

/// A directory of scenario files of one test's own.
struct Project {
    directory: PathBuf,
}

impl Project {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
        // What an earlier run left behind; it need not be there.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the directory can be made");
        Self { directory }
    }

    fn with(self, file: &str, text: &str) -> Self {
        let path = self.directory.join(file);
        fs::create_dir_all(path.parent().expect("it lies in the project"))
            .expect("the directory can be made");
        fs::write(path, text).expect("the file can be written");
        self
    }

    /// Runs the binary here; exit code, stdout and stderr as one text.
    fn towtank(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_towtank"))
            .args(arguments)
            .current_dir(&self.directory)
            .env_remove("CLICOLOR_FORCE")
            .output()
            .expect("the binary was built");
        let mut text = format!("exit {}\n", output.status.code().unwrap_or(-1));
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            if !bytes.is_empty() {
                write!(text, "--- {name}\n{}", String::from_utf8_lossy(&bytes))
                    .expect("writing to a string cannot fail");
            }
        }
        text
    }
}

/// A scenario of an indexed Job of three whose pods run for ten seconds, with these expectations of its second step.
fn scenario(expect: &str) -> String {
    format!(
        "apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {{name: three}}
spec:
  about: Three indexes run for ten seconds each.
  source: made up
  kubernetes: \">=1.31\"
  cluster: {{nodes: 1, coresPerNode: 10, timing: instant}}
  workloads:
    - {{job: work, runsFor: 10s, exitCode: 0}}
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: work}}
        spec:
          completions: 3
          parallelism: 3
          completionMode: Indexed
          template:
            spec:
              restartPolicy: Never
              containers: [{{name: main, image: busybox}}]
      expect:
        - within: 5s
          job: {{active: 3, ready: 3}}
    - name: finish
      expect:
{expect}
"
    )
}

const FINISH: &str = "        - within: 60s
          job: {succeeded: 3, completedIndexes: \"0-2\"}";

const WRONG_TABLE: &str = "        - within: 20s
          kubectl get pods: |
            NAME           READY   STATUS      RESTARTS   AGE
            work-0-aaaaa   0/1     Completed   0          20s
            work-1-aaaaa   1/1     Running     0          20s";

#[test]
fn a_passing_scenario_takes_a_few_lines() {
    let project = Project::new("passing").with("scenarios/three.yaml", &scenario(FINISH));
    insta::assert_snapshot!(project.towtank(&["run"]));
}

#[test]
fn a_failing_one_shows_the_place_the_difference_and_how_to_replay_it() {
    let project = Project::new("failing").with("three.yaml", &scenario(WRONG_TABLE));
    let text = project.towtank(&["run", "three.yaml", "--kubernetes", "1.36"]);
    insta::assert_snapshot!(text);
    let replay =
        text.lines().find_map(|line| line.trim().strip_prefix("replay: towtank ")).expect("there is one");
    let again = project.towtank(&replay.split(' ').collect::<Vec<_>>());
    assert_eq!(again, text, "the replay line plays exactly the same run");
}

#[test]
fn fields_are_told_one_by_one() {
    let expect = "        - within: 20s\n          job: {succeeded: 3, failed: 1, completedIndexes: \"0,1\"}";
    let project = Project::new("fields").with("three.yaml", &scenario(expect));
    insta::assert_snapshot!(project.towtank(&["run", "three.yaml", "--kubernetes", "1.36"]));
}

#[test]
fn versions_that_fail_alike_are_told_once() {
    let project = Project::new("alike").with("three.yaml", &scenario("        - never: job.succeeded == 2"));
    let other = Project::new("unlike").with("three.yaml", &scenario("        - never: job.succeeded == 3"));
    insta::assert_snapshot!(project.towtank(&["run", "three.yaml"]));
    insta::assert_snapshot!(other.towtank(&["run", "three.yaml"]));
}

#[test]
fn json_is_stable_and_versioned() {
    let project = Project::new("json").with("three.yaml", &scenario(FINISH));
    insta::assert_snapshot!(project.towtank(&[
        "run",
        "three.yaml",
        "--kubernetes",
        "1.36",
        "--format",
        "json"
    ]));
    let failing = Project::new("json-failing").with("three.yaml", &scenario(WRONG_TABLE));
    insta::assert_snapshot!(failing.towtank(&[
        "run",
        "three.yaml",
        "--kubernetes",
        "1.36",
        "--format",
        "json"
    ]));
}

#[test]
fn junit_has_one_case_per_run() {
    let project = Project::new("junit").with("three.yaml", &scenario(FINISH));
    let arguments = ["run", "three.yaml", "--kubernetes", "1.35..1.36", "--format", "junit"];
    insta::assert_snapshot!(project.towtank(&arguments));
}

/// A run on a real cluster ends before there is one when the story is not played there, or when its programs are missing.
fn e2e(project: &Project, options: &[&str]) -> String {
    let asked = ["e2e", "three.yaml", "--kubernetes", "1.36", "--operator", "operator"];
    project.towtank(&[&asked, options].concat())
}

#[test]
fn e2e_says_in_json_and_junit_what_it_does_not_play() {
    let unplayed = scenario(FINISH)
        .replace("timing: instant", "timing: instant, faults: [{call: create pod, nth: 1, fault: conflict}]");
    let project = Project::new("e2e-unplayed").with("three.yaml", &unplayed).with("operator", "");
    insta::assert_snapshot!(e2e(&project, &["--format", "json"]));
    insta::assert_snapshot!(e2e(&project, &["--format", "junit"]));
}

#[test]
fn e2e_without_a_cluster_is_an_error_in_its_report() {
    let project = Project::new("e2e-missing").with("three.yaml", &scenario(FINISH)).with("operator", "");
    let told = e2e(&project, &["--format", "junit", "--output", "reports"]);
    assert!(told.starts_with("exit 3\n--- stdout\nno cluster "), "{told}");
    let report = fs::read_to_string(project.directory.join("reports/junit.xml")).expect("it was written");
    assert!(report.contains("errors=\"1\"") && report.contains("type=\"no-cluster\""), "{report}");
}

/// What the model writes in this scenario, as if it had been recorded from the reference.
fn recorded(project: &Project) -> String {
    let scenario =
        towtank_scenario::load(&project.directory.join("scenarios/three.yaml")).expect("it is valid");
    let mut recording = Recording::new(&scenario.name);
    for stack in scenario.recorded_stacks() {
        recording.take(&session::play_model(&scenario, stack, recording::SEED).expect("it can be played"));
    }
    recording.to_string()
}

#[test]
fn a_recording_is_compared_with_and_a_difference_fails_the_run() {
    let project = Project::new("recording").with("scenarios/three.yaml", &scenario(FINISH));
    let text = recorded(&project);
    let project = project.with("snapshots/reference/three.txt", &text);
    let mut shown = project.towtank(&["run"]);
    shown.push_str(&project.towtank(&["run", "scenarios/three.yaml", "--kubernetes", "1.36", "--seed", "2"]));
    let line = text.lines().find(|line| line.contains("succeeded 0→3")).expect("all three end at once");
    let project =
        project.with("snapshots/reference/three.txt", &text.replace(line, &line.replace("0→3", "0→2")));
    shown.push_str(&project.towtank(&["run"]));
    for format in ["json", "junit"] {
        shown.push_str(&project.towtank(&["run", "--kubernetes", "1.36", "--format", format]));
    }
    let project = project.with("snapshots/reference/three.txt", &text.replace("t=", "at "));
    shown.push_str(&project.towtank(&["run"]).replace(&*project.directory.to_string_lossy(), "PROJECT"));
    insta::assert_snapshot!(shown);
}

/// What a cluster might have shown of the story of three, with these fields more.
fn observation(more: &str) -> String {
    let mut lines = vec![r#""0.020 job work: created with parallelism 3, completions 3""#.to_owned()];
    for index in ["2", "0", "1"] {
        let events = [("0.04", "created"), ("1.5", "Running"), ("11.6", "Succeeded")];
        lines.extend(events.map(|(at, event)| format!(r#""{at} pod work/{index}#1: {event}""#)));
    }
    for condition in ["SuccessCriteriaMet", "Complete"] {
        lines.insert(1, format!(r#""12.7 job work: {condition} CompletionsReached""#));
    }
    lines[1..3].reverse();
    let history = lines.join(", ");
    format!(
        r#"[{{"provider": "kind", "kubernetes": "1.36.3", "date": "2026-11-22", {more} "history": [{history}]}}]"#
    )
}

#[test]
fn what_a_cluster_has_shown_is_explained_and_the_verdict_says_by_what() {
    let file = "snapshots/cluster/three.json";
    let run = |more: &str, arguments: &[&str]| {
        let project = Project::new("observation").with("scenarios/three.yaml", &scenario(FINISH));
        project.with(file, &observation(more)).towtank(&[&["run"], arguments].concat())
    };
    let of_1_36 = ["--kubernetes", "1.36"];
    let mut shown = run("", &of_1_36);
    shown.push_str(&run("", &["--kubernetes", "1.36", "--format", "json"]));
    shown.push_str(&run("", &["--kubernetes", "1.35"]));
    let early = r#""steps": [{"step": "create", "asked": 0.01}, {"step": "finish", "asked": 11.7}],"#;
    shown.push_str(&run(early, &of_1_36));
    shown.push_str(&run(&early.replace("finish", "end"), &of_1_36));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_directory_receives_the_report_and_the_traces_of_failures() {
    let project = Project::new("output").with("three.yaml", &scenario(WRONG_TABLE));
    let text =
        project.towtank(&["run", "three.yaml", "--kubernetes", "1.36", "-o", "out", "--format", "json"]);
    insta::assert_snapshot!(text);
    let mut files: Vec<String> = fs::read_dir(project.directory.join("out"))
        .expect("it was made")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, ["report.json", "three.model.1.36.1.trace.txt"]);
}

#[test]
fn check_reads_and_plays_nothing() {
    let project = Project::new("check").with("scenarios/three.yaml", &scenario(WRONG_TABLE));
    insta::assert_snapshot!(project.towtank(&["check"]));
    let project = Project::new("check-bad")
        .with("three.yaml", &scenario("        - within: 60\n          job: {active: 1}"));
    insta::assert_snapshot!(project.towtank(&["check", "three.yaml"]));
}

#[test]
fn explain_names_the_rules() {
    let project = Project::new("explain").with("three.yaml", &scenario(FINISH));
    insta::assert_snapshot!(project.towtank(&["explain", "three.yaml", "--step", "finish"]));
    assert_eq!(
        project.towtank(&["explain", "three.yaml", "--step", "2"]),
        project.towtank(&["explain", "three.yaml", "--step", "finish"])
    );
    insta::assert_snapshot!(project.towtank(&["explain", "three.yaml", "--step", "end"]));
}

#[test]
fn wrong_usage_names_what_would_be_right() {
    let project = Project::new("usage").with("scenarios/three.yaml", &scenario(FINISH));
    let mut text = String::new();
    for arguments in [
        &["run", "--world", "mars"][..],
        &["run", "--world", "embedded"],
        &["run", "--kubernetes", "1.99"],
        &["run", "--kubernetes", "1.36..1.30"],
        &["run", "--kubernetes", "1.28"],
        &["run", "--scenario", "four"],
        &["run", "--format", "xml"],
        &["run", "nothing.yaml"],
        &["run", "--speed", "9"],
        &["fly"],
    ] {
        writeln!(text, "$ towtank {}\n{}", arguments.join(" "), project.towtank(arguments))
            .expect("writing to a string cannot fail");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_is_changed_in_a_cluster_unless_its_user_says_so() {
    let kubeconfig = "clusters: [{name: c, cluster: {server: 'https://cluster.example:6443'}}]\n\
                      contexts: [{name: work, context: {cluster: c, user: u}}]\ncurrent-context: work\n";
    let project =
        Project::new("guest").with("scenarios/three.yaml", &scenario(FINISH)).with("kubeconfig", kubeconfig);
    let e2e = |arguments: &[&str]| project.towtank(&[&["e2e", "scenarios"], arguments].concat());
    let says = |text: &str, words: &[&str]| {
        assert!(text.starts_with("exit 2\n--- stderr\nerror: "), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(
        &e2e(&["--provider", "kubeconfig", "--kubeconfig", "kubeconfig"]),
        &[
            "would change the cluster of the context `work` at https://cluster.example:6443",
            "`towtank-system`",
            "`--change-this-cluster`",
        ],
    );
    let other = ["--provider", "kubeconfig", "--kubeconfig", "kubeconfig", "--context", "play"];
    says(&e2e(&other), &["the context `play` leads to no cluster"]);
    says(&e2e(&["--provider", "kubeconfig", "--change-this-cluster"]), &["needs `--kubeconfig FILE`"]);
}

#[test]
fn options_of_another_provider_are_refused() {
    let project = Project::new("options").with("scenarios/three.yaml", &scenario(FINISH));
    for (provider, option, of) in [
        ("process", "--images x/{component}:{version}", "`--provider containers`"),
        ("process", "--node-image x", "`--provider kind`"),
        ("containers", "--operator-image x", "`--provider kind` and `--provider kubeconfig`"),
        ("process", "--broker-image x", "`--provider kind` and `--provider kubeconfig`"),
        ("process", "--view-image none", "`--provider kind` and `--provider kubeconfig`"),
        ("kind", "--operator x", "`--provider process` and `--provider containers`"),
        ("kind", "--kubeconfig x", "`--provider kubeconfig`"),
        ("process", "--context x", "`--provider kubeconfig`"),
        ("kind", "--change-this-cluster", "`--provider kubeconfig`"),
        ("kind", "--chaos 1", "`--provider process` and `--provider containers`"),
        ("kubeconfig", "--alter-gate A=true", "`--provider process` and `--provider containers`"),
    ] {
        let words: Vec<&str> = option.split(' ').collect();
        let text = project.towtank(&[&["e2e", "scenarios", "--provider", provider], &words[..]].concat());
        let told = format!("exit 2\n--- stderr\nerror: `{}` is for {of}", words[0]);
        assert!(text.starts_with(&told), "{provider} {option}: {text}");
    }
}

#[test]
fn the_schema_is_one() {
    let text = Project::new("schema").towtank(&["schema"]);
    let json = text.strip_prefix("exit 0\n--- stdout\n").expect("it is printed to stdout");
    let schema: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    assert!(schema.get("$schema").is_some(), "{schema:#}");
}

#[test]
fn the_order_of_the_output_does_not_depend_on_threads() {
    let project = Project::new("threads")
        .with("scenarios/a.yaml", &scenario(FINISH).replace("{name: three}", "{name: a}"))
        .with("scenarios/b.yaml", &scenario(WRONG_TABLE).replace("{name: three}", "{name: b}"));
    assert_eq!(project.towtank(&["run", "--jobs", "1"]), project.towtank(&["run", "--jobs", "8"]));
}

/// A MiniCluster of four, and what is expected of its steps.
fn minicluster(create: &str, steps: &str) -> String {
    format!(
        "apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {{name: four}}
spec:
  cluster: {{timing: kind}}
  steps:
    - name: create
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {{name: flux-sample}}
        spec: {{size: 4, interactive: true, containers: [{{image: app}}]}}
      expect:
        - {{within: 60s, that: flux.online == 4}}
{create}{steps}"
    )
}

#[test]
fn a_monitor_sees_what_is_stored_nowhere_but_in_the_minicluster() {
    let text = minicluster(
        "        - never: minicluster.spec.size == 3\n",
        "    - {name: three, patch: {minicluster: flux-sample, spec: {size: 3}}}\n",
    );
    let project = Project::new("never").with("four.yaml", &text);
    insta::assert_snapshot!(project.towtank(&["run", "four.yaml", "--kubernetes", "1.36"]));
}

#[test]
fn what_is_not_modelled_is_no_refusal() {
    let text =
        minicluster("", "    - {name: submit, flux: submit --queue=debug true, expect: [{refused: {}}]}\n");
    let project = Project::new("ignorance").with("four.yaml", &text);
    insta::assert_snapshot!(project.towtank(&["run", "four.yaml", "--kubernetes", "1.36"]));
}

/// A large Job, but small, and what a cluster is said to have taken for it.
fn large_job(name: &str, seconds: f64) -> Project {
    let scenario = "apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: twenty}
spec:
  about: Twenty pods that succeed at once.
  source: made up
  cluster: {nodes: 1, controllerQps: 10, controllerBurst: 10}
  workloads: [{runsFor: 0s}]
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {name: large}
        spec:
          completions: 20
          parallelism: 20
          completionMode: Indexed
          template: {spec: {restartPolicy: Never, containers: [{name: main, image: app}]}}
      expect: [{within: 1m, that: job.complete}]
";
    let recording = format!(
        r#"{{"provider": "process", "kubernetes": "1.37.0", "date": "2026-01-31", "cores": 2, "series": [
            {{"scenario": "twenty", "load": [], "operations": [{{"complete_s": {seconds}}}]}}]}}"#
    );
    Project::new(name)
        .with("benches/large-job/twenty.yaml", scenario)
        .with("snapshots/cluster/process-1.37/large-job.json", &recording)
}

#[test]
fn large_jobs_are_judged_by_what_was_measured() {
    let near = large_job("large-job-near", 4.7).towtank(&["bench", "large-job", "--completions", "20"]);
    assert!(near.starts_with("exit 0\n"), "{near}");
    assert!(near.contains("| 20 | 10 | 1 | 4.7 s | 4.6 s | -2 % | ok |"), "{near}");
    let far = large_job("large-job-far", 9.0).towtank(&["bench", "large-job", "--completions", "20"]);
    assert!(far.starts_with("exit 1\n") && far.contains("**not near**"), "{far}");
}

#[test]
fn large_jobs_that_are_not_there_are_refused() {
    let project = large_job("large-job-refused", 5.0);
    let unknown = project.towtank(&["bench", "large-job", "--completions", "20,7"]);
    assert!(unknown.starts_with("exit 2\n"), "{unknown}");
    assert!(unknown.contains("no Job of benches/large-job has 7 indexes, but 20"), "{unknown}");
    let unmeasured = project.towtank(&["bench", "large-job", "--completions", "20", "--kubernetes", "1.36"]);
    assert!(
        unmeasured.starts_with("exit 2\n") && unmeasured.contains("`--measure` makes it"),
        "{unmeasured}"
    );
}
