//! Nodes: what they do for one pod at a time, and how they fall silent, come back and shut down.

use std::time::Duration;

use super::container::Run;
use super::work::{Stage, StopReason};
use super::{Kubelets, PodTimer};
use crate::cluster::placement::Placement;
use crate::objects::{NodeId, Uid};
use crate::simulation::Context;
use crate::time::Time;

/// A node as its kubelet sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Host {
    pub(super) is_silent: bool,
    /// It ends all its pods and takes no more.
    pub(super) is_shutting_down: bool,
    /// The workload's image has been pulled.
    pub(super) has_image: bool,
    /// The node is busy with starts that do not overlap until then.
    starts_until: Time,
    /// The same for stops.
    stops_until: Time,
    /// Pods that it looks after.
    pub(super) pods: u32,
}

/// What a node does for one pod at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// Part of a start, after the image has been pulled.
    Start { pull: Duration, slot: Duration },
    /// Part of a stop.
    Stop { slot: Duration },
}

impl Kubelets {
    /// A pod waits for its turn at its node, or for its share of the machine that all nodes are; `rest` later it comes to its next stage.
    pub(super) fn take_turn(
        &mut self,
        uid: Uid,
        node: NodeId,
        turn: Turn,
        rest: Duration,
        ctx: &mut Context<'_>,
    ) {
        if self.machine.is_some() {
            return match turn {
                // A machine's cores have nothing to do while an image comes.
                Turn::Start { pull, slot } => self.work(uid, slot, pull + rest, ctx),
                Turn::Stop { slot } => self.work(uid, slot, rest, ctx),
            };
        }
        let host = self.host(node);
        let (until, length) = match turn {
            Turn::Start { pull, slot } => (&mut host.starts_until, pull + slot),
            Turn::Stop { slot } => (&mut host.stops_until, slot),
        };
        *until = (*until).max(ctx.now) + length;
        let at = *until + rest;
        self.arm(uid, PodTimer::Stage, at, ctx);
    }

    pub(super) fn host(&mut self, node: NodeId) -> &mut Host {
        let index = node.0 as usize;
        if self.hosts.len() <= index {
            self.hosts.resize(index + 1, Host::default());
        }
        &mut self.hosts[index]
    }

    /// The kubelet of a node falls silent.
    pub(in crate::cluster) fn set_silent(&mut self, node: NodeId) {
        self.host(node).is_silent = true;
    }

    /// The kubelet of a node is back: it takes up what it left, and what came meanwhile.
    pub(in crate::cluster) fn resume(&mut self, node: NodeId, placement: &Placement, ctx: &mut Context<'_>) {
        let host = self.host(node);
        host.is_silent = false;
        host.is_shutting_down = false;
        for uid in placement.pods_on(node) {
            if let Some(pod) = ctx.server.pod(uid).cloned() {
                self.sync(&pod, ctx);
                self.take_up(uid, ctx);
            }
        }
    }

    /// Does what a pod's expired timers asked for while the kubelet was silent.
    fn take_up(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get(&uid) else { return };
        let now = ctx.now;
        let stop = work.stop.map(|stop| stop.kill_at.unwrap_or(now)).filter(|_| !work.stop_timer.is_armed());
        let waits_for_stage = matches!(work.stage, Stage::Starting(_) | Stage::Ending);
        let is_stage_due = waits_for_stage && work.stop.is_none_or(|_| work.stage == Stage::Ending);
        let stage = is_stage_due && !work.stage_timer.is_armed() && !self.works_for(uid);
        let is_ready_due =
            work.stage == Stage::Running && !work.has_become_ready && !work.ready_timer.is_armed();
        let is_over = work.stage == Stage::Ended && !work.stage_timer.is_armed();
        let containers = work.containers.iter().enumerate().filter(|(_, container)| {
            !container.timer.is_armed()
                && match container.run {
                    Run::Exited(_) | Run::BackingOff(_) => true,
                    Run::Ended(exit) => {
                        work.stop.is_none() && container.restarts_after(exit, work.spec.restart_policy)
                    }
                    _ => false,
                }
        });
        let containers: Vec<usize> = containers.map(|(position, _)| position).collect();
        for position in containers {
            self.arm(uid, PodTimer::container(position), now, ctx);
        }
        if let Some(at) = stop {
            self.arm(uid, PodTimer::Stop, at, ctx);
        }
        if stage {
            self.arm(uid, PodTimer::Stage, now, ctx);
        }
        if is_ready_due {
            self.await_readiness(uid, ctx);
        }
        self.take_up_probe(uid, ctx);
        if is_over {
            self.arm_cleanup(uid, ctx);
        }
        self.report(uid, ctx);
    }

    /// The node shuts down in order: its pods end, within their grace periods, and it takes no more (KEP-2000).
    pub(in crate::cluster) fn shut_down(&mut self, node: NodeId, ctx: &mut Context<'_>) {
        self.host(node).is_shutting_down = true;
        let pods: Vec<(Uid, u32)> = self
            .pods
            .iter()
            .filter(|(_, work)| work.node == node)
            .map(|(&uid, work)| (uid, work.spec.termination_grace_period_s))
            .collect();
        if pods.is_empty() {
            self.host(node).is_silent = true;
        }
        for (uid, grace_period_s) in pods {
            self.stop(uid, StopReason::Shutdown, grace_period_s, ctx);
        }
    }
}
