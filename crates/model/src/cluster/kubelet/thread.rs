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
    /// It writes until then,
    until: Time,
    /// about this pod.
    writes: Option<Uid>,
}

impl Kubelets {
    /// Whether what a pod's timer is for has to wait until the thread has written something: then the timer is armed again. A report that is due is what it writes next.
    pub(super) fn waits_for_thread(&mut self, uid: Uid, timer: PodTimer, ctx: &mut Context<'_>) -> bool {
        let Some(thread) = &mut self.thread else { return false };
        if ctx.now >= thread.until {
            if timer != PodTimer::Report || thread.writes.take() == Some(uid) {
                return false;
            }
            thread.until = ctx.now + self.timing.status_report.draw(ctx.random, Purpose::Node);
            thread.writes = Some(uid);
        }
        let at = thread.until;
        self.arm(uid, timer, at, ctx);
        true
    }
}
