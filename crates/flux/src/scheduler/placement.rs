//! Where a job goes, given what is usable on each node.

use super::cores::CoreSet;
use super::nodes::{Nodes, Preference};
use super::request::{Allocation, Request, Shape};

impl Nodes {
    /// Finds room for a request. `usable` says which cores of a rank may be taken; the constraint of the request is
    /// applied here.
    pub(super) fn find(
        &self,
        preference: Preference,
        request: &Request,
        usable: impl Fn(u32) -> CoreSet,
    ) -> Option<Allocation> {
        let usable = |rank: u32| if request.allows(rank) { usable(rank) } else { CoreSet::NONE };
        match (request.shape, preference) {
            (Shape::Slots(slots), Preference::Spread) => {
                self.slots_in_order(slots, request.cores_per_slot, usable)
            }
            (Shape::Slots(slots), Preference::Weight) => {
                self.slots_by_rank(slots, request.cores_per_slot, usable)
            }
            (Shape::Nodes { nodes, .. } | Shape::WholeNodes(nodes), _) => {
                self.nodes_in_order(preference, nodes, request, usable)
            }
        }
    }

    /// The first nodes that have what each node must have.
    fn nodes_in_order(
        &self,
        preference: Preference,
        nodes: u32,
        request: &Request,
        usable: impl Fn(u32) -> CoreSet,
    ) -> Option<Allocation> {
        let whole = matches!(request.shape, Shape::WholeNodes(_));
        let needed = request.cores_per_node()?;
        let mut chosen = Vec::with_capacity(1);
        for rank in self.in_order() {
            if chosen.len() >= nodes as usize {
                break;
            }
            let cores = usable(rank);
            if cores.is_empty() || cores.len() < needed || (whole && cores != self.all(rank)) {
                continue;
            }
            chosen.push((rank, if whole { cores } else { preferred(preference, cores, needed) }));
        }
        (nodes > 0 && chosen.len() >= nodes as usize).then(|| Allocation::new(chosen))
    }

    /// sched-simple: each node is filled before the next (recording 10: `-n5` on nodes of four is `3:0-3, 4:0`).
    fn slots_in_order(&self, slots: u32, size: u32, usable: impl Fn(u32) -> CoreSet) -> Option<Allocation> {
        let mut missing = slots;
        let mut chosen = Vec::with_capacity(1);
        for rank in self.in_order() {
            if missing == 0 {
                break;
            }
            let cores = usable(rank);
            let here = (cores.len().checked_div(size)?).min(missing);
            if here > 0 {
                chosen.push((rank, cores.lowest(here * size)));
                missing -= here;
            }
        }
        (missing == 0 && slots > 0).then(|| Allocation::new(chosen))
    }

    /// Fluxion: nodes are visited until enough slots were seen; of those the ones on the highest ranks are taken, even if
    /// another node was visited first (recording 10: the second `-n6`).
    fn slots_by_rank(&self, slots: u32, size: u32, usable: impl Fn(u32) -> CoreSet) -> Option<Allocation> {
        let mut seen = 0_u32;
        let mut visited = Vec::new();
        for rank in self.in_order() {
            if seen >= slots {
                break;
            }
            let cores = usable(rank);
            let here = cores.len().checked_div(size)?;
            if here > 0 {
                visited.push((rank, cores, here));
                seen = seen.saturating_add(here);
            }
        }
        if seen < slots || slots == 0 {
            return None;
        }
        visited.sort_unstable_by_key(|node| std::cmp::Reverse(node.0));
        let mut missing = slots;
        let mut chosen = Vec::with_capacity(1);
        for (rank, cores, here) in visited {
            let take = here.min(missing);
            if take > 0 {
                chosen.push((rank, cores.highest(take * size)));
                missing -= take;
            }
        }
        Some(Allocation::new(chosen))
    }
}

fn preferred(preference: Preference, cores: CoreSet, count: u32) -> CoreSet {
    match preference {
        Preference::Spread => cores.lowest(count),
        Preference::Weight => cores.highest(count),
    }
}
