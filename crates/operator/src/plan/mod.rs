//! One reconcile as a pure function: what is seen of a MiniCluster, and what is to be done about it.
//!
//! The plan never deletes a Job, and never touches a Job's template: the one change of a Job is its size, completions and parallelism
//! together. An object of a name that the MiniCluster needs, but that belongs to nobody or to another, is left alone and said
//! so in a condition. A size that cannot be had changes nothing (A.8).

mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use towtank_api::{MiniCluster, MiniClusterStatus};

use crate::objects::{self, Created};

/// How long until a name that another has is tried again.
const TAKEN_RETRY: Duration = Duration::from_secs(30);

/// What stands under a name that the MiniCluster needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Found<T> {
    /// Nothing.
    #[default]
    Absent,
    /// An object of the MiniCluster.
    Own(Arc<T>),
    /// An object of a MiniCluster of the same name that was deleted before: it goes by itself.
    Former,
    /// An object of nobody, or of another: left alone.
    Foreign,
}

impl<T> Found<T> {
    /// The object, if it is the MiniCluster's.
    pub fn own(&self) -> Option<&T> {
        match self {
            Self::Own(object) => Some(object),
            _ => None,
        }
    }
}

/// A pod, as far as a decision depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodBrief {
    /// uid of the Job that it belongs to.
    pub job: String,
    /// Its completion index.
    pub index: i32,
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// Its container with Flux, the first, is ready: the broker is online.
    pub is_online: bool,
    /// It is being deleted.
    pub is_leaving: bool,
}

/// What is seen of a MiniCluster.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The MiniCluster.
    pub cluster: Arc<MiniCluster>,
    /// The time.
    pub now: Timestamp,
    /// The ConfigMap.
    pub config_map: Found<ConfigMap>,
    /// The Secret; what is in it decides nothing.
    pub secret: Found<()>,
    /// Services, by name.
    pub services: BTreeMap<String, Found<Service>>,
    /// The pod with the side services.
    pub services_pod: Found<()>,
    /// The Job.
    pub job: Found<Job>,
    /// Pods of the MiniCluster's Job.
    pub pods: Vec<PodBrief>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Creates the ConfigMap.
    CreateConfigMap(Box<ConfigMap>),
    /// Applies the ConfigMap as it must be.
    ApplyConfigMap(Box<ConfigMap>),
    /// Creates the Secret: with this certificate, or with a new one.
    CreateSecret(Option<String>),
    /// Creates a Service.
    CreateService(Box<Service>),
    /// Applies a Service as it must be.
    ApplyService(Box<Service>),
    /// Creates the pod with the side services.
    CreatePod(Box<Pod>),
    /// Creates the Job.
    CreateJob(Box<Job>),
    /// Gives the Job of this uid another size.
    Resize {
        /// uid of the Job: no other of its name.
        uid: String,
        /// The version that was looked at: a decision about an older one, carried out late, must not undo a newer one.
        version: String,
        /// Its size before.
        from: i32,
        /// Completions and parallelism.
        to: i32,
    },
    /// Writes the status.
    Status(Box<MiniClusterStatus>),
    /// Deletes the MiniCluster (`cleanup`).
    Delete,
}

/// Something to tell the user, where he looks for it: an Event of the MiniCluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// It is a warning.
    pub is_warning: bool,
    /// Why, in one word.
    pub reason: String,
    /// What.
    pub message: String,
}

/// What to do about what is seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order; the first that fails ends it.
    pub writes: Vec<Write>,
    /// Events, before the status is written.
    pub notes: Vec<Note>,
    /// When to look again, whatever happens.
    pub requeue: Option<Duration>,
}

/// What of the spec cannot be had, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Names that others have, each with its kind.
    Taken(Vec<(&'static str, String)>),
    /// The names are those of a MiniCluster that is still being deleted.
    Former,
    /// The size is larger than the ranks that brokers were told of.
    OverAsk { size: i32, maximum: i32 },
    /// The spec breaks a rule that the API server should have kept.
    Invalid(String),
    /// A Job that has finished, or is about to, cannot have another size.
    Finished { size: i32, has: i32 },
}

/// What must be done.
pub fn plan(observed: &Observed) -> Plan {
    let cluster = &observed.cluster;
    let mut plan = Plan::default();
    // What belongs to it goes with it.
    if cluster.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let created = created(observed);
    let job = observed.job.own();
    if cluster.spec.cleanup && job.is_some_and(|job| has_ended(job, &observed.pods)) {
        plan.writes.push(Write::Delete);
        return plan;
    }
    let problem = problem(observed, created);
    match &problem {
        Some(Problem::Taken(_) | Problem::Former) => plan.requeue = Some(TAKEN_RETRY),
        Some(Problem::Invalid(_)) => {}
        // The size stays what it is; everything else is kept in order.
        Some(Problem::OverAsk { .. } | Problem::Finished { .. }) | None => {
            let size = match (&problem, job) {
                (None, _) => cluster.spec.size,
                (Some(_), Some(job)) => size_of(job),
                // It was fixed before there was a Job: that is what there can be.
                (Some(_), None) => created.size,
            };
            write_objects(observed, created, size, &mut plan);
        }
    }
    status::write(observed, created, problem.as_ref(), None, &mut plan);
    plan
}

/// What to tell when the API server refuses what [`plan`] wants written: nothing else can be done about it.
pub fn plan_refused(observed: &Observed, why: &str) -> Plan {
    let (created, mut plan) = (created(observed), Plan::default());
    status::write(observed, created, problem(observed, created).as_ref(), Some(why), &mut plan);
    plan
}

/// What was fixed at the creation: kept on the Job, and on the ConfigMap, which is there before it.
fn created(observed: &Observed) -> Created {
    let job = observed.job.own().map(ResourceExt::annotations);
    let config_map = observed.config_map.own().map(ResourceExt::annotations);
    let kept = job.and_then(Created::read).or_else(|| config_map.and_then(Created::read));
    kept.unwrap_or_else(|| Created::of(&observed.cluster.spec))
}

fn problem(observed: &Observed, created: Created) -> Option<Problem> {
    let spec = &observed.cluster.spec;
    if let Some(fault) = fault(&observed.cluster) {
        return Some(Problem::Invalid(fault));
    }
    let name = observed.cluster.name_any();
    let mut taken = Vec::new();
    let mut is_former = false;
    let mut look = |kind: &'static str, name: String, (foreign, former): (bool, bool)| {
        if foreign {
            taken.push((kind, name));
        }
        is_former |= former;
    };
    look("ConfigMap", objects::config_map_name(&name), standing(&observed.config_map));
    look("Secret", objects::secret_name(&name), standing(&observed.secret));
    for (name, service) in &observed.services {
        look("Service", name.clone(), standing(service));
    }
    look("Pod", objects::services_pod_name(&name), standing(&observed.services_pod));
    look("Job", name.clone(), standing(&observed.job));
    if !taken.is_empty() {
        return Some(Problem::Taken(taken));
    }
    if is_former {
        return Some(Problem::Former);
    }
    if spec.size > created.maximum {
        return Some(Problem::OverAsk { size: spec.size, maximum: created.maximum });
    }
    let job = observed.job.own()?;
    let has = size_of(job);
    (is_decided(job) && has != spec.size).then_some(Problem::Finished { size: spec.size, has })
}

fn standing<T>(found: &Found<T>) -> (bool, bool) {
    (matches!(found, Found::Foreign), matches!(found, Found::Former))
}

/// A rule that the API server keeps where the resource's own definition is installed, and without which nothing can be made.
fn fault(cluster: &MiniCluster) -> Option<String> {
    let spec = &cluster.spec;
    if spec.size < 1 {
        return Some(format!("spec.size: {}: must be at least 1", spec.size));
    }
    if let Some(max) = spec.max_size.filter(|max| spec.size > *max) {
        return Some(format!("spec.size: {}: must be no more than maxSize, {max}", spec.size));
    }
    if let Some(min) = spec.min_size.filter(|min| spec.size < *min) {
        return Some(format!("spec.size: {}: must be no less than minSize, {min}", spec.size));
    }
    let running_flux = spec.containers.iter().filter(|container| container.run_flux).count();
    match spec.containers.len() {
        0 => Some("spec.containers: []: one container must run Flux".to_owned()),
        1 => None,
        _ if running_flux == 1 => None,
        _ => {
            Some(format!("spec.containers: {running_flux} with runFlux: exactly one must have runFlux: true"))
        }
    }
}

fn write_objects(observed: &Observed, created: Created, size: i32, plan: &mut Plan) {
    let cluster = &observed.cluster;
    let config_map = objects::config_map(cluster, created, size);
    match observed.config_map.own() {
        None => plan.writes.push(Write::CreateConfigMap(Box::new(config_map))),
        Some(has) if !holds(has, &config_map) => {
            plan.writes.push(Write::ApplyConfigMap(Box::new(config_map)));
        }
        Some(_) => {}
    }
    if observed.secret.own().is_none() {
        let given = &cluster.spec.flux.curve_cert;
        plan.writes.push(Write::CreateSecret((!given.is_empty()).then(|| given.clone())));
    }
    if let (Found::Absent, Some(pod)) = (&observed.services_pod, objects::services_pod(cluster)) {
        plan.writes.push(Write::CreatePod(Box::new(pod)));
    }
    for service in objects::services(cluster) {
        match observed.services.get(&service.name_any()).and_then(Found::own) {
            None => plan.writes.push(Write::CreateService(Box::new(service))),
            Some(has) if !serves(has, &service) => plan.writes.push(Write::ApplyService(Box::new(service))),
            Some(_) => {}
        }
    }
    match observed.job.own() {
        None => {
            plan.writes.push(Write::CreateJob(Box::new(objects::job(cluster, created, size))));
            plan.note(false, "Created", format!("created a cluster of {size}"));
        }
        Some(job) if !has_size(job, size) && job.metadata.deletion_timestamp.is_none() => {
            let (uid, version) = (job.uid().unwrap_or_default(), job.resource_version().unwrap_or_default());
            let from = size_of(job);
            plan.writes.push(Write::Resize { uid, version, from, to: size });
            plan.note(false, "Resized", format!("from {from} to {size}"));
        }
        Some(_) => {}
    }
}

/// The ConfigMap says what it must; keys of others are their own.
fn holds(has: &ConfigMap, wanted: &ConfigMap) -> bool {
    let has = has.data.as_ref();
    wanted.data.iter().flatten().all(|(key, text)| has.and_then(|data| data.get(key)) == Some(text))
}

/// The service leads where it must; what the API server adds is its own.
fn serves(has: &Service, wanted: &Service) -> bool {
    let (Some(has), Some(wanted)) = (&has.spec, &wanted.spec) else { return false };
    let ports = |spec: &k8s_openapi::api::core::v1::ServiceSpec| -> Vec<i32> {
        spec.ports.iter().flatten().map(|port| port.port).collect()
    };
    has.selector == wanted.selector
        && has.publish_not_ready_addresses == wanted.publish_not_ready_addresses
        && ports(has) == ports(wanted)
}

/// The size that the Job was told to have.
pub(crate) fn size_of(job: &Job) -> i32 {
    job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or_default()
}

fn has_size(job: &Job, size: i32) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.completions == Some(size) && spec.parallelism == Some(size))
}

/// The condition with which the Job has finished: its type and message.
fn finish(job: &Job) -> Option<(&str, &str)> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    let finish = conditions.iter().find(|condition| {
        condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
    })?;
    Some((&finish.type_, finish.message.as_deref().unwrap_or_default()))
}

pub(crate) fn is_finished(job: &Job) -> bool {
    finish(job).is_some()
}

/// What the Job ends with is decided: the API server takes another size, and nothing comes of it.
fn is_decided(job: &Job) -> bool {
    const DECIDED: [&str; 4] = ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"];
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.into_iter().flatten().any(|it| it.status == "True" && DECIDED.contains(&it.type_.as_str()))
}

/// The Job has finished, or its lead has succeeded.
fn has_ended(job: &Job, pods: &[PodBrief]) -> bool {
    is_finished(job)
        || pods.iter().any(|pod| {
            pod.index == 0 && pod.phase == "Succeeded" && Some(&pod.job) == job.metadata.uid.as_ref()
        })
}

impl Plan {
    fn note(&mut self, is_warning: bool, reason: &str, message: String) {
        self.notes.push(Note { is_warning, reason: reason.to_owned(), message });
    }
}

#[cfg(test)]
mod tests;
