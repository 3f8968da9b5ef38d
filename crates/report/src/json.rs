//! The report as JSON. The form is stable: fields are added, never renamed or removed, without a new `schemaVersion`.
//! Times are numbers of seconds of virtual time; nothing depends on the machine, so equal runs give equal bytes.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use towtank_lockstep::claim::{Difference, Mismatch};
use towtank_lockstep::run::{ExpectationResult, Failure, Outcome, Run, SeenTable, StepOutcome, StepResult};
use towtank_lockstep::verdict::{ByRun, Judgement, PairVerdict, Party};
use towtank_model::time::Time;
use towtank_scenario::ast::FluxVersion;

use crate::{ScenarioReport, Summary, position};

/// Version of the form of the document.
pub const SCHEMA_VERSION: u32 = 1;

/// The document, with a line feed at its end.
pub fn render(reports: &[ScenarioReport]) -> String {
    let summary = Summary::of(reports);
    let document = json!({
        "schemaVersion": SCHEMA_VERSION,
        "tool": { "name": "towtank", "version": env!("CARGO_PKG_VERSION") },
        "summary": {
            "passed": summary.passed(),
            "scenarios": summary.scenarios,
            "scenariosPassed": summary.scenarios_passed,
            "runs": summary.runs,
            "runsPassed": summary.runs_passed,
        },
        "runs": reports.iter().flat_map(runs).collect::<Vec<_>>(),
        "comparisons": reports.iter().flat_map(comparisons).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn runs(report: &ScenarioReport) -> impl Iterator<Item = Value> {
    let text = &report.scenario.source.text;
    report.runs.iter().map(|run| self::run(run, text))
}

fn run(run: &Run, text: &str) -> Value {
    json!({
        "scenario": run.scenario,
        "path": run.path,
        "world": run.world.as_str(),
        "kubernetes": run.stack.kubernetes.to_string(),
        "flux": run.stack.flux.map(FluxVersion::full),
        "seed": run.seed,
        "passed": run.passed(),
        "endedSeconds": seconds(run.ended),
        "instants": run.instants,
        "traceEntries": run.trace.len(),
        "steps": run.steps.iter().map(|step| self::step(step, text)).collect::<Vec<_>>(),
        "failure": run.failure.as_ref().map(|failure| self::failure(failure, run, text)),
    })
}

pub(crate) fn step(step: &StepResult, text: &str) -> Value {
    let outcome = match step.outcome() {
        StepOutcome::Passed => "passed",
        StepOutcome::Failed => "failed",
        StepOutcome::NotReached => "not-reached",
    };
    json!({
        "name": step.name,
        "outcome": outcome,
        "atSeconds": step.at.map(seconds),
        "settledSeconds": step.settled.map(seconds),
        "latencySeconds": step.latency().map(length),
        "expectations": step.expectations.iter().map(|result| expectation(result, text)).collect::<Vec<_>>(),
    })
}

fn expectation(result: &ExpectationResult, text: &str) -> Value {
    let (line, column) = position(text, &result.span);
    let (outcome, at, latency) = match result.outcome {
        Outcome::Held { at, latency } => ("held", Some(at), latency),
        Outcome::Failed => ("failed", None, None),
        Outcome::OtherVersions => ("other-versions", None, None),
        Outcome::Missed => ("missed", None, None),
        Outcome::Unsettled => ("unsettled", None, None),
    };
    json!({
        "line": line,
        "column": column,
        "outcome": outcome,
        "heldAtSeconds": at.map(seconds),
        "latencySeconds": latency.map(length),
        "evaluations": result.evaluations,
        "tables": result.tables.iter().map(table_seen).collect::<Vec<_>>(),
    })
}

fn table_seen(table: &SeenTable) -> Value {
    json!({ "command": table.command, "columns": table.grid.columns, "rows": table.grid.rows })
}

pub(crate) fn failure(failure: &Failure, run: &Run, text: &str) -> Value {
    let (line, column) = position(text, &failure.span);
    json!({
        "code": failure.cause.code(),
        "message": failure.cause.to_string(),
        "step": failure.step,
        "expectation": failure.expectation_index,
        "line": line,
        "column": column,
        "atSeconds": seconds(failure.at),
        "sinceActionSeconds": length(failure.at - failure.since),
        "differences": failure.cause.mismatches().iter().flat_map(|m| differences(m, text)).collect::<Vec<_>>(),
        "lastWrites": failure.writes,
        "replay": run.replay_line(),
    })
}

fn differences(mismatch: &Mismatch, text: &str) -> Vec<Value> {
    let place = |span: &Range<usize>| position(text, span);
    let (line, column) = place(&mismatch.span);
    match &mismatch.difference {
        Difference::Table { command, lines } => {
            let lines: Vec<String> = lines.iter().map(|l| format!("{}{}", l.side.mark(), l.text)).collect();
            vec![json!({ "kind": "table", "line": line, "column": column, "table": command, "diff": lines })]
        }
        Difference::Fields { job, fields } => fields
            .iter()
            .map(|field| {
                let (line, column) = place(&field.span);
                json!({
                    "kind": "field",
                    "line": line,
                    "column": column,
                    "job": job,
                    "field": field.field,
                    "expected": field.expected,
                    "actual": field.actual,
                })
            })
            .collect(),
        Difference::Text { expected, actual } => {
            vec![json!({
                "kind": "text", "line": line, "column": column, "expected": expected, "actual": actual,
            })]
        }
    }
}

fn comparisons(report: &ScenarioReport) -> impl Iterator<Item = Value> {
    report.pairs.iter().map(|pair| comparison(&report.scenario.name, pair))
}

fn comparison(scenario: &str, pair: &PairVerdict) -> Value {
    let party = |party: Party| {
        json!({
            "world": party.world.as_str(),
            "kubernetes": party.stack.kubernetes.to_string(),
            "flux": party.stack.flux.map(FluxVersion::full),
            "recorded": party.is_recorded,
        })
    };
    let (verdict, detail) = match &pair.judgement {
        Judgement::Agrees { writes } => ("agrees", json!({ "writes": writes })),
        Judgement::Explained { writes, rule } => ("explained", json!({ "writes": writes, "rule": rule })),
        Judgement::ExplainedBy(by) => ("explained", explained(by)),
        Judgement::Diverges(divergence) => {
            let line = |line: &Option<_>| {
                line.as_ref().map(|line: &towtank_lockstep::trace_text::TraceLine| line.to_string())
            };
            let (left, right) = (line(&divergence.left), line(&divergence.right));
            ("diverges", json!({ "writesBefore": divergence.writes_before, "left": left, "right": right }))
        }
    };
    json!({
        "scenario": scenario,
        "left": party(pair.left),
        "right": party(pair.right),
        "verdict": verdict,
        "detail": detail,
    })
}

fn explained(by: &ByRun) -> Value {
    let mut detail = json!({ "writes": by.compared.lines, "rule": "a real cluster takes its own time" });
    if let (Value::Object(detail), Value::Object(by)) = (&mut detail, by_run(by)) {
        detail.extend(by);
    }
    detail
}

/// A run of the model that explains what a real cluster has shown.
pub(crate) fn by_run(by: &ByRun) -> Value {
    let ByRun { seed, profile, apart, compared } = by;
    json!({
        "seed": seed,
        "timing": profile,
        "objectByObjectAfter": apart,
        "compared": compared.done(),
        "notCompared": compared.left_out(),
    })
}

/// Seconds since the start, exact to the microsecond.
pub(crate) fn seconds(time: Time) -> f64 {
    length(time - Time::ZERO)
}

fn length(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
