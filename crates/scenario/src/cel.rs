//! Conditions in CEL (the Common Expression Language) over an [`Observation`].
//!
//! CEL is dynamically typed: a field that does not exist, or a number compared with a text, would show only when it is
//! evaluated, perhaps in the last minute of a long run, perhaps never because `&&` stopped before it. So a condition is
//! checked in whole before anything runs: its names and types against those of [`Observation::sample`], and then once
//! by evaluating it there.

mod types;

use std::ops::Range;
use std::sync::Arc;

use cel::{ExecutionError, Program, Value};

use crate::ast::CelExpression;
use crate::error::Problem;
use crate::observation::{JobView, Observation};

/// Characters that a condition may have.
const TEXT_MAX: usize = 2_000;

/// A condition that cannot be used: the place, what is wrong, what would be right.
#[derive(Debug)]
pub(crate) struct CelError {
    /// Byte range within the text.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) problem: Problem,
    /// What would be right.
    pub(crate) help: String,
}

/// A condition could not be evaluated over an observation that lacks a value, or has fewer elements than it counts on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate `{text}`: {reason}")]
pub struct EvaluationError {
    /// The condition.
    pub text: String,
    /// What CEL says.
    pub reason: String,
}

impl CelExpression {
    /// Compiles and checks a condition about a scenario with one Job.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        compile(text, Known { only_job: true, only_minicluster: true })
            .map_err(|error| format!("`{text}`: {}; {}", error.problem, error.help))
    }

    /// Whether the condition is true of `observation`. The variable `job` is the only Job of the observation.
    ///
    /// # Errors
    /// An operation has no meaning for the values at hand, for instance a comparison with an optional field that is
    /// null (`p.index < 3` for a pod without index). Such a condition is not true.
    pub fn holds(&self, observation: &Observation) -> Result<bool, EvaluationError> {
        match execute(&self.program, observation) {
            Ok(Value::Bool(value)) => Ok(value),
            Ok(other) => Err(self.failure(format!("its value is {other:?}, not true or false"))),
            Err(error) => Err(self.failure(error.to_string())),
        }
    }

    /// Whether the condition is true; one that cannot be evaluated is not. Parts that are quick to judge come first.
    pub fn is_true(&self, observation: &Observation) -> bool {
        let is_false = |part: &Arc<Program>| execute(part, observation) == Ok(Value::Bool(false));
        !self.brief.iter().any(is_false) && self.holds(observation) == Ok(true)
    }

    fn failure(&self, reason: String) -> EvaluationError {
        EvaluationError { text: self.text.clone(), reason }
    }
}

/// Converts only those parts of the observation that the condition speaks of.
fn execute(program: &Program, observation: &Observation) -> Result<Value, ExecutionError> {
    thread_local! {
        /// The functions of CEL: they take longer to gather than most conditions to evaluate.
        static FUNCTIONS: cel::Context<'static, 'static> = cel::Context::default();
    }
    FUNCTIONS.with(|functions| execute_in(program, functions.new_inner_scope(), observation))
}

fn execute_in(
    program: &Program,
    mut context: cel::Context<'_, '_>,
    observation: &Observation,
) -> Result<Value, ExecutionError> {
    let internal = |error: cel::SerializationError| ExecutionError::InternalError(error.to_string());
    let references = program.references();
    let is_used = |name: &str| references.has_variable(name);
    if is_used("now") {
        context.add_variable_from_value("now", observation.now);
    }
    if is_used("pods") {
        context.add_variable_from_value("pods", cel::to_value(&observation.pods).map_err(internal)?);
    }
    if is_used("jobs") {
        let there: Vec<&JobView> = observation.jobs.iter().filter(|job| job.exists).collect();
        context.add_variable_from_value("jobs", cel::to_value(there).map_err(internal)?);
    }
    if is_used("nodes") {
        context.add_variable_from_value("nodes", cel::to_value(&observation.nodes).map_err(internal)?);
    }
    if is_used("events") {
        context.add_variable_from_value("events", cel::to_value(&observation.events).map_err(internal)?);
    }
    if is_used("miniclusters") {
        let there: Vec<_> = observation.miniclusters.iter().filter(|it| it.exists).collect();
        context.add_variable_from_value("miniclusters", cel::to_value(there).map_err(internal)?);
    }
    if let [minicluster] = observation.miniclusters.as_slice() {
        if is_used("minicluster") {
            context.add_variable_from_value("minicluster", cel::to_value(minicluster).map_err(internal)?);
        }
        if is_used("flux") {
            context.add_variable_from_value("flux", cel::to_value(&minicluster.flux).map_err(internal)?);
        }
    }
    if is_used("job")
        && let [job] = observation.jobs.as_slice()
    {
        context.add_variable_from_value("job", cel::to_value::<&JobView>(job).map_err(internal)?);
    }
    program.execute(&context)
}

/// The parts of a row of `&&` that do not speak of all pods or events; none where there is another operator beside them.
fn brief_parts(text: &str) -> Vec<Arc<Program>> {
    // Text in quotes that may hold anything is left alone.
    if text.contains(['\\', '?']) || text.contains("||") || text.contains("\"\"\"") || text.contains("'''") {
        return Vec::new();
    }
    let (mut depth, mut quote, mut start) = (0_usize, None, 0);
    let mut parts = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            (None, b'&') if depth == 0 && text.get(at..at + 2) == Some("&&") => {
                parts.extend(text.get(start..at));
                start = at + 2;
            }
            _ => {}
        }
    }
    if start == 0 {
        return Vec::new();
    }
    parts.extend(text.get(start..));
    let programs = parts.into_iter().filter_map(|part| Program::compile(part).ok());
    let is_brief = |program: &Program| {
        let references = program.references();
        !references.has_variable("pods") && !references.has_variable("events")
    };
    programs.filter(is_brief).map(Arc::new).collect()
}

/// Which variables there are that speak of the only one of its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// `job`.
    pub(crate) only_job: bool,
    /// `minicluster` and `flux`.
    pub(crate) only_minicluster: bool,
}

/// Compiles and checks a condition.
pub(crate) fn compile(text: &str, known: Known) -> Result<CelExpression, CelError> {
    if text.len() > TEXT_MAX {
        return Err(CelError {
            span: TEXT_MAX..TEXT_MAX + 1,
            problem: Problem::Limit(format!("a condition may have {TEXT_MAX} characters")),
            help: "split it into several expectations".to_owned(),
        });
    }
    check_nesting(text)?;
    let program = Program::compile(text).map_err(|errors| syntax_error(text, &errors))?;
    types::check(&program, text, known)?;
    let (program, brief) = (Arc::new(program), brief_parts(text));
    let expression = CelExpression { text: text.to_owned(), program, brief };
    match execute(&expression.program, &Observation::sample()) {
        Ok(Value::Bool(_)) => Ok(expression),
        Ok(other) => Err(whole(text, format!("it yields {other:?}"), "a condition must be true or false")),
        Err(error) if depends_on_data(&error) => Ok(expression),
        Err(error) => Err(whole(text, error.to_string(), types::HELP)),
    }
}

/// The error can come from the sample having so few and small values.
fn depends_on_data(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::IndexOutOfBounds(_)
            | ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::NoSuchKey(_)
    )
}

fn whole(text: &str, reason: String, help: &str) -> CelError {
    CelError { span: 0..text.len(), problem: Problem::CelType(reason), help: help.to_owned() }
}

/// Refuses what would take the parser too deep: brackets within brackets, and rows of prefix operators.
fn check_nesting(text: &str) -> Result<(), CelError> {
    const NESTING_MAX: usize = 24;
    let (mut depth, mut prefixes) = (0_usize, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match character {
            '!' | '-' => prefixes += 1,
            c if c.is_whitespace() => {}
            _ => prefixes = 0,
        }
        if depth > NESTING_MAX || prefixes > NESTING_MAX {
            return Err(CelError {
                span: at..at + character.len_utf8(),
                problem: Problem::Limit(format!("a condition may be nested {NESTING_MAX} deep")),
                help: "split it into several expectations".to_owned(),
            });
        }
    }
    Ok(())
}

fn syntax_error(text: &str, errors: &cel::ParseErrors) -> CelError {
    let Some(first) = errors.errors.first() else {
        return CelError {
            span: 0..text.len(),
            problem: Problem::CelSyntax("nothing to read".to_owned()),
            help: types::HELP.to_owned(),
        };
    };
    // Lines count from 1; columns too.
    let line = usize::try_from(first.pos.0).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(first.pos.1).unwrap_or(1).saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(line_start..).unwrap_or_default();
    let at = line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    let reason = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg).to_owned();
    let is_single_equals = reason.starts_with("token recognition error at: '=");
    let help = if is_single_equals { "compare with `==`" } else { types::HELP };
    CelError { span: at..at + 1, problem: Problem::CelSyntax(reason), help: help.to_owned() }
}

#[cfg(test)]
mod tests;
