//! What the operator of a MiniCluster must do, as functions without a memory (Flux spec A.4, A.5, A.8),
//! without the defects of the original (A.11).

use std::sync::Arc;

use towtank_flux::Idset;
use towtank_model::objects::{
    CompletionMode, Container, Job, JobConditionType, Labels, Pod, PodPhase, PodSpec, PodTemplate,
};
use towtank_model::server::JobManifest;

use crate::operator::{Observed, Plan, Status, Write};
use crate::spec::{ContainerSpec, MiniClusterSpec};

/// The Job's back-off limit when none is given.
pub(crate) const BACKOFF_LIMIT: i32 = 100;

/// One reconcile: the Job is there, it is the MiniCluster's own, and has its size.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let Observed { key, spec, .. } = *observed;
    let refused = |refusal: String| Plan { refusal: Some(refusal), ..Plan::default() };
    let mut writes = Vec::new();
    if !observed.has_script {
        writes.push(Write::Script);
    }
    match observed.job {
        None => writes.push(Write::CreateJob(Box::new(job(&key.name, spec)))),
        Some(_) if !observed.is_own => {
            return refused(format!(
                "Job `{}` is there already, and nobody made it for this MiniCluster: delete it, or choose another name",
                key.name
            ));
        }
        Some(job) if spec.cleans_up && (job.is_finished() || lead_has_succeeded(job, observed)) => {
            writes.push(Write::Delete);
        }
        Some(job) if !has_size(job, spec.size) => {
            // The API server would take it, and nothing would come of it.
            if job.is_decided() {
                return refused(format!(
                    "spec.size: {}: Job `{}` has finished: delete the MiniCluster and apply it again",
                    spec.size, key.name
                ));
            }
            writes.push(Write::UpdateJob(Box::new(resized(spec.size))));
        }
        Some(_) => {}
    }
    Plan { writes, ..Plan::default() }
}

/// What the status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// `spec.size`.
    pub wanted: i32,
    /// Ranks that every broker was told of, since the creation.
    pub maximum: i32,
    /// The Job of its name.
    pub job: Option<&'a Job>,
    /// It was made for this MiniCluster.
    pub is_own: bool,
    /// Ranks whose brokers are online.
    pub online: &'a Idset,
}

/// The status: what is, never what was merely asked for. Conditions that are True:
///
/// * `Ready`: all pods that are wanted and have not succeeded are online.
/// * `Progressing`: on the way to that: the Job is to come, or to change, or pods come or go.
/// * `Degraded`: the Job has failed, or is not the MiniCluster's own: it does not mend by itself.
/// * `ScalingLimited`: the size cannot be had, and nothing was changed.
pub fn status(standing: &Standing<'_>) -> Status {
    let Standing { wanted, maximum, job, is_own, online } = *standing;
    let own = job.filter(|_| is_own);
    let size = own.and_then(|job| job.spec.completions).unwrap_or(0);
    let below = u32::try_from(size).unwrap_or(0);
    let there = online.intersection(&Idset::below(below)).len();
    let has_surplus = online.last().is_some_and(|last| last >= below);
    let there = i32::try_from(there).unwrap_or(i32::MAX);
    let finished = own.is_some_and(Job::is_finished);
    let decided = own.is_some_and(Job::is_decided);
    let suspended = own.is_some_and(|job| job.spec.suspend);
    let has_failed = own.is_some_and(|job| job.status.true_condition(JobConditionType::Failed).is_some());
    let is_taken = job.is_some() && !is_own;
    let missing = (size - own.map_or(0, |job| job.status.succeeded)).max(0) > there;
    let is_ready = own.is_some() && !finished && !missing;
    let goes_on = !is_taken
        && !finished
        && (own.is_none() || (missing && !suspended) || has_surplus || (size != wanted && !decided));
    let conditions = [
        (is_ready, "Ready"),
        (goes_on, "Progressing"),
        (is_taken || has_failed, "Degraded"),
        (decided && size != wanted, "ScalingLimited"),
    ];
    Status {
        size,
        ready: own.and_then(|job| job.status.ready).unwrap_or(0),
        online: there,
        completed_indexes: own.map_or_else(String::new, |job| job.status.completed_indexes.to_string()),
        maximum_size: maximum,
        conditions: conditions.into_iter().filter_map(|(is_true, kind)| is_true.then_some(kind)).collect(),
    }
}

fn lead_has_succeeded(job: &Job, observed: &Observed<'_>) -> bool {
    let is_lead = |pod: &Pod| {
        pod.owner.as_ref().is_some_and(|owner| owner.uid == job.uid) && pod.index.get() == Some(0)
    };
    observed.pods.iter().any(|pod| is_lead(pod) && pod.status.phase == PodPhase::Succeeded)
}

/// The Job of a MiniCluster: Indexed, as many completions and pods as its size.
pub fn job(name: &str, spec: &MiniClusterSpec) -> JobManifest {
    let mut labels = Labels::from([
        ("app".into(), "flux-operator".into()),
        ("app.kubernetes.io/name".into(), name.into()),
        ("hpa-selector".into(), name.into()),
    ]);
    labels.extend(spec.pod_labels.clone());
    let named = |name: String| Container { name: name.into(), cpu_request_milli: 0, is_sidecar: false };
    let container = |(position, container): (usize, &ContainerSpec)| {
        named(container.name.clone().unwrap_or_else(|| format!("{name}-{position}")))
    };
    // It copies Flux into the pod.
    let view = named("flux-view".to_owned());
    // The container with Flux comes first: its process decides.
    let mut containers: Vec<_> = spec.containers.iter().enumerate().collect();
    containers.sort_by_key(|(_, container)| !container.runs_flux);
    let pod = PodSpec {
        restart_policy: spec.restart_policy,
        containers: containers.into_iter().map(container).collect(),
        init_containers: vec![view],
        ..PodSpec::default()
    };
    let template = PodTemplate { labels: Arc::new(labels), spec: Arc::new(pod), ..PodTemplate::default() };
    JobManifest {
        labels: spec.job_labels.clone(),
        parallelism: Some(spec.size),
        completions: Some(spec.size),
        completion_mode: Some(CompletionMode::Indexed),
        backoff_limit: Some(spec.backoff_limit.unwrap_or(BACKOFF_LIMIT)),
        active_deadline_seconds: Some(spec.deadline_s),
        template: Some(Arc::new(template)),
        ..JobManifest::default()
    }
}

/// Flux is in the image, and no init container copies it into the pods.
pub(crate) fn drop_view(job: &mut JobManifest) {
    if let Some(template) = &mut job.template {
        let template = Arc::make_mut(template);
        Arc::make_mut(&mut template.spec).init_containers.clear();
    }
}

/// The Job is as large as this.
pub(crate) fn has_size(job: &Job, size: i32) -> bool {
    job.spec.parallelism == size && job.spec.completions == Some(size)
}

/// A Job of another size: parallelism and completions together, so that the last index goes or a new last one comes.
pub fn resized(size: i32) -> JobManifest {
    JobManifest { parallelism: Some(size), completions: Some(size), ..JobManifest::default() }
}

/// Ranks that must be online before a lead that starts now runs: `minSize`; else the size when the script was made. Never more
/// than are wanted now, so that a lead that starts again in a smaller cluster does not wait for ever.
pub(crate) fn quorum(made: &MiniClusterSpec, size: i32) -> i32 {
    made.min_size.unwrap_or(made.size).min(size)
}
