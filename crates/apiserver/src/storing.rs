//! How versions of documents are stored, and what they are called.

use std::sync::Arc;

use serde_json::Value;
use towtank_model::objects::Uid;
use towtank_model::server::Server;

use crate::ApiServer;
use crate::kinds::Resource;
use crate::store::{Content, Version};

impl ApiServer {
    /// Stores a document under its resource; it gets the next version.
    pub(crate) fn store(
        &mut self,
        rows: &mut Server,
        table: usize,
        key: Arc<str>,
        mut value: Value,
    ) -> Arc<Version> {
        let rv = rows.claim_resource_version();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), rv.to_string().into());
        }
        let version = Arc::new(Version::new(key, rv, Content::Document(Arc::new(value))));
        self.put(table, Arc::clone(&version));
        version
    }

    /// Lets a document go; returns its last content.
    pub(crate) fn drop_document(&mut self, rows: &mut Server, table: usize, last: &Version) -> Arc<Version> {
        let rv = rows.claim_resource_version();
        let gone = Arc::new(Version::new(Arc::clone(&last.key), rv, crate::present::at_version(last, rv)));
        self.take(table, Arc::clone(&gone));
        gone
    }

    pub(crate) fn put(&mut self, table: usize, version: Arc<Version>) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        let old = rows.get(&version.key).cloned();
        rows.put(Arc::clone(&version), self.config.history_max);
        self.owners_changed(table, old.as_deref(), Some(&version));
        self.after_change(table, &version, false);
        self.wake(table);
    }

    pub(crate) fn take(&mut self, table: usize, last: Arc<Version>) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        let old = rows.get(&last.key).cloned();
        rows.remove(Arc::clone(&last), self.config.history_max);
        self.owners_changed(table, old.as_deref(), None);
        self.after_change(table, &last, true);
        self.wake(table);
    }

    /// The object under a key of a resource.
    pub(crate) fn stored(&self, resource: &Resource, key: &str) -> Option<&Arc<Version>> {
        self.tables.get(resource.table)?.get(key)
    }

    /// The next uid of an object that is no row.
    pub(crate) fn new_uid(&mut self) -> String {
        self.created += 1;
        format!("00000000-0000-4000-8000-1{:011x}", self.created & 0xfff_ffff_ffff)
    }

    /// A name with five random characters behind it (`names.SimpleNameGenerator`).
    pub(crate) fn generated_name(&mut self, base: &str) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        const BASE_LEN_MAX: usize = 58;
        self.names += 1;
        // SplitMix64: every number of the sequence of names is spread over all bits.
        let mut bits = self.config.seed.wrapping_add(self.names.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let mut name = base[..base.floor_char_boundary(BASE_LEN_MAX)].to_owned();
        for _ in 0..5 {
            let place = usize::try_from(bits % 27).unwrap_or(0);
            name.push(char::from(ALPHABET[place]));
            bits /= 27;
        }
        name
    }

    /// The version that a model's row has.
    pub fn job_uid(text: &str) -> Option<Uid> {
        towtank_wire::Kind::Job.uid(text)
    }
}
