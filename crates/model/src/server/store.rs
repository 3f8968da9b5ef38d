//! The tables behind the store, and the one way in which they change.
//!
//! Ids are handed out densely and never again, so a table is a vector; a row is emptied when its object goes. Every
//! change goes through [`Server::create`], [`Server::replace`] or [`Server::remove`], each of which leaves exactly one
//! [`Change`].

use std::hash::Hash;
use std::sync::Arc;

use super::name_index::NameIndex;
use super::{ApiError, Change, Server, Verb, Versions};
use crate::objects::{Job, Node, ObjectKey, Pod, ResourceVersion, Uid};
use crate::time::Time;

/// All objects of one kind: by id, and by name.
pub(super) struct Table<T> {
    rows: Vec<Option<Arc<T>>>,
    /// Ids of the rows that are filled.
    names: NameIndex,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), names: NameIndex::default() }
    }
}

impl<T: Stored> Table<T> {
    /// The object with this id.
    pub(super) fn get(&self, id: u32) -> Option<&Arc<T>> {
        self.rows.get(id as usize)?.as_ref()
    }

    /// The object of this name.
    pub(super) fn by_name(&self, name: &T::Name) -> Option<&Arc<T>> {
        let id = self.names.get(name, |id| self.get(id).is_some_and(|object| object.name() == name))?;
        self.get(id)
    }

    /// Whether the name is taken.
    pub(super) fn has_name(&self, name: &T::Name) -> bool {
        self.by_name(name).is_some()
    }

    /// How many names are taken.
    #[cfg(test)]
    pub(super) fn names_len(&self) -> usize {
        self.names.len()
    }

    /// All objects, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.iter().flatten()
    }

    /// The id that the next object gets.
    pub(super) fn next_id(&self) -> u32 {
        // More objects than there are ids do not fit into memory.
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }
}

/// A kind of object that the store keeps.
pub(super) trait Stored: Sized {
    /// By what it is found, besides its id.
    type Name: Hash + Eq;

    /// Its table.
    fn table(server: &mut Server) -> &mut Table<Self>;
    /// Its name.
    fn name(&self) -> &Self::Name;
    /// Its id.
    fn id(&self) -> u32;
    /// Notes the version of this content.
    fn set_resource_version(&mut self, version: ResourceVersion);
    /// The change of an object of this kind.
    fn change(versions: Versions<Self>) -> Change;
}

impl Stored for Pod {
    type Name = ObjectKey;

    fn table(server: &mut Server) -> &mut Table<Self> {
        &mut server.pods
    }

    fn name(&self) -> &ObjectKey {
        &self.key
    }

    fn id(&self) -> u32 {
        self.uid.0
    }

    fn set_resource_version(&mut self, version: ResourceVersion) {
        self.resource_version = version;
    }

    fn change(versions: Versions<Self>) -> Change {
        Change::Pod(versions)
    }
}

impl Stored for Job {
    type Name = ObjectKey;

    fn table(server: &mut Server) -> &mut Table<Self> {
        &mut server.jobs
    }

    fn name(&self) -> &ObjectKey {
        &self.key
    }

    fn id(&self) -> u32 {
        self.uid.0
    }

    fn set_resource_version(&mut self, version: ResourceVersion) {
        self.resource_version = version;
    }

    fn change(versions: Versions<Self>) -> Change {
        Change::Job(versions)
    }
}

impl Stored for Node {
    type Name = Arc<str>;

    fn table(server: &mut Server) -> &mut Table<Self> {
        &mut server.nodes
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn id(&self) -> u32 {
        self.id.0
    }

    /// Nobody bases a write to a node on its version, so nodes have none.
    fn set_resource_version(&mut self, _version: ResourceVersion) {}

    fn change(versions: Versions<Self>) -> Change {
        Change::Node(versions)
    }
}

/// Who writes what kind of thing, and when.
#[derive(Clone, Copy)]
pub(super) struct Write {
    pub(super) now: Time,
    pub(super) actor: super::Actor,
    pub(super) verb: Verb,
}

impl Server {
    /// Stores a new object, whose id must be the table's next.
    pub(super) fn create<T: Stored>(&mut self, write: Write, mut object: T) -> Arc<T> {
        if self.rehearses {
            return Arc::new(object);
        }
        object.set_resource_version(self.next_resource_version());
        let object = Arc::new(object);
        let table = T::table(self);
        table.rows.push(Some(Arc::clone(&object)));
        table.names.insert(object.name(), object.id());
        self.commit(write, T::change(Versions { old: None, new: Some(Arc::clone(&object)) }));
        object
    }

    /// Stores the next version of an object that is there.
    pub(super) fn replace<T: Stored>(&mut self, write: Write, old: Arc<T>, mut new: T) -> Arc<T> {
        if self.rehearses {
            return Arc::new(new);
        }
        new.set_resource_version(self.next_resource_version());
        let new = Arc::new(new);
        if let Some(row) = T::table(self).rows.get_mut(new.id() as usize) {
            *row = Some(Arc::clone(&new));
        }
        self.commit(write, T::change(Versions { old: Some(old), new: Some(Arc::clone(&new)) }));
        new
    }

    /// Lets an object go.
    pub(super) fn remove<T: Stored>(&mut self, write: Write, old: Arc<T>) {
        if self.rehearses {
            return;
        }
        self.next_resource_version();
        let table = T::table(self);
        if let Some(row) = table.rows.get_mut(old.id() as usize) {
            *row = None;
        }
        table.names.remove(old.name(), old.id());
        self.commit(write, T::change(Versions { old: Some(old), new: None }));
    }

    /// Writes `error` into the trace.
    pub(super) fn refuse<T>(
        &mut self,
        write: Write,
        key: impl FnOnce() -> ObjectKey,
        result: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if let Err(error) = &result {
            self.trace_refusal(write, key, error);
        }
        result
    }

    pub(super) fn next_resource_version(&mut self) -> ResourceVersion {
        self.resource_version += 1;
        self.resource_version
    }

    fn commit(&mut self, write: Write, change: Change) {
        self.trace_change(write, &change);
        if let Some(journal) = &mut self.journal {
            journal.push((self.resource_version, change.clone()));
        }
        self.changes.push(change);
    }
}

/// The error of a write to an object of this uid that is not there.
pub(super) fn not_found(kind: &'static str, uid: Uid) -> ApiError {
    ApiError::NotFound { kind, key: ObjectKey::new("", uid.to_string()) }
}
