//! Objects as rules see them: values of the evaluator, with escaped names.

use crate::schema::{Schema, Type};
use cel::objects::{Key, Map};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an expression reads of a value: all of it, or some fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads {
    is_whole: bool,
    /// By their names in the expression, with those in objects if they are declared.
    fields: BTreeMap<String, (String, Reads)>,
}

/// All of a value.
static WHOLE: Reads = Reads { is_whole: true, fields: BTreeMap::new() };

impl Reads {
    /// What these paths read.
    pub(super) fn of(paths: &[(Vec<String>, u64)]) -> Self {
        let mut reads = Self::default();
        for (path, _) in paths {
            let mut at = &mut reads;
            for name in path {
                let field = at.fields.entry(name.clone());
                at = &mut field.or_insert_with(|| (unescape(name), Self::default())).1;
            }
            at.is_whole = true;
        }
        reads
    }
}

/// The value as the evaluator sees it, with what is read of it.
pub(super) fn convert(
    value: &Value,
    schema: Option<&Schema>,
    reads: &Reads,
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
            let items = items.iter().map(|item| convert(item, schema, &WHOLE, longest));
            cel::Value::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            *longest = (*longest).max(fields.len() as u64);
            let declared = |name: &str| schema.and_then(|schema| schema.properties.get(name));
            let additional = schema.and_then(|schema| schema.additional.as_ref());
            let mut entry = |key: String, name: &str, value: &Value, reads: &Reads| {
                let below = declared(name).or(additional).map(Arc::as_ref);
                (Key::from(key), convert(value, below, reads, longest))
            };
            let map = if reads.is_whole {
                let key = |name: &str| if declared(name).is_some() { escape(name) } else { name.to_owned() };
                fields.iter().map(|(name, value)| entry(key(name), name, value, &WHOLE)).collect()
            } else {
                let read = reads.fields.iter().filter_map(|(key, (name, reads))| {
                    let name = if declared(name).is_some() { name } else { key };
                    Some(entry(key.clone(), name, fields.get(name)?, reads))
                });
                read.collect()
            };
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
