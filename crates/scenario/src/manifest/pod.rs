//! `spec` of a pod and of a template.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use towtank_model::objects::{
    Container, PodSpec, PodTemplate, RestartPolicy, TERMINATION_GRACE_PERIOD_S, TaintEffect, Toleration,
};
use towtank_model::server::PodManifest;

use super::{Place, labels, texts};
use crate::error::{Problem, ScenarioError};

/// A manifest of a pod without Job.
pub(super) fn bare(
    at: &Place<'_>,
    metadata: ObjectMeta,
    spec: &core::PodSpec,
) -> Result<PodManifest, ScenarioError> {
    Ok(PodManifest {
        labels: labels(metadata.labels),
        annotations: labels(metadata.annotations),
        finalizers: texts(metadata.finalizers),
        spec: Arc::new(pod_spec(at, spec, false)?),
    })
}

/// `spec.template` of a Job, of whose spec `at` is the place.
pub(super) fn template(
    at: &Place<'_>,
    template: &core::PodTemplateSpec,
    is_patch: bool,
) -> Result<PodTemplate, ScenarioError> {
    let metadata = template.metadata.clone().unwrap_or_default();
    let place = at.inner("template.spec");
    let spec = match &template.spec {
        Some(spec) => pod_spec(&place, spec, is_patch)?,
        None if is_patch => pod_spec(&place, &core::PodSpec::default(), true)?,
        None => {
            return Err(at.missing("spec", "template", "say what the pods run: `spec: {containers: […]}`"));
        }
    };
    Ok(PodTemplate {
        labels: Arc::new(labels(metadata.labels)),
        annotations: Arc::new(labels(metadata.annotations)),
        finalizers: texts(metadata.finalizers).into(),
        spec: Arc::new(spec),
    })
}

fn pod_spec(at: &Place<'_>, spec: &core::PodSpec, is_patch: bool) -> Result<PodSpec, ScenarioError> {
    const POLICIES: &[(&str, RestartPolicy)] = &[
        ("Always", RestartPolicy::Always),
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
    ];
    if spec.containers.is_empty() && !is_patch {
        let help = "a pod has at least one container: `containers: [{name: main, image: busybox}]`";
        return Err(at.missing("containers", "", help));
    }
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let grace = spec.termination_grace_period_seconds.map(|seconds| {
        u32::try_from(seconds).map_err(|_| {
            let problem = Problem::Invalid(format!("a grace period of {seconds} s is not possible"));
            at.error("terminationGracePeriodSeconds", problem, "here").with_help("write whole seconds from 0")
        })
    });
    let tolerations = spec.tolerations.iter().flatten().enumerate();
    let tolerations =
        tolerations.map(|(position, it)| toleration(&at.inner(&format!("tolerations.{position}")), it));
    let gates = spec.scheduling_gates.iter().flatten().map(|gate| Arc::from(gate.name.as_str()));
    Ok(PodSpec {
        restart_policy: at.word("restartPolicy", "restart policy", policy, POLICIES)?,
        containers: containers(at, "containers", &spec.containers, is_patch)?,
        init_containers: containers(
            at,
            "initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
            is_patch,
        )?,
        termination_grace_period_s: grace.transpose()?.unwrap_or(TERMINATION_GRACE_PERIOD_S),
        node_selector: labels(spec.node_selector.clone()),
        tolerations: tolerations.collect::<Result<_, _>>()?,
        scheduling_gates: gates.collect(),
    })
}

fn containers(
    at: &Place<'_>,
    field: &str,
    containers: &[core::Container],
    is_patch: bool,
) -> Result<Vec<Container>, ScenarioError> {
    let mut converted: Vec<Container> = Vec::with_capacity(containers.len());
    for (position, container) in containers.iter().enumerate() {
        let place = at.inner(&format!("{field}.{position}"));
        if container.name.is_empty() {
            return Err(place.missing("name", "", "a container has a name: `name: main`"));
        }
        if container.image.is_none() && !is_patch {
            return Err(place.missing("image", "", "a container has an image: `image: busybox`"));
        }
        if converted.iter().any(|other| *other.name == *container.name) {
            let problem = Problem::Duplicate { what: "container", name: container.name.clone() };
            return Err(place.error("name", problem, "a second time").with_help("give it another name"));
        }
        converted.push(Container {
            name: container.name.as_str().into(),
            cpu_request_milli: cpu_request(&place, container)?,
            is_sidecar: field == "initContainers" && container.restart_policy.as_deref() == Some("Always"),
        });
    }
    Ok(converted)
}

/// The CPU request in thousandths of a core: a limit without a request is the request too, as the API server defaults.
fn cpu_request(at: &Place<'_>, container: &core::Container) -> Result<u32, ScenarioError> {
    let Some(resources) = &container.resources else { return Ok(0) };
    let request = resources.requests.as_ref().and_then(|requests| requests.get("cpu"));
    let limit = || resources.limits.as_ref().and_then(|limits| limits.get("cpu"));
    let (path, quantity) = match (request, limit()) {
        (Some(request), _) => ("resources.requests.cpu", request),
        (None, Some(limit)) => ("resources.limits.cpu", limit),
        (None, None) => return Ok(0),
    };
    milli(&quantity.0).ok_or_else(|| {
        let problem = Problem::Invalid(format!("`{}` is no number of cores", quantity.0));
        at.error(path, problem, "here").with_help("write cores (`2`, `0.5`) or thousandths of them (`500m`)")
    })
}

/// Thousandths of a quantity, rounded up as Kubernetes does.
fn milli(text: &str) -> Option<u32> {
    const SUFFIXES: [(&str, f64); 5] = [("n", 1e-6), ("u", 1e-3), ("m", 1.0), ("k", 1e6), ("", 1e3)];
    let (suffix, factor) = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix))?;
    let number = text.strip_suffix(suffix)?;
    if !number.chars().all(|character| character.is_ascii_digit() || matches!(character, '.' | 'e' | 'E')) {
        return None;
    }
    let value = (number.parse::<f64>().ok()? * factor).ceil();
    // Checked above zero and below the largest value, so that the conversion cuts nothing off.
    (0.0..=f64::from(u32::MAX)).contains(&value).then_some(value as u32)
}

fn toleration(at: &Place<'_>, toleration: &core::Toleration) -> Result<Toleration, ScenarioError> {
    const EFFECTS: &[(&str, TaintEffect)] = &[
        ("NoSchedule", TaintEffect::NoSchedule),
        ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
        ("NoExecute", TaintEffect::NoExecute),
    ];
    let operator = toleration.operator.as_deref().unwrap_or("Equal");
    let has_value = at.word("operator", "operator", operator, &[("Equal", true), ("Exists", false)])?;
    let effect = toleration.effect.as_deref().filter(|effect| !effect.is_empty());
    Ok(Toleration {
        key: toleration.key.as_deref().filter(|key| !key.is_empty()).map(Arc::from),
        value: has_value.then(|| toleration.value.as_deref().unwrap_or_default().into()),
        effect: effect.map(|effect| at.word("effect", "effect", effect, EFFECTS)).transpose()?,
        toleration_seconds: toleration.toleration_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_rounded_up_to_thousandths() {
        for (text, expected) in [
            ("2", Some(2_000)),
            ("0.5", Some(500)),
            ("500m", Some(500)),
            ("1.0005", Some(1_001)),
            ("1u", Some(1)),
            ("1k", Some(1_000_000)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1Gi", None),
            ("nan", None),
            ("inf", None),
            ("9e99", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
    }
}
