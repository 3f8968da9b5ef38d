//! The pods: their scripts, the brokers that these start, and the lead's command.

use std::sync::Arc;

use towtank_flux::overlay::Quorum;
use towtank_model::objects::Uid;
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::former::instance_of;
use super::{Fleet, Lots, Timer, instant, time};
use crate::entrypoint::{Entrypoint, Next, Pid1, RETRY, Stage};
use crate::workload::Standing;

impl Fleet {
    pub(super) fn process_started(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(pod) = ctx.server.pod(uid) else { return };
        let (Some(owner), Some(rank)) = (&pod.owner, pod.index.get()) else { return };
        let Some(cluster) = self.clusters.get(&owner.name) else { return };
        // A pod of an earlier Job of this name belongs to a MiniCluster that is gone.
        if cluster.job != Some(owner.uid) {
            return;
        }
        let (name, is_strict) = (Arc::clone(&owner.name), cluster.made.is_strict);
        if cluster.served.is_some_and(|served| served != owner.uid) {
            // The Job was made anew, and the pods of the old one may still run.
            self.retire(&name);
        }
        if let Some(cluster) = self.clusters.get_mut(&name) {
            cluster.served = Some(owner.uid);
        }
        // A container that starts again runs the whole script again.
        self.sequence += 1;
        self.scripts.insert(uid, (name, Entrypoint::new(uid, rank, self.sequence, is_strict)));
        self.start_broker(uid, ctx);
    }

    /// SIGTERM.
    pub(super) fn process_told(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&uid) else {
            // Its MiniCluster was deleted before its broker could find the others.
            if self.settings.pid1 == Pid1::Broker {
                self.exits.push((uid, TERMINATED));
            }
            return;
        };
        let instance = instance_of(&mut self.clusters, &mut self.former, name, script.former);
        match (self.settings.pid1, script.stage) {
            (Pid1::Broker, Stage::Broker) => {
                let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
                let Some(instance) = instance else { return };
                instance.advance(at, draw);
                // It runs: its stage says so.
                let _ = instance.broker_terminated(at, script.rank, draw);
            }
            (Pid1::Broker, _) => self.exits.push((uid, TERMINATED)),
            (Pid1::Shell, _) => {}
        }
        self.settle(ctx.now);
    }

    pub(super) fn process_ended(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&uid) else { return };
        let had_broker = std::mem::replace(&mut script.stage, Stage::Stopped) == Stage::Broker;
        let (rank, former) = (script.rank, script.former);
        let Some(instance) = instance_of(&mut self.clusters, &mut self.former, name, former) else { return };
        if had_broker {
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

    pub(super) fn start_broker(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get(&pod) else { return };
        if script.is_lead() && self.has_other_lead(name, pod) {
            let name = Arc::clone(name);
            self.retire(&name);
        }
        let Some((name, script)) = self.scripts.get_mut(&pod) else { return };
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        script.former = None;
        let (rank, at, draw) = (script.rank, instant(ctx.now), &mut Lots(ctx.random));
        if !cluster.has_dns && !script.is_lead() {
            // It tries for ever to reach a host that has no address.
            script.stage = Stage::Unreachable;
            return;
        }
        cluster.instance.advance(at, draw);
        if script.is_lead() {
            let quorum = self.settings.operator.quorum(&cluster.made, cluster.spec.size);
            cluster.instance.set_quorum(Quorum::Size(quorum));
        }
        if script.is_lead() && cluster.lead_disk != Some(pod) {
            // The statedir is a directory of the pod.
            cluster.instance.wipe_statedir();
            cluster.lead_disk = Some(pod);
        }
        let before = cluster.ranks.insert(rank, pod).filter(|before| *before != pod);
        let completes_workers = cluster.made.completes_workers;
        if cluster.instance.broker_started(at, rank, draw).is_err() {
            // The script's list has fewer hosts than there are pods (upstream only): the broker finds itself not in it.
            script.stage = Stage::Broker;
            self.broker_of_pod_ended(pod, 1, completes_workers, ctx.now);
            return;
        }
        let old = before.and_then(|before| self.scripts.get_mut(&before));
        if let Some((_, old)) = old.filter(|(_, old)| old.stage == Stage::Broker) {
            old.stage = Stage::Superseded;
            let latencies = &cluster.instance.setup().latencies;
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

    /// What the instances have come to: brokers that have ended, and leads whose command can be submitted or is done.
    pub(super) fn settle(&mut self, now: Time) {
        for name in self.clusters.keys().cloned().collect::<Vec<_>>() {
            let Some(cluster) = self.clusters.get_mut(&name) else { continue };
            for (_, rank, code) in cluster.instance.take_exits() {
                self.broker_ended(&name, rank, code, now);
            }
        }
        if !self.former.is_empty() {
            self.settle_former(now);
        }
    }

    fn broker_ended(&mut self, name: &str, rank: u32, code: i32, now: Time) {
        let Some(cluster) = self.clusters.get(name) else { return };
        let Some(pod) = cluster.ranks.get(&rank) else { return };
        self.broker_of_pod_ended(*pod, code, cluster.made.completes_workers, now);
    }

    /// A newer pod has the rank: the older broker loses its place and exits with 1, as soon as it learns that (J 2).
    pub(super) fn broker_dropped(&mut self, pod: Uid, run: u64, now: Time) {
        let Some((name, script)) = self.scripts.get_mut(&pod) else { return };
        if script.run == run && script.stage == Stage::Superseded {
            script.stage = Stage::Broker;
            let completes_workers =
                self.clusters.get(name).is_some_and(|cluster| cluster.made.completes_workers);
            self.broker_of_pod_ended(pod, 1, completes_workers, now);
        }
    }

    pub(super) fn broker_of_pod_ended(&mut self, pod: Uid, code: i32, completes_workers: bool, now: Time) {
        let Some((_, script)) = self.scripts.get_mut(&pod) else { return };
        if script.stage != Stage::Broker {
            return;
        }
        match script.after(code, completes_workers) {
            Next::Exit(code) => {
                script.stage = Stage::Stopped;
                self.exits.push((pod, code));
            }
            Next::Retry => {
                script.stage = Stage::Waiting;
                let timer = Timer::Retry(pod, script.run);
                self.schedule(now + RETRY, timer);
            }
        }
    }

    /// Lets the leads go on with what they run inside of Flux, and shuts Flux down where that has ended.
    pub(super) fn attend_to_leads(&mut self, ctx: &mut Context<'_>) {
        let at = instant(ctx.now);
        let mut alarms = Vec::new();
        for (name, cluster) in &mut self.clusters {
            let Some((_, lead)) = cluster.ranks.get(&0).and_then(|pod| self.scripts.get_mut(pod)) else {
                continue;
            };
            if lead.stage != Stage::Broker || lead.result.is_some() || !cluster.instance.runs() {
                continue;
            }
            let workload = match &cluster.workload {
                Ok(Some(workload)) => workload,
                Ok(None) => continue,
                Err(error) => {
                    cluster.lead_refusal = Some(format!("the lead of `{name}`: {error}"));
                    continue;
                }
            };
            let draw = &mut Lots(ctx.random);
            let code = match lead.progress.play(workload, &mut cluster.instance, at, draw) {
                Standing::Waits(until) => {
                    if let Some(until) = until.filter(|_| lead.alarm != until) {
                        lead.alarm = Some(until);
                        alarms.push(until);
                    }
                    continue;
                }
                Standing::Ended(code) => code,
                Standing::Unknown(line) => {
                    cluster.lead_refusal = Some(format!("`{line}` of `{name}` was not understood"));
                    1
                }
            };
            (lead.result, cluster.outcome) = (Some(code), Some(code));
            // The lead was running a moment ago.
            let _ = cluster.instance.broker_terminated(at, 0, draw);
        }
        for until in alarms {
            self.schedule(time(until), Timer::Look);
        }
    }
}

/// Exit code of a process that SIGTERM ended.
const TERMINATED: i32 = 143;
