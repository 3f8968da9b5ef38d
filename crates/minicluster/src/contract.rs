//! What the operator of a MiniCluster must do, as functions without a memory (Flux spec A.4, A.5, A.8),
//! without the defects of the original (A.11).

use std::sync::Arc;

use towtank_model::objects::{CompletionMode, Container, Job, Labels, Pod, PodPhase, PodSpec, PodTemplate};
use towtank_model::server::JobManifest;

use crate::operator::{Observed, Plan, Write};
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
            if job.is_finished() {
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
