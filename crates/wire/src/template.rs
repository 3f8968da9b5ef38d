//! `spec` of a pod, and `template` of a Job.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;
use towtank_model::objects::{
    Container, Labels, PodSpec, PodTemplate, RestartPolicy, TERMINATION_GRACE_PERIOD_S, TaintEffect,
    Toleration,
};

use super::{Fields, WireError, labels_patch, labels_row, texts, texts_row};

/// The image of every container: the API wants one, and nothing depends on it.
const IMAGE: &str = "main";

/// `template` of a new Job.
pub(super) fn template_object(template: &PodTemplate) -> Value {
    let mut metadata = Fields::default();
    metadata.set_labels("labels", &template.labels);
    metadata.set_labels("annotations", &template.annotations);
    metadata.set_list("finalizers", texts(&template.finalizers));
    let mut fields = Fields::default();
    fields.set("metadata", metadata);
    fields.set("spec", spec_object(&template.spec));
    fields.into()
}

/// A merge patch that makes the template of `stored` the one given, but for `kept` labels, which stay unless they are given too.
pub(super) fn template_patch(stored: &PodTemplate, given: &PodTemplate, kept: &[&str]) -> Value {
    let mut old_labels = Labels::clone(&stored.labels);
    old_labels.retain(|label, _| !kept.contains(&&**label));
    let mut metadata = Fields::default();
    metadata.set("labels", labels_patch(&old_labels, &given.labels));
    metadata.set("annotations", labels_patch(&stored.annotations, &given.annotations));
    metadata.set("finalizers", list_or_null(texts(&given.finalizers)));
    let mut spec = Fields(Default::default());
    if let Value::Object(fields) = spec_object(&given.spec) {
        spec.0 = fields;
    }
    spec.set("nodeSelector", labels_patch(&stored.spec.node_selector, &given.spec.node_selector));
    for list in ["initContainers", "tolerations", "schedulingGates"] {
        if !spec.0.contains_key(list) {
            spec.set(list, Value::Null);
        }
    }
    let mut fields = Fields::default();
    fields.set("metadata", metadata);
    fields.set("spec", spec);
    fields.into()
}

fn list_or_null(list: impl Iterator<Item = Value>) -> Value {
    let list: Vec<Value> = list.collect();
    if list.is_empty() { Value::Null } else { list.into() }
}

/// `spec` of a pod.
pub(super) fn spec_object(spec: &PodSpec) -> Value {
    let mut fields = Fields::default();
    fields.set(
        "restartPolicy",
        match spec.restart_policy {
            RestartPolicy::Always => "Always",
            RestartPolicy::OnFailure => "OnFailure",
            RestartPolicy::Never => "Never",
        },
    );
    fields.set("containers", spec.containers.iter().map(container_object).collect::<Vec<_>>());
    fields.set_list("initContainers", spec.init_containers.iter().map(container_object));
    fields.set("terminationGracePeriodSeconds", spec.termination_grace_period_s);
    fields.set_labels("nodeSelector", &spec.node_selector);
    fields.set_list("tolerations", spec.tolerations.iter().map(toleration_object));
    let gate = |name: &Arc<str>| serde_json::json!({"name": &**name});
    fields.set_list("schedulingGates", spec.scheduling_gates.iter().map(gate));
    fields.into()
}

fn container_object(container: &Container) -> Value {
    let mut fields = Fields::default();
    fields.set("name", &*container.name);
    fields.set("image", IMAGE);
    if container.cpu_request_milli > 0 {
        let cpu = format!("{}m", container.cpu_request_milli);
        fields.set("resources", serde_json::json!({"requests": {"cpu": cpu}}));
    }
    if container.is_sidecar {
        fields.set("restartPolicy", "Always");
    }
    fields.into()
}

fn toleration_object(toleration: &Toleration) -> Value {
    let mut fields = Fields::default();
    fields.set_some("key", toleration.key.as_deref());
    fields.set("operator", if toleration.value.is_some() { "Equal" } else { "Exists" });
    fields.set_some("value", toleration.value.as_deref());
    let effect = toleration.effect.map(effect_text);
    fields.set_some("effect", effect);
    fields.set_some("tolerationSeconds", toleration.toleration_seconds);
    fields.into()
}

/// The template of a stored Job.
pub(super) fn template_row(template: core::PodTemplateSpec) -> Result<PodTemplate, WireError> {
    let metadata = template.metadata.unwrap_or_default();
    Ok(PodTemplate {
        labels: Arc::new(labels_row(metadata.labels.as_ref())),
        annotations: Arc::new(labels_row(metadata.annotations.as_ref())),
        finalizers: texts_row(metadata.finalizers).into(),
        spec: Arc::new(spec_row("spec.template.spec", template.spec.unwrap_or_default())?),
    })
}

/// `spec` of a stored pod or template at `path`.
pub(super) fn spec_row(path: &str, spec: core::PodSpec) -> Result<PodSpec, WireError> {
    let grace = match spec.termination_grace_period_seconds {
        None => TERMINATION_GRACE_PERIOD_S,
        Some(seconds) => u32::try_from(seconds).map_err(|_| {
            WireError::unknown(&format!("{path}.terminationGracePeriodSeconds"), &seconds.to_string())
        })?,
    };
    let containers = |list: Vec<core::Container>| -> Result<Vec<Container>, WireError> {
        list.into_iter().map(|container| container_row(path, container)).collect()
    };
    let tolerations = spec.tolerations.into_iter().flatten();
    let gates = spec.scheduling_gates.into_iter().flatten();
    Ok(PodSpec {
        restart_policy: match spec.restart_policy.as_deref() {
            None | Some("" | "Always") => RestartPolicy::Always,
            Some("OnFailure") => RestartPolicy::OnFailure,
            Some("Never") => RestartPolicy::Never,
            Some(other) => return Err(WireError::unknown(&format!("{path}.restartPolicy"), other)),
        },
        containers: containers(spec.containers)?,
        init_containers: containers(spec.init_containers.unwrap_or_default())?,
        termination_grace_period_s: grace,
        node_selector: labels_row(spec.node_selector.as_ref()),
        tolerations: tolerations
            .map(|toleration| toleration_row(path, toleration))
            .collect::<Result<_, _>>()?,
        scheduling_gates: gates.map(|gate| gate.name.into()).collect(),
    })
}

fn container_row(path: &str, container: core::Container) -> Result<Container, WireError> {
    let requests = container.resources.and_then(|resources| resources.requests);
    let cpu = requests.as_ref().and_then(|requests| requests.get("cpu"));
    let milli = match cpu {
        None => 0,
        Some(cpu) => milli(&cpu.0).ok_or_else(|| {
            WireError::unknown(&format!("{path}.containers.resources.requests.cpu"), &cpu.0)
        })?,
    };
    Ok(Container {
        name: container.name.into(),
        cpu_request_milli: milli,
        is_sidecar: container.restart_policy.as_deref() == Some("Always"),
    })
}

/// Thousandths of a quantity: a decimal number with a suffix, rounded up as the API does.
pub(super) fn milli(text: &str) -> Option<u32> {
    const SUFFIXES: [(&str, u64); 6] = [
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("Ki", 1_024_000),
        ("", 1_000),
    ];
    const DIGITS_MAX: usize = 9;
    let (suffix, factor) = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix))?;
    let number = text.strip_suffix(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= DIGITS_MAX;
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let value = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let total = value(whole)?.checked_mul(scale)?.checked_add(value(fraction)?)?.checked_mul(*factor)?;
    u32::try_from(total.div_ceil(scale)).ok()
}

/// The API's spelling of an effect.
pub(super) const fn effect_text(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

fn toleration_row(path: &str, toleration: core::Toleration) -> Result<Toleration, WireError> {
    let effect = match toleration.effect.as_deref() {
        None | Some("") => None,
        Some("NoSchedule") => Some(TaintEffect::NoSchedule),
        Some("PreferNoSchedule") => Some(TaintEffect::PreferNoSchedule),
        Some("NoExecute") => Some(TaintEffect::NoExecute),
        Some(other) => return Err(WireError::unknown(&format!("{path}.tolerations.effect"), other)),
    };
    let has_value = match toleration.operator.as_deref() {
        None | Some("" | "Equal") => true,
        Some("Exists") => false,
        Some(other) => return Err(WireError::unknown(&format!("{path}.tolerations.operator"), other)),
    };
    Ok(Toleration {
        key: toleration.key.filter(|key| !key.is_empty()).map(Arc::from),
        value: has_value.then(|| toleration.value.unwrap_or_default().into()),
        effect,
        toleration_seconds: toleration.toleration_seconds,
    })
}
