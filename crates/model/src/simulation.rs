//! One simulated cluster: the components, the events that drive them, and the steps that a user can take.

use crate::cluster::ClusterEvent;
use crate::engine::{EventQueue, RandomStreams};
use crate::job::ControllerEvent;
use crate::server::Server;
use crate::time::Time;

/// What can be pending. Each component has events of its own and sees no other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// For the Job controller (queue, caches, API answers, time to live).
    Controller(ControllerEvent),
    /// For the scheduler, the kubelets and the controllers of nodes and pods.
    Cluster(ClusterEvent),
}

/// What a component may use while it handles something.
pub struct Context<'a> {
    /// The present instant.
    pub now: Time,
    /// Where it schedules what is to come.
    pub events: &'a mut EventQueue<Event>,
    /// Where it reads and writes objects.
    pub server: &'a mut Server,
    /// Where its random numbers come from.
    pub random: &'a mut RandomStreams,
}
