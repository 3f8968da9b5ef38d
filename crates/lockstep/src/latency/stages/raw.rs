//! A Stage as it is written (`kwok.x-k8s.io/v1alpha1`, the types of KWOK 0.3 to 0.6), and what its selector means.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::Refusal;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Stage {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(default, rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    pub(super) spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) resource_ref: ResourceRef,
    pub(super) selector: Option<Selector>,
    /// Chooses among Stages that apply to the same object, of which there are none here.
    #[serde(default, rename = "weight")]
    _weight: Option<i64>,
    pub(super) weight_from: Option<Value>,
    #[serde(default)]
    pub(super) delay: Delay,
    pub(super) next: Next,
    /// Whether KWOK waits for its own write to come back before it goes on.
    #[serde(default, rename = "immediateNextStage")]
    _immediate_next_stage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ResourceRef {
    pub(super) api_group: Option<String>,
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Selector {
    #[serde(default)]
    pub(super) match_labels: Map<String, Value>,
    #[serde(default)]
    pub(super) match_annotations: Map<String, Value>,
    #[serde(default)]
    pub(super) match_expressions: Vec<Requirement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Delay {
    pub(super) duration_milliseconds: Option<i64>,
    pub(super) duration_from: Option<Value>,
    pub(super) jitter_duration_milliseconds: Option<i64>,
    pub(super) jitter_duration_from: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Next {
    /// Events of nodes are not modelled, and change nothing of a pod.
    #[serde(default, rename = "event")]
    _event: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) finalizers: Finalizers,
    #[serde(default)]
    pub(super) delete: bool,
    pub(super) status_template: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finalizers {
    #[serde(default)]
    add: Vec<Finalizer>,
    #[serde(default)]
    remove: Vec<Finalizer>,
    #[serde(default)]
    pub(super) empty: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finalizer {
    value: String,
}

impl Finalizers {
    pub(super) fn added(&self) -> Vec<&str> {
        names(&self.add)
    }

    pub(super) fn removed(&self) -> Vec<&str> {
        names(&self.remove)
    }
}

fn names(finalizers: &[Finalizer]) -> Vec<&str> {
    let mut names: Vec<&str> = finalizers.iter().map(|finalizer| finalizer.value.as_str()).collect();
    names.sort_unstable();
    names
}

/// What a requirement of a selector says of a pod or node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// A pod that nobody has told to go.
    Wanted,
    /// A pod that has been told to go.
    ToldToGo,
    /// A pod of which its node has reported nothing yet.
    Unseen,
    /// A pod whose init containers are over.
    Initialized,
    /// A pod none of whose containers runs.
    NotRunning,
    /// A pod or node that has a finalizer.
    Kept,
    /// A pod without finalizers.
    Free,
    /// A node that is not Ready.
    NotReady,
    /// A node that is Ready.
    Ready,
    /// A node whose phase is Running.
    Running,
}

impl Selector {
    /// What it says, in the order of [`Condition`].
    pub(super) fn conditions(&self) -> Result<Vec<Condition>, Refusal> {
        let labels = [("matchLabels", &self.match_labels), ("matchAnnotations", &self.match_annotations)];
        if let Some((field, _)) = labels.iter().find(|(_, wanted)| !wanted.is_empty()) {
            let why = "virtual nodes treat all pods alike, and all nodes are alike: leave this Stage out, or its labels";
            return Err(Refusal::new(format!("spec.selector.{field}"), why));
        }
        let mut conditions = Vec::new();
        for (number, requirement) in self.match_expressions.iter().enumerate() {
            let Some(condition) = requirement.condition() else {
                let field = format!("spec.selector.matchExpressions[{number}]");
                let Requirement { key, operator, values } = requirement;
                let why = format!(
                    "virtual nodes do not look at `{key} {operator} {values:?}`: leave this Stage out, or the requirement"
                );
                return Err(Refusal::new(field, why));
            };
            conditions.push(condition);
        }
        conditions.sort_unstable();
        conditions.dedup();
        Ok(conditions)
    }

    /// The finalizers of `.metadata.finalizers.[] In […]`.
    pub(super) fn finalizers(&self) -> Vec<&str> {
        let is_wanted = |it: &&Requirement| it.condition() == Some(Condition::Kept);
        let wanted = self.match_expressions.iter().filter(is_wanted).flat_map(|it| &it.values);
        let mut names: Vec<&str> = wanted.map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

impl Requirement {
    fn condition(&self) -> Option<Condition> {
        const READY: &str = ".status.conditions.[]|select(.type==\"Ready\")|.status";
        const INITIALIZED: &str = ".status.conditions.[]|select(.type==\"Initialized\")|.status";
        let key: String = self.key.split_whitespace().collect();
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        Some(match (key.as_str(), self.operator.as_str(), values.as_slice()) {
            (".metadata.deletionTimestamp", "DoesNotExist", []) => Condition::Wanted,
            (".metadata.deletionTimestamp", "Exists", []) => Condition::ToldToGo,
            (".status.podIP" | ".status.startTime" | ".status.containerStatuses", "DoesNotExist", []) => {
                Condition::Unseen
            }
            (INITIALIZED, "In", ["True"]) => Condition::Initialized,
            (".status.containerStatuses.[].state.running.startedAt", "DoesNotExist", []) => {
                Condition::NotRunning
            }
            (".metadata.finalizers.[]", "In", [_, ..]) => Condition::Kept,
            (".metadata.finalizers", "DoesNotExist", []) => Condition::Free,
            (READY, "NotIn", ["True"]) => Condition::NotReady,
            (READY, "In", ["True"]) => Condition::Ready,
            (".status.phase", "In", ["Running"]) => Condition::Running,
            _ => return None,
        })
    }
}
