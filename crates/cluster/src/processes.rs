//! The providers `process` and `containers`: a control plane's components as processes or as containers, and the production operator as a process beside them.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::json;
use towtank_control_plane::{Binaries, Child, Component, Config, ControlPlane, Launch, spawn_child};
use towtank_lockstep::virtual_world::embedded;

use crate::connection::Connection;
use crate::namespaces::Namespaces;
use crate::provider::{Machines, Provider};
use crate::site::{self, Containers, Local, SiteConfig, SiteError};

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

/// How long the operator may act; a site lives for hours at most.
const TOKEN_S: u32 = 24 * 3600;

/// A control plane and an operator.
pub(crate) struct Processes {
    /// Ends before what it talks to.
    operator: Option<Child>,
    operator_launch: Launch,
    plane: ControlPlane,
    connection: Connection,
    job_controllers_run: bool,
    pods_by_hand: bool,
}

impl Processes {
    /// Starts everything; nothing is in the cluster yet but what the operator needs. A site with `pods_by_hand` has no controllers of pods.
    pub(crate) fn start(config: &SiteConfig, local: &Local) -> Result<Self, SiteError> {
        let version = config.version.full();
        let files = Binaries::in_dir(&local.programs, &version);
        let binaries = match &local.containers {
            None => files,
            Some(Containers::Built) => files.built_as_images(&version)?,
            Some(Containers::Named(template)) => Binaries::images(template, &version),
        };
        let pods_by_hand = config.pods_by_hand;
        let mut plane = ControlPlane::start(Config {
            feature_gates: config.feature_gates.clone(),
            controller_qps: config.controller_qps,
            interrupt: config.interrupt.clone(),
            extra_flags: [(Component::ControllerManager, controllers(true, pods_by_hand))].into(),
            ..Config::new(binaries, &config.dir)
        })?;
        let begun = Connection::from_kubeconfig(plane.kubeconfig(), None).map_err(SiteError::Client);
        let begun = begun.and_then(|connection| {
            site::deploy(&connection, |_| {})?;
            let operator_launch = operator(&connection, &plane, local)?;
            let operator = Some(spawn_child(&operator_launch)?);
            Ok((connection, operator, operator_launch))
        });
        match begun {
            Ok((connection, operator, operator_launch)) => Ok(Self {
                operator,
                operator_launch,
                plane,
                connection,
                job_controllers_run: true,
                pods_by_hand,
            }),
            Err(error) => Err(error.logged(|| plane.keep_logs_of_failed())),
        }
    }
}

/// The operator's own program as what its manifests make it: a ServiceAccount with its roles.
fn operator(connection: &Connection, plane: &ControlPlane, local: &Local) -> Result<Launch, SiteError> {
    let (namespace, name) = (embedded::NAMESPACE, embedded::OPERATOR);
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request = json!({"spec": {"expirationSeconds": TOKEN_S}});
    let answer = site::must(connection, Method::POST, &path, &request)?;
    let Some(token) = answer.pointer("/status/token").and_then(|token| token.as_str()) else {
        return Err(SiteError::Refused { what: format!("a token of {name}"), answer });
    };
    let kubeconfig = plane.write_kubeconfig(name, token)?;
    let launch = plane.launch(name, local.operator.clone()).args(["--metrics-address", "127.0.0.1:0"]);
    Ok(launch.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info"))
}

impl Provider for Processes {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn machines(&self) -> Option<&Machines> {
        None
    }

    fn turn_job_controllers(&mut self, on: bool) -> Result<(), SiteError> {
        if self.job_controllers_run != on {
            self.plane.set_extra_flags(Component::ControllerManager, controllers(on, self.pods_by_hand));
            self.plane.restart(Component::ControllerManager)?;
            self.job_controllers_run = on;
        }
        Ok(())
    }

    fn fresh_namespaces(&mut self, _names: &[String]) -> Result<Option<Namespaces>, SiteError> {
        Ok(None)
    }

    fn turn_operator(&mut self, on: bool) -> Result<(), SiteError> {
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

    fn strike(&mut self, victim: Victim) -> Result<bool, SiteError> {
        match victim {
            Victim::Component(component) => {
                self.plane.kill(component);
                self.plane.bring_back(component)?;
            }
            Victim::Operator => {
                let Some(mut operator) = self.operator.take() else { return Ok(false) };
                operator.kill();
                self.turn_operator(true)?;
            }
        }
        Ok(true)
    }

    fn check(&mut self) -> Result<(), SiteError> {
        self.operator.iter_mut().try_for_each(Child::check)?;
        Ok(self.plane.check()?)
    }

    fn revive(&mut self) -> Result<Vec<Victim>, SiteError> {
        let mut ended: Vec<Victim> = Vec::new();
        for component in self.plane.ended() {
            self.plane.bring_back(component)?;
            ended.push(Victim::Component(component));
        }
        Ok(ended)
    }

    fn keep_logs(&mut self, to: PathBuf) {
        self.plane.keep_logs(to);
    }

    fn keep_logs_of_failed(&mut self) -> PathBuf {
        self.plane.keep_logs_of_failed()
    }

    /// Children and directories go with their values.
    fn end(&mut self) -> Result<(), SiteError> {
        Ok(())
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
