//! What a job asks for, and what it got.

use std::fmt;
use std::time::Duration;

use super::cores::CoreSet;
use crate::idset::Idset;

/// The resources that a job asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// How many slots on how many nodes.
    pub shape: Shape,
    /// Cores of each slot.
    pub cores_per_slot: u32,
    /// The ranks that may be used; all of them if none are named.
    pub ranks: Option<Idset>,
    /// How long the job may run; for ever if there is no limit.
    pub limit: Option<Duration>,
}

/// Slots and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `-n`: slots wherever there is room.
    Slots(u32),
    /// `-N` with `-n`: so many nodes with so many slots on each.
    Nodes {
        /// Nodes.
        nodes: u32,
        /// Slots on each of them.
        slots: u32,
    },
    /// `-N` alone: whole nodes.
    WholeNodes(u32),
}

impl Request {
    /// A request without limit and without constraint.
    pub const fn new(shape: Shape, cores_per_slot: u32) -> Self {
        Self { shape, cores_per_slot, ranks: None, limit: None }
    }

    /// The nodes that are asked for by number.
    pub const fn nodes(&self) -> Option<u32> {
        match self.shape {
            Shape::Slots(_) => None,
            Shape::Nodes { nodes, .. } | Shape::WholeNodes(nodes) => Some(nodes),
        }
    }

    /// Cores that each chosen node must have. `None` if the request does not speak of nodes.
    pub fn cores_per_node(&self) -> Option<u32> {
        match self.shape {
            Shape::Slots(_) => None,
            Shape::Nodes { slots, .. } => Some(slots.saturating_mul(self.cores_per_slot)),
            Shape::WholeNodes(_) => Some(self.cores_per_slot),
        }
    }

    /// Whether the constraint allows a rank.
    pub fn allows(&self, rank: u32) -> bool {
        self.ranks.as_ref().is_none_or(|ranks| ranks.contains(rank))
    }
}

/// Cores on nodes, by ascending rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allocation {
    nodes: Vec<(u32, CoreSet)>,
}

impl Allocation {
    /// The cores on each of these ranks.
    pub fn new(mut nodes: Vec<(u32, CoreSet)>) -> Self {
        nodes.sort_unstable_by_key(|node| node.0);
        Self { nodes }
    }

    /// Ranks with the cores on each, by ascending rank.
    pub fn nodes(&self) -> &[(u32, CoreSet)] {
        &self.nodes
    }

    /// The ranks.
    pub fn ranks(&self) -> Idset {
        self.nodes.iter().map(|node| node.0).collect()
    }

    /// The cores on one rank.
    pub fn on(&self, rank: u32) -> CoreSet {
        let found =
            self.nodes.binary_search_by_key(&rank, |node| node.0).ok().and_then(|at| self.nodes.get(at));
        found.map_or(CoreSet::NONE, |node| node.1)
    }

    /// Ranks with equal cores together, in the order of their first rank.
    pub fn groups(&self) -> Vec<(Idset, CoreSet)> {
        let mut groups: Vec<(Idset, CoreSet)> = Vec::new();
        for (rank, cores) in &self.nodes {
            match groups.iter_mut().find(|group| group.1 == *cores) {
                Some(group) => {
                    group.0.insert(*rank);
                }
                None => groups.push((Idset::range(*rank, *rank), *cores)),
            }
        }
        groups
    }
}

impl fmt::Display for Allocation {
    /// As in the annotation `resource_summary` of sched-simple: `rank[0-3]/core[0-3]` (recording 04).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (ranks, cores)) in self.groups().iter().enumerate() {
            let separator = if at > 0 { " " } else { "" };
            write!(f, "{separator}rank{}/core{cores}", ranks.bracketed())?;
        }
        Ok(())
    }
}
