//! Shows what runs came to: for people ([`human`]), for programs ([`json`]), for build servers ([`junit`]); and on real clusters, for both of these ([`real`]).
//!
//! Everything here is computed from [`towtank_lockstep::run::Run`] values; nothing is measured, so that the same runs
//! give the same bytes. Colours are always written; the command line strips them where there is no terminal.

use std::ops::Range;
use std::sync::Arc;

use towtank_lockstep::run::Run;
use towtank_lockstep::verdict::{Judgement, PairVerdict};
use towtank_scenario::ast::Scenario;
use towtank_scenario::ast::Stack;

pub mod human;
pub mod json;
pub mod junit;
pub mod real;
mod style;

/// A scenario and all runs of it, in the order in which they were asked for.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its runs.
    pub runs: Vec<Run>,
    /// Pairs of worlds, compared.
    pub pairs: Vec<PairVerdict>,
}

impl ScenarioReport {
    /// Every run passed and no pair of worlds diverges.
    pub fn passed(&self) -> bool {
        self.runs.iter().all(Run::passed)
            && !self.pairs.iter().any(|pair| matches!(pair.judgement, Judgement::Diverges(_)))
    }

    /// Two worlds tell different things of a version.
    pub fn diverges(&self, stack: Stack) -> bool {
        self.pairs
            .iter()
            .any(|pair| pair.right.stack == stack && matches!(pair.judgement, Judgement::Diverges(_)))
    }
}

/// The figures of a whole session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Scenarios.
    pub scenarios: usize,
    /// Of these, with every run passed.
    pub scenarios_passed: usize,
    /// Runs: scenarios times worlds times versions.
    pub runs: usize,
    /// Of these, passed.
    pub runs_passed: usize,
}

impl Summary {
    /// Counts `reports`.
    pub fn of(reports: &[ScenarioReport]) -> Self {
        let runs = || reports.iter().flat_map(|report| &report.runs);
        Self {
            scenarios: reports.len(),
            scenarios_passed: reports.iter().filter(|report| report.passed()).count(),
            runs: runs().count(),
            runs_passed: runs().filter(|run| run.passed()).count(),
        }
    }

    /// Every scenario passed, and there was one.
    pub const fn passed(&self) -> bool {
        self.scenarios == self.scenarios_passed && self.runs > 0
    }
}

/// Line and column, both from 1, of the start of `span`; the column counts characters.
fn position(text: &str, span: &Range<usize>) -> (usize, usize) {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
