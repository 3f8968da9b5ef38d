//! What the operator of a MiniCluster must do, as functions without a memory (Flux spec A.4, A.5, A.8).

use std::sync::Arc;

use towtank_flux::hostlist::Hostlist;
use towtank_model::objects::{CompletionMode, Container, Labels, PodSpec, PodTemplate};
use towtank_model::server::JobManifest;

use crate::spec::{ContainerSpec, MiniClusterSpec};

/// The Job's back-off limit when none is given.
const BACKOFF_LIMIT: i32 = 100;

/// The Job of a MiniCluster: Indexed, as many completions and pods as its size. Without a view, Flux is in the image.
pub fn job(name: &str, spec: &MiniClusterSpec, has_view: bool) -> JobManifest {
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
    let view = has_view.then(|| named("flux-view".to_owned()));
    // The container with Flux comes first: its process decides.
    let mut containers: Vec<_> = spec.containers.iter().enumerate().collect();
    containers.sort_by_key(|(_, container)| !container.runs_flux);
    let pod = PodSpec {
        restart_policy: spec.restart_policy,
        containers: containers.into_iter().map(container).collect(),
        init_containers: view.into_iter().collect(),
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

/// A Job of another size: parallelism and completions together, so that the last index goes or a new last one comes.
pub fn resized(size: i32) -> JobManifest {
    JobManifest { parallelism: Some(size), completions: Some(size), ..JobManifest::default() }
}

/// The hosts of all ranks, those that no pod runs included: rank = position = completion index.
pub fn hosts(name: &str, maximum: i32) -> Hostlist {
    (0..maximum).map(|index| format!("{name}-{index}")).collect()
}

/// Ranks that must be online before the lead runs (A.5): `minSize`; all, where size and maximum are the same; else the size at
/// the creation.
pub fn quorum(spec: &MiniClusterSpec) -> u32 {
    let ranks = spec.min_size.unwrap_or(spec.size);
    u32::try_from(ranks).unwrap_or(1).max(1)
}
