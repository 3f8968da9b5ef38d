//! The processes of a site that stories and chaos act upon: the control plane's components, and the production operator.

use std::time::Duration;

use towtank_control_plane::{Child, Component, ControlPlane, ControlPlaneError, Launch, spawn_child};

/// How long the operator may take to end in order.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Something that can be killed and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// A component of the control plane.
    Component(Component),
    /// The production operator.
    Operator,
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Component(Component::Etcd),
        Self::Component(Component::Apiserver),
        Self::Component(Component::ControllerManager),
        Self::Component(Component::Scheduler),
        Self::Operator,
    ];
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Component(component) => component.fmt(f),
            Self::Operator => f.write_str("towtank-operator"),
        }
    }
}

/// A control plane and an operator.
pub(crate) struct Processes {
    /// Ends before what it talks to.
    operator: Option<Child>,
    operator_launch: Launch,
    pub(crate) plane: ControlPlane,
    job_controllers_run: bool,
    pods_by_hand: bool,
}

impl Processes {
    /// With the operator just started. A site with `pods_by_hand` has no controllers of pods.
    pub(crate) fn new(
        plane: ControlPlane,
        operator_launch: Launch,
        pods_by_hand: bool,
    ) -> Result<Self, ControlPlaneError> {
        let operator = Some(spawn_child(&operator_launch)?);
        Ok(Self { operator, operator_launch, plane, job_controllers_run: true, pods_by_hand })
    }

    /// Has the controllers of Jobs run or not; all others run in any case, as they do where the model's process of the Job controller ends.
    pub(crate) fn turn_job_controllers(&mut self, on: bool) -> Result<(), ControlPlaneError> {
        if self.job_controllers_run != on {
            self.plane.set_extra_flags(Component::ControllerManager, controllers(on, self.pods_by_hand));
            self.plane.restart(Component::ControllerManager)?;
            self.job_controllers_run = on;
        }
        Ok(())
    }

    /// Has the operator run or not.
    pub(crate) fn turn_operator(&mut self, on: bool) -> Result<(), ControlPlaneError> {
        match (on, self.operator.take()) {
            (true, None) => self.operator = Some(spawn_child(&self.operator_launch)?),
            (true, running) => self.operator = running,
            (false, running) => {
                if let Some(mut operator) = running {
                    operator.stop(STOP_LIMIT);
                }
            }
        }
        Ok(())
    }

    /// Kills one and starts it again at once.
    pub(crate) fn strike(&mut self, victim: Victim) -> Result<(), ControlPlaneError> {
        match victim {
            Victim::Component(component) => {
                self.plane.kill(component);
                self.plane.restart(component)
            }
            Victim::Operator => {
                // One that a story has stopped stays away.
                match self.operator.take() {
                    None => Ok(()),
                    Some(mut operator) => {
                        operator.kill();
                        self.turn_operator(true)
                    }
                }
            }
        }
    }

    /// An error when a process has ended that nobody has ended.
    pub(crate) fn check(&mut self) -> Result<(), ControlPlaneError> {
        self.operator.iter_mut().try_for_each(Child::check)?;
        self.plane.check()
    }
}

/// The flag that says which controllers run.
pub(crate) fn controllers(of_jobs: bool, pods_by_hand: bool) -> Vec<String> {
    let mut without = Vec::new();
    if !of_jobs {
        without.extend(["job-controller", "ttl-after-finished-controller"]);
    }
    if pods_by_hand {
        // It ends pods without a node that are told to go.
        without.push("pod-garbage-collector-controller");
    }
    let without: String = without.iter().map(|controller| format!(",-{controller}")).collect();
    if without.is_empty() { Vec::new() } else { vec![format!("--controllers=*{without}")] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_left_out_by_name() {
        assert!(controllers(true, false).is_empty());
        assert_eq!(controllers(true, true), ["--controllers=*,-pod-garbage-collector-controller"]);
        assert_eq!(
            controllers(false, false),
            ["--controllers=*,-job-controller,-ttl-after-finished-controller"]
        );
    }
}
