//! Label and field selectors (`k8s.io/apimachinery/pkg/labels` and `pkg/fields`).
//!
//! A selector is parsed once per request and then asked for each object, so a requirement keeps its values as plain
//! text. The grammar of label selectors is that of the documentation of `labels.Parse`.

#[path = "selector_fields.rs"]
mod by_field;

pub use by_field::{FieldSelector, FieldTerm};

use crate::error::{FieldError, FieldErrorType};
use crate::names;
use serde_json::Value;
use std::fmt;

/// Longest selector that is read; a request line would not carry more.
const SELECTOR_BYTES_MAX: usize = 64 * 1024;

/// What a requirement asks of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the selection package")]
pub enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// The complaint of `NewRequirement` when something is wrong.
    fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let complaints = names::label_key(key);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid("key", key, &complaints.join("; ")));
        }
        let wrong = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            _ => "",
        };
        if !wrong.is_empty() {
            errors.push(FieldError::invalid("values", values.clone(), wrong));
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err()
            {
                let words = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&format!("values[{index}]"), value.clone(), words));
            }
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                let field = format!("values[{index}][{key}]");
                errors.push(FieldError::invalid(&field, value.clone(), &complaints.join("; ")));
            }
        }
        match errors.len() {
            0 => Ok(Self { key: key.to_owned(), operator, values }),
            1 => Err(errors[0].to_string()),
            _ => Err(format!("[{}]", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        }
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|own| own == value);
        let number = |value: &str| value.parse::<i64>().ok().zip(self.values.first()?.parse::<i64>().ok());
        match (self.operator, label) {
            (Operator::Exists, label) => label.is_some(),
            (Operator::DoesNotExist, label) => label.is_none(),
            (Operator::NotIn | Operator::NotEquals, label) => !label.is_some_and(listed),
            (_, None) => false,
            (Operator::Equals | Operator::In, Some(value)) => listed(value),
            (Operator::GreaterThan, Some(value)) => number(value).is_some_and(|(label, own)| label > own),
            (Operator::LessThan, Some(value)) => number(value).is_some_and(|(label, own)| label < own),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A label selector: all requirements hold. Without requirements it selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// A missing selector of an object (`null`) selects nothing.
    nothing: bool,
}

impl LabelSelector {
    /// Parses the text of a `labelSelector` parameter.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(format!("selector is longer than {SELECTOR_BYTES_MAX} bytes"));
        }
        let mut requirements = Parser { tokens: lex(text)?, position: 0 }.parse()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// From a `LabelSelector` object (`metav1.LabelSelectorAsSelector`); `null` selects nothing, `{}` everything.
    pub fn from_object(object: &Value) -> Result<Self, String> {
        let Some(object) = object.as_object() else {
            return Ok(Self { requirements: Vec::new(), nothing: true });
        };
        let mut requirements = Vec::new();
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::Equals, vec![value])?);
        }
        for part in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match part["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            let values = part["values"].as_array().into_iter().flatten();
            let mut values: Vec<_> = values.filter_map(|v| v.as_str().map(str::to_owned)).collect();
            values.sort();
            requirements.push(Requirement::new(part["key"].as_str().unwrap_or_default(), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether the labels are selected; `label` looks one label up.
    pub fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.matches(label(&one.key)))
    }

    /// Whether an object's `metadata.labels` (or a template's labels) are selected.
    pub fn matches(&self, labels: &Value) -> bool {
        self.matches_by(|key| labels.get(key).and_then(Value::as_str))
    }

    /// The value that a label must have for an object to be selected, if there is only one: for an index.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let one = self.requirements.iter().find(|one| one.key == key)?;
        match (one.operator, one.values.as_slice()) {
            (Operator::Equals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) => text,
            Self::Symbol(text) => text,
            Self::End => "",
        }
    }
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

fn lex(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let ends = |c: char| c.is_ascii_whitespace() || "=!(),><".contains(c);
            let length = rest.find(ends).unwrap_or(rest.len());
            if length == 0 {
                return Err(format!("found '{rest}', expected: identifier"));
            }
            tokens.push(Token::Word(rest[..length].to_owned()));
            rest = &rest[length..];
        }
        rest = rest.trim_start();
    }
    tokens.push(Token::End);
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.position).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(requirements),
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
            let one = self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
            requirements.push(one);
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Symbol(",") if matches!(self.peek(), Token::Word(_) | Token::Symbol("!")) => {}
                Token::Symbol(",") => {
                    return Err(format!("found '{}', expected: identifier after ','", self.peek().text()));
                }
                other => {
                    return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        let complaints = names::label_key(&key);
        if !complaints.is_empty() {
            let error = FieldError::new(FieldErrorType::Invalid, "<nil>", key, &complaints.join("; "));
            return Err(error.to_string());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) || absent {
            let operator = if absent { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::new(&key, operator, Vec::new());
        }
        let token = self.next();
        let operator = match token.text() {
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => vec![self.value()?],
        };
        Requirement::new(&key, operator, values)
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(text) => {
                let text = text.clone();
                self.next();
                Ok(text)
            }
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// `(a,b)`; an empty place is the empty value, as in `(a,)`.
    fn set(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(text) => {
                    values.push(text);
                    match self.next() {
                        Token::Symbol(",") if *self.peek() == Token::Symbol(")") => {}
                        Token::Symbol(",") => continue,
                        Token::Symbol(")") => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Symbol(",") => values.push(String::new()),
                Token::Symbol(")") => {
                    values.push(String::new());
                    break;
                }
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
