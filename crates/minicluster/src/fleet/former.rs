//! Instances that others have taken the place of: an older lead's, while it still runs, and those of deleted Jobs.
//!
//! Who is deleted goes on for a while. A lead under a shell lives until SIGKILL and keeps its workers, while another lead
//! serves new ones: there are two (Flux spec J 6). When the old one is gone, its workers find the new one in its place, which does not
//! know them: they exit with 1.

use std::collections::BTreeMap;

use towtank_flux::instance::Instance;
use towtank_model::objects::Uid;
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::{Fleet, Lots, MiniCluster, instant};
use crate::entrypoint::Stage;

/// An instance that is no longer its MiniCluster's.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) instance: Instance,
    /// Its pods, by rank.
    pub(super) ranks: BTreeMap<u32, Uid>,
    pub(super) completes_workers: bool,
}

impl Fleet {
    /// The brokers of a MiniCluster go on by themselves, and what starts from now on is of a new instance.
    pub(super) fn retire(&mut self, name: &str) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        self.sequence += 1;
        let id = self.sequence;
        for (of, script) in self.scripts.values_mut() {
            if **of == *name && script.former.is_none() && script.stage == Stage::Broker {
                script.former = Some(id);
            }
        }
        let fresh = Instance::new(cluster.instance.setup().clone());
        let former = Former {
            instance: std::mem::replace(&mut cluster.instance, fresh),
            ranks: std::mem::take(&mut cluster.ranks),
            completes_workers: cluster.made.completes_workers,
        };
        cluster.lead_disk = None;
        self.former.insert(id, former);
    }

    /// Whether the lead that starts now in `pod` has another beside it.
    pub(super) fn has_other_lead(&self, name: &str, pod: Uid) -> bool {
        let lead = self.clusters.get(name).and_then(|cluster| cluster.ranks.get(&0));
        let script = lead.filter(|lead| **lead != pod).and_then(|lead| self.scripts.get(lead));
        script.is_some_and(|(_, script)| script.stage == Stage::Broker)
    }

    /// The lead of this former instance was killed: where it answered, another does now.
    pub(super) fn forsake(&mut self, id: u64, ctx: &mut Context<'_>) {
        if let Some(former) = self.former.get_mut(&id) {
            former.instance.replaced_by_another(instant(ctx.now), &mut Lots(ctx.random));
        }
    }

    /// Brokers of former instances that have ended; instances of which none is left are forgotten.
    pub(super) fn settle_former(&mut self, now: Time) {
        let mut ended = Vec::new();
        for former in self.former.values_mut() {
            for (_, rank, code) in former.instance.take_exits() {
                ended.extend(former.ranks.get(&rank).map(|pod| (*pod, code, former.completes_workers)));
            }
        }
        for (pod, code, completes_workers) in ended {
            self.broker_of_pod_ended(pod, code, completes_workers, now);
        }
        let runs = |id: u64| {
            let of = |script: &crate::entrypoint::Entrypoint| script.former == Some(id);
            self.scripts.values().any(|(_, script)| of(script) && script.stage == Stage::Broker)
        };
        let over: Vec<u64> = self.former.keys().copied().filter(|id| !runs(*id)).collect();
        for id in over {
            self.former.remove(&id);
        }
    }
}

/// The instance that a script's broker is of.
pub(super) fn instance_of<'a>(
    clusters: &'a mut BTreeMap<std::sync::Arc<str>, MiniCluster>,
    former: &'a mut BTreeMap<u64, Former>,
    name: &str,
    id: Option<u64>,
) -> Option<&'a mut Instance> {
    match id {
        Some(id) => former.get_mut(&id).map(|former| &mut former.instance),
        None => clusters.get_mut(name).map(|cluster| &mut cluster.instance),
    }
}
