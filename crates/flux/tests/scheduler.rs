//! Scheduling against a second implementation that is slow and obvious: a grid of cores, sorted anew for every question.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use towtank_flux::scheduler::{Allocation, CoreSet, Decision, Engine, Inventory, Request, Shape};
use towtank_flux::version::{Features, FluxVersion, Policy, Scheduler};
use towtank_flux::{Idset, JobId};

/// A core of a rank.
type Core = (u32, u32);

/// The second implementation.
struct Grid {
    scheduler: Scheduler,
    denial_ends_pass: bool,
    cores: Vec<u32>,
    excluded: Vec<bool>,
    up: Vec<bool>,
    /// What was free on a rank right after it was last used.
    weight: Vec<usize>,
    /// Cores of running jobs, and when they end.
    running: BTreeMap<JobId, (Vec<Core>, Option<u64>)>,
}

/// A reservation: from, until, cores.
type Promise = (u64, Option<u64>, Vec<Core>);

impl Grid {
    fn size(&self) -> u32 {
        self.cores.len() as u32
    }

    /// Cores of a rank that nothing holds and nobody was promised between `from` and `until`.
    fn usable(&self, rank: u32, from: u64, until: Option<u64>, promises: &[Promise]) -> Vec<u32> {
        if !self.up[rank as usize] || self.excluded[rank as usize] {
            return Vec::new();
        }
        let taken = |core: u32| {
            self.running.values().any(|(cores, _)| cores.contains(&(rank, core)))
                || promises.iter().any(|(start, end, cores)| {
                    cores.contains(&(rank, core))
                        && until.is_none_or(|until| *start < until)
                        && end.is_none_or(|end| from < end)
                })
        };
        (0..self.cores[rank as usize]).filter(|core| !taken(*core)).collect()
    }

    fn free_now(&self, rank: u32) -> usize {
        (0..self.cores[rank as usize])
            .filter(|core| !self.running.values().any(|(cores, _)| cores.contains(&(rank, *core))))
            .count()
    }

    fn order(&self) -> Vec<u32> {
        let mut ranks: Vec<u32> = (0..self.size()).filter(|rank| !self.excluded[*rank as usize]).collect();
        match self.scheduler {
            Scheduler::Simple => ranks.sort_by_key(|rank| (usize::MAX - self.free_now(*rank), *rank)),
            Scheduler::Fluxion(_) => {
                ranks.sort_by_key(|rank| (usize::MAX - self.weight[*rank as usize], u32::MAX - rank));
            }
        }
        ranks
    }

    fn find(
        &self,
        request: &Request,
        from: u64,
        until: Option<u64>,
        promises: &[Promise],
    ) -> Option<Vec<Core>> {
        let size = request.cores_per_slot as usize;
        let spread = self.scheduler == Scheduler::Simple;
        let usable: Vec<(u32, Vec<u32>)> = self
            .order()
            .into_iter()
            .filter(|rank| request.ranks.as_ref().is_none_or(|ranks| ranks.contains(*rank)))
            .map(|rank| (rank, self.usable(rank, from, until, promises)))
            .collect();
        // Cores of a rank in the order of preference.
        let best = |cores: &[u32]| {
            let mut cores = cores.to_vec();
            if !spread {
                cores.reverse();
            }
            cores
        };
        let mut chosen = Vec::new();
        match request.shape {
            Shape::Nodes { nodes, .. } | Shape::WholeNodes(nodes) => {
                let (whole, needed) = match request.shape {
                    Shape::Nodes { slots, .. } => (false, slots as usize * size),
                    _ => (true, size),
                };
                let fits = |(rank, cores): &&(u32, Vec<u32>)| {
                    let all = self.cores[*rank as usize] as usize;
                    !cores.is_empty() && cores.len() >= needed && (!whole || cores.len() == all)
                };
                let ranks: Vec<_> = usable.iter().filter(fits).take(nodes as usize).collect();
                if ranks.len() < nodes as usize {
                    return None;
                }
                for (rank, cores) in ranks {
                    let take = if whole { cores.len() } else { needed };
                    chosen.extend(best(cores).into_iter().take(take).map(|core| (*rank, core)));
                }
            }
            Shape::Slots(slots) => {
                let mut seen: Vec<(u32, Vec<u32>)> = Vec::new();
                for (rank, cores) in usable {
                    if seen.iter().map(|(_, cores)| cores.len() / size).sum::<usize>() < slots as usize {
                        seen.push((rank, cores));
                    }
                }
                if !spread {
                    seen.sort_by_key(|(rank, _)| u32::MAX - rank);
                }
                let mut missing = slots as usize;
                for (rank, cores) in seen {
                    let here = missing.min(cores.len() / size);
                    missing -= here;
                    chosen.extend(best(&cores).into_iter().take(here * size).map(|core| (rank, core)));
                }
                if missing > 0 {
                    return None;
                }
            }
        }
        chosen.sort_unstable();
        Some(chosen)
    }

    fn weigh(&mut self, cores: &[Core]) {
        for (rank, _) in cores {
            self.weight[*rank as usize] = self.free_now(*rank);
        }
    }

    /// Whether a request may wait. Only the old world, where what counts is what was configured.
    fn feasible(&self, request: &Request) -> bool {
        let empty = Self {
            scheduler: self.scheduler,
            denial_ends_pass: self.denial_ends_pass,
            cores: self.cores.clone(),
            excluded: self.excluded.clone(),
            up: vec![true; self.cores.len()],
            weight: self.weight.clone(),
            running: BTreeMap::new(),
        };
        empty.find(request, 0, None, &[]).is_some()
    }

    fn pass(&mut self, now: u64, queue: &[(JobId, Request)]) -> Vec<(JobId, Seen)> {
        let promises_max = match self.scheduler {
            Scheduler::Simple | Scheduler::Fluxion(Policy::Fcfs) => None,
            Scheduler::Fluxion(Policy::Easy) => Some(1),
            Scheduler::Fluxion(Policy::Hybrid) => Some(64),
            Scheduler::Fluxion(Policy::Conservative) => Some(usize::MAX),
        };
        let mut promises: Vec<Promise> = Vec::new();
        let mut seen = Vec::new();
        for (job, request) in queue {
            let limit = request.limit.map(|limit| limit.as_secs());
            let until = limit.map(|limit| now + limit);
            if let Some(cores) = self.find(request, now, until, &promises) {
                self.running.insert(*job, (cores.clone(), until));
                self.weigh(&cores);
                seen.push((*job, Seen::Allocate(cores)));
            } else if !self.feasible(request) {
                seen.push((*job, Seen::Deny));
                if self.denial_ends_pass && self.scheduler == Scheduler::Fluxion(Policy::Fcfs) {
                    break;
                }
            } else if let Some(max) = promises_max {
                if promises.len() >= max {
                    continue;
                }
                let ends = self
                    .running
                    .values()
                    .filter_map(|(_, end)| *end)
                    .chain(promises.iter().filter_map(|p| p.1));
                let mut ends: Vec<u64> = ends.map(|end| end.max(now)).collect();
                ends.sort_unstable();
                let found = ends.into_iter().find_map(|start| {
                    let end = limit.map(|limit| start + limit);
                    self.find_later(request, now, start, end, &promises).map(|cores| (start, end, cores))
                });
                if let Some(promise) = found {
                    self.weigh(&promise.2);
                    seen.push((*job, Seen::Reserve(promise.0, promise.2.clone())));
                    promises.push(promise);
                }
            } else {
                break;
            }
        }
        seen
    }

    /// As `find`, but what must have ended by `start` has. A job that is overdue is taken to end now.
    fn find_later(
        &self,
        request: &Request,
        now: u64,
        start: u64,
        end: Option<u64>,
        promises: &[Promise],
    ) -> Option<Vec<Core>> {
        let running = self.running.iter().filter(|(_, (_, end))| end.is_none_or(|end| end.max(now) > start));
        let later = Self {
            scheduler: self.scheduler,
            denial_ends_pass: self.denial_ends_pass,
            cores: self.cores.clone(),
            excluded: self.excluded.clone(),
            up: self.up.clone(),
            weight: self.weight.clone(),
            running: running.map(|(job, held)| (*job, held.clone())).collect(),
        };
        later.find(request, start, end, promises)
    }
}

/// A decision in plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Allocate(Vec<Core>),
    Deny,
    Reserve(u64, Vec<Core>),
}

fn plain(allocation: &Allocation) -> Vec<Core> {
    let of = |(rank, cores): &(u32, CoreSet)| cores.iter().map(|core| (*rank, core)).collect::<Vec<_>>();
    allocation.nodes().iter().flat_map(of).collect()
}

fn seen(decision: &Decision) -> Seen {
    match decision {
        Decision::Allocate(allocation) => Seen::Allocate(plain(allocation)),
        Decision::Deny(_) => Seen::Deny,
        Decision::Reserve(time, allocation) => Seen::Reserve(time.as_secs(), plain(allocation)),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Request, u32),
    Release(usize),
    Up(Vec<bool>),
    Wait(u64),
}

const NODES: usize = 5;

fn request() -> impl Strategy<Value = Request> {
    let shape = prop_oneof![
        (1_u32..9).prop_map(Shape::Slots),
        (1_u32..4, 1_u32..4).prop_map(|(nodes, slots)| Shape::Nodes { nodes, slots }),
        (1_u32..6).prop_map(Shape::WholeNodes),
    ];
    let ranks = prop::option::weighted(0.2, prop::collection::btree_set(0_u32..7, 1..4));
    (shape, 1_u32..4, ranks, prop::option::of(1_u64..30)).prop_map(|(shape, cores, ranks, limit)| Request {
        ranks: ranks.map(Idset::from_iter),
        limit: limit.map(Duration::from_secs),
        ..Request::new(shape, cores)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (request(), 1_u32..4).prop_map(|(request, priority)| Step::Submit(request, priority)),
        3 => (0_usize..20).prop_map(Step::Release),
        1 => prop::collection::vec(prop::bool::weighted(0.8), NODES).prop_map(Step::Up),
        2 => (1_u64..10).prop_map(Step::Wait),
    ]
}

fn scheduler() -> impl Strategy<Value = Scheduler> {
    prop::sample::select(Scheduler::ALL.to_vec())
}

/// What must hold whatever the second implementation says.
fn check_pass(
    scheduler: Scheduler,
    now: u64,
    grid: &Grid,
    before: &BTreeMap<JobId, (Vec<Core>, Option<u64>)>,
    queue: &[(JobId, Request)],
    decisions: &[(JobId, Seen)],
) -> Result<(), TestCaseError> {
    let mut held: Vec<Core> = before.values().flat_map(|(cores, _)| cores.clone()).collect();
    let mut ends: Vec<(Vec<Core>, Option<u64>)> = before.values().cloned().collect();
    for (job, decision) in decisions {
        if let Seen::Allocate(cores) = decision {
            for core in cores {
                prop_assert!(!held.contains(core), "core {core:?} twice");
                prop_assert!(
                    grid.up[core.0 as usize] && !grid.excluded[core.0 as usize],
                    "core {core:?} is not to be used"
                );
            }
            held.extend(cores);
            let request = &queue.iter().find(|(id, _)| id == job).unwrap().1;
            ends.push((cores.clone(), request.limit.map(|limit| now + limit.as_secs())));
        }
    }
    let decided = |id: &JobId| {
        decisions.iter().any(|(job, decision)| job == id && !matches!(decision, Seen::Reserve(..)))
    };
    if matches!(scheduler, Scheduler::Simple | Scheduler::Fluxion(Policy::Fcfs)) {
        let waiting = queue.iter().position(|(id, _)| !decided(id)).unwrap_or(queue.len());
        prop_assert!(queue[waiting..].iter().all(|(id, _)| !decided(id)), "overtaken");
    }
    // Nothing that runs, started before or in this pass, holds a promised core when it is due.
    for (_, decision) in decisions {
        if let Seen::Reserve(start, cores) = decision {
            for (running, end) in &ends {
                let ends_in_time = end.is_some_and(|end| end.max(now) <= *start);
                prop_assert!(
                    ends_in_time || running.iter().all(|core| !cores.contains(core)),
                    "reservation delayed"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_implementations_decide_alike(
        scheduler in scheduler(),
        denial_ends_pass in any::<bool>(),
        cores in prop::collection::vec(1_u32..6, NODES),
        excluded in prop::option::weighted(0.3, 0_u32..NODES as u32),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let excluded: Idset = excluded.into_iter().collect();
        let inventory = Inventory { hosts: "a[0-4]".parse().unwrap(), cores: cores.clone(), excluded: excluded.clone() };
        // Feasibility of the old world; the new one is tested from the recordings.
        let features = Features { denial_ends_pass, ..Features::of(FluxVersion::V0_61) };
        let mut engine = Engine::new(&inventory, scheduler, features);
        let mut grid = Grid {
            scheduler,
            denial_ends_pass,
            weight: cores.iter().map(|cores| *cores as usize).collect(),
            cores,
            excluded: (0..NODES as u32).map(|rank| excluded.contains(rank)).collect(),
            up: vec![true; NODES],
            running: BTreeMap::new(),
        };
        engine.set_up(&Idset::below(NODES as u32));
        let mut queue: Vec<(u32, JobId, Request)> = Vec::new();
        let (mut now, mut jobs) = (0, 0);
        for step in steps {
            match step {
                Step::Submit(request, priority) => {
                    jobs += 1;
                    queue.push((priority, JobId(jobs), request));
                    queue.sort_by_key(|(priority, job, _)| (u32::MAX - priority, *job));
                    // Queues longer than the schedulers look at are another test's.
                    queue.truncate(8);
                }
                Step::Release(at) => {
                    if let Some(job) = grid.running.keys().nth(at).copied() {
                        grid.running.remove(&job);
                        engine.release(job);
                    }
                }
                Step::Up(up) => {
                    engine.set_up(&(0_u32..).zip(&up).filter(|(_, up)| **up).map(|(rank, _)| rank).collect());
                    grid.up = up;
                }
                Step::Wait(seconds) => now += seconds,
            }
            let pending: Vec<(JobId, Request)> = queue.iter().map(|(_, job, request)| (*job, request.clone())).collect();
            let before = grid.running.clone();
            let decisions: Vec<(JobId, Seen)> = engine
                .pass(Duration::from_secs(now), pending.iter().map(|(job, request)| (*job, request)))
                .iter()
                .map(|(job, decision)| (*job, seen(decision)))
                .collect();
            let expected = grid.pass(now, &pending);
            prop_assert_eq!(&decisions, &expected, "at {}", now);
            check_pass(scheduler, now, &grid, &before, &pending, &decisions)?;
            queue.retain(|(_, id, _)| !decisions.iter().any(|(job, seen)| job == id && !matches!(seen, Seen::Reserve(..))));
            for rank in 0..NODES as u32 {
                prop_assert_eq!(engine.free(rank).len() as usize, grid.free_now(rank));
            }
        }
    }

    /// With limits on all jobs the first blocked one starts no later than was promised at any time before, whatever is
    /// submitted behind it (easy, hybrid, conservative).
    #[test]
    fn a_promise_is_never_put_off(
        policy in prop::sample::select(vec![Policy::Easy, Policy::Hybrid, Policy::Conservative]),
        steps in prop::collection::vec((request(), 1_u64..20, 0_u64..6, prop::bool::weighted(0.2)), 1..60),
    ) {
        let inventory = Inventory::uniform("a[0-4]".parse().unwrap(), 4);
        let mut engine = Engine::new(&inventory, Scheduler::Fluxion(policy), Features::of(FluxVersion::V0_61));
        engine.set_up(&Idset::below(NODES as u32));
        let mut queue: Vec<(JobId, Request)> = Vec::new();
        let mut running: Vec<(JobId, u64)> = Vec::new();
        let mut promised: BTreeMap<JobId, u64> = BTreeMap::new();
        let mut now = 0;
        for (at, (request, limit, wait, early)) in (1..).zip(steps) {
            let request = Request { limit: Some(Duration::from_secs(limit)), ranks: None, ..request };
            queue.push((JobId(at), request));
            queue.truncate(30);
            // Every end is an event, as it is for the scheduler; some jobs end before their limit.
            let until = now + wait;
            while now <= until {
                if early && now % 3 == 0 && let Some((job, _)) = running.pop() {
                    engine.release(job);
                }
                running.retain(|(job, end)| {
                    if *end <= now {
                        engine.release(*job);
                    }
                    *end > now
                });
                let decisions = engine.pass(Duration::from_secs(now), queue.iter().map(|(job, request)| (*job, request)));
                let mut first = true;
                for (job, decision) in decisions {
                    match decision {
                        Decision::Allocate(_) => {
                            prop_assert!(promised.get(&job).is_none_or(|promised| now <= *promised), "{} was put off", job);
                            let limit = queue.iter().find(|(id, _)| *id == job).unwrap().1.limit.unwrap().as_secs();
                            running.push((job, now + limit));
                            queue.retain(|(id, _)| *id != job);
                        }
                        Decision::Deny(_) => queue.retain(|(id, _)| *id != job),
                        Decision::Reserve(start, _) if std::mem::take(&mut first) => {
                            let earlier = promised.insert(job, start.as_secs());
                            prop_assert!(earlier.is_none_or(|earlier| start.as_secs() <= earlier), "{} was put off", job);
                        }
                        Decision::Reserve(..) => {}
                    }
                }
                prop_assert!(queue.first().is_none_or(|(job, _)| promised.get(job).is_some_and(|promised| now <= *promised)));
                now += 1;
            }
        }
    }
}
