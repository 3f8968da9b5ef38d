//! Which steps wait.

use std::ops::RangeInclusive;

use towtank_scenario::ast::Scenario;

use crate::observed::Observed;

/// Which steps of a story wait until something has come true, so that what was set off before has its time.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    /// For each step, whether it has expectations.
    expects: Vec<bool>,
    /// For each step, whether they were seen to come true ([`ObservedStep::missed`](crate::observed::ObservedStep::missed)).
    settles: Vec<bool>,
}

impl Waits {
    /// In the story that was observed.
    pub(super) fn of(scenario: &Scenario, real: &Observed) -> Self {
        let expects: Vec<bool> = scenario.steps.iter().map(|step| !step.expect.is_empty()).collect();
        let is_missed = |step_index: usize| real.steps.get(step_index).is_some_and(|step| step.missed);
        let settles = expects
            .iter()
            .enumerate()
            .map(|(step_index, expects)| *expects && !is_missed(step_index))
            .collect();
        Self { expects, settles }
    }

    /// The first step from this one on that was seen to settle; what comes after the last one is.
    pub(super) fn until(&self, step_index: usize) -> usize {
        let settles = |step_index: &usize| self.settles.get(*step_index).copied().unwrap_or(true);
        (step_index..).find(settles).unwrap_or(usize::MAX)
    }

    /// This step and those just before it that have no expectations, and so follow each other at once.
    pub(super) fn at_once_with(&self, step_index: usize) -> RangeInclusive<usize> {
        let expects = |step_index: usize| self.expects.get(step_index).copied().unwrap_or(true);
        (0..step_index).rev().take_while(|before| !expects(*before)).last().unwrap_or(step_index)..=step_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_wait_for_nothing_belong_to_the_next_that_waits() {
        let waits = Waits {
            expects: vec![true, false, false, true, false],
            settles: vec![true, false, false, false, false],
        };
        assert_eq!(waits.at_once_with(0), 0..=0);
        assert_eq!(waits.at_once_with(1), 1..=1);
        assert_eq!(waits.at_once_with(3), 1..=3);
        assert_eq!(waits.at_once_with(4), 4..=4, "the one before has waited, though in vain");
        assert_eq!([waits.until(0), waits.until(1), waits.until(4)], [0, 5, 5]);
    }
}
