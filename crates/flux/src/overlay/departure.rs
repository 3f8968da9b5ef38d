//! How each kind of leaving looks (Flux spec B.4, part I).

use std::time::Duration;

use super::broker::{Link, LinkState};
use super::{BrokerState, Fact, Overlay, Reason, Refused, Timer};
use crate::time::{Draw, Instant};

/// How long a broker of newer versions waits for a heartbeat.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(5);

impl Overlay {
    /// The process is gone without a word (SIGKILL, out of memory). Its parent notices when it sends something.
    pub fn kill(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        self.process(rank).ok_or(Refused::NotRunning(rank))?;
        self.suspect(now, rank, draw);
        self.end(now, rank, -9);
        if rank == 0 && self.features.heartbeat_times_out {
            for child in self.children(0).filter(|child| self.is_connected(*child)).collect::<Vec<_>>() {
                self.schedule(now + HEARTBEAT_TIMEOUT, child, Timer::Deaf);
            }
        }
        Ok(())
    }

    /// It has a parent and can hear it.
    fn is_connected(&self, rank: u32) -> bool {
        self.process(rank).is_some_and(|process| process.parent.is_some() && !process.cut && !process.frozen)
    }

    /// The broker gives up by itself: exit code 1.
    pub(crate) fn fail(&mut self, now: Instant, rank: u32) {
        self.end(now, rank, 1);
    }

    /// SIGTERM or SIGINT: an orderly leave. Whoever has children tells them first, and waits.
    pub fn term(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        let process = self.process(rank).ok_or(Refused::NotRunning(rank))?;
        if process.state == BrokerState::Join {
            // Never joined: nothing to say goodbye to.
            self.end(now, rank, 1);
        } else {
            self.leave(now, rank, 0, draw);
        }
        Ok(())
    }

    /// `flux overlay disconnect`: the parent drops the child, which leaves with exit code 1; its children
    /// leave in order.
    pub fn disconnect(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        if !matches!(self.link(rank).map(|link| link.state), Some(LinkState::Up(_))) || rank == 0 {
            return Err(Refused::NotConnected(rank));
        }
        let disconnect = self.latencies.disconnect.draw(draw);
        self.schedule(now + disconnect, rank, Timer::Disconnect);
        Ok(())
    }

    /// The broker begins to leave: cleanup (a task of the lead only), then its children, then rc3.
    pub(super) fn leave(&mut self, now: Instant, rank: u32, code: i32, draw: &mut dyn Draw) {
        let Some(process) =
            self.process_mut(rank).filter(|process| process.state < BrokerState::Cleanup && !process.frozen)
        else {
            return;
        };
        process.code = code;
        self.set_state(now, rank, BrokerState::Cleanup);
        if rank == 0 {
            self.tell(now, Fact::LeadCleanup);
            let cleanup = self.latencies.lead_cleanup.draw(draw);
            self.schedule(now + cleanup, 0, Timer::Cleaned);
        } else {
            self.cleaned(now, rank, draw);
        }
    }

    pub(super) fn cleaned(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        self.set_state(now, rank, BrokerState::Shutdown);
        for child in self.connected(rank) {
            self.leave(now, child, 0, draw);
        }
        self.finalize_if_alone(now, rank, draw);
    }

    /// rc3 begins when the last child is gone.
    fn finalize_if_alone(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        if !self.connected(rank).is_empty()
            || self.process(rank).is_none_or(|process| process.state != BrokerState::Shutdown)
        {
            return;
        }
        self.set_state(now, rank, BrokerState::Finalize);
        let rc3 = self.latencies.rc3.draw(draw);
        self.schedule(now + rc3.mul_f64(self.latencies.shells_part.clamp(0.0, 1.0)), rank, Timer::Shells);
        self.schedule(now + rc3, rank, Timer::Rc3);
    }

    /// The children that this process accepted and that still answer.
    fn connected(&self, rank: u32) -> Vec<u32> {
        let Some(process) = self.process(rank) else { return Vec::new() };
        let alive = |child: &u32| {
            let up = matches!(self.link(*child).map(|link| link.state), Some(LinkState::Up(_)));
            up && self
                .process(*child)
                .is_some_and(|down| down.parent == Some(process.incarnation) && !down.cut && !down.frozen)
        };
        self.children(rank).filter(alive).collect()
    }

    pub(super) fn goodbye(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        let Some(process) = self.process(rank) else { return };
        let (code, incarnation) = (process.code, process.incarnation);
        self.end(now, rank, code);
        let Some(parent) = self.topology.parent(rank) else { return };
        if self.link(rank).is_some_and(|link| link.state == LinkState::Up(incarnation)) {
            self.drop_subtree(now, rank, Reason::Left);
            let error = Some("administrative shutdown".to_owned());
            self.set_link(now, rank, Link { error, ..Link::default() });
        }
        self.finalize_if_alone(now, parent, draw);
    }

    /// The parent gives a child up.
    pub(super) fn lose(&mut self, now: Instant, rank: u32, reason: Reason, draw: &mut dyn Draw) {
        self.drop_subtree(now, rank, reason);
        self.suspects.remove(&rank);
        let error = match reason {
            Reason::Disconnected => "administrative disconnect",
            Reason::Left | Reason::Lost => "lost connection",
        };
        self.set_link(
            now,
            rank,
            Link { state: LinkState::Lost, error: Some(error.to_owned()), ..Link::default() },
        );
        if let Some(parent) = self.topology.parent(rank) {
            self.finalize_if_alone(now, parent, draw);
        }
    }

    /// The rank and everything below it leaves the group of those online.
    fn drop_subtree(&mut self, now: Instant, rank: u32, reason: Reason) {
        let mut below = vec![rank];
        while let Some(rank) = below.pop() {
            self.torpid.remove(rank);
            if self.online.remove(rank) {
                self.tell(now, Fact::Gone(rank, reason));
            }
            below.extend(self.children(rank));
        }
    }

    /// The process ends.
    pub(super) fn end(&mut self, now: Instant, rank: u32, code: i32) {
        let Some(process) = self.processes.get_mut(rank as usize).and_then(Option::take) else { return };
        self.tell(now, Fact::Exited(rank, code));
        if rank == 0 {
            let clean = process.state == BrokerState::Finalize;
            self.online = crate::Idset::new();
            self.torpid = crate::Idset::new();
            self.suspects.clear();
            self.tell(now, Fact::LeadDown(clean));
        }
    }
}
