//! The scheduler as pure decisions: given the nodes and the queue, which jobs start where, which are denied, which get
//! a reservation. Nothing here knows of job states, events or latencies.
//!
//! sched-simple and Fluxion with fcfs look at the head of the queue only; the other policies of Fluxion pass over what
//! is blocked and keep reservations (Flux spec B.8, I 1, 2 and 12).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::idset::Idset;
use crate::job_id::JobId;
use crate::time::Instant;
use crate::version::{Features, Policy, Scheduler};

mod cores;
mod feasible;
mod nodes;
mod order;
mod placement;
mod request;
mod reservation;

pub use cores::CoreSet;
pub use nodes::Inventory;
pub use request::{Allocation, Request, Shape};

use nodes::{Nodes, Preference};
use reservation::{Reservation, earliest, end_of, unpromised};

/// What becomes of a job that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It starts on these cores.
    Allocate(Arc<Allocation>),
    /// It can never start; the note of its exception.
    Deny(String),
    /// It waits, with cores promised from this time on.
    Reserve(Instant, Allocation),
}

/// A job that holds cores.
#[derive(Clone, Debug)]
struct Running {
    allocation: Arc<Allocation>,
    /// When its limit ends it.
    end: Option<Instant>,
}

/// A scheduler with its view of the nodes.
#[derive(Clone, Debug)]
pub struct Engine {
    scheduler: Scheduler,
    features: Features,
    nodes: Nodes,
    running: BTreeMap<JobId, Running>,
}

const fn preference(scheduler: Scheduler) -> Preference {
    match scheduler {
        Scheduler::Simple => Preference::Spread,
        Scheduler::Fluxion(_) => Preference::Weight,
    }
}

impl Engine {
    /// A scheduler whose nodes are all free and down.
    pub fn new(inventory: &Inventory, scheduler: Scheduler, features: Features) -> Self {
        let nodes = Nodes::new(inventory, preference(scheduler));
        Self { scheduler, features, nodes, running: BTreeMap::new() }
    }

    /// How many jobs of the queue are looked at: sched-simple has `queue-depth=8` (recording 04), Fluxion 32 (B.8).
    pub const fn depth(&self) -> usize {
        match self.scheduler {
            Scheduler::Simple => 8,
            Scheduler::Fluxion(_) => 32,
        }
    }

    /// How many jobs may hold a reservation.
    const fn reservations_max(&self) -> usize {
        match self.scheduler {
            Scheduler::Simple | Scheduler::Fluxion(Policy::Fcfs) => 0,
            Scheduler::Fluxion(Policy::Easy) => 1,
            Scheduler::Fluxion(Policy::Hybrid) => 64,
            Scheduler::Fluxion(Policy::Conservative) => usize::MAX,
        }
    }

    /// Whether a blocked job blocks all behind it.
    const fn head_blocks(&self) -> bool {
        matches!(self.scheduler, Scheduler::Simple | Scheduler::Fluxion(Policy::Fcfs))
    }

    /// These ranks may be given to jobs, no others. Tells whether that is news.
    pub fn set_up(&mut self, up: &Idset) -> bool {
        self.nodes.set_up(up)
    }

    /// The free cores of a rank, up or not.
    pub fn free(&self, rank: u32) -> CoreSet {
        self.nodes.free(rank)
    }

    /// All cores of a rank.
    pub fn cores(&self, rank: u32) -> CoreSet {
        self.nodes.all(rank)
    }

    /// What a job holds.
    pub fn allocation(&self, job: JobId) -> Option<&Allocation> {
        self.running.get(&job).map(|running| running.allocation.as_ref())
    }

    /// A job gives back what it holds. Tells whether it held anything.
    pub fn release(&mut self, job: JobId) -> bool {
        let running = self.running.remove(&job);
        if let Some(running) = &running {
            self.nodes.give_back(&running.allocation);
        }
        running.is_some()
    }

    /// Goes over the queue, highest priority first, and decides. What is allocated is taken at once, so that one pass can
    /// start several jobs.
    pub fn pass<'a>(
        &mut self,
        now: Instant,
        queue: impl IntoIterator<Item = (JobId, &'a Request)>,
    ) -> Vec<(JobId, Decision)> {
        let mut decisions = Vec::new();
        let mut reservations: Vec<Reservation> = Vec::new();
        // Jobs that leave the queue make room for the next ones, so the depth counts only those that stay.
        let mut waiting = 0;
        for (job, request) in queue {
            if waiting >= self.depth() {
                break;
            }
            if let Some(allocation) = self.fit(request, &reservations, now) {
                self.nodes.take(&allocation);
                let allocation = Arc::new(allocation);
                let end = end_of(now, request.limit);
                self.running.insert(job, Running { allocation: Arc::clone(&allocation), end });
                decisions.push((job, Decision::Allocate(allocation)));
            } else if let Some(note) = feasible::denial(&self.nodes, request, self.scheduler, &self.features)
            {
                decisions.push((job, Decision::Deny(note)));
                if self.head_blocks() && self.scheduler != Scheduler::Simple && self.features.denial_ends_pass
                {
                    break;
                }
            } else if self.head_blocks() {
                break;
            } else {
                waiting += 1;
                if reservations.len() < self.reservations_max()
                    && let Some(reservation) = earliest(self, request, &reservations, now)
                {
                    self.nodes.touch(&reservation.allocation);
                    decisions
                        .push((job, Decision::Reserve(reservation.start, reservation.allocation.clone())));
                    reservations.push(reservation);
                }
            }
        }
        decisions
    }

    /// Room for a request now that no reservation needs before the request must have ended.
    fn fit(&self, request: &Request, reservations: &[Reservation], now: Instant) -> Option<Allocation> {
        let until = end_of(now, request.limit);
        let usable = |rank: u32| {
            if self.nodes.is_up(rank) {
                unpromised(self.nodes.free(rank), rank, reservations, now, until)
            } else {
                CoreSet::NONE
            }
        };
        self.nodes.find(preference(self.scheduler), request, usable)
    }
}
