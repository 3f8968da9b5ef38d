//! Writes of everybody but the controllers, carried out by the driver's store.

use serde_json::{Value, json};
use towtank_model::objects::{Job, ObjectKey};
use towtank_model::server::{ApiError, Registry, Replica, Request};
use towtank_model::time::Time;

use crate::session::{Link, node_name};
use towtank_wire as wire;
use towtank_wire::pod::Preconditions;

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// The driver's store, as a judge of writes.
pub(crate) struct RemoteRegistry(pub(crate) Link);

/// Resources, each with the API group that its paths begin with.
const JOBS: (&str, &str) = ("/apis/batch/v1", "jobs");
const PODS: (&str, &str) = ("/api/v1", "pods");

impl Registry for RemoteRegistry {
    fn write(&mut self, _now: Time, request: &Request<'_>) -> Result<Vec<Replica>, ApiError> {
        match *request {
            Request::CreateJob(key, manifest) => self.create(JOBS, key, &wire::job_object(key, manifest)),
            Request::UpdateJob(job, manifest) => {
                self.send(JOBS, &job.key, "PATCH", "", MERGE, &wire::job_patch(job, manifest))
            }
            Request::DeleteJob(key, propagation) => {
                let options = wire::delete_options(None, Some(propagation), Preconditions::default());
                self.send(JOBS, key, "DELETE", "", JSON, &options)
            }
            Request::RemoveJobFinalizer(job, finalizer) => {
                self.send(JOBS, &job.key, "PATCH", "", MERGE, &without_finalizer(job, finalizer))
            }
            Request::CreatePod(key, manifest) => self.create(PODS, key, &wire::pod_object(key, manifest)),
            Request::DeletePod(pod, grace_period_s) => {
                let options = wire::delete_options(grace_period_s, None, Preconditions::default());
                self.send(PODS, &pod.key, "DELETE", "", JSON, &options)
            }
            Request::EvictPod(pod) => {
                self.send(PODS, &pod.key, "POST", "/eviction", JSON, &wire::eviction(&pod.key))
            }
            Request::PatchPod(pod, patch) => {
                self.send(PODS, &pod.key, "PATCH", "", MERGE, &wire::pod_patch(pod, patch))
            }
            Request::BindPod(pod, node) => {
                let binding = wire::binding(&pod.key, &node_name(node));
                self.send(PODS, &pod.key, "POST", "/binding", JSON, &binding)
            }
            Request::UpdatePodStatus(pod, status) => {
                self.send(PODS, &pod.key, "PATCH", "/status", MERGE, &wire::pod_status(status))
            }
        }
    }

    fn terminate_namespace(&mut self, namespace: &str) {
        self.0.tell(&json!({"do": "terminate-namespace", "name": namespace}));
    }
}

impl RemoteRegistry {
    fn create(
        &self,
        (group, resource): (&str, &'static str),
        key: &ObjectKey,
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let path = format!("{group}/namespaces/{}/{resource}", key.namespace);
        self.0.request((resource, key), ("POST", &path, JSON), body)
    }

    /// Sends something to an object that is there, or to a subresource of it.
    fn send(
        &self,
        (group, resource): (&str, &'static str),
        key: &ObjectKey,
        method: &str,
        subresource: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let path = format!("{group}/namespaces/{}/{resource}/{}{subresource}", key.namespace, key.name);
        self.0.request((resource, key), (method, &path, content_type), body)
    }
}

fn without_finalizer(job: &Job, finalizer: &str) -> Value {
    let left: Vec<&str> =
        job.finalizers.iter().map(|present| &**present).filter(|present| *present != finalizer).collect();
    json!({"metadata": {"uid": wire::Kind::Job.uid_text(job.uid), "finalizers": left}})
}
