//! A merge patch of a Job's pod template (RFC 7386): maps are merged key by key, lists and values are replaced, what the
//! patch leaves out stays. The model's manifests carry whole templates, so the patch is merged with what is stored.

use std::sync::Arc;

use serde_json::Value;
use towtank_model::objects::{Job, Labels, PodSpec, PodTemplate};
use towtank_model::server::JobManifest;

/// `manifest` as the patch reads it, with the template that results for `stored`.
pub(super) fn merged(stored: &Job, manifest: &JobManifest, patch: &Value) -> JobManifest {
    let mut merged = manifest.clone();
    if let Some(template) = &manifest.template {
        merged.template = Some(Arc::new(merge_template(&stored.spec.template, template, &patch["template"])));
    }
    merged
}

fn merge_template(stored: &PodTemplate, wanted: &PodTemplate, patch: &Value) -> PodTemplate {
    let metadata = &patch["metadata"];
    let finalizers = if metadata.get("finalizers").is_some() { &wanted.finalizers } else { &stored.finalizers };
    PodTemplate {
        labels: Arc::new(merge_map(&stored.labels, &metadata["labels"])),
        annotations: Arc::new(merge_map(&stored.annotations, &metadata["annotations"])),
        finalizers: finalizers.clone(),
        spec: Arc::new(merge_spec(&stored.spec, &wanted.spec, &patch["spec"])),
    }
}

fn merge_spec(stored: &PodSpec, wanted: &PodSpec, patch: &Value) -> PodSpec {
    let mut spec = stored.clone();
    let names = |field: &str| patch.get(field).is_some();
    if names("restartPolicy") {
        spec.restart_policy = wanted.restart_policy;
    }
    if names("containers") {
        spec.containers.clone_from(&wanted.containers);
    }
    if names("initContainers") {
        spec.init_containers.clone_from(&wanted.init_containers);
    }
    if names("terminationGracePeriodSeconds") {
        spec.termination_grace_period_s = wanted.termination_grace_period_s;
    }
    if names("tolerations") {
        spec.tolerations.clone_from(&wanted.tolerations);
    }
    if names("schedulingGates") {
        spec.scheduling_gates.clone_from(&wanted.scheduling_gates);
    }
    spec.node_selector = merge_map(&stored.node_selector, &patch["nodeSelector"]);
    spec
}

/// Keys of `patch` are set, or removed when they are null.
fn merge_map(stored: &Labels, patch: &Value) -> Labels {
    let mut merged = stored.clone();
    for (key, value) in patch.as_object().into_iter().flatten() {
        match value {
            Value::String(value) => {
                merged.insert(key.as_str().into(), value.as_str().into());
            }
            Value::Null => {
                merged.remove(key.as_str());
            }
            // Admission of the file has refused anything else.
            _ => {}
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_are_merged_key_by_key() {
        let stored = Labels::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        let expected = Labels::from([("b".into(), "3".into()), ("c".into(), "4".into())]);
        assert_eq!(merge_map(&stored, &json!({"a": null, "b": "3", "c": "4"})), expected);
        assert_eq!(merge_map(&stored, &Value::Null), stored);
    }
}
