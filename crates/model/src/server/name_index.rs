//! Ids by name: a hash table that can be looked up in and never walked, so that its order can show nowhere.
//!
//! It holds no names: an entry is an id and half of its name's hash, and the caller says whether an id has the name that
//! is looked for. Collisions go to the next free slot; taking an entry out moves up those behind it.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Smallest number of slots.
const SLOTS_MIN: usize = 16;

/// One entry.
#[derive(Clone, Copy)]
struct Entry {
    /// The lower half of the name's hash, from which the slot follows.
    tag: u32,
    id: u32,
}

/// Ids by name.
#[derive(Default)]
pub(super) struct NameIndex {
    /// A power of two of slots, at most half of them filled; or none.
    slots: Vec<Option<Entry>>,
    len: usize,
}

/// The lower half of a name's hash. The keys of this hasher are fixed.
fn tag_of(name: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "half of the hash is what is wanted")]
    let tag = hasher.finish() as u32;
    tag
}

impl NameIndex {
    /// The number of entries.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of this name, by asking which ids have it.
    pub(super) fn get(&self, name: &impl Hash, has_name: impl Fn(u32) -> bool) -> Option<u32> {
        let slot = self.find(tag_of(name), has_name)?;
        self.slots[slot].map(|entry| entry.id)
    }

    /// Adds an id whose name is not there yet.
    pub(super) fn insert(&mut self, name: &impl Hash, id: u32) {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.put(Entry { tag: tag_of(name), id });
        self.len += 1;
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, name: &impl Hash, id: u32) {
        let Some(mut hole) = self.find(tag_of(name), |other| other == id) else { return };
        self.slots[hole] = None;
        self.len -= 1;
        let mut slot = self.after(hole);
        while let Some(entry) = self.slots[slot] {
            // An entry may move into the hole unless its own slot lies behind the hole.
            let mask = self.slots.len() - 1;
            let from_home = |slot: usize| slot.wrapping_sub(self.home(entry.tag)) & mask;
            if from_home(hole) < from_home(slot) {
                self.slots[hole] = Some(entry);
                self.slots[slot] = None;
                hole = slot;
            }
            slot = self.after(slot);
        }
    }

    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.slots.len() - 1)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(tag);
        while let Some(entry) = self.slots[slot] {
            if entry.tag == tag && is_it(entry.id) {
                return Some(slot);
            }
            slot = self.after(slot);
        }
        None
    }

    fn put(&mut self, entry: Entry) {
        let mut slot = self.home(entry.tag);
        while self.slots[slot].is_some() {
            slot = self.after(slot);
        }
        self.slots[slot] = Some(entry);
    }

    fn grow(&mut self) {
        let slots = vec![None; (self.slots.len() * 2).max(SLOTS_MIN)];
        let old = std::mem::replace(&mut self.slots, slots);
        for entry in old.into_iter().flatten() {
            self.put(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map, with few names so that they collide, come and go.
        #[test]
        fn behaves_like_a_map(ops in prop::collection::vec((any::<bool>(), 0..40_u8), 0..300)) {
            let (mut index, mut model) = (NameIndex::default(), BTreeMap::new());
            let mut names = Vec::new();
            for (is_insert, name) in ops {
                let known = model.get(&name).copied();
                match (is_insert, known) {
                    (true, None) => {
                        let id = u32::try_from(names.len()).unwrap();
                        names.push(name);
                        index.insert(&name, id);
                        model.insert(name, id);
                    }
                    (false, Some(id)) => {
                        index.remove(&name, id);
                        model.remove(&name);
                    }
                    (true, Some(_)) | (false, None) => {}
                }
                for name in 0..40_u8 {
                    let found = index.get(&name, |id| names[id as usize] == name);
                    prop_assert_eq!(found, model.get(&name).copied());
                }
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }
}
