//! An expectation and its claims.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::ast::Spanned;
use crate::yaml::de::{Nullable, Verbatim};

/// One expectation: when, and what. All its claims must hold at the same instant; without a word on time, right after
/// the step's action or the expectation before.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Expectation {
    /// Versions that it speaks of, within those of the scenario.
    #[serde(default)]
    pub(crate) kubernetes: Option<Spanned<Verbatim>>,
    /// Versions of flux-core that it speaks of, within those of `spec.cluster.flux`.
    #[serde(default)]
    pub(crate) flux: Option<Spanned<Verbatim>>,
    /// At some instant up to this time after the step's action (`60s`).
    #[serde(default)]
    pub(crate) within: Option<Spanned<Verbatim>>,
    /// Exactly this time after the step's action; virtual worlds only.
    #[serde(default)]
    pub(crate) at: Option<Spanned<Verbatim>>,
    /// At every instant of a length of time.
    #[serde(default)]
    pub(crate) holds: Option<Spanned<Holds>>,
    /// A CEL condition that is true at no instant from the step's action until the scenario ends.
    #[serde(default)]
    pub(crate) never: Option<Spanned<Verbatim>>,
    /// Two CEL conditions: the first becomes true strictly before the second.
    #[serde(default)]
    pub(crate) before: Option<Spanned<Before>>,
    /// What `kubectl get pods` prints: NAME READY STATUS RESTARTS AGE, optionally INDEX and NODE.
    #[serde(default, rename = "kubectl get pods")]
    pub(crate) pods: Option<Spanned<String>>,
    /// What `kubectl get jobs` prints: NAME STATUS COMPLETIONS DURATION AGE.
    #[serde(default, rename = "kubectl get jobs")]
    pub(crate) jobs: Option<Spanned<String>>,
    /// What `kubectl get nodes` prints: NAME STATUS ROLES AGE VERSION.
    #[serde(default, rename = "kubectl get nodes")]
    pub(crate) nodes: Option<Spanned<String>>,
    /// Events: REASON TYPE OBJECT MESSAGE COUNT.
    #[serde(default, rename = "kubectl get events")]
    pub(crate) events: Option<Spanned<String>>,
    /// What `flux resource list` prints: STATE NNODES NCORES NGPUS NODELIST.
    #[serde(default, rename = "flux resource list")]
    pub(crate) flux_resource_list: Option<Spanned<String>>,
    /// What `flux resource status` prints: STATE UP NNODES NODELIST.
    #[serde(default, rename = "flux resource status")]
    pub(crate) flux_resource_status: Option<Spanned<String>>,
    /// What `flux resource drain` prints: TIME STATE REASON NODELIST.
    #[serde(default, rename = "flux resource drain")]
    pub(crate) flux_resource_drain: Option<Spanned<String>>,
    /// What `flux overlay status` prints, line by line.
    #[serde(default, rename = "flux overlay status")]
    pub(crate) flux_overlay_status: Option<Spanned<String>>,
    /// What `flux hostlist` prints.
    #[serde(default, rename = "flux hostlist")]
    pub(crate) flux_hostlist: Option<Spanned<String>>,
    /// The MiniCluster at whose lead the commands of Flux are typed, where there are several.
    #[serde(default)]
    pub(crate) minicluster: Option<Spanned<String>>,
    /// What `flux jobs -a` prints: JOBID USER NAME ST NTASKS NNODES TIME INFO.
    #[serde(default, rename = "flux jobs -a")]
    pub(crate) flux_jobs: Option<Spanned<String>>,
    /// Fields of a Job's status.
    #[serde(default)]
    pub(crate) job: Option<Spanned<JobFields>>,
    /// A condition in CEL over `pods`, `jobs`, `job`, `nodes`, `events`, `minicluster`, `flux` and `now`.
    #[serde(default)]
    pub(crate) that: Option<Spanned<Verbatim>>,
    /// The step's action was refused by the API server.
    #[serde(default)]
    pub(crate) refused: Option<Spanned<Refused>>,
}

/// `holds`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Holds {
    /// How long (`5m`).
    #[serde(rename = "for")]
    pub(crate) length: Spanned<Verbatim>,
    /// A condition in CEL; may be absent when the expectation claims something else.
    #[serde(default)]
    pub(crate) that: Option<Spanned<Verbatim>>,
}

/// `before`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Before {
    /// What becomes true first, in CEL.
    pub(crate) first: Spanned<Verbatim>,
    /// What becomes true later, in CEL.
    pub(crate) then: Spanned<Verbatim>,
}

/// `job`: fields of a Job's status; those that are absent may have any value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct JobFields {
    /// The Job; may be absent when the scenario has only one.
    #[serde(default)]
    pub(crate) name: Option<Spanned<String>>,
    /// Pods that have neither ended nor are being deleted.
    #[serde(default)]
    pub(crate) active: Option<Spanned<i32>>,
    /// Active pods that are ready.
    #[serde(default)]
    pub(crate) ready: Option<Spanned<i32>>,
    /// Pods that have succeeded.
    #[serde(default)]
    pub(crate) succeeded: Option<Spanned<i32>>,
    /// Pods that have failed.
    #[serde(default)]
    pub(crate) failed: Option<Spanned<i32>>,
    /// Pods that are being deleted and have not ended; null: not reported.
    #[serde(default)]
    pub(crate) terminating: Option<Spanned<Nullable<i32>>>,
    /// Indexes that have succeeded, as the controller writes them: `0,2-4`.
    #[serde(default)]
    pub(crate) completed_indexes: Option<Spanned<Verbatim>>,
    /// Indexes that have failed, as the controller writes them; null: not reported.
    #[serde(default)]
    pub(crate) failed_indexes: Option<Spanned<Nullable<Verbatim>>>,
    /// Exactly these conditions are True, in this order: `Type` or `Type/Reason`.
    #[serde(default)]
    pub(crate) conditions: Option<Spanned<Vec<Spanned<String>>>>,
    /// The Suspended condition; null: there is none.
    #[serde(default)]
    pub(crate) suspended: Option<Spanned<Nullable<bool>>>,
}

/// `refused`; parts that are absent match anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Refused {
    /// Path of the field that one of the errors is about: `spec.completions`.
    #[serde(default)]
    pub(crate) field: Option<String>,
    /// Kind of the error: `Invalid`, `Required`, `Forbidden`, …, or a reason such as `NotFound`.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// Part of its message.
    #[serde(default)]
    pub(crate) message: Option<String>,
}
