//! The pods: their scripts, the brokers that these start, and the lead's command.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::objects::{Pod, Uid};
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::former::instance_of;
use super::{Brokers, Lots, Timer, instant, time};
use crate::entrypoint::{Entrypoint, Next, Pid1, RETRY, Stage, TERMINATED};
use crate::workload::Standing;

/// What `flux exec` takes to tell all workers something.
const TELL: Duration = Duration::from_millis(100);

impl Brokers {
    /// Its first process is to come.
    pub(super) fn pod_created(&mut self, pod: &Pod) {
        let Some(name) = self.flux_of(pod) else { return };
        let (Some(flux), Some(index)) = (self.fluxes.get(name), pod.index.get()) else { return };
        let script = Entrypoint::new(pod.uid, index, self.sequence, &flux.boot);
        self.scripts.insert(pod.uid, (Arc::clone(name), script));
    }

    pub(super) fn process_started(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(pod) = ctx.server.pod(uid) else { return };
        let (Some(owner), Some(index)) = (&pod.owner, pod.index.get()) else { return };
        // A pod of an earlier Job of this name belongs to a Flux that is gone.
        let Some(name) = self.flux_of(pod).cloned() else { return };
        let Some(flux) = self.fluxes.get(&name) else { return };
        if flux.served.is_some_and(|served| served != owner.uid) {
            // The Job was made anew, and the pods of the old one may still run.
            self.retire(&name);
        }
        let Some(flux) = self.fluxes.get_mut(&name) else { return };
        flux.served = Some(owner.uid);
        // A container that starts again runs the whole script again.
        self.sequence += 1;
        self.scripts.insert(uid, (name, Entrypoint::new(uid, index, self.sequence, &flux.boot)));
        self.start_broker(uid, ctx);
    }

    /// SIGTERM.
    pub(super) fn process_told(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&uid) else { return };
        script.is_told = true;
        let instance = instance_of(&mut self.fluxes, &mut self.former, name, script.former);
        let has_workers = instance.is_some_and(|instance| instance.runs());
        match (script.boot.pid1, script.stage, script.rank) {
            (Pid1::Shell, ..) => {}
            (Pid1::Entrypoint, Stage::Broker, Some(0)) if has_workers => {
                let timer = Timer::Leave(uid, script.run);
                self.schedule(ctx.now + TELL, timer);
            }
            (_, Stage::Broker, Some(_)) => self.terminate(uid, ctx),
            _ => self.exits.push((uid, TERMINATED)),
        }
        self.settle(ctx.now);
    }

    /// SIGTERM reaches the broker of this pod.
    fn terminate(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get(&pod) else { return };
        let Some(instance) = instance_of(&mut self.fluxes, &mut self.former, name, script.former) else {
            return;
        };
        let Some(rank) = script.rank.filter(|_| script.stage == Stage::Broker) else { return };
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        instance.advance(at, draw);
        // It runs: its stage says so.
        let _ = instance.broker_terminated(at, rank, draw);
    }

    /// A lead goes, and the instance goes on without it: all workers that are online know now.
    pub(super) fn leave(&mut self, lead: Uid, run: u64, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get(&lead).filter(|(_, script)| script.run == run) else {
            return;
        };
        let (name, former) = (Arc::clone(name), script.former);
        let Some(instance) = instance_of(&mut self.fluxes, &mut self.former, &name, former) else { return };
        for (of, worker) in self.scripts.values_mut() {
            let is_online = worker.rank.is_some_and(|rank| instance.overlay().online().contains(rank));
            if *of == name && worker.former == former && worker.stage == Stage::Broker && is_online {
                worker.lead_left = true;
            }
        }
        self.terminate(lead, ctx);
    }

    pub(super) fn process_ended(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&uid) else { return };
        let had_broker = std::mem::replace(&mut script.stage, Stage::Stopped) == Stage::Broker;
        let (rank, former) = (script.rank, script.former);
        let Some(instance) = instance_of(&mut self.fluxes, &mut self.former, name, former) else { return };
        if let Some(rank) = rank.filter(|_| had_broker) {
            let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
            instance.advance(at, draw);
            // It may have ended by itself at this very instant.
            let _ = instance.broker_killed(at, rank, draw);
            if let Some(id) = former.filter(|_| rank == 0) {
                self.forsake(id, ctx);
            }
        }
        self.settle(ctx.now);
    }

    /// The names of the hosts have addresses now: workers that have looked for their lead find it.
    pub(super) fn hosts_found(&mut self, name: &str, ctx: &mut Context<'_>) {
        let lost = |script: &Entrypoint| script.stage == Stage::Unreachable;
        let of_it = self.scripts.iter().filter(|(_, (of, script))| **of == *name && lost(script));
        for pod in of_it.map(|(pod, _)| *pod).collect::<Vec<_>>() {
            self.start_broker(pod, ctx);
        }
    }

    pub(super) fn start_broker(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&pod) else { return };
        let Some(flux) = self.fluxes.get(name) else { return };
        script.take(&flux.boot);
        let (name, rank) = (Arc::clone(name), script.rank);
        if script.boot.pid1 == Pid1::Entrypoint {
            self.readiness.push((pod, false));
        }
        self.make_room(&name, pod, rank == Some(0), ctx);
        let Some((_, script)) = self.scripts.get_mut(&pod) else { return };
        let Some(flux) = self.fluxes.get_mut(&name) else { return };
        script.former = None;
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        if !flux.boot.has_dns && rank != Some(0) {
            // It tries for ever to reach a host that has no address.
            script.stage = Stage::Unreachable;
            return;
        }
        flux.instance.advance(at, draw);
        if rank == Some(0) {
            flux.instance.set_quorum(flux.boot.quorum.clone());
            if flux.lead_disk != Some(pod) {
                // The statedir is a directory of the pod.
                flux.instance.wipe_statedir();
                flux.lead_disk = Some(pod);
            }
        }
        let before = rank.and_then(|rank| flux.ranks.insert(rank, pod)).filter(|before| *before != pod);
        if rank.is_none_or(|rank| flux.instance.broker_started(at, rank, draw).is_err()) {
            // There are more pods than hosts in the list: the broker finds itself not in it.
            script.stage = Stage::Broker;
            self.broker_of_pod_ended(pod, 1, ctx.now);
            return;
        }
        if let Some(rank) = rank {
            // Whatever an older process was.
            flux.ready.remove(rank);
        }
        let old = before.and_then(|before| self.scripts.get_mut(&before));
        if let Some((_, old)) = old.filter(|(_, old)| old.stage == Stage::Broker) {
            old.stage = Stage::Superseded;
            let latencies = &flux.instance.setup().latencies;
            let told = ctx.now + latencies.orphan.draw(draw) + latencies.rc3.draw(draw);
            let timer = Timer::Dropped(old.pod, old.run);
            self.schedule(told, timer);
        }
        // What has ended of this rank was an older process: this script has no broker until then.
        self.settle(ctx.now);
        if let Some((_, script)) = self.scripts.get_mut(&pod) {
            script.stage = Stage::Broker;
        }
    }

    /// What the instances have come to: brokers that have ended.
    pub(super) fn settle(&mut self, now: Time) {
        let mut ended = Vec::new();
        for flux in self.fluxes.values_mut() {
            for (_, rank, code) in flux.instance.take_exits() {
                ended.extend(flux.ranks.get(&rank).map(|pod| (*pod, code)));
            }
        }
        for (pod, code) in ended {
            self.broker_of_pod_ended(pod, code, now);
        }
        if !self.former.is_empty() {
            self.settle_former(now);
        }
        self.probe();
    }

    /// Whose broker has come online, and whose is so no longer.
    fn probe(&mut self) {
        for flux in self.fluxes.values_mut() {
            let online = flux.instance.overlay().online();
            if flux.boot.pid1 != Pid1::Entrypoint || *online == flux.ready {
                continue;
            }
            for (ranks, is_ready) in
                [(flux.ready.difference(online), false), (online.difference(&flux.ready), true)]
            {
                let pods = ranks.iter().filter_map(|rank| flux.ranks.get(&rank));
                self.readiness.extend(pods.map(|pod| (*pod, is_ready)));
            }
            flux.ready = online.clone();
        }
    }

    /// A newer pod has the rank: the older broker loses its place and exits with 1, as soon as it learns that (J 2).
    pub(super) fn broker_dropped(&mut self, pod: Uid, run: u64, now: Time) {
        let Some((_, script)) = self.scripts.get_mut(&pod) else { return };
        if script.run == run && script.stage == Stage::Superseded {
            script.stage = Stage::Broker;
            self.broker_of_pod_ended(pod, 1, now);
        }
    }

    pub(super) fn broker_of_pod_ended(&mut self, pod: Uid, code: i32, now: Time) {
        let Some((_, script)) = self.scripts.get_mut(&pod) else { return };
        if script.stage != Stage::Broker {
            return;
        }
        match script.after(code) {
            Next::Exit(code) => {
                script.stage = Stage::Stopped;
                self.exits.push((pod, code));
            }
            next => {
                script.stage = Stage::Waiting;
                let timer = Timer::Retry(pod, script.run);
                let after = if next == Next::Again { Duration::ZERO } else { RETRY };
                self.schedule(now + after, timer);
            }
        }
    }

    /// Lets the leads go on with what they run inside of Flux, and shuts Flux down where that has ended.
    pub(super) fn attend_to_leads(&mut self, ctx: &mut Context<'_>) {
        let at = instant(ctx.now);
        let (mut alarms, mut failed) = (Vec::new(), Vec::new());
        for (name, flux) in &mut self.fluxes {
            let Some((_, lead)) = flux.ranks.get(&0).and_then(|pod| self.scripts.get_mut(pod)) else {
                continue;
            };
            if lead.stage != Stage::Broker || lead.result.is_some() || !flux.instance.runs() {
                continue;
            }
            let boot = Arc::clone(&lead.boot);
            let workload = match &boot.lead {
                Ok(Some(workload)) => workload,
                Ok(None) => continue,
                Err(error) => {
                    flux.refusal = Some(format!("the lead of `{name}`: {error}"));
                    continue;
                }
            };
            let draw = &mut Lots(ctx.random);
            let code = match lead.progress.play(workload, &mut flux.instance, at, draw) {
                Standing::Waits(until) => {
                    if let Some(until) = until.filter(|_| lead.alarm != until) {
                        lead.alarm = Some(until);
                        alarms.push(until);
                    }
                    continue;
                }
                Standing::Ended(code) => code,
                Standing::Unknown(line) => {
                    flux.refusal = Some(format!("`{line}` of `{name}` was not understood"));
                    1
                }
            };
            (lead.result, flux.outcome) = (Some(code), Some(code));
            if code != 0 && boot.pid1 == Pid1::Entrypoint {
                // The command is tried again, by a container that starts again or in another pod: the workers wait for it.
                failed.push(Timer::Leave(lead.pod, lead.run));
                continue;
            }
            // The lead was running a moment ago.
            let _ = flux.instance.broker_terminated(at, 0, draw);
        }
        for leave in failed {
            self.schedule(ctx.now + TELL, leave);
        }
        for until in alarms {
            self.schedule(time(until), Timer::Look);
        }
    }
}
