//! What of an observation was compared with runs of the model.

use std::fmt;

use towtank_scenario::ast::Scenario;

use crate::observed::Observed;

/// What was compared, and so what was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Lines of what became of each Job and pod.
    pub lines: usize,
    /// It is known in which step each of them belongs.
    pub has_steps: bool,
    /// The order between objects is known ([`super::ordering`]).
    pub has_order: bool,
    /// Steps of the scenario.
    pub steps: usize,
    /// Steps of which it is known what was to be seen when they had settled.
    pub sights: usize,
    /// It is known what was to be seen at the end.
    pub has_end: bool,
}

impl Compared {
    /// What can be compared of this.
    pub(super) fn of(scenario: &Scenario, real: &Observed) -> Self {
        Self {
            lines: real.history.len(),
            has_steps: real.begun().is_some(),
            has_order: !real.is_disturbed,
            steps: scenario.steps.len(),
            sights: real.steps.iter().filter(|step| step.settled.is_some()).count(),
            has_end: real.rest.is_some(),
        }
    }

    /// What was compared.
    pub fn done(&self) -> Vec<String> {
        let Self { lines, sights, steps, .. } = self;
        let parts = [
            (true, format!("{lines} lines of what became of each Job and pod")),
            (self.has_steps, "the step of each".to_owned()),
            (self.has_order, "the order between objects".to_owned()),
            (*sights > 0, format!("what was to be seen when {sights} of {steps} steps had settled")),
            (self.has_end, "what was to be seen at the end".to_owned()),
        ];
        parts.into_iter().filter_map(|(is_done, part)| is_done.then_some(part)).collect()
    }

    /// What was not, because nobody has noted it.
    pub fn left_out(&self) -> Vec<String> {
        let (steps, unseen) = (self.steps, self.steps.saturating_sub(self.sights));
        let parts = [
            (!self.has_steps, "in which step each line happened".to_owned()),
            (!self.has_order, "the order between objects".to_owned()),
            (unseen > 0, format!("what was to be seen when {unseen} of {steps} steps had settled")),
            (!self.has_end, "what was to be seen at the end".to_owned()),
        ];
        parts.into_iter().filter_map(|(is_left_out, part)| is_left_out.then_some(part)).collect()
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compared: {}", self.done().join(", "))?;
        match self.left_out().join(", ") {
            left_out if left_out.is_empty() => Ok(()),
            left_out => write!(f, "; not compared: {left_out}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_noted_is_named() {
        let all = Compared { lines: 7, has_steps: true, has_order: true, steps: 2, sights: 2, has_end: true };
        assert_eq!(
            all.to_string(),
            "compared: 7 lines of what became of each Job and pod, the step of each, the order between objects, \
             what was to be seen when 2 of 2 steps had settled, what was to be seen at the end"
        );
        let little = Compared { has_steps: false, has_order: false, sights: 0, has_end: false, ..all };
        assert_eq!(
            little.to_string(),
            "compared: 7 lines of what became of each Job and pod; not compared: in which step each line happened, the order \
             between objects, what was to be seen when 2 of 2 steps had settled, what was to be seen at the end"
        );
    }
}
