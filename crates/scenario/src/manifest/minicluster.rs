//! MiniClusters, `flux-framework.org/v1alpha2`: every field of the resource is known by name, those that decide something in
//! the model are taken over, and others are left behind, as with Jobs (Flux spec A.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::objects::RestartPolicy;

use super::{Place, labels};
use crate::ast::{Manifest, MiniClusterEdit, SourceFile};
use crate::error::{Problem, ScenarioError};
use crate::yaml::de::{Nullable, Strictness, from_node};
use crate::yaml::{Kind, Node};

/// The group and version.
pub(super) const API_VERSION: &str = "flux-framework.org/v1alpha2";

type Text = Option<String>;
type Flag = Option<bool>;
type Other = Option<IgnoredAny>;

/// The resource.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what may be written, though nothing depends on it")]
struct Raw {
    api_version: String,
    kind: String,
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: Option<RawSpec>,
    status: Other,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawSpec {
    containers: Option<Vec<RawContainer>>,
    services: Other,
    size: Option<i32>,
    max_size: Option<i32>,
    min_size: Option<i32>,
    tasks: Option<i32>,
    interactive: Flag,
    cleanup: Flag,
    backoff_limit: Option<i32>,
    deadline_seconds: Option<i64>,
    job_labels: Option<BTreeMap<String, String>>,
    share_process_namespace: Flag,
    archive: Other,
    network: Other,
    logging: Other,
    flux: RawFlux,
    pod: RawPod,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawContainer {
    name: Text,
    image: Text,
    command: Text,
    working_dir: Other,
    ports: Other,
    environment: Other,
    secrets: Other,
    run_flux: Flag,
    launcher: Flag,
    batch: Flag,
    batch_raw: Other,
    logs: Other,
    no_wrap_entrypoint: Other,
    pull_always: Other,
    image_pull_policy: Other,
    image_pull_secret: Other,
    volumes: Other,
    life_cycle: Other,
    resources: Other,
    security_context: Other,
    commands: Other,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawFlux {
    container: Other,
    connect_timeout: Other,
    topology: Text,
    minimal_service: Other,
    complete_workers: Flag,
    submit_command: Other,
    option_flags: Other,
    wrap: Other,
    log_level: Other,
    disable_socket: Other,
    no_wait_socket: Other,
    scheduler: RawScheduler,
    curve_cert: Other,
    broker_config: Other,
    bursting: Other,
    munge_secret: Other,
    arch: Other,
    environment: Other,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawScheduler {
    simple: Flag,
    queue_policy: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawPod {
    annotations: Other,
    labels: Option<BTreeMap<String, String>>,
    restart_policy: Text,
    service_account_name: Other,
    automount_service_account_token: Other,
    runtime_class_name: Other,
    scheduler_name: Other,
    node_selector: Other,
    node_affinity: Other,
    tolerations: Other,
    dns_policy: Other,
    host_ipc: Other,
    host_pid: Other,
    resources: Other,
    security_context: Other,
}

/// Reads a MiniCluster.
pub(super) fn read(at: &Place<'_>) -> Result<Manifest, ScenarioError> {
    let raw: Raw =
        from_node(at.source, at.node, Strictness::Kubernetes).map_err(|m| m.into_error(at.source))?;
    let key = at.key(&raw.metadata)?;
    let spec = raw.spec.ok_or_else(|| at.missing("spec", "", "a MiniCluster says in `spec` what it runs"))?;
    Ok(Manifest::MiniCluster(key, Box::new(convert(&at.inner("spec"), spec)?)))
}

fn convert(at: &Place<'_>, raw: RawSpec) -> Result<MiniClusterSpec, ScenarioError> {
    const POLICIES: &[(&str, RestartPolicy)] = &[
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
        ("Always", RestartPolicy::Always),
    ];
    let containers = raw.containers.unwrap_or_default();
    let played = |container: &RawContainer| container.launcher != Some(true) && container.batch != Some(true);
    if let Some(position) = containers.iter().position(|container| !played(container)) {
        let problem = Problem::Invalid("launchers and batches are not modelled yet".to_owned());
        return Err(at
            .error(&format!("containers.{position}"), problem, "here")
            .with_help("play an interactive MiniCluster, or one with a `command`"));
    }
    let restart_policy = match raw.pod.restart_policy.as_deref() {
        None => RestartPolicy::OnFailure,
        Some(text) => at.word("pod.restartPolicy", "restart policy", text, POLICIES)?,
    };
    let default = MiniClusterSpec::default();
    let is_only = containers.len() == 1;
    Ok(MiniClusterSpec {
        size: raw.size.unwrap_or(default.size),
        max_size: raw.max_size,
        min_size: raw.min_size,
        tasks: raw.tasks.unwrap_or(default.tasks),
        is_interactive: raw.interactive.unwrap_or(false),
        backoff_limit: raw.backoff_limit,
        deadline_s: raw.deadline_seconds.unwrap_or(default.deadline_s),
        job_labels: labels(raw.job_labels),
        pod_labels: labels(raw.pod.labels),
        restart_policy,
        containers: containers
            .into_iter()
            .map(|container| ContainerSpec {
                name: container.name,
                image: container.image.unwrap_or_default(),
                command: container.command,
                runs_flux: is_only || container.run_flux == Some(true),
                is_launcher: false,
                is_batch: false,
            })
            .collect(),
        completes_workers: raw.flux.complete_workers.unwrap_or(false),
        topology: raw.flux.topology,
        queue_policy: raw.flux.scheduler.queue_policy,
        is_scheduler_simple: raw.flux.scheduler.simple.unwrap_or(false),
    })
}

/// The sizes: all that can change while brokers run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEdit {
    #[serde(default)]
    size: Option<i32>,
    #[serde(default)]
    max_size: Option<Nullable<i32>>,
    #[serde(default)]
    min_size: Option<Nullable<i32>>,
}

/// Reads a merge patch of a MiniCluster's spec.
pub(crate) fn read_patch(source: &Arc<SourceFile>, node: &Node) -> Result<MiniClusterEdit, ScenarioError> {
    let help = "sizes are what can change: `spec: {size: 3}`";
    if !matches!(node.kind, Kind::Map(_)) {
        let problem = Problem::WrongType { expected: "a mapping".to_owned(), found: node.in_words() };
        return Err(ScenarioError::new(source, node.span.clone(), problem, "here").with_help(help));
    }
    let raw: RawEdit = from_node(source, node, Strictness::Scenario).map_err(|m| m.into_error(source))?;
    let edit = MiniClusterEdit {
        size: raw.size,
        max_size: raw.max_size.map(Nullable::into_option),
        min_size: raw.min_size.map(Nullable::into_option),
    };
    if edit == MiniClusterEdit::default() {
        let problem = Problem::Invalid("the patch changes nothing".to_owned());
        return Err(ScenarioError::new(source, node.span.clone(), problem, "here").with_help(help));
    }
    Ok(edit)
}
