//! What a real cluster shows: watches of the kinds that a run is about.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use serde_json::Value;
use tokio::task::JoinHandle;
use towtank_lockstep::virtual_world::embedded;

use crate::clock::Stamp;
use crate::connection::Connection;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// `batch/v1` Jobs.
    Jobs,
    /// Pods.
    Pods,
    /// Events of the core group, where the recorders of controllers write.
    Events,
    /// MiniClusters.
    MiniClusters,
}

impl Watched {
    pub(crate) const ALL: [Self; 4] = [Self::Jobs, Self::Pods, Self::Events, Self::MiniClusters];

    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Jobs => ("batch", "v1", "Job", "jobs"),
            Self::Pods => ("", "v1", "Pod", "pods"),
            Self::Events => ("", "v1", "Event", "events"),
            Self::MiniClusters => ("flux-framework.org", "v1alpha2", "MiniCluster", "miniclusters"),
        };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// Whether a namespace is the cluster's own, or the operator's: what is there is no part of a scenario.
pub(crate) fn is_of_the_cluster(namespace: &str) -> bool {
    namespace.starts_with("kube-") || namespace == "local-path-storage" || namespace == embedded::NAMESPACE
}

/// Something that a watch has shown.
#[derive(Debug)]
pub(crate) struct Message {
    /// When it came.
    pub(crate) came: Stamp,
    pub(crate) watched: Watched,
    pub(crate) shown: Shown,
}

#[derive(Debug)]
pub(crate) enum Shown {
    /// There is such an object, or a new version of it.
    Stored(Value),
    /// An object is gone; its last version.
    Gone(Value),
    /// A list has come to its end: of this kind there are the objects with these uids and no others.
    Listed(BTreeSet<String>),
    /// The watch has failed, and goes on.
    Failed(String),
}

/// All watches of a run; they end with it.
pub(crate) struct Watches(Vec<JoinHandle<()>>);

impl Watches {
    /// Begins them. Each tells of what is there already, and then of its list's end.
    pub(crate) fn begin(connection: &Connection, sender: &Sender<Message>) -> Self {
        let tasks = Watched::ALL.map(|watched| {
            let api: Api<DynamicObject> = Api::all_with(connection.client(), &watched.resource());
            let stream = watch(api, watcher::Config::default()).default_backoff();
            connection.handle().spawn(tell(watched, stream, sender.clone()))
        });
        Self(tasks.into())
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn tell(
    watched: Watched,
    stream: impl Stream<Item = Result<Event<DynamicObject>, watcher::Error>>,
    sender: Sender<Message>,
) {
    let mut listed = BTreeSet::new();
    let mut stream = std::pin::pin!(stream.into_stream());
    while let Some(event) = stream.next().await {
        let value = |object: DynamicObject| serde_json::to_value(object).unwrap_or_default();
        let shown = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed.extend(object.metadata.uid.clone());
                Shown::Stored(value(object))
            }
            Ok(Event::InitDone) => Shown::Listed(std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => Shown::Stored(value(object)),
            Ok(Event::Delete(object)) => Shown::Gone(value(object)),
            Err(error) => Shown::Failed(error.to_string()),
        };
        if let Shown::Stored(object) | Shown::Gone(object) = &shown
            && is_of_the_cluster(object["metadata"]["namespace"].as_str().unwrap_or_default())
        {
            continue;
        }
        // Nobody listens any more: the run has ended.
        if sender.send(Message { came: Stamp::now(), watched, shown }).is_err() {
            return;
        }
    }
}
