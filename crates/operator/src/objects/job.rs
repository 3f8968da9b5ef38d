//! The Job: Indexed, as many completions and pods as the MiniCluster has size. Its template is never changed afterwards.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use towtank_api::MiniCluster;

use super::{Created, some_map};
use super::{metadata, pods};

/// `backoffLimit` when none is given.
const BACKOFF_LIMIT: i32 = 100;

/// The Job of a MiniCluster, with this many pods.
pub fn job(cluster: &MiniCluster, created: Created, size: i32) -> Job {
    let (spec, name) = (&cluster.spec, cluster.name_any());
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pods::labels_of_brokers(cluster)),
            annotations: some_map(&spec.pod.annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pods::brokers(cluster)),
    };
    let job = JobSpec {
        completions: Some(size),
        parallelism: Some(size),
        completion_mode: Some("Indexed".to_owned()),
        backoff_limit: Some(spec.backoff_limit.unwrap_or(BACKOFF_LIMIT)),
        active_deadline_seconds: Some(spec.deadline_seconds),
        template,
        ..JobSpec::default()
    };
    let mut metadata = metadata(cluster, name);
    metadata.labels = some_map(&spec.job_labels);
    metadata.annotations = Some(created.annotations());
    Job { metadata, spec: Some(job), ..Job::default() }
}

/// What is applied to have another size: completions and parallelism together (KEP-3715), of this Job and no other, and nothing
/// of the template, which nobody can change.
pub fn resize(name: &str, uid: &str, version: &str, size: i32) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "uid": uid, "resourceVersion": version },
        "spec": { "completions": size, "parallelism": size },
    })
}
