//! What the printers of the built-in kinds put into their cells.

use serde_json::Value;
use towtank_model::objects::{JobConditionType, Pod};
use towtank_model::time::Time;
use towtank_wire::printers::{PrinterFeatures, pod_columns};

use super::{age, between, is_row};
use crate::kinds::Resource;
use crate::store::{At as _, Content, Version, text};

const NONE: &str = "<none>";

/// The cells of an object, wide ones included.
pub(super) fn of(
    resource: &Resource,
    version: &Version,
    value: &Value,
    printers: PrinterFeatures,
    now: Time,
) -> Vec<Value> {
    let name = Value::from(version.name());
    let created = age(text(value, "/metadata/creationTimestamp"), now);
    if is_row(resource) {
        return row_cells(version, value, printers, name, created, now);
    }
    let text_at = |pointer: &str| Value::from(text(value, pointer));
    let mut cells = vec![name];
    match &*resource.kind {
        "Service" => cells.extend(service(value, created)),
        "ConfigMap" => {
            let data = count(value.get("data")) + count(value.get("binaryData"));
            cells.extend([data.to_string().into(), created.into()]);
        }
        "Secret" => {
            cells.extend([text_at("/type"), count(value.get("data")).to_string().into(), created.into()]);
        }
        "Namespace" => cells.extend([text_at("/status/phase"), created.into()]),
        "Event" => return event(value, now),
        "Lease" => cells.extend([text_at("/spec/holderIdentity"), created.into()]),
        "Deployment" => cells.extend(deployment(value, created)),
        "PodDisruptionBudget" => {
            let amount = |pointer: &str| match value.at(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => "N/A".to_owned(),
            };
            let allowed = value.at("/status/disruptionsAllowed").cloned().unwrap_or_else(|| 0.into());
            let (least, most) = (amount("/spec/minAvailable"), amount("/spec/maxUnavailable"));
            cells.extend([least.into(), most.into(), allowed, created.into()]);
        }
        "RoleBinding" | "ClusterRoleBinding" => cells.extend(binding(value, created)),
        "ServiceAccount" => cells.push(created.into()),
        _ => cells.push(text_at("/metadata/creationTimestamp")),
    }
    cells
}

fn row_cells(
    version: &Version,
    value: &Value,
    printers: PrinterFeatures,
    name: Value,
    created: String,
    now: Time,
) -> Vec<Value> {
    match &version.content {
        Content::Pod { row, node, .. } => pod(row, node.as_deref(), value, printers, name, created),
        Content::Job { row, .. } => {
            let mut cells = vec![name];
            if printers.job_status_column {
                let is_true = |kind: JobConditionType| row.status.true_condition(kind).is_some();
                let status = if is_true(JobConditionType::Complete) {
                    "Complete"
                } else if is_true(JobConditionType::Failed) {
                    "Failed"
                } else if row.deletion_time.is_some() {
                    "Terminating"
                } else if is_true(JobConditionType::Suspended) {
                    "Suspended"
                } else if is_true(JobConditionType::FailureTarget) {
                    "FailureTarget"
                } else if printers.job_status_success_criteria
                    && is_true(JobConditionType::SuccessCriteriaMet)
                {
                    "SuccessCriteriaMet"
                } else {
                    "Running"
                };
                cells.push(status.into());
            }
            let succeeded = row.status.succeeded;
            let completions = match (row.spec.completions, row.spec.parallelism) {
                (Some(completions), _) => format!("{succeeded}/{completions}"),
                (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
                (None, _) => format!("{succeeded}/1"),
            };
            let duration = row
                .status
                .start_time
                .map_or_else(String::new, |start| between(start, row.status.completion_time.unwrap_or(now)));
            let (names, images) = containers(value.at("/spec/template/spec/containers"));
            let selector = labels(value.at("/spec/selector/matchLabels"));
            cells.extend([completions, duration, created, names, images, selector].map(Value::from));
            cells
        }
        Content::Node { row, .. } => {
            let ready = if row.is_ready { "Ready" } else { "NotReady" };
            let status =
                if row.unschedulable { format!("{ready},SchedulingDisabled") } else { ready.to_owned() };
            let roles: Vec<&str> = row
                .labels
                .keys()
                .filter_map(|label| label.strip_prefix("node-role.kubernetes.io/"))
                .collect();
            let roles = if roles.is_empty() { NONE.to_owned() } else { roles.join(",") };
            let info = |field: &str| text(value, &format!("/status/nodeInfo/{field}")).to_owned();
            let address = |kind: &str| {
                let mut all = value.at("/status/addresses").and_then(Value::as_array).into_iter().flatten();
                let found = all.find(|address| address["type"] == kind);
                found.map_or(NONE, |address| text(address, "/address")).to_owned()
            };
            let or_unknown = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { text };
            let mut kernel = or_unknown(info("kernelVersion"));
            if !info("architecture").is_empty() {
                kernel = format!("{kernel} ({})", info("architecture"));
            }
            let mut cells = vec![name];
            let rest = [
                status,
                roles,
                created,
                info("kubeletVersion"),
                address("InternalIP"),
                address("ExternalIP"),
                or_unknown(info("osImage")),
                kernel,
                or_unknown(info("containerRuntimeVersion")),
            ];
            cells.extend(rest.map(Value::from));
            cells
        }
        Content::Document(_) => vec![name, created.into()],
    }
}

fn pod(
    row: &Pod,
    node: Option<&str>,
    value: &Value,
    printers: PrinterFeatures,
    name: Value,
    created: String,
) -> Vec<Value> {
    let columns = pod_columns(row, printers);
    let or_none = |text: &str| if text.is_empty() { NONE.to_owned() } else { text.to_owned() };
    let mut cells = vec![name];
    let rest = [
        columns.ready,
        columns.status,
        columns.restarts.to_string(),
        created,
        or_none(text(value, "/status/podIP")),
        or_none(node.unwrap_or_default()),
        or_none(text(value, "/status/nominatedNodeName")),
        NONE.to_owned(),
    ];
    cells.extend(rest.map(Value::from));
    cells
}

fn count(value: Option<&Value>) -> usize {
    value.and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn labels(value: Option<&Value>) -> String {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> =
        pairs.map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

fn containers(value: Option<&Value>) -> (String, String) {
    let list: Vec<&Value> = value.and_then(Value::as_array).into_iter().flatten().collect();
    let all = |pointer: &str| list.iter().map(|one| text(one, pointer)).collect::<Vec<_>>().join(",");
    (all("/name"), all("/image"))
}

fn service(value: &Value, created: String) -> Vec<Value> {
    let kind = text(value, "/spec/type");
    let kind = if kind.is_empty() { "ClusterIP" } else { kind };
    let ip = text(value, "/spec/clusterIP");
    let external = match kind {
        "ExternalName" => text(value, "/spec/externalName").to_owned(),
        "LoadBalancer" => "<pending>".to_owned(),
        _ => NONE.to_owned(),
    };
    let ports = value.at("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports: Vec<String> = ports
        .map(|port| {
            let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
            let protocol = text(port, "/protocol");
            let protocol = if protocol.is_empty() { "TCP" } else { protocol };
            match number("nodePort") {
                0 => format!("{}/{protocol}", number("port")),
                node => format!("{}:{node}/{protocol}", number("port")),
            }
        })
        .collect();
    let ports = if ports.is_empty() { NONE.to_owned() } else { ports.join(",") };
    let ip = if ip.is_empty() { NONE } else { ip };
    let selector = labels(value.at("/spec/selector"));
    [kind.to_owned(), ip.to_owned(), external, ports, created, selector].map(Value::from).to_vec()
}

fn deployment(value: &Value, created: String) -> Vec<Value> {
    let number = |pointer: &str| value.at(pointer).and_then(Value::as_i64).unwrap_or(0);
    let ready = format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas"));
    let (names, images) = containers(value.at("/spec/template/spec/containers"));
    let mut cells = vec![ready.into()];
    cells.extend(
        [number("/status/updatedReplicas"), number("/status/availableReplicas")]
            .map(|it| it.to_string().into()),
    );
    cells.extend([created, names, images, labels(value.at("/spec/selector/matchLabels"))].map(Value::from));
    cells
}

fn binding(value: &Value, created: String) -> Vec<Value> {
    let role = format!("{}/{}", text(value, "/roleRef/kind"), text(value, "/roleRef/name"));
    let subjects = |kind: &str| {
        let all = value.get("subjects").and_then(Value::as_array).into_iter().flatten();
        let names = all.filter(|one| text(one, "/kind") == kind).map(|one| match text(one, "/namespace") {
            "" => text(one, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(one, "/name")),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    [role, created, subjects("User"), subjects("Group"), subjects("ServiceAccount")].map(Value::from).to_vec()
}

fn event(value: &Value, now: Time) -> Vec<Value> {
    let first_of = |pointers: &[&str]| {
        pointers.iter().map(|pointer| text(value, pointer)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let first = age(first_of(&["/firstTimestamp", "/eventTime"]), now);
    let last = match first_of(&["/series/lastObservedTime", "/lastTimestamp"]) {
        "" => first.clone(),
        last => age(last, now),
    };
    let count = value.at("/series/count").or_else(|| value.get("count")).and_then(Value::as_i64);
    let kind = text(value, "/involvedObject/kind").to_lowercase();
    let object = match text(value, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = match (
        first_of(&["/source/component", "/reportingComponent"]),
        first_of(&["/source/host", "/reportingInstance"]),
    ) {
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    [
        last,
        text(value, "/type").to_owned(),
        text(value, "/reason").to_owned(),
        object,
        text(value, "/involvedObject/fieldPath").to_owned(),
        source,
        text(value, "/message").trim().to_owned(),
        first,
        count.filter(|count| *count > 0).unwrap_or(1).to_string(),
        text(value, "/metadata/name").to_owned(),
    ]
    .map(Value::from)
    .to_vec()
}
