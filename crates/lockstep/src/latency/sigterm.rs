//! How long a broker takes that is told to end, and a pod that a shrink takes away, as observations of real clusters have it.

use std::time::Duration;

use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Scenario, Signal};

use crate::observed::Observation;

/// What an observation tells of SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sigterm {
    /// From SIGTERM to a worker's broker to the phase Succeeded of its pod.
    pub completed: Duration,
    /// From the change of size to the moment at which the last pod is gone that it takes away.
    pub gone: Duration,
}

/// What `observation` of `scenario` tells of SIGTERM; `None`: no broker is told to end before the size is changed, or it does not tell when.
pub fn of(scenario: &Scenario, observation: &Observation) -> Option<Sigterm> {
    let observed = &observation.observed;
    let steps: Vec<(&Action, Time)> = scenario
        .steps
        .iter()
        .zip(&observed.steps)
        .map(|(step, seen)| Some((&step.action.value, seen.asked?)))
        .collect::<Option<_>>()?;
    let tells = |action: &Action| matches!(action, Action::FluxExec { signal: Signal::Term, .. });
    let told = steps.iter().position(|(action, _)| tells(action))?;
    let resized =
        steps.iter().skip(told).position(|(action, _)| matches!(action, Action::PatchMiniCluster { .. }))?
            + told;
    let until = steps.get(resized + 1).map(|(_, asked)| *asked);
    let (told, resized) = (steps.get(told)?.1, steps.get(resized)?.1);
    let events = |event: &'static str, from: Time| {
        let history =
            observed.history.iter().filter(move |line| line.text.ends_with(event) && line.at >= from);
        history.map(|line| line.at)
    };
    let completed = events(": Succeeded", told).min()?;
    let gone = events(": gone", resized).filter(|at| until.is_none_or(|until| *at < until)).max()?;
    Some(Sigterm { completed: completed.since(told), gone: gone.since(resized) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "
apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  about: a broker is told to end, and then a pod goes
  source: this test
  steps:
    - name: create
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {name: m}
        spec: {size: 3, interactive: true, containers: [{image: x}]}
      expect: [{within: 60s, that: flux.online == 3}]
    - name: tell
      flux exec: {rank: 1, signal: TERM}
    - name: shrink
      patch: {minicluster: m, spec: {size: 2}}
    - name: grow
      patch: {minicluster: m, spec: {size: 3}}
";

    fn observation(asked: &str) -> Observation {
        let text = format!(
            r#"[{{"provider": "kind", "kubernetes": "1.36.3", "date": "2026-01-31",
            "steps": [{{"step": "create", "asked": 0.0}}, {{"step": "tell", "asked": 10.0}}, {{"step": "shrink"{asked}}}, {{"step": "grow", "asked": 60.0}}],
            "history": ["2.0 pod m/0#1: Succeeded", "11.3 pod m/1#1: Succeeded", "15.0 pod m/9#1: gone", "51.3 pod m/2#1: gone", "70.0 pod m/2#2: gone"]}}]"#
        );
        Observation::parse(&text).expect("an observation").remove(0)
    }

    #[test]
    fn times_count_from_the_step_that_asks() {
        let scenario =
            towtank_scenario::parse("s.yaml", SCENARIO, &towtank_scenario::NoFiles).expect("a scenario");
        let wanted = Sigterm { completed: Duration::from_millis(1_300), gone: Duration::from_millis(31_300) };
        assert_eq!(of(&scenario, &observation(r#", "asked": 20.0"#)), Some(wanted));
        assert_eq!(of(&scenario, &observation("")), None, "nobody knows when it was asked");
    }
}
