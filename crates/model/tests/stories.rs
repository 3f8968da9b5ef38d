//! Stories told to the real Job controller and to the model, call by call and to the millisecond.
//!
//! `tests/stories/NAME.story` is a list of steps; `NAME.1.28.txt` and `NAME.1.36.txt` are what the controllers of
//! Kubernetes 1.28.15 and 1.36.3 did, run in process on virtual time against the real registry rules. There is no
//! kubelet: the steps set phases. Pods are known as `job-index#incarnation`; calls that the original makes concurrently
//! stand in alphabetical order.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::ClusterConfig;
use towtank_model::objects::*;
use towtank_model::server::{Actor, Change, Fact, JobManifest, Propagation, TraceEntry, Verb};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

/// A simulation and what it has shown so far, in the original's words.
struct Player {
    simulation: Simulation,
    lines: Vec<String>,
    /// Names of pods, in order of creation per index.
    incarnations: Vec<(Uid, String)>,
}

impl Player {
    fn new(minor: u16) -> Self {
        let features = Features::of(KubernetesVersion::from_minor(minor).unwrap());
        let cluster = ClusterConfig { manual_pods: true, ..ClusterConfig::default() };
        let config = SimulationConfig { keeps_trace: true, cluster, ..SimulationConfig::new(features, 1) };
        Self { simulation: Simulation::new(config), lines: Vec::new(), incarnations: Vec::new() }
    }

    fn step(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((verb, words)) = words.split_first() else { return };
        self.lines.push(format!("## {line}"));
        let number = |text: &str| text.parse::<i32>().unwrap();
        let mut change = JobManifest::default();
        match *verb {
            "wait" => {
                let (number, unit) = words[0].split_at(words[0].find(['m', 's']).unwrap());
                let number = number.parse().unwrap();
                self.settle(if unit == "ms" {
                    Duration::from_millis(number)
                } else {
                    Duration::from_secs(number)
                });
                return;
            }
            "create" => {
                let manifest = manifest(words);
                self.simulation.create_job(key(), &manifest).unwrap();
                return;
            }
            "scale" => {
                (change.completions, change.parallelism) = (Some(number(words[0])), Some(number(words[0])))
            }
            "par" => change.parallelism = Some(number(words[0])),
            "suspend" => change.suspend = Some(words[0] == "true"),
            "deadline" => change.active_deadline_seconds = Some(number(words[0]).into()),
            "phase" => return self.set_phase(words[0], words[1]),
            "delpod" => {
                let pod = self.pod(words[0], |pod| pod.is_active()).unwrap();
                self.simulation.delete_pod(pod, None).unwrap();
                return;
            }
            "gone" => return self.end_deletion(words[0], words.get(1).copied()),
            "deljob" => {
                self.simulation.delete_job(&key(), Propagation::Foreground).unwrap();
                return;
            }
            "restart" => return self.simulation.restart_controller(),
            "stop" => return self.simulation.stop_controller(),
            "start" => return self.simulation.start_controller(),
            other => panic!("unknown step {other}"),
        }
        self.simulation.update_job(&key(), &change).unwrap();
    }

    fn set_phase(&mut self, index: &str, phase: &str) {
        let pod = self.pod(index, |pod| pod.is_active()).unwrap();
        // The original's pods are bound by the same write.
        let _ = self.simulation.bind_pod(pod, NodeId(0));
        self.report(pod, phase);
    }

    fn end_deletion(&mut self, index: &str, phase: Option<&str>) {
        let Some(pod) = self.pod(index, Pod::is_deleting) else { return };
        if let Some(phase) = phase {
            self.report(pod, phase);
        }
        self.simulation.delete_pod(pod, Some(0)).unwrap();
    }

    fn report(&mut self, pod: Uid, phase: &str) {
        let phases = [PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed];
        let phase = phases.into_iter().find(|known| known.as_str() == phase).unwrap();
        let ready = if phase == PodPhase::Running { ConditionStatus::True } else { ConditionStatus::False };
        let now = self.simulation.now();
        let report = |status: &mut PodStatus| {
            status.phase = phase;
            let kind = READY.into();
            let condition =
                PodCondition { kind, status: ready, reason: "".into(), last_transition_time: now };
            status.conditions.retain(|condition| &*condition.kind != READY);
            status.conditions.push(condition);
        };
        self.simulation.update_pod_status(pod, report).unwrap();
    }

    /// The first pod of this index for which `is_meant` holds.
    fn pod(&self, index: &str, is_meant: impl Fn(&Pod) -> bool) -> Option<Uid> {
        let index = PodIndex::At(index.parse().unwrap());
        let mut pods = self.simulation.server().pods();
        pods.find(|pod| pod.index == index && is_meant(pod)).map(|pod| pod.uid)
    }

    /// Lets time pass and writes down what the Job controller does.
    fn settle(&mut self, duration: Duration) {
        self.simulation.run_until(self.simulation.now() + duration).unwrap();
        let entries = self.simulation.take_trace();
        let mut calls: Vec<(Time, u8, String)> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.actor == Actor::JobController) {
            if let Some((group, text)) = self.call(entry) {
                calls.push((entry.at, group, text));
            }
        }
        for calls in calls.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1) && a.1 > 0) {
            calls.sort();
        }
        for (at, _, text) in calls {
            let millis = at.as_micros() / 1_000;
            self.lines.push(format!("{}.{:03} {text}", millis / 1_000, millis % 1_000));
        }
    }

    /// The line of a call, and the group within which order is left to chance (0: none).
    fn call(&mut self, entry: &TraceEntry) -> Option<(u8, String)> {
        match &entry.fact {
            Fact::Changed(Verb::Create, Change::Pod(change)) => {
                let pod = change.new.as_ref()?;
                let stem = format!("j-{}#", pod.index.get()?);
                let number = self.incarnations.iter().filter(|(_, name)| name.starts_with(&stem)).count() + 1;
                self.incarnations.push((pod.uid, format!("{stem}{number}")));
                Some((1, format!("CREATE {stem}{number}")))
            }
            Fact::Changed(Verb::Update, Change::Pod(change)) => {
                Some((2, format!("PATCH {}", self.name(change.old.as_ref()?.uid))))
            }
            // A deletion without delay leaves a second change.
            Fact::Changed(Verb::Delete, Change::Pod(change)) => {
                let pod = change.old.as_ref().filter(|pod| !pod.is_deleting())?;
                Some((2, format!("DELETE {}", self.name(pod.uid))))
            }
            Fact::Changed(Verb::UpdateStatus, Change::Job(change)) => {
                Some((0, format!("STATUS {}", describe(&change.new.as_ref()?.status))))
            }
            Fact::Refused(verb, ..) => Some((0, format!("{verb:?} -> refused"))),
            _ => None,
        }
    }

    fn name(&self, pod: Uid) -> &str {
        self.incarnations.iter().find(|(uid, _)| *uid == pod).map_or("?", |(_, name)| name)
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "j")
}

fn manifest(words: &[&str]) -> JobManifest {
    let completions = words[0].parse().unwrap();
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "c".into(), cpu_request_milli: 0, is_sidecar: false }],
        ..PodSpec::default()
    };
    let template = PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: Arc::new([]),
        spec: Arc::new(spec),
    };
    let mut manifest = JobManifest {
        completions: Some(completions),
        parallelism: Some(completions),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(Arc::new(template)),
        ..JobManifest::default()
    };
    for option in &words[1..] {
        let (name, value) = option.split_once('=').unwrap();
        match name {
            "parallelism" => manifest.parallelism = Some(value.parse().unwrap()),
            "backofflimit" => manifest.backoff_limit = Some(value.parse().unwrap()),
            "perindex" => manifest.backoff_limit_per_index = Some(value.parse().unwrap()),
            "suspend" => manifest.suspend = Some(value == "true"),
            "policy" => manifest.pod_replacement_policy = Some(PodReplacementPolicy::Failed),
            other => panic!("unknown option {other}"),
        }
    }
    manifest
}

fn describe(status: &JobStatus) -> String {
    let number = |number: Option<i32>| number.map_or_else(|| "nil".to_owned(), |number| number.to_string());
    let mut text = format!(
        "active={} ready={} succ={} fail={} ci={:?} term={} conds=[",
        status.active,
        number(status.ready),
        status.succeeded,
        status.failed,
        &*status.completed_indexes,
        number(status.terminating),
    );
    for (position, condition) in status.conditions.iter().enumerate() {
        let separator = if position == 0 { "" } else { "," };
        let (kind, status) = (condition.kind.as_str(), condition.status.as_str());
        let _ = write!(text, "{separator}{kind}={status}({})", condition.reason);
    }
    let uncounted = status.uncounted.clone().unwrap_or_default();
    let _ = write!(text, "] unc={}/{}", uncounted.succeeded.len(), uncounted.failed.len());
    text
}

/// Plays every story in both versions.
#[test]
fn the_model_does_what_the_real_controller_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut played = 0;
    let mut differences = String::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "story") {
            continue;
        }
        let story = std::fs::read_to_string(&path).unwrap();
        for minor in [28, 36] {
            let expected = std::fs::read_to_string(path.with_extension(format!("1.{minor}.txt"))).unwrap();
            let mut player = Player::new(minor);
            for line in story.lines() {
                player.step(line);
            }
            player.settle(Duration::ZERO);
            let actual = player.lines.join("\n") + "\n";
            played += 1;
            if actual != expected {
                let _ =
                    writeln!(differences, "{} in 1.{minor}:\n{}", path.display(), diff(&expected, &actual));
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(played >= 34, "only {played} stories were played");
}

/// Both texts from the first line on that differs, and the line before it.
fn diff(expected: &str, actual: &str) -> String {
    let same = expected.lines().zip(actual.lines()).take_while(|(a, b)| a == b).count();
    let part =
        |text: &str| text.lines().skip(same.saturating_sub(2)).take(8).collect::<Vec<_>>().join("\n    ");
    format!("  original:\n    {}\n  model:\n    {}", part(expected), part(actual))
}
