//! What the controller remembers of each Job, all of it lost with the process (spec sections 0.3 and 1.6).

use std::collections::BTreeSet;
use std::time::Duration;

use super::sync::BackoffRecord;
use crate::objects::{ResourceVersion, Uid};
use crate::time::Time;

/// Age beyond which expectations are ignored.
const EXPECTATIONS_TTL: Duration = Duration::from_secs(5 * 60);

/// Creations and deletions that the controller asked for and has not seen yet. One record per name: expecting
/// creations voids expected deletions, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expectations {
    /// Creations still to be seen; below zero when more were seen than expected.
    creations: i64,
    /// Deletions still to be seen; every sighting of a dying pod counts.
    deletions: i64,
    since: Time,
}

/// The last writes of the controller on behalf of one Job, which the caches have to reach before the next sync
/// (1.36 and later, #137210). Deletions are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnWrites {
    pub(super) owner: Uid,
    pub(super) job: ResourceVersion,
    pub(super) pod: ResourceVersion,
}

/// Memory of one Job, by name: an object recreated under the same name inherits it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) expectations: Option<Expectations>,
    /// Pods whose finalizer was patched away and whose event has not been seen (the spec's ERM).
    pub(super) finalizers_gone: BTreeSet<Uid>,
    pub(super) backoff: BackoffRecord,
    pub(super) own_writes: Option<OwnWrites>,
}

impl Memory {
    /// From now on this many creations are expected, and no deletions.
    pub(super) fn expect_creations(&mut self, now: Time, count: u32) {
        self.expectations = Some(Expectations { creations: count.into(), deletions: 0, since: now });
    }

    /// From now on this many deletions are expected, and no creations.
    pub(super) fn expect_deletions(&mut self, now: Time, count: u32) {
        self.expectations = Some(Expectations { creations: 0, deletions: count.into(), since: now });
    }

    /// A creation was seen, or will not come.
    pub(super) fn creation_observed(&mut self) {
        if let Some(expectations) = &mut self.expectations {
            expectations.creations -= 1;
        }
    }

    /// A deletion was seen, or will not come.
    pub(super) fn deletion_observed(&mut self) {
        if let Some(expectations) = &mut self.expectations {
            expectations.deletions -= 1;
        }
    }

    /// Nothing is outstanding, or what is outstanding is too old to count.
    pub(super) fn expectations_satisfied(&self, now: Time) -> bool {
        self.expectations.is_none_or(|expectations| {
            (expectations.creations <= 0 && expectations.deletions <= 0)
                || now - expectations.since > EXPECTATIONS_TTL
        })
    }

    /// Notes a write; one for a new object under the name voids what was noted for the old one.
    pub(super) fn wrote(&mut self, owner: Uid, job: ResourceVersion, pod: ResourceVersion) {
        let before = self.own_writes.filter(|writes| writes.owner == owner);
        let before = before.unwrap_or(OwnWrites { owner, job: 0, pod: 0 });
        self.own_writes = Some(OwnWrites { owner, job: before.job.max(job), pod: before.pod.max(pod) });
    }

    /// Forgets the writes noted for this object.
    pub(super) fn forget_writes_of(&mut self, owner: Uid) {
        self.own_writes = self.own_writes.filter(|writes| writes.owner != owner);
    }

    /// Whether the caches have reached the noted writes, which are then forgotten.
    pub(super) fn writes_are_visible(&mut self, jobs: ResourceVersion, pods: ResourceVersion) -> bool {
        let visible = self.own_writes.is_none_or(|writes| writes.job <= jobs && writes.pod <= pods);
        if visible {
            self.own_writes = None;
        }
        visible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_hold_until_seen_or_older_than_five_minutes() {
        let mut memory = Memory::default();
        assert!(memory.expectations_satisfied(Time::ZERO));
        memory.expect_creations(Time::ZERO, 2);
        memory.creation_observed();
        assert!(!memory.expectations_satisfied(Time::from_secs(300)), "not yet older than five minutes");
        assert!(memory.expectations_satisfied(Time::from_micros(300_000_001)));
        memory.creation_observed();
        assert!(memory.expectations_satisfied(Time::ZERO));
    }

    #[test]
    fn expecting_deletions_voids_expected_creations() {
        let mut memory = Memory::default();
        memory.expect_creations(Time::ZERO, 5);
        memory.expect_deletions(Time::ZERO, 1);
        assert!(!memory.expectations_satisfied(Time::ZERO));
        memory.deletion_observed();
        assert!(memory.expectations_satisfied(Time::ZERO));
    }

    /// Upstream `TestOwnerRecord_IsReady` and the replacement of a record by a new owner uid.
    #[test]
    fn own_writes_are_visible_once_both_caches_have_reached_them() {
        let mut memory = Memory::default();
        memory.wrote(Uid(1), 10, 0);
        memory.wrote(Uid(1), 0, 12);
        memory.wrote(Uid(1), 8, 0);
        assert!(!memory.writes_are_visible(9, 12));
        assert!(!memory.writes_are_visible(10, 11));
        assert!(memory.writes_are_visible(10, 12));
        assert_eq!(memory.own_writes, None, "visible writes are forgotten");
        memory.wrote(Uid(1), 20, 0);
        memory.wrote(Uid(2), 0, 5);
        assert!(memory.writes_are_visible(0, 5), "a new object under the name starts afresh");
    }
}
