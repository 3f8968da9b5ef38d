//! What is known of a MiniCluster, from the caches.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use towtank_api::MiniCluster;

use crate::Settings;
use crate::cache::{Cache, Key, version};
use crate::objects::{self, INDEX_LABEL, NAME_LABEL};
use crate::plan::{Found, Observed, PodBrief};

/// An object that somebody controls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Owned<T> {
    /// Its controller, if that is a MiniCluster: name and uid.
    owner: Option<(String, String)>,
    object: Arc<T>,
}

/// A pod, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodRow {
    owner: Option<(String, String)>,
    brief: PodBrief,
}

/// All caches.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    /// MiniClusters as status writes were answered: newer than the watch, sometimes.
    pub(crate) clusters: Cache<Arc<MiniCluster>>,
    pub(crate) config_maps: Cache<Owned<ConfigMap>>,
    pub(crate) secrets: Cache<Owned<()>>,
    pub(crate) services: Cache<Owned<Service>>,
    pub(crate) jobs: Cache<Owned<Job>>,
    pub(crate) pods: Cache<PodRow>,
}

/// Names whose objects were found not to be the MiniCluster's, by kind and name.
pub(crate) type Others = BTreeMap<(&'static str, String), Found<()>>;

/// The MiniCluster that controls an object: name and uid.
fn controller(object: &impl ResourceExt) -> Option<(String, String)> {
    let is_it = |owner: &&OwnerReference| {
        owner.controller == Some(true)
            && owner.kind == MiniCluster::kind(&())
            && owner.api_version.split('/').next() == Some(towtank_api::GROUP)
    };
    object.owner_references().iter().find(is_it).map(|owner| (owner.name.clone(), owner.uid.clone()))
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// A row of an object that a MiniCluster controls; others do not matter.
pub(crate) fn owned<K: ResourceExt + Clone>(object: &K) -> Option<(Key, Owned<K>)> {
    let owner = controller(object)?;
    Some((key(object), Owned { owner: Some(owner), object: Arc::new(object.clone()) }))
}

/// The same of a Secret's metadata: what is in it is nobody's business here.
pub(crate) fn owned_metadata(object: &PartialObjectMeta<Secret>) -> Option<(Key, Owned<()>)> {
    let owner = controller(object)?;
    Some((key(object), Owned { owner: Some(owner), object: Arc::new(()) }))
}

/// A row of a pod; only what decides.
pub(crate) fn pod(pod: &Pod) -> Option<(Key, PodRow)> {
    let cluster = pod.labels().get(NAME_LABEL)?;
    let scope = pod_scope(&pod.namespace().unwrap_or_default(), cluster);
    let status = pod.status.as_ref();
    let main = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|container| &container.name);
    let mut containers = status.and_then(|status| status.container_statuses.as_deref()).into_iter().flatten();
    let index = pod.labels().get(INDEX_LABEL).or_else(|| pod.annotations().get(INDEX_LABEL));
    let job =
        pod.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == "Job");
    let brief = PodBrief {
        job: job.map(|owner| owner.uid.clone()).unwrap_or_default(),
        index: index.and_then(|index| index.parse().ok()).unwrap_or(-1),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_default(),
        is_online: containers.any(|container| Some(&container.name) == main && container.ready),
        is_leaving: pod.metadata.deletion_timestamp.is_some(),
    };
    Some(((scope, pod.name_any()), PodRow { owner: controller(pod), brief }))
}

fn pod_scope(namespace: &str, cluster: &str) -> String {
    format!("{namespace}/{cluster}")
}

/// The MiniCluster that a row of an object is about.
pub(crate) fn cluster_of(namespace: &str, name: &str) -> ObjectRef<MiniCluster> {
    ObjectRef::new(name).within(namespace)
}

/// The same of a pod's scope.
pub(crate) fn cluster_of_pod(scope: &str) -> ObjectRef<MiniCluster> {
    let (namespace, name) = scope.split_once('/').unwrap_or(("", scope));
    cluster_of(namespace, name)
}

impl<T> Owned<T> {
    pub(crate) fn owner_name(&self) -> Option<&str> {
        self.owner.as_ref().map(|(name, _)| name.as_str())
    }

    fn found(self, cluster: &MiniCluster) -> Found<T> {
        match whose(self.owner.as_ref(), cluster) {
            Found::Own(_) => Found::Own(self.object),
            Found::Former => Found::Former,
            _ => Found::Foreign,
        }
    }
}

fn whose(owner: Option<&(String, String)>, cluster: &MiniCluster) -> Found<()> {
    match owner {
        Some((_, uid)) if Some(uid) == cluster.metadata.uid.as_ref() => Found::Own(Arc::new(())),
        Some((name, _)) if *name == cluster.name_any() => Found::Former,
        _ => Found::Foreign,
    }
}

/// Whose an object is.
pub(crate) fn standing(object: &impl ResourceExt, cluster: &MiniCluster) -> Found<()> {
    whose(controller(object).as_ref(), cluster)
}

impl Caches {
    /// Waits until everything was listed once: before that, nothing can be said of what is not there.
    pub(crate) async fn synced(&self) {
        self.config_maps.synced().await;
        self.secrets.synced().await;
        self.services.synced().await;
        self.jobs.synced().await;
        self.pods.synced().await;
    }

    /// The newest that is known of a MiniCluster.
    pub(crate) fn newest(&self, cluster: Arc<MiniCluster>) -> Arc<MiniCluster> {
        let (namespace, name) = key(&*cluster);
        match self.clusters.versioned(&namespace, &name) {
            Some((newer, known)) if known.uid() == cluster.uid() && newer > version(&*cluster) => known,
            _ => cluster,
        }
    }

    /// What is seen of a MiniCluster.
    pub(crate) fn observe(
        &self,
        cluster: Arc<MiniCluster>,
        others: &Others,
        settings: &Settings,
    ) -> Observed {
        let (namespace, name) = key(&*cluster);
        let job = self.jobs.get(&namespace, &name);
        let config_map_name = objects::config_map_name(&name);
        let secret_name = objects::secret_name(&name);
        let services_pod_name = objects::services_pod_name(&name);
        let services =
            objects::services(&cluster).into_iter().map(|service| service.name_any()).map(|service| {
                let row = self.services.get(&namespace, &service);
                let found = other(others, "Service", &service, row.map(|row| row.found(&cluster)));
                (service, found)
            });
        let pods = self.pods.scope(&pod_scope(&namespace, &name));
        let services_pod = self
            .pods
            .get(&pod_scope(&namespace, &name), &services_pod_name)
            .map(|row| whose(row.owner.as_ref(), &cluster));
        let services_pod = if cluster.spec.services.is_empty() { None } else { services_pod };
        let config_map = self.config_maps.get(&namespace, &config_map_name).map(|row| row.found(&cluster));
        let secret = self.secrets.get(&namespace, &secret_name).map(|row| row.found(&cluster));
        Observed {
            now: (settings.now)(),
            config_map: other(others, "ConfigMap", &config_map_name, config_map),
            secret: other(others, "Secret", &secret_name, secret),
            services: services.collect(),
            services_pod: other(others, "Pod", &services_pod_name, services_pod),
            job: other(others, "Job", &name, job.map(|row| row.found(&cluster))),
            pods: pods.into_iter().map(|row| row.brief).filter(|pod| pod.index >= 0).collect(),
            cluster,
        }
    }
}

fn other<T>(others: &Others, kind: &'static str, name: &str, found: Option<Found<T>>) -> Found<T> {
    match (found, others.get(&(kind, name.to_owned()))) {
        (Some(found), _) => found,
        (None, Some(Found::Foreign)) => Found::Foreign,
        (None, Some(Found::Former)) => Found::Former,
        (None, _) => Found::Absent,
    }
}
