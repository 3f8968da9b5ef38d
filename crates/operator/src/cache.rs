//! What the operator knows of the cluster: rows from watches, in order, and never older than what its own writes were answered with.
//!
//! The caches are maps in order, not kube's hashed stores, so that equal histories give equal decisions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Where the row of an object is, by its uid: an owner or a label that decides can be taken away.
    keys: BTreeMap<String, Key>,
    /// Keys of a list that is being read.
    listed: Option<BTreeSet<Key>>,
    /// What the watch has told to be gone, last: key, uid, and the version in which it went.
    gone: VecDeque<(Key, String, u64)>,
}

/// Deletions that are remembered: as long as an answer can be under way.
const GONE_MAX: usize = 1_024;

/// Rows made of the objects of one watch.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    rows: Mutex<Rows<T>>,
    synced: watch::Sender<bool>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        let rows = Rows { rows: BTreeMap::new(), keys: BTreeMap::new(), listed: None, gone: VecDeque::new() };
        Self { rows: Mutex::new(rows), synced: watch::Sender::new(false) }
    }
}

impl<T> Rows<T> {
    fn remove(&mut self, key: &Key) -> Option<Row<T>> {
        let row = self.rows.remove(key)?;
        self.keys.remove(&row.uid);
        Some(row)
    }

    fn note_gone(&mut self, key: &Key, uid: &str, version: u64) {
        if self.gone.len() == GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back((key.clone(), uid.to_owned(), version));
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

    /// Takes over what a write was answered with, if it is no older than what is known; whether the row is another now.
    pub(crate) fn take<K: ResourceExt>(&self, key: Key, object: &K, value: T) -> bool {
        let mut rows = self.lock();
        let (uid, version) = (object.uid().unwrap_or_default(), version(object));
        // It has gone since, and nobody would ever say so again.
        if rows.gone.iter().any(|(gone, of, at)| *gone == key && *of == uid && version < *at) {
            return false;
        }
        Self::put(&mut rows, key, object, value)
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
        let old = rows.remove(&key);
        rows.keys.insert(uid.clone(), key.clone());
        rows.rows.insert(key, Row { version, uid, value: value.clone() });
        old.is_none_or(|old| old.value != value)
    }

    /// Forgets a row.
    pub(crate) fn forget(&self, scope: &str, name: &str) {
        self.lock().remove(&(scope.to_owned(), name.to_owned()));
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
                let new = row(&object);
                let uid = object.uid().unwrap_or_default();
                let key = new.as_ref().map(|(key, _)| key);
                // It does not matter any more, or matters to another.
                let left = rows.keys.get(&uid).filter(|known| Some(*known) != key).cloned();
                let mut changed: Vec<Key> =
                    left.filter(|left| rows.remove(left).is_some()).into_iter().collect();
                if let Some((key, value)) = new {
                    if let Some(listed) = &mut rows.listed {
                        listed.insert(key.clone());
                    }
                    if Self::put(&mut rows, key.clone(), &object, value) {
                        changed.push(key);
                    }
                }
                changed
            }
            Event::Delete(object) => {
                let uid = object.uid().unwrap_or_default();
                let known = rows.keys.get(&uid).cloned();
                let Some(key) = known.clone().or_else(|| row(&object).map(|(key, _)| key)) else {
                    return Vec::new();
                };
                rows.note_gone(&key, &uid, version(&object));
                known.filter(|known| rows.remove(known).is_some()).into_iter().collect()
            }
            Event::InitDone => {
                let listed = rows.listed.take().unwrap_or_default();
                // What is not there any more went while nobody watched.
                let gone: Vec<Key> = rows.rows.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in &gone {
                    if let Some(row) = rows.remove(key) {
                        rows.note_gone(key, &row.uid, row.version.saturating_add(1));
                    }
                }
                drop(rows);
                self.synced.send_replace(true);
                gone
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("default".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn key(name: &str) -> Key {
        ("default".to_owned(), name.to_owned())
    }

    fn row(object: &ConfigMap) -> Option<(Key, u64)> {
        Some((key(&object.name_any()), version(object)))
    }

    /// Made for a MiniCluster that has just gone, collected at once, and told of before the creation is answered.
    #[test]
    fn an_answer_that_comes_after_the_deletion_brings_nothing_back() {
        let cache = Cache::default();
        cache.on(Event::Apply(object("a", "1", 5)), row);
        cache.on(Event::Delete(object("a", "1", 6)), row);
        assert!(!cache.take(key("a"), &object("a", "1", 5), 5));
        assert_eq!(cache.get("default", "a"), None);
        assert!(cache.take(key("a"), &object("a", "2", 7), 7));
        assert_eq!(cache.get("default", "a"), Some(7));
    }

    /// Somebody took its label away: the watch calls it deleted, and whoever reads it finds it.
    #[test]
    fn what_the_watch_does_not_see_any_more_can_be_read() {
        let cache = Cache::default();
        cache.on(Event::Apply(object("a", "1", 5)), row);
        cache.on(Event::Delete(object("a", "1", 6)), row);
        assert!(cache.take(key("a"), &object("a", "1", 6), 6));
    }

    /// `kubectl delete --cascade=orphan` takes the owner away first.
    #[test]
    fn what_has_no_owner_any_more_is_not_known() {
        let cache = Cache::default();
        let of_owner = |object: &ConfigMap| object.data.is_none().then(|| row(object)).flatten();
        cache.on(Event::Apply(object("a", "1", 5)), of_owner);
        let orphan = ConfigMap { data: Some(BTreeMap::new()), ..object("a", "1", 6) };
        assert_eq!(cache.on(Event::Apply(orphan.clone()), of_owner), [key("a")]);
        assert_eq!(cache.get("default", "a"), None);
        assert!(cache.on(Event::Delete(orphan), of_owner).is_empty());
        cache.on(Event::Apply(object("a", "2", 7)), of_owner);
        assert_eq!(cache.get("default", "a"), Some(7));
    }

    /// A label that says whose it is names another.
    #[test]
    fn a_row_that_moves_is_in_one_place() {
        let cache = Cache::default();
        let by_version = |object: &ConfigMap| Some((key(&version(object).to_string()), version(object)));
        cache.on(Event::Apply(object("a", "1", 5)), by_version);
        assert_eq!(cache.on(Event::Apply(object("a", "1", 6)), by_version), [key("5"), key("6")]);
        assert_eq!((cache.get("default", "5"), cache.get("default", "6")), (None, Some(6)));
    }

    #[test]
    fn an_answer_is_known_before_the_watch_tells() {
        let cache = Cache::default();
        cache.on(Event::Apply(object("a", "1", 5)), row);
        assert!(cache.take(key("a"), &object("a", "1", 8), 8));
        assert!(!cache.take(key("a"), &object("a", "1", 7), 7));
        cache.on(Event::Apply(object("a", "1", 7)), row);
        assert_eq!(cache.get("default", "a"), Some(8));
    }
}
