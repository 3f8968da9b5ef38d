//! What users do to MiniClusters, and what the operator makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_flux::Scheduler;
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::latency::{Latencies, Place};
use towtank_flux::overlay::Quorum;
use towtank_model::cluster::TimingProfile;
use towtank_model::engine::{Distribution, Purpose};
use towtank_model::objects::ObjectKey;
use towtank_model::server::{Actor, ApiError, Propagation};
use towtank_model::simulation::Context;

use super::{Fleet, FleetError, MiniCluster, Timer};
use crate::contract;
use crate::spec::MiniClusterSpec;

impl Fleet {
    /// A user applies a MiniCluster: it is created, or takes this spec.
    ///
    /// # Errors
    ///
    /// [`FleetError::Invalid`]: nothing changes.
    pub fn apply(
        &mut self,
        key: &ObjectKey,
        spec: MiniClusterSpec,
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let name = Arc::clone(&key.name);
        let faults = match self.clusters.get(&name) {
            Some(known) => spec.faults_after(&known.spec, known.maximum),
            None => spec.faults(),
        };
        if !faults.is_empty() {
            return Err(FleetError::Invalid { name: name.to_string(), faults });
        }
        match self.clusters.get_mut(&name) {
            Some(known) => known.spec = spec,
            None => {
                let cluster = self.create(key, spec);
                self.clusters.insert(Arc::clone(&name), cluster);
            }
        }
        self.reconcile_soon(name, ctx);
        Ok(())
    }

    /// A user changes a MiniCluster.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`] or [`FleetError::Invalid`]: nothing changes.
    pub fn edit(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut MiniClusterSpec),
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let known = self.clusters.get(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let (key, mut spec) = (known.key.clone(), known.spec.clone());
        change(&mut spec);
        self.apply(&key, spec, ctx)
    }

    /// A user deletes a MiniCluster: its Job goes with it.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`].
    pub fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), FleetError> {
        let cluster = self.clusters.get(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        // The Job may be gone already.
        let _ = ctx.server.delete_job(
            ctx.now,
            Actor::GarbageCollector,
            &cluster.key.clone(),
            Propagation::Background,
        );
        // Its brokers go on until their pods are gone, whatever is created under its name.
        self.retire(name);
        self.clusters.remove(name);
        // Scripts without a broker are nobody's now.
        self.scripts.retain(|_, (of, script)| **of != *name || script.former.is_some());
        Ok(())
    }

    fn create(&self, key: &ObjectKey, spec: MiniClusterSpec) -> MiniCluster {
        let maximum = spec.maximum();
        let version = self.settings.flux;
        // A policy that nobody knows is a fault of the spec.
        let scheduler = spec.scheduler().unwrap_or(Scheduler::Simple);
        let hosts = contract::hosts(&key.name, maximum);
        let mut setup = Setup::new(version, scheduler, hosts, self.settings.cores);
        setup.latencies = Latencies::of(version, place(self.settings.timing));
        setup.quorum = Quorum::Size(contract::quorum(&spec));
        if let Some(topology) = spec.topology.as_deref().and_then(|topology| topology.parse().ok()) {
            setup.topology = topology;
        }
        MiniCluster {
            key: key.clone(),
            first_size: spec.size,
            spec,
            maximum,
            instance: Instance::new(setup),
            ranks: BTreeMap::new(),
            lead_disk: None,
            served: None,
            refusal: None,
        }
    }

    pub(super) fn reconcile_soon(&mut self, name: Arc<str>, ctx: &mut Context<'_>) {
        let mut drawn = |latency: Distribution| latency.draw(ctx.random, Purpose::Application);
        let at = ctx.now + drawn(self.settings.timing.watch_delivery) + drawn(self.settings.timing.api_call);
        self.schedule(at, Timer::Reconcile(name));
    }

    pub(super) fn reconcile(&mut self, name: &Arc<str>, ctx: &mut Context<'_>) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let job = ctx.server.job_by_key(&cluster.key).cloned();
        let size = cluster.spec.size;
        let written = match &job {
            None => {
                let manifest = contract::job(name, &cluster.spec, self.settings.has_view);
                ctx.server.create_job(ctx.now, Actor::Operator, cluster.key.clone(), &manifest).map(drop)
            }
            Some(job) if job.spec.parallelism != size || job.spec.completions != Some(size) => {
                let manifest = contract::resized(size);
                ctx.server.update_job(ctx.now, Actor::Operator, &cluster.key, &manifest).map(drop)
            }
            Some(_) => Ok(()),
        };
        cluster.refusal = written.err().map(|error: ApiError| error.to_string());
    }
}

/// Where the brokers run: the recordings of `instant` are those of the rig, the others were made in pods.
fn place(timing: &TimingProfile) -> Place {
    if timing == TimingProfile::instant() { Place::Rig } else { Place::Pods }
}
