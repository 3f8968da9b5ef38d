//! The API server as a typed store: the rules that it applies to writes, and the changes that watches see.
//!
//! It knows nothing of controllers. Every write names its [`Actor`], is validated as the real server would, and either
//! leaves one [`Change`] or is refused with an [`ApiError`]; both go into the trace when one is kept.

mod events;
mod jobs;
mod journal;
mod name_index;
mod names;
mod nodes;
mod pods;
mod registry;
mod rows;
mod store;
mod trace;
mod types;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::events::EventLog;
use self::store::Table;
use crate::objects::{
    DISRUPTION_TARGET, Job, Node, NodeId, ObjectKey, POD_SCHEDULED, Pod, ResourceVersion, Uid,
};
use crate::version::Features;

pub use self::events::{EVENTS_MAX, PendingEvent};
pub use self::jobs::{FOREGROUND_DELETION, ORPHAN_DEPENDENTS};
pub use self::registry::{Registry, Replica, Request};
pub use self::rows::PodContent;
pub use self::types::*;

/// The stored state.
pub struct Server {
    features: Features,
    pods: Table<Pod>,
    jobs: Table<Job>,
    /// Nodes by [`NodeId`]; they have no namespace.
    nodes: Table<Node>,
    /// Names of the Jobs that are gone, so that a write to one can say whether another has taken its name.
    gone_jobs: BTreeMap<Uid, ObjectKey>,
    /// Jobs that show labels of their template which their stored form does not have yet.
    unstored_labels: BTreeSet<Uid>,
    /// Namespaces in which nothing can be created.
    terminating_namespaces: BTreeSet<Arc<str>>,
    /// The version that the last write got.
    resource_version: ResourceVersion,
    /// What the watches have not delivered yet.
    changes: Vec<Change>,
    /// All changes with their versions, when somebody follows them.
    journal: Option<Vec<(ResourceVersion, Change)>>,
    /// All Events as they are counted, when somebody follows them.
    event_journal: Option<Vec<EventRecord>>,
    /// Writes are judged and not stored.
    rehearses: bool,
    /// Absent when no trace is kept.
    trace: Option<Vec<TraceEntry>>,
    events: EventLog,
    words: Words,
    /// Who judges the writes to Jobs and pods in place of the rules here.
    registry: Option<Box<dyn Registry>>,
}

/// Texts that many objects have in common, one copy for all of them.
struct Words {
    pod_scheduled: Arc<str>,
    disruption_target: Arc<str>,
    evicted: Arc<str>,
    none: Arc<str>,
}

impl Server {
    /// An empty store that behaves as `features` say. With `keep_trace`, every write and decision is kept.
    pub fn new(features: Features, keep_trace: bool) -> Self {
        Self {
            features,
            pods: Table::default(),
            jobs: Table::default(),
            nodes: Table::default(),
            gone_jobs: BTreeMap::new(),
            unstored_labels: BTreeSet::new(),
            terminating_namespaces: BTreeSet::new(),
            resource_version: 0,
            changes: Vec::new(),
            journal: None,
            event_journal: None,
            rehearses: false,
            trace: keep_trace.then(Vec::new),
            events: EventLog::default(),
            words: Words {
                pod_scheduled: POD_SCHEDULED.into(),
                disruption_target: DISRUPTION_TARGET.into(),
                evicted: "EvictionByEvictionAPI".into(),
                none: "".into(),
            },
            registry: None,
        }
    }

    /// What this version does.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The version that the last write got; 0 before the first.
    pub fn resource_version(&self) -> ResourceVersion {
        self.resource_version
    }

    // ---- reads: all O(1) or borrowed iterators in order of creation ----

    /// The pod with this uid, while it is stored.
    pub fn pod(&self, uid: Uid) -> Option<&Arc<Pod>> {
        self.pods.get(uid.0)
    }

    /// The pod of this name.
    pub fn pod_by_key(&self, key: &ObjectKey) -> Option<&Arc<Pod>> {
        self.pods.by_name(key)
    }

    /// All pods, in order of creation.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter()
    }

    /// The Job with this uid, while it is stored.
    pub fn job(&self, uid: Uid) -> Option<&Arc<Job>> {
        self.jobs.get(uid.0)
    }

    /// The Job of this name.
    pub fn job_by_key(&self, key: &ObjectKey) -> Option<&Arc<Job>> {
        self.jobs.by_name(key)
    }

    /// All Jobs, in order of creation.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter()
    }

    /// The node with this id, while it is stored.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(id.0)
    }

    /// All nodes, in order of creation.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter()
    }

    /// Takes the changes since the last call, in order: what the watches have to deliver.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// From now on nothing can be created in this namespace.
    pub fn terminate_namespace(&mut self, namespace: &str) {
        if let Some(registry) = &mut self.registry {
            registry.terminate_namespace(namespace);
        }
        if !self.terminating_namespaces.contains(namespace) {
            self.terminating_namespaces.insert(namespace.into());
        }
    }

    /// Whether nothing can be created in this namespace any more.
    pub fn is_terminating(&self, namespace: &str) -> bool {
        self.terminating_namespaces.contains(namespace)
    }

    /// Refuses what cannot be created because its namespace is on its way out.
    fn check_namespace(&self, namespace: &Arc<str>) -> Result<(), ApiError> {
        if self.terminating_namespaces.contains(namespace) {
            return Err(ApiError::NamespaceTerminating(Arc::clone(namespace)));
        }
        Ok(())
    }
}
