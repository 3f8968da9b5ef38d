//! Writes of everybody but the controllers, carried out by the driver's store.

use serde_json::{Value, json};
use towtank_model::objects::{Job, NodeId, ObjectKey, Pod};
use towtank_model::server::{ApiError, Registry, Replica, Request};
use towtank_model::time::Time;

use crate::session::{Link, node_name};
use crate::wire;
use crate::wire::pod::Preconditions;

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// The driver's store, as a judge of writes.
pub(crate) struct RemoteRegistry(pub(crate) Link);

impl Registry for RemoteRegistry {
    fn write(&mut self, _now: Time, request: &Request<'_>) -> Result<Vec<Replica>, ApiError> {
        match *request {
            Request::CreateJob(key, manifest) => {
                self.job(key, "POST", "", JSON, &wire::job_object(key, manifest))
            }
            Request::UpdateJob(job, manifest) => {
                self.job(&job.key, "PATCH", &job.key.name, MERGE, &wire::job_patch(job, manifest))
            }
            Request::DeleteJob(key, propagation) => {
                let options = wire::delete_options(None, Some(propagation), Preconditions::default());
                self.job(key, "DELETE", &key.name, JSON, &options)
            }
            Request::RemoveJobFinalizer(job, finalizer) => {
                self.job(&job.key, "PATCH", &job.key.name, MERGE, &without_finalizer(job, finalizer))
            }
            Request::CreatePod(key, manifest) => {
                self.pod(key, "POST", "", JSON, &wire::pod_object(key, manifest))
            }
            Request::DeletePod(pod, grace_period_s) => {
                let options = wire::delete_options(grace_period_s, None, Preconditions::default());
                self.stored_pod(pod, "DELETE", "", JSON, &options)
            }
            Request::EvictPod(pod) => {
                self.stored_pod(pod, "POST", "/eviction", JSON, &wire::eviction(&pod.key))
            }
            Request::PatchPod(pod, patch) => {
                self.stored_pod(pod, "PATCH", "", MERGE, &wire::pod_patch(pod, patch))
            }
            Request::BindPod(pod, node) => self.bind(pod, node),
            Request::UpdatePodStatus(pod, status) => {
                self.stored_pod(pod, "PATCH", "/status", MERGE, &wire::pod_status(status))
            }
        }
    }

    fn terminate_namespace(&mut self, namespace: &str) {
        self.0.tell(&json!({"do": "terminate-namespace", "name": namespace}));
    }
}

impl RemoteRegistry {
    fn bind(&self, pod: &Pod, node: NodeId) -> Result<Vec<Replica>, ApiError> {
        let binding = wire::binding(&pod.key, &node_name(node));
        self.stored_pod(pod, "POST", "/binding", JSON, &binding)
    }

    fn job(
        &self,
        key: &ObjectKey,
        method: &str,
        name: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs/{name}", key.namespace);
        self.0.request(("jobs", key), (method, path.trim_end_matches('/'), content_type), body)
    }

    fn pod(
        &self,
        key: &ObjectKey,
        method: &str,
        name: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let path = format!("/api/v1/namespaces/{}/pods/{name}", key.namespace);
        self.0.request(("pods", key), (method, path.trim_end_matches('/'), content_type), body)
    }

    fn stored_pod(
        &self,
        pod: &Pod,
        method: &str,
        subresource: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        self.pod(&pod.key, method, &format!("{}{subresource}", pod.key.name), content_type, body)
    }
}

fn without_finalizer(job: &Job, finalizer: &str) -> Value {
    let left: Vec<&str> =
        job.finalizers.iter().map(|present| &**present).filter(|present| *present != finalizer).collect();
    json!({"metadata": {"uid": wire::Kind::Job.uid_text(job.uid), "finalizers": left}})
}
