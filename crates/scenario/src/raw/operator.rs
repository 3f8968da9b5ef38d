//! The step `operator`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{FaultKind, text_or_mapping};
use crate::ast::Spanned;
use crate::yaml::de::Verbatim;

/// `operator`: a word, for all replicas, or a mapping.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OperatorStep {
    /// `restart`, `stop` or `start`: its processes, which end as by SIGKILL. `hold`: all its watches stand still, `release`: they catch up.
    Word(String),
    /// More to say.
    Fields(OperatorFields),
}

/// `operator`: exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OperatorFields {
    /// Stop and start at once, of `operatorReplicas` only the one that leads: `leader`.
    #[serde(default)]
    pub(crate) restart: Option<Spanned<Who>>,
    /// Stop that one.
    #[serde(default)]
    pub(crate) stop: Option<Spanned<Who>>,
    /// Requests and events of watches that go wrong from now on: `[{call: patch jobs, fault: conflict}, {watch: pods, fault: expired}]`.
    #[serde(default)]
    pub(crate) faults: Option<Spanned<Vec<Spanned<OperatorFault>>>>,
}

/// Which of several replicas.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Who {
    /// The holder of the Lease.
    Leader,
}

/// A request, or an event of a watch, that goes wrong once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OperatorFault {
    /// The request: verb and resource as in RBAC, `patch jobs` or `patch miniclusters/status`.
    #[serde(default)]
    pub(crate) call: Option<Spanned<Verbatim>>,
    /// The resource of the watch.
    #[serde(default)]
    pub(crate) watch: Option<Spanned<Verbatim>>,
    /// Which of this kind, from 1, counted from this step on, over all replicas and restarts; 1 when absent.
    #[serde(default)]
    pub(crate) nth: Option<Spanned<u32>>,
    /// What becomes of a call: `conflict`, `unreachable`, `answer lost`, `error before`, `error after`, `timeout before`, `timeout after`,
    /// `crash before`, `crash after` (the server has carried it out), or `{delay: 2500ms}`. Of an event: `broken`, `expired`, or `{delay: …}`.
    pub(crate) fault: Spanned<FaultKind>,
}

text_or_mapping!(
    OperatorStep,
    OperatorStep::Word,
    OperatorStep::Fields,
    "`restart`, `stop`, `start`, `hold`, `release`, or a mapping with `restart`, `stop` or `faults`"
);
