//! What a run has come to.

use towtank_scenario::ast::{Claim, Scenario};

use super::{Player, Setting, Stop};
use crate::run::{Failure, FailureCause, Outcome, Run};
use crate::sight::Sight;
use crate::trace_text;

impl Player<'_> {
    pub(super) fn finish(mut self, stop: Option<Box<Stop>>, setting: Setting) -> Run {
        self.take_trace();
        let trace = std::mem::take(&mut self.trace);
        let now = self.world.now();
        let is_at_rest = self.world.is_quiescent();
        if let Some(sights) = self.sights.last_mut() {
            sights.finish(now, is_at_rest);
        }
        let rest = self.limits.keeps_sights.then(|| Sight::whole(self.world.observe()));
        let stop = match stop {
            None if trace.is_empty() => Some(self.stop_at_start(FailureCause::EmptyTrace)),
            stop => stop,
        };
        let failure = stop.map(|stop| {
            if let Some(position) = stop.expectation_index {
                self.steps[stop.step_index].expectations[position].outcome = Outcome::Failed;
            }
            let concerned = concerned_jobs(self.scenario, &stop);
            Failure {
                step: self
                    .scenario
                    .steps
                    .get(stop.step_index)
                    .map_or_else(String::new, |s| s.name.value.clone()),
                step_index: stop.step_index,
                expectation_index: stop.expectation_index,
                span: stop.span,
                at: self.world.now(),
                since: self.since,
                cause: stop.cause,
                writes: trace_text::last_writes(&trace, &concerned, self.limits.failure_writes),
            }
        });
        Run {
            scenario: self.scenario.name.clone(),
            path: self.scenario.source.path.clone(),
            world: self.world.kind(),
            stack: setting.stack,
            seed: setting.seed,
            steps: self.steps,
            ended: self.world.now(),
            instants: self.instants,
            failure,
            trace,
            observations: self.recorder.finish(),
            sights: self.sights,
            rest,
        }
    }
}

/// The Jobs that a failed expectation names; none when it speaks of all.
fn concerned_jobs(scenario: &Scenario, stop: &Stop) -> Vec<String> {
    let expectation =
        stop.expectation_index.and_then(|position| scenario.steps.get(stop.step_index)?.expect.get(position));
    expectation
        .into_iter()
        .flat_map(|expectation| &expectation.clauses)
        .filter_map(|clause| match &clause.claim {
            Claim::Job { name, .. } => name.clone(),
            _ => None,
        })
        .collect()
}
