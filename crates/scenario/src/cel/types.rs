//! Names and types of a condition, without evaluating it.

use std::ops::Range;

use cel::Program;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::{CelError, Known};
use crate::error::{Problem, suggest};
use crate::observation::Observation;

/// What a condition may say.
pub(super) const HELP: &str = "a condition is CEL over `pods`, `jobs`, `job`, `nodes`, `events`, `minicluster`, `flux` and `now`: \
     `job.active == 2 && pods.exists(p, p.index == 0 && p.ready)`";

/// Depth of the tree that is walked: a row of a hundred operators is a hundred deep.
const DEPTH_MAX: usize = 200;
/// Greatest depth of `exists`, `filter`, `map`, … within each other.
const LOOPS_MAX: usize = 2;

/// Functions with a fixed result.
const FUNCTIONS: &[(&str, Type)] = &[
    ("size", Type::Int),
    ("contains", Type::Bool),
    ("startsWith", Type::Bool),
    ("endsWith", Type::Bool),
    ("matches", Type::Bool),
    ("int", Type::Int),
    ("uint", Type::Int),
    ("double", Type::Double),
    ("string", Type::Text),
    (operators::NOT_STRICTLY_FALSE, Type::Bool),
];
/// Macros, for suggestions.
const MACROS: &[&str] = &["all", "exists", "exists_one", "filter", "map", "has"];

/// Type of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    /// Not known, or several.
    Any,
    /// Of the elements of an empty list.
    Never,
    Null,
    Bool,
    Int,
    Double,
    Text,
    List(Box<Type>),
    Record(Vec<(String, Type)>),
}

impl Type {
    /// The type of the sample's values.
    fn of(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Double,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Text,
            Value::Array(items) => Self::List(Box::new(items.first().map_or(Self::Any, Self::of))),
            Value::Object(fields) => {
                Self::Record(fields.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Any | Self::Never => "a value",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int | Self::Double => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Record(_) => "an object",
        }
    }

    const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    const fn is_open(&self) -> bool {
        matches!(self, Self::Any | Self::Never)
    }

    /// Values of these types can be equal. Optional fields may be null, so null may be compared with anything.
    fn can_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.can_equal(b),
            (Self::Null, _) | (_, Self::Null) => true,
            (a, b) => a.is_open() || b.is_open() || (a.is_number() && b.is_number()) || a == b,
        }
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, one) | (one, Self::Never) => one,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (a, b) if a == b => a,
            _ => Self::Any,
        }
    }
}

/// Checks all names and types of a program, and that it yields true or false.
pub(super) fn check(program: &Program, text: &str, known: Known) -> Result<(), CelError> {
    let mut variables: Vec<(String, Type)> =
        match Type::of(&serde_json::Value::Object(Observation::sample().variables())) {
            Type::Record(fields) => fields,
            _ => Vec::new(),
        };
    variables.retain(|(name, _)| match &**name {
        "job" => known.only_job,
        "minicluster" | "flux" => known.only_minicluster,
        _ => true,
    });
    let mut checker = Checker { program, text, variables, depth: 0, loops: 0 };
    let root = program.expression();
    let found = checker.type_of(root)?;
    if found == Type::Bool || found.is_open() {
        Ok(())
    } else {
        let reason = format!("it yields {}, not true or false", found.name());
        Err(CelError {
            span: 0..text.len(),
            problem: Problem::CelType(reason),
            help: "compare it with something: `… == 2`".to_owned(),
        })
    }
}

struct Checker<'a> {
    program: &'a Program,
    text: &'a str,
    /// Variables in scope, the innermost last.
    variables: Vec<(String, Type)>,
    depth: usize,
    /// Walks through lists around the present place.
    loops: usize,
}

impl Checker<'_> {
    fn type_of(&mut self, expression: &IdedExpr) -> Result<Type, CelError> {
        if self.depth == DEPTH_MAX {
            return Err(CelError {
                span: self.span(expression),
                problem: Problem::Limit(format!("a condition may be nested {DEPTH_MAX} deep")),
                help: "split it into several expectations".to_owned(),
            });
        }
        self.depth += 1;
        let found = match &expression.expr {
            Expr::Literal(literal) => Ok(type_of_literal(literal)),
            Expr::Ident(name) => self.type_of_variable(expression, name),
            Expr::Select(select) => self.type_of_field(expression, select),
            Expr::Call(call) => self.type_of_call(expression, call),
            Expr::Comprehension(comprehension) => self.type_of_comprehension(comprehension),
            Expr::List(list) => {
                let mut element = Type::Never;
                for item in &list.elements {
                    element = element.join(self.type_of(item)?);
                }
                Ok(Type::List(Box::new(element)))
            }
            Expr::Map(_) => Ok(Type::Any),
            Expr::Struct(_) => self.wrong(expression, "objects cannot be made here", HELP),
            Expr::Unspecified => self.wrong(expression, "something is missing", HELP),
        };
        self.depth -= 1;
        found
    }

    fn type_of_variable(&self, expression: &IdedExpr, name: &str) -> Result<Type, CelError> {
        if let Some((_, found)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(found.clone());
        }
        let known: Vec<&str> = self
            .variables
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !name.starts_with('@'))
            .collect();
        let help = match name {
            "job" => {
                "the scenario does not have exactly one Job: write `jobs.exists(j, j.name == \"NAME\" && …)`"
                    .to_owned()
            }
            "minicluster" | "flux" => "the scenario does not have exactly one MiniCluster: write \
                 `miniclusters.exists(m, m.name == \"NAME\" && m.flux.online == 2)`"
                .to_owned(),
            _ => suggest(name, known),
        };
        self.wrong(expression, &format!("unknown variable `{name}`"), &help)
    }

    fn type_of_field(&mut self, expression: &IdedExpr, select: &SelectExpr) -> Result<Type, CelError> {
        let operand = self.type_of(&select.operand)?;
        let found = match &operand {
            Type::Record(fields) => match fields.iter().find(|(name, _)| *name == select.field) {
                Some((_, found)) => found.clone(),
                None => {
                    let known = fields.iter().map(|(name, _)| name.as_str());
                    let (problem, help) =
                        (format!("unknown field `{}`", select.field), suggest(&select.field, known));
                    return Err(self.error(self.field_span(expression, select), &problem, &help));
                }
            },
            Type::Any | Type::Never => Type::Any,
            Type::List(_) => {
                let problem = format!("a list has no field `{}`", select.field);
                let help =
                    format!("say of which element: `.exists(x, x.{} …)` or `.all(x, …)`", select.field);
                return Err(self.error(self.field_span(expression, select), &problem, &help));
            }
            other => {
                let problem = format!("{} has no field `{}`", other.name(), select.field);
                return Err(self.error(self.field_span(expression, select), &problem, HELP));
            }
        };
        Ok(if select.test { Type::Bool } else { found })
    }

    fn type_of_call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Result<Type, CelError> {
        let name = call.func_name.as_str();
        let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        // Report an unknown function before what is wrong with its arguments: those of a misspelt macro
        // (`pods.exist(p, …)`) are all unknown variables.
        let is_operator = !name.chars().next().is_some_and(char::is_alphabetic);
        if !is_operator && !FUNCTIONS.iter().any(|(known, _)| *known == name) {
            let written = MACROS.iter().find(|known| **known == name);
            let help = match written {
                Some(_) => format!("`{name}` is called on a list, with a variable: `pods.{name}(p, …)`"),
                None => suggest(
                    name,
                    FUNCTIONS
                        .iter()
                        .map(|(name, _)| *name)
                        .chain(MACROS.iter().copied())
                        .filter(|name| !name.starts_with('@')),
                ),
            };
            return Err(self.error(
                self.name_span(expression, name),
                &format!("unknown function `{name}`"),
                &help,
            ));
        }
        let mut types = Vec::with_capacity(operands.len());
        for operand in &operands {
            types.push(self.type_of(operand)?);
        }
        match (name, types.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => {
                for (operand, found) in operands.iter().zip(&types) {
                    if *found != Type::Bool && !found.is_open() {
                        let problem = format!("expected true or false, found {}", found.name());
                        return self.wrong(operand, &problem, "compare it with something: `… == 2`");
                    }
                }
                Ok(Type::Bool)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => {
                self.comparable(expression, a.can_equal(b), a, b)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [a, b],
            ) => {
                let is_ordered = |found: &Type| found.is_number() || found.is_open() || *found == Type::Text;
                self.comparable(expression, is_ordered(a) && is_ordered(b) && a.can_equal(b), a, b)
            }
            (operators::CONDITIONAL, [_, a, b]) => Ok(a.clone().join(b.clone())),
            (operators::IN, [item, Type::List(element)]) => {
                self.comparable(expression, item.can_equal(element), item, element)
            }
            (operators::INDEX, [Type::List(element), _]) => Ok((**element).clone()),
            (operators::INDEX | operators::IN, _) => Ok(Type::Any),
            (operators::NEGATE, [a]) => Ok(a.clone()),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [a, b],
            ) => self.arithmetic(expression, name, a, b),
            _ => Ok(FUNCTIONS
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(Type::Any, |(_, found)| found.clone())),
        }
    }

    fn comparable(&self, at: &IdedExpr, is_fine: bool, a: &Type, b: &Type) -> Result<Type, CelError> {
        if is_fine {
            return Ok(Type::Bool);
        }
        let problem = format!("{} is compared with {}", a.name(), b.name());
        self.wrong(at, &problem, "compare values of one type; texts are quoted: `p.phase == \"Running\"`")
    }

    fn arithmetic(&self, at: &IdedExpr, operator: &str, a: &Type, b: &Type) -> Result<Type, CelError> {
        match (a, b) {
            (a, b) if a.is_open() || b.is_open() => Ok(a.clone().join(b.clone())),
            (Type::List(_), Type::List(_)) | (Type::Text, Type::Text) if operator == operators::ADD => {
                Ok(a.clone().join(b.clone()))
            }
            (Type::Int, Type::Double) | (Type::Double, Type::Int) => self.wrong(
                at,
                "a whole number and a number of seconds do not mix",
                "write `2.0` for `2`, or `double(x)`",
            ),
            (a, b) if a == b && a.is_number() => Ok(a.clone()),
            (a, b) => {
                let problem = format!("the operator has no meaning for {} and {}", a.name(), b.name());
                self.wrong(at, &problem, HELP)
            }
        }
    }

    fn type_of_comprehension(&mut self, comprehension: &ComprehensionExpr) -> Result<Type, CelError> {
        let range = self.type_of(&comprehension.iter_range)?;
        let element = match range {
            Type::List(element) => *element,
            found if found.is_open() => Type::Any,
            found => {
                let problem = format!("expected a list, found {}", found.name());
                return self.wrong(
                    &comprehension.iter_range,
                    &problem,
                    "lists are `pods`, `jobs`, `nodes`, `events`",
                );
            }
        };
        if self.loops == LOOPS_MAX {
            return Err(CelError {
                span: self.span(&comprehension.iter_range),
                problem: Problem::Limit(format!("walks through lists may be nested {LOOPS_MAX} deep")),
                help: "the cost grows with the number of pods to the power of the depth".to_owned(),
            });
        }
        self.loops += 1;
        let found = self.type_of_loop(comprehension, element);
        self.loops -= 1;
        found
    }

    fn type_of_loop(&mut self, comprehension: &ComprehensionExpr, element: Type) -> Result<Type, CelError> {
        let start = self.type_of(&comprehension.accu_init)?;
        let scope = self.variables.len();
        self.variables.push((comprehension.iter_var.clone(), element));
        if let Some(second) = &comprehension.iter_var2 {
            self.variables.push((second.clone(), Type::Any));
        }
        self.variables.push((comprehension.accu_var.clone(), start.clone()));
        self.type_of(&comprehension.loop_cond)?;
        let step = self.type_of(&comprehension.loop_step)?;
        self.variables.truncate(scope);
        self.variables.push((comprehension.accu_var.clone(), start.join(step)));
        let result = self.type_of(&comprehension.result);
        self.variables.truncate(scope);
        result
    }

    fn wrong<T>(&self, at: &IdedExpr, problem: &str, help: &str) -> Result<T, CelError> {
        Err(self.error(self.span(at), problem, help))
    }

    fn error(&self, span: Range<usize>, problem: &str, help: &str) -> CelError {
        CelError { span, problem: Problem::CelType(problem.to_owned()), help: help.to_owned() }
    }

    /// Where an expression stands in the text; all of it when the parser does not say.
    fn span(&self, expression: &IdedExpr) -> Range<usize> {
        match self.program.source_info().offset_for(expression.id) {
            Some((start, stop)) => self.byte(start as usize)..self.byte(stop as usize + 1),
            None => 0..self.text.len(),
        }
    }

    /// The name after the dot, which is all that the parser remembers of a selection.
    fn field_span(&self, expression: &IdedExpr, select: &SelectExpr) -> Range<usize> {
        let dot = self.span(expression).start;
        match self.text.get(dot..).and_then(|rest| rest.find(&select.field)) {
            Some(offset) => dot + offset..dot + offset + select.field.len(),
            None => self.span(expression),
        }
    }

    /// The name of a function; the parser remembers the bracket behind it.
    fn name_span(&self, expression: &IdedExpr, name: &str) -> Range<usize> {
        let span = self.span(expression);
        match self.text.get(..span.end).and_then(|text| text.rfind(name)) {
            Some(start) => start..start + name.len(),
            None => span,
        }
    }

    /// The parser counts characters, spans count bytes.
    fn byte(&self, character: usize) -> usize {
        self.text.char_indices().nth(character).map_or(self.text.len(), |(at, _)| at)
    }
}

fn type_of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Any,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
    }
}
