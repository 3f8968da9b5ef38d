//! Which pods are bound to which node: kept once for all components that ask.

use std::collections::BTreeSet;

use crate::objects::{NodeId, Uid};
use crate::server::Change;

/// The stored pods of each node, in order of creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Placement {
    by_node: Vec<BTreeSet<Uid>>,
}

impl Placement {
    /// Follows what happens to pods.
    pub(super) fn observe(&mut self, change: &Change) {
        let Change::Pod(versions) = change else { return };
        let node = |pod: &Option<std::sync::Arc<crate::objects::Pod>>| pod.as_ref().and_then(|pod| pod.node);
        let (old, new) = (node(&versions.old), node(&versions.new));
        let Some(uid) = versions.new.as_ref().or(versions.old.as_ref()).map(|pod| pod.uid) else { return };
        if old == new {
            return;
        }
        if let Some(pods) = old.and_then(|node| self.by_node.get_mut(node.0 as usize)) {
            pods.remove(&uid);
        }
        if let Some(NodeId(index)) = new {
            let index = index as usize;
            if self.by_node.len() <= index {
                self.by_node.resize_with(index + 1, BTreeSet::new);
            }
            self.by_node[index].insert(uid);
        }
    }

    /// The pods of a node as a list, so that they can be written to meanwhile.
    pub(super) fn pods_on(&self, node: NodeId) -> Vec<Uid> {
        self.by_node.get(node.0 as usize).map(|pods| pods.iter().copied().collect()).unwrap_or_default()
    }
}
