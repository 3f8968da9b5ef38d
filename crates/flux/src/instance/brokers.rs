//! What happens to brokers, as the caller says.

use super::{ConfigError, Instance};
use crate::overlay::Refused;
use crate::time::{Draw, Instant};
use crate::version::FluxVersion;

impl Instance {
    /// A broker is started.
    pub fn broker_started(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.overlay.start(now, rank, draw)?;
        self.settle(now, draw);
        Ok(())
    }

    /// A broker is started on a host: its rank is the first position of the host in the list.
    pub fn host_started(
        &mut self,
        now: Instant,
        host: &str,
        draw: &mut dyn Draw,
    ) -> Result<u32, ConfigError> {
        let rank = self.setup.rank_of(host)?;
        // A position in the list is a rank.
        let _ = self.broker_started(now, rank, draw);
        Ok(rank)
    }

    /// When rc1 of a broker that was just started will be done, if the caller knows it better than the
    /// latencies do.
    pub fn broker_ready_at(&mut self, rank: u32, ready: Instant) {
        self.overlay.ready_at(rank, ready);
    }

    /// SIGTERM: the broker leaves in order.
    pub fn broker_terminated(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.overlay.term(now, rank, draw)?;
        self.settle(now, draw);
        Ok(())
    }

    /// SIGKILL, or the end of its container.
    pub fn broker_killed(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.overlay.kill(now, rank, draw)?;
        if let Some(lead) = &self.lead {
            self.held.insert(rank, lead.jobs.allocated_cores(rank));
        }
        self.settle(now, draw);
        Ok(())
    }

    /// SIGSTOP, then SIGCONT.
    pub fn broker_frozen(
        &mut self,
        now: Instant,
        rank: u32,
        frozen: bool,
        draw: &mut dyn Draw,
    ) -> Result<(), Refused> {
        if frozen {
            self.overlay.freeze(now, rank, draw)?;
        } else {
            self.overlay.thaw(now, rank)?;
        }
        self.settle(now, draw);
        Ok(())
    }

    /// The network between a rank and its parent fails, then works again.
    pub fn partitioned(
        &mut self,
        now: Instant,
        rank: u32,
        cut: bool,
        draw: &mut dyn Draw,
    ) -> Result<(), Refused> {
        if cut {
            self.overlay.cut(now, rank, draw)?;
        } else {
            self.overlay.heal(now, rank, draw)?;
        }
        self.settle(now, draw);
        Ok(())
    }

    /// `flux overlay disconnect`.
    pub fn disconnected(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.overlay.disconnect(now, rank, draw)?;
        self.settle(now, draw);
        Ok(())
    }

    /// A broker of another configuration or version says hello in the name of a rank: whether its parent
    /// would have it.
    pub fn stranger(&mut self, rank: u32, host: &str, version: FluxVersion) -> Result<(), Refused> {
        self.overlay.stranger(rank, host, version)
    }

    /// Another lead answers where this one did: every worker of a lead that is gone learns that nobody knows
    /// it, and leaves with exit code 1 (Flux spec J 6).
    pub fn replaced_by_another(&mut self, now: Instant, draw: &mut dyn Draw) {
        self.overlay.orphan_all(now, draw);
    }
}
