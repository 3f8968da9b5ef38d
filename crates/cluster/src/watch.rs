//! What a real cluster shows: watches of the kinds that a run is about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::clock::Stamp;
use crate::connection::Connection;
use crate::namespaces::Namespaces;

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
    /// A list has come to its end: of this kind there are in this namespace the objects with these uids and no others.
    Listed(String, BTreeSet<String>),
    /// The watch has failed, and goes on.
    Failed(String),
}

/// All watches of a run; they end with it.
pub(crate) struct Watches(Vec<JoinHandle<()>>);

impl Watches {
    /// Begins them, of each kind in each of these namespaces. Each tells of what is there already, and then of its list's end.
    ///
    /// # Errors
    ///
    /// A namespace is none of the story's.
    pub(crate) fn begin(
        connection: &Connection,
        namespaces: &[String],
        sender: &Sender<Message>,
    ) -> Result<Self, String> {
        // One that cannot be begun ends those that have.
        let mut this = Self(Vec::new());
        for watched in Watched::ALL {
            for namespace in namespaces {
                let api = connection.objects(namespace, &watched.resource())?;
                let stream = watch(api, watcher::Config::default()).default_backoff();
                let place = Place { watched, namespace: namespace.clone(), names: connection.namespaces() };
                this.0.push(connection.handle().spawn(tell(place, stream, sender.clone())));
            }
        }
        Ok(this)
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What a watch is of.
struct Place {
    watched: Watched,
    namespace: String,
    names: Option<Arc<Namespaces>>,
}

async fn tell(
    Place { watched, namespace, names }: Place,
    stream: impl Stream<Item = Result<Event<DynamicObject>, watcher::Error>>,
    sender: Sender<Message>,
) {
    let mut listed = BTreeSet::new();
    let mut stream = std::pin::pin!(stream.into_stream());
    while let Some(event) = stream.next().await {
        let value = |object: DynamicObject| {
            let mut object = serde_json::to_value(object).unwrap_or_default();
            if let Some(names) = &names {
                names.inward(&mut object);
            }
            object
        };
        let shown = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed.extend(object.metadata.uid.clone());
                Shown::Stored(value(object))
            }
            Ok(Event::InitDone) => Shown::Listed(namespace.clone(), std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => Shown::Stored(value(object)),
            Ok(Event::Delete(object)) => Shown::Gone(value(object)),
            Err(error) => Shown::Failed(error.to_string()),
        };
        // Nobody listens any more: the run has ended.
        if sender.send(Message { came: Stamp::now(), watched, shown }).is_err() {
            return;
        }
    }
}
