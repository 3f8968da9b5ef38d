//! What the server does by itself: garbage collection of dependents, the end of namespaces and of custom resources,
//! bookmarks, the end of watches.
//!
//! Dependents that are the model's pods of the model's Jobs are left to the model's own collector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::server::{Actor, Propagation, Server};
use towtank_model::time::Time;
use towtank_wire::Kind;

use crate::call::Call;
use crate::delete::{DeleteOptions, FOREGROUND, ORPHAN};
use crate::kinds::{Class, Resource};
use crate::request::{Parsed, Path, Query, Target, View};
use crate::server::{ApiServer, Caller};
use crate::store::{At as _, Version, text};
use crate::watch::WatchId;
use crate::write::metadata;

/// An object, by table and key.
type Place = (usize, Arc<str>);

/// Something to be done later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// The object with this uid is gone: look at what it owned.
    OwnerGone(Arc<str>),
    /// Its owner may not be there.
    Dependent(Place),
    /// It waits for dependents, or to let go of them.
    Owner(Place),
    /// Everything in it has to go.
    Namespace(Arc<str>),
    /// All objects of the definition have to go.
    Definition(Arc<str>),
}

/// Timers and indexes of what the server does by itself.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    /// Objects by the uids of their owners.
    dependents: BTreeMap<Arc<str>, BTreeSet<Place>>,
    due: BTreeMap<(Time, u64), Task>,
    pending: BTreeSet<Task>,
    sequence: u64,
    pub(crate) watch_ends: BTreeSet<(Time, WatchId)>,
    /// When bookmarks were sent last, and at which version.
    bookmarks: (Time, u64),
}

impl ApiServer {
    /// When the server has something to do by itself.
    pub fn next_time(&self, rows: &Server) -> Option<Time> {
        let due = self.lifecycle.due.keys().next().map(|(time, _)| *time);
        let ends = self.lifecycle.watch_ends.first().map(|(time, _)| *time);
        let (last, told) = self.lifecycle.bookmarks;
        let has_news = rows.resource_version() > told && self.watches.values().any(|watch| watch.bookmarks);
        let bookmark = has_news.then(|| last + self.config.bookmark_every);
        [due, ends, bookmark].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn fire(&mut self, rows: &mut Server, now: Time) {
        self.follow(rows, now);
        while let Some(entry) = self.lifecycle.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let task = entry.remove();
            self.lifecycle.pending.remove(&task);
            self.attend(rows, now, task);
            self.follow(rows, now);
        }
        let ended: Vec<WatchId> = self
            .lifecycle
            .watch_ends
            .iter()
            .take_while(|(time, _)| *time <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in ended {
            self.end_watch(id);
            self.lifecycle.watch_ends.retain(|(_, one)| *one != id);
        }
        self.send_bookmarks(rows, now);
    }

    fn send_bookmarks(&mut self, rows: &Server, now: Time) {
        let (last, told) = self.lifecycle.bookmarks;
        let rv = rows.resource_version();
        if rv <= told || now < last + self.config.bookmark_every {
            return;
        }
        self.lifecycle.bookmarks = (now, rv);
        for (id, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.bookmarks) {
            watch.bookmark = Some(rv);
            if !watch.is_ready {
                watch.is_ready = true;
                self.ready.push(*id);
            }
        }
    }

    fn plan(&mut self, task: Task) {
        if self.lifecycle.pending.insert(task.clone()) {
            self.lifecycle.sequence += 1;
            let at = self.now + self.config.collection_delay;
            self.lifecycle.due.insert((at, self.lifecycle.sequence), task);
        }
    }

    /// Keeps the index of owners, and looks at what may have become garbage.
    pub(crate) fn owners_changed(&mut self, table: usize, old: Option<&Version>, new: Option<&Version>) {
        let is_pod = table == self.rows.pods;
        let uids = |version: &Version| -> BTreeSet<Arc<str>> {
            let is_models = |owner: &Value| is_pod && Kind::Job.uid(text(owner, "/uid")).is_some();
            let owners = version.owners().iter().filter(|owner| !is_models(owner));
            owners.map(|owner| text(owner, "/uid").into()).collect()
        };
        let has_owners =
            |version: Option<&Version>| version.is_some_and(|version| !version.owners().is_empty());
        let is_same = old.map(Version::owners) == new.map(Version::owners);
        if is_same || !has_owners(old) && !has_owners(new) {
            return;
        }
        let (before, after) = (old.map(uids).unwrap_or_default(), new.map(uids).unwrap_or_default());
        if before == after {
            return;
        }
        let Some(version) = new.or(old) else { return };
        let place = (table, Arc::clone(&version.key));
        for uid in before.difference(&after) {
            if let Some(places) = self.lifecycle.dependents.get_mut(uid) {
                places.remove(&place);
                if places.is_empty() {
                    self.lifecycle.dependents.remove(uid);
                }
            }
            // An owner that waits for this one may have nothing to wait for any more.
            if let Some(owner) = old.and_then(|old| self.owner_place(old, uid)) {
                self.plan(Task::Owner(owner));
            }
        }
        for uid in after.difference(&before) {
            self.lifecycle.dependents.entry(Arc::clone(uid)).or_default().insert(place.clone());
        }
        if new.is_some() && after.iter().any(|uid| !before.contains(uid)) {
            self.plan(Task::Dependent(place));
        }
    }

    /// Where the owner with this uid is stored, if it waits for its dependents.
    fn owner_place(&self, dependent: &Version, uid: &str) -> Option<Place> {
        let owner = dependent.owners().iter().find(|owner| text(owner, "/uid") == uid)?;
        let (resource, version) = self.owner_of(dependent, owner)?;
        (version.is_deleting() && version.has_finalizers())
            .then(|| (resource.table, Arc::clone(&version.key)))
    }

    /// The stored object that an owner reference means, if it is still the same.
    fn owner_of(&self, dependent: &Version, owner: &Value) -> Option<(Arc<Resource>, Arc<Version>)> {
        let resource = self.registry.of_kind(text(owner, "/apiVersion"), text(owner, "/kind"))?;
        let namespace = if resource.is_namespaced { dependent.namespace() } else { "" };
        let version = self.stored(resource, &crate::store::key(namespace, text(owner, "/name")))?;
        (version.uid() == text(owner, "/uid")).then(|| (Arc::clone(resource), Arc::clone(version)))
    }

    /// What follows from a change for the server's own work.
    pub(crate) fn after_change(&mut self, table: usize, version: &Arc<Version>, is_gone: bool) {
        if is_gone {
            let uid: Arc<str> = (&*version.uid()).into();
            if self.lifecycle.dependents.contains_key(&uid) {
                self.plan(Task::OwnerGone(uid));
            }
            if self.namespace(version.namespace()).is_some_and(|namespace| namespace.is_deleting()) {
                let namespace: Arc<str> = version.namespace().into();
                self.plan(Task::Namespace(namespace));
            }
            self.custom_gone(table, version);
        } else if version.is_deleting() && version.has_finalizers() && table != self.rows.pods {
            self.plan(Task::Owner((table, Arc::clone(&version.key))));
        }
    }

    fn custom_gone(&mut self, table: usize, version: &Version) {
        let resource = self.registry.iter().find(|one| one.table == table && one.is_custom);
        if let Some(name) = resource.map(|resource| format!("{}.{}", resource.plural, resource.group))
            && self.tables.get(table).is_some_and(crate::store::Table::is_empty)
        {
            let _ = version;
            self.plan(Task::Definition(name.into()));
        }
    }

    /// A document has been marked for deletion and stays for now.
    pub(crate) fn deletion_began(&mut self, call: &mut Call<'_>, version: &Arc<Version>) {
        match (&*call.resource.group, &*call.resource.kind) {
            ("", "Namespace") => {
                call.rows.terminate_namespace(version.name());
                self.plan(Task::Namespace(version.name().into()));
            }
            ("apiextensions.k8s.io", _) => self.plan(Task::Definition(version.name().into())),
            _ => {}
        }
    }

    fn attend(&mut self, rows: &mut Server, now: Time, task: Task) {
        match task {
            Task::OwnerGone(uid) => {
                let places: Vec<Place> =
                    self.lifecycle.dependents.get(&uid).into_iter().flatten().cloned().collect();
                for place in places {
                    self.collect(rows, now, &place);
                    self.follow(rows, now);
                }
            }
            Task::Dependent(place) => self.collect(rows, now, &place),
            Task::Owner(place) => self.finish_owner(rows, now, &place),
            Task::Namespace(name) => self.empty_namespace(rows, now, &name),
            Task::Definition(name) => self.empty_definition(rows, now, &name),
        }
    }

    /// Deletes an object none of whose owners is there any more; takes away references to those that are gone
    /// (`attemptToDeleteItem`).
    fn collect(&mut self, rows: &mut Server, now: Time, place: &Place) {
        let Some(version) = self.tables.get(place.0).and_then(|table| table.get(&place.1)).cloned() else {
            return;
        };
        let owners = version.owners();
        if owners.is_empty() || version.is_deleting() {
            return;
        }
        let is_here = |owner: &&Value| {
            // A Job's uid is looked up where Jobs are; the model's collector sees to the model's pods.
            self.owner_of(&version, owner)
                .is_some_and(|(_, found)| !(found.is_deleting() && has_finalizer(&found, FOREGROUND)))
        };
        let solid: Vec<Value> = owners.iter().filter(is_here).cloned().collect();
        if solid.len() == owners.len() {
            return;
        }
        if solid.is_empty() {
            // An owner that is there is one that waits: it waits for the dependents of its dependents, too.
            let is_awaited = owners.iter().any(|owner| self.owner_of(&version, owner).is_some());
            let has_dependents = match &version.content {
                crate::store::Content::Job { row, .. } => {
                    rows.pods().any(|pod| pod.owner.as_ref().is_some_and(|owner| owner.uid == row.uid))
                }
                _ => self.lifecycle.dependents.contains_key(&*version.uid()),
            };
            let policy = if is_awaited && has_dependents && !has_finalizer(&version, ORPHAN) {
                Propagation::Foreground
            } else if has_finalizer(&version, ORPHAN) {
                Propagation::Orphan
            } else if has_finalizer(&version, FOREGROUND) {
                Propagation::Foreground
            } else {
                Propagation::Background
            };
            let options = DeleteOptions { propagation: Some(policy), ..DeleteOptions::default() };
            self.as_itself(rows, now, place.0, &version, |server, call| {
                // Refused only when it is gone by now.
                let _ = server.delete_version(call, &version, &options);
            });
        } else {
            self.set_owners(rows, now, place.0, &version, solid);
        }
    }

    fn set_owners(
        &mut self,
        rows: &mut Server,
        now: Time,
        table: usize,
        version: &Arc<Version>,
        owners: Vec<Value>,
    ) {
        let before = version.value();
        let mut object = Value::clone(&before);
        if owners.is_empty() {
            metadata(&mut object).shift_remove("ownerReferences");
        } else {
            metadata(&mut object).insert("ownerReferences".to_owned(), owners.into());
        }
        self.as_itself(rows, now, table, version, |server, call| {
            let _ = server.update_object(call, version, &before, object, "", None);
        });
    }

    /// Attends to an owner that waits: foreground until its dependents are gone, orphan until they are on their own.
    fn finish_owner(&mut self, rows: &mut Server, now: Time, place: &Place) {
        let Some(owner) = self.tables.get(place.0).and_then(|table| table.get(&place.1)).cloned() else {
            return;
        };
        if !owner.is_deleting() || place.0 == self.rows.jobs {
            return;
        }
        let uid: Arc<str> = (&*owner.uid()).into();
        let places: Vec<Place> = self.lifecycle.dependents.get(&uid).into_iter().flatten().cloned().collect();
        if has_finalizer(&owner, ORPHAN) {
            for place in &places {
                let Some(dependent) = self.tables.get(place.0).and_then(|table| table.get(&place.1)).cloned()
                else {
                    continue;
                };
                let rest: Vec<Value> =
                    dependent.owners().iter().filter(|one| text(one, "/uid") != &*uid).cloned().collect();
                self.set_owners(rows, now, place.0, &dependent, rest);
                self.follow(rows, now);
            }
            self.remove_finalizer(rows, now, place, ORPHAN);
        } else if has_finalizer(&owner, FOREGROUND) {
            let blocks = |server: &Self, place: &Place| {
                let dependent = server.tables.get(place.0).and_then(|table| table.get(&place.1));
                dependent.is_some_and(|dependent| {
                    dependent.owners().iter().any(|one| {
                        text(one, "/uid") == &*uid
                            && one.get("blockOwnerDeletion") == Some(&Value::Bool(true))
                    })
                })
            };
            for place in &places {
                self.collect(rows, now, place);
                self.follow(rows, now);
            }
            if !places.iter().any(|place| blocks(self, place)) {
                self.remove_finalizer(rows, now, place, FOREGROUND);
            }
        }
    }

    fn remove_finalizer(&mut self, rows: &mut Server, now: Time, place: &Place, finalizer: &str) {
        let Some(version) = self.tables.get(place.0).and_then(|table| table.get(&place.1)).cloned() else {
            return;
        };
        let before = version.value();
        let mut object = Value::clone(&before);
        if let Some(list) = metadata(&mut object).get_mut("finalizers").and_then(Value::as_array_mut) {
            list.retain(|one| *one != finalizer);
            if list.is_empty() {
                metadata(&mut object).shift_remove("finalizers");
            }
        }
        self.as_itself(rows, now, place.0, &version, |server, call| {
            let _ = server.update_object(call, &version, &before, object, "", None);
        });
    }

    /// Deletes what a terminating namespace holds, and the namespace when it is empty.
    fn empty_namespace(&mut self, rows: &mut Server, now: Time, name: &str) {
        let Some(namespace) = self.namespace(name).filter(|namespace| namespace.is_deleting()).cloned()
        else {
            return;
        };
        let prefix = format!("{name}/");
        let mut is_empty = true;
        for resource in self.registry.storages().into_iter().filter(|one| one.is_namespaced) {
            let Some(table) = self.tables.get(resource.table) else { continue };
            let versions: Vec<Arc<Version>> = table.range(&prefix, None).cloned().collect();
            is_empty &= versions.is_empty();
            let options =
                DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
            for version in versions.iter().filter(|version| !version.is_deleting()) {
                self.as_itself(rows, now, resource.table, version, |server, call| {
                    let _ = server.delete_version(call, version, &options);
                });
                self.follow(rows, now);
            }
        }
        if !is_empty {
            // What goes at once has told of itself; what stays will when it goes.
            return;
        }
        let Some(resource) = self.registry.get("", "v1", "namespaces").cloned() else { return };
        let before = namespace.value();
        let mut object = Value::clone(&before);
        object["spec"] = json!({});
        self.as_itself(rows, now, resource.table, &namespace, |server, call| {
            let _ = server.update_object(call, &namespace, &before, object, "finalize", None);
        });
        if self.namespace(name).is_none() {
            rows.forget_namespace(name);
        }
    }

    /// Deletes the objects of a definition that goes, and the definition when there are none.
    fn empty_definition(&mut self, rows: &mut Server, now: Time, name: &str) {
        let Some(crds) = self.registry.any("apiextensions.k8s.io", "customresourcedefinitions").cloned()
        else {
            return;
        };
        let Some(definition) = self.stored(&crds, name).filter(|one| one.is_deleting()).cloned() else {
            return;
        };
        let Some((plural, group)) = name.split_once('.') else { return };
        let resource = self.registry.any(group, plural).cloned();
        let table = resource.as_ref().and_then(|resource| self.tables.get(resource.table));
        let versions: Vec<Arc<Version>> =
            table.into_iter().flat_map(|table| table.range("", None)).cloned().collect();
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        for version in versions.iter().filter(|version| !version.is_deleting()) {
            if let Some(resource) = &resource {
                self.as_itself(rows, now, resource.table, version, |server, call| {
                    let _ = server.delete_version(call, version, &options);
                });
            }
        }
        let table = resource.as_ref().and_then(|resource| self.tables.get(resource.table));
        if table.is_none_or(crate::store::Table::is_empty) {
            let place = (crds.table, Arc::clone(&definition.key));
            self.remove_finalizer(rows, now, &place, crate::crd::CLEANUP);
            self.registry.remove(group, plural);
            self.custom.remove(group, plural);
        }
    }

    /// Does something as one of the server's own controllers would, through the same rules as everybody.
    fn as_itself(
        &mut self,
        rows: &mut Server,
        now: Time,
        table: usize,
        version: &Version,
        act: impl FnOnce(&mut Self, &mut Call<'_>),
    ) {
        let Some(resource) =
            self.registry.iter().find(|one| one.table == table && one.class != Class::Review).cloned()
        else {
            return;
        };
        let caller = Caller::master(
            "system:serviceaccount:kube-system:generic-garbage-collector",
            Actor::GarbageCollector,
        );
        let target = Target {
            group: resource.group.to_string(),
            version: resource.version.to_string(),
            namespace: version.namespace().to_owned(),
            plural: resource.plural.to_string(),
            name: version.name().to_owned(),
            subresource: String::new(),
        };
        let parsed = own_request(&target);
        let mut call = Call {
            rows,
            now,
            caller: &caller,
            parsed: &parsed,
            target: &target,
            resource,
            view: View::Object,
            is_dry_run: false,
            warnings: Vec::new(),
        };
        act(self, &mut call);
    }

    /// Stores an object that is there from the beginning.
    pub(crate) fn seed_object(&mut self, rows: &mut Server, now: Time, object: Value) {
        let Some(resource) =
            self.registry.of_kind(text(&object, "/apiVersion"), text(&object, "/kind")).cloned()
        else {
            return;
        };
        let key = crate::store::key(text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let version = Version::new(key, 0, crate::store::Content::Document(Arc::new(Value::Null)));
        self.as_itself(rows, now, resource.table, &version, |server, call| {
            let _ = server.create_object(call, object, None);
        });
        self.follow(rows, now);
    }
}

/// The request that the server makes to itself.
fn own_request(target: &Target) -> Parsed {
    Parsed {
        path: Path::Resource(target.clone()),
        method: http::Method::PATCH,
        query: Query::default(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
    }
}

fn has_finalizer(version: &Version, finalizer: &str) -> bool {
    match &version.content {
        crate::store::Content::Job { row, .. } => row.finalizers.iter().any(|one| **one == *finalizer),
        _ => {
            let list = version.base().at("/metadata/finalizers").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|one| *one == finalizer))
        }
    }
}
