//! Pods: those with brokers, and the one with the side services (A.4).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container as PodContainer, ContainerPort,
    EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, Lifecycle, LifecycleHandler,
    LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
    PodAffinity, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, Probe, ResourceRequirements,
    SecretKeySelector, SecretVolumeSource, SecurityContext, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use towtank_api::{Container, MiniCluster, MiniClusterSpec, Quantity, Resources};

use super::broker::some_or;
use super::volumes::Volumes;
use super::{
    CURVE, HPA_LABEL, NAME_LABEL, SCRIPTS, SERVICES_LABEL, config_map_name, container_name, flux_position,
    headless_name, labels, metadata, secret_name, services_pod_name, sidecars, some, some_map,
};

/// Volume with the software that Flux's view links to.
const SOFTWARE: &str = "spack-software";
/// Seconds between looks at whether a broker is online.
const PROBE_SECONDS: i32 = 5;

/// Labels of the pods with brokers; the operator's own win.
pub(super) fn labels_of_brokers(cluster: &MiniCluster) -> BTreeMap<String, String> {
    let name = cluster.name_any();
    let mut all = cluster.spec.pod.labels.clone();
    all.extend(labels(&[("app", "flux-operator"), (NAME_LABEL, &name), (HPA_LABEL, &name)]));
    all
}

/// A pod with a broker.
pub(super) fn brokers(cluster: &MiniCluster) -> PodSpec {
    let (spec, name) = (&cluster.spec, cluster.name_any());
    let view = &spec.flux.container;
    let mut volumes = Volumes::default();
    volumes.declared.push(empty_dir(&view.name));
    if !view.disable {
        volumes.declared.push(empty_dir(SOFTWARE));
    }
    volumes.declared.push(scripts(&name));
    volumes.declared.push(certificate(&name));
    let flux = flux_position(spec);
    let mut containers = Vec::new();
    if let Some(container) = spec.containers.get(flux) {
        containers.push(with_broker(cluster, flux, container, &mut volumes));
    }
    // The one with Flux comes first: its process decides.
    for (position, container) in sidecars(spec) {
        let script = format!("{SCRIPTS}/start-{position}.sh");
        let mut made = plain(&name, position, container, &script, &mut volumes);
        made.volume_mounts.get_or_insert_default().extend(mounts_of_flux(spec));
        containers.push(made);
    }
    let mut pod = pod_spec(cluster, &spec.containers);
    pod.containers = containers;
    pod.init_containers = (!view.disable).then(|| vec![init(spec)]);
    pod.volumes = Some(volumes.declared);
    pod.restart_policy = Some(some_or(&spec.pod.restart_policy, "OnFailure").to_owned());
    pod.affinity = affinity(cluster);
    pod
}

/// The pod with the side services, if there are any.
pub fn services_pod(cluster: &MiniCluster) -> Option<Pod> {
    let (spec, name) = (&cluster.spec, cluster.name_any());
    if spec.services.is_empty() {
        return None;
    }
    let mut volumes = Volumes::default();
    volumes.declared.push(scripts(&name));
    let containers = spec.services.iter().enumerate().map(|(position, container)| {
        let script = format!("{SCRIPTS}/service-{position}.sh");
        let mut made = plain(&name, position, container, &script, &mut volumes);
        made.volume_mounts.get_or_insert_default().push(mount(SCRIPTS_VOLUME, SCRIPTS, true));
        made
    });
    let containers: Vec<_> = containers.collect();
    let mut pod = pod_spec(cluster, &spec.services);
    pod.containers = containers;
    pod.volumes = Some(volumes.declared);
    pod.hostname = Some(services_pod_name(&name));
    pod.restart_policy = Some("Always".to_owned());
    let mut metadata = metadata(cluster, services_pod_name(&name));
    metadata.annotations = some_map(&spec.pod.annotations);
    metadata
        .labels
        .get_or_insert_default()
        .extend(labels(&[("app", "flux-operator"), (SERVICES_LABEL, &name)]));
    Some(Pod { metadata, spec: Some(pod), ..Pod::default() })
}

/// What all pods have in common.
fn pod_spec(cluster: &MiniCluster, containers: &[Container]) -> PodSpec {
    let (spec, pod) = (&cluster.spec, &cluster.spec.pod);
    let mut secrets: Vec<String> =
        containers.iter().map(|container| container.image_pull_secret.clone()).collect();
    secrets.push(spec.flux.container.image_pull_secret.clone());
    secrets.sort();
    secrets.dedup();
    let secrets: Vec<_> = secrets
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| LocalObjectReference { name })
        .collect();
    let fs_group = pod.security_context.as_ref().and_then(|context| context.fs_group);
    PodSpec {
        subdomain: Some(headless_name(cluster)),
        set_hostname_as_fqdn: Some(false),
        share_process_namespace: spec.share_process_namespace.then_some(true),
        service_account_name: some(&pod.service_account_name),
        automount_service_account_token: pod.automount_service_account_token,
        runtime_class_name: some(&pod.runtime_class_name),
        scheduler_name: some(&pod.scheduler_name),
        node_selector: some_map(&pod.node_selector),
        tolerations: (!pod.tolerations.is_empty()).then(|| pod.tolerations.clone()),
        dns_policy: some(&pod.dns_policy),
        host_ipc: pod.host_ipc.then_some(true),
        host_pid: pod.host_pid.then_some(true),
        overhead: amounts(&pod.resources),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        security_context: fs_group
            .map(|fs_group| PodSecurityContext { fs_group: Some(fs_group), ..PodSecurityContext::default() }),
        ..PodSpec::default()
    }
}

/// The container with the broker.
fn with_broker(
    cluster: &MiniCluster,
    position: usize,
    container: &Container,
    volumes: &mut Volumes,
) -> PodContainer {
    let spec = &cluster.spec;
    let mut made = base(&cluster.name_any(), position, container, volumes);
    made.command = Some(command(&["/bin/bash", &format!("{SCRIPTS}/entrypoint.sh")]));
    let mounts = made.volume_mounts.get_or_insert_default();
    mounts.extend(mounts_of_flux(spec));
    mounts.push(mount(CURVE_VOLUME, CURVE, true));
    // Ready is the pod whose broker is online.
    made.readiness_probe = Some(Probe {
        exec: Some(ExecAction { command: Some(command(&["/bin/bash", &format!("{SCRIPTS}/ready.sh")])) }),
        period_seconds: Some(PROBE_SECONDS),
        timeout_seconds: Some(PROBE_SECONDS),
        failure_threshold: Some(2),
        ..Probe::default()
    });
    made
}

/// A container without a broker: it waits for Flux, unless it is told not to.
fn plain(
    cluster: &str,
    position: usize,
    container: &Container,
    script: &str,
    volumes: &mut Volumes,
) -> PodContainer {
    let mut made = base(cluster, position, container, volumes);
    made.command = match (container.no_wrap_entrypoint, container.command.as_str()) {
        (false, _) => Some(command(&["/bin/bash", script])),
        // Its image says what it runs.
        (true, "") => None,
        (true, text) => Some(command(&["/bin/bash", "-c", text])),
    };
    made
}

fn base(cluster: &str, position: usize, container: &Container, volumes: &mut Volumes) -> PodContainer {
    let mut env: Vec<EnvVar> = container
        .environment
        .iter()
        .map(|(name, value)| EnvVar { name: name.clone(), value: Some(value.clone()), ..EnvVar::default() })
        .collect();
    env.extend(container.secrets.iter().map(|(name, secret)| EnvVar {
        name: name.clone(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.name.clone(),
                key: secret.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }));
    let ports: Vec<_> = container
        .ports
        .iter()
        .map(|port| ContainerPort {
            container_port: *port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        })
        .collect();
    PodContainer {
        name: container_name(cluster, position, container),
        image: Some(container.image.clone()),
        image_pull_policy: some(&container.image_pull_policy)
            .or(container.pull_always.then(|| "Always".to_owned())),
        working_dir: some(&container.working_dir),
        env: (!env.is_empty()).then_some(env),
        ports: (!ports.is_empty()).then_some(ports),
        volume_mounts: Some(volumes.mounts(container, position)),
        lifecycle: lifecycle(container),
        resources: resources(&container.resources),
        security_context: security(&container.security_context),
        ..PodContainer::default()
    }
}

/// It copies Flux into the pod.
fn init(spec: &MiniClusterSpec) -> PodContainer {
    let view = &spec.flux.container;
    PodContainer {
        name: view.name.clone(),
        image: Some(view.image.clone()),
        image_pull_policy: view.pull_always.then(|| "Always".to_owned()),
        working_dir: some(&view.working_dir),
        command: Some(command(&["/bin/bash", &format!("{SCRIPTS}/init.sh")])),
        volume_mounts: Some(vec![
            mount(&view.name, &view.mount_path, false),
            mount(SOFTWARE, "/opt/software-copy", false),
            mount(SCRIPTS_VOLUME, SCRIPTS, true),
        ]),
        resources: resources(&view.resources),
        security_context: security(&view.security_context),
        ..PodContainer::default()
    }
}

const SCRIPTS_VOLUME: &str = "flux-operator-scripts";
const CURVE_VOLUME: &str = "flux-operator-curve";

fn mounts_of_flux(spec: &MiniClusterSpec) -> Vec<VolumeMount> {
    let view = &spec.flux.container;
    let mut mounts = vec![mount(&view.name, &view.mount_path, false), mount(SCRIPTS_VOLUME, SCRIPTS, true)];
    if !view.disable {
        mounts.push(mount(SOFTWARE, "/opt/software", false));
    }
    mounts
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn empty_dir(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

fn scripts(cluster: &str) -> Volume {
    Volume {
        name: SCRIPTS_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map_name(cluster),
            default_mode: Some(0o755),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn certificate(cluster: &str) -> Volume {
    Volume {
        name: CURVE_VOLUME.to_owned(),
        // Whoever the container runs as must read it; the script makes a copy that others cannot read.
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret_name(cluster)),
            default_mode: Some(0o444),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn lifecycle(container: &Container) -> Option<Lifecycle> {
    let hook = |text: &str| {
        some(text).map(|text| LifecycleHandler {
            exec: Some(ExecAction { command: Some(command(&["/bin/bash", "-c", &text])) }),
            ..LifecycleHandler::default()
        })
    };
    let life = &container.life_cycle;
    let made = Lifecycle {
        post_start: hook(&life.post_start_exec),
        pre_stop: hook(&life.pre_stop_exec),
        ..Lifecycle::default()
    };
    (made != Lifecycle::default()).then_some(made)
}

fn resources(wanted: &Resources) -> Option<ResourceRequirements> {
    let made = ResourceRequirements {
        limits: amounts(&wanted.limits),
        requests: amounts(&wanted.requests),
        ..ResourceRequirements::default()
    };
    (made != ResourceRequirements::default()).then_some(made)
}

fn amounts(amounts: &BTreeMap<String, Quantity>) -> Option<BTreeMap<String, Amount>> {
    let amount = |quantity: &Quantity| match quantity {
        IntOrString::Int(number) => Amount(number.to_string()),
        IntOrString::String(text) => Amount(text.clone()),
    };
    let made: BTreeMap<_, _> =
        amounts.iter().map(|(name, quantity)| (name.clone(), amount(quantity))).collect();
    (!made.is_empty()).then_some(made)
}

fn security(wanted: &towtank_api::SecurityContext) -> Option<SecurityContext> {
    let add = (!wanted.add_capabilities.is_empty()).then(|| wanted.add_capabilities.clone());
    let made = SecurityContext {
        privileged: wanted.privileged.then_some(true),
        capabilities: add.map(|add| Capabilities { add: Some(add), drop: None }),
        ..SecurityContext::default()
    };
    (made != SecurityContext::default()).then_some(made)
}

/// Pods would rather be in one zone, each on a node of its own; labels of nodes that are asked for are a must.
fn affinity(cluster: &MiniCluster) -> Option<Affinity> {
    let spec = &cluster.spec;
    let term = |topology: &str| WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: PodAffinityTerm {
            topology_key: topology.to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(labels(&[(HPA_LABEL, &cluster.name_any())])),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        },
    };
    let mut made = Affinity::default();
    if !spec.network.disable_affinity {
        made.pod_affinity = Some(PodAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![term(
                "topology.kubernetes.io/zone",
            )]),
            ..PodAffinity::default()
        });
        made.pod_anti_affinity = Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![term("kubernetes.io/hostname")]),
            ..PodAntiAffinity::default()
        });
    }
    if !spec.pod.node_affinity.is_empty() {
        let labels = spec.pod.node_affinity.iter().map(|(key, values)| NodeSelectorRequirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: Some(values.clone()),
        });
        let term =
            NodeSelectorTerm { match_expressions: Some(labels.collect()), ..NodeSelectorTerm::default() };
        made.node_affinity = Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        });
    }
    (made != Affinity::default()).then_some(made)
}

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
