//! The scheduler's view of the nodes: which cores are free, which nodes are up, and in which order nodes are tried.

use super::cores::CoreSet;
use super::order::{Among, Order};
use super::request::Allocation;
use crate::hostlist::Hostlist;
use crate::idset::Idset;

/// The nodes that the instance was configured with; fixed for its life (Flux spec B.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Host names; the position is the rank.
    pub hosts: Hostlist,
    /// Cores of each rank.
    pub cores: Vec<u32>,
    /// Ranks that the configuration takes away from the scheduler: not allocated, not counted as feasible (B.6).
    pub excluded: Idset,
}

impl Inventory {
    /// Hosts with the same number of cores each.
    pub fn uniform(hosts: Hostlist, cores: u32) -> Self {
        let count = hosts.len();
        Self { hosts, cores: vec![cores; count], excluded: Idset::new() }
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.hosts.len()
    }
}

/// Which node is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    /// The most free cores first, then the lowest rank: jobs spread (sched-simple, recording 10).
    Spread,
    /// The highest weight first, then the highest rank, where the weight of a node is what was free there right *after*
    /// it was last used. Nothing changes it when a job ends: that is why Fluxion comes back to nodes that small jobs
    /// used and takes those last that were used whole (recordings 04, 10 and 12).
    Weight,
}

#[derive(Clone, Debug)]
struct Node {
    all: CoreSet,
    free: CoreSet,
    up: bool,
    excluded: bool,
    /// What the order sorts by: free cores or the weight.
    key: u32,
}

/// The state of all nodes.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    preference: Preference,
    /// The ranks that are not excluded.
    order: Order,
    up: usize,
}

impl Nodes {
    /// All nodes free and down.
    pub(super) fn new(inventory: &Inventory, preference: Preference) -> Self {
        let node = |(rank, cores): (usize, &u32)| {
            let all = CoreSet::below(*cores);
            let excluded = u32::try_from(rank).is_ok_and(|rank| inventory.excluded.contains(rank));
            Node { all, free: all, up: false, excluded, key: all.len() }
        };
        let nodes: Vec<Node> = inventory.cores.iter().enumerate().map(node).collect();
        let among = match preference {
            Preference::Spread => Among::LowestFirst,
            Preference::Weight => Among::HighestFirst,
        };
        let mut order = Order::new(nodes.len(), among);
        for (rank, node) in (0_u32..).zip(&nodes).filter(|(_, node)| !node.excluded) {
            order.insert(node.key, rank);
        }
        Self { nodes, preference, order, up: 0 }
    }

    fn set_key(&mut self, rank: u32, key: u32) {
        let Some(node) = self.nodes.get_mut(rank as usize) else { return };
        let old = std::mem::replace(&mut node.key, key);
        if old != key && self.order.remove(old, rank) {
            self.order.insert(key, rank);
        }
    }

    /// Ranks in the order in which they are tried.
    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter()
    }

    /// Ranks that are not excluded, with all their cores.
    pub(super) fn configured(&self) -> impl Iterator<Item = (u32, CoreSet)> + '_ {
        (0_u32..).zip(&self.nodes).filter(|(_, node)| !node.excluded).map(|(rank, node)| (rank, node.all))
    }

    /// How many ranks are up and not excluded.
    pub(super) const fn up_count(&self) -> usize {
        self.up
    }

    /// Whether a rank is up. Excluded ranks are never asked for: they are not in the order.
    pub(super) fn is_up(&self, rank: u32) -> bool {
        self.nodes.get(rank as usize).is_some_and(|node| node.up)
    }

    pub(super) fn all(&self, rank: u32) -> CoreSet {
        self.nodes.get(rank as usize).map_or(CoreSet::NONE, |node| node.all)
    }

    pub(super) fn free(&self, rank: u32) -> CoreSet {
        self.nodes.get(rank as usize).map_or(CoreSet::NONE, |node| node.free)
    }

    /// These ranks are up, all others down. Tells whether anything changed.
    pub(super) fn set_up(&mut self, up: &Idset) -> bool {
        let mut changed = false;
        for (rank, node) in (0_u32..).zip(&mut self.nodes) {
            let now = up.contains(rank);
            changed |= node.up != now;
            node.up = now;
        }
        self.up = self.nodes.iter().filter(|node| node.up && !node.excluded).count();
        changed
    }

    /// Takes cores away from what is free.
    pub(super) fn take(&mut self, allocation: &Allocation) {
        for (rank, cores) in allocation.nodes() {
            let Some(node) = self.nodes.get_mut(*rank as usize) else { continue };
            node.free = node.free.difference(cores);
            let key = node.free.len();
            self.set_key(*rank, key);
        }
    }

    /// Gives cores back.
    pub(super) fn give_back(&mut self, allocation: &Allocation) {
        for (rank, cores) in allocation.nodes() {
            let Some(node) = self.nodes.get_mut(*rank as usize) else { continue };
            node.free = node.free.union(cores);
            let key = node.free.len();
            if self.preference == Preference::Spread {
                self.set_key(*rank, key);
            }
        }
    }

    /// A reservation visits its nodes as an allocation does, so their weights are set anew.
    pub(super) fn touch(&mut self, allocation: &Allocation) {
        if self.preference == Preference::Weight {
            for (rank, _) in allocation.nodes() {
                self.set_key(*rank, self.free(*rank).len());
            }
        }
    }
}
