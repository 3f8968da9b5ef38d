//! Rules of custom resources in the Common Expression Language (`x-kubernetes-validations`).
//!
//! A rule is compiled once, with the fields of `self` that it reads: only those are given to the evaluator. Rules that
//! name `oldSelf` are transition rules and wait for an old value. Wording and order are those of
//! `apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`.
//!
//! What the evaluator lacks of the libraries of Kubernetes: types of time, and `ip`, `cidr`, `semver` and authorizer
//! functions; a rule that calls them does not compile.

use super::{Place, Schema, Type};
use crate::error::{FieldError, FieldErrorType};
use cel::common::ast::{Expr, IdedExpr};
use cel::objects::OptionalValue;
use cel::{Context, Env, ExecutionError, Program};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

#[path = "rules_library.rs"]
mod library;
#[path = "rules_values.rs"]
mod values;

use values::{Reads, convert, unescape};

/// Longest expression.
const RULE_BYTES_MAX: usize = 16 * 1024;
/// Longest text that a `messageExpression` may give (`MaxEvaluatedMessageExpressionSizeBytes`).
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
/// Steps that the rules of one object may take, estimated from above.
const STEPS_MAX: u64 = 20_000_000;

/// One compiled rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    program: Arc<Program>,
    source: String,
    message: String,
    message_program: Option<Arc<Program>>,
    reason: FieldErrorType,
    field: String,
    optional_old: bool,
    uses: Uses,
    /// What it reads of `self` and of `oldSelf`.
    reads: Reads,
    reads_old: Reads,
}

/// What an expression reads.
#[derive(Debug, Clone, Default)]
struct Uses {
    /// Paths below `self` and `oldSelf`, with the place in the source. An empty path is the whole.
    new: Vec<(Vec<String>, u64)>,
    old: Vec<(Vec<String>, u64)>,
    nodes: u64,
    loops: u32,
    unknown: Option<(String, u64)>,
}

fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Arc::new(library::environment()))
}

fn text<'a>(rule: &'a Value, field: &str) -> &'a str {
    rule[field].as_str().unwrap_or_default().trim()
}

impl Rule {
    /// Compiles a rule, or says which field of it is wrong and why.
    pub(super) fn compile(rule: &Value) -> Result<Self, (&'static str, String)> {
        let source = text(rule, "rule").to_owned();
        let (program, mut uses) = compile(&source).map_err(|why| ("rule", why))?;
        let mut message_program = None;
        if !text(rule, "messageExpression").is_empty() {
            let (program, more) =
                compile(text(rule, "messageExpression")).map_err(|why| ("messageExpression", why))?;
            uses.new.extend(more.new);
            uses.nodes += more.nodes;
            uses.loops = uses.loops.max(more.loops);
            message_program = Some(Arc::new(program));
        }
        let reason = match text(rule, "reason") {
            "FieldValueForbidden" => FieldErrorType::Forbidden,
            "FieldValueRequired" => FieldErrorType::Required,
            "FieldValueDuplicate" => FieldErrorType::Duplicate,
            _ => FieldErrorType::Invalid,
        };
        Ok(Self {
            program: Arc::new(program),
            source,
            message: text(rule, "message").to_owned(),
            message_program,
            reason,
            field: text(rule, "fieldPath").trim_start_matches('.').to_owned(),
            optional_old: rule["optionalOldSelf"] == Value::Bool(true),
            reads: Reads::of(&uses.new),
            reads_old: Reads::of(&uses.old),
            uses,
        })
    }

    /// The first field that the rule reads and the schema does not have, as a compile error.
    pub(super) fn undefined_field(&self, schema: &Schema, root: bool) -> Option<String> {
        self.uses.new.iter().chain(&self.uses.old).find_map(|(path, place)| {
            let mut node = schema;
            if root
                && path
                    .first()
                    .is_some_and(|name| ["apiVersion", "kind", "metadata"].contains(&name.as_str()))
            {
                return None;
            }
            for name in path {
                if node.properties.is_empty() {
                    return None;
                }
                match node.properties.get(unescape(name).as_str()) {
                    Some(below) => node = below,
                    None => {
                        return Some(mistake(&self.program, *place, &format!("undefined field '{name}'")));
                    }
                }
            }
            None
        })
    }

    fn is_transition(&self) -> bool {
        !self.uses.old.is_empty()
    }

    fn words(&self) -> &str {
        if self.message.is_empty() { &self.source } else { &self.message }
    }
}

fn compile(source: &str) -> Result<(Program, Uses), String> {
    if source.is_empty() {
        return Err("rule is not specified".to_owned());
    }
    if source.len() > RULE_BYTES_MAX {
        return Err(format!("rule is longer than {RULE_BYTES_MAX} bytes"));
    }
    let program = environment().compile(source).map_err(|why| format!("compilation failed: {why}"))?;
    let mut uses = Uses::default();
    uses.read(program.expression(), &mut Vec::new(), 0);
    if let Some((name, place)) = &uses.unknown {
        return Err(mistake(
            &program,
            *place,
            &format!("undeclared reference to '{name}' (in container '')"),
        ));
    }
    Ok((program, uses))
}

/// An error with the place in the source, as the compiler of cel-go prints it.
fn mistake(program: &Program, place: u64, what: &str) -> String {
    let source = &program.source_info().source;
    let at = program.source_info().offset_for(place).map_or(0, |(start, _)| start as usize);
    let before: String = source.chars().take(at).collect();
    let line = before.matches('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let shown = source.lines().nth(line).unwrap_or_default();
    let dots = ".".repeat(column);
    format!("compilation failed: ERROR: <input>:{}:{}: {what}\n | {shown}\n | {dots}^", line + 1, column + 1)
}

impl Uses {
    /// `bound` are the variables of enclosing loops.
    fn read(&mut self, at: &IdedExpr, bound: &mut Vec<String>, loops: u32) {
        self.nodes += 1;
        self.loops = self.loops.max(loops);
        match &at.expr {
            Expr::Ident(name) => self.name(name, Vec::new(), at.id, bound),
            Expr::Select(_) => {
                let (mut path, mut node) = (Vec::new(), at);
                while let Expr::Select(select) = &node.expr {
                    path.push(select.field.clone());
                    node = &select.operand;
                }
                path.reverse();
                match &node.expr {
                    Expr::Ident(name) => self.name(name, path, at.id, bound),
                    _ => self.read(node, bound, loops),
                }
            }
            Expr::Call(call) => {
                let qualified = match call.target.as_deref() {
                    Some(IdedExpr { expr: Expr::Ident(name), .. })
                        if library::NAMESPACES.contains(&name.as_str()) =>
                    {
                        format!("{name}.{}", call.func_name)
                    }
                    Some(target) => {
                        self.read(target, bound, loops);
                        call.func_name.clone()
                    }
                    None => call.func_name.clone(),
                };
                if !library::is_function(&qualified) {
                    self.unknown.get_or_insert((qualified, at.id));
                }
                call.args.iter().for_each(|arg| self.read(arg, bound, loops));
            }
            Expr::List(list) => list.elements.iter().for_each(|one| self.read(one, bound, loops)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                        self.read(&entry.key, bound, loops);
                        self.read(&entry.value, bound, loops);
                    }
                }
            }
            Expr::Comprehension(all) => {
                self.read(&all.iter_range, bound, loops);
                self.read(&all.accu_init, bound, loops);
                let depth = bound.len();
                bound.extend([all.iter_var.clone(), all.accu_var.clone()]);
                bound.extend(all.iter_var2.clone());
                for part in [&all.loop_cond, &all.loop_step] {
                    self.read(part, bound, loops + 1);
                }
                self.read(&all.result, bound, loops);
                bound.truncate(depth);
            }
            Expr::Struct(_) => {
                self.unknown.get_or_insert(("message construction".to_owned(), at.id));
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn name(&mut self, name: &str, path: Vec<String>, place: u64, bound: &[String]) {
        match name {
            _ if bound.iter().any(|own| own == name) => {}
            "self" => self.new.push((path, place)),
            "oldSelf" => self.old.push((path, place)),
            _ if library::TYPES.contains(&name) => {}
            _ => {
                self.unknown.get_or_insert((name.to_owned(), place));
            }
        }
    }
}

/// Runs the rules of an object and all below it; errors are added in the order of the walk.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) errors: &'a mut Vec<FieldError>,
    steps: u64,
    spent: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(errors: &'a mut Vec<FieldError>) -> Self {
        Self { errors, steps: 0, spent: false }
    }

    pub(super) fn walk(&mut self, schema: &Schema, place: Place<'_>, new: &Value, old: Option<&Value>) {
        if !schema.has_rules || new.is_null() || self.spent {
            return;
        }
        self.own(schema, place, new, old);
        match new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let Some(below) = schema.field(name).filter(|below| below.has_rules) else { continue };
                    let place = match schema.properties.contains_key(name.as_str()) {
                        true => Place::Field(&place, name),
                        false => Place::Key(&place, name),
                    };
                    self.walk(below, place, value, old.and_then(|old| old.get(name)));
                }
            }
            Value::Array(items) => {
                let Some(below) = schema.items.as_ref().filter(|below| below.has_rules) else { return };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| schema.same_item(item, old));
                    self.walk(below, Place::Item(&place, index), item, old);
                }
            }
            _ => {}
        }
    }

    fn own(&mut self, schema: &Schema, place: Place<'_>, new: &Value, old: Option<&Value>) {
        if schema.rules.is_empty() {
            return;
        }
        let unchanged = old == Some(new);
        for rule in &schema.rules {
            let wanted = match (rule.is_transition(), old) {
                (true, None) => rule.optional_old,
                (true, Some(_)) => true,
                // Ratcheting: an unchanged value is not checked again (KEP-4008).
                (false, _) => !unchanged,
            };
            if !wanted || self.spent {
                continue;
            }
            if let Some(error) = self.one(rule, schema, new, old) {
                self.errors.push(error.below(&place.to_string()));
            }
        }
    }

    fn one(&mut self, rule: &Rule, schema: &Schema, new: &Value, old: Option<&Value>) -> Option<FieldError> {
        let refuse = |text: String| Some(FieldError::invalid("", type_name(schema), &text));
        let mut longest = 1;
        let mut context = Context::with_env(environment().clone());
        context.add_variable_from_value("self", convert(new, Some(schema), &rule.reads, &mut longest));
        if rule.is_transition() {
            let old = old.map(|old| convert(old, Some(schema), &rule.reads_old, &mut longest));
            let old = match (rule.optional_old, old) {
                (false, old) => old.unwrap_or(cel::Value::Null),
                (true, Some(old)) => cel::Value::Opaque(Arc::new(OptionalValue::of(old))),
                (true, None) => cel::Value::Opaque(Arc::new(OptionalValue::none())),
            };
            context.add_variable_from_value("oldSelf", old);
        }
        self.steps = self
            .steps
            .saturating_add(rule.uses.nodes.saturating_mul(longest.saturating_pow(rule.uses.loops)));
        if self.steps > STEPS_MAX {
            self.spent = true;
            return refuse(
                "validation failed due to running out of cost budget, no further validation rules will be run".into(),
            );
        }
        match rule.program.execute(&context) {
            Ok(cel::Value::Bool(true)) => return None,
            Ok(_) => {}
            Err(ExecutionError::NoSuchOverload(_)) => {
                return refuse(format!(
                    "'no such overload': call arguments did not match a supported operator, function or macro \
                     signature for rule: {}",
                    rule.words()
                ));
            }
            Err(ExecutionError::NoSuchKey(key)) => {
                return refuse(format!("no such key: {key} evaluating rule: {}", rule.words()));
            }
            Err(why) => return refuse(format!("{why} evaluating rule: {}", rule.words())),
        }
        let evaluated = rule.message_program.as_ref().and_then(|program| match program.execute(&context) {
            Ok(cel::Value::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        });
        let usable =
            |text: &String| !text.is_empty() && !text.contains('\n') && text.len() <= MESSAGE_BYTES_MAX;
        let detail = match evaluated.filter(usable) {
            Some(text) => text,
            None if rule.message.is_empty() => format!("failed rule: {}", rule.source),
            None => rule.message.clone(),
        };
        let mut error = FieldError::new(rule.reason, &rule.field, new.clone(), &detail);
        match rule.reason {
            FieldErrorType::Required | FieldErrorType::Forbidden => error.value = Some("".into()),
            FieldErrorType::Duplicate => error.detail = String::new(),
            _ => {}
        }
        let whole = matches!(schema.kind, Type::Object | Type::Array);
        Some(if whole { error.without_value() } else { error })
    }
}

fn type_name(schema: &Schema) -> &'static str {
    super::validate::type_name(schema.kind)
}
