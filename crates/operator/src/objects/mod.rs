//! The objects of a MiniCluster, as functions of its spec: no clock, no randomness, no calls.

mod broker;
mod configmap;
pub(crate) mod curve;
mod hosts;
mod job;
mod pods;
mod services;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use towtank_api::{Container, MiniCluster, MiniClusterSpec};

pub use broker::{broker_options, broker_toml};
pub use configmap::{config_map, lead_command};
pub use curve::secret;
pub use hosts::{bursted, hostlist};
pub use job::{job, resize};
pub use pods::services_pod;
pub use services::{headless_name, services};

/// Port of the brokers.
pub const PORT: i32 = 8050;
/// Where the ConfigMap is mounted.
pub(crate) const SCRIPTS: &str = "/flux_operator";
/// Where the certificate is mounted.
pub(crate) const CURVE: &str = "/flux_operator_curve";
/// Label of everything but Jobs and pods: the operator watches what has it.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "towtank-operator");
/// Label of all pods of a MiniCluster.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Label of the pods with brokers, for a HorizontalPodAutoscaler.
pub const HPA_LABEL: &str = "hpa-selector";
/// Label of the pod with the side services.
pub const SERVICES_LABEL: &str = "towtank.dev/services-of";
/// Label that the Job controller gives to pods (Kubernetes 1.28).
pub const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// What was fixed when the MiniCluster was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its size then: the command is submitted with it, and it is the quorum.
    pub size: i32,
    /// Ranks that its own pods can have.
    pub maximum: i32,
}

impl Created {
    /// What is fixed by creating this.
    pub fn of(spec: &MiniClusterSpec) -> Self {
        Self { size: spec.size, maximum: spec.max_size.unwrap_or(spec.size).max(spec.size) }
    }

    pub(crate) fn annotations(self) -> BTreeMap<String, String> {
        [(towtank_api::CREATED_SIZE, self.size), (towtank_api::MAXIMUM_SIZE, self.maximum)]
            .map(|(key, value)| (key.to_owned(), value.to_string()))
            .into()
    }

    /// What is kept on an object of the MiniCluster.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let number = |key: &str| annotations.get(key)?.parse().ok().filter(|number: &i32| *number >= 1);
        Some(Self { size: number(towtank_api::CREATED_SIZE)?, maximum: number(towtank_api::MAXIMUM_SIZE)? })
    }
}

/// Name of the ConfigMap.
pub fn config_map_name(name: &str) -> String {
    format!("{name}-entrypoint")
}

/// Name of the Secret with the certificate.
pub fn secret_name(name: &str) -> String {
    format!("{name}-curve")
}

/// Name of the pod with the side services.
pub fn services_pod_name(name: &str) -> String {
    format!("{name}-services")
}

/// The position of the container that runs Flux.
pub fn flux_position(spec: &MiniClusterSpec) -> usize {
    spec.containers.iter().position(|container| container.run_flux).unwrap_or(0)
}

/// The container that runs Flux.
pub(crate) fn flux_container(spec: &MiniClusterSpec) -> Option<&Container> {
    spec.containers.get(flux_position(spec))
}

/// Containers without Flux, with their positions.
pub(crate) fn sidecars(spec: &MiniClusterSpec) -> impl Iterator<Item = (usize, &Container)> {
    let flux = flux_position(spec);
    spec.containers.iter().enumerate().filter(move |(position, _)| *position != flux)
}

/// Name of a container, which is at this position.
pub fn container_name(cluster: &str, position: usize, container: &Container) -> String {
    if container.name.is_empty() { format!("{cluster}-{position}") } else { container.name.clone() }
}

/// Metadata of an object that belongs to the MiniCluster.
pub(crate) fn metadata(cluster: &MiniCluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: cluster.namespace(),
        labels: Some(labels(&[MANAGED_BY, (NAME_LABEL, &cluster.name_any())])),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// The MiniCluster as the controller of an object.
pub(crate) fn owner(cluster: &MiniCluster) -> OwnerReference {
    OwnerReference {
        api_version: MiniCluster::api_version(&()).into_owned(),
        kind: MiniCluster::kind(&()).into_owned(),
        name: cluster.name_any(),
        uid: cluster.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// `None` for what is empty: absent in JSON.
pub(crate) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) fn some_map<V: Clone>(map: &BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then(|| map.clone())
}
