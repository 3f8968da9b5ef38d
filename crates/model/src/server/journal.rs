//! What an API server above this store needs and its other callers do not: every change with its version, versions for
//! objects that are kept elsewhere, and writes that are only tried.

use super::{Change, EventRecord, Server};
use crate::objects::ResourceVersion;

impl Server {
    /// From now on every change is also kept in a journal, with the version that it made.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
        self.event_journal.get_or_insert_default();
    }

    /// Takes the journal so far, in order.
    pub fn take_journal(&mut self) -> Vec<(ResourceVersion, Change)> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the Events since the last call, in order; one that is counted again comes again.
    pub fn take_event_journal(&mut self) -> Vec<EventRecord> {
        self.event_journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the next version, for an object that is stored elsewhere: all kinds count together, as in etcd.
    pub fn claim_resource_version(&mut self) -> ResourceVersion {
        self.next_resource_version()
    }

    /// Judges what `write` does without storing any of it (`dryRun=All`): it answers as it would, and leaves neither
    /// change nor trace.
    pub fn rehearse<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let was = std::mem::replace(&mut self.rehearses, true);
        let answer = write(self);
        self.rehearses = was;
        answer
    }

    /// A namespace that was terminated is gone for good: it can be created again.
    pub fn forget_namespace(&mut self, namespace: &str) {
        self.terminating_namespaces.remove(namespace);
    }
}
