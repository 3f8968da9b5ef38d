//! Field selectors: `status.phase!=Failed,metadata.name=a`. Which fields may be named is up to the kind.

use super::SELECTOR_BYTES_MAX;
use serde_json::Value;

/// A field selector: all terms hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// `field=value` or `field!=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, e.g. `status.phase`.
    pub field: String,
    /// Whether the value must be equal, or must not.
    pub equal: bool,
    /// The value.
    pub value: String,
}

impl FieldSelector {
    /// Parses the text of a `fieldSelector` parameter; only the fields `allowed` for the kind may be named.
    pub fn parse(text: &str, allowed: &[&str]) -> Result<Self, String> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(format!("selector is longer than {SELECTOR_BYTES_MAX} bytes"));
        }
        let mut terms = Vec::new();
        for part in split_unescaped(text).into_iter().filter(|part| !part.is_empty()) {
            let Some(at) = part.find('=') else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let (mut field, mut value, mut equal) = (&part[..at], &part[at + 1..], true);
            if let Some(before) = field.strip_suffix('!') {
                (field, equal) = (before, false);
            } else if let Some(after) = value.strip_prefix('=') {
                value = after;
            }
            if !allowed.contains(&field) {
                return Err(format!("field label not supported: {field}"));
            }
            terms.push(FieldTerm { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { terms })
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms, for a caller that answers them from typed rows.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether an object is selected; `field` gives the value of a field, empty if it is absent.
    pub fn matches_by<'a>(&self, field: impl Fn(&str) -> std::borrow::Cow<'a, str>) -> bool {
        self.terms.iter().all(|term| (field(&term.field) == term.value) == term.equal)
    }

    /// Whether an object is selected, the fields being paths into it.
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_by(|path| {
            let mut at = object;
            for part in path.split('.') {
                at = &at[part];
            }
            match at {
                Value::String(text) => text.as_str().into(),
                Value::Bool(flag) => flag.to_string().into(),
                Value::Number(number) => number.to_string().into(),
                _ => "".into(),
            }
        })
    }

    /// The value that a field must have, e.g. `metadata.name` for a watch of one object.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{other}"));
                }
            },
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", c as u32));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
