//! SIGTERM, grace period, SIGKILL, and the end of the object.
//!
//! Main containers are told first, sidecars when those are gone; when the grace period is over, whatever still runs is
//! killed. A pod that has been stopped always gets a terminal phase (Kubernetes 1.27 and later): Succeeded when every
//! main container ended with 0, Failed otherwise, also when it never started. Only then is the object deleted.

use std::time::Duration;

use super::Kubelets;
use super::container::{KILLED, Role, Run};
use super::nodes::Turn;
use super::work::{Stage, Stop, StopReason};
use crate::cluster::PodTimer;
use crate::engine::Purpose;
use crate::objects::{Pod, Uid};
use crate::server::{Actor, ApiError};
use crate::simulation::Context;

/// As much of the samples of a cleanup are shorter than what it takes at least: one that comes sooner waits for the next look.
const LEAST: f64 = 0.05;

impl Kubelets {
    /// The pod is to be stopped. Asking again can only shorten the grace period.
    pub(super) fn stop(&mut self, uid: Uid, reason: StopReason, grace_period_s: u32, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        if reason == StopReason::Shutdown {
            work.is_shut_down = true;
        }
        if matches!(work.stage, Stage::Ending | Stage::Ended) {
            return;
        }
        let Some(stop) = &mut work.stop else {
            work.stop = Some(Stop { reason, grace_period_s, kill_at: None, sidecars_told: false });
            // The start is called off.
            if matches!(work.stage, Stage::Starting(_)) {
                work.stage_timer.cancel();
                self.drop_work(uid, ctx);
            }
            return match reason {
                StopReason::Finished => self.send_term(uid, ctx),
                StopReason::Deletion | StopReason::Shutdown => {
                    self.arm_after(uid, PodTimer::Stop, self.timing.stop_notice, ctx);
                }
            };
        };
        if stop.reason == StopReason::Finished {
            stop.reason = reason;
        }
        if grace_period_s >= stop.grace_period_s {
            return;
        }
        stop.grace_period_s = grace_period_s;
        let kill_at = ctx.now + seconds(grace_period_s);
        if let Some(planned) = &mut stop.kill_at
            && kill_at < *planned
        {
            *planned = kill_at;
            self.arm(uid, PodTimer::Stop, kill_at, ctx);
        }
    }

    /// The stop timer has expired: SIGTERM is due, or SIGKILL.
    pub(super) fn stop_expired(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(stop) = self.pods.get(&uid).and_then(|work| work.stop) else { return };
        match stop.kill_at {
            None => self.send_term(uid, ctx),
            Some(at) if at <= ctx.now => self.kill(uid, ctx),
            Some(at) => self.arm(uid, PodTimer::Stop, at, ctx),
        }
    }

    fn send_term(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let Some(stop) = &mut work.stop else { return };
        let kill_at = ctx.now + seconds(stop.grace_period_s);
        stop.kill_at = Some(kill_at);
        for container in &mut work.containers {
            // Nothing starts again.
            if !container.is_running() {
                container.timer.cancel();
            }
            // Ends that had not been noticed are found now.
            if let Run::Exited(exit) = container.run {
                container.run = Run::Ended(exit);
            }
        }
        self.arm(uid, PodTimer::Stop, kill_at, ctx);
        for position in self.positions(uid, |role| role != Role::Sidecar) {
            self.terminate(uid, position, ctx);
        }
        self.advance_stop(uid, ctx);
    }

    /// Goes on with a stop as far as the containers that still run allow.
    pub(super) fn advance_stop(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        if !self.positions(uid, |role| role != Role::Sidecar).is_empty() {
            return;
        }
        let Some(work) = self.pods.get_mut(&uid) else { return };
        if matches!(work.stage, Stage::Ending | Stage::Ended) {
            return;
        }
        let Some(stop) = &mut work.stop else { return };
        if !stop.sidecars_told {
            stop.sidecars_told = true;
            // In reverse order of their start.
            for position in self.positions(uid, |role| role == Role::Sidecar).into_iter().rev() {
                self.terminate(uid, position, ctx);
            }
            // Those that end at once have come back here and gone on.
            return self.advance_stop(uid, ctx);
        }
        if self.positions(uid, |_| true).is_empty() {
            self.wind_up(uid, ctx);
        }
    }

    /// No process is left.
    fn wind_up(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let slot = self.timing.stop_slot.draw(ctx.random, Purpose::Node);
        // Nothing is drawn for what profiles do not have: others would draw something else then.
        let rest = match self.timing.stop {
            stop if stop.is_zero() => Duration::ZERO,
            stop => stop.draw(ctx.random, Purpose::Node),
        };
        let Some(work) = self.pods.get_mut(&uid) else { return };
        work.stage = Stage::Ending;
        work.stop_timer.cancel();
        let node = work.node;
        self.take_turn(uid, node, Turn::Stop { slot }, rest, ctx);
    }

    fn kill(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        if let Some(stop) = self.pods.get_mut(&uid).and_then(|work| work.stop.as_mut()) {
            stop.sidecars_told = true;
        }
        for position in self.positions(uid, |_| true) {
            self.process_ended(uid, position, KILLED, ctx);
        }
    }

    /// Positions of the containers that run and have such a role.
    fn positions(&self, uid: Uid, role: impl Fn(Role) -> bool) -> Vec<usize> {
        let Some(work) = self.pods.get(&uid) else { return Vec::new() };
        let running = work.containers.iter().enumerate();
        running
            .filter(|(_, container)| container.is_running() && role(container.role))
            .map(|(at, _)| at)
            .collect()
    }

    /// The pod is over: its last report is due.
    pub(super) fn end(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        work.stage = Stage::Ended;
        work.stop_timer.cancel();
        work.ready_timer.cancel();
        work.probe = None;
        for container in &mut work.containers {
            container.timer.cancel();
        }
        self.report(uid, ctx);
    }

    /// The terminal phase has been stored: an object that is being deleted can go, the others stay as they are.
    pub(super) fn reported_end(&mut self, pod: &Pod, ctx: &mut Context<'_>) {
        if pod.deletion.is_some_and(|deletion| deletion.grace_period_s > 0) {
            self.arm_cleanup(pod.uid, ctx);
        } else {
            self.forget(pod.uid, ctx);
        }
    }

    /// A kubelet looks once a second which pods it is done with. Nodes that are one machine were started together, and look at the same moments.
    pub(super) fn arm_cleanup(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let cleanup = self.timing.cleanup;
        if let Some(machine) = &mut self.machine {
            if machine.looks_at < ctx.now + cleanup.quantile(LEAST) {
                machine.looks_at = ctx.now + cleanup.draw(ctx.random, Purpose::Node);
            }
            let at = machine.looks_at;
            return self.arm(uid, PodTimer::Stage, at, ctx);
        }
        self.arm_after(uid, PodTimer::Stage, cleanup, ctx);
    }

    /// Deletes the object for good; finalizers may still hold it.
    pub(super) fn clean_up(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        match ctx.server.delete_pod(ctx.now, Actor::Kubelet, uid, Some(0)) {
            Ok(()) | Err(ApiError::NotFound { .. }) => self.forget(uid, ctx),
            Err(_) => self.arm(uid, PodTimer::Stage, ctx.now + super::RETRY, ctx),
        }
    }
}

fn seconds(seconds: u32) -> std::time::Duration {
    std::time::Duration::from_secs(u64::from(seconds))
}
