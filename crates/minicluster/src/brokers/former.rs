//! Instances that others have taken the place of: an older lead's, while it still runs, and those of deleted Jobs.
//!
//! Who is deleted goes on for a while. A lead under a shell lives until SIGKILL and keeps its workers, while another lead
//! serves new ones: there are two (Flux spec J 6). When the old one is gone, its workers find the new one in its place, which does not
//! know them: they exit with 1.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_flux::Idset;
use towtank_flux::instance::Instance;
use towtank_model::objects::Uid;
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::{Brokers, Flux, Lots, instant};
use crate::entrypoint::{Entrypoint, Stage};

/// An instance that is no longer its Flux's.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) instance: Instance,
    /// Its pods, by rank.
    pub(super) ranks: BTreeMap<u32, Uid>,
}

impl Brokers {
    /// The brokers of a Flux go on by themselves, and what starts from now on is of a new instance.
    pub(super) fn retire(&mut self, name: &str) -> Option<u64> {
        let flux = self.fluxes.get_mut(name)?;
        self.sequence += 1;
        let id = self.sequence;
        for (of, script) in self.scripts.values_mut() {
            if **of == *name && script.former.is_none() && script.stage == Stage::Broker {
                script.former = Some(id);
            }
        }
        flux.made = Arc::clone(&flux.boot);
        let fresh = flux.made.instance(&self.settings);
        let former = Former {
            instance: std::mem::replace(&mut flux.instance, fresh),
            ranks: std::mem::take(&mut flux.ranks),
        };
        flux.ready = Idset::new();
        flux.lead_disk = None;
        self.former.insert(id, former);
        Some(id)
    }

    /// A broker starts in `pod`. Another lead that is there keeps the brokers that it has. And without a lead, what was configured
    /// meanwhile holds: brokers of a Flux that was configured otherwise find that the lead of theirs is gone.
    pub(super) fn make_room(&mut self, name: &str, pod: Uid, is_lead: bool, ctx: &mut Context<'_>) {
        let Some(flux) = self.fluxes.get(name) else { return };
        let other = flux.ranks.get(&0).filter(|lead| **lead != pod).and_then(|lead| self.scripts.get(lead));
        let has_other_lead = other.is_some_and(|(_, script)| script.stage == Stage::Broker);
        if is_lead && has_other_lead {
            self.retire(name);
        } else if !has_other_lead
            && !flux.boot.fits(&flux.made)
            && let Some(id) = self.retire(name)
        {
            self.follow(name, id, ctx);
            self.forsake(id, ctx);
        }
    }

    /// Brokers of a former instance that started with what holds now: they have waited for its next lead all the time.
    fn follow(&mut self, name: &str, id: u64, ctx: &mut Context<'_>) {
        let (Some(flux), Some(former)) = (self.fluxes.get_mut(name), self.former.get_mut(&id)) else {
            return;
        };
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        for (_, script) in self.scripts.values_mut() {
            let Some(rank) =
                script.rank.filter(|_| script.former == Some(id) && script.boot.fits(&flux.boot))
            else {
                continue;
            };
            former.ranks.remove(&rank);
            // Both are so: it runs, and it is new there.
            let _ = former.instance.broker_killed(at, rank, draw);
            let _ = flux.instance.broker_started(at, rank, draw);
            flux.ranks.insert(rank, script.pod);
            script.former = None;
        }
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
                ended.extend(former.ranks.get(&rank).map(|pod| (*pod, code)));
            }
        }
        for (pod, code) in ended {
            self.broker_of_pod_ended(pod, code, now);
        }
        let runs = |id: u64| {
            let of = |script: &Entrypoint| script.former == Some(id) && script.stage == Stage::Broker;
            self.scripts.values().any(|(_, script)| of(script))
        };
        let over: Vec<u64> = self.former.keys().copied().filter(|id| !runs(*id)).collect();
        for id in over {
            self.former.remove(&id);
        }
    }
}

/// The instance that a script's broker is of.
pub(super) fn instance_of<'a>(
    fluxes: &'a mut BTreeMap<Arc<str>, Flux>,
    former: &'a mut BTreeMap<u64, Former>,
    name: &str,
    id: Option<u64>,
) -> Option<&'a mut Instance> {
    match id {
        Some(id) => former.get_mut(&id).map(|former| &mut former.instance),
        None => fluxes.get_mut(name).map(|flux| &mut flux.instance),
    }
}
