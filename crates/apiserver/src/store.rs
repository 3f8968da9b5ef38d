//! What is stored: for each resource the present objects and a history of what happened to them.
//!
//! A [`Version`] is one object as it was from one resourceVersion to the next. It never changes; its JSON is made when
//! somebody reads it, at most once. Objects lie in the order of their etcd keys, `NAMESPACE/NAME`, which is the order in
//! which the real server lists them.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;
use towtank_model::objects::{Job, Node, Pod};

use crate::overlay;

/// One object at one resourceVersion.
#[derive(Debug)]
pub(crate) struct Version {
    /// `NAMESPACE/NAME`, or the name alone.
    pub(crate) key: Arc<str>,
    /// The version.
    pub(crate) rv: u64,
    /// What it says.
    pub(crate) content: Content,
    json: OnceLock<Bytes>,
}

/// What an object says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// All of it, as JSON.
    Document(Arc<Value>),
    /// A pod: the model's row, over what the row does not hold.
    Pod {
        /// The row.
        row: Arc<Pod>,
        /// What it is laid over.
        base: Arc<Value>,
        /// Name of the node it is bound to.
        node: Option<Arc<str>>,
    },
    /// A Job: the model's row, over what the row does not hold.
    Job {
        /// The row.
        row: Arc<Job>,
        /// What it is laid over.
        base: Arc<Value>,
    },
    /// A node: the model's row, over what the row does not hold.
    Node {
        /// The row.
        row: Arc<Node>,
        /// What it is laid over.
        base: Arc<Value>,
    },
}

impl Version {
    /// A version of an object.
    pub(crate) fn new(key: Arc<str>, rv: u64, content: Content) -> Self {
        Self { key, rv, content, json: OnceLock::new() }
    }

    /// The namespace, empty for objects of the cluster.
    pub(crate) fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// The whole object; for a row it is put together anew.
    pub(crate) fn value(&self) -> Arc<Value> {
        match &self.content {
            Content::Document(value) => Arc::clone(value),
            Content::Pod { row, base, node } => Arc::new(overlay::pod(row, base, node.as_deref(), self.rv)),
            Content::Job { row, base } => Arc::new(overlay::job(row, base, self.rv)),
            Content::Node { row, base } => Arc::new(overlay::node(row, base, self.rv)),
        }
    }

    /// The JSON of the whole object.
    pub(crate) fn json(&self) -> &Bytes {
        self.json.get_or_init(|| to_bytes(&self.value()))
    }

    /// What the row does not hold.
    pub(crate) fn base(&self) -> &Arc<Value> {
        match &self.content {
            Content::Document(base)
            | Content::Pod { base, .. }
            | Content::Job { base, .. }
            | Content::Node { base, .. } => base,
        }
    }

    /// `metadata.uid`.
    pub(crate) fn uid(&self) -> Cow<'_, str> {
        use towtank_wire::Kind;
        match &self.content {
            Content::Document(value) => text(value, "/metadata/uid").into(),
            Content::Pod { row, .. } => Kind::Pod.uid_text(row.uid).into(),
            Content::Job { row, .. } => Kind::Job.uid_text(row.uid).into(),
            Content::Node { row, .. } => Kind::Node.uid_text(towtank_model::objects::Uid(row.id.0)).into(),
        }
    }

    /// `metadata.finalizers` is not empty.
    pub(crate) fn has_finalizers(&self) -> bool {
        match &self.content {
            Content::Document(value) => value
                .at("/metadata/finalizers")
                .and_then(Value::as_array)
                .is_some_and(|finalizers| !finalizers.is_empty()),
            Content::Pod { row, .. } => row.has_finalizers(),
            Content::Job { row, .. } => !row.finalizers.is_empty(),
            Content::Node { .. } => false,
        }
    }

    /// `metadata.deletionTimestamp` is set.
    pub(crate) fn is_deleting(&self) -> bool {
        match &self.content {
            Content::Document(value) => value.at("/metadata/deletionTimestamp").is_some(),
            Content::Pod { row, .. } => row.is_deleting(),
            Content::Job { row, .. } => row.deletion_time.is_some(),
            Content::Node { .. } => false,
        }
    }

    /// `metadata.ownerReferences`, in what a row does not hold too.
    pub(crate) fn owners(&self) -> &[Value] {
        let owners = self.base().at("/metadata/ownerReferences");
        owners.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// What lies at a place of an object.
pub(crate) trait At {
    /// The value at a JSON pointer. Unlike `Value::pointer` it knows no escapes, which no pointer in this crate has, and so needs no copies.
    fn at(&self, pointer: &str) -> Option<&Value>;
}

impl At for Value {
    fn at(&self, pointer: &str) -> Option<&Value> {
        pointer.split('/').skip(1).try_fold(self, |value, part| match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.at(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// JSON of a value.
pub(crate) fn to_bytes(value: &Value) -> Bytes {
    // A `Value` always has a text.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// The etcd key of an object.
pub(crate) fn key(namespace: &str, name: &str) -> Arc<str> {
    if namespace.is_empty() {
        return name.into();
    }
    let mut key = String::with_capacity(namespace.len() + 1 + name.len());
    key.push_str(namespace);
    key.push('/');
    key.push_str(name);
    key.into()
}

/// What happened to an object.
#[derive(Debug)]
pub(crate) struct Event {
    /// When: the version that it made.
    pub(crate) rv: u64,
    /// Before; absent when it was created.
    pub(crate) old: Option<Arc<Version>>,
    /// After, or the last content when it is gone.
    pub(crate) new: Arc<Version>,
    /// It is gone.
    pub(crate) is_deletion: bool,
    /// The line that a watch of everything sends.
    pub(crate) line: OnceLock<Bytes>,
}

/// All objects of one resource, and their history.
#[derive(Debug, Default)]
pub(crate) struct Table {
    objects: BTreeMap<Arc<str>, Arc<Version>>,
    history: VecDeque<Event>,
    /// How many events have been dropped from the front of the history.
    dropped: u64,
    /// What was before this version is not known any more.
    compacted: u64,
}

/// The version asked for is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted;

impl Table {
    /// The object with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Version>> {
        self.objects.get(key)
    }

    /// The number of objects.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All objects whose key begins with `prefix` and comes after `after`, in order.
    pub(crate) fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Version>> + 'a {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, version)| version)
    }

    /// The objects as they were at version `rv`: the present ones, with what happened since undone.
    pub(crate) fn at(
        &self,
        rv: u64,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<Arc<Version>>, Compacted> {
        if rv < self.compacted {
            return Err(Compacted);
        }
        let mut changed: BTreeMap<&str, Option<&Arc<Version>>> = BTreeMap::new();
        for event in self.history.iter().rev().take_while(|event| event.rv > rv) {
            changed.insert(&event.new.key, event.old.as_ref());
        }
        let is_wanted = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
        let unchanged = self.range(prefix, after).filter(|version| !changed.contains_key(&*version.key));
        let mut versions: Vec<Arc<Version>> = unchanged.cloned().collect();
        let restored = changed.iter().filter(|(key, _)| is_wanted(key)).filter_map(|(_, old)| *old);
        versions.extend(restored.cloned());
        versions.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(versions)
    }

    /// Puts a new version of an object in the place of the old one.
    pub(crate) fn put(&mut self, version: Arc<Version>, history_max: usize) {
        let old = self.objects.insert(Arc::clone(&version.key), Arc::clone(&version));
        self.note(
            Event { rv: version.rv, old, new: version, is_deletion: false, line: OnceLock::new() },
            history_max,
        );
    }

    /// Takes an object away; `last` is its last content, with the version of the deletion.
    pub(crate) fn remove(&mut self, last: Arc<Version>, history_max: usize) {
        let old = self.objects.remove(&*last.key);
        if old.is_some() {
            self.note(
                Event { rv: last.rv, old, new: last, is_deletion: true, line: OnceLock::new() },
                history_max,
            );
        }
    }

    fn note(&mut self, event: Event, history_max: usize) {
        self.history.push_back(event);
        while self.history.len() > history_max {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(event) = self.history.pop_front() {
            self.compacted = event.rv;
            self.dropped += 1;
        }
    }

    /// Forgets what happened up to version `rv`.
    pub(crate) fn compact(&mut self, rv: u64) {
        while self.history.front().is_some_and(|event| event.rv <= rv) {
            self.drop_first();
        }
        self.compacted = self.compacted.max(rv);
    }

    /// The position of the first event after version `rv`.
    pub(crate) fn position_after(&self, rv: u64) -> Result<u64, Compacted> {
        if rv < self.compacted {
            return Err(Compacted);
        }
        Ok(self.dropped + self.history.partition_point(|event| event.rv <= rv) as u64)
    }

    /// The position behind the last event.
    pub(crate) fn end(&self) -> u64 {
        self.dropped + self.history.len() as u64
    }

    /// The event at a position; nothing when there is none yet.
    pub(crate) fn event(&self, position: u64) -> Result<Option<&Event>, Compacted> {
        let index = position.checked_sub(self.dropped).ok_or(Compacted)?;
        Ok(usize::try_from(index).ok().and_then(|index| self.history.get(index)))
    }
}
