//! Which steps wait.

use std::ops::RangeInclusive;

use towtank_scenario::ast::Scenario;

use crate::observed::Observed;

/// For each step, whether something had come true before the next one began: whatever was set off before had its time.
///
/// A step without expectations waits for nothing, and neither does one whose expectations were not seen to come true
/// ([`ObservedStep::missed`](crate::observed::ObservedStep::missed)).
#[derive(Clone, Debug)]
pub(super) struct Waits(Vec<bool>);

impl Waits {
    /// In the story that was observed.
    pub(super) fn of(scenario: &Scenario, real: &Observed) -> Self {
        let is_missed = |step_index: usize| real.steps.get(step_index).is_some_and(|step| step.missed);
        let steps = scenario.steps.iter().enumerate();
        Self(steps.map(|(step_index, step)| !step.expect.is_empty() && !is_missed(step_index)).collect())
    }

    /// Whether this step waits; what comes after the last one does.
    pub(super) fn waits(&self, step_index: usize) -> bool {
        self.0.get(step_index).copied().unwrap_or(true)
    }

    /// The first step from this one on that waits.
    pub(super) fn until(&self, step_index: usize) -> usize {
        (step_index..).find(|step_index| self.waits(*step_index)).unwrap_or(usize::MAX)
    }

    /// This step and those just before it that wait for nothing.
    pub(super) fn at_once_with(&self, step_index: usize) -> RangeInclusive<usize> {
        let before = (0..step_index).rev().take_while(|before| !self.waits(*before));
        before.last().unwrap_or(step_index)..=step_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_wait_for_nothing_belong_to_the_next_that_waits() {
        let waits = Waits(vec![true, false, false, true, false]);
        assert_eq!(waits.at_once_with(0), 0..=0);
        assert_eq!(waits.at_once_with(1), 1..=1);
        assert_eq!(waits.at_once_with(3), 1..=3);
        assert_eq!(waits.at_once_with(4), 4..=4);
        assert_eq!([waits.until(0), waits.until(1), waits.until(4)], [0, 3, 5]);
    }
}
