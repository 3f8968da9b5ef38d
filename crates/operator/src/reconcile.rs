//! The controller: watches, and a reconcile for each MiniCluster that anything happened to.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use towtank_api::{MiniCluster, condition};
use tracing::{debug, warn};

use crate::Settings;
use crate::cache::{Cache, Key};
use crate::execute::{Executor, Outcome};
use crate::failure::Failure;
use crate::objects::MANAGED_BY;
use crate::observe::{Caches, Others, cluster_of, cluster_of_pod, owned, owned_metadata, pod};
use crate::plan::{Observed, Plan, Write, plan, plan_refused};

/// Looks within one reconcile, when something was there that the caches did not show.
const LOOKS_MAX: usize = 8;
/// How long a reconcile waits for the first lists: one that waits for ever could not be finished when the operator stops.
const SYNC_PATIENCE: Duration = Duration::from_secs(10);
/// How long until the next reconcile when these were not enough.
const STALE_RETRY: Duration = Duration::from_secs(1);
/// Doublings of the time until a reconcile that failed is tried again.
const DOUBLINGS_MAX: u32 = 20;

type Name = (String, String);

/// What all reconciles share.
struct Context {
    client: Client,
    settings: Settings,
    caches: Caches,
    memory: Mutex<Memory>,
}

/// What is remembered of MiniClusters between reconciles; losing it costs nothing but a figure.
#[derive(Default)]
struct Memory {
    /// Failures in a row.
    failures: BTreeMap<Name, u32>,
    /// When the size that is on its way was written.
    resizes: BTreeMap<Name, Timestamp>,
}

/// Looks after MiniClusters until `stop` is ready.
pub(crate) async fn run(
    client: Client,
    settings: Settings,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let clusters: Api<MiniCluster> = api(&client, &settings);
    let config = controller::Config::default().concurrency(settings.concurrency);
    let context = Arc::new(Context { client, settings, caches: Caches::default(), memory: Mutex::default() });
    let controller = Controller::new(clusters, watcher::Config::default())
        .with_config(config)
        .reconcile_on(context.watch_all())
        .graceful_shutdown_on(stop);
    let results = controller.run(reconcile, on_failure, Arc::clone(&context));
    results
        .for_each(|result| {
            match result {
                Ok((object, action)) => debug!(%object, ?action, "reconciled"),
                Err(controller::Error::ObjectNotFound(object)) => {
                    context.forget(&object.name, object.namespace.as_deref())
                }
                Err(controller::Error::ReconcilerFailed(error, object)) => {
                    warn!(%object, %error, "reconcile failed")
                }
                Err(error) => {
                    context.settings.metrics.watch_errors.inc();
                    warn!(%error, "watch failed");
                }
            }
            std::future::ready(())
        })
        .await;
}

fn api<K>(client: &Client, settings: &Settings) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &settings.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

impl Context {
    /// All watches but that of the MiniClusters: each keeps its cache, and says which MiniCluster to look at.
    fn watch_all(self: &Arc<Self>) -> impl Stream<Item = ObjectRef<MiniCluster>> + Send + use<> {
        let own = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let pods = watcher::Config::default().labels("app=flux-operator");
        let (client, settings) = (&self.client, &self.settings);
        let secrets = api::<PartialObjectMeta<Secret>>(client, settings);
        stream::select_all([
            self.watch(
                watch(api(client, settings), own.clone()),
                |caches| &caches.config_maps,
                owned,
                by_owner,
            ),
            self.watch(watch(api(client, settings), own.clone()), |caches| &caches.services, owned, by_owner),
            self.watch(
                watch(secrets, own),
                |caches| &caches.secrets,
                |secret: &PartialObjectMeta<Secret>| owned_metadata(secret),
                by_owner,
            ),
            self.watch(
                watch(api(client, settings), watcher::Config::default()),
                |caches| &caches.jobs,
                owned,
                by_owner,
            ),
            self.watch(
                watch(api(client, settings), pods),
                |caches| &caches.pods,
                pod,
                |key, _| Some(cluster_of_pod(&key.0)),
            ),
        ])
    }

    fn watch<K, T>(
        self: &Arc<Self>,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        cache: impl Fn(&Caches) -> &Cache<T> + Send + 'static,
        row: impl Fn(&K) -> Option<(Key, T)> + Send + 'static,
        cluster: impl Fn(&Key, Option<&T>) -> Option<ObjectRef<MiniCluster>> + Send + 'static,
    ) -> stream::BoxStream<'static, ObjectRef<MiniCluster>>
    where
        K: ResourceExt + Clone + DeserializeOwned + Send + 'static,
        T: Clone + PartialEq + Send + 'static,
    {
        let context = Arc::clone(self);
        let changed = events.default_backoff().map(move |event| {
            let cache = cache(&context.caches);
            match event {
                Ok(event) => {
                    let before = match &event {
                        Event::Delete(object) => row(object).map(|(_, row)| row),
                        _ => None,
                    };
                    let keys = cache.on(event, &row);
                    let clusters = keys.iter().filter_map(|key| {
                        let now = cache.get(&key.0, &key.1);
                        cluster(key, now.as_ref().or(before.as_ref()))
                    });
                    clusters.collect()
                }
                Err(error) => {
                    context.settings.metrics.watch_errors.inc();
                    warn!(%error, "watch failed");
                    Vec::new()
                }
            }
        });
        changed.flat_map(stream::iter).boxed()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, name: &str, namespace: Option<&str>) {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        self.caches.clusters.forget(&key.0, &key.1);
        let mut memory = self.memory();
        memory.failures.remove(&key);
        memory.resizes.remove(&key);
    }

    async fn reconcile(&self, cluster: Arc<MiniCluster>) -> Result<Action, Failure> {
        if tokio::time::timeout(SYNC_PATIENCE, self.caches.synced()).await.is_err() {
            return Ok(Action::requeue(STALE_RETRY));
        }
        let mut others = Others::new();
        for _ in 0..LOOKS_MAX {
            let cluster = self.caches.newest(Arc::clone(&cluster));
            let observed = self.caches.observe(cluster, &others, &self.settings);
            let plan = plan(&observed);
            let mut executor = Executor {
                client: &self.client,
                settings: &self.settings,
                caches: &self.caches,
                others: &mut others,
                has_resized: false,
            };
            let result = executor.execute(&observed, &plan).await;
            // Whatever has become of the writes after it.
            if executor.has_resized {
                self.memory().resizes.insert(name(&observed.cluster), observed.now);
            }
            let outcome = match result {
                Err(failure) if failure.is_refused() => {
                    executor.execute(&observed, &plan_refused(&observed, &failure.told())).await?;
                    return Err(failure);
                }
                outcome => outcome?,
            };
            match outcome {
                Outcome::Stale => {}
                Outcome::Conflict => return Ok(Action::requeue(STALE_RETRY)),
                Outcome::Gone => return Ok(Action::await_change()),
                Outcome::Done => {
                    self.measure(&observed, &plan);
                    return Ok(plan.requeue.map_or_else(Action::await_change, Action::requeue));
                }
            }
        }
        Ok(Action::requeue(STALE_RETRY))
    }

    /// How long a resize takes, from its write until all is as wanted.
    fn measure(&self, observed: &Observed, plan: &Plan) {
        let name = name(&observed.cluster);
        let mut memory = self.memory();
        memory.failures.remove(&name);
        let status = plan.writes.iter().find_map(|write| match write {
            Write::Status(status) => Some(status),
            _ => None,
        });
        let is_there = |status: &towtank_api::MiniClusterStatus| {
            status.condition(condition::READY).is_some_and(towtank_api::Condition::is_true)
                && !status.condition(condition::PROGRESSING).is_some_and(towtank_api::Condition::is_true)
        };
        if status.is_some_and(|status| is_there(status))
            && let Some(start) = memory.resizes.remove(&name)
        {
            self.settings.metrics.resize_seconds.observe(seconds(start, observed.now));
        }
    }
}

fn by_owner<T>(key: &Key, row: Option<&crate::observe::Owned<T>>) -> Option<ObjectRef<MiniCluster>> {
    // What went while nobody watched names nobody; objects but sidecars' services are named after their MiniCluster.
    let name = row.and_then(crate::observe::Owned::owner_name).unwrap_or_else(|| {
        let name = key.1.as_str();
        name.strip_suffix("-entrypoint").or_else(|| name.strip_suffix("-curve")).unwrap_or(name)
    });
    Some(cluster_of(&key.0, name))
}

fn name(cluster: &MiniCluster) -> Name {
    (cluster.namespace().unwrap_or_default(), cluster.name_any())
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

async fn reconcile(cluster: Arc<MiniCluster>, context: Arc<Context>) -> Result<Action, Failure> {
    let (metrics, now) = (&context.settings.metrics, &context.settings.now);
    let start = now();
    metrics.reconciles.inc();
    let result = context.reconcile(cluster).await;
    metrics.reconcile_seconds.observe(seconds(start, now()));
    result
}

/// Tries again, later with each failure in a row, and for ever: what is wrong may be anything but the MiniCluster.
fn on_failure(cluster: Arc<MiniCluster>, _: &Failure, context: Arc<Context>) -> Action {
    let settings = &context.settings;
    settings.metrics.errors.inc();
    let mut memory = context.memory();
    let failures = memory.failures.entry(name(&cluster)).or_default();
    let wait = settings.retry_first.saturating_mul(2_u32.saturating_pow(*failures)).min(settings.retry_max);
    *failures = failures.saturating_add(1).min(DOUBLINGS_MAX);
    Action::requeue(wait)
}
