//! Everything below the Job controller: scheduler, kubelets, nodes, and the controllers that clean up after them.
//!
//! [`Cluster`] holds one of each and passes them the events that are theirs and every [`Change`], in this order:
//! scheduler, kubelets, node lifecycle, pod garbage collector, owner garbage collector. They never call each other:
//! what one does, the others learn from the store. The one thing that is no object is a kubelet's heartbeat, which
//! [`Cluster::set_node`] stops for the kubelet and for the node controller at the same time.

mod capacity;
mod conditions;
mod garbage;
mod kubelet;
mod manual;
mod node_lifecycle;
mod placement;
mod pod_gc;
mod scheduler;
mod taints;
#[cfg(test)]
mod tests;
mod timing;
mod workload;

use std::sync::Arc;

pub use garbage::GarbageCollector;
pub use kubelet::{Kubelets, ProcessFact, ProcessStep};
pub use manual::ManualStatus;
pub use node_lifecycle::NodeLifecycle;
pub use pod_gc::{PodGc, TERMINATED_PODS_MAX};
pub use scheduler::Scheduler;
pub use timing::{DEFAULT_TOLERATION, TimingProfile, node_monitor_grace};
pub use workload::{Behaviour, OnTerm, WorkloadRule};

use conditions::Words;
use placement::Placement;
use workload::Workload;

use crate::engine::{Purpose, Stamp};
use crate::objects::{
    ConditionStatus, HOSTNAME_LABEL, Labels, NodeId, OUT_OF_SERVICE_TAINT, Taint, TaintEffect, Uid,
};
use crate::server::{Actor, ApiError, Change};
use crate::simulation::{Context, Event};

/// What the cluster's components wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// The scheduler decides about its next pod.
    Schedule {
        /// Of the scheduler's timer.
        stamp: Stamp,
    },
    /// A binding reaches the API server.
    Bind {
        /// The pod.
        pod: Uid,
        /// Its node.
        node: NodeId,
    },
    /// One of a pod's timers on its node.
    Pod {
        /// The pod.
        pod: Uid,
        /// Which timer.
        timer: PodTimer,
        /// Of that timer.
        stamp: Stamp,
    },
    /// The machine that all nodes share has done something for a pod.
    Machine {
        /// Of its timer.
        stamp: Stamp,
    },
    /// A node's silence has lasted too long, or its kubelet is back.
    NodeHealth {
        /// The node.
        node: NodeId,
        /// Of the node's timer.
        stamp: Stamp,
    },
    /// The next lost node may be tainted.
    TaintNode {
        /// Of the timer that limits the rate.
        stamp: Stamp,
    },
    /// A pod's patience with its node's taints may be over.
    EvictPod {
        /// The pod.
        pod: Uid,
    },
    /// The pod garbage collector looks.
    PodGc {
        /// Of its timer.
        stamp: Stamp,
    },
    /// The garbage collector attends to a Job's dependents.
    CollectGarbage {
        /// The Job.
        job: Uid,
    },
    /// A machine joins as a node.
    NodeJoins {
        /// Its place in the order in which machines were asked for.
        number: u32,
    },
}

/// Timers of a pod on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodTimer {
    /// The pod's next stage: start, end, deletion of the object.
    Stage,
    /// SIGTERM, then SIGKILL.
    Stop,
    /// Readiness.
    Ready,
    /// A status report.
    Report,
    /// The readiness probe runs.
    Probe,
    /// End, notice of the end, or restart of the container of this position, init containers first.
    Container(u16),
}

/// How the scheduler chooses among nodes that are equally good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieBreak {
    /// By lot, like the original.
    #[default]
    Seeded,
    /// The node that was created first.
    NodeOrder,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Nodes at the start; they are called `node-0`, `node-1`, ….
    pub nodes: u32,
    /// CPU that pods may request on each, in thousandths of a core.
    pub cpu_milli: u32,
    /// Pods that each may hold.
    pub pods_max: u32,
    /// Nodes beside those that never hold pods and are never lost. They count when the node controller asks which
    /// share of the nodes is lost: without any, the loss of all nodes evicts nobody.
    pub control_plane_nodes: u32,
    /// How long things take.
    pub timing: &'static TimingProfile,
    /// The nodes are containers of one machine, as those of kind are: what one pod's start does not let overlap, it does not let overlap on
    /// other nodes either. Of no effect where the timing profile says how many cores that machine has ([`TimingProfile::cores_milli`]).
    pub is_one_machine: bool,
    /// What the workload does: the first rule that matches a pod decides, [`Behaviour::DEFAULT`] when none does.
    pub workload: Vec<WorkloadRule>,
    /// How equally good nodes are told apart.
    pub tie_break: TieBreak,
    /// Ended pods that may stay ([`TERMINATED_PODS_MAX`]).
    pub terminated_pods_max: usize,
    /// No scheduler, no kubelets, no node and pod controllers: pods do what [`Cluster::set_phase`] says and nothing
    /// else, as in upstream's integration tests. Owner garbage collection stays.
    pub manual_pods: bool,
    /// The nodes are all that is simulated: scheduler, controllers of nodes and pods, and the garbage collector of a real
    /// control plane do the rest.
    pub nodes_only: bool,
}

impl Default for ClusterConfig {
    /// Ten nodes of ten cores for 110 pods each, no durations.
    fn default() -> Self {
        Self {
            nodes: 10,
            cpu_milli: 10_000,
            pods_max: 110,
            control_plane_nodes: 1,
            timing: TimingProfile::instant(),
            is_one_machine: false,
            workload: Vec::new(),
            tie_break: TieBreak::Seeded,
            terminated_pods_max: TERMINATED_PODS_MAX,
            manual_pods: false,
            nodes_only: false,
        }
    }
}

/// Signals that a user can send to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

/// Which containers of a pod are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerChoice<'a> {
    /// The first main container.
    First,
    /// All main containers.
    All,
    /// The container of this name, init containers included.
    Named(&'a str),
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// Its kubelet falls silent.
    Down,
    /// Its kubelet is back.
    Up,
    /// Its object is deleted.
    Delete,
    /// A node of this name joins; it is another node than one of that name that was deleted before.
    Add,
    /// `kubectl cordon`.
    Cordon,
    /// `kubectl uncordon`.
    Uncordon,
    /// The taint `node.kubernetes.io/out-of-service:NoExecute` is added.
    OutOfService,
    /// Its kubelet ends its pods and takes no more (graceful node shutdown).
    ShutDown,
}

/// A user's action that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No process of the pod, or of the container, runs.
    #[error("no process of the pod is running")]
    NotRunning,
    /// The pod has no container of this name.
    #[error("the pod has no container `{0}`")]
    NoSuchContainer(String),
    /// There is no node of this name.
    #[error("there is no node `{0}`")]
    NoSuchNode(String),
    /// The API server refused it.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

/// Scheduler, kubelets, and the controllers of nodes and pods.
#[derive(Clone, Debug)]
pub struct Cluster {
    config: ClusterConfig,
    words: Words,
    placement: Placement,
    /// Names of the machines that were asked for during the run.
    joining: Vec<Arc<str>>,
    /// kube-scheduler.
    pub scheduler: Scheduler,
    /// The kubelets of all nodes.
    pub kubelets: Kubelets,
    /// The node lifecycle and taint eviction controllers.
    pub node_lifecycle: NodeLifecycle,
    /// The pod garbage collector.
    pub pod_gc: PodGc,
    /// The garbage collector of owned objects.
    pub garbage_collector: GarbageCollector,
}

impl Cluster {
    /// A cluster without nodes; [`Cluster::start`] adds them.
    pub fn new(config: ClusterConfig) -> Self {
        let timing = config.timing;
        let words = Words::default();
        Self {
            placement: Placement::default(),
            joining: Vec::new(),
            scheduler: Scheduler::new(timing, config.tie_break, words.clone()),
            kubelets: Kubelets::new(
                timing,
                config.is_one_machine,
                Workload::new(config.workload.clone()),
                words.clone(),
            ),
            node_lifecycle: NodeLifecycle::new(timing, config.control_plane_nodes, words.clone()),
            pod_gc: PodGc::new(config.terminated_pods_max, words.clone()),
            garbage_collector: GarbageCollector::new(timing),
            words,
            config,
        }
    }

    /// Adds the nodes that are there from the start.
    ///
    /// # Errors
    /// When the API server refuses one, for instance because a node of that name exists.
    pub fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), ActionError> {
        for number in 0..self.config.nodes {
            self.create_node(&format!("node-{number}"), ctx)?;
        }
        Ok(())
    }

    /// Handles an event that is due.
    pub fn handle(&mut self, event: ClusterEvent, ctx: &mut Context<'_>) {
        match event {
            ClusterEvent::Schedule { stamp } => self.scheduler.decide(stamp, ctx),
            ClusterEvent::Bind { pod, node } => self.scheduler.bind(pod, node, ctx),
            ClusterEvent::Pod { pod, timer, stamp } => self.kubelets.expire(pod, timer, stamp, ctx),
            ClusterEvent::Machine { stamp } => self.kubelets.advance_machine(stamp, ctx),
            ClusterEvent::NodeHealth { node, stamp } => {
                self.node_lifecycle.judge(node, stamp, &self.placement, ctx);
            }
            ClusterEvent::TaintNode { stamp } => self.node_lifecycle.taint_next(stamp, ctx),
            ClusterEvent::EvictPod { pod } => self.node_lifecycle.evict(pod, ctx),
            ClusterEvent::PodGc { stamp } => self.pod_gc.look(stamp, ctx),
            ClusterEvent::CollectGarbage { job } => self.garbage_collector.collect(job, ctx),
            ClusterEvent::NodeJoins { number } => {
                if let Some(name) = self.joining.get(number as usize).cloned() {
                    // A node of that name may have joined meanwhile: then there is nothing to add.
                    let _ = self.create_node(&name, ctx);
                }
            }
        }
    }

    /// Passes a change on to the components that follow the store.
    pub fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        let ClusterConfig { manual_pods, nodes_only, .. } = self.config;
        if !manual_pods {
            self.placement.observe(change);
            if !nodes_only {
                self.scheduler.observe(change, ctx);
            }
            self.kubelets.observe(change, ctx);
            if !nodes_only {
                self.node_lifecycle.observe(change, &self.placement, ctx);
                self.pod_gc.observe(change, &self.placement, ctx);
            }
        }
        if !nodes_only {
            self.garbage_collector.observe(change, ctx);
        }
    }

    // ---- what users do ----

    /// Sends a signal to the main process of a pod's first container.
    ///
    /// # Errors
    /// [`ActionError::NotRunning`] when that process does not run.
    pub fn signal(&mut self, pod: Uid, signal: Signal, ctx: &mut Context<'_>) -> Result<(), ActionError> {
        self.kubelets.signal(pod, signal, ctx)
    }

    /// Containers of a pod end with a code. The kubelet sets `condition` (type and status) with its next report.
    ///
    /// # Errors
    /// [`ActionError::NotRunning`] or [`ActionError::NoSuchContainer`].
    pub fn exit(
        &mut self,
        pod: Uid,
        containers: ContainerChoice<'_>,
        exit_code: i32,
        condition: Option<(Arc<str>, ConditionStatus)>,
        ctx: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        self.kubelets.exit(pod, containers, exit_code, condition, ctx)
    }

    /// Does something to a node.
    ///
    /// # Errors
    /// [`ActionError::NoSuchNode`], or the API server's refusal.
    pub fn set_node(
        &mut self,
        name: &str,
        change: NodeChange,
        ctx: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        if change == NodeChange::Add {
            let number = u32::try_from(self.joining.len()).unwrap_or(u32::MAX);
            self.joining.push(name.into());
            let at = ctx.now + self.config.timing.node_join.draw(ctx.random, Purpose::Node);
            ctx.events.schedule(at, Event::Cluster(ClusterEvent::NodeJoins { number }));
            return Ok(());
        }
        let found = ctx.server.nodes().find(|node| *node.name == *name).map(|node| node.id);
        let node = found.ok_or_else(|| ActionError::NoSuchNode(name.into()))?;
        let now = ctx.now;
        match change {
            NodeChange::Add => {}
            NodeChange::Down => {
                self.kubelets.set_silent(node);
                self.node_lifecycle.lost_contact(node, ctx);
            }
            NodeChange::Up => {
                self.kubelets.resume(node, &self.placement, ctx);
                self.node_lifecycle.regained_contact(node, ctx);
            }
            NodeChange::ShutDown => {
                self.kubelets.shut_down(node, ctx);
                self.node_lifecycle.shut_down(node, &self.placement, ctx);
            }
            NodeChange::Delete => ctx.server.delete_node(now, Actor::User, node)?,
            NodeChange::Cordon => {
                ctx.server.update_node(now, Actor::User, node, |node| node.unschedulable = true)?
            }
            NodeChange::Uncordon => {
                ctx.server.update_node(now, Actor::User, node, |node| node.unschedulable = false)?;
            }
            NodeChange::OutOfService => ctx.server.update_node(now, Actor::User, node, |node| {
                if node.taints.iter().all(|taint| *taint.key != *OUT_OF_SERVICE_TAINT) {
                    node.taints.push(Taint {
                        key: OUT_OF_SERVICE_TAINT.into(),
                        value: "nodeshutdown".into(),
                        effect: TaintEffect::NoExecute,
                        time_added: now.truncated_to_second(),
                    });
                }
            })?,
        }
        Ok(())
    }

    /// Writes a pod's status by hand, as upstream's integration tests do. Meant for clusters with
    /// [`ClusterConfig::manual_pods`]; elsewhere the kubelet's next report overwrites it.
    ///
    /// # Errors
    /// The API server's refusal.
    pub fn set_phase(
        &mut self,
        pod: Uid,
        wanted: &ManualStatus,
        ctx: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        let (now, words) = (ctx.now, &self.words);
        let spec = ctx.server.pod(pod).map(|pod| Arc::clone(&pod.spec));
        ctx.server.update_pod_status(now, Actor::User, pod, |status| {
            let containers = spec.as_deref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
            wanted.write_to(status, containers, words, now);
        })?;
        Ok(())
    }

    fn create_node(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), ActionError> {
        let (cpu_milli, pods_max) = (self.config.cpu_milli, self.config.pods_max);
        let labels = Labels::from([(HOSTNAME_LABEL.into(), name.into())]);
        ctx.server.create_node(ctx.now, Actor::User, name, labels, cpu_milli, pods_max)?;
        Ok(())
    }
}
