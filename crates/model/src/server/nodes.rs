//! Writes to nodes.

use std::sync::Arc;

use super::store::Write;
use super::{Actor, ApiError, Server, Verb};
use crate::objects::{Labels, Node, NodeId, ObjectKey};
use crate::time::Time;

const KIND: &str = "nodes";

impl Server {
    /// Adds a node.
    pub fn create_node(
        &mut self,
        now: Time,
        actor: Actor,
        name: &str,
        labels: Labels,
        cpu_milli: u32,
        pods_max: u32,
    ) -> Result<NodeId, ApiError> {
        let write = Write { now, actor, verb: Verb::Create };
        let name: Arc<str> = name.into();
        if self.nodes.has_name(&name) {
            let key = ObjectKey::new("", name);
            return self.refuse(
                write,
                || key.clone(),
                Err(ApiError::AlreadyExists { kind: KIND, key: key.clone() }),
            );
        }
        let node = Node {
            id: NodeId(self.nodes.next_id()),
            name,
            labels: Arc::new(labels),
            cpu_milli,
            pods_max,
            unschedulable: false,
            taints: Vec::new(),
            is_ready: true,
        };
        Ok(self.create(write, node).id)
    }

    /// Changes a node. Its id and name stay.
    pub fn update_node(
        &mut self,
        now: Time,
        actor: Actor,
        id: NodeId,
        change: impl FnOnce(&mut Node),
    ) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_node(write, id)?;
        let mut new = Node::clone(&old);
        change(&mut new);
        new.id = old.id;
        new.name = Arc::clone(&old.name);
        if new != *old {
            self.replace(write, old, new);
        }
        Ok(())
    }

    /// Deletes a node; its pods are the pod garbage collector's business.
    pub fn delete_node(&mut self, now: Time, actor: Actor, id: NodeId) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Delete };
        let old = self.stored_node(write, id)?;
        self.remove(write, old);
        Ok(())
    }

    pub(super) fn stored_node(&mut self, write: Write, id: NodeId) -> Result<Arc<Node>, ApiError> {
        let key = || ObjectKey::new("", format!("node-{}", id.0));
        let found =
            self.nodes.get(id.0).cloned().ok_or_else(|| ApiError::NotFound { kind: KIND, key: key() });
        self.refuse(write, key, found)
    }
}
