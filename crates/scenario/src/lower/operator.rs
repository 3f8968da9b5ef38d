//! The step `operator`: what happens to the operator's processes, and what goes wrong for them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::scope::Scope;
use super::{FAULTS_MAX, Source};
use crate::ast::{
    Operator, OperatorChange, OperatorFault, OperatorFaultKind, Replicas, RequestFault, Spanned, WatchFault,
};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::de::Verbatim;
use crate::{raw, text};

/// Verbs of RBAC that the operator has a use for.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
/// Resources that the operator has to do with.
const RESOURCES: [&str; 9] = [
    "configmaps",
    "events",
    "jobs",
    "leases",
    "miniclusters",
    "miniclusters/status",
    "pods",
    "secrets",
    "services",
];
/// Those of them that it watches.
const WATCHED: [&str; 6] = ["configmaps", "jobs", "miniclusters", "pods", "secrets", "services"];
/// What can become of a call.
const CALL_FAULTS: &[(&str, RequestFault)] = &[
    ("conflict", RequestFault::Conflict),
    ("unreachable", RequestFault::Broken { executed: false }),
    ("answer lost", RequestFault::Broken { executed: true }),
    ("error before", RequestFault::Error { executed: false }),
    ("error after", RequestFault::Error { executed: true }),
    ("timeout before", RequestFault::Timeout { executed: false }),
    ("timeout after", RequestFault::Timeout { executed: true }),
    ("crash before", RequestFault::Crash { executed: false }),
    ("crash after", RequestFault::Crash { executed: true }),
];
/// What can become of an event of a watch.
const WATCH_FAULTS: &[(&str, WatchFault)] =
    &[("broken", WatchFault::Broken), ("expired", WatchFault::Expired)];

/// Reads the step.
pub(super) fn change(
    file: &Source<'_>,
    scope: &Scope,
    step: raw::OperatorStep,
    span: Range<usize>,
) -> Result<OperatorChange, ScenarioError> {
    const WORDS: &[(&str, Word)] = &[
        ("restart", Word::Restart),
        ("stop", Word::Stop),
        ("start", Word::Start),
        ("hold", Word::Hold),
        ("release", Word::Release),
    ];
    let invalid = |span: Range<usize>, problem: &str, help: &str| {
        file.error(span, Problem::Invalid(problem.to_owned()), "here").with_help(help)
    };
    if scope.operator == Operator::Upstream {
        let problem = "what goes wrong for the original operator is not modelled";
        return Err(invalid(span, problem, "leave out `compat: upstream`, or this step"));
    }
    if !scope.has_miniclusters() {
        let problem = "the operator has nothing to do here";
        return Err(invalid(
            span,
            problem,
            "no step applies a MiniCluster; the Job controller is `controller`",
        ));
    }
    let fields = match step {
        raw::OperatorStep::Word(word) => {
            let word = Spanned { value: word, span };
            return Ok(match file.word(&word, "word for the operator", WORDS)? {
                Word::Restart => OperatorChange::Restart(Replicas::All),
                Word::Stop => OperatorChange::Stop(Replicas::All),
                Word::Start => OperatorChange::Start,
                Word::Hold => OperatorChange::Hold,
                Word::Release => OperatorChange::Release,
            });
        }
        raw::OperatorStep::Fields(fields) => fields,
    };
    let leader = |who: Spanned<raw::Who>| {
        let raw::Who::Leader = who.value;
        match scope.operator_replicas {
            1 => Err(invalid(
                who.span,
                "nobody leads where there is one replica",
                "write `operatorReplicas: 2` in the cluster, or the word alone: `operator: stop`",
            )),
            _ => Ok(Replicas::Leader),
        }
    };
    match (fields.restart, fields.stop, fields.faults) {
        (Some(who), None, None) => leader(who).map(OperatorChange::Restart),
        (None, Some(who), None) => leader(who).map(OperatorChange::Stop),
        (None, None, Some(written)) if !written.value.is_empty() => {
            faults(file, written.value).map(OperatorChange::Faults)
        }
        _ => Err(invalid(
            span,
            "`operator` does one thing",
            "write a word, `{stop: leader}`, `{restart: leader}` or `{faults: [{call: patch jobs, fault: conflict}]}`",
        )),
    }
}

#[derive(Clone, Copy)]
enum Word {
    Restart,
    Stop,
    Start,
    Hold,
    Release,
}

/// Requests and events that go wrong, each in one way.
fn faults(
    file: &Source<'_>,
    written: Vec<Spanned<raw::OperatorFault>>,
) -> Result<Vec<OperatorFault>, ScenarioError> {
    let (mut faults, mut planned) = (Vec::new(), BTreeSet::new());
    for Spanned { value, span } in written {
        if faults.len() == FAULTS_MAX {
            let problem = Problem::Limit(format!("a step may plan {FAULTS_MAX} faults"));
            return Err(file.error(span, problem, "one too many").with_help("write fewer faults"));
        }
        let fault = fault(file, value, &span)?;
        let verb = match fault.fault {
            OperatorFaultKind::Call(verb, _) => Some(verb),
            OperatorFaultKind::Watch(_) => None,
        };
        if !planned.insert((verb, fault.resource, fault.nth)) {
            let problem = Problem::Invalid("it goes wrong in one way".to_owned());
            return Err(file
                .error(span, problem, "this one has a fault already")
                .with_help("remove one of the two, or change its `nth`"));
        }
        faults.push(fault);
    }
    Ok(faults)
}

fn fault(
    file: &Source<'_>,
    raw::OperatorFault { call, watch, nth, fault }: raw::OperatorFault,
    span: &Range<usize>,
) -> Result<OperatorFault, ScenarioError> {
    let nth = nth.as_ref().map_or(Ok(1), |nth| file.positive(nth, "calls and events"))?;
    match (call, watch) {
        (Some(call), None) => {
            let (verb, resource) = call_of(file, &call)?;
            let (is_conflict, place) = match &fault.value {
                raw::FaultKind::Word(word) => (word == "conflict", fault.span.clone()),
                raw::FaultKind::Delay(_) => (false, fault.span.clone()),
            };
            if is_conflict && !matches!(verb, "update" | "patch") {
                let problem = Problem::Invalid(format!("`{verb}` meets no conflict"));
                return Err(file
                    .error(place, problem, "only changes of an object do")
                    .with_help("write `error before`, or a call that is `update …` or `patch …`"));
            }
            let fault = kind(file, fault, "fault of a call", CALL_FAULTS, RequestFault::Delay)?;
            Ok(OperatorFault { resource, nth, fault: OperatorFaultKind::Call(verb, fault) })
        }
        (None, Some(watch)) => {
            let resource = resource(file, &watch.value.0, &watch.span, &WATCHED)?;
            let fault = kind(file, fault, "fault of a watch", WATCH_FAULTS, WatchFault::Delay)?;
            Ok(OperatorFault { resource, nth, fault: OperatorFaultKind::Watch(fault) })
        }
        _ => {
            let problem = Problem::Invalid("a fault needs one of `call` and `watch`".to_owned());
            let help = "write for example `{call: patch jobs, fault: conflict}`";
            Err(file.error(span.clone(), problem, "here").with_help(help))
        }
    }
}

/// A word of these, or a delay.
fn kind<T: Copy>(
    file: &Source<'_>,
    written: Spanned<raw::FaultKind>,
    what: &'static str,
    words: &[(&str, T)],
    delayed: impl FnOnce(std::time::Duration) -> T,
) -> Result<T, ScenarioError> {
    match written.value {
        raw::FaultKind::Word(word) => file.word(&Spanned { value: word, span: written.span }, what, words),
        raw::FaultKind::Delay(delay) => file.read(&delay.delay, text::duration).map(delayed),
    }
}

/// `patch jobs`.
fn call_of(
    file: &Source<'_>,
    written: &Spanned<Verbatim>,
) -> Result<(&'static str, &'static str), ScenarioError> {
    let mut words = written.value.0.split_whitespace();
    let (Some(verb), Some(plural), None) = (words.next(), words.next(), words.next()) else {
        let problem = Problem::Invalid("a call is a verb and a resource".to_owned());
        let help = "write them as in RBAC, for example `patch jobs`";
        return Err(file.error(written.span.clone(), problem, "here").with_help(help));
    };
    let known = VERBS.into_iter().find(|known| *known == verb).ok_or_else(|| {
        let problem = Problem::Unknown { what: "verb", text: verb.to_owned() };
        file.error(written.span.clone(), problem, "here").with_help(suggest(verb, VERBS))
    })?;
    Ok((known, resource(file, plural, &written.span, &RESOURCES)?))
}

fn resource(
    file: &Source<'_>,
    plural: &str,
    span: &Range<usize>,
    known: &'static [&'static str],
) -> Result<&'static str, ScenarioError> {
    known.iter().copied().find(|known| *known == plural).ok_or_else(|| {
        let problem = Problem::Unknown { what: "resource of the operator", text: plural.to_owned() };
        file.error(span.clone(), problem, "here").with_help(suggest(plural, known.iter().copied()))
    })
}
