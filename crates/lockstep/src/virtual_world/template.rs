//! A merge patch of a Job's pod template (RFC 7386): what the patch leaves out stays as it is stored.

use std::sync::Arc;

use serde_json::{Map, Value};
use towtank_model::objects::{Labels, PodSpec, PodTemplate};

/// The stored template with the fields that `patch` names taken from `given`, which was read from it.
pub(super) fn merge(stored: &PodTemplate, given: &PodTemplate, patch: &Value) -> PodTemplate {
    let metadata = patch.get("metadata");
    PodTemplate {
        labels: merge_map(&stored.labels, metadata.and_then(|metadata| metadata.get("labels"))),
        annotations: merge_map(
            &stored.annotations,
            metadata.and_then(|metadata| metadata.get("annotations")),
        ),
        finalizers: match metadata.and_then(|metadata| metadata.get("finalizers")) {
            Some(_) => given.finalizers.clone(),
            None => stored.finalizers.clone(),
        },
        spec: match patch.get("spec").and_then(Value::as_object) {
            Some(fields) => Arc::new(merge_spec(&stored.spec, &given.spec, fields)),
            None => stored.spec.clone(),
        },
    }
}

fn merge_spec(stored: &PodSpec, given: &PodSpec, fields: &Map<String, Value>) -> PodSpec {
    let from = |field: &str| if fields.contains_key(field) { given } else { stored };
    PodSpec {
        restart_policy: from("restartPolicy").restart_policy,
        containers: from("containers").containers.clone(),
        init_containers: from("initContainers").init_containers.clone(),
        termination_grace_period_s: from("terminationGracePeriodSeconds").termination_grace_period_s,
        node_selector: Labels::clone(&merge_map(
            &Arc::new(stored.node_selector.clone()),
            fields.get("nodeSelector"),
        )),
        tolerations: from("tolerations").tolerations.clone(),
        scheduling_gates: from("schedulingGates").scheduling_gates.clone(),
    }
}

/// A mapping with the keys that the patch sets, and without those that it sets to null.
fn merge_map(stored: &Arc<Labels>, patch: Option<&Value>) -> Arc<Labels> {
    match patch {
        None => Arc::clone(stored),
        Some(Value::Object(changes)) => {
            let mut merged = Labels::clone(stored);
            for (key, value) in changes {
                match value.as_str() {
                    Some(value) => merged.insert(key.as_str().into(), value.into()),
                    None => merged.remove(key.as_str()),
                };
            }
            Arc::new(merged)
        }
        Some(_) => Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Arc<Labels> {
        Arc::new(pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect())
    }

    #[test]
    fn keys_are_set_and_taken_away_one_by_one() {
        let stored = labels(&[("a", "1"), ("b", "2")]);
        let patch = serde_json::json!({"b": null, "c": "3"});
        assert_eq!(merge_map(&stored, Some(&patch)), labels(&[("a", "1"), ("c", "3")]));
        assert_eq!(merge_map(&stored, None), stored);
        assert_eq!(merge_map(&stored, Some(&Value::Null)), labels(&[]));
    }
}
