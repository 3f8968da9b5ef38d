//! Nodes that are one thread: it writes one report after the other, and does nothing else for any pod while it writes.
//!
//! So are nodes without machines whose kubelets one loop plays against a real API server. What a pod comes to meanwhile waits, in the order in which it came.

use super::Kubelets;
use crate::cluster::PodTimer;
use crate::engine::Purpose;
use crate::objects::Uid;
use crate::simulation::Context;
use crate::time::Time;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thread {
    /// About which pod it writes, and until when.
    writing: Option<(Uid, Time)>,
}

impl Kubelets {
    /// Puts off what a pod's timer is for while the thread writes: the timer is armed again for the end of the write. A report that is due begins to be written, and is due
    /// again at the end.
    pub(super) fn put_off(&mut self, uid: Uid, timer: PodTimer, ctx: &mut Context<'_>) -> bool {
        let Some(thread) = &mut self.thread else { return false };
        let at = match thread.writing {
            Some((pod, until)) if (pod, timer) == (uid, PodTimer::Report) && until <= ctx.now => {
                thread.writing = None;
                return false;
            }
            // At its end, the write itself is still to come.
            Some((_, until)) => until.max(ctx.now),
            None if timer != PodTimer::Report => return false,
            None => {
                let write = self.timing.status_report.draw(ctx.random, Purpose::Node);
                if write.is_zero() {
                    return false;
                }
                let until = ctx.now + write;
                thread.writing = Some((uid, until));
                until
            }
        };
        self.arm(uid, timer, at, ctx);
        true
    }

    /// What was to be written about a pod is not.
    pub(super) fn abandon_write(&mut self, uid: Uid) {
        if let Some(thread) = &mut self.thread {
            thread.writing = thread.writing.filter(|(pod, _)| *pod != uid);
        }
    }

    /// Until when the thread writes, if it does.
    pub(crate) fn writes_until(&self) -> Option<Time> {
        self.thread?.writing.map(|(_, until)| until)
    }
}
