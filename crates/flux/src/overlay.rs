//! The overlay network: a tree of brokers, who is online, and what each rank's parent believes (Flux spec
//! B.2 to B.5, part I).
//!
//! The caller starts brokers and kills them; the overlay answers with [`Fact`]s: a rank is online, gone,
//! silent, has exited. Rank 0 is the lead. The tree is fixed for life: rank = position in the list of hosts,
//! parent by topology. What is known of a child lives in its parent's process and dies with it, so that a
//! restarted parent knows nobody, and its orphans leave with exit code 1.

mod broker;
mod departure;
mod messages;
mod status;
mod topology;

use std::collections::{BTreeMap, BTreeSet};

use crate::latency::Latencies;
use crate::time::{Draw, Instant};
use crate::version::{Features, FluxVersion};
use crate::{Hostlist, Idset};

pub use broker::{BrokerState, Reason};
pub use status::{Line, Status};
pub use topology::{InvalidTopology, Topology};

use broker::{Link, Process};
use status::Health;

/// More ranks than this are refused: they would not be an instance but a mistake.
pub const RANKS_MAX: usize = 1 << 17;

/// What follows from what the caller did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The rank has run rc1 and joined: it is in the group `broker.online`.
    Online(u32),
    /// The rank left that group.
    Gone(u32, Reason),
    /// The shells of jobs on this rank were told to end, because its broker leaves in order.
    ShellsEnd(u32),
    /// The rank was silent for too long.
    Torpid(u32),
    /// A torpid rank was heard again.
    Responsive(u32),
    /// The broker's process ended with this exit code (-9: killed).
    Exited(u32, i32),
    /// The lead's resource and job modules are loaded: the instance answers.
    LeadUp,
    /// The lead runs its cleanup: stop the queue, cancel what runs.
    LeadCleanup,
    /// The lead's process ended; true if it could write its checkpoint.
    LeadDown(bool),
    /// The lead reached RUN.
    Running,
}

/// Why a broker does not come up, or a hello is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No rank of that number.
    #[error("rank {rank} is not in the instance: its ranks are 0-{last}")]
    UnknownRank {
        /// What was asked for.
        rank: u32,
        /// The highest rank.
        last: u32,
    },
    /// The rank has no process.
    #[error("rank {0} does not run")]
    NotRunning(u32),
    /// RFC: major and minor version must agree.
    #[error("client ({client}) version mismatched with server ({server})")]
    Version {
        /// Of the child.
        client: FluxVersion,
        /// Of the parent.
        server: FluxVersion,
    },
    /// 0.88 and later.
    #[error(
        "rejecting connection from {host} (rank {rank}): {expected} is configured as rank {rank}: mismatched config?"
    )]
    Host {
        /// What the child calls itself.
        host: String,
        /// Which rank it believes to be.
        rank: u32,
        /// Whose rank that is.
        expected: String,
    },
    /// Only a child of this broker can be disconnected.
    #[error("rank {0} is not connected")]
    NotConnected(u32),
}

/// Something that happens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The broker says hello to its parent.
    Hello,
    /// rc1 is done.
    Rc1,
    /// The lead's cleanup is done.
    Cleaned,
    /// The shells of running jobs are gone.
    Shells,
    /// rc3 is done: goodbye.
    Rc3,
    /// Nobody upstream knows this broker.
    Orphan,
    /// It has heard no heartbeat for too long.
    Deaf,
    /// The parent drops this child, as somebody asked it to.
    Disconnect,
    /// Time to look whether the rank is torpid.
    Silence,
}

/// The overlay network of one instance.
#[derive(Clone, Debug)]
pub struct Overlay {
    hosts: Hostlist,
    version: FluxVersion,
    features: Features,
    topology: Topology,
    quorum: Quorum,
    latencies: Latencies,
    processes: Vec<Option<Process>>,
    /// What the parent of each rank believes of it. Index 0 is unused: the lead has no parent.
    links: Vec<Link>,
    online: Idset,
    torpid: Idset,
    /// Children of which the parent has not noticed yet that they do not answer.
    suspects: BTreeSet<u32>,
    /// At most a handful per rank: each state of a broker has one.
    timers: BTreeMap<(Instant, u64), (u32, u32, Timer)>,
    sequence: u64,
    /// Counts processes: a timer of an earlier one is void.
    incarnations: u32,
    /// When the heartbeat module was loaded.
    heart: Instant,
    health: Vec<Health>,
    /// The facts since the caller last asked.
    facts: Vec<(Instant, Fact)>,
}

/// When the lead may leave the state quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// So many ranks are online.
    Size(u32),
    /// These ranks are online (before 0.51).
    Ranks(Idset),
    /// All of them: the default.
    All,
}

/// The text is no quorum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broker.quorum: `{text}` is no {wanted}")]
pub struct InvalidQuorum {
    /// What was given.
    pub text: String,
    /// What this version wants.
    pub wanted: &'static str,
}

impl Quorum {
    /// Reads `-Sbroker.quorum=`: a size, or before 0.51 the idset of the ranks.
    pub fn read(text: &str, features: &Features) -> Result<Self, InvalidQuorum> {
        let invalid = |wanted| InvalidQuorum { text: text.to_owned(), wanted };
        if features.quorum_is_size {
            text.parse().map(Self::Size).map_err(|_| invalid("number of ranks"))
        } else {
            text.parse().map(Self::Ranks).map_err(|_| invalid("idset"))
        }
    }
}

impl Overlay {
    /// An overlay in which no broker runs.
    pub fn new(
        hosts: Hostlist,
        version: FluxVersion,
        features: Features,
        topology: Topology,
        latencies: Latencies,
    ) -> Self {
        let size = hosts.len().min(RANKS_MAX);
        let mut overlay = Self {
            hosts,
            version,
            features,
            topology,
            quorum: Quorum::All,
            latencies,
            processes: vec![None; size],
            links: vec![Link::default(); size],
            online: Idset::new(),
            torpid: Idset::new(),
            suspects: BTreeSet::new(),
            timers: BTreeMap::new(),
            sequence: 0,
            incarnations: 0,
            heart: Instant::ZERO,
            health: Vec::new(),
            facts: Vec::new(),
        };
        overlay.health = overlay.all_offline();
        overlay
    }

    /// Number of ranks.
    pub fn size(&self) -> u32 {
        u32::try_from(self.links.len()).unwrap_or(u32::MAX)
    }

    /// The hosts in the order of their ranks.
    pub fn hosts(&self) -> &Hostlist {
        &self.hosts
    }

    /// The host of a rank, or an empty text.
    pub fn host(&self, rank: u32) -> String {
        self.hosts.get(rank as usize).unwrap_or_default()
    }

    /// The ranks of the group `broker.online`.
    pub fn online(&self) -> &Idset {
        &self.online
    }

    /// The ranks that were silent for too long.
    pub fn torpid(&self) -> &Idset {
        &self.torpid
    }

    /// Ranks that are dead and of which nobody knows it.
    pub fn dead(&self) -> impl Iterator<Item = u32> + '_ {
        self.suspects.iter().copied().filter(|rank| self.accepted(*rank).is_none())
    }

    /// The state of a broker, if it runs.
    pub fn state(&self, rank: u32) -> Option<(BrokerState, Instant)> {
        self.process(rank).map(|process| (process.state, process.since))
    }

    /// When the broker was started, if it runs.
    pub fn started(&self, rank: u32) -> Option<Instant> {
        self.process(rank).map(|process| process.started)
    }

    /// The latencies, to be changed while the instance runs: `flux module reload heartbeat period=…`.
    pub fn latencies_mut(&mut self) -> &mut Latencies {
        &mut self.latencies
    }

    /// Sets the quorum: `-Sbroker.quorum=`.
    pub fn set_quorum(&mut self, quorum: Quorum) {
        self.quorum = quorum;
    }

    /// The heartbeat module was loaded (again).
    pub fn heartbeat_loaded(&mut self, now: Instant, period: std::time::Duration) {
        self.latencies.heartbeat = period;
        self.heart = now;
    }

    /// The facts since the last call, in the order in which they happened.
    pub fn take_facts(&mut self) -> Vec<(Instant, Fact)> {
        std::mem::take(&mut self.facts)
    }

    /// When something happens next, if the caller does nothing.
    pub fn next_time(&self) -> Option<Instant> {
        let timer = self.timers.keys().next().map(|(time, _)| *time);
        [timer, self.next_pulse()].into_iter().flatten().min()
    }

    /// Lets everything happen up to and including `to`.
    pub fn advance(&mut self, to: Instant, draw: &mut dyn Draw) {
        while let Some(next) = self.next_time().filter(|next| *next <= to) {
            if self.next_pulse() == Some(next) {
                self.pulse(next, draw);
            }
            while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= next) {
                let ((time, _), (rank, incarnation, timer)) = entry.remove_entry();
                if timer == Timer::Silence {
                    self.look(time, rank);
                } else if self.process(rank).is_some_and(|process| process.incarnation == incarnation) {
                    self.fire(time, rank, timer, draw);
                }
            }
        }
    }

    fn fire(&mut self, now: Instant, rank: u32, timer: Timer, draw: &mut dyn Draw) {
        match timer {
            Timer::Hello => self.hello(now, rank, draw),
            Timer::Rc1 => self.rc1_done(now, rank, draw),
            Timer::Cleaned => self.cleaned(now, rank, draw),
            Timer::Shells => self.tell(now, Fact::ShellsEnd(rank)),
            Timer::Rc3 => self.goodbye(now, rank, draw),
            Timer::Orphan => self.leave(now, rank, 1, draw),
            Timer::Deaf if self.process(0).is_none() => self.leave(now, rank, 1, draw),
            // Another lead beats.
            Timer::Deaf => {}
            Timer::Disconnect => {
                self.lose(now, rank, Reason::Disconnected, draw);
                self.leave(now, rank, 1, draw);
            }
            Timer::Silence => {}
        }
    }

    fn tell(&mut self, now: Instant, fact: Fact) {
        self.facts.push((now, fact));
    }

    fn schedule(&mut self, at: Instant, rank: u32, timer: Timer) {
        let incarnation = self.process(rank).map_or(0, |process| process.incarnation);
        self.sequence += 1;
        self.timers.insert((at, self.sequence), (rank, incarnation, timer));
    }

    fn process(&self, rank: u32) -> Option<&Process> {
        self.processes.get(rank as usize).and_then(Option::as_ref)
    }

    fn process_mut(&mut self, rank: u32) -> Option<&mut Process> {
        self.processes.get_mut(rank as usize).and_then(Option::as_mut)
    }

    fn link(&self, rank: u32) -> Option<&Link> {
        self.links.get(rank as usize)
    }

    fn set_state(&mut self, now: Instant, rank: u32, state: BrokerState) {
        if let Some(process) = self.process_mut(rank) {
            process.state = state;
            process.since = now;
        }
    }

    fn children(&self, rank: u32) -> impl Iterator<Item = u32> + use<> {
        self.topology.children(rank, self.size())
    }

    fn known(&self, rank: u32) -> Result<(), Refused> {
        let size = self.size();
        if rank < size { Ok(()) } else { Err(Refused::UnknownRank { rank, last: size.saturating_sub(1) }) }
    }
}
