//! Whether a clause is true of what is to be seen, and if not, what is different.

use std::ops::Range;

use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{CelExpression, Claim, Clause, JobClaim, RefusedClaim, Spanned};
use towtank_scenario::observation::{JobView, Observation};

use crate::kubectl;
use crate::table::{self, DiffLine};
use crate::world::{Refusal, RefusedField};

/// What clauses are judged on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What is to be seen.
    pub observation: &'a Observation,
    /// The answer to the step's action, when it was refused.
    pub refusal: Option<&'a Refusal>,
    /// The version that is played: it decides which columns a table has.
    pub version: KubernetesVersion,
}

/// A clause that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Place of the clause.
    pub span: Range<usize>,
    /// What is different.
    pub difference: Difference,
}

/// How what is to be seen differs from a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A pasted table.
    Table {
        /// The command that prints it.
        command: &'static str,
        /// Both tables, aligned.
        lines: Vec<DiffLine>,
    },
    /// Fields of a Job's status.
    Fields {
        /// The Job.
        job: String,
        /// Those that differ.
        fields: Vec<FieldDifference>,
    },
    /// Anything else, in words.
    Text {
        /// What the clause says.
        expected: String,
        /// What there is.
        actual: String,
    },
}

/// One field of a `job:` clause that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDifference {
    /// Place of the field's value.
    pub span: Range<usize>,
    /// The field.
    pub field: &'static str,
    /// What the clause says.
    pub expected: String,
    /// What the Job says.
    pub actual: String,
}

/// Whether clauses held when they were last judged: nothing is judged twice on the same state.
#[derive(Debug)]
pub struct Memo {
    /// A condition among them reads the clock, so that its truth changes by itself.
    is_timed: bool,
    last: Option<(u64, bool)>,
    evaluations: u64,
}

impl Memo {
    /// Nothing is known yet about these clauses.
    pub fn new(clauses: &[Clause]) -> Self {
        let is_timed = clauses.iter().any(|clause| match &clause.claim {
            Claim::Cel(expression) => reads_clock(expression),
            Claim::Table(_) | Claim::Job { .. } | Claim::Refused(_) => false,
        });
        Self { is_timed, last: None, evaluations: 0 }
    }

    /// Whether all of the clauses hold; `generation` tells whether the state is still the one that was judged.
    pub fn holds(&mut self, clauses: &[Clause], generation: u64, subject: &Subject<'_>) -> bool {
        if let Some((judged, truth)) = self.last
            && judged == generation
            && !self.is_timed
        {
            return truth;
        }
        self.evaluations += 1;
        let truth = clauses.iter().all(|clause| holds(&clause.claim, subject));
        self.last = Some((generation, truth));
        truth
    }

    /// How often the clauses were judged.
    pub const fn evaluations(&self) -> u64 {
        self.evaluations
    }
}

/// Whether the truth of a condition may change while the state does not: it names a variable or a field whose value
/// changes as time passes.
fn reads_clock(expression: &CelExpression) -> bool {
    const TIMED: [&str; 2] = ["now", "age"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.text.split(|c| !is_word(c)).any(|word| TIMED.contains(&word))
}

/// Whether `claim` is true. A condition that cannot be evaluated is not.
pub fn holds(claim: &Claim, subject: &Subject<'_>) -> bool {
    match claim {
        Claim::Table(expected) => {
            table::agrees(expected, &kubectl::grid_of(expected, subject.observation, subject.version))
        }
        Claim::Job { name, fields } => named_job(name.as_deref(), subject).is_some_and(|job| {
            job.exists && fields.iter().all(|field| compared(&field.value, job).is_none())
        }),
        Claim::Cel(expression) => expression.is_true(subject.observation),
        Claim::Refused(claim) => subject.refusal.is_some_and(|refusal| is_refused_as(claim, refusal)),
    }
}

/// What is different; `None` when the clause holds.
pub fn mismatch(clause: &Clause, subject: &Subject<'_>) -> Option<Mismatch> {
    if holds(&clause.claim, subject) {
        return None;
    }
    let difference = match &clause.claim {
        Claim::Table(expected) => {
            let actual = kubectl::grid_of(expected, subject.observation, subject.version);
            Difference::Table { command: expected.command.as_str(), lines: table::diff(expected, &actual) }
        }
        Claim::Job { name, fields } => match named_job(name.as_deref(), subject) {
            Some(job) if job.exists => {
                Difference::Fields { job: job.name.clone(), fields: field_differences(fields, job) }
            }
            job => Difference::Text {
                expected: format!("Job `{}`", name.as_deref().or(job.map(|job| &*job.name)).unwrap_or("")),
                actual: "there is no such Job now".to_owned(),
            },
        },
        Claim::Cel(expression) => Difference::Text {
            expected: expression.text.clone(),
            actual: match expression.holds(subject.observation) {
                Ok(truth) => truth.to_string(),
                Err(error) => format!("cannot be evaluated: {}", error.reason),
            },
        },
        Claim::Refused(claim) => Difference::Text {
            expected: describe_refused(claim),
            actual: subject.refusal.map_or_else(
                || "the action was accepted".to_owned(),
                |refusal| format!("refused, {refusal}"),
            ),
        },
    };
    Some(Mismatch { span: clause.span.clone(), difference })
}

/// A clause in a few words.
pub fn describe(clause: &Clause) -> String {
    match &clause.claim {
        Claim::Table(table) => format!("the table of `{}`", table.command.as_str()),
        Claim::Job { name, fields } => {
            let fields = fields.iter().map(|field| {
                let (name, value) = field_of(&field.value);
                format!("{name}: {value}")
            });
            let fields = fields.collect::<Vec<_>>().join(", ");
            match name {
                Some(name) => format!("job {name} {{{fields}}}"),
                None => format!("job {{{fields}}}"),
            }
        }
        Claim::Cel(expression) => expression.text.clone(),
        Claim::Refused(claim) => describe_refused(claim),
    }
}

fn describe_refused(claim: &RefusedClaim) -> String {
    let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} `{value}`"));
    let parts: Vec<String> =
        [part("field", &claim.field), part("type", &claim.kind), part("message with", &claim.message)]
            .into_iter()
            .flatten()
            .collect();
    format!("refused, {}", if parts.is_empty() { "for any reason".to_owned() } else { parts.join(", ") })
}

/// The Job that a clause is about: the one it names, or the only one.
fn named_job<'a>(name: Option<&str>, subject: &Subject<'a>) -> Option<&'a JobView> {
    match (name, subject.observation.jobs.as_slice()) {
        (Some(name), jobs) => jobs.iter().find(|job| job.name == name),
        (None, [job]) => Some(job),
        (None, _) => None,
    }
}

fn field_differences(fields: &[Spanned<JobClaim>], job: &JobView) -> Vec<FieldDifference> {
    let difference = |claim: &Spanned<JobClaim>| {
        let actual = compared(&claim.value, job)?;
        let (field, expected) = field_of(&claim.value);
        Some(FieldDifference { span: claim.span.clone(), field, expected, actual })
    };
    fields.iter().filter_map(difference).collect()
}

/// Name of the field and the value that the clause demands.
fn field_of(claim: &JobClaim) -> (&'static str, String) {
    match claim {
        JobClaim::Active(value) => ("active", value.to_string()),
        JobClaim::Ready(value) => ("ready", value.to_string()),
        JobClaim::Succeeded(value) => ("succeeded", value.to_string()),
        JobClaim::Failed(value) => ("failed", value.to_string()),
        JobClaim::Terminating(value) => ("terminating", or_null(*value)),
        JobClaim::CompletedIndexes(value) => ("completedIndexes", quoted(value)),
        JobClaim::FailedIndexes(value) => ("failedIndexes", or_null(value.as_deref().map(quoted))),
        JobClaim::Conditions(value) => {
            let one = |(kind, reason): &(String, Option<String>)| match reason {
                Some(reason) => format!("{kind}/{reason}"),
                None => kind.clone(),
            };
            ("conditions", format!("[{}]", value.iter().map(one).collect::<Vec<_>>().join(", ")))
        }
        JobClaim::Suspended(value) => ("suspended", or_null(*value)),
    }
}

/// What the Job says instead; `None` when it says the same.
fn compared(claim: &JobClaim, job: &JobView) -> Option<String> {
    fn differs<T: PartialEq>(expected: &T, actual: T, show: impl FnOnce(T) -> String) -> Option<String> {
        if *expected == actual { None } else { Some(show(actual)) }
    }
    let number = |value: i64| value.to_string();
    match claim {
        JobClaim::Active(value) => differs(&i64::from(*value), job.active, number),
        JobClaim::Ready(value) => differs(&Some(i64::from(*value)), job.ready, or_null),
        JobClaim::Succeeded(value) => differs(&i64::from(*value), job.succeeded, number),
        JobClaim::Failed(value) => differs(&i64::from(*value), job.failed, number),
        JobClaim::Terminating(value) => differs(&value.map(i64::from), job.terminating, or_null),
        JobClaim::CompletedIndexes(value) => differs(&value.as_str(), job.completed_indexes.as_str(), quoted),
        JobClaim::FailedIndexes(value) => {
            differs(&value.as_deref(), job.failed_indexes.as_deref(), |actual| or_null(actual.map(quoted)))
        }
        JobClaim::Conditions(value) => conditions_differ(value, job),
        JobClaim::Suspended(value) => {
            let actual = job.conditions.iter().find(|condition| condition.kind == "Suspended");
            differs(value, actual.map(|condition| condition.status == "True"), or_null)
        }
    }
}

/// The types that are True, in order, must be the ones claimed, with the reason where one is claimed.
fn conditions_differ(claimed: &[(String, Option<String>)], job: &JobView) -> Option<String> {
    let actual: Vec<_> = job.conditions.iter().filter(|condition| condition.status == "True").collect();
    let same = claimed.len() == actual.len()
        && claimed.iter().zip(&actual).all(|((kind, reason), condition)| {
            *kind == condition.kind && reason.as_ref().is_none_or(|reason| *reason == condition.reason)
        });
    if same {
        return None;
    }
    let one = |condition: &&towtank_scenario::observation::JobConditionView| match &*condition.reason {
        "" => condition.kind.clone(),
        reason => format!("{}/{reason}", condition.kind),
    };
    Some(format!("[{}]", actual.iter().map(one).collect::<Vec<_>>().join(", ")))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn or_null<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// Whether one error of the refusal has everything that the claim names.
fn is_refused_as(claim: &RefusedClaim, refusal: &Refusal) -> bool {
    let in_message = |text: &str| claim.message.as_ref().is_none_or(|part| text.contains(part.as_str()));
    let by_field = |error: &RefusedField| {
        claim.field.as_ref().is_none_or(|field| *field == error.field)
            && claim.kind.as_ref().is_none_or(|kind| *kind == error.kind)
            && (in_message(&error.detail) || in_message(&refusal.message))
    };
    if refusal.fields.iter().any(by_field) {
        return true;
    }
    claim.field.is_none()
        && claim.kind.as_ref().is_none_or(|kind| *kind == refusal.reason)
        && in_message(&refusal.message)
}
