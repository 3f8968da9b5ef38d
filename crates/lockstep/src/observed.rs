//! What a real cluster has shown of a scenario, kept as text: what runs of the model are compared with where there is no cluster.
//!
//! What was observed of `scenarios/DIR/NAME.yaml` is in `snapshots/cluster/DIR/NAME.json` beside the directory `scenarios`: a list, one entry for each provider and version. A run of
//! the model does not have to equal it: it is explained, or it is not (module [`explanation`](mod@explanation)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{FluxVersion, Scenario, Stack};

use crate::explanation::{self, ExplainError, Search};
use crate::history;
use crate::recording;
use crate::run::Run;
use crate::sight::Sight;
use crate::trace_text::TraceLine;
use crate::verdict::{ByRun, Judgement, PairVerdict, Party};

/// What is said beside an observation that is not explained.
pub const REMAKE: &str = "towtank e2e --record";

/// What a real cluster has shown of one scenario, as far as it has nothing to do with time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// As which versions.
    pub stack: Stack,
    /// The steps of the scenario, all of them, in order; none: nobody kept them.
    pub steps: Vec<ObservedStep>,
    /// What was to be seen at the end, with all that takes its time; `None`: nobody looked.
    pub rest: Option<Sight>,
    /// What became of each Job and pod, as [`Observed::of`] and files have it; the times are from the beginning of the run.
    pub history: Vec<TraceLine>,
    /// Parts of the cluster were killed meanwhile, so that watches began again: in which order they have shown different objects says nothing.
    pub is_disturbed: bool,
}

/// What was observed of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedStep {
    /// Its name.
    pub name: String,
    /// When its action was done, from the beginning of the run; `None`: nobody noted it.
    pub asked: Option<Time>,
    /// What was to be seen when it had settled; `None`: it was not seen to settle, or nobody looked.
    pub settled: Option<Sight>,
    /// Something that it waits for was not seen, and did not have to be: the next step began although this one had not settled.
    pub missed: bool,
}

impl Observed {
    /// Of a run that was played with [`Limits::keeps_sights`](crate::runner::Limits::keeps_sights).
    pub fn of(run: &Run) -> Self {
        let steps = run.steps.iter().zip(&run.sights).map(|(step, sights)| ObservedStep {
            name: step.name.clone(),
            asked: step.at,
            settled: sights.settled.clone(),
            missed: step.missed(),
        });
        Self {
            stack: run.stack,
            steps: steps.collect(),
            rest: run.rest.clone(),
            history: history::lines_by_chance(&run.trace).into_iter().map(|(line, _)| line).collect(),
            is_disturbed: false,
        }
    }

    /// When each step began; `None`: nobody noted it of all of them.
    pub(crate) fn begun(&self) -> Option<Vec<Time>> {
        let begun: Option<Vec<Time>> = self.steps.iter().map(|step| step.asked).collect();
        begun.filter(|begun| !begun.is_empty())
    }
}

/// The same, with where and when that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What the cluster was made of: `process`, `containers`, `kind`, ….
    pub provider: String,
    /// The day: `2026-11-23`.
    pub date: String,
    /// What was observed.
    pub observed: Observed,
}

/// An observation as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    provider: String,
    kubernetes: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flux: Option<String>,
    date: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disturbed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<WrittenStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Sight>,
    /// Each `SECONDS TEXT`; the lines of one object are in order.
    history: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    step: String,
    /// Seconds, as in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled: Option<Sight>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missed: bool,
}

/// Observations that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObservationError {
    /// The file cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds something else.
    #[error("`{}` is no list of observations of a cluster: {why}; make it again: {REMAKE}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Observation {
    /// All that are kept of the scenario in this file.
    ///
    /// # Errors
    ///
    /// The file that has them cannot be read, or holds something else.
    pub fn of_scenario(scenario: &Path) -> Result<Vec<Self>, ObservationError> {
        match path_of(scenario) {
            Some(path) if path.exists() => Self::load(&path),
            _ => Ok(Vec::new()),
        }
    }

    fn load(path: &Path) -> Result<Vec<Self>, ObservationError> {
        let text = fs::read_to_string(path)
            .map_err(|error| ObservationError::File { path: path.to_owned(), error })?;
        Self::parse(&text).map_err(|why| ObservationError::Malformed { path: path.to_owned(), why })
    }

    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let written: Vec<Written> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        written.into_iter().map(Self::read).collect()
    }

    fn read(written: Written) -> Result<Self, String> {
        let kubernetes = KubernetesVersion::of_release(&written.kubernetes)
            .map_err(|_| format!("`{}` is no release of Kubernetes", written.kubernetes))?;
        let flux = written.flux.as_deref().map(FluxVersion::from_str).transpose();
        let flux = flux.map_err(|_| "`flux` is no version of Flux".to_owned())?;
        let lines: Result<Vec<_>, String> =
            written.history.iter().map(|line| Ok((read_line(line)?, ()))).collect();
        let history = lines.map(history::object_by_object);
        let steps: Result<Vec<ObservedStep>, String> = written.steps.into_iter().map(read_step).collect();
        let observed = Observed {
            stack: Stack { kubernetes, flux },
            steps: steps?,
            rest: written.end,
            history: history?.into_iter().map(|(line, ())| line).collect(),
            is_disturbed: written.disturbed,
        };
        Ok(Self { provider: written.provider, date: written.date, observed })
    }

    fn written(&self) -> Written {
        let Observed { stack, steps, rest, history, is_disturbed } = &self.observed;
        let step = |step: &ObservedStep| WrittenStep {
            step: step.name.clone(),
            asked: step.asked.map(seconds),
            settled: step.settled.clone(),
            missed: step.missed,
        };
        Written {
            provider: self.provider.clone(),
            kubernetes: stack.kubernetes.full(),
            flux: stack.flux.map(|flux| flux.to_string()),
            date: self.date.clone(),
            disturbed: *is_disturbed,
            steps: steps.iter().map(step).collect(),
            end: rest.clone(),
            history: history.iter().map(write_line).collect(),
        }
    }

    /// Whether a run of the model explains what was observed; `None`: this run is of other versions, or fails itself.
    ///
    /// # Errors
    ///
    /// See [`ExplainError`].
    pub fn judge(&self, scenario: &Scenario, run: &Run) -> Result<Option<PairVerdict>, ExplainError> {
        if run.stack != self.observed.stack || !run.passed() {
            return Ok(None);
        }
        let judgement = match explanation::explain(scenario, &self.observed, &Search::default())? {
            Ok(explanation) => Judgement::ExplainedBy(Box::new(ByRun::of(&explanation))),
            Err(unexplained) => Judgement::Diverges(Box::new(unexplained.gap.divergence())),
        };
        let right = Party::observed(self.observed.stack);
        Ok(Some(PairVerdict { left: Party::of(run), right, judgement }))
    }

    /// Keeps this one, in the place of an earlier one of the same provider and versions. Returns where; `None`: the scenario is not below a directory `scenarios`, and has no place for it.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn keep(self, scenario: &Path) -> Result<Option<PathBuf>, ObservationError> {
        let Some(path) = path_of(scenario) else { return Ok(None) };
        let mut all = if path.exists() { Self::load(&path)? } else { Vec::new() };
        let place = |one: &Self| (one.provider.clone(), one.observed.stack);
        all.retain(|other| place(other) != place(&self));
        all.push(self);
        all.sort_by_key(place);
        let written: Vec<Written> = all.iter().map(Self::written).collect();
        let mut text = serde_json::to_string_pretty(&written)
            .map_err(|why| ObservationError::Malformed { path: path.clone(), why: why.to_string() })?;
        text.push('\n');
        let directory = path.parent().map_or(Ok(()), fs::create_dir_all);
        let done = directory.and_then(|()| fs::write(&path, text));
        done.map_err(|error| ObservationError::File { path: path.clone(), error })?;
        Ok(Some(path))
    }
}

/// Where the observations of the scenario in this file lie, or would lie.
pub fn path_of(scenario: &Path) -> Option<PathBuf> {
    recording::snapshot_of(scenario, "cluster", "json")
}

/// Seconds since the beginning, to the millisecond.
fn seconds(at: Time) -> f64 {
    ((at - Time::ZERO).as_secs_f64() * 1_000.0).round() / 1_000.0
}

fn instant(seconds: f64) -> Option<Time> {
    Some(Time::ZERO + Duration::try_from_secs_f64(seconds).ok()?)
}

fn read_step(WrittenStep { step, asked, settled, missed }: WrittenStep) -> Result<ObservedStep, String> {
    let wrong = |asked| format!("step `{step}`: `asked` is {asked}, which is no number of seconds");
    let asked = asked.map(|asked| instant(asked).ok_or_else(|| wrong(asked))).transpose()?;
    Ok(ObservedStep { name: step, asked, settled, missed })
}

fn write_line(line: &TraceLine) -> String {
    format!("{:.3} {}", seconds(line.at), line.text)
}

fn read_line(line: &str) -> Result<TraceLine, String> {
    let wrong = || format!("`{line}` does not begin with a number of seconds");
    let (seconds, text) = line.split_once(' ').ok_or_else(wrong)?;
    let at = seconds.parse().ok().and_then(instant).ok_or_else(wrong)?;
    Ok(TraceLine::of_history(at, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"[
  {
    "provider": "process",
    "kubernetes": "1.37.0",
    "flux": "0.61.2",
    "date": "2026-11-23",
    "steps": [
      {
        "step": "create",
        "asked": 0.006,
        "settled": [
          "job sample: 2 of 2",
          "pod sample/0#1: Running"
        ]
      },
      {
        "step": "wait",
        "missed": true
      }
    ],
    "end": [
      "job sample: 2 of 2; ready 2"
    ],
    "history": [
      "0.012 job sample: created with 2/2",
      "1.500 pod sample/0#1: Running"
    ]
  }
]"#;

    #[test]
    fn an_observation_is_read_as_it_was_written() {
        let read = Observation::parse(TEXT).expect("observations");
        let [create, wait] = read[0].observed.steps.as_slice() else { panic!("two steps") };
        assert_eq!(create.asked, Some(Time::from_millis(6)));
        let name = "wait".to_owned();
        assert_eq!(*wait, ObservedStep { name, asked: None, settled: None, missed: true });
        assert_eq!(read[0].observed.history[1].at, Time::from_millis(1_500));
        let written: Vec<Written> = read.iter().map(Observation::written).collect();
        assert_eq!(serde_json::to_string_pretty(&written).expect("text"), TEXT);
    }

    #[test]
    fn objects_may_come_in_any_order() {
        let read = |text: &str| Observation::parse(text).expect("observations").remove(0);
        let (job, pod) = ("0.012 job sample: created with 2/2", "1.500 pod sample/0#1: Running");
        let turned = TEXT.replace(job, "FIRST").replace(pod, job).replace("FIRST", pod);
        assert_eq!(read(&turned), read(TEXT));
    }

    #[test]
    fn what_is_no_observation_says_why() {
        for (text, with, wanted) in [
            ("1.37.0", "1.99.0", "`1.99.0` is no release of Kubernetes"),
            ("0.012 job", "soon job", "does not begin with a number of seconds"),
            ("0.006", "-1", "step `create`: `asked` is -1, which is no number of seconds"),
            ("\"date\"", "\"day\"", "unknown field `day`"),
        ] {
            let error = Observation::parse(&TEXT.replace(text, with)).expect_err("it is wrong");
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn an_observation_takes_the_place_of_its_predecessor() {
        let root = std::env::temp_dir().join(format!("towtank-observed-{}", std::process::id()));
        let scenario = root.join("scenarios/dir/name.yaml");
        fs::create_dir_all(root.join("scenarios/dir")).expect("a directory");
        let one = Observation::parse(TEXT).expect("observations").remove(0);
        let mut later = one.clone();
        later.date = "2026-12-24".to_owned();
        let mut other = one.clone();
        other.provider = "kind".to_owned();
        for observation in [&one, &other, &later] {
            let path = observation.clone().keep(&scenario).expect("it is kept").expect("there is a place");
            assert!(path.ends_with("snapshots/cluster/dir/name.json"));
        }
        let kept = Observation::of_scenario(&scenario).expect("observations");
        fs::remove_dir_all(&root).expect("it was there");
        assert_eq!(kept, [other, later]);
    }
}
