//! What can be wrong between a tree and a type, in the words of somebody who writes YAML.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Unexpected};

use crate::ast::SourceFile;
use crate::error::{Problem, ScenarioError, suggest};

/// What is wrong with a node, and where.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// The place; empty until the nearest node has put itself in.
    pub(crate) span: Option<Range<usize>>,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// Kinds of [`Mismatch`].
#[derive(Debug)]
pub(crate) enum Fault {
    /// A key that the type has no field for, and the fields that it has.
    UnknownField(String, &'static [&'static str]),
    /// A text that is none of those that the type knows, and those.
    UnknownValue(String, &'static [&'static str]),
    /// A field that the type needs.
    MissingField(&'static str),
    /// A value of another type.
    WrongType {
        /// What was wanted.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Anything else.
    Other(String),
}

impl Mismatch {
    /// The message about it.
    pub(crate) fn into_error(self, source: &Arc<SourceFile>) -> ScenarioError {
        let span = self.span.unwrap_or(0..0);
        let error = |problem, label: &str| ScenarioError::new(source, span.clone(), problem, label);
        match self.fault {
            Fault::UnknownField(name, fields) => {
                // In `{that: a(b, c)}` the comma ends the text, and what follows looks like a key.
                let is_rest_of_text = name.contains(['(', ')', '=', '"', '&', '|', '<', '>']);
                let help = if is_rest_of_text {
                    "between `{` and `}` a comma ends a text: quote the whole text with `'…'`".to_owned()
                } else {
                    suggest(&name, fields.iter().copied())
                };
                error(Problem::UnknownField(name), "not a field of this mapping").with_help(help)
            }
            Fault::UnknownValue(text, values) => {
                let help = suggest(&text, values.iter().copied());
                error(Problem::Unknown { what: "value", text }, "not one of the values").with_help(help)
            }
            Fault::MissingField(name) => error(Problem::MissingField(name.to_owned()), "in this mapping")
                .with_help(format!("add `{name}: …`")),
            Fault::WrongType { expected, found } => {
                let is_comment = found == "nothing" && is_followed_by_comment(&source.text, span.end);
                let help = if is_comment {
                    "what follows `#` is a comment: quote a text that begins with it".to_owned()
                } else {
                    format!("write {expected}")
                };
                let label = if found == "nothing" { "no value" } else { "this value" };
                error(Problem::WrongType { expected, found }, label).with_help(help)
            }
            Fault::Other(text) => error(Problem::Invalid(text), "here")
                .with_help("write the value as the API reference describes this field"),
        }
    }

    /// Puts the place in, unless a deeper node has done so.
    pub(crate) fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn of(fault: Fault) -> Self {
        Self { span: None, fault }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::UnknownField(name, _) => write!(f, "unknown field `{name}`"),
            Fault::UnknownValue(name, _) => write!(f, "unknown value `{name}`"),
            Fault::MissingField(name) => write!(f, "missing field `{name}`"),
            Fault::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Fault::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Fault::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::of(Fault::WrongType { expected: wanted(&expected.to_string()), found: unexpected(found) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(name: &str, variants: &'static [&'static str]) -> Self {
        Self::of(Fault::UnknownValue(name.to_owned(), variants))
    }

    fn unknown_field(name: &str, fields: &'static [&'static str]) -> Self {
        Self::of(Fault::UnknownField(name.to_owned(), fields))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::of(Fault::MissingField(name))
    }
}

/// After `at`, only a colon and blanks stand before a `#` on the line.
fn is_followed_by_comment(text: &str, at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    rest.trim_start_matches([':', ' ']).starts_with('#')
}

/// What serde expects, in the words of somebody who writes YAML.
fn wanted(expected: &str) -> String {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "newtype variant" => "a mapping with one entry: `{WORD: NAME}`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

/// What serde found, in the same words.
fn unexpected(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(value) if value.len() <= 40 && !value.contains('\n') => format!("the text `{value}`"),
        Unexpected::Str(_) => "a text".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::UnitVariant => "a word alone".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
