//! Starts, ends and restarts of containers.

use std::time::Duration;

use super::container::{Exit, Role, Run};
use super::work::{Stage, StopReason};
use super::{Kubelets, ProcessStep};
use crate::cluster::PodTimer;
use crate::engine::Purpose;
use crate::objects::{RestartPolicy, Uid};
use crate::simulation::Context;

impl Kubelets {
    /// The stage timer has expired: the pod goes one step further.
    pub(super) fn stage_expired(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        match work.stage {
            Stage::Starting(position) if position < work.first_main() => self.start_init(uid, position, ctx),
            Stage::Starting(_) => self.start_mains(uid, ctx),
            Stage::Ending => self.end(uid, ctx),
            Stage::Ended => self.clean_up(uid, ctx),
            Stage::Initializing(_) | Stage::Running => {}
        }
    }

    fn start_init(&mut self, uid: Uid, position: usize, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let is_sidecar =
            work.containers.get(position).is_some_and(|container| container.role == Role::Sidecar);
        // A sidecar counts as started when its process runs; the next container does not wait for its end.
        work.stage = if is_sidecar { Stage::Starting(position + 1) } else { Stage::Initializing(position) };
        self.start_container(uid, position, ctx);
        if is_sidecar {
            self.arm_after(uid, PodTimer::Stage, self.timing.next_container, ctx);
        }
        self.report(uid, ctx);
    }

    fn start_mains(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        work.stage = Stage::Running;
        let mains = work.first_main()..work.containers.len();
        for position in mains {
            self.start_container(uid, position, ctx);
        }
        self.await_readiness(uid, ctx);
        self.report(uid, ctx);
    }

    fn start_container(&mut self, uid: Uid, position: usize, ctx: &mut Context<'_>) {
        let init_runs_for = match self.pods.get(&uid).and_then(|work| work.containers.get(position)) {
            Some(container) if container.role == Role::Init => {
                self.timing.init_container.draw(ctx.random, Purpose::Workload)
            }
            Some(_) => Duration::ZERO,
            None => return,
        };
        let behaviour = self.workload.of(uid);
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let Some(container) = work.containers.get_mut(position) else { return };
        let fate = container.start(behaviour, init_runs_for, ctx.now);
        if position == work.first_main() {
            self.begin_probe(uid, ctx);
        }
        self.note(uid, position, ProcessStep::Started);
        self.follow(uid, position, fate, ctx);
    }

    /// All main containers run: they become ready after their time.
    pub(super) fn await_readiness(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        if !work.mains_run() {
            return;
        }
        let after = self.timing.readiness.draw(ctx.random, Purpose::Node);
        if after.is_zero() {
            work.has_become_ready = true;
        } else {
            self.arm(uid, PodTimer::Ready, ctx.now + after, ctx);
        }
    }

    pub(super) fn become_ready(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        if let Some(work) = self.pods.get_mut(&uid) {
            work.has_become_ready = work.mains_run();
            self.report(uid, ctx);
        }
    }

    /// A container's timer has expired: its process ends, or its end is noticed, or it starts again.
    pub(super) fn container_expired(
        &mut self,
        uid: Uid,
        position: usize,
        is_silent: bool,
        ctx: &mut Context<'_>,
    ) {
        let container = self.pods.get(&uid).and_then(|work| work.containers.get(position));
        match container.map(|container| container.run) {
            Some(Run::Running { exit_code }) => self.process_ended(uid, position, exit_code, ctx),
            _ if is_silent => {}
            Some(Run::Exited(exit)) => self.notice(uid, position, exit, ctx),
            Some(Run::Ended(_) | Run::BackingOff(_)) => self.restart(uid, position, ctx),
            Some(Run::Waiting) | None => {}
        }
    }

    /// A process ends. A kubelet that is stopping the pod waits for just that; otherwise it finds out after a while.
    pub(super) fn process_ended(&mut self, uid: Uid, position: usize, code: i32, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let is_silent = self.hosts.get(work.node.0 as usize).is_some_and(|host| host.is_silent);
        let is_awaited = work.stop.is_some_and(|stop| stop.kill_at.is_some());
        let Some(container) = work.containers.get_mut(position) else { return };
        container.exit(code, ctx.now);
        self.note(uid, position, ProcessStep::Ended(code));
        if is_silent {
            return;
        }
        if is_awaited {
            self.notice(uid, position, Exit { code, at: ctx.now }, ctx);
        } else {
            self.arm_after(uid, PodTimer::container(position), self.timing.exit_notice, ctx);
        }
    }

    /// The kubelet notices the end of a container.
    pub(super) fn notice(&mut self, uid: Uid, position: usize, exit: Exit, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let (stage, policy, first_main) = (work.stage, work.spec.restart_policy, work.first_main());
        let Some(container) = work.containers.get_mut(position) else { return };
        container.run = Run::Ended(exit);
        let (role, restarts) = (container.role, container.restarts_after(exit, policy));
        if role == Role::Main {
            work.has_become_ready = false;
            work.ready_timer.cancel();
            if position == first_main {
                work.probe.iter_mut().for_each(|probe| probe.reset(None));
            }
        }
        self.report(uid, ctx);
        if self.pods.get(&uid).is_some_and(|work| work.stop.is_some_and(|stop| stop.kill_at.is_some())) {
            return self.advance_stop(uid, ctx);
        }
        match role {
            _ if restarts => self.plan_restart(uid, position, exit, ctx),
            Role::Init if exit.code != 0 && policy == RestartPolicy::Never => self.finish(uid, ctx),
            Role::Init if stage == Stage::Initializing(position) => {
                if let Some(work) = self.pods.get_mut(&uid) {
                    work.stage = Stage::Starting((position + 1).min(first_main));
                }
                self.arm_after(uid, PodTimer::Stage, self.timing.next_container, ctx);
            }
            Role::Main if self.pods.get(&uid).is_some_and(|work| work.is_finished()) => self.finish(uid, ctx),
            _ => {}
        }
    }

    /// No main container will run again: what is left of the pod is stopped.
    fn finish(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get(&uid) else { return };
        if work.containers.iter().all(|container| container.is_stopped() && !container.timer.is_armed()) {
            return self.end(uid, ctx);
        }
        let grace_period_s = work.spec.termination_grace_period_s;
        self.stop(uid, StopReason::Finished, grace_period_s, ctx);
    }

    fn plan_restart(&mut self, uid: Uid, position: usize, exit: Exit, ctx: &mut Context<'_>) {
        let soonest = ctx.now + self.timing.next_container.draw(ctx.random, Purpose::Node);
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let Some(container) = work.containers.get_mut(position) else { return };
        let not_before = container.backoff.not_before(exit.at);
        if not_before > ctx.now {
            container.run = Run::BackingOff(exit);
        }
        self.arm(uid, PodTimer::container(position), not_before.max(soonest), ctx);
    }

    fn restart(&mut self, uid: Uid, position: usize, ctx: &mut Context<'_>) {
        let is_main = self
            .pods
            .get(&uid)
            .and_then(|work| work.containers.get(position))
            .is_some_and(|container| container.role == Role::Main);
        self.start_container(uid, position, ctx);
        if is_main {
            self.await_readiness(uid, ctx);
        }
        self.report(uid, ctx);
    }
}

impl PodTimer {
    /// The timer of the container at this position.
    pub(super) fn container(position: usize) -> Self {
        Self::Container(u16::try_from(position).unwrap_or(u16::MAX))
    }
}
