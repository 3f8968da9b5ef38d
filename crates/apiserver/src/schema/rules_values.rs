//! Objects as rules see them: values of the evaluator, with escaped names.

use crate::schema::{Schema, Type};
use cel::objects::{Key, Map};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The first steps of the paths read, or `None` if the whole is read.
pub(super) fn fields(paths: &[(Vec<String>, u64)]) -> Option<BTreeSet<&str>> {
    paths.iter().map(|(path, _)| path.first().map(String::as_str)).collect()
}

/// The value as the evaluator sees it. `only` are the fields that are read, by their names in the expression.
pub(super) fn convert(
    value: &Value,
    schema: Option<&Schema>,
    only: Option<BTreeSet<&str>>,
    longest: &mut u64,
) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), schema.map(|schema| schema.kind)) {
            (Some(number), Some(Type::Number)) => cel::Value::Float(number as f64),
            (Some(number), _) => cel::Value::Int(number),
            (None, _) => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => cel::Value::from(text.as_str()),
        Value::Array(items) => {
            *longest = (*longest).max(items.len() as u64);
            let schema = schema.and_then(|schema| schema.items.as_deref());
            cel::Value::List(Arc::new(
                items.iter().map(|item| convert(item, schema, None, longest)).collect(),
            ))
        }
        Value::Object(fields) => {
            *longest = (*longest).max(fields.len() as u64);
            let mut entry = |name: &str, value: &Value| {
                let declared = schema.and_then(|schema| schema.properties.get(name));
                let key = if declared.is_some() { escape(name) } else { name.to_owned() };
                if only.as_ref().is_some_and(|only| !only.contains(key.as_str())) {
                    return None;
                }
                let below = declared.or(schema.and_then(|schema| schema.additional.as_ref()));
                Some((Key::from(key), convert(value, below.map(Arc::as_ref), None, longest)))
            };
            let map = fields.iter().filter_map(|(name, value)| entry(name, value)).collect();
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// Names that are words of the language, or hold other characters, are escaped in expressions
/// (`k8s.io/apiserver/pkg/cel.Escape`).
const ESCAPES: [(&str, &str); 5] =
    [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"), ("$", "__dollar__")];
const WORDS: [&str; 19] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "void",
];

fn escape(name: &str) -> String {
    if WORDS.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains("__") && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
        return name.to_owned();
    }
    ESCAPES.iter().fold(name.to_owned(), |text, (from, to)| match *from {
        "__" => text.replace("__", to),
        from => text.replace(from, to),
    })
}

pub(super) fn unescape(name: &str) -> String {
    if let Some(word) = WORDS.into_iter().find(|word| name == format!("__{word}__")) {
        return word.to_owned();
    }
    ESCAPES.iter().rev().fold(name.to_owned(), |text, (from, to)| text.replace(to, from))
}
