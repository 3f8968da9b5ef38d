//! The report for people: a passing scenario is its name and the latency of each step; a failing one is the place in
//! the file, the difference, the last writes, and the command that plays it again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use towtank_lockstep::claim::{Difference, FieldDifference, Mismatch};
use towtank_lockstep::run::{Failure, Run, StepOutcome};
use towtank_lockstep::table::Side;
use towtank_lockstep::trace_text::TraceLine;
use towtank_lockstep::verdict::{Judgement, PairVerdict};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{FluxVersion, Stack};
use towtank_scenario::ast::{Scenario, SourceFile};

use crate::style::{EXTRA, FAIL, FAINT, MISSING, PASS, STRONG, Styled};
use crate::{ScenarioReport, Summary};

/// Columns that messages are wrapped to, whatever the terminal: output must not depend on where it is printed.
const WIDTH: usize = 120;

/// All reports and the summary line.
pub fn render(reports: &[ScenarioReport]) -> String {
    let mut out = String::new();
    for report in reports {
        out.push_str(&scenario(report));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&summary(Summary::of(reports)));
    out
}

/// One scenario: the runs that passed as one block, and each way in which runs failed.
pub fn scenario(report: &ScenarioReport) -> String {
    let mut out = String::new();
    for (key, runs) in grouped(&report.runs) {
        match (&key.failure, runs.first()) {
            (Some(_), Some(run)) => failed(&mut out, report, &runs, run),
            (None, Some(run)) => passed(&mut out, &runs, run),
            (_, None) => {}
        }
    }
    for pairs in grouped_pairs(&report.pairs) {
        out.push_str(&verdicts(&pairs));
    }
    out
}

/// `12 scenarios passed (120 runs)`.
pub fn summary(summary: Summary) -> String {
    let Summary { scenarios, scenarios_passed, runs, runs_passed } = summary;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    if summary.passed() {
        let passed = Styled(PASS, "passed");
        return format!("{} {passed} ({})\n", plural(scenarios, "scenario"), plural(runs, "run"));
    }
    let failed = Styled(FAIL, "failed");
    format!(
        "{} {failed}, {scenarios_passed} passed ({} failed, {runs_passed} passed)\n",
        plural(scenarios - scenarios_passed, "scenario"),
        plural(runs - runs_passed, "run"),
    )
}

/// What runs must share to be shown as one.
#[derive(PartialEq)]
struct GroupKey {
    world: &'static str,
    flux: Option<FluxVersion>,
    seed: u64,
    /// Place and kind of the failure.
    failure: Option<(usize, Option<usize>, String)>,
}

fn grouped(runs: &[Run]) -> Vec<(GroupKey, Vec<&Run>)> {
    let mut groups: Vec<(GroupKey, Vec<&Run>)> = Vec::new();
    for run in runs {
        let failure = run
            .failure
            .as_ref()
            .map(|f| (f.step_index, f.expectation_index, format!("{:?}", f.cause.mismatches())));
        let key = GroupKey { world: run.world.as_str(), flux: run.stack.flux, seed: run.seed, failure };
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(run),
            None => groups.push((key, vec![run])),
        }
    }
    groups
}

fn heading(out: &mut String, mark: impl std::fmt::Display, runs: &[&Run], run: &Run) {
    let versions = versions(&runs.iter().map(|run| run.stack).collect::<Vec<_>>());
    let setting = format!("{} {versions} seed {}", run.world, run.seed);
    line(out, &format!("{mark} {}  {}", Styled(STRONG, &run.scenario), Styled(FAINT, setting)));
}

fn passed(out: &mut String, runs: &[&Run], first: &Run) {
    heading(out, Styled(PASS, "PASS"), runs, first);
    let width = first.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    for (position, step) in first.steps.iter().enumerate() {
        let latencies: Vec<Duration> =
            runs.iter().filter_map(|run| run.steps.get(position)?.latency()).collect();
        let text = format!("       {:<width$}  {}", step.name, latency_range(&latencies));
        line(out, text.trim_end());
    }
}

fn failed(out: &mut String, report: &ScenarioReport, runs: &[&Run], run: &Run) {
    let Some(failure) = &run.failure else { return };
    heading(out, Styled(FAIL, "FAIL"), runs, run);
    let width = run.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    for step in &run.steps {
        let outcome = match step.outcome() {
            StepOutcome::Passed => step.latency().map_or_else(String::new, |l| latency_range(&[l])),
            StepOutcome::Failed => Styled(FAIL, "failed").to_string(),
            StepOutcome::NotReached => Styled(FAINT, "not reached").to_string(),
        };
        line(out, format!("       {:<width$}  {outcome}", step.name).trim_end());
    }
    out.push('\n');
    out.push_str(&self::failure(&report.scenario, run, failure));
    out.push('\n');
}

/// The place of a failure, the differences, the last writes, and the replay line.
pub fn failure(scenario: &Scenario, run: &Run, failure: &Failure) -> String {
    let mut out = place(&scenario.source, run, failure);
    for mismatch in failure.cause.mismatches() {
        difference(&mut out, mismatch);
    }
    if !failure.writes.is_empty() {
        line(&mut out, "  last writes:");
        for write in &failure.writes {
            line(&mut out, &format!("    {}", Styled(FAINT, write)));
        }
    }
    line(&mut out, &format!("  replay: {}", run.replay_line()));
    out
}

/// What went wrong as a message at its place in the file, as `rustc` would print it.
fn place(source: &Arc<SourceFile>, run: &Run, failure: &Failure) -> String {
    let since = failure.at - failure.since;
    let label =
        format!("t={} in {} {}, {} after the action", failure.at, run.world, run.stack, length(since));
    let message = format!("step `{}`: {}", failure.step, failure.cause);
    let start = failure.span.start.min(source.text.len());
    let end = failure.span.end.clamp(start, source.text.len());
    let text = source.text.get(start..end).unwrap_or("");
    let first_line = text.find('\n').map_or(end, |newline| start + newline);
    let span = LabeledSpan::new_with_span(Some(label), start..first_line);
    let diagnostic = PlacedMessage { message, file: source.clone(), span };
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(WIDTH).with_links(false);
    let mut out = String::new();
    match handler.render_report(&mut out, &diagnostic) {
        Ok(()) => out,
        // Only a broken span could bring this about; the message itself is never lost.
        Err(_) => format!("  {}\n", diagnostic.message),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct PlacedMessage {
    message: String,
    file: Arc<SourceFile>,
    span: LabeledSpan,
}

impl Diagnostic for PlacedMessage {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.span.clone())))
    }
}

fn difference(out: &mut String, mismatch: &Mismatch) {
    let legend = format!("{} and {}", Styled(MISSING, "- expected"), Styled(EXTRA, "+ actual"));
    match &mismatch.difference {
        Difference::Table { command, lines } => {
            line(out, &format!("  {command}: {legend}"));
            for diff in lines {
                let text = format!("{} {}", diff.side.mark(), diff.text);
                match diff.side {
                    Side::Both => line(out, &format!("    {text}")),
                    Side::Expected => line(out, &format!("    {}", Styled(MISSING, text))),
                    Side::Actual => line(out, &format!("    {}", Styled(EXTRA, text))),
                }
            }
        }
        Difference::Fields { job, fields } => {
            line(out, &format!("  job {job}: {legend}"));
            for FieldDifference { field, expected, actual, .. } in fields {
                line(out, &format!("    {}", Styled(MISSING, format!("- {field}: {expected}"))));
                line(out, &format!("    {}", Styled(EXTRA, format!("+ {field}: {actual}"))));
            }
        }
        Difference::Text { expected, actual } => {
            line(out, &format!("  {legend}"));
            line(out, &format!("    {}", Styled(MISSING, format!("- {expected}"))));
            line(out, &format!("    {}", Styled(EXTRA, format!("+ {actual}"))));
        }
    }
}

/// Pairs that come to the same are shown as one, but for what has an explanation of its own.
fn grouped_pairs(pairs: &[PairVerdict]) -> Vec<Vec<&PairVerdict>> {
    let worlds = |pair: &PairVerdict| {
        (pair.left.world, pair.left.stack.flux, pair.right.world, pair.right.is_recorded)
    };
    let alike = |one: &PairVerdict, other: &PairVerdict| {
        let judgements = (&one.judgement, &other.judgement);
        worlds(one) == worlds(other)
            && match judgements {
                (Judgement::Agrees { .. }, Judgement::Agrees { .. }) => true,
                (Judgement::Explained { rule, .. }, Judgement::Explained { rule: same, .. }) => rule == same,
                (Judgement::ExplainedBy(_), _) => false,
                (one, other) => one == other,
            }
    };
    let mut groups: Vec<Vec<&PairVerdict>> = Vec::new();
    for pair in pairs {
        match groups.iter_mut().find(|group| group.first().is_some_and(|known| alike(known, pair))) {
            Some(group) => group.push(pair),
            None => groups.push(vec![pair]),
        }
    }
    groups
}

/// Pairs that come to the same.
pub(crate) fn verdicts(pairs: &[&PairVerdict]) -> String {
    let mut text = String::new();
    let out = &mut text;
    let Some(first) = pairs.first() else { return text };
    let parties = match pairs {
        [_] => format!("{} and {}", first.left, first.right),
        _ => {
            let versions = versions(&pairs.iter().map(|pair| pair.left.stack).collect::<Vec<_>>());
            match first.right.is_recorded {
                true if !first.right.world.is_virtual() => {
                    format!(
                        "{} {versions} and what real clusters of these versions have shown",
                        first.left.world
                    )
                }
                true => format!("{} {versions} and the recordings of these versions", first.left.world),
                false => format!("{} {versions} and {} {versions}", first.left.world, first.right.world),
            }
        }
    };
    match &first.judgement {
        Judgement::ExplainedBy(by) => {
            line(out, &format!("       {} explains {} {by}", first.left, first.right));
        }
        Judgement::Agrees { .. } | Judgement::Explained { .. } => {
            let writes = || pairs.iter().filter_map(|pair| pair.judgement.writes_agreed());
            let (least, most) = (writes().min().unwrap_or(0), writes().max().unwrap_or(0));
            let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let but = match first.judgement {
                Judgement::Explained { rule, .. } => format!(" but for what is left open: {rule}"),
                _ => String::new(),
            };
            line(out, &format!("       {parties} agree ({range} writes){but}"));
        }
        Judgement::Diverges(divergence) => {
            let verdict = Styled(FAIL, "diverge");
            line(
                out,
                &format!("       {parties} {verdict} after {} equal writes:", divergence.writes_before),
            );
            let text = |line: &Option<TraceLine>| {
                line.as_ref().map_or_else(|| "(nothing more)".to_owned(), ToString::to_string)
            };
            line(out, &format!("       - {}", text(&divergence.left)));
            line(out, &format!("       + {}", text(&divergence.right)));
            if let Some(remake) = first.right.remake() {
                line(out, &format!("       (when the scenario has changed: {remake})"));
            }
        }
    }
    text
}

/// `1.28..1.30, 1.36`: versions of Kubernetes that follow each other as ranges; with one version of Flux, what is beside them.
pub fn versions(stacks: &[Stack]) -> String {
    let mut ranges: Vec<(KubernetesVersion, KubernetesVersion)> = Vec::new();
    for &Stack { kubernetes: version, .. } in stacks {
        match ranges.last_mut() {
            Some((_, last)) if last.minor() + 1 == version.minor() => *last = version,
            _ => ranges.push((version, version)),
        }
    }
    let range = |(first, last): &(KubernetesVersion, KubernetesVersion)| match first == last {
        true => first.to_string(),
        false => format!("{first}..{last}"),
    };
    let mut text = ranges.iter().map(range).collect::<Vec<_>>().join(", ");
    if let Some(flux) = stacks.first().and_then(|stack| stack.flux) {
        text.push_str(&format!(" with Flux {flux}"));
    }
    text
}

/// `4.1s`, or `2s to 2.5s` when versions differ; nothing when there is none.
fn latency_range(latencies: &[Duration]) -> String {
    match (latencies.iter().min(), latencies.iter().max()) {
        (Some(least), Some(most)) if least == most => length(*least),
        (Some(least), Some(most)) => format!("{} to {}", length(*least), length(*most)),
        _ => String::new(),
    }
}

/// A length of time with as many decimals as a reader wants: milliseconds at most.
fn length(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (secs, millis) = (millis / 1_000, millis % 1_000);
    match millis {
        0 => format!("{secs}s"),
        _ => format!("{secs}.{}s", format!("{millis:03}").trim_end_matches('0')),
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
