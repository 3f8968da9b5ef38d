//! What the operator knows of the cluster: rows from watches, in order, and never older than what its own writes were answered with.
//!
//! The caches are maps in order, not kube's hashed stores, so that equal histories give equal decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

/// Scope and name of a row. The scope is a namespace; that of a pod is the namespace and its MiniCluster.
pub(crate) type Key = (String, String);

#[derive(Clone, Debug)]
struct Row<T> {
    /// `resourceVersion`; 0 when it is not a number.
    version: u64,
    uid: String,
    value: T,
}

#[derive(Debug)]
struct Rows<T> {
    rows: BTreeMap<Key, Row<T>>,
    /// Keys of a list that is being read.
    listed: Option<BTreeSet<Key>>,
}

/// Rows made of the objects of one watch.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    rows: Mutex<Rows<T>>,
    synced: watch::Sender<bool>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        let rows = Rows { rows: BTreeMap::new(), listed: None };
        Self { rows: Mutex::new(rows), synced: watch::Sender::new(false) }
    }
}

/// Version of an object; 0 when it is not a number.
pub(crate) fn version(object: &impl ResourceExt) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

impl<T: Clone + PartialEq> Cache<T> {
    /// Nothing under this lock can fail, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Rows<T>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first list.
    pub(crate) async fn synced(&self) {
        // The sender lives as long as the cache.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// The row under a key.
    pub(crate) fn get(&self, scope: &str, name: &str) -> Option<T> {
        let key = (scope.to_owned(), name.to_owned());
        self.lock().rows.get(&key).map(|row| row.value.clone())
    }

    /// The row under a key and its version.
    pub(crate) fn versioned(&self, scope: &str, name: &str) -> Option<(u64, T)> {
        let key = (scope.to_owned(), name.to_owned());
        self.lock().rows.get(&key).map(|row| (row.version, row.value.clone()))
    }

    /// All rows of a scope, by name.
    pub(crate) fn scope(&self, scope: &str) -> Vec<T> {
        let first = (scope.to_owned(), String::new());
        let rows = self.lock();
        rows.rows
            .range(first..)
            .take_while(|((of, _), _)| of == scope)
            .map(|(_, row)| row.value.clone())
            .collect()
    }

    /// Takes an object over, if it is no older than what is known; whether the row is another now.
    pub(crate) fn take<K: ResourceExt>(&self, key: Key, object: &K, value: T) -> bool {
        Self::put(&mut self.lock(), key, object, value)
    }

    fn put<K: ResourceExt>(rows: &mut Rows<T>, key: Key, object: &K, value: T) -> bool {
        let (version, uid) = (version(object), object.uid().unwrap_or_default());
        if let Some(row) = rows.rows.get(&key)
            && row.uid == uid
            && row.version > version
            && version != 0
        {
            return false;
        }
        let old = rows.rows.insert(key, Row { version, uid, value: value.clone() });
        old.is_none_or(|old| old.value != value)
    }

    /// Forgets a row.
    pub(crate) fn forget(&self, scope: &str, name: &str) {
        self.lock().rows.remove(&(scope.to_owned(), name.to_owned()));
    }

    /// Takes an event of the watch over. `row` makes a row of an object, or nothing of one that does not matter. Answers with
    /// the keys of rows that are others now.
    pub(crate) fn on<K: ResourceExt>(
        &self,
        event: Event<K>,
        row: impl Fn(&K) -> Option<(Key, T)>,
    ) -> Vec<Key> {
        let mut rows = self.lock();
        match event {
            Event::Init => {
                rows.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let Some((key, value)) = row(&object) else { return Vec::new() };
                if let Some(listed) = &mut rows.listed {
                    listed.insert(key.clone());
                }
                if Self::put(&mut rows, key.clone(), &object, value) { vec![key] } else { Vec::new() }
            }
            Event::Delete(object) => {
                let Some((key, _)) = row(&object) else { return Vec::new() };
                let is_it = rows.rows.get(&key).is_some_and(|row| Some(&row.uid) == object.uid().as_ref());
                if is_it {
                    rows.rows.remove(&key);
                    vec![key]
                } else {
                    Vec::new()
                }
            }
            Event::InitDone => {
                let listed = rows.listed.take().unwrap_or_default();
                // What is not there any more went while nobody watched.
                let gone: Vec<Key> = rows.rows.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in &gone {
                    rows.rows.remove(key);
                }
                drop(rows);
                self.synced.send_replace(true);
                gone
            }
        }
    }
}
