//! Pods that have ended and wait to be counted: `status.uncountedTerminatedPods` (KEP-2307).

use super::census::Census;
use super::contract::Snapshot;
use crate::objects::{JobStatus, Uid, UncountedPods};

/// The pods that the status named as uncounted when the sync began.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Ascending.
    succeeded: Vec<Uid>,
    /// Ascending.
    failed: Vec<Uid>,
}

impl Recorded {
    /// Reads them from the status.
    pub(super) fn of(status: &JobStatus) -> Self {
        let sorted = |uids: &[Uid]| {
            let mut uids = uids.to_vec();
            uids.sort_unstable();
            uids.dedup();
            uids
        };
        status.uncounted.as_ref().map_or_else(Self::default, |uncounted| Self {
            succeeded: sorted(&uncounted.succeeded),
            failed: sorted(&uncounted.failed),
        })
    }

    /// The pod was recorded as succeeded.
    pub(super) fn succeeded(&self, uid: Uid) -> bool {
        self.succeeded.binary_search(&uid).is_ok()
    }

    /// The pod was recorded as failed.
    pub(super) fn failed(&self, uid: Uid) -> bool {
        self.failed.binary_search(&uid).is_ok()
    }

    /// How many pods were recorded as succeeded, and as failed.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.succeeded.len(), self.failed.len())
    }
}

/// Moves the pods whose finalizer is gone (all but those `tracked`, ascending) from the lists to the counters. Returns
/// whether there were any.
pub(super) fn count_released(status: &mut JobStatus, tracked: &[Uid]) -> bool {
    let Some(UncountedPods { succeeded, failed }) = &mut status.uncounted else { return false };
    let count = |uids: &mut Vec<Uid>, counter: &mut i32| {
        let before = uids.len();
        uids.retain(|uid| tracked.binary_search(uid).is_ok());
        let released = before - uids.len();
        *counter = counter.saturating_add(i32::try_from(released).unwrap_or(i32::MAX));
        released > 0
    };
    let any_succeeded = count(succeeded, &mut status.succeeded);
    let any_failed = count(failed, &mut status.failed);
    any_succeeded || any_failed
}

/// The uids of the pods that still have the finalizer, ascending.
pub(super) fn tracked_pods(snapshot: &Snapshot, census: &Census) -> Vec<Uid> {
    let rows = snapshot.pods.iter().zip(&census.facts);
    let mut uids: Vec<Uid> = rows.filter(|(_, facts)| facts.is_tracked).map(|(pod, _)| pod.uid).collect();
    uids.sort_unstable();
    uids
}
