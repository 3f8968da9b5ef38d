//! `spec.cluster` and `spec.workloads`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use towtank_model::cluster::{Behaviour, OnTerm};
use towtank_model::job::{CallKind, Fault, FaultPlan};
use towtank_model::version::{Features, Gate, GateError, KubernetesVersion};

use super::scope::Scope;
use super::{FAULTS_MAX, Source};
use crate::ast::{
    ClusterSpec, FluxSpec, FluxVersion, Operator, Pid1, Spanned, VersionRange, WorkloadRule, is_timing_file,
};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::Node;
use crate::{raw, text};

/// Nodes that a cluster may have.
const NODES_MAX: u32 = 100_000;
/// Replicas of the operator.
const REPLICAS_MAX: u32 = 5;
/// Exit code of a process that SIGTERM ends.
const SIGTERM_EXIT_CODE: i32 = 143;
/// Timing profiles.
const TIMINGS: &[(&str, &str)] =
    &[("instant", "instant"), ("virtual", "virtual"), ("kind", "kind"), ("gke", "gke")];

/// What the cluster is, with the defaults filled in.
pub(super) fn spec(
    file: &Source<'_>,
    root: &Node,
    raw: raw::Cluster,
    versions: VersionRange,
) -> Result<ClusterSpec, ScenarioError> {
    if let Some(nodes) = &raw.nodes
        && nodes.value > NODES_MAX
    {
        let problem = Problem::Limit(format!("a cluster may have {NODES_MAX} nodes"));
        return Err(file.error(nodes.span.clone(), problem, "too many").with_help("write fewer nodes"));
    }
    let or = |value: Option<Spanned<u32>>, default: u32| value.map_or(default, |value| value.value);
    let timing = match &raw.timing {
        Some(timing) if is_timing_file(&timing.value) => file.beside(&timing.value),
        Some(timing) => file.word(timing, "timing profile", TIMINGS)?.to_owned(),
        None => "instant".to_owned(),
    };
    let operator = match raw.compat.map(|compat| compat.value) {
        Some(raw::Compat::Upstream) => Operator::Upstream,
        None => Operator::Contract,
    };
    let qps = raw.controller_qps.as_ref().map(|qps| file.positive(qps, "requests per second")).transpose()?;
    Ok(ClusterSpec {
        nodes: or(raw.nodes, 10),
        cores_per_node: or(raw.cores_per_node, 10),
        pods_per_node: or(raw.pods_per_node, 110),
        timing,
        is_one_machine: raw.one_machine.unwrap_or(false),
        feature_gates: feature_gates(file, root, raw.feature_gates.unwrap_or_default(), versions)?,
        controller_qps: qps,
        controller_burst: or(raw.controller_burst, 30),
        flux: flux(file, raw.flux.unwrap_or_default(), operator)?,
        operator,
        operator_replicas: replicas(file, raw.operator_replicas, operator)?,
        faults: faults(file, raw.faults.unwrap_or_default())?,
        manual_pods: raw.pods.is_some_and(|mode| mode.value == raw::PodMode::Manual),
    })
}

/// What is in the images of MiniClusters.
fn flux(file: &Source<'_>, raw: raw::Flux, operator: Operator) -> Result<FluxSpec, ScenarioError> {
    let versions = match &raw.version {
        None => VersionRange::only(FluxVersion::V0_61),
        Some(written) => file.read(written, text::versions)?,
    };
    let pid1 = match (raw.pid1.map(|pid1| pid1.value), operator) {
        (Some(raw::Pid1::Broker), _) => Pid1::Broker,
        (Some(raw::Pid1::Shell), _) | (None, Operator::Upstream) => Pid1::Shell,
        (Some(raw::Pid1::Entrypoint), _) | (None, Operator::Contract) => Pid1::Entrypoint,
    };
    Ok(FluxSpec { versions, pid1, has_view: raw.view.unwrap_or(true) })
}

/// How many processes the operator has.
fn replicas(
    file: &Source<'_>,
    written: Option<Spanned<u32>>,
    operator: Operator,
) -> Result<u32, ScenarioError> {
    let Some(written) = written else { return Ok(1) };
    let replicas = file.positive(&written, "replicas")?;
    let (problem, help) = if operator == Operator::Upstream {
        (Problem::Invalid("the original operator is modelled as one process".to_owned()), "remove this")
    } else if replicas > REPLICAS_MAX {
        let problem = Problem::Limit(format!("the operator may have {REPLICAS_MAX} replicas"));
        (problem, "two are enough to lose a leader")
    } else {
        return Ok(replicas);
    };
    Err(file.error(written.span, problem, "here").with_help(help))
}

/// Which calls go wrong.
fn faults(file: &Source<'_>, written: Vec<Spanned<raw::Fault>>) -> Result<FaultPlan, ScenarioError> {
    const WORDS: &[(&str, Fault)] = &[
        ("conflict", Fault::Conflict),
        ("unreachable", Fault::Unreachable),
        ("answer lost", Fault::AnswerLost),
    ];
    let (mut plan, mut planned) = (FaultPlan::default(), BTreeSet::new());
    for Spanned { value: raw::Fault { call, nth, fault }, span } in written {
        if planned.len() == FAULTS_MAX {
            let problem = Problem::Limit(format!("a scenario may have {FAULTS_MAX} faults"));
            return Err(file.error(span, problem, "one too many").with_help("write fewer faults"));
        }
        let kind = match call {
            raw::CallKind::GetJob => CallKind::GetJob,
            raw::CallKind::CreatePod => CallKind::CreatePod,
            raw::CallKind::PatchPod => CallKind::PatchPod,
            raw::CallKind::DeletePod => CallKind::DeletePod,
            raw::CallKind::UpdateJobStatus => CallKind::UpdateJobStatus,
            raw::CallKind::DeleteJob => CallKind::DeleteJob,
        };
        let number = file.positive(&nth, "calls")?;
        if !planned.insert((kind, number)) {
            let problem = Problem::Invalid("a call goes wrong in one way".to_owned());
            return Err(file
                .error(nth.span, problem, "this call has a fault already")
                .with_help("remove one of the two, or change its `nth`"));
        }
        let fault = match fault.value {
            raw::FaultKind::Word(word) => {
                file.word(&Spanned { value: word, span: fault.span }, "fault", WORDS)?
            }
            raw::FaultKind::Delay(delay) => Fault::Delay(file.read(&delay.delay, text::duration)?),
        };
        plan = plan.with(kind, number.into(), fault);
    }
    Ok(plan)
}

/// Gates that every version of the scenario knows and lets be set.
fn feature_gates(
    file: &Source<'_>,
    root: &Node,
    gates: BTreeMap<String, Spanned<bool>>,
    versions: VersionRange,
) -> Result<Vec<(String, bool)>, ScenarioError> {
    let in_range = |version: &KubernetesVersion| (versions.first..=versions.last).contains(version);
    for (name, value) in &gates {
        let try_in = |version| Features::of(version).set_gate(name, value.value);
        let refusal = KubernetesVersion::all().filter(in_range).find_map(|version| try_in(version).err());
        let Some(refusal) = refusal else { continue };
        let possible: Vec<_> = KubernetesVersion::all().filter(|version| try_in(*version).is_ok()).collect();
        let problem = match &refusal {
            GateError::Unknown { .. } if Gate::from_name(name).is_none() => {
                Problem::Unknown { what: "feature gate", text: name.clone() }
            }
            other => Problem::Invalid(other.to_string()),
        };
        let help = match (possible.first(), possible.last()) {
            (Some(first), Some(last)) => {
                format!(
                    "it can be set to {} in {first} to {last}: `kubernetes: {first}..{last}`",
                    value.value
                )
            }
            _ => suggest(name, Gate::ALL.into_iter().map(Gate::name)),
        };
        let written = root.get("spec").and_then(|spec| spec.get("cluster")?.get("featureGates")?.entry(name));
        let place = written.map_or(&value.span, |(key, _)| &key.span);
        return Err(file.error(place.clone(), problem, "cannot be set").with_help(help));
    }
    Ok(gates.into_iter().map(|(name, value)| (name, value.value)).collect())
}

/// What the containers do.
pub(super) fn workloads(
    file: &Source<'_>,
    scope: &Scope,
    rules: Vec<raw::Workload>,
) -> Result<Vec<WorkloadRule>, ScenarioError> {
    rules.into_iter().map(|rule| workload(file, scope, rule)).collect()
}

fn workload(file: &Source<'_>, scope: &Scope, rule: raw::Workload) -> Result<WorkloadRule, ScenarioError> {
    let facts = rule.job.as_ref().map(|job| scope.job(file, job).map(|facts| (job, facts))).transpose()?;
    if let Some(indexes) = &rule.indexes {
        let set = file.read(indexes, text::index_set)?;
        if let Some((job, facts)) = facts
            && let Some(index) =
                text::last_index(&set.to_string()).filter(|index| *index >= facts.completions_max)
        {
            let problem = Problem::IndexOutOfRange { job: job.value.clone(), index };
            return Err(file
                .error(indexes.span.clone(), problem, "no pod ever has all of these")
                .with_help(facts.range_in_words()));
        }
    }
    let incarnation = rule.incarnation.as_ref().map(|it| file.positive(it, "incarnations")).transpose()?;
    let runs_for = rule.runs_for.as_ref().map(|it| file.read(it, text::duration)).transpose()?;
    if let (Some(code), None) = (&rule.exit_code, runs_for) {
        let problem = Problem::MissingField("runsFor".to_owned());
        return Err(file.error(code.span.clone(), problem, "when does it end with this code?").with_help(
            "say how long it runs: `runsFor: 30s`; for the code at SIGTERM, `onTerm: {exitCode: …}`",
        ));
    }
    Ok(WorkloadRule {
        job: rule.job.map(|job| job.value),
        indexes: rule.indexes.map(|indexes| indexes.value.0),
        incarnation,
        behaviour: Behaviour {
            runs_for,
            exit_code: rule.exit_code.map_or(0, |code| code.value),
            on_term: on_term(file, rule.on_term)?,
        },
    })
}

fn on_term(file: &Source<'_>, written: Option<Spanned<raw::OnTerm>>) -> Result<OnTerm, ScenarioError> {
    match written {
        None => Ok(OnTerm::Exit { exit_code: SIGTERM_EXIT_CODE, after: Duration::ZERO }),
        Some(Spanned { value: raw::OnTerm::Word(word), .. }) if word == "ignore" => Ok(OnTerm::Ignore),
        Some(Spanned { value: raw::OnTerm::Word(word), span }) => {
            let problem = Problem::Unknown { what: "behaviour at SIGTERM", text: word };
            let help = "write `ignore`, or how it ends: `{exitCode: 0, after: 5s}`";
            Err(file.error(span, problem, "here").with_help(help))
        }
        Some(Spanned { value: raw::OnTerm::Exit(exit), .. }) => Ok(OnTerm::Exit {
            exit_code: exit.exit_code.map_or(SIGTERM_EXIT_CODE, |code| code.value),
            after: exit.after.map(|after| file.read(&after, text::duration)).transpose()?.unwrap_or_default(),
        }),
    }
}
