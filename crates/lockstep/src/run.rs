//! What playing a scenario comes to: a value that reports, verdicts and snapshots are computed from.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use towtank_model::server::TraceEntry;
use towtank_model::time::Time;
use towtank_scenario::ast::Stack;

use crate::claim::Mismatch;
use crate::observation_trace::ObservationTrace;
use crate::sight::{Sight, StepSights};
use crate::table::Grid;
use crate::world::{Refusal, WorldError, WorldKind};

/// One scenario, played once.
#[derive(Clone, Debug)]
pub struct Run {
    /// `metadata.name` of the scenario.
    pub scenario: String,
    /// Path of its file, as the user gave it.
    pub path: String,
    /// Where it was played.
    pub world: WorldKind,
    /// As which versions.
    pub stack: Stack,
    /// With which random numbers.
    pub seed: u64,
    /// Every step of the scenario, in order.
    pub steps: Vec<StepResult>,
    /// When the run ended.
    pub ended: Time,
    /// Instants at which anything happened.
    pub instants: u64,
    /// Why the run failed; `None`: every expectation that speaks of this version held.
    pub failure: Option<Failure>,
    /// Every write and every decision.
    pub trace: Vec<TraceEntry>,
    /// What was to be seen, change by change.
    pub observations: ObservationTrace,
    /// What was to be seen in each step, where somebody wants to know ([`Limits::keeps_sights`](crate::runner::Limits::keeps_sights)).
    pub sights: Vec<StepSights>,
    /// What was to be seen at the end, then.
    pub rest: Option<Sight>,
}

impl Run {
    /// Every expectation held.
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// How many expectations were not seen to hold, and need not be.
    pub fn missed(&self) -> usize {
        let expectations = self.steps.iter().flat_map(|step| &step.expectations);
        expectations.filter(|expectation| expectation.outcome == Outcome::Missed).count()
    }

    /// The command that plays exactly this run again.
    pub fn replay_line(&self) -> String {
        let Stack { kubernetes, flux } = self.stack;
        let flux = flux.map_or_else(String::new, |flux| format!(" --flux {flux}"));
        let path = quoted(&self.path);
        if !self.world.is_virtual() {
            return format!("towtank e2e {path} --kubernetes {kubernetes}{flux}");
        }
        format!(
            "towtank run {path} --world {} --kubernetes {kubernetes}{flux} --seed {}",
            self.world, self.seed
        )
    }
}

/// `text` as one word of a shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepResult {
    /// Its name.
    pub name: String,
    /// When its action was taken; `None`: the run ended before.
    pub at: Option<Time>,
    /// Entries of the run's trace before its action.
    pub trace_before: usize,
    /// When its last expectation was settled.
    pub settled: Option<Time>,
    /// What became of its expectations, in the order of the file.
    pub expectations: Vec<ExpectationResult>,
}

impl StepResult {
    /// From the step's action until the last of the things that it waits for (`within`) had come true; `None` when it
    /// waits for nothing.
    pub fn latency(&self) -> Option<Duration> {
        let latency = |result: &ExpectationResult| match result.outcome {
            Outcome::Held { latency, .. } => latency,
            Outcome::Failed | Outcome::Missed | Outcome::OtherVersions | Outcome::Unsettled => None,
        };
        self.expectations.iter().filter_map(latency).max()
    }

    /// An expectation was not seen to hold, and need not be.
    pub fn missed(&self) -> bool {
        self.expectations.iter().any(|result| result.outcome == Outcome::Missed)
    }

    /// How this step ended.
    pub fn outcome(&self) -> StepOutcome {
        if self.expectations.iter().any(|result| result.outcome == Outcome::Failed) {
            StepOutcome::Failed
        } else if self.settled.is_some() {
            StepOutcome::Passed
        } else if self.at.is_some() {
            StepOutcome::Failed
        } else {
            StepOutcome::NotReached
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// All that it expects was seen.
    Passed,
    /// The run ended with it.
    Failed,
    /// The run ended before it.
    NotReached,
}

/// One expectation of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectationResult {
    /// Its place in the file.
    pub span: Range<usize>,
    /// What became of it.
    pub outcome: Outcome,
    /// How often its clauses were evaluated.
    pub evaluations: u64,
    /// The tables that it is about, as they were when it held.
    pub tables: Vec<SeenTable>,
}

/// A table that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTable {
    /// The command that prints it.
    pub command: &'static str,
    /// What it showed, generated suffixes of names masked.
    pub grid: Grid,
}

/// What became of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Held {
        /// When that was known.
        at: Time,
        /// From the step's action to the instant at which it came true, where it is one that waits (`within`).
        latency: Option<Duration>,
    },
    /// It did not hold.
    Failed,
    /// It was not seen to hold, and need not be ([`Limits::may_miss`](crate::runner::Limits::may_miss)).
    Missed,
    /// It speaks of other versions.
    OtherVersions,
    /// The run ended before it was settled.
    Unsettled,
}

/// The first thing that went wrong in a run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Name of the step that expected otherwise.
    pub step: String,
    /// Its position in the scenario.
    pub step_index: usize,
    /// Which of its expectations; `None` when the step itself failed.
    pub expectation_index: Option<usize>,
    /// The place to point at.
    pub span: Range<usize>,
    /// When it went wrong.
    pub at: Time,
    /// Since when the step's clock runs.
    pub since: Time,
    /// What went wrong.
    pub cause: FailureCause,
    /// The last writes about the objects concerned, one line each, oldest first.
    pub writes: Vec<String>,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub enum FailureCause {
    /// The action was refused, and no expectation says that it should be.
    Refused(Refusal),
    /// Clauses did not hold when they had to.
    NotHeld {
        /// When they had to.
        demand: String,
        /// What was different, clause by clause, at the last instant that counted.
        mismatches: Vec<Mismatch>,
    },
    /// `holds`: it was true at first, or never.
    StoppedHolding {
        /// For how long it was to hold.
        length: Duration,
        /// For how long it held.
        held: Duration,
        /// What was different then.
        mismatches: Vec<Mismatch>,
    },
    /// `never`: it happened.
    Happened {
        /// What must not be.
        claim: String,
    },
    /// `before`: the second came true at the same instant or earlier.
    WrongOrder {
        /// When the first came true.
        first: Option<Time>,
        /// When the second came true.
        then: Time,
    },
    /// `before`: the scenario ended and one of the two had not come true.
    NeverCame {
        /// Which of the two.
        claim: String,
    },
    /// The instant of an `at` had passed before the expectation's turn came.
    AlreadyPast {
        /// The instant, from the step's action.
        target: Duration,
        /// The time at which its turn came.
        turn: Duration,
    },
    /// The world went through more instants than a scenario may have.
    TooManyInstants {
        /// The limit.
        limit: u64,
    },
    /// The world cannot go on.
    Broken(WorldError),
    /// An expectation speaks of no version that the scenario is played in.
    NeverEvaluated,
    /// No expectation speaks of this version.
    NothingExpected,
    /// The world showed no write at all, so nothing was tested.
    EmptyTrace,
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the action was refused: {refusal}"),
            Self::NotHeld { demand, .. } => write!(f, "not true {demand}"),
            Self::StoppedHolding { length, held, .. } if held.is_zero() => {
                write!(f, "to hold for {length:?}, but it is not true to begin with")
            }
            Self::StoppedHolding { length, held, .. } => {
                write!(f, "to hold for {length:?}, but it held for {held:?} only")
            }
            Self::Happened { claim } => write!(f, "must never be, but was: {claim}"),
            Self::WrongOrder { first: Some(first), then } if first == then => {
                write!(f, "both came true at the same instant, t={then}, so the one was not before the other")
            }
            Self::WrongOrder { then, .. } => write!(f, "the second came true first, at t={then}"),
            Self::NeverCame { claim } => write!(f, "did not come true before the scenario ended: {claim}"),
            Self::AlreadyPast { target, turn } => {
                write!(
                    f,
                    "its instant, {target:?} after the action, had passed: the step had come to {turn:?}"
                )
            }
            Self::TooManyInstants { limit } => {
                write!(f, "more than {limit} instants: the scenario does not come to rest")
            }
            Self::Broken(error) => write!(f, "the world cannot go on: {error}"),
            Self::NeverEvaluated => f.write_str("speaks of no version that the scenario is true of"),
            Self::NothingExpected => {
                f.write_str("no expectation speaks of this version, so nothing was tested")
            }
            Self::EmptyTrace => f.write_str("the world recorded no write, so nothing was tested"),
        }
    }
}

impl FailureCause {
    /// A stable name for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::NotHeld { .. } => "not-held",
            Self::StoppedHolding { .. } => "stopped-holding",
            Self::Happened { .. } => "happened",
            Self::WrongOrder { .. } => "wrong-order",
            Self::NeverCame { .. } => "never-came",
            Self::AlreadyPast { .. } => "already-past",
            Self::TooManyInstants { .. } => "too-many-instants",
            Self::Broken(_) => "broken-world",
            Self::NeverEvaluated => "never-evaluated",
            Self::NothingExpected => "nothing-expected",
            Self::EmptyTrace => "empty-trace",
        }
    }

    /// Clause by clause, what was different.
    pub fn mismatches(&self) -> &[Mismatch] {
        match self {
            Self::NotHeld { mismatches, .. } | Self::StoppedHolding { mismatches, .. } => mismatches,
            _ => &[],
        }
    }
}
