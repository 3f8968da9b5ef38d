//! The trace: what was written, refused and decided, in order, for those who have to explain a run.

use super::store::Write;
use super::{Actor, ApiError, Change, EventDraft, Fact, Server, TraceEntry};
use crate::job::sync::Finding;
use crate::objects::{ObjectKey, Uid};
use crate::time::Time;

impl Server {
    /// Takes the trace so far.
    pub fn take_trace(&mut self) -> Vec<TraceEntry> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a decision of the Job controller to the trace.
    pub fn note(&mut self, now: Time, job: Uid, finding: Finding) {
        if let Some(trace) = &mut self.trace {
            trace.push(TraceEntry {
                at: now,
                actor: Actor::JobController,
                fact: Fact::Decided(job, finding),
            });
        }
    }

    /// How long the trace is.
    pub fn trace_len(&self) -> usize {
        self.trace.as_ref().map_or(0, Vec::len)
    }

    /// Takes back what was noted since the trace was this long: somebody tells it better.
    pub fn shorten_trace(&mut self, len: usize) {
        if let Some(trace) = &mut self.trace {
            trace.truncate(len);
        }
    }

    /// Whether a trace is kept.
    pub fn keeps_trace(&self) -> bool {
        self.trace.is_some()
    }

    pub(super) fn trace_change(&mut self, write: Write, change: &Change) {
        if let Some(trace) = &mut self.trace {
            let fact = Fact::Changed(write.verb, change.clone());
            trace.push(TraceEntry { at: write.now, actor: write.actor, fact });
        }
    }

    pub(super) fn trace_refusal(&mut self, write: Write, key: impl FnOnce() -> ObjectKey, error: &ApiError) {
        if self.rehearses {
            return;
        }
        if let Some(trace) = &mut self.trace {
            let fact = Fact::Refused(write.verb, key(), error.clone());
            trace.push(TraceEntry { at: write.now, actor: write.actor, fact });
        }
    }
}

/// Adds an Event that was written to the trace, when one is kept.
pub(super) fn trace_event(trace: &mut Option<Vec<TraceEntry>>, now: Time, actor: Actor, draft: &EventDraft) {
    if let Some(trace) = trace {
        trace.push(TraceEntry { at: now, actor, fact: Fact::Recorded(draft.clone()) });
    }
}
