//! What goes wrong with API calls, by plan.

use std::collections::BTreeMap;
use std::time::Duration;

/// Kinds of API calls that a controller makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// Read one Job from the server rather than from the cache.
    GetJob,
    /// Create a pod.
    CreatePod,
    /// Patch a pod: finalizer away, adoption, release.
    PatchPod,
    /// Delete a pod.
    DeletePod,
    /// Write a Job's status.
    UpdateJobStatus,
    /// Delete a Job whose time to live is over: the only kind of call of the controller of time to live that can go
    /// wrong by plan.
    DeleteJob,
}

const CALL_KINDS: usize = 6;

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server answers Conflict; the call has no effect.
    Conflict,
    /// The server is not reached; the call has no effect.
    Unreachable,
    /// The call has its effect, but its answer is lost.
    AnswerLost,
    /// The call reaches the server so much later.
    Delay(Duration),
}

/// Which calls go wrong, and how. Calls are counted by kind, from 1, over the whole run. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    faults: BTreeMap<(CallKind, u64), Fault>,
}

impl FaultPlan {
    /// Adds a fault: of the calls of this kind, the `nth` (from 1).
    #[must_use]
    pub fn with(mut self, kind: CallKind, nth: u64, fault: Fault) -> Self {
        self.faults.insert((kind, nth), fault);
        self
    }

    /// The part of the plan that is about calls of this kind.
    pub(super) fn of_kind(&self, kind: CallKind) -> Self {
        let faults = self.faults.iter().filter(|((planned, _), _)| *planned == kind);
        Self { faults: faults.map(|(call, fault)| (*call, *fault)).collect() }
    }

    /// Every fault, by kind and number of the call.
    pub fn iter(&self) -> impl Iterator<Item = (CallKind, u64, Fault)> {
        self.faults.iter().map(|(&(kind, nth), &fault)| (kind, nth, fault))
    }

    /// Nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A plan being carried out.
#[derive(Clone, Debug)]
pub struct FaultInjector {
    plan: FaultPlan,
    /// Calls so far, by kind.
    counts: [u64; CALL_KINDS],
}

impl FaultInjector {
    /// Nothing has been called yet.
    pub fn new(plan: FaultPlan) -> Self {
        Self { plan, counts: [0; CALL_KINDS] }
    }

    /// The fault of the next call of this kind.
    pub fn next(&mut self, kind: CallKind) -> Option<Fault> {
        if self.plan.is_empty() {
            return None;
        }
        let count = &mut self.counts[kind as usize];
        *count += 1;
        self.plan.faults.get(&(kind, *count)).copied()
    }
}
