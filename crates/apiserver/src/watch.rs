//! Watches: each is a position in a table's history and a filter (`k8s.io/apiserver/pkg/storage/cacher`).
//!
//! Nothing is copied to a watch when something is written: it is told that there is something to see, and walks the history
//! when it is asked.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use towtank_model::time::Time;

use crate::error::ApiError;
use crate::kinds::Resource;
use crate::present::{self, Filter};
use crate::request::View;
use crate::store::{Event, Table, Version, to_bytes};

/// A watch, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// What a watch has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchPoll {
    /// One event: a line of JSON.
    Event(Bytes),
    /// Nothing for now.
    Empty,
    /// Nothing ever again.
    Closed,
}

/// A watch.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) resource: Arc<Resource>,
    pub(crate) filter: Filter,
    pub(crate) view: View,
    /// Objects of the beginning that are still to be shown.
    pub(crate) initial: VecDeque<Arc<Version>>,
    /// The version at which the beginning ends, to be told when the beginning is over.
    pub(crate) initial_end: Option<u64>,
    /// The next event of the history.
    pub(crate) position: u64,
    /// Bookmarks are wanted.
    pub(crate) bookmarks: bool,
    /// A bookmark of this version is due.
    pub(crate) bookmark: Option<u64>,
    /// The last version that it has been told of.
    pub(crate) told: u64,
    /// The answer to a start that cannot be found any more: the only event.
    pub(crate) failure: Option<Bytes>,
    /// When the server ends it.
    pub(crate) ends: Time,
    /// It is over.
    pub(crate) is_closed: bool,
    /// It has been told that there is something.
    pub(crate) is_ready: bool,
    /// The head of its table has been sent: only the first carries the columns.
    pub(crate) has_columns: bool,
}

impl Watch {
    /// The next event for this watch.
    pub(crate) fn poll(&mut self, table: &Table, now: Time) -> WatchPoll {
        if self.is_closed {
            return WatchPoll::Closed;
        }
        if let Some(failure) = self.failure.take() {
            self.is_closed = true;
            return WatchPoll::Event(failure);
        }
        if let Some(version) = self.initial.pop_front() {
            return WatchPoll::Event(self.line("ADDED", &version, now));
        }
        if let Some(rv) = self.initial_end.take() {
            self.told = self.told.max(rv);
            return WatchPoll::Event(self.bookmark_line(rv, true));
        }
        loop {
            let Ok(event) = table.event(self.position) else {
                // It was too slow: the history has been cut off before it. The client has to begin anew.
                self.is_closed = true;
                return WatchPoll::Closed;
            };
            let Some(event) = event else { break };
            self.position += 1;
            self.told = event.rv;
            if let Some(line) = self.seen(event, now) {
                return WatchPoll::Event(line);
            }
        }
        if let Some(rv) = self.bookmark.take().filter(|&rv| rv > self.told) {
            self.told = rv;
            return WatchPoll::Event(self.bookmark_line(rv, false));
        }
        self.is_ready = false;
        WatchPoll::Empty
    }

    /// An event as this watch sees it: objects that begin or cease to be selected come and go.
    fn seen(&mut self, event: &Event, now: Time) -> Option<Bytes> {
        if !self.filter.is_in_scope(&event.new) {
            return None;
        }
        let selects_all = self.filter.selects_everything();
        let had = event.old.as_ref().is_some_and(|old| selects_all || self.filter.selects(old));
        let has = !event.is_deletion && (selects_all || self.filter.selects(&event.new));
        let kind = match (had, has) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        if kind == "DELETED" && !event.is_deletion {
            // It is shown as it was when it was last selected, with the version of the change.
            let old = event.old.as_ref()?;
            let last = Version::new(Arc::clone(&old.key), event.rv, present::at_version(old, event.rv));
            return Some(self.line(kind, &Arc::new(last), now));
        }
        if self.view == View::Object && present::is_plain(&self.resource) {
            // The type follows from the event alone unless a selector had a say.
            if selects_all {
                return Some(event.line.get_or_init(|| object_line(kind, event.new.json())).clone());
            }
            return Some(object_line(kind, event.new.json()));
        }
        Some(self.line(kind, &event.new, now))
    }

    fn line(&mut self, kind: &str, version: &Arc<Version>, now: Time) -> Bytes {
        let object = match self.view {
            View::Table => {
                let with_columns = !std::mem::replace(&mut self.has_columns, true);
                present::table_of_one(&self.resource, version, &self.filter, now, with_columns)
            }
            view => present::object(&self.resource, version, view),
        };
        object_line(kind, &object)
    }

    fn bookmark_line(&self, rv: u64, is_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": rv.to_string(), "creationTimestamp": null});
        if is_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.view {
            View::Object => {
                let mut object = json!({
                    "kind": &*self.resource.kind,
                    "apiVersion": self.resource.api_version(),
                    "metadata": metadata,
                });
                present::complete_bookmark(&self.resource, &mut object);
                object
            }
            View::Partial => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            }),
            View::Table => {
                let row = json!({"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                }});
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": null,
                    "metadata": {"resourceVersion": rv.to_string()}, "rows": [row],
                })
            }
        };
        object_line("BOOKMARK", &to_bytes(&object))
    }
}

/// One event of a watch.
pub(crate) fn object_line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + kind.len() + 24);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// The event that a watch ends with when something is wrong.
pub(crate) fn error_line(error: &ApiError) -> Bytes {
    let status: Value = error.to_status();
    object_line("ERROR", &to_bytes(&status))
}
