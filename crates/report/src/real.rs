//! What became of scenarios on real clusters, as JSON and as JUnit XML.
//!
//! Both say what the text for people says: whether a run of the model explains the real one, and which; what was missed and killed meanwhile; and why something was not
//! played. The form of the JSON is stable, with a version of its own: fields are added, never renamed or removed, without a new `schemaVersion`. Seconds are those of the
//! scenario's clock; they are real, so that two runs are never the same.

use std::path::PathBuf;
use std::sync::Arc;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use towtank_lockstep::run::Run;
use towtank_lockstep::verdict::ByRun;
use towtank_model::time::Time;
use towtank_scenario::ast::{FluxVersion, Scenario, Stack};

use crate::json::{by_run, failure, seconds, step};
use crate::junit::without_colours;

/// Version of the form of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// What became of one scenario as one version.
#[derive(Clone, Debug)]
pub struct RealReport {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// As which versions.
    pub stack: Stack,
    /// What the cluster was made of.
    pub provider: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The run, if there was one.
    pub played: Option<Played>,
    /// The same for people, in colours.
    pub text: String,
}

/// What came of a scenario on a real cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did what the scenario says, and a run of the model explains it.
    Explained(Box<ByRun>),
    /// It did what the scenario says, and no run of the model explains it.
    NotExplained(Option<Nearest>),
    /// It did not do what the scenario says.
    Failed,
    /// There was no cluster, or it broke, for this reason.
    NoCluster(String),
    /// It was not played, for this reason.
    NotPlayed(String),
}

/// The run of the model that comes nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Runs tried.
    pub tried: u64,
    /// Its seed.
    pub seed: u64,
    /// Its timing profile.
    pub timing: String,
    /// Where it differs.
    pub difference: String,
}

/// A run on a real cluster.
#[derive(Clone, Debug)]
pub struct Played {
    /// The run.
    pub run: Run,
    /// Which time it was played, from 1.
    pub attempt: u32,
    /// What was killed, or has ended by itself.
    pub blows: Vec<Blow>,
    /// Where the logs of the cluster are, if they were kept.
    pub logs: Option<PathBuf>,
    /// The command that plays it again.
    pub replay: String,
}

/// What has happened to a program of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blow {
    /// When.
    pub at: Time,
    /// It was killed; otherwise it has ended by itself, and was started again.
    pub is_killed: bool,
    /// Its name.
    pub program: String,
}

impl Verdict {
    /// As documents call it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Explained(_) => "explained",
            Self::NotExplained(_) => "not-explained",
            Self::Failed => "failed",
            Self::NoCluster(_) => "no-cluster",
            Self::NotPlayed(_) => "not-played",
        }
    }
}

/// How many came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Explained.
    pub explained: usize,
    /// Not explained.
    pub unexplained: usize,
    /// Failed.
    pub failed: usize,
    /// Without a cluster.
    pub broken: usize,
    /// Not played.
    pub not_played: usize,
}

impl Tally {
    /// Counts `reports`.
    pub fn of(reports: &[RealReport]) -> Self {
        let mut tally = Self::default();
        for report in reports {
            let place = match &report.verdict {
                Verdict::Explained(_) => &mut tally.explained,
                Verdict::NotExplained(_) => &mut tally.unexplained,
                Verdict::Failed => &mut tally.failed,
                Verdict::NoCluster(_) => &mut tally.broken,
                Verdict::NotPlayed(_) => &mut tally.not_played,
            };
            *place += 1;
        }
        tally
    }

    /// Something was not true.
    pub const fn disagrees(&self) -> bool {
        self.unexplained + self.failed > 0
    }

    /// Something was played, and all of it explained: nothing that was not played counts as agreement.
    pub const fn passed(&self) -> bool {
        !self.disagrees() && self.broken == 0 && self.explained > 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { explained, unexplained, failed, broken, not_played } = self;
        write!(
            f,
            "{explained} explained, {unexplained} not explained, {failed} failed, {broken} without a cluster, {not_played} not played"
        )
    }
}

/// The JSON document, with a line feed at its end.
pub fn json(reports: &[RealReport]) -> String {
    let tally = Tally::of(reports);
    let document = json!({
        "schemaVersion": SCHEMA_VERSION,
        "tool": { "name": "towtank", "version": env!("CARGO_PKG_VERSION") },
        "summary": {
            "passed": tally.passed(),
            "explained": tally.explained,
            "notExplained": tally.unexplained,
            "failed": tally.failed,
            "withoutCluster": tally.broken,
            "notPlayed": tally.not_played,
        },
        "runs": reports.iter().map(entry).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn entry(report: &RealReport) -> Value {
    let mut entry = json!({
        "scenario": report.scenario.name,
        "path": report.scenario.source.path,
        "provider": report.provider,
        "kubernetes": report.stack.kubernetes.to_string(),
        "flux": report.stack.flux.map(FluxVersion::full),
        "verdict": report.verdict.as_str(),
        "why": null,
        "explanation": null,
        "nearest": null,
        "played": report.played.as_ref().map(|played| self::played(played, &report.scenario)),
    });
    match &report.verdict {
        Verdict::Explained(by) => entry["explanation"] = by_run(by),
        Verdict::NotExplained(Some(Nearest { tried, seed, timing, difference })) => {
            entry["nearest"] =
                json!({ "runsTried": tried, "seed": seed, "timing": timing, "difference": difference });
        }
        Verdict::NoCluster(why) | Verdict::NotPlayed(why) => entry["why"] = json!(why),
        Verdict::NotExplained(None) | Verdict::Failed => {}
    }
    entry
}

fn played(played: &Played, scenario: &Scenario) -> Value {
    let Played { run, attempt, blows, logs, replay } = played;
    let text = &scenario.source.text;
    let blow = |blow: &Blow| {
        let fate = if blow.is_killed { "killed" } else { "ended" };
        json!({ "atSeconds": seconds(blow.at), "program": blow.program, "fate": fate })
    };
    let failure = run.failure.as_ref().map(|it| {
        let mut value = failure(it, run, text);
        // The run knows nothing of the options of its cluster.
        value["replay"] = json!(replay);
        value
    });
    json!({
        "passed": run.passed(),
        "attempt": attempt,
        "endedSeconds": seconds(run.ended),
        "expectationsMissed": run.missed(),
        "blows": blows.iter().map(blow).collect::<Vec<_>>(),
        "logs": logs.as_ref().map(|logs| logs.display().to_string()),
        "replay": replay,
        "steps": run.steps.iter().map(|it| step(it, text)).collect::<Vec<_>>(),
        "failure": failure,
    })
}

/// The JUnit document: one suite per scenario, one case per version.
///
/// # Errors
///
/// None that a report can bring about; the writer's own are passed on.
pub fn junit(reports: &[RealReport]) -> Result<String, SerializeError> {
    let mut document = Report::new("towtank");
    let mut suites: Vec<(&str, TestSuite)> = Vec::new();
    // They come in the order in which they ended.
    for report in reports {
        let name = report.scenario.name.as_str();
        match suites.iter_mut().find(|(known, _)| *known == name) {
            Some((_, suite)) => {
                suite.add_test_case(case(report));
            }
            None => {
                let mut suite = TestSuite::new(name);
                suite.add_test_case(case(report));
                suites.push((name, suite));
            }
        }
    }
    document.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    document.to_string()
}

fn case(report: &RealReport) -> TestCase {
    let mut status = match &report.verdict {
        Verdict::Explained(_) => TestCaseStatus::success(),
        Verdict::NotExplained(_) | Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::NoCluster(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::NotPlayed(_) => TestCaseStatus::skipped(),
    };
    let failure = report.played.as_ref().and_then(|played| played.run.failure.as_ref());
    match &report.verdict {
        Verdict::Explained(_) => {}
        Verdict::NotExplained(_) => {
            status.set_type(report.verdict.as_str());
            status.set_message("no run of the model explains it");
            status.set_description(without_colours(&report.text));
        }
        Verdict::Failed => {
            status.set_type(failure.map_or("failed", |failure| failure.cause.code()));
            if let Some(failure) = failure {
                status.set_message(format!("step `{}`: {}", failure.step, failure.cause));
            }
            status.set_description(without_colours(&report.text));
        }
        Verdict::NoCluster(why) => {
            status.set_type(report.verdict.as_str());
            status.set_message(why.clone());
        }
        Verdict::NotPlayed(why) => {
            status.set_message(why.clone());
        }
    }
    let mut case = TestCase::new(format!("{} {}", report.provider, report.stack), status);
    case.set_classname(report.scenario.name.as_str());
    if let Some(played) = &report.played {
        case.set_time(played.run.ended - Time::ZERO);
        if matches!(report.verdict, Verdict::Explained(_)) {
            // By which run, and what was missed or killed on the way.
            case.set_system_out(without_colours(&report.text));
        }
    }
    case
}

#[cfg(test)]
mod tests {
    use towtank_lockstep::explanation::Compared;
    use towtank_lockstep::session;
    use towtank_scenario::{NoFiles, parse};

    use super::*;

    const STORY: &str = "apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: one}
spec:
  kubernetes: \"1.36\"
  steps:
    - name: create
      apply:
        apiVersion: batch/v1
        kind: Job
        metadata: {name: work}
        spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: app}]}}}
      expect:
        - {within: 5s, job: {active: 1}}
";

    fn report(text: &str, verdict: Verdict) -> RealReport {
        let scenario = parse("one.yaml", text, &NoFiles).expect("it is a scenario");
        let stack = scenario.stacks(scenario.versions, towtank_scenario::ast::VersionRange::ALL)[0];
        let is_played = !matches!(verdict, Verdict::NoCluster(_) | Verdict::NotPlayed(_));
        let played = is_played.then(|| Played {
            run: session::play_model(&scenario, stack, 1).expect("it can be played"),
            attempt: 2,
            blows: vec![
                Blow { at: Time::from_millis(1_500), is_killed: true, program: "etcd".to_owned() },
                Blow { at: Time::from_millis(1_750), is_killed: false, program: "kube-scheduler".to_owned() },
            ],
            logs: Some("logs/one".into()),
            replay: "towtank e2e one.yaml --kubernetes 1.36 --chaos 7".to_owned(),
        });
        let text = format!("\u{1b}[1m{}\u{1b}[0m     one\n", verdict.as_str());
        RealReport {
            scenario: Arc::new(scenario),
            stack,
            provider: "process".to_owned(),
            verdict,
            played,
            text,
        }
    }

    fn reports() -> Vec<RealReport> {
        let compared =
            Compared { lines: 7, has_steps: true, has_order: true, steps: 2, sights: 1, has_end: false };
        let explaining =
            ByRun { seed: 3, profile: "kind".to_owned(), apart: vec!["create".to_owned()], compared };
        let nearest = Nearest {
            tried: 128,
            seed: 5,
            timing: "virtual".to_owned(),
            difference: "the model never shows this".to_owned(),
        };
        vec![
            report(STORY, Verdict::Explained(Box::new(explaining))),
            report(STORY, Verdict::NotExplained(Some(nearest))),
            report(&STORY.replace("active: 1", "active: 2"), Verdict::Failed),
            report(STORY, Verdict::NoCluster("etcd does not answer".to_owned())),
            report(
                &STORY.replace("name: one", "name: two"),
                Verdict::NotPlayed("it holds caches".to_owned()),
            ),
        ]
    }

    #[test]
    fn json_says_all_that_came_of_it() {
        insta::assert_snapshot!(json(&reports()));
    }

    #[test]
    fn junit_skips_what_was_not_played_and_no_cluster_is_an_error() {
        insta::assert_snapshot!(junit(&reports()).expect("it can be written"));
    }

    #[test]
    fn nothing_that_was_not_played_counts_as_agreement() {
        let passed = |chosen: &[usize]| {
            let all = reports();
            let chosen: Vec<RealReport> = chosen.iter().map(|number| all[*number].clone()).collect();
            Tally::of(&chosen).passed()
        };
        assert!(passed(&[0, 4]));
        for chosen in [&[][..], &[4], &[0, 1], &[0, 2], &[0, 3]] {
            assert!(!passed(chosen), "{chosen:?}");
        }
    }
}
