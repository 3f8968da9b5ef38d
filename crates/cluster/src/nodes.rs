//! Nodes without machines: the objects that kubelets keep, and their heartbeat. What happens to pods on them is the model's business.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::clock;
use crate::connection::Connection;
use crate::site::{self, SETTLED_WITHIN, SiteError, eventually};

/// What each node offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub cpu_milli: u32,
    /// Pods.
    pub pods_max: u32,
}

/// How often a kubelet renews its Lease: a quarter of what the node controller waits for.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// `leaseDurationSeconds`, as kubelets have it.
const LEASE_S: u32 = 40;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// The nodes of a cluster.
pub(crate) struct VirtualNodes {
    connection: Connection,
    present: Option<(u32, Machine)>,
    /// Names of those whose kubelets are there.
    alive: Arc<Mutex<BTreeSet<String>>>,
    heartbeat: JoinHandle<()>,
}

impl VirtualNodes {
    /// None yet.
    pub(crate) fn new(connection: Connection) -> Self {
        let alive = Arc::new(Mutex::new(BTreeSet::new()));
        let heartbeat = connection.handle().spawn(beat(connection.client(), Arc::clone(&alive)));
        Self { connection, present: None, alive, heartbeat }
    }

    /// Makes them so many nodes of this kind, all ready and without taints, called `node-0`, `node-1`, … as the model's are.
    pub(crate) fn become_these(&mut self, count: u32, machine: Machine) -> Result<Vec<String>, SiteError> {
        let names = |count: u32| (0..count).map(|number| format!("node-{number}"));
        if self.present == Some((count, machine)) {
            return Ok(names(count).collect());
        }
        for name in names(self.present.map_or(0, |(count, _)| count)) {
            self.connection.ask(Method::DELETE, &format!("/api/v1/nodes/{name}"), JSON, &Value::Null)?;
        }
        self.present = None;
        for name in names(count) {
            let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
            site::must(&self.connection, Method::POST, "/api/v1/nodes", &node)?;
            let status = json!({"status": status(machine)});
            site::must(&self.connection, Method::PATCH, &format!("/api/v1/nodes/{name}/status"), &status)?;
            site::make(&self.connection, LEASES, &lease(&name))?;
        }
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = names(count).collect();
        // The API server gives new nodes a taint, which the node controller takes away.
        eventually(SETTLED_WITHIN, "some nodes are not ready", || {
            let nodes = self.connection.get("/api/v1/nodes")?.unwrap_or_default();
            let untainted = |node: &&Value| node.pointer("/spec/taints").is_none();
            Ok(nodes["items"].as_array().is_some_and(|nodes| {
                nodes.iter().filter(untainted).count() == count as usize && nodes.len() == count as usize
            }))
        })?;
        self.present = Some((count, machine));
        Ok(names(count).collect())
    }
}

impl Drop for VirtualNodes {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

fn status(machine: Machine) -> Value {
    let resources = json!({
        "cpu": format!("{}m", machine.cpu_milli), "memory": "256Gi", "pods": machine.pods_max.to_string(),
    });
    let now = clock::timestamp();
    json!({
        "capacity": resources,
        "allocatable": resources,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a virtual node",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    })
}

fn lease(name: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": clock::micro_timestamp()},
    })
}

/// Renews the Leases of those that are alive, for ever. One that fails is renewed the next time.
async fn beat(client: kube::Client, alive: Arc<Mutex<BTreeSet<String>>>) {
    let mut interval = tokio::time::interval(HEARTBEAT);
    loop {
        interval.tick().await;
        let names = alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in names {
            let body = json!({"spec": {"renewTime": clock::micro_timestamp()}});
            let request = Request::patch(format!("{LEASES}/{name}")).header("content-type", MERGE);
            if let Ok(request) = request.body(Body::from(Bytes::from(body.to_string()))) {
                let _ = client.send(request).await;
            }
        }
    }
}
