//! `docs/track-record.md` and `docs/kubernetes-versions.md` say what runs show, and a part of `docs/latency.md` what was measured on real clusters. `cargo xtask docs` writes them; these
//! tests play the same runs, in the model and in every reference driver that is built, and compare.

mod latency;
mod track_record;
mod versions;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use towtank_lockstep::run::{FailureCause, Run};
use towtank_lockstep::session;
use towtank_model::version::KubernetesVersion;
use towtank_reference::drivers::{self, Drivers};
use towtank_scenario::ast::{CelExpression, Claim, Clause, Expectation, Scenario, When};

/// Something that a scenario shows in some versions and not in others.
struct Sight {
    /// File under `scenarios/`, without its ending.
    scenario: &'static str,
    /// The step from whose action on it may be seen.
    step: &'static str,
    /// What is to be seen at some instant: a condition in CEL.
    seen: &'static str,
}

/// Version by version whether it is seen; `None` where the scenario is not true of the version.
type Cells = Vec<(KubernetesVersion, Option<bool>)>;

impl Sight {
    /// Plays the scenario in all versions.
    fn cells(&self, drivers: &mut Drivers) -> Cells {
        let path = root().join(format!("scenarios/{}.yaml", self.scenario));
        let mut scenario =
            towtank_scenario::load(&path).unwrap_or_else(|error| panic!("{}: {error}", self.scenario));
        self.watch(&mut scenario);
        let is_seen = |run: &Run| match run.failure.as_ref().map(|failure| &failure.cause) {
            None => false,
            Some(FailureCause::Happened { claim }) if claim.contains(self.seen) => true,
            Some(cause) => panic!("{} in {} {}: {cause}", self.scenario, run.world, run.stack),
        };
        let mut play = |version| {
            let model = session::play_model(&scenario, version, 1).expect("the model can be set up");
            let seen = is_seen(&model);
            if drivers::find(version).is_ok() {
                let real = session::play_reference(&scenario, version, 1, drivers);
                let real = is_seen(&real.unwrap_or_else(|error| panic!("{}: {error}", self.scenario)));
                assert_eq!(seen, real, "model and original differ: {} in {version}", self.scenario);
            }
            seen
        };
        KubernetesVersion::all()
            .map(|version| (version, scenario.versions.contains(version).then(|| play(version))))
            .collect()
    }

    /// Makes the scenario expect that this is never seen, so that its run fails exactly when it is.
    fn watch(&self, scenario: &mut Scenario) {
        let condition = CelExpression::parse(self.seen).unwrap_or_else(|error| panic!("{error}"));
        let step = scenario.steps.iter_mut().find(|step| step.name.value == self.step);
        let step = step.unwrap_or_else(|| panic!("{} has no step `{}`", self.scenario, self.step));
        let span = step.name.span.clone();
        let clauses = vec![Clause { span: span.clone(), claim: Claim::Cel(condition) }];
        step.expect.insert(0, Expectation { span, versions: None, flux: None, when: When::Never, clauses });
    }

    /// The file as a link from `docs/`.
    fn link(&self) -> String {
        let name = self.scenario.rsplit('/').next().unwrap_or(self.scenario);
        format!("[{name}](../scenarios/{}.yaml)", self.scenario)
    }
}

/// `1.28 to 1.31, 1.35` for the versions whose cell is `wanted`.
fn ranges(cells: &Cells, wanted: bool) -> String {
    let mut text = String::new();
    let mut run: Option<(KubernetesVersion, KubernetesVersion)> = None;
    let mut close = |run: &mut Option<(KubernetesVersion, KubernetesVersion)>| {
        if let Some((first, last)) = run.take() {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = if first == last {
                write!(text, "{comma}{first}")
            } else {
                write!(text, "{comma}{first} to {last}")
            };
        }
    };
    for (version, cell) in cells {
        match (*cell == Some(wanted), &mut run) {
            (true, Some((_, last))) => *last = *version,
            (true, none) => *none = Some((*version, *version)),
            (false, run) => close(run),
        }
    }
    close(&mut run);
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a document with what it should be, or writes it when `UPDATE_DOCS` is set.
fn is_current(name: &str, text: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).expect("docs can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).position(|(is, should)| is != should);
    assert!(written == text, "docs/{name} is out of date (line {differs:?}): run `cargo xtask docs`");
}
