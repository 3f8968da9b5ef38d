//! The job manager itself: its jobs, its queue, its timers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::event::{Event, EventKind};
use super::job::{Job, State};
use super::latency::JobLatencies;
use super::spec::{JobSpec, Program, SubmitError};
use crate::hostlist::Hostlist;
use crate::idset::Idset;
use crate::job_id::JobId;
use crate::scheduler::{Engine, Inventory};
use crate::time::Instant;
use crate::version::{Features, Scheduler};

mod control;
mod flow;
mod restart;

pub use control::{CancelError, NodeLoss, RequestCounts};
pub use restart::Checkpoint;

/// What a job manager is made from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The version's behaviours.
    pub features: Features,
    /// The scheduler.
    pub scheduler: Scheduler,
    /// The configured nodes.
    pub inventory: Inventory,
    /// How long steps take.
    pub latencies: JobLatencies,
    /// The name in the column USER.
    pub user: String,
    /// Seconds between 1970 and [`Instant`] zero, for texts with a time of day.
    pub wall: f64,
}

/// The position of a job in the table of jobs.
type Slot = u32;

/// What is due at some time.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// The job may have met its dependencies.
    Depend(Slot),
    /// Its program ends, if the job is still of this generation.
    Finish(Slot, u32),
    /// Its limit is over.
    Expire(Slot, u32),
    /// What runs of it is told to end.
    Kill(Slot, u32, u32),
    /// What ran of it is dead, with this status.
    Killed(Slot, u32, u32),
    /// It becomes inactive.
    Clean(Slot),
    /// Something changed that the scheduler wants to know.
    Wake,
    /// The scheduler goes over its queue.
    Pass,
}

/// A timer with its time. Timers of one time go off in the order in which they were set.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// Nanoseconds in the upper half, the order in the lower: a heap compares much, and one number compares fast.
    key: u128,
    timer: Timer,
}

impl Due {
    fn new(time: Instant, order: u64, timer: Timer) -> Self {
        Self { key: (u128::from(nanos(time)) << 64) | u128::from(order), timer }
    }

    /// In nanoseconds.
    const fn time(&self) -> u64 {
        (self.key >> 64) as u64
    }
}

/// An instant in nanoseconds, up to 584 years.
fn nanos(time: Instant) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Due {}

/// The jobs of an instance and what happens to them.
#[derive(Clone, Debug)]
pub struct JobManager {
    setup: Setup,
    hosts: Arc<Hostlist>,
    engine: Engine,
    jobs: Vec<Job>,
    /// Ids with their slots, ascending.
    index: Vec<(JobId, Slot)>,
    /// Jobs that wait for cores: highest priority first, then the oldest. Held jobs are not in it.
    queue: BTreeSet<(Reverse<u32>, JobId, Slot)>,
    /// Jobs with dependencies that are not met.
    dependent: Vec<Slot>,
    /// Jobs with a reservation.
    reserved: Vec<Slot>,
    /// Jobs that were submitted since the last advance, with the times.
    fresh: Vec<(Instant, Slot)>,
    timers: BinaryHeap<Reverse<Due>>,
    timer_count: u64,
    /// Whether a [`Timer::Wake`] or [`Timer::Pass`] is on its way.
    awake: bool,
    now: Instant,
    /// Time zero of job ids.
    epoch: Instant,
    last_ids: BTreeMap<u32, JobId>,
    /// Why submission is disabled, if it is.
    disabled: Option<String>,
    /// Whether the queue is stopped, and why.
    stopped: Option<Option<String>>,
}

impl JobManager {
    /// A job manager without jobs. `epoch` is time zero of its job ids: the start of the instance.
    pub fn new(setup: Setup, epoch: Instant) -> Self {
        let engine = Engine::new(&setup.inventory, setup.scheduler, setup.features.clone());
        Self {
            hosts: Arc::new(setup.inventory.hosts.clone()),
            setup,
            engine,
            jobs: Vec::new(),
            index: Vec::new(),
            queue: BTreeSet::new(),
            dependent: Vec::new(),
            reserved: Vec::new(),
            fresh: Vec::new(),
            timers: BinaryHeap::new(),
            timer_count: 0,
            awake: false,
            now: epoch,
            epoch,
            last_ids: BTreeMap::new(),
            disabled: None,
            stopped: None,
        }
    }

    /// What it was made from.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// All jobs, in order of their arrival.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// A job by its id.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.slot(id).and_then(|slot| self.at_slot(slot))
    }

    /// Ids of all jobs, newest first (`flux job last`).
    pub fn newest(&self) -> impl Iterator<Item = JobId> + '_ {
        self.index.iter().rev().map(|entry| entry.0)
    }

    fn at_slot(&self, slot: Slot) -> Option<&Job> {
        self.jobs.get(slot as usize)
    }

    fn at_slot_mut(&mut self, slot: Slot) -> Option<&mut Job> {
        self.jobs.get_mut(slot as usize)
    }

    fn slot(&self, id: JobId) -> Option<Slot> {
        let at = self.index.binary_search_by_key(&id, |entry| entry.0).ok()?;
        self.index.get(at).map(|entry| entry.1)
    }

    /// Cores of a rank that jobs hold.
    pub fn allocated_cores(&self, rank: u32) -> u32 {
        self.engine.cores(rank).len() - self.engine.free(rank).len()
    }

    /// Cores of a rank that no job holds, whether it is up or not.
    pub fn free_cores(&self, rank: u32) -> u32 {
        self.engine.free(rank).len()
    }

    /// The ranks of which jobs hold cores.
    pub fn allocated(&self) -> Idset {
        (0_u32..)
            .zip(&self.setup.inventory.cores)
            .map(|(rank, _)| rank)
            .filter(|rank| self.busy(*rank))
            .collect()
    }

    /// Whether a job holds cores of the rank.
    pub fn busy(&self, rank: u32) -> bool {
        self.allocated_cores(rank) > 0
    }

    /// These ranks may get work, no others: online, and neither drained nor torpid.
    pub fn set_up(&mut self, now: Instant, up: &Idset) {
        self.reach(now);
        if self.engine.set_up(up) {
            self.wake();
        }
    }

    /// Submits a job through the broker of `rank`, whose number is part of the id.
    pub fn submit(
        &mut self,
        now: Instant,
        rank: u32,
        spec: impl Into<Arc<JobSpec>>,
    ) -> Result<JobId, SubmitError> {
        self.reach(now);
        let spec = spec.into();
        let request = spec.request(&self.hosts)?;
        if let Some(reason) = &self.disabled {
            return Err(SubmitError::Disabled(reason.clone()));
        }
        if self.setup.features.checks_host_constraints
            && let Some(unknown) =
                spec.hosts.iter().flat_map(Hostlist::iter).find(|host| !self.hosts.contains(host))
        {
            return Err(SubmitError::UnknownHost(unknown));
        }
        if let Some(unknown) = spec.dependencies.iter().find(|dependency| self.slot(dependency.job).is_none())
        {
            return Err(SubmitError::UnknownJob(unknown.job));
        }
        let id = self.next_id(rank);
        // `request` has checked the range.
        let urgency = u32::try_from(spec.urgency).unwrap_or(16);
        let mut events = Vec::with_capacity(10);
        events.push(Event { time: self.now, kind: EventKind::Submit(urgency) });
        let job = Job {
            id,
            unmet: spec.dependencies.clone(),
            program: spec.program.unwrap_or_else(|| Program::of(&spec.command)),
            spec,
            request,
            urgency,
            state: State::Depend,
            events,
            hosts: Arc::clone(&self.hosts),
            allocation: None,
            allocated: None,
            ended: None,
            inactive: None,
            exception: None,
            status: None,
            estimate: None,
            generation: 0,
        };
        let slot = self.insert(job);
        self.fresh.push((self.now, slot));
        Ok(id)
    }

    fn insert(&mut self, job: Job) -> Slot {
        // There are fewer jobs than ids in a second.
        let slot = Slot::try_from(self.jobs.len()).unwrap_or(Slot::MAX);
        // Ids ascend, but for those of several brokers within a millisecond.
        match self.index.last() {
            Some(last) if last.0 > job.id => {
                let at = self.index.partition_point(|entry| entry.0 < job.id);
                self.index.insert(at, (job.id, slot));
            }
            _ => self.index.push((job.id, slot)),
        }
        self.jobs.push(job);
        slot
    }

    fn next_id(&mut self, rank: u32) -> JobId {
        let millis = u64::try_from(self.now.saturating_sub(self.epoch).as_millis()).unwrap_or(u64::MAX);
        let id = match self.last_ids.get(&rank) {
            Some(last) => last.next(millis),
            None => JobId::new(millis, rank, 0),
        };
        self.last_ids.insert(rank, id);
        id
    }

    /// When something happens next by itself.
    pub fn next_time(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse(due)| Instant::from_nanos(due.time()));
        self.fresh.first().map(|fresh| fresh.0).into_iter().chain(timer).min()
    }

    /// Time does not go back.
    fn reach(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn after(&mut self, latency: Instant, timer: Timer) {
        self.at(self.now.saturating_add(latency), timer);
    }

    fn at(&mut self, time: Instant, timer: Timer) {
        self.timer_count += 1;
        self.timers.push(Reverse(Due::new(time, self.timer_count, timer)));
    }

    /// Has the scheduler look at its queue soon.
    fn wake(&mut self) {
        if !self.awake && self.stopped.is_none() {
            self.awake = true;
            self.after(Instant::ZERO, Timer::Wake);
        }
    }
}
