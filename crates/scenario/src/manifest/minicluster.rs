//! MiniClusters, `flux-framework.org/v1alpha2`: every field has the type that the resource definition gives it, those that
//! decide something in the model are taken over, and others are only checked, and kept to tell whether they change (Flux spec A.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Deserialize;
use towtank_minicluster::spec::{
    BurstedCluster, Bursting, Commands, ContainerSpec, Fault, MiniClusterSpec, Volume,
};
use towtank_minicluster::workload;
use towtank_model::objects::RestartPolicy;

use super::{Place, labels};
use crate::ast::{Manifest, MiniClusterEdit, MiniClusterManifest, SourceFile};
use crate::error::{Problem, ScenarioError};
use crate::yaml::de::{Nullable, Strictness, from_node};
use crate::yaml::{Kind, Node};

/// The group and version.
pub(super) const API_VERSION: &str = "flux-framework.org/v1alpha2";

type Text = Option<String>;
type Flag = Option<bool>;
type Texts = Option<BTreeMap<String, String>>;

/// The resource.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what may be written, though nothing depends on it")]
struct Raw {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Option<RawSpec>,
    status: Option<RawStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawStatus {
    size: Option<i32>,
    selector: Text,
    jobid: Text,
    maximum_size: Option<i32>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawSpec {
    containers: Option<Vec<RawContainer>>,
    resource_claims: Option<Vec<core::PodResourceClaim>>,
    services: Option<Vec<RawContainer>>,
    size: Option<i32>,
    max_size: Option<i32>,
    min_size: Option<i32>,
    tasks: Option<i32>,
    interactive: Flag,
    cleanup: Flag,
    backoff_limit: Option<i32>,
    deadline_seconds: Option<i64>,
    job_labels: Texts,
    share_process_namespace: Flag,
    archive: RawArchive,
    network: RawNetwork,
    logging: RawLogging,
    flux: RawFlux,
    pod: RawPod,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawArchive {
    path: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawNetwork {
    headless_name: Text,
    disable_affinity: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawLogging {
    quiet: Flag,
    strict: Flag,
    debug: Flag,
    zeromq: Flag,
    timed: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawContainer {
    name: Text,
    image: Text,
    command: Text,
    working_dir: Text,
    ports: Option<Vec<i32>>,
    environment: Texts,
    secrets: Option<BTreeMap<String, RawSecret>>,
    run_flux: Flag,
    launcher: Flag,
    batch: Flag,
    batch_raw: Flag,
    logs: Text,
    no_wrap_entrypoint: Flag,
    pull_always: Flag,
    image_pull_policy: Text,
    image_pull_secret: Text,
    volumes: Option<BTreeMap<String, RawVolume>>,
    life_cycle: RawLifeCycle,
    resources: Option<core::ResourceRequirements>,
    security_context: Option<core::SecurityContext>,
    commands: RawCommands,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "checked and left behind")]
struct RawSecret {
    name: String,
    key: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawVolume {
    path: Text,
    host_path: Text,
    config_map_name: Text,
    items: Texts,
    claim_name: Text,
    secret_name: Text,
    read_only: Flag,
    empty_dir: Flag,
    empty_dir_medium: Text,
    empty_dir_size_limit: Text,
    #[serde(rename = "csiDriver")]
    csi_driver: Text,
    #[serde(rename = "csiDriverAttributes")]
    csi_driver_attributes: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawLifeCycle {
    post_start_exec: Text,
    pre_stop_exec: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawCommands {
    prefix: Text,
    script: Text,
    init: Text,
    pre: Text,
    post: Text,
    worker_pre: Text,
    broker_pre: Text,
    service_pre: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawFlux {
    container: RawFluxContainer,
    connect_timeout: Text,
    topology: Text,
    minimal_service: Flag,
    complete_workers: Flag,
    submit_command: Text,
    option_flags: Text,
    wrap: Text,
    log_level: Option<i32>,
    disable_socket: Flag,
    no_wait_socket: Flag,
    scheduler: RawScheduler,
    curve_cert: Text,
    broker_config: Text,
    bursting: RawBursting,
    munge_secret: Text,
    arch: Text,
    environment: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawFluxContainer {
    image: Text,
    name: Text,
    mount_path: Text,
    disable: Flag,
    pull_always: Flag,
    working_dir: Text,
    python_path: Text,
    resources: Option<core::ResourceRequirements>,
    security_context: Option<core::SecurityContext>,
    image_pull_secret: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawScheduler {
    simple: Flag,
    queue_policy: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawBursting {
    lead_broker: Option<RawLeadBroker>,
    hostlist: Text,
    clusters: Option<Vec<RawBurstedCluster>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "checked and refused: no child of another cluster's lead is played")]
struct RawLeadBroker {
    address: String,
    name: String,
    size: i32,
    #[serde(default)]
    port: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawBurstedCluster {
    name: Text,
    size: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawPod {
    annotations: Texts,
    labels: Texts,
    restart_policy: Text,
    service_account_name: Text,
    automount_service_account_token: Flag,
    runtime_class_name: Text,
    scheduler_name: Text,
    node_selector: Texts,
    node_affinity: Option<BTreeMap<String, Vec<String>>>,
    tolerations: Option<Vec<RawToleration>>,
    #[serde(rename = "dnsPolicy")]
    dns_policy: Text,
    #[serde(rename = "hostIPC")]
    host_ipc: Flag,
    #[serde(rename = "hostPID")]
    host_pid: Flag,
    resources: Option<BTreeMap<String, Quantity>>,
    security_context: Option<core::PodSecurityContext>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawToleration {
    key: Text,
    effect: Text,
    operator: Text,
    value: Text,
}

/// Fields of `spec` that the model takes over, or that may change; `*` stands for any part.
const TAKEN: &[&str] = &[
    "size",
    "maxSize",
    "minSize",
    "tasks",
    "interactive",
    "cleanup",
    "backoffLimit",
    "deadlineSeconds",
    "jobLabels.*",
    "network.headlessName",
    "logging.strict",
    "pod.labels.*",
    "pod.restartPolicy",
    "flux.completeWorkers",
    "flux.container.disable",
    "flux.topology",
    "flux.scheduler.*",
    "flux.bursting.*",
    "containers.*.name",
    "containers.*.image",
    "containers.*.command",
    "containers.*.runFlux",
    "containers.*.launcher",
    "containers.*.batch",
    "containers.*.batchRaw",
    "services.*.name",
    "services.*.image",
    "services.*.command",
];

/// Fields with a default that is not empty: to write it is to write nothing.
const DEFAULTS: &[(&str, &str)] = &[("flux.connectTimeout", "\"5s\""), ("flux.logLevel", "6")];

/// Reads a MiniCluster. With it comes the first of its rules that it does not keep: the operator refuses it, and a scenario may
/// want to see that.
pub(super) fn read(at: &Place<'_>) -> Result<(Manifest, Option<ScenarioError>), ScenarioError> {
    let raw: Raw =
        from_node(at.source, at.node, Strictness::Kubernetes).map_err(|m| m.into_error(at.source))?;
    let key = at.key(&raw.metadata)?;
    let spec = raw.spec.ok_or_else(|| at.missing("spec", "", "a MiniCluster says in `spec` what it runs"))?;
    let spec = convert(&at.inner("spec"), spec)?;
    let fault = spec.faults().into_iter().next().map(|fault| broken(at, &fault));
    let manifest = MiniClusterManifest { spec, object: at.node.to_json() };
    Ok((Manifest::MiniCluster(key, Box::new(manifest)), fault))
}

/// A rule that is not kept, at its field.
fn broken(at: &Place<'_>, fault: &Fault) -> ScenarioError {
    let path = fault.field.replace('[', ".").replace(']', "");
    at.error(&path, Problem::Invalid(fault.to_string()), "the operator refuses this")
        .with_help("a step that expects `refused: {…}` may apply it, to show that")
}

/// Texts that are empty are not there, as in the original.
fn filled(text: Text) -> Text {
    text.filter(|text| !text.is_empty())
}

fn convert(at: &Place<'_>, raw: RawSpec) -> Result<MiniClusterSpec, ScenarioError> {
    const POLICIES: &[(&str, RestartPolicy)] = &[
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
        ("Always", RestartPolicy::Always),
    ];
    let containers: Vec<_> = raw.containers.unwrap_or_default().into_iter().map(container).collect();
    let is_only = containers.len() == 1;
    let only =
        |container: ContainerSpec| ContainerSpec { runs_flux: is_only || container.runs_flux, ..container };
    let restart_policy = match filled(raw.pod.restart_policy).as_deref() {
        None => RestartPolicy::OnFailure,
        Some(text) => at.word("pod.restartPolicy", "restart policy", text, POLICIES)?,
    };
    let default = MiniClusterSpec::default();
    let spec = MiniClusterSpec {
        size: raw.size.unwrap_or(default.size),
        max_size: raw.max_size,
        min_size: raw.min_size,
        tasks: raw.tasks.unwrap_or(default.tasks),
        is_interactive: raw.interactive.unwrap_or(false),
        cleans_up: raw.cleanup.unwrap_or(false),
        backoff_limit: raw.backoff_limit,
        deadline_s: raw.deadline_seconds.unwrap_or(default.deadline_s),
        job_labels: labels(raw.job_labels),
        pod_labels: labels(raw.pod.labels),
        restart_policy,
        containers: containers.into_iter().map(only).collect(),
        services: raw.services.unwrap_or_default().into_iter().map(container).collect(),
        is_strict: raw.logging.strict.unwrap_or(false),
        headless_name: filled(raw.network.headless_name),
        has_view: !raw.flux.container.disable.unwrap_or(false),
        completes_workers: raw.flux.complete_workers.unwrap_or(false),
        topology: filled(raw.flux.topology),
        queue_policy: filled(raw.flux.scheduler.queue_policy),
        is_scheduler_simple: raw.flux.scheduler.simple.unwrap_or(false),
        bursting: bursting(at, raw.flux.bursting)?,
        others: others(at.node),
    };
    check_command(at, &spec)?;
    Ok(spec)
}

/// What the lead runs must be something whose end the model knows.
fn check_command(at: &Place<'_>, spec: &MiniClusterSpec) -> Result<(), ScenarioError> {
    let position = spec.containers.iter().position(|container| container.runs_flux).unwrap_or(0);
    let place = format!("containers.{position}");
    if let Some(container) = spec.flux_container().filter(|_| !spec.is_interactive)
        && container.command.is_none()
        && container.commands.script.is_some()
    {
        let help = "write `launcher: true` and the script as `command`";
        return Err(not_played(at, &format!("{place}.commands.script"), "scripts", help));
    }
    workload::check(spec).map_err(|error| {
        let problem = Problem::Invalid(error.to_string());
        at.error(&format!("{place}.command"), problem, "cannot be played").with_help(
            "write how long it takes, `sleep 30`, or how it ends, `true`, `false`, `sh -c 'exit 3'`; a launcher may have lines of \
             `flux submit …`, `flux queue idle` and `sleep 30`",
        )
    })
}

fn not_played(at: &Place<'_>, path: &str, what: &str, help: &str) -> ScenarioError {
    at.error(path, Problem::Invalid(format!("{what} are not modelled yet")), "here").with_help(help)
}

fn bursting(at: &Place<'_>, raw: RawBursting) -> Result<Bursting, ScenarioError> {
    let clusters: Vec<_> = raw.clusters.unwrap_or_default().into_iter().map(bursted).collect();
    let hostlist = filled(raw.hostlist);
    if hostlist.is_some() && clusters.is_empty() {
        let help = "name the clusters in `flux.bursting.clusters`: their hosts come after this cluster's own";
        return Err(not_played(at, "flux.bursting.hostlist", "hosts of other names", help));
    }
    if raw.lead_broker.is_some_and(|lead| !lead.address.is_empty()) {
        let help = "play the cluster of the lead: its `flux.bursting.clusters` are ranks that are down";
        return Err(not_played(at, "flux.bursting.leadBroker", "children of another cluster's lead", help));
    }
    Ok(Bursting { hostlist, clusters })
}

fn bursted(raw: RawBurstedCluster) -> BurstedCluster {
    BurstedCluster { name: filled(raw.name), size: raw.size.filter(|size| *size != 0) }
}

fn container(raw: RawContainer) -> ContainerSpec {
    let volumes = raw.volumes.unwrap_or_default().into_iter();
    ContainerSpec {
        name: filled(raw.name),
        image: raw.image.unwrap_or_default(),
        command: filled(raw.command),
        runs_flux: raw.run_flux.unwrap_or(false),
        is_launcher: raw.launcher.unwrap_or(false),
        is_batch: raw.batch.unwrap_or(false),
        is_batch_raw: raw.batch_raw.unwrap_or(false),
        commands: Commands {
            script: filled(raw.commands.script),
            pre: filled(raw.commands.pre),
            worker_pre: filled(raw.commands.worker_pre),
            broker_pre: filled(raw.commands.broker_pre),
        },
        volumes: volumes.map(|(name, volume)| (name, self::volume(volume))).collect(),
    }
}

/// Secrets and config maps need no path.
fn volume(raw: RawVolume) -> Volume {
    if filled(raw.secret_name).is_some() || filled(raw.config_map_name).is_some() {
        return Volume::default();
    }
    Volume { path: filled(raw.path), host_path: filled(raw.host_path), claim_name: filled(raw.claim_name) }
}

/// What is written in fields that the model does not take over, by path. Empty values are left out: a field that is not there
/// has them.
fn others(spec: &Node) -> BTreeMap<String, String> {
    fn collect(path: &str, value: &serde_json::Value, found: &mut BTreeMap<String, String>) {
        use serde_json::Value;
        let inner = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| collect(&inner(name), value, found))
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(position, value)| collect(&inner(&position.to_string()), value, found));
            }
            Value::Null | Value::Bool(false) => {}
            Value::Number(number) if number.as_f64() == Some(0.0) => {}
            Value::String(text) if text.is_empty() => {}
            value => {
                let text = value.to_string();
                let is_default = DEFAULTS.iter().any(|(field, default)| *field == path && *default == text);
                if !is_default && !TAKEN.iter().any(|field| covers(field, path)) {
                    found.insert(path.to_owned(), text);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    collect("", &spec.to_json(), &mut found);
    found
}

/// `pattern` is `path`, or one around it; `*` in it is any part.
fn covers(pattern: &str, path: &str) -> bool {
    let mut path = path.split('.');
    pattern.split('.').all(|part| path.next().is_some_and(|other| part == "*" || part == other))
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
