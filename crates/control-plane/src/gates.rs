//! Which component knows which feature gate. They share a list, but not all of it, and one that is told a gate that it does not know ends at once; so each is asked beforehand.

use std::path::Path;
use std::time::Duration;

use crate::child::{Launch, last_lines, spawn_child};
use crate::config::{Component, Config};
use crate::error::{ControlPlaneError, at};

/// A component answers within milliseconds: it reads its flags, and prints its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How each of them says that it does not know a gate (k8s.io/component-base/featuregate).
const UNKNOWN: &str = "unrecognized feature gate";

/// The feature gates that each component gets, as `Name=true`.
pub(crate) struct Gates(Vec<(Component, String)>);

impl Gates {
    /// Asks every component about every gate, in the directory of a run. `log` is a file to write the answers to.
    pub(crate) fn ask(config: &Config, run: &Path, log: &Path) -> Result<Self, ControlPlaneError> {
        let mut known = Vec::new();
        for (name, value) in &config.feature_gates {
            let before = known.len();
            for component in [Component::Apiserver, Component::ControllerManager, Component::Scheduler] {
                let gate = format!("{name}={value}");
                if knows(config, component, &gate, run, log)? {
                    known.push((component, gate));
                }
            }
            if known.len() == before {
                return Err(ControlPlaneError::UnknownGate(name.clone()));
            }
        }
        Ok(Self(known))
    }

    pub(crate) fn of(&self, component: Component) -> Vec<String> {
        self.0.iter().filter(|(owner, _)| *owner == component).map(|(_, gate)| gate.clone()).collect()
    }
}

fn knows(
    config: &Config,
    component: Component,
    gate: &str,
    run: &Path,
    log: &Path,
) -> Result<bool, ControlPlaneError> {
    at(log, std::fs::write(log, ""))?;
    let mut launch = Launch::new(config.binaries.of(component).clone(), log)
        .args([format!("--feature-gates={gate}"), "--version".to_owned()]);
    launch.run = Some(run.to_owned());
    let status = spawn_child(&launch)?.wait(ANSWER_LIMIT);
    if status.is_some_and(|status| status.success()) {
        return Ok(true);
    }
    let said = last_lines(log);
    if said.contains(UNKNOWN) {
        return Ok(false);
    }
    Err(ControlPlaneError::RefusedGate { component, gate: gate.to_owned(), said })
}
