//! One broker: from its start to RUN (Flux spec B.3).

use super::{Fact, Overlay, Quorum, Refused, Timer};
use crate::time::{Draw, Instant};
use crate::version::FluxVersion;

/// The states of a broker, in the order in which it runs through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerState {
    /// Waits for its parent.
    Join,
    /// Runs rc1.
    Init,
    /// Waits for enough ranks.
    Quorum,
    /// Runs.
    Run,
    /// Runs its cleanup tasks.
    Cleanup,
    /// Waits for its children to leave.
    Shutdown,
    /// Runs rc3.
    Finalize,
}

impl BrokerState {
    /// The name, as `flux uptime` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Init => "init",
            Self::Quorum => "quorum",
            Self::Run => "run",
            Self::Cleanup => "cleanup",
            Self::Shutdown => "shutdown",
            Self::Finalize => "finalize",
        }
    }
}

/// Why a rank is not online any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It said goodbye.
    Left,
    /// It vanished.
    Lost,
    /// It was disconnected by hand.
    Disconnected,
}

/// A broker's process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) incarnation: u32,
    pub(super) state: BrokerState,
    /// Of the state.
    pub(super) since: Instant,
    pub(super) started: Instant,
    /// Stopped by SIGSTOP.
    pub(super) frozen: bool,
    /// The network between it and its parent drops everything.
    pub(super) cut: bool,
    /// The parent's process that accepted it.
    pub(super) parent: Option<u32>,
    /// When rc1 will be done, if the caller knows it.
    pub(super) ready: Option<Instant>,
    /// What it will exit with.
    pub(super) code: i32,
}

/// What a parent believes of a child.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) state: LinkState,
    /// What 0.88 prints beside the status.
    pub(super) error: Option<String>,
    /// The first send to a host that does not answer.
    pub(super) unanswered: Option<Instant>,
    /// Since when the child is silent, and when it was last heard: a heartbeat is one-way, so that may be
    /// longer ago.
    pub(super) silent: Option<Instant>,
    pub(super) heard: Option<Instant>,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LinkState {
    /// Never there, or said goodbye.
    #[default]
    Offline,
    /// Accepted, by this process of the child.
    Up(u32),
    /// Vanished.
    Lost,
}

impl Overlay {
    /// A broker is started. One that already runs under this rank loses its place: it is dropped as soon as
    /// the new one says hello.
    pub fn start(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        if self.process(rank).is_some() {
            self.suspect(now, rank, draw);
            self.end(now, rank, 1);
        }
        self.incarnations += 1;
        let process = Process {
            incarnation: self.incarnations,
            state: BrokerState::Join,
            since: now,
            started: now,
            frozen: false,
            cut: false,
            parent: None,
            ready: None,
            code: 0,
        };
        if let Some(place) = self.processes.get_mut(rank as usize) {
            *place = Some(process);
        }
        // Whoever believed in the old process of this rank as a parent is forgotten with it.
        for child in self.children(rank) {
            self.suspects.remove(&child);
            self.set_link(now, child, Link::default());
            self.offline_since(now, child);
        }
        if rank == 0 {
            // It has no parent to see it: it sees itself, before any child has come.
            self.set_link(now, 0, Link::default());
            self.set_state(now, 0, BrokerState::Init);
            let rc1 = self.latencies.lead_rc1.draw(draw);
            self.heart = now + rc1 / 2;
            self.schedule(now + rc1, 0, Timer::Rc1);
        } else {
            let connect = self.latencies.connect.draw(draw);
            self.schedule(now + connect, rank, Timer::Hello);
        }
        Ok(())
    }

    /// A broker of some other configuration says hello in the name of a rank, and whether the parent would
    /// have it.
    pub fn stranger(&mut self, rank: u32, host: &str, version: FluxVersion) -> Result<(), Refused> {
        self.known(rank)?;
        let minor = |version: FluxVersion| version.full().rsplit_once('.').map_or("", |(minor, _)| minor);
        let refused = if minor(version) != minor(self.version) {
            Refused::Version { client: version, server: self.version }
        } else if self.features.checks_host_names && host != self.host(rank) {
            Refused::Host { host: host.to_owned(), rank, expected: self.host(rank) }
        } else {
            return Ok(());
        };
        if let (Refused::Version { .. }, Some(link)) = (&refused, self.links.get_mut(rank as usize)) {
            link.error = Some(refused.to_string());
        }
        Err(refused)
    }

    /// The parent accepts a child as soon as it is in quorum or run; until then the child waits in join,
    /// without end.
    pub(super) fn hello(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        let Some(parent) = self.topology.parent(rank) else { return };
        let Some((incarnation, cut)) = self.process(rank).map(|process| (process.incarnation, process.cut))
        else {
            return;
        };
        let Some(upstream) = self
            .process(parent)
            .filter(|up| (BrokerState::Quorum..=BrokerState::Run).contains(&up.state) && !cut && !up.frozen)
        else {
            return;
        };
        let upstream = upstream.incarnation;
        if matches!(self.link(rank).map(|link| link.state), Some(LinkState::Up(_))) {
            // The old process of this rank is still believed in: "reconnected after crash, dropping old
            // connection state".
            self.lose(now, rank, Reason::Lost, draw);
        }
        self.set_link(now, rank, Link { state: LinkState::Up(incarnation), ..Link::default() });
        if let Some(process) = self.process_mut(rank) {
            process.parent = Some(upstream);
        }
        self.suspects.remove(&rank);
        self.set_state(now, rank, BrokerState::Init);
        let rc1 = now + self.latencies.rc1.draw(draw);
        let ready = self.process(rank).and_then(|process| process.ready);
        self.schedule(ready.unwrap_or(rc1).max(now), rank, Timer::Rc1);
    }

    /// The caller knows when rc1 of this broker, just started, will be done.
    pub fn ready_at(&mut self, rank: u32, ready: Instant) {
        if let Some(process) = self.process_mut(rank) {
            process.ready = Some(ready);
        }
        if rank == 0 && self.process(0).is_some_and(|lead| lead.state == BrokerState::Init) {
            // The timer that the start has set comes too early or too late: it is for the same process.
            self.timers.retain(|_, (rank, _, timer)| (*rank, *timer) != (0, Timer::Rc1));
            self.schedule(ready, 0, Timer::Rc1);
        }
    }

    pub(super) fn rc1_done(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        let known = |process: &Process| {
            self.link(rank).is_some_and(|link| link.state == LinkState::Up(process.incarnation))
        };
        if rank != 0 && !self.process(rank).is_some_and(known) {
            // Given up during rc1: nobody upstream waits for it.
            return;
        }
        self.set_state(now, rank, BrokerState::Quorum);
        if rank == 0 {
            self.tell(now, Fact::LeadUp);
        }
        // A parent that nobody upstream knows joins nobody to the group.
        if self.topology.parent(rank).is_some_and(|parent| !self.online.contains(parent)) {
            return;
        }
        self.online.insert(rank);
        self.tell(now, Fact::Online(rank));
        let lead_runs = self.process(0).is_some_and(|lead| lead.state == BrokerState::Run);
        if rank != 0 && lead_runs {
            self.set_state(now, rank, BrokerState::Run);
        }
        self.admit(now, rank, draw);
        self.check_quorum(now);
    }

    /// The workers of a lead that is gone meet another one.
    pub(crate) fn orphan_all(&mut self, now: Instant, draw: &mut dyn Draw) {
        if self.process(0).is_some() {
            return;
        }
        for child in self.children(0) {
            if self.process(child).is_some_and(|process| process.parent.is_some() && !process.cut) {
                let notice = self.latencies.orphan.draw(draw);
                self.schedule(now + notice, child, Timer::Orphan);
            }
        }
    }

    /// Children that waited for this parent say hello.
    fn admit(&mut self, now: Instant, parent: u32, draw: &mut dyn Draw) {
        for child in self.children(parent) {
            let Some(process) = self.process(child) else { continue };
            if process.state == BrokerState::Join {
                let retry = self.latencies.retry.draw(draw);
                self.schedule(now + retry, child, Timer::Hello);
            } else if process.parent.is_some() && !process.frozen && !process.cut {
                // It belonged to the parent's old process and will learn that nobody knows it.
                // A parent that is a child itself says so at once (recording 03b, section 6).
                let notice = if parent == 0 { self.latencies.orphan } else { self.latencies.retry };
                self.schedule(now + notice.draw(draw), child, Timer::Orphan);
            }
        }
    }

    pub(super) fn check_quorum(&mut self, now: Instant) {
        let enough = match &self.quorum {
            Quorum::Size(size) => self.online.len() >= *size as usize,
            Quorum::Ranks(ranks) => ranks.is_subset(&self.online),
            Quorum::All => self.online.len() >= self.links.len(),
        };
        if !enough || self.process(0).is_none_or(|lead| lead.state != BrokerState::Quorum) {
            return;
        }
        self.tell(now, Fact::Running);
        for rank in 0..self.size() {
            if self.process(rank).is_some_and(|process| process.state == BrokerState::Quorum) {
                self.set_state(now, rank, BrokerState::Run);
            }
        }
    }
}
