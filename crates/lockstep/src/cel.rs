//! Free conditions: CEL over one observation.

use cel::{Context, Value};
use towtank_scenario::ast::CelExpression;
use towtank_scenario::observation::Observation;

/// Variables whose value, or a field of it, changes as time passes though nothing happens.
const TIMED: [&str; 2] = ["now", "age"];

/// Whether the truth of `expression` may change while the state does not.
pub(crate) fn is_timed(expression: &CelExpression) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.text.split(|c| !is_word(c)).any(|word| TIMED.contains(&word))
}

/// Whether `expression` is true of `observation`.
///
/// # Errors
///
/// What the interpreter says: a field that is null, an index out of bounds, a result that is no bool.
pub(crate) fn evaluate(expression: &CelExpression, observation: &Observation) -> Result<bool, String> {
    let mut context = Context::default();
    let mut bind = |name: &str, value: Result<Value, cel::SerializationError>| {
        value.map(|value| context.add_variable_from_value(name, value)).map_err(|error| error.to_string())
    };
    // Only what the expression names is converted: an observation may be large.
    let references = expression.program.references();
    for name in references.variables() {
        match name {
            "pods" => bind(name, cel::to_value(&observation.pods))?,
            "jobs" => bind(name, cel::to_value(&observation.jobs))?,
            "nodes" => bind(name, cel::to_value(&observation.nodes))?,
            "events" => bind(name, cel::to_value(&observation.events))?,
            "now" => bind(name, cel::to_value(observation.now))?,
            "job" => {
                if let [job] = observation.jobs.as_slice() {
                    bind(name, cel::to_value(job))?;
                }
            }
            // A variable of a macro, or one that the interpreter will report as undeclared.
            _ => {}
        }
    }
    match expression.program.execute(&context) {
        Ok(Value::Bool(truth)) => Ok(truth),
        Ok(other) => Err(format!("the condition is no bool but {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}
