//! Waits until an expectation is settled, in each of the ways in which a scenario can mean it.

use std::time::Duration;

use towtank_scenario::ast::{Claim, Clause, Expectation, When};

use super::{Played, Player, Stop};
use crate::claim::{self, Memo, Mismatch, Subject};
use crate::kubectl;
use crate::run::{FailureCause, Outcome, SeenTable};

impl Player<'_> {
    /// Waits until an expectation is settled.
    pub(super) fn settle(
        &mut self,
        step_index: usize,
        position: usize,
        expectation: &Expectation,
    ) -> Played<Outcome> {
        let stop = |cause| {
            let span = expectation.span.clone();
            Box::new(Stop { step_index, expectation_index: Some(position), span, cause })
        };
        self.show_tables(Some(expectation));
        let mut memo = Memo::new(&expectation.clauses);
        let result = match expectation.when {
            When::Now => match self.limits.reality {
                None => self.settle_now(expectation, &mut memo, "right after the action"),
                Some(reality) => self.settle_within(expectation, &mut memo, self.turn() + reality.slack)?,
            },
            When::Within(bound) => {
                let slack = self.limits.reality.map_or(Duration::ZERO, |reality| reality.slack);
                self.settle_within(expectation, &mut memo, bound + self.limits.patience + slack)?
            }
            When::At(offset) => self.settle_at(expectation, &mut memo, offset)?,
            When::Holds(length) => self.settle_holds(expectation, &mut memo, length)?,
            // Monitors see to these.
            When::Never | When::Before => Ok(Outcome::Unsettled),
        };
        self.steps[step_index].expectations[position].evaluations += memo.evaluations();
        if matches!(result, Ok(Outcome::Held { .. })) {
            self.steps[step_index].expectations[position].tables = self.tables(expectation);
        }
        if result.is_err() && self.limits.may_miss {
            return Ok(Outcome::Missed);
        }
        result.map_err(|cause| {
            self.steps[step_index].expectations[position].outcome = Outcome::Failed;
            stop(cause)
        })
    }

    /// The tables that an expectation is about, as they are now.
    fn tables(&mut self, expectation: &Expectation) -> Vec<SeenTable> {
        let (version, observation) = (self.stack.kubernetes, self.world.observe());
        let seen = |clause: &Clause| match &clause.claim {
            Claim::Table(table) => {
                let grid = kubectl::grid_of(table, observation, version);
                Some(SeenTable { command: table.command.as_str(), grid })
            }
            _ => None,
        };
        expectation.clauses.iter().filter_map(seen).collect()
    }

    fn settle_now(
        &mut self,
        expectation: &Expectation,
        memo: &mut Memo,
        demand: &str,
    ) -> Result<Outcome, FailureCause> {
        if self.holds(expectation, memo) {
            Ok(Outcome::Held { at: self.world.now(), latency: None })
        } else {
            let mismatches = self.mismatches(expectation);
            Err(FailureCause::NotHeld { demand: demand.to_owned(), mismatches })
        }
    }

    fn settle_within(
        &mut self,
        expectation: &Expectation,
        memo: &mut Memo,
        bound: Duration,
    ) -> Played<Result<Outcome, FailureCause>> {
        let deadline = self.since + bound;
        loop {
            let now = self.world.now();
            if now <= deadline && self.holds(expectation, memo) {
                return Ok(Ok(Outcome::Held { at: now, latency: Some(now - self.since) }));
            }
            if now >= deadline {
                let demand = format!("at any instant within {bound:?} of the action");
                let mismatches = self.mismatches(expectation);
                return Ok(Err(FailureCause::NotHeld { demand, mismatches }));
            }
            self.advance(deadline)?;
        }
    }

    fn settle_at(
        &mut self,
        expectation: &Expectation,
        memo: &mut Memo,
        offset: Duration,
    ) -> Played<Result<Outcome, FailureCause>> {
        let target = self.since + offset;
        if let Some(reality) = self.limits.reality {
            let latest = offset + reality.slack + self.limits.patience;
            if self.turn() > latest {
                return Ok(Err(FailureCause::AlreadyPast { target: offset, turn: self.turn() }));
            }
            self.run_until(target)?;
            return self.settle_within(expectation, memo, latest);
        }
        if self.world.now() > target {
            return Ok(Err(FailureCause::AlreadyPast { target: offset, turn: self.turn() }));
        }
        self.run_until(target)?;
        Ok(self.settle_now(expectation, memo, &format!("exactly {offset:?} after the action")))
    }

    fn settle_holds(
        &mut self,
        expectation: &Expectation,
        memo: &mut Memo,
        length: Duration,
    ) -> Played<Result<Outcome, FailureCause>> {
        let length = match self.limits.reality {
            None => length,
            Some(reality) => {
                if let Err(cause) = self.settle_within(expectation, memo, self.turn() + reality.slack)? {
                    return Ok(Err(cause));
                }
                length.min(reality.holds_max)
            }
        };
        let start = self.world.now();
        let end = start + length;
        loop {
            let now = self.world.now();
            if !self.holds(expectation, memo) {
                let mismatches = self.mismatches(expectation);
                return Ok(Err(FailureCause::StoppedHolding { length, held: now - start, mismatches }));
            }
            if now >= end {
                return Ok(Ok(Outcome::Held { at: now, latency: None }));
            }
            self.advance(end)?;
        }
    }

    /// How long ago the step's action was.
    fn turn(&self) -> Duration {
        self.world.now() - self.since
    }

    /// Whether all clauses hold now.
    fn holds(&mut self, expectation: &Expectation, memo: &mut Memo) -> bool {
        let generation = self.world.generation();
        let refusal = self.refusal.as_ref();
        let subject = Subject { observation: self.world.observe(), refusal, version: self.stack.kubernetes };
        memo.holds(&expectation.clauses, generation, &subject)
    }

    /// What is different now, clause by clause.
    fn mismatches(&mut self, expectation: &Expectation) -> Vec<Mismatch> {
        let refusal = self.refusal.as_ref();
        let subject = Subject { observation: self.world.observe(), refusal, version: self.stack.kubernetes };
        expectation.clauses.iter().filter_map(|clause| claim::mismatch(clause, &subject)).collect()
    }
}
