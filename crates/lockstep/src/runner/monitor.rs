//! Expectations that look at every instant until the scenario ends: `never` and `before`.

use std::slice;

use towtank_model::time::Time;
use towtank_scenario::ast::{Clause, Expectation, When};

use super::Stop;
use crate::claim::{self, Memo, Subject};
use crate::run::{FailureCause, Outcome};

/// A `never` or `before` whose step's action has been taken.
pub(super) struct Monitor<'a> {
    /// Step that it belongs to.
    pub(super) step_index: usize,
    /// Which of the step's expectations.
    pub(super) expectation_index: usize,
    expectation: &'a Expectation,
    watch: Watch<'a>,
}

enum Watch<'a> {
    /// All clauses together must not hold.
    Never(Memo),
    /// The first must hold before the second does.
    Before { first: Side<'a>, then: Side<'a> },
}

/// One side of a `before`.
struct Side<'a> {
    clause: &'a Clause,
    memo: Memo,
    /// When it first held.
    came: Option<Time>,
}

impl<'a> Side<'a> {
    fn new(clause: &'a Clause) -> Self {
        Self { clause, memo: Memo::new(slice::from_ref(clause)), came: None }
    }

    fn look(&mut self, now: Time, generation: u64, subject: &Subject<'_>) {
        if self.came.is_none() && self.memo.holds(slice::from_ref(self.clause), generation, subject) {
            self.came = Some(now);
        }
    }
}

impl<'a> Monitor<'a> {
    /// The monitor of an expectation; `None` when it is one that the play waits for.
    pub(super) fn new(
        step_index: usize,
        expectation_index: usize,
        expectation: &'a Expectation,
    ) -> Option<Self> {
        let watch = match (&expectation.when, expectation.clauses.as_slice()) {
            (When::Never, clauses) => Watch::Never(Memo::new(clauses)),
            (When::Before, [first, then]) => Watch::Before { first: Side::new(first), then: Side::new(then) },
            _ => return None,
        };
        Some(Self { step_index, expectation_index, expectation, watch })
    }

    /// What it looks at.
    pub(super) fn clauses(&self) -> &'a [Clause] {
        &self.expectation.clauses
    }

    /// Looks at one instant.
    pub(super) fn look(
        &mut self,
        now: Time,
        generation: u64,
        subject: &Subject<'_>,
    ) -> Result<(), FailureCause> {
        match &mut self.watch {
            Watch::Never(memo) => {
                if memo.holds(&self.expectation.clauses, generation, subject) {
                    let claims = self.expectation.clauses.iter().map(claim::describe).collect::<Vec<_>>();
                    return Err(FailureCause::Happened { claim: claims.join(", and ") });
                }
            }
            Watch::Before { first, then } => {
                first.look(now, generation, subject);
                then.look(now, generation, subject);
                if let Some(then) = then.came
                    && first.came.is_none_or(|first| first >= then)
                {
                    return Err(FailureCause::WrongOrder { first: first.came, then });
                }
            }
        }
        Ok(())
    }

    /// Judges at the end of the scenario.
    pub(super) fn close(&self, now: Time) -> Result<Outcome, FailureCause> {
        if let Watch::Before { first, then } = &self.watch
            && let Some(missing) = [first, then].into_iter().find(|side| side.came.is_none())
        {
            return Err(FailureCause::NeverCame { claim: claim::describe(missing.clause) });
        }
        Ok(Outcome::Held { at: now, latency: None })
    }

    /// How often clauses were evaluated.
    pub(super) fn evaluations(&self) -> u64 {
        match &self.watch {
            Watch::Never(memo) => memo.evaluations(),
            Watch::Before { first, then } => first.memo.evaluations() + then.memo.evaluations(),
        }
    }

    /// The stop that a failure of this monitor is.
    pub(super) fn stop(&self, cause: FailureCause) -> Stop {
        Stop {
            step_index: self.step_index,
            expectation_index: Some(self.expectation_index),
            span: self.expectation.span.clone(),
            cause,
        }
    }
}
