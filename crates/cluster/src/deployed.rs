//! Clusters with kubelets: the operator is the Deployment of `deploy/`, and what is in the pods of MiniClusters really runs. How such a cluster begins and ends is its `Life`.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use towtank_control_plane::{ControlPlaneError, Interrupt};
use towtank_lockstep::virtual_world::embedded;

use crate::clock;
use crate::connection::Connection;
use crate::namespaces::Namespaces;
use crate::processes::Victim;
use crate::provider::{Machines, Provider};
use crate::site::{self, SiteError, eventually};

/// What runs in the cluster, whatever images a story names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The operator's.
    pub operator: String,
    /// That of the pods of MiniClusters: with Flux, or a stand-in for it.
    pub broker: String,
    /// That of the view, which brings Flux into these pods; `None`: the image that they run has it.
    pub view: Option<String>,
}

/// How a cluster with kubelets begins and ends, and what of it is a scenario's.
pub(crate) trait Life {
    /// Marks an object that is about to be made there.
    fn mark(&self, _object: &mut Value) {}

    /// See [`Provider::fresh_namespaces`].
    fn fresh_namespaces(&mut self, _names: &[String]) -> Result<Option<Namespaces>, SiteError> {
        Ok(None)
    }

    /// At the end, the logs are moved there.
    fn keep_logs(&mut self, to: PathBuf);

    /// See [`Provider::keep_logs_of_failed`].
    fn keep_logs_of_failed(&mut self) -> PathBuf;

    /// See [`Provider::end`].
    fn end(&mut self) -> Result<(), SiteError> {
        Ok(())
    }
}

/// A running cluster with kubelets, and the operator in it.
pub(crate) struct Deployed<L> {
    connection: Connection,
    machines: Machines,
    /// Replicas of the operator, when it runs.
    replicas: u64,
    operator_runs: bool,
    interrupt: Option<Interrupt>,
    life: L,
}

/// How long images may take to start for the first time; nodes may have to pull them.
const OPERATOR_WITHIN: Duration = Duration::from_secs(120);

impl<L: Life> Deployed<L> {
    /// Has the operator run. When that fails, the cluster has ended.
    pub(crate) fn install(
        life: L,
        connection: Connection,
        images: &Images,
        interrupt: Option<Interrupt>,
    ) -> Result<Self, SiteError> {
        let machines = Machines { names: Vec::new(), images: images.clone() };
        let mut this = Self { connection, machines, replicas: 1, operator_runs: true, interrupt, life };
        match this.deploy(&images.operator) {
            Ok(()) => Ok(this),
            Err(error) => {
                let error = error.logged(|| this.life.keep_logs_of_failed());
                Err(match this.life.end() {
                    Ok(()) => error,
                    Err(left) => SiteError::Left { error: Box::new(error), left: Box::new(left) },
                })
            }
        }
    }

    fn deploy(&mut self, image: &str) -> Result<(), SiteError> {
        self.machines.names = workers(&self.connection)?;
        if self.machines.names.is_empty() {
            return Err(SiteError::Client("no node of the cluster takes pods".to_owned()));
        }
        site::deploy(&self.connection, |object| self.life.mark(object))?;
        let (collection, mut deployment) = embedded::deployment()?;
        if let Some(place) = deployment.pointer_mut("/spec/template/spec/containers/0/image") {
            *place = image.into();
        }
        self.life.mark(&mut deployment);
        self.replicas = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        site::must(&self.connection, Method::POST, &collection, &deployment)?;
        self.await_operator()
    }

    fn deployment_path(subresource: &str) -> String {
        let (namespace, name) = (embedded::NAMESPACE, embedded::OPERATOR);
        format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}{subresource}")
    }

    /// Until as many replicas are available as are wanted.
    fn await_operator(&self) -> Result<(), SiteError> {
        let wanted = if self.operator_runs { self.replicas } else { 0 };
        let waited =
            eventually(OPERATOR_WITHIN, "the operator's Deployment does not have its replicas", || {
                if self.interrupt.as_ref().is_some_and(Interrupt::is_raised) {
                    return Err(ControlPlaneError::Interrupted.into());
                }
                let deployment = self.connection.get(&Self::deployment_path(""))?.unwrap_or_default();
                let available = deployment.pointer("/status/availableReplicas").and_then(Value::as_u64);
                let is_seen = deployment.pointer("/status/observedGeneration")
                    == deployment.pointer("/metadata/generation");
                let pods = operator_pods(&self.connection)?.len() as u64;
                Ok(is_seen && available.unwrap_or(0) == wanted && pods == wanted)
            });
        waited.map_err(|error| match error {
            SiteError::Late { what, seconds } => {
                let pods = operator_pods(&self.connection).unwrap_or_default();
                let why = pods.iter().find_map(hindrance).map_or_else(String::new, |why| format!(" ({why})"));
                SiteError::Late { what: what + &why, seconds }
            }
            error => error,
        })
    }
}

/// What keeps a pod from running, in the words of its kubelet or the scheduler.
fn hindrance(pod: &Value) -> Option<String> {
    let container = pod.pointer("/status/containerStatuses/0/state/waiting");
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_unbound = |it: &&Value| it["type"] == "PodScheduled" && it["status"] == "False";
    let told = container.or_else(|| conditions?.iter().find(is_unbound))?;
    let words: Vec<&str> = ["reason", "message"].iter().filter_map(|field| told[field].as_str()).collect();
    Some(words.join(": "))
}

/// The pods of the operator's namespace.
pub(crate) fn operator_pods(connection: &Connection) -> Result<Vec<Value>, SiteError> {
    site::list(connection, &format!("/api/v1/namespaces/{}/pods", embedded::NAMESPACE))
}

/// Names of the nodes that take pods.
fn workers(connection: &Connection) -> Result<Vec<String>, SiteError> {
    let nodes = site::list(connection, "/api/v1/nodes")?;
    let takes_pods = |node: &&Value| {
        let taints = node.pointer("/spec/taints").and_then(Value::as_array);
        !taints.into_iter().flatten().any(|taint| taint["effect"] != "PreferNoSchedule")
    };
    let all = nodes.iter().filter(takes_pods);
    Ok(all.filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

impl<L: Life> Provider for Deployed<L> {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn machines(&self) -> Option<&Machines> {
        Some(&self.machines)
    }

    /// Stories that stop them are not played here.
    fn turn_job_controllers(&mut self, _on: bool) -> Result<(), SiteError> {
        Ok(())
    }

    fn fresh_namespaces(&mut self, names: &[String]) -> Result<Option<Namespaces>, SiteError> {
        self.life.fresh_namespaces(names)
    }

    fn turn_operator(&mut self, on: bool) -> Result<(), SiteError> {
        if self.operator_runs == on {
            return Ok(());
        }
        let replicas = if on { self.replicas } else { 0 };
        let body = json!({"spec": {"replicas": replicas}});
        site::must(&self.connection, Method::PATCH, &Self::deployment_path("/scale"), &body)?;
        self.operator_runs = on;
        self.await_operator()
    }

    fn strike(&mut self, victim: Victim) -> Result<bool, SiteError> {
        if !self.operator_runs {
            return Ok(false);
        }
        if victim != Victim::Operator {
            return Err(SiteError::Client(format!("{victim} of a cluster with kubelets is not killed")));
        }
        for pod in operator_pods(&self.connection)? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{name}", embedded::NAMESPACE);
            site::must(&self.connection, Method::DELETE, &path, &json!({"gracePeriodSeconds": 0}))?;
        }
        clock::pause(Duration::from_secs(1));
        self.await_operator()?;
        Ok(true)
    }

    /// Kubelets see to it.
    fn check(&mut self) -> Result<(), SiteError> {
        Ok(())
    }

    fn revive(&mut self) -> Result<Vec<Victim>, SiteError> {
        Ok(Vec::new())
    }

    fn keep_logs(&mut self, to: PathBuf) {
        self.life.keep_logs(to);
    }

    fn keep_logs_of_failed(&mut self) -> PathBuf {
        self.life.keep_logs_of_failed()
    }

    fn end(&mut self) -> Result<(), SiteError> {
        self.life.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let waiting = json!({"reason": "ErrImagePull", "message": "no such image"});
        let unbound = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        let kubelet = json!({"status": {"containerStatuses": [{"state": {"waiting": waiting}}], "conditions": [unbound]}});
        assert_eq!(hindrance(&kubelet).as_deref(), Some("ErrImagePull: no such image"));
        assert_eq!(
            hindrance(&json!({"status": {"conditions": [unbound]}})).as_deref(),
            Some("Unschedulable")
        );
        assert_eq!(
            hindrance(&json!({"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}})),
            None
        );
    }
}
