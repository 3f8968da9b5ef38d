//! Reservations: cores promised to a blocked job from the time on when enough running jobs must have ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cores::CoreSet;
use super::nodes::Nodes;
use super::request::{Allocation, Request};
use super::{Engine, preference};
use crate::time::Instant;

/// Cores promised from `start` to `end`, or for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) start: Instant,
    pub(super) end: Option<Instant>,
    pub(super) allocation: Allocation,
}

impl Reservation {
    /// Whether it overlaps `from..until`.
    fn overlaps(&self, from: Instant, until: Option<Instant>) -> bool {
        until.is_none_or(|until| self.start < until) && self.end.is_none_or(|end| from < end)
    }
}

/// The end of something that starts at `start`.
pub(super) fn end_of(start: Instant, limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| start.checked_add(limit))
}

/// The cores of a rank that nobody was promised between `from` and `until`.
pub(super) fn unpromised(
    cores: CoreSet,
    rank: u32,
    reservations: &[Reservation],
    from: Instant,
    until: Option<Instant>,
) -> CoreSet {
    let overlapping = reservations.iter().filter(|reservation| reservation.overlaps(from, until));
    overlapping.fold(cores, |cores, reservation| cores.difference(&reservation.allocation.on(rank)))
}

/// The earliest reservation for a request: at the first end of a running job or of an earlier reservation when it fits on
/// nodes that are up. A request that waits for nodes that are down gets none, and so holds up nobody (I 12).
pub(super) fn earliest(
    engine: &Engine,
    request: &Request,
    earlier: &[Reservation],
    now: Instant,
) -> Option<Reservation> {
    let mut times: Vec<Instant> = engine
        .running
        .values()
        .filter_map(|running| running.end)
        .chain(earlier.iter().filter_map(|reservation| reservation.end))
        .map(|end| end.max(now))
        .collect();
    times.sort_unstable();
    times.dedup();
    let mut free = FreeLater::new(engine);
    for start in times {
        free.advance(start, now);
        let end = end_of(start, request.limit);
        let usable = |rank: u32| unpromised(free.on(rank), rank, earlier, start, end);
        if let Some(allocation) = engine.nodes.find(preference(engine.scheduler), request, usable) {
            return Some(Reservation { start, end, allocation });
        }
    }
    None
}

/// What is free on each rank once jobs that end by some time have ended.
struct FreeLater<'a> {
    nodes: &'a Nodes,
    returned: BTreeMap<u32, CoreSet>,
    ends: Vec<(Instant, &'a Allocation)>,
    next: usize,
}

impl<'a> FreeLater<'a> {
    fn new(engine: &'a Engine) -> Self {
        let mut ends: Vec<(Instant, &Allocation)> = engine
            .running
            .values()
            .filter_map(|running| Some((running.end?, running.allocation.as_ref())))
            .collect();
        ends.sort_by_key(|end| end.0);
        Self { nodes: &engine.nodes, returned: BTreeMap::new(), ends, next: 0 }
    }

    /// Times ascend from call to call.
    fn advance(&mut self, time: Instant, now: Instant) {
        while let Some((_, allocation)) = self.ends.get(self.next).filter(|(end, _)| (*end).max(now) <= time)
        {
            for (rank, cores) in allocation.nodes() {
                let returned = self.returned.entry(*rank).or_default();
                *returned = returned.union(cores);
            }
            self.next += 1;
        }
    }

    fn on(&self, rank: u32) -> CoreSet {
        if !self.nodes.is_up(rank) {
            return CoreSet::NONE;
        }
        let free = self.nodes.free(rank);
        self.returned.get(&rank).map_or(free, |returned| free.union(returned))
    }
}
