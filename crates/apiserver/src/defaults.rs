//! What the server fills in for built-in kinds (`SetDefaults_*` in `kubernetes/pkg/apis/*/v1/defaults.go`).
//!
//! Defaults depend on each other and on the kind (a pod template gets fewer than a pod), so they are code, not schema.
//! Calling [`apply`] twice changes nothing more.

use crate::store::At as _;
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Permission bits of files in volumes: 0644.
const VOLUME_MODE: u32 = 0o644;

/// Fills an object of a built-in kind in. Nulls, which mean absent for built-in kinds, are dropped.
pub fn apply(group: &str, kind: &str, object: &mut Value) {
    if kind != "CustomResourceDefinition" {
        drop_nulls(object);
    }
    let Some(root) = object.as_object_mut() else { return };
    match (group, kind) {
        ("", "Pod") => {
            if let Some(spec) = below(root, "spec") {
                pod_spec(spec);
                pod(spec);
            }
        }
        ("", "Service") => {
            if let Some(spec) = below(root, "spec") {
                service(spec);
            }
        }
        ("", "Secret") => set_text(root, "type", "Opaque"),
        ("", "Namespace") => {
            let name = root["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let (false, Some(meta)) = (name.is_empty(), below(root, "metadata")) {
                ensure(meta, "labels").insert("kubernetes.io/metadata.name".into(), name.into());
            }
            set_text(ensure(root, "status"), "phase", "Active");
        }
        ("", "Node") => {
            if let Some(status) = below(root, "status")
                && let (None, Some(capacity)) = (status.get("allocatable"), status.get("capacity").cloned())
            {
                status.insert("allocatable".into(), capacity);
            }
        }
        ("", "Endpoints") => {
            for subset in list(root, "subsets") {
                list(subset, "ports").for_each(|port| set_text(port, "protocol", "TCP"));
            }
        }
        ("batch", "Job") => job(root),
        ("batch", "CronJob") => {
            let Some(spec) = below(root, "spec") else { return };
            set_text(spec, "concurrencyPolicy", "Allow");
            set(spec, "suspend", false);
            set(spec, "successfulJobsHistoryLimit", 3);
            set(spec, "failedJobsHistoryLimit", 1);
            if let Some(template) = below(spec, "jobTemplate").and_then(|job| below(job, "spec")) {
                pod_template(template);
            }
        }
        ("apps", kind) => {
            if let Some(spec) = below(root, "spec") {
                workload(kind, spec);
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            if let Some(role) = below(root, "roleRef") {
                set_text(role, "apiGroup", "rbac.authorization.k8s.io");
            }
            for subject in list(root, "subjects") {
                if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
                    set_text(subject, "apiGroup", "rbac.authorization.k8s.io");
                }
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            if let Some(spec) = below(root, "spec") {
                set(spec, "minReplicas", 1);
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(root),
        _ => {}
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, below| {
            if name != "fieldsV1" {
                drop_nulls(below);
            }
            !below.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn below<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    fields.get_mut(name).and_then(Value::as_object_mut)
}

/// The object at `name`, made if it is not there. A value of another type is replaced; validation has refused it.
fn ensure<'a>(fields: &'a mut Fields, name: &str) -> &'a mut Fields {
    let value = fields.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("an object was put there"),
    }
}

fn list<'a>(fields: &'a mut Fields, name: &str) -> impl Iterator<Item = &'a mut Fields> {
    let items = fields.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn set(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    if !fields.contains_key(name) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// For texts the empty one counts as absent.
fn set_text(fields: &mut Fields, name: &str, value: &str) {
    if fields.get(name).is_none_or(|old| old == "") {
        fields.insert(name.to_owned(), value.into());
    }
}

/// For counts of probes zero counts as absent.
fn set_count(fields: &mut Fields, name: &str, value: u32) {
    if fields.get(name).is_none_or(|old| old == 0) {
        fields.insert(name.to_owned(), value.into());
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What every pod spec gets, in templates too (`SetDefaults_PodSpec` and below).
fn pod_spec(spec: &mut Fields) {
    set_text(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set_text(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "securityContext", json!({}));
    set_text(spec, "schedulerName", "default-scheduler");
    // The two names of one field are kept equal (`Convert_v1_PodSpec_To_core_PodSpec`).
    match (text(spec, "serviceAccountName").to_owned(), text(spec, "serviceAccount").to_owned()) {
        (new, old) if new.is_empty() && !old.is_empty() => {
            _ = spec.insert("serviceAccountName".into(), old.into())
        }
        (new, _) if !new.is_empty() => _ = spec.insert("serviceAccount".into(), new.into()),
        _ => {}
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        list(spec, containers).for_each(container);
    }
    list(spec, "volumes").for_each(volume);
}

/// What a pod gets and a template does not (`SetDefaults_Pod`).
fn pod(spec: &mut Fields) {
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for containers in ["initContainers", "containers"] {
        for container in list(spec, containers) {
            let resources = ensure(container, "resources");
            if let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() {
                let requests = ensure(resources, "requests");
                limits.into_iter().for_each(|(name, limit)| set(requests, &name, limit));
            }
            if host_network {
                for port in list(container, "ports") {
                    if let Some(number) = port.get("containerPort").cloned() {
                        set(port, "hostPort", number);
                    }
                }
            }
        }
    }
    set(spec, "enableServiceLinks", true);
}

fn container(container: &mut Fields) {
    let image = text(container, "image");
    let policy = if tag(image) == "latest" { "Always" } else { "IfNotPresent" };
    for port in list(container, "ports") {
        set_text(port, "protocol", "TCP");
    }
    for entry in list(container, "env") {
        if let Some(from) = below(entry, "valueFrom").and_then(|from| below(from, "fieldRef")) {
            set_text(from, "apiVersion", "v1");
        }
    }
    set(container, "resources", json!({}));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = below(container, probe) {
            self::probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = below(container, "lifecycle")
            .and_then(|all| below(all, hook))
            .and_then(|hook| below(hook, "httpGet"))
        {
            http_get(get);
        }
    }
    set_text(container, "terminationMessagePath", "/dev/termination-log");
    set_text(container, "terminationMessagePolicy", "File");
    set_text(container, "imagePullPolicy", policy);
}

fn probe(probe: &mut Fields) {
    set_count(probe, "timeoutSeconds", 1);
    set_count(probe, "periodSeconds", 10);
    set_count(probe, "successThreshold", 1);
    set_count(probe, "failureThreshold", 3);
    if let Some(get) = below(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = below(probe, "grpc") {
        set(grpc, "service", "");
    }
}

fn http_get(get: &mut Fields) {
    set_text(get, "path", "/");
    set_text(get, "scheme", "HTTP");
}

/// The tag of an image, `latest` if there is neither tag nor digest (`parsers.ParseImageName`).
fn tag(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, ""), |(name, digest)| (name, digest));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag,
        None if digest.is_empty() => "latest",
        None => "",
    }
}

fn volume(volume: &mut Fields) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = below(volume, source) {
            set(source, "defaultMode", VOLUME_MODE);
        }
    }
    if let Some(path) = below(volume, "hostPath") {
        set(path, "type", "");
    }
    for source in ["downwardAPI", "projected"] {
        let Some(source) = below(volume, source) else { continue };
        for item in list(source, "items") {
            field_selector(item);
        }
        for part in list(source, "sources") {
            if let Some(token) = below(part, "serviceAccountToken") {
                set(token, "expirationSeconds", 3600);
            }
            if let Some(api) = below(part, "downwardAPI") {
                list(api, "items").for_each(field_selector);
            }
        }
    }
    if let Some(image) = below(volume, "image") {
        let policy = if tag(text(image, "reference")) == "latest" { "Always" } else { "IfNotPresent" };
        set_text(image, "pullPolicy", policy);
    }
}

fn field_selector(item: &mut Fields) {
    if let Some(field) = below(item, "fieldRef") {
        set_text(field, "apiVersion", "v1");
    }
}

/// The template of a workload.
fn pod_template(spec: &mut Fields) {
    if let Some(template) = below(spec, "template") {
        set(template, "metadata", json!({}));
        if let Some(spec) = below(template, "spec") {
            pod_spec(spec);
        }
    }
}

fn job(root: &mut Fields) {
    let Some(spec) = below(root, "spec") else { return };
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".into(), 1.into());
    }
    set(spec, "parallelism", 1);
    let limit = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set(spec, "backoffLimit", limit);
    set_text(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    let policy = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_text(spec, "podReplacementPolicy", policy);
    set(spec, "manualSelector", false);
    if let Some(policy) = below(spec, "podFailurePolicy") {
        for rule in list(policy, "rules") {
            list(rule, "onPodConditions").for_each(|pattern| set_text(pattern, "status", "True"));
        }
    }
    pod_template(spec);
    let labels = spec.get("template").and_then(|template| template.at("/metadata/labels")).cloned();
    let empty = |labels: Option<&Value>| labels.and_then(Value::as_object).is_none_or(Map::is_empty);
    if let Some(labels) = labels {
        let meta = ensure(root, "metadata");
        if empty(meta.get("labels")) {
            meta.insert("labels".into(), labels);
        }
    }
}

fn workload(kind: &str, spec: &mut Fields) {
    pod_template(spec);
    match kind {
        "Deployment" => {
            set(spec, "replicas", 1);
            let strategy = ensure(spec, "strategy");
            set_text(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate" {
                let update = ensure(strategy, "rollingUpdate");
                set(update, "maxUnavailable", "25%");
                set(update, "maxSurge", "25%");
            }
            set(spec, "revisionHistoryLimit", 10);
            set(spec, "progressDeadlineSeconds", 600);
        }
        "ReplicaSet" => set(spec, "replicas", 1),
        "StatefulSet" => {
            set(spec, "replicas", 1);
            set_text(spec, "podManagementPolicy", "OrderedReady");
            let update = ensure(spec, "updateStrategy");
            if text(update, "type").is_empty() {
                update.insert("type".into(), "RollingUpdate".into());
                ensure(update, "rollingUpdate");
            }
            if let Some(rolling) = below(update, "rollingUpdate") {
                set(rolling, "partition", 0);
            }
            let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
            set_text(retention, "whenDeleted", "Retain");
            set_text(retention, "whenScaled", "Retain");
            set(spec, "revisionHistoryLimit", 10);
        }
        "DaemonSet" => {
            let update = ensure(spec, "updateStrategy");
            set_text(update, "type", "RollingUpdate");
            if text(update, "type") == "RollingUpdate" {
                let rolling = ensure(update, "rollingUpdate");
                set(rolling, "maxUnavailable", 1);
                set(rolling, "maxSurge", 0);
            }
            set(spec, "revisionHistoryLimit", 10);
        }
        _ => {}
    }
}

/// `clusterIP` is given out by the store; a headless service is `clusterIPs: ["None"]` already here.
fn service(spec: &mut Fields) {
    set_text(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "ClientIP" {
        let affinity = ensure(ensure(spec, "sessionAffinityConfig"), "clientIP");
        set(affinity, "timeoutSeconds", 10_800);
    } else {
        spec.shift_remove("sessionAffinityConfig");
    }
    set_text(spec, "type", "ClusterIP");
    for port in list(spec, "ports") {
        set_text(port, "protocol", "TCP");
        let target = port.get("targetPort");
        if target.is_none_or(|target| target == 0 || target == "")
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".into(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if kind == "NodePort" || kind == "LoadBalancer" || (kind == "ClusterIP" && external) {
        set_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        set_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    if text(spec, "clusterIP") == "None" {
        set(spec, "clusterIPs", json!(["None"]));
    }
}

/// `SetDefaults_CustomResourceDefinition`.
fn definition(root: &mut Fields) {
    let Some(spec) = below(root, "spec") else { return };
    if let Some(names) = below(spec, "names") {
        let kind = text(names, "kind").to_owned();
        set_text(names, "singular", &kind.to_lowercase());
        set_text(names, "listKind", &format!("{kind}List"));
    }
    let conversion = ensure(spec, "conversion");
    set_text(conversion, "strategy", "None");
}

#[cfg(test)]
#[path = "defaults_tests.rs"]
mod tests;
