//! Writes to Jobs and pods as requests of the Kubernetes API.

use serde_json::{Value, json};
use towtank_model::objects::{Job, NodeId, ObjectKey};
use towtank_model::server::Request;

use super::pod::Preconditions;
use super::{
    Kind, binding, delete_options, eviction, job_object, job_patch, pod_object, pod_patch, pod_status,
};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// A request, and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest<'a> {
    /// Kind of the object.
    pub kind: Kind,
    /// Name of the object.
    pub key: &'a ObjectKey,
    /// `POST`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Path, from the root.
    pub path: String,
    /// Of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Value,
}

impl Kind {
    /// The plural, as paths and errors have it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::Pod => "pods",
            Self::Node => "nodes",
        }
    }

    /// The path of all namespaces that have objects of this kind, or of all objects of a kind without namespaces.
    const fn root(self) -> &'static str {
        match self {
            Self::Job => "/apis/batch/v1",
            Self::Pod | Self::Node => "/api/v1",
        }
    }
}

/// The request that a write is. `node_name` tells what a node is called on the other side.
pub fn http_request<'a>(request: &Request<'a>, node_name: impl FnOnce(NodeId) -> String) -> HttpRequest<'a> {
    match *request {
        Request::CreateJob(key, manifest) => create(Kind::Job, key, job_object(key, manifest)),
        Request::UpdateJob(job, manifest) => patch(Kind::Job, &job.key, "", job_patch(job, manifest)),
        Request::DeleteJob(key, propagation) => {
            delete(Kind::Job, key, delete_options(None, Some(propagation), Preconditions::default()))
        }
        Request::RemoveJobFinalizer(job, finalizer) => {
            patch(Kind::Job, &job.key, "", without_finalizer(job, finalizer))
        }
        Request::CreatePod(key, manifest) => create(Kind::Pod, key, pod_object(key, manifest)),
        Request::DeletePod(pod, grace_period_s) => {
            delete(Kind::Pod, &pod.key, delete_options(grace_period_s, None, Preconditions::default()))
        }
        Request::EvictPod(pod) => post(&pod.key, "/eviction", eviction(&pod.key)),
        Request::PatchPod(pod, change) => patch(Kind::Pod, &pod.key, "", pod_patch(pod, change)),
        Request::BindPod(pod, node) => post(&pod.key, "/binding", binding(&pod.key, &node_name(node))),
        Request::UpdatePodStatus(pod, status) => patch(Kind::Pod, &pod.key, "/status", pod_status(status)),
    }
}

fn create(kind: Kind, key: &ObjectKey, body: Value) -> HttpRequest<'_> {
    let path = format!("{}/namespaces/{}/{}", kind.root(), key.namespace, kind.plural());
    HttpRequest { kind, key, method: "POST", path, content_type: JSON, body }
}

fn post<'a>(key: &'a ObjectKey, subresource: &str, body: Value) -> HttpRequest<'a> {
    HttpRequest { method: "POST", content_type: JSON, ..patch(Kind::Pod, key, subresource, body) }
}

fn delete(kind: Kind, key: &ObjectKey, body: Value) -> HttpRequest<'_> {
    HttpRequest { method: "DELETE", content_type: JSON, ..patch(kind, key, "", body) }
}

fn patch<'a>(kind: Kind, key: &'a ObjectKey, subresource: &str, body: Value) -> HttpRequest<'a> {
    let (root, plural) = (kind.root(), kind.plural());
    let path = format!("{root}/namespaces/{}/{plural}/{}{subresource}", key.namespace, key.name);
    HttpRequest { kind, key, method: "PATCH", path, content_type: MERGE, body }
}

fn without_finalizer(job: &Job, finalizer: &str) -> Value {
    let left: Vec<&str> =
        job.finalizers.iter().map(|present| &**present).filter(|present| *present != finalizer).collect();
    json!({"metadata": {"uid": Kind::Job.uid_text(job.uid), "finalizers": left}})
}
