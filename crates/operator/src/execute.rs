//! Carries a plan out, call by call. Nothing here decides; nothing here deletes anything but what the plan says.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, ObjectReference, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use towtank_api::{MiniCluster, MiniClusterStatus};
use tracing::{info, warn};

use crate::failure::{Failure, code, is_already_there, is_conflict};
use crate::objects::{self, curve};
use crate::observe::{Caches, Others, owned, owned_metadata, pod, standing};
use crate::plan::{Found, Note, Observed, Plan, Write};
use crate::{MANAGER, Settings};

/// What came of a plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was written.
    Done,
    /// Something was there that the caches did not show: look again.
    Stale,
    /// What was looked at has changed since: the watch is going to tell.
    Conflict,
    /// The MiniCluster is gone.
    Gone,
}

/// Makes the calls for one MiniCluster.
pub(crate) struct Executor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) settings: &'a Settings,
    pub(crate) caches: &'a Caches,
    pub(crate) others: &'a mut Others,
    /// The Job has been made, or given another size.
    pub(crate) has_resized: bool,
}

impl Executor<'_> {
    /// Carries a plan out.
    pub(crate) async fn execute(&mut self, observed: &Observed, plan: &Plan) -> Result<Outcome, Failure> {
        let cluster = &observed.cluster;
        let (status, objects): (Vec<&Write>, Vec<&Write>) =
            plan.writes.iter().partition(|write| matches!(write, Write::Status(_)));
        for write in objects {
            let outcome = self.object(cluster, write).await?;
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
            self.has_resized |= matches!(write, Write::Resize { .. } | Write::CreateJob(_));
        }
        // A crash after this tells it twice, which is better than not at all.
        for note in &plan.notes {
            self.tell(cluster, note).await;
        }
        for write in status {
            if let Write::Status(status) = write {
                let outcome = self.status(cluster, status).await?;
                if outcome != Outcome::Done {
                    return Ok(outcome);
                }
            }
        }
        Ok(Outcome::Done)
    }

    async fn object(&mut self, cluster: &Arc<MiniCluster>, write: &Write) -> Result<Outcome, Failure> {
        let (caches, namespace) = (self.caches, cluster.namespace().unwrap_or_default());
        match write {
            Write::CreateConfigMap(object) => {
                self.create(cluster, &**object, |made: &ConfigMap| {
                    take(&caches.config_maps, owned(made), made)
                })
                .await
            }
            Write::CreateSecret(given) => {
                let certificate = given
                    .clone()
                    .unwrap_or_else(|| curve::certificate(&cluster.name_any(), (self.settings.random)()));
                let object = objects::secret(cluster, certificate);
                self.create(cluster, &object, |made: &Secret| {
                    let metadata = kube::core::metadata::PartialObjectMeta {
                        metadata: made.metadata.clone(),
                        ..Default::default()
                    };
                    take(&caches.secrets, owned_metadata(&metadata), &metadata);
                })
                .await
            }
            Write::CreateService(object) => {
                self.create(cluster, &**object, |made: &Service| take(&caches.services, owned(made), made))
                    .await
            }
            Write::CreatePod(object) => {
                self.create(cluster, &**object, |made: &Pod| take(&caches.pods, pod(made), made)).await
            }
            Write::CreateJob(object) => {
                self.create(cluster, &**object, |made: &Job| take(&caches.jobs, owned(made), made)).await
            }
            Write::ApplyConfigMap(object) => {
                let made: ConfigMap = self.apply(&namespace, &object.name_any(), &**object).await?;
                take(&caches.config_maps, owned(&made), &made);
                Ok(Outcome::Done)
            }
            Write::ApplyService(object) => {
                let made: Service = self.apply(&namespace, &object.name_any(), &**object).await?;
                take(&caches.services, owned(&made), &made);
                Ok(Outcome::Done)
            }
            Write::Resize { uid, version, from, to } => {
                let name = cluster.name_any();
                info!(%namespace, %name, from, to, "resizing the Job");
                let resize = objects::resize(&name, uid, version, *to);
                let made: Job = match self.apply(&namespace, &name, &resize).await {
                    Err(failure) if is_conflict(&failure.source) => return Ok(Outcome::Conflict),
                    made => made?,
                };
                take(&caches.jobs, owned(&made), &made);
                Ok(Outcome::Done)
            }
            Write::Delete => self.delete(cluster).await,
            Write::Status(_) => Ok(Outcome::Done),
        }
    }

    /// Creates an object, so that one of another is never changed by mistake. Where one is, whose it is decides.
    async fn create<K>(
        &mut self,
        cluster: &MiniCluster,
        object: &K,
        take: impl FnOnce(&K),
    ) -> Result<Outcome, Failure>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let (namespace, name) = (cluster.namespace().unwrap_or_default(), object.name_any());
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let call = format!("create {} {namespace}/{name}", K::kind(&()));
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.settings.metrics.writes.inc();
        match api.create(&parameters, object).await {
            Ok(made) => {
                info!(%namespace, %name, kind = %K::kind(&()), "created");
                take(&made);
                Ok(Outcome::Done)
            }
            Err(error) if is_already_there(&error) => {
                let there = api
                    .get_opt(&name)
                    .await
                    .map_err(Failure::of(format!("get {} {namespace}/{name}", K::kind(&()))))?;
                let Some(there) = there else { return Ok(Outcome::Stale) };
                match standing(&there, cluster) {
                    Found::Own(_) => take(&self.label(&api, there, object.labels()).await?),
                    other => {
                        self.others.insert((kind::<K>(), name), other);
                    }
                }
                Ok(Outcome::Stale)
            }
            Err(error) => Err(Failure::of(call)(error)),
        }
    }

    /// Puts back the labels by which the watches find an own object: somebody has taken them away.
    async fn label<K>(&self, api: &Api<K>, there: K, wanted: &BTreeMap<String, String>) -> Result<K, Failure>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        if wanted.iter().all(|(key, value)| there.labels().get(key) == Some(value)) {
            return Ok(there);
        }
        let name = there.name_any();
        let patch = json!({ "metadata": { "resourceVersion": there.resource_version(), "labels": wanted } });
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.settings.metrics.writes.inc();
        info!(%name, kind = %K::kind(&()), "putting labels back");
        let labelled = api.patch(&name, &parameters, &Patch::Merge(&patch)).await;
        labelled.map_err(Failure::of(format!("label {} {name}", K::kind(&()))))
    }

    async fn apply<K, B>(&self, namespace: &str, name: &str, body: &B) -> Result<K, Failure>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
        B: Serialize + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        self.settings.metrics.writes.inc();
        let call = format!("apply {} {namespace}/{name}", K::kind(&()));
        api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(body))
            .await
            .map_err(Failure::of(call))
    }

    async fn status(&self, cluster: &MiniCluster, status: &MiniClusterStatus) -> Result<Outcome, Failure> {
        let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let api: Api<MiniCluster> = Api::namespaced(self.client.clone(), &namespace);
        let body = json!({
            "apiVersion": MiniCluster::api_version(&()),
            "kind": MiniCluster::kind(&()),
            // What is said of an older version, and carried out late, must not undo what is said of a newer one.
            "metadata": { "name": name, "uid": cluster.uid(), "resourceVersion": cluster.resource_version() },
            "status": status,
        });
        self.settings.metrics.writes.inc();
        match api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)).await {
            Ok(made) => {
                let key = (namespace, name);
                self.caches.clusters.take(key, &made, Arc::new(made.clone()));
                Ok(Outcome::Done)
            }
            Err(error) if code(&error) == Some(404) => Ok(Outcome::Gone),
            Err(error) if is_conflict(&error) => Ok(Outcome::Conflict),
            Err(error) => Err(Failure::of(format!("apply status of MiniCluster {namespace}/{name}"))(error)),
        }
    }

    async fn delete(&self, cluster: &MiniCluster) -> Result<Outcome, Failure> {
        let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let api: Api<MiniCluster> = Api::namespaced(self.client.clone(), &namespace);
        let preconditions = Preconditions { uid: cluster.uid(), resource_version: None };
        let parameters = DeleteParams::background().preconditions(preconditions);
        self.settings.metrics.writes.inc();
        match api.delete(&name, &parameters).await {
            Ok(_) => {
                info!(%namespace, %name, "the lead has ended: deleted the MiniCluster");
                Ok(Outcome::Done)
            }
            Err(error) if matches!(code(&error), Some(404 | 409)) => Ok(Outcome::Done),
            Err(error) => Err(Failure::of(format!("delete MiniCluster {namespace}/{name}"))(error)),
        }
    }

    /// Writes an Event. What is told again is counted under the same name.
    async fn tell(&self, cluster: &MiniCluster, note: &Note) {
        let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let event = event(cluster, note, (self.settings.now)());
        let event_name = event.name_any();
        self.settings.metrics.writes.inc();
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let outcome = match api.create(&parameters, &event).await {
            Err(error) if is_already_there(&error) => self.tell_again(&api, &event).await,
            other => other.map(drop),
        };
        if let Err(error) = outcome {
            // What happened is in the status too.
            warn!(%namespace, %name, event = %event_name, %error, "could not write an Event");
        }
    }

    async fn tell_again(&self, api: &Api<Event>, event: &Event) -> Result<(), kube::Error> {
        let name = event.name_any();
        let count = api.get_opt(&name).await?.and_then(|event| event.count).unwrap_or(1);
        let patch = json!({ "count": count.saturating_add(1), "lastTimestamp": event.last_timestamp });
        self.settings.metrics.writes.inc();
        api.patch(
            &name,
            &PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() },
            &Patch::Merge(&patch),
        )
        .await
        .map(drop)
    }
}

fn take<T: Clone + PartialEq, K: ResourceExt>(
    cache: &crate::cache::Cache<T>,
    row: Option<(crate::cache::Key, T)>,
    object: &K,
) {
    if let Some((key, value)) = row {
        cache.take(key, object, value);
    }
}

fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()).as_ref() {
        "ConfigMap" => "ConfigMap",
        "Secret" => "Secret",
        "Service" => "Service",
        "Pod" => "Pod",
        _ => "Job",
    }
}

/// The Event of a note; the same note has the same name.
fn event(cluster: &MiniCluster, note: &Note, now: jiff::Timestamp) -> Event {
    let name = cluster.name_any();
    let uid = cluster.uid().unwrap_or_default();
    let hash = hash(&[&uid, &note.reason, &note.message]);
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{hash:016x}")),
            namespace: cluster.namespace(),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(MiniCluster::api_version(&()).into_owned()),
            kind: Some(MiniCluster::kind(&()).into_owned()),
            name: Some(name),
            namespace: cluster.namespace(),
            uid: Some(uid),
            resource_version: cluster.resource_version(),
            ..ObjectReference::default()
        },
        type_: Some(if note.is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(note.reason.clone()),
        message: Some(note.message.clone()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(k8s_openapi::api::core::v1::EventSource {
            component: Some(MANAGER.to_owned()),
            host: None,
        }),
        ..Event::default()
    }
}

/// FNV-1a, 64 bits: the same everywhere and for ever.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
