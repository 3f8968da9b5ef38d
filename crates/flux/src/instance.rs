//! A Flux instance: brokers, their overlay, resources and jobs, as one state machine (Flux spec, part B).
//!
//! The caller starts brokers, kills them and types commands; [`Instance::next_time`] says when something
//! happens by itself, and [`Instance::advance`] lets it. What happens to a rank goes the way that it goes in
//! Flux: overlay, group of those online, resource module, scheduler. Everything but the overlay lives in the
//! lead, and dies with it: what a lead finds when it starts is what it wrote when it last ended in order, or
//! what an archive holds.

mod brokers;
mod setup;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Idset;
use crate::jobs::{JobManager, NodeLoss, Program};
use crate::latency::Latencies;
use crate::overlay::{Fact, Overlay, Quorum};
use crate::resource::{Busy, Resources};
use crate::time::{Draw, Instant};

pub use setup::{ConfigError, Setup};
pub use state::Stored;

/// From an allocation to the first message to the nodes (recording 09).
const SEND: Duration = Duration::from_millis(4);

/// What lives in the lead's process.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) resources: Resources,
    pub(crate) jobs: JobManager,
    /// The ranks that the scheduler takes to be up.
    pub(crate) up: Idset,
    /// `flux queue stop` without `--nocheckpoint`: remembered over a restart.
    pub(crate) stopped: bool,
    /// `flux queue status` says that a restored queue is stopped, though it is not (up to 0.61).
    pub(crate) announced: bool,
    /// Where `flux shutdown --dump=` wants the archive.
    pub(crate) dump: Option<String>,
}

/// What happens in the lead a little after the overlay knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    /// The resource module learns that a rank is gone.
    Gone(u32),
    /// Everybody is sent a message: who is dead is found out.
    Probe,
    /// The scheduler learns of a drain or of its end.
    Drained,
}

/// A Flux instance.
#[derive(Clone, Debug)]
pub struct Instance {
    setup: Setup,
    overlay: Overlay,
    lead: Option<Lead>,
    /// The lead's statedir.
    disk: Option<Stored>,
    /// `content.restore`: the archive that every start of the lead begins from.
    restore: Option<String>,
    /// Archives by file name. They outlive the instance: a caller hands them on.
    archives: BTreeMap<String, Stored>,
    later: BTreeMap<(Instant, u64), Later>,
    sequence: u64,
    /// Cores that jobs hold of ranks that are dead without anybody knowing it.
    held: BTreeMap<u32, u32>,
    exits: Vec<(Instant, u32, i32)>,
    runs: bool,
    /// What the program of the next job does.
    program: Option<Program>,
}

impl Instance {
    /// An instance of which no broker runs.
    pub fn new(setup: Setup) -> Self {
        let mut overlay = Overlay::new(
            setup.hosts.clone(),
            setup.version,
            setup.features.clone(),
            setup.topology,
            setup.latencies.clone(),
        );
        overlay.set_quorum(setup.quorum.clone());
        Self {
            setup,
            overlay,
            lead: None,
            disk: None,
            restore: None,
            archives: BTreeMap::new(),
            later: BTreeMap::new(),
            sequence: 0,
            held: BTreeMap::new(),
            exits: Vec::new(),
            runs: false,
            program: None,
        }
    }

    /// The configuration.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The overlay network.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub(crate) fn overlay_mut(&mut self) -> &mut Overlay {
        &mut self.overlay
    }

    /// Resources, while the lead answers.
    pub fn resources(&self) -> Option<&Resources> {
        self.lead.as_ref().map(|lead| &lead.resources)
    }

    /// Jobs, while the lead answers.
    pub fn jobs(&self) -> Option<&JobManager> {
        self.lead.as_ref().map(|lead| &lead.jobs)
    }

    pub(crate) fn lead(&self) -> Option<&Lead> {
        self.lead.as_ref()
    }

    pub(crate) fn lead_mut(&mut self) -> Option<&mut Lead> {
        self.lead.as_mut()
    }

    /// Whether the lead reached RUN.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// Changes `broker.quorum` for the next start of the lead.
    pub fn set_quorum(&mut self, quorum: Quorum) {
        self.setup.quorum = quorum.clone();
        self.overlay.set_quorum(quorum);
    }

    /// The latencies of brokers and overlay, to be changed at any time.
    pub fn latencies_mut(&mut self) -> &mut Latencies {
        self.overlay.latencies_mut()
    }

    /// What the program of the next job does, if the caller knows better than its command line says.
    pub fn give_program(&mut self, program: Option<Program>) {
        self.program = program;
    }

    pub(crate) fn take_program(&mut self) -> Option<Program> {
        self.program.take()
    }

    /// Exit codes of brokers since the caller last asked.
    pub fn take_exits(&mut self) -> Vec<(Instant, u32, i32)> {
        std::mem::take(&mut self.exits)
    }

    /// Sends a message to a rank: whether it arrives. A dead one is found out.
    pub fn reach(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> bool {
        let arrived = self.overlay.send(now, rank, draw);
        self.settle(now, draw);
        arrived
    }

    /// When something happens next, if the caller does nothing.
    pub fn next_time(&self) -> Option<Instant> {
        let later = self.later.keys().next().map(|(time, _)| *time);
        let jobs = self.lead.as_ref().and_then(|lead| lead.jobs.next_time());
        [self.overlay.next_time(), later, jobs].into_iter().flatten().min()
    }

    /// Lets everything happen up to and including `to`.
    pub fn advance(&mut self, to: Instant, draw: &mut dyn Draw) {
        while let Some(next) = self.next_time().filter(|next| *next <= to) {
            self.overlay.advance(next, draw);
            self.settle(next, draw);
            while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= next) {
                let later = entry.remove();
                self.catch_up(next, later, draw);
            }
            self.advance_jobs(next, draw);
        }
        self.advance_jobs(to, draw);
    }

    fn advance_jobs(&mut self, to: Instant, draw: &mut dyn Draw) {
        let Some(lead) = &mut self.lead else { return };
        lead.jobs.advance(to, draw);
        // Between a loss and the moment in which the scheduler learns of it, jobs are still sent there.
        for rank in lead.up.difference(self.overlay.online()).iter() {
            if lead.jobs.busy(rank) {
                lead.jobs.node_failed(to, rank, NodeLoss::Lost);
            }
        }
        // A job that is sent to a rank whose death nobody has noticed yet notices it a moment later
        // (recording 09).
        let dead: Vec<u32> = self.overlay.dead().collect();
        self.held.retain(|rank, _| dead.contains(rank));
        let mut sent = false;
        for rank in dead {
            let cores = lead.jobs.allocated_cores(rank);
            let held = self.held.entry(rank).or_insert(cores);
            sent |= cores > *held;
            *held = cores;
        }
        if sent {
            self.postpone(to + SEND, Later::Probe);
        }
    }

    /// The ranks that the scheduler takes to be up: moments behind what is so.
    pub fn up(&self) -> Idset {
        self.lead.as_ref().map(|lead| lead.up.clone()).unwrap_or_default()
    }

    /// Ranks that jobs use.
    pub fn busy(&self) -> Busy {
        let Some(lead) = &self.lead else { return Busy::default() };
        let used = |rank: u32| Some((rank, lead.jobs.allocated_cores(rank))).filter(|(_, cores)| *cores > 0);
        Busy { cores: lead.jobs.allocated().iter().filter_map(used).collect() }
    }

    /// Tells the lead what the overlay found out.
    pub(crate) fn settle(&mut self, now: Instant, draw: &mut dyn Draw) {
        // Facts may cause others (a probe finds the dead); each rank is found dead once.
        let mut learnt = false;
        loop {
            let facts = self.overlay.take_facts();
            if facts.is_empty() {
                break;
            }
            learnt = true;
            for (time, fact) in facts {
                self.learn(time, fact, draw);
            }
        }
        if learnt {
            self.update_scheduler(now);
        }
    }

    fn learn(&mut self, now: Instant, fact: Fact, draw: &mut dyn Draw) {
        match fact {
            Fact::LeadUp => self.boot(now, draw),
            Fact::Running => self.runs = true,
            Fact::Online(rank) => {
                if let Some(lead) = &mut self.lead {
                    lead.resources.set_online(now, rank);
                }
            }
            Fact::Gone(rank, _) => {
                // Whoever left in order has ended its shells before; what came after that is lost too.
                if let Some(lead) = &mut self.lead {
                    lead.jobs.node_failed(now, rank, NodeLoss::Lost);
                }
                self.hurry(now);
                let down = self.setup.latencies.down.draw(draw);
                self.postpone(now + down, Later::Gone(rank));
            }
            Fact::ShellsEnd(rank) => {
                if let Some(lead) = &mut self.lead {
                    lead.jobs.node_failed(now, rank, NodeLoss::Left);
                }
            }
            Fact::Torpid(rank) => {
                if let Some(lead) = &mut self.lead {
                    lead.resources.set_torpid(now, rank);
                }
                if self.setup.features.torpid_drains {
                    // The drain is an event that every broker gets: a dead one is found out (recording 16).
                    let down = self.setup.latencies.down.draw(draw);
                    self.postpone(now + down, Later::Probe);
                }
            }
            Fact::Responsive(rank) => {
                if let Some(lead) = &mut self.lead {
                    lead.resources.set_responsive(rank);
                }
            }
            Fact::LeadCleanup => {
                if let Some(lead) = &mut self.lead {
                    lead.jobs.shutdown(now);
                }
            }
            Fact::LeadDown(clean) => self.lead_ended(now, clean),
            Fact::Exited(rank, code) => self.exits.push((now, rank, code)),
        }
    }

    fn catch_up(&mut self, now: Instant, later: Later, draw: &mut dyn Draw) {
        match later {
            // It may be back already.
            Later::Gone(rank) if !self.overlay.online().contains(rank) => {
                if let Some(lead) = &mut self.lead {
                    lead.resources.set_offline(now, rank);
                }
            }
            Later::Gone(_) | Later::Drained => {}
            Later::Probe => {
                for rank in 1..self.overlay.size() {
                    self.overlay.send(now, rank, draw);
                }
            }
        }
        self.settle(now, draw);
        self.update_scheduler(now);
    }

    /// Departures are told in batches of 0.1 s, and one more ends the batch of those before: of ranks that go together, all but
    /// the last are told at once (`recordings/kind/latency.json`, 32→2).
    fn hurry(&mut self, now: Instant) {
        let waiting = self.later.iter().filter(|(_, later)| matches!(later, Later::Gone(_)));
        let waiting: Vec<_> = waiting.map(|(key, _)| *key).collect();
        for (at, sequence) in waiting {
            if let Some(later) = self.later.remove(&(at, sequence)) {
                self.later.insert((at.min(now), sequence), later);
            }
        }
    }

    fn postpone(&mut self, at: Instant, later: Later) {
        self.sequence += 1;
        self.later.insert((at, self.sequence), later);
    }

    /// The scheduler learns which ranks may get work.
    pub(crate) fn update_scheduler(&mut self, now: Instant) {
        if let Some(lead) = &mut self.lead {
            lead.up = lead.resources.up();
            lead.jobs.set_up(now, &lead.up);
        }
    }

    /// A drain, or its end, is on its way to the scheduler.
    pub(crate) fn drained(&mut self, now: Instant, drained: bool, draw: &mut dyn Draw) {
        let latencies = &self.setup.latencies;
        let later = if drained { latencies.drain } else { latencies.undrain }.draw(draw);
        self.postpone(now + later, Later::Drained);
    }
}
