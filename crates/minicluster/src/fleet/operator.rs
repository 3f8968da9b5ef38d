//! What users do to MiniClusters, and how an operator's plan is carried out.

use std::sync::Arc;
use std::time::Duration;

use towtank_flux::Scheduler;
use towtank_flux::overlay::Quorum;
use towtank_model::engine::{Distribution, Purpose};
use towtank_model::objects::ObjectKey;
use towtank_model::server::{Actor, ApiError, PodPatch, Propagation};
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::{Fleet, FleetError, Known, Timer};
use crate::brokers::Boot;
use crate::contract;
use crate::operator::{Observed, Operator, Status, Write, headless_name, hosts};
use crate::original::JOB_INDEX;
use crate::spec::{Fault, MiniClusterSpec};
use crate::workload::Workload;

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
        let known = self.clusters.get(&name);
        // The maximum is what the operator has seen first; whoever is quicker than it may still change it.
        let maximum = |it: &Known| if it.has_script { it.maximum() } else { i32::MAX };
        let mut faults = self.settings.operator.refuse(&spec, known.map(|it| (&it.spec, maximum(it))));
        faults.extend(self.taken_names(key, &spec));
        if !faults.is_empty() {
            return Err(FleetError::Invalid { name: name.to_string(), faults });
        }
        match self.clusters.get_mut(&name) {
            Some(known) => {
                if !known.has_script {
                    known.made = spec.clone();
                }
                known.spec = spec;
            }
            None => {
                self.clusters.insert(Arc::clone(&name), self.create(key, spec));
            }
        }
        self.furnish(&name, ctx);
        self.reconcile_soon(name, ctx);
        Ok(())
    }

    /// Names that something else has: steps know a MiniCluster by its name alone, and a service leads to one cluster.
    fn taken_names(&self, key: &ObjectKey, spec: &MiniClusterSpec) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(known) = self.clusters.get(&key.name).filter(|known| known.key != *key) {
            faults.push(Fault {
                field: "metadata.namespace".to_owned(),
                value: key.namespace.to_string(),
                why: format!("a MiniCluster of this name is in namespace `{}` already", known.key.namespace),
            });
        }
        for (position, cluster) in spec.bursting.clusters.iter().enumerate() {
            if self.settings.operator == Operator::Contract && cluster.name.as_deref() == Some(&*key.name) {
                faults.push(Fault {
                    field: format!("spec.flux.bursting.clusters[{position}].name"),
                    value: key.name.to_string(),
                    why: "is the name of the MiniCluster itself: each host would be there twice".to_owned(),
                });
            }
        }
        let headless = headless_name(key, spec);
        let has_it = |other: &&Known| {
            other.key != *key
                && other.key.namespace == key.namespace
                && headless_name(&other.key, &other.made) == headless
        };
        if !self.settings.operator.shares_services()
            && let Some(other) = self.clusters.values().find(has_it)
        {
            faults.push(Fault {
                field: "spec.network.headlessName".to_owned(),
                value: headless.to_string(),
                why: format!("leads to the pods of MiniCluster `{}` already", other.key.name),
            });
        }
        faults
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
        let job = ctx.server.job_by_key(&cluster.key).map(|job| job.uid);
        if job.is_some() && job == cluster.job {
            // It is there.
            let _ = ctx.server.delete_job(
                ctx.now,
                Actor::GarbageCollector,
                &cluster.key.clone(),
                Propagation::Background,
            );
        }
        // Its brokers go on until their pods are gone, whatever is created under its name.
        self.brokers.remove(name);
        self.clusters.remove(name);
        self.services.retain(|_, of| **of != *name);
        Ok(())
    }

    fn create(&self, key: &ObjectKey, spec: MiniClusterSpec) -> Known {
        Known {
            key: key.clone(),
            operator: self.settings.operator,
            made: spec.clone(),
            spec,
            is_seen: false,
            has_script: false,
            has_dns: true,
            status: Status::default(),
            job: None,
            refusal: None,
            requeue: None,
            requeues: 0,
        }
    }

    /// What pods of this MiniCluster find from now on.
    fn furnish(&mut self, name: &Arc<str>, ctx: &mut Context<'_>) {
        let Some(Known { spec, made, has_dns, .. }) = self.clusters.get(name) else { return };
        let given = Boot::new(Arc::clone(name), hosts(name, made));
        let boot = Boot {
            pid1: self.settings.pid1,
            topology: made.topology.as_deref().and_then(|text| text.parse().ok()).unwrap_or(given.topology),
            quorum: Quorum::Size(self.settings.operator.quorum(made, spec.size)),
            // A policy that nobody knows is a fault of the spec.
            scheduler: made.scheduler().unwrap_or(Scheduler::Simple),
            lead: Workload::of(made, self.settings.operator),
            completes_workers: made.completes_workers,
            is_strict: made.is_strict,
            has_dns: *has_dns,
            ..given
        };
        self.brokers.put(name, boot, ctx);
    }

    pub(super) fn reconcile_soon(&mut self, name: Arc<str>, ctx: &mut Context<'_>) {
        let mut drawn = |latency: Distribution| latency.draw(ctx.random, Purpose::Application);
        let timing = self.settings.timing;
        let after = match timing.operator {
            Some(operator) => drawn(operator),
            None => drawn(timing.watch_delivery) + drawn(timing.api_call),
        };
        let at = ctx.now + after;
        self.schedule(at, Timer::Reconcile(name));
    }

    pub(super) fn reconcile(&mut self, name: &Arc<str>, ctx: &mut Context<'_>) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let job = ctx.server.job_by_key(&cluster.key).cloned();
        let namespace = &cluster.key.namespace;
        let plan = self.settings.operator.plan(&Observed {
            key: &cluster.key,
            spec: &cluster.spec,
            status: &cluster.status,
            has_script: cluster.has_script,
            job: job.as_deref(),
            is_own: job.as_ref().is_some_and(|job| cluster.job == Some(job.uid)),
            pods: match self.settings.operator == Operator::Upstream || cluster.spec.cleans_up {
                true => ctx
                    .server
                    .pods()
                    .map(|pod| &**pod)
                    .filter(|pod| pod.key.namespace == *namespace)
                    .collect(),
                false => Vec::new(),
            },
        });
        (cluster.is_seen, cluster.refusal) = (true, plan.refusal);
        if plan.requeues {
            self.requeue(name, ctx.now);
            self.take_service(name, ctx);
        }
        for write in plan.writes {
            if let Err(error) = self.write(name, write, ctx)
                && let Some(cluster) = self.clusters.get_mut(name)
            {
                cluster.refusal = Some(error.to_string());
            }
        }
    }

    /// The work queue takes a name that is added with a back-off, which grows with every time, for nothing is ever forgotten (A.3).
    fn requeue(&mut self, name: &Arc<str>, now: Time) {
        const FIRST: Duration = Duration::from_millis(5);
        const LAST: Duration = Duration::from_secs(1_000);
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let factor = 1_u32.checked_shl(cluster.requeues).unwrap_or(u32::MAX);
        cluster.requeues = cluster.requeues.saturating_add(1);
        let at = now + FIRST.saturating_mul(factor).min(LAST);
        // A name is in the queue once.
        if cluster.requeue.is_none_or(|earlier| at < earlier) {
            cluster.requeue = Some(at);
            self.schedule(at, Timer::Requeue(Arc::clone(name), at));
        }
    }

    /// The original makes the headless service when there is none: of those that share a name, the first, and after that one's end the
    /// next that is reconciled. Its workers find their lead then.
    fn take_service(&mut self, name: &Arc<str>, ctx: &mut Context<'_>) {
        let Some(cluster) = self.clusters.get(name) else { return };
        let (had_dns, service) = (cluster.has_dns, headless_name(&cluster.key, &cluster.made));
        if !self.has_service(name, service) || had_dns {
            return;
        }
        if let Some(cluster) = self.clusters.get_mut(name) {
            cluster.has_dns = true;
        }
        self.furnish(name, ctx);
    }

    /// Whether the headless service of this name leads to the pods of this MiniCluster: it does to those of the first that wants it.
    fn has_service(&mut self, name: &Arc<str>, service: Arc<str>) -> bool {
        let Some(cluster) = self.clusters.get(name) else { return false };
        let service = (Arc::clone(&cluster.key.namespace), service);
        *self.services.entry(service).or_insert_with(|| Arc::clone(name)) == *name
    }

    fn write(&mut self, name: &Arc<str>, write: Write, ctx: &mut Context<'_>) -> Result<(), ApiError> {
        let Some(cluster) = self.clusters.get_mut(name) else { return Ok(()) };
        let (now, actor) = (ctx.now, Actor::Operator);
        match write {
            Write::Script => {
                // The contract fixes the maximum when the MiniCluster is created, the original with its script.
                let spec = match cluster.operator {
                    Operator::Contract => cluster.made.clone(),
                    Operator::Upstream => cluster.spec.clone(),
                };
                let service = headless_name(&cluster.key, &spec);
                (cluster.made, cluster.has_script) = (spec, true);
                let has_dns = self.has_service(name, service);
                if let Some(cluster) = self.clusters.get_mut(name) {
                    cluster.has_dns = has_dns;
                }
                self.furnish(name, ctx);
            }
            Write::CreateJob(mut manifest) => {
                // The original writes its configuration from there, and has it in any case.
                let is_dropped = cluster.operator == Operator::Contract && !cluster.made.has_view;
                if is_dropped || !self.settings.has_view {
                    contract::drop_view(&mut manifest);
                }
                let job = ctx.server.create_job(now, actor, cluster.key.clone(), &manifest)?;
                cluster.job = Some(job.uid);
                self.brokers.serve(name, job.uid);
            }
            Write::UpdateJob(manifest) => {
                ctx.server.update_job(now, actor, &cluster.key, &manifest)?;
            }
            Write::Label(pod, index) => {
                let label = (Arc::from(JOB_INDEX), Some(Arc::from(index)));
                ctx.server.patch_pod(
                    now,
                    actor,
                    pod,
                    &PodPatch { labels: vec![label], ..PodPatch::default() },
                )?;
            }
            Write::Size(size) if cluster.spec.size != size => {
                cluster.spec.size = size;
                self.furnish(name, ctx);
                self.reconcile_soon(Arc::clone(name), ctx);
            }
            Write::Status(status) if cluster.status != status => {
                cluster.status = status;
                self.reconcile_soon(Arc::clone(name), ctx);
            }
            Write::Size(_) | Write::Status(_) => {}
            // It is there.
            Write::Delete => drop(self.delete(name, ctx)),
        }
        Ok(())
    }
}
