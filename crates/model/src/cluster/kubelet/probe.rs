//! Readiness probes of pods that an application drives: when they run, and what they find out.
//!
//! The first run comes a while after the process started, the others a period apart (`pkg/kubelet/prober`, `worker.run`). Of all of them only such are played that
//! find something new.

use super::Kubelets;
use crate::cluster::PodTimer;
use crate::engine::Purpose;
use crate::objects::Uid;
use crate::simulation::Context;

impl Kubelets {
    /// The readiness probe of a pod that an application drives finds this out from now on, whenever it runs.
    pub(crate) fn probed(&mut self, pod: Uid, is_ready: bool, ctx: &mut Context<'_>) {
        let Some(probe) = self.pods.get_mut(&pod).and_then(|work| work.probe.as_mut()) else { return };
        probe.finds_ready = is_ready;
        self.await_probe(pod, ctx);
    }

    /// The process starts: its probe has found nothing so far.
    pub(super) fn begin_probe(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let timing = self.timing;
        let Some(probe) = self.pods.get_mut(&pod).and_then(|work| work.probe.as_mut()) else { return };
        if !timing.probe_period.is_zero() {
            probe.reset(Some(ctx.now + timing.first_probe.draw(ctx.random, Purpose::Node)));
        }
    }

    /// Has a probe run that finds out something new, when its time comes.
    pub(super) fn await_probe(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some(probe) = self.pods.get(&pod).and_then(|work| work.probe.as_ref()) else { return };
        if probe.finds_ready == probe.found_ready || probe.timer.is_armed() || probe.finding.is_some() {
            return;
        }
        let (period, finds_ready) = (self.timing.probe_period, probe.finds_ready);
        if period.is_zero() {
            return self.answer(pod, finds_ready, ctx);
        }
        let Some(first) = probe.first else { return };
        let runs = match ctx.now < first {
            true => 0,
            false => {
                u32::try_from(ctx.now.since(first).as_nanos() / period.as_nanos() + 1).unwrap_or(u32::MAX)
            }
        };
        self.arm(pod, PodTimer::Probe, first + period.saturating_mul(runs), ctx);
    }

    /// A probe begins to run, or answers.
    pub(super) fn probe_expired(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some(probe) = self.pods.get_mut(&pod).and_then(|work| work.probe.as_mut()) else { return };
        if let Some(found) = probe.finding.take() {
            self.answer(pod, found, ctx);
            return self.await_probe(pod, ctx);
        }
        probe.finding = Some(probe.finds_ready);
        self.arm_after(pod, PodTimer::Probe, self.timing.probe, ctx);
    }

    /// Takes up probes again when a kubelet is back: what a run has found meanwhile is lost.
    pub(super) fn take_up_probe(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        if let Some(probe) = self.pods.get_mut(&pod).and_then(|work| work.probe.as_mut())
            && !probe.timer.is_armed()
        {
            probe.finding = None;
        }
        self.await_probe(pod, ctx);
    }

    fn answer(&mut self, pod: Uid, found: bool, ctx: &mut Context<'_>) {
        let Some(probe) = self.pods.get_mut(&pod).and_then(|work| work.probe.as_mut()) else { return };
        if std::mem::replace(&mut probe.found_ready, found) != found {
            self.report(pod, ctx);
        }
    }
}
