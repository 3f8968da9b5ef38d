//! Values that do not fit the Go types of a built-in kind: such an object is not even decoded (400, not 422).
//!
//! The words are those of `encoding/json`: `cannot unmarshal string into Go struct field JobSpec.spec.parallelism of
//! type int32`, with the name of the innermost struct and the path without indexes.

use super::{Schema, Type};
use serde_json::Value;

const TIMES: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.Time", "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"];

impl Schema {
    /// Why an object of this built-in kind cannot be decoded, if so. Custom resources are checked by
    /// [`Schema::validate`].
    pub fn decode_error(&self, object: &Value) -> Option<String> {
        self.undecodable(object, &mut Vec::new(), "")
    }

    fn undecodable<'a>(
        &'a self,
        value: &'a Value,
        path: &mut Vec<&'a str>,
        owner: &'a str,
    ) -> Option<String> {
        let name = self.name.as_deref().unwrap_or_default();
        match value {
            Value::Null => return None,
            Value::String(text) if self.is_quantity() => return quantity_mistake(text),
            Value::Number(number) if self.is_quantity() => return quantity_mistake(&number.to_string()),
            Value::String(text) if TIMES.contains(&name) => return time_mistake(text),
            Value::String(text) if self.format == "byte" => return base64_mistake(text),
            _ => {}
        }
        let fits = match (self.kind, value) {
            (Type::Any, _) => true,
            (Type::Object, value) => value.is_object(),
            (Type::Array, value) => value.is_array(),
            (Type::String, value) => value.is_string(),
            (Type::Boolean, value) => value.is_boolean(),
            (Type::Number, value) => value.is_number(),
            (Type::Integer, Value::Number(number)) => {
                let range = if self.format == "int32" {
                    i64::from(i32::MIN)..=i64::from(i32::MAX)
                } else {
                    i64::MIN..=i64::MAX
                };
                number.as_i64().is_some_and(|number| range.contains(&number))
            }
            (Type::Integer, _) => false,
            (Type::IntOrString, value) => value.is_string() || value.is_number(),
        };
        if !fits {
            let found = match value {
                Value::Number(number) if self.kind == Type::Integer => format!("number {number}"),
                value => crate::patch::kind_of(value).to_owned(),
            };
            let place = format!("Go struct field {owner}.{}", path.join("."));
            return Some(format!("json: cannot unmarshal {found} into {place} of type {}", self.go_type()));
        }
        match value {
            Value::Object(fields) => fields.iter().find_map(|(field, below)| {
                let schema = self.field(field)?;
                let inner = if self.properties.is_empty() || name.is_empty() { owner } else { short(name) };
                path.push(field);
                let found = schema.undecodable(below, path, inner);
                path.pop();
                found
            }),
            Value::Array(items) => {
                let schema = self.items.as_deref()?;
                items.iter().find_map(|item| schema.undecodable(item, path, owner))
            }
            _ => None,
        }
    }

    fn go_type(&self) -> String {
        match self.kind {
            Type::Integer if self.format.is_empty() => "int64".to_owned(),
            Type::Integer => self.format.clone(),
            Type::Number => "float64".to_owned(),
            Type::Boolean => "bool".to_owned(),
            Type::Array => {
                format!("[]{}", self.items.as_ref().map_or_else(String::new, |items| items.go_type()))
            }
            Type::Object => match (&self.name, &self.additional) {
                (Some(name), _) => {
                    let mut parts = name.rsplit('.');
                    let (kind, package) =
                        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                    format!("{package}.{kind}")
                }
                (None, Some(values)) => format!("map[string]{}", values.go_type()),
                (None, None) => "map[string]interface {}".to_owned(),
            },
            _ => "string".to_owned(),
        }
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn quantity_mistake(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let number = number.bytes().any(|c| c.is_ascii_digit()) && number.matches('.').count() <= 1;
    let units = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    let words = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    (!(number && (exponent || units.contains(&suffix)))).then(|| words.to_owned())
}

fn time_mistake(text: &str) -> Option<String> {
    let good = super::validate::format_holds("date-time", text);
    (!good).then(|| {
        format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\"")
    })
}

fn base64_mistake(text: &str) -> Option<String> {
    let body = text.trim_end_matches('=');
    let letter = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    let at = body.bytes().position(|c| !letter(c));
    let padded = text.len().is_multiple_of(4) && text.len() - body.len() <= 2;
    match (at, padded) {
        (None, true) => None,
        (at, _) => Some(format!("illegal base64 data at input byte {}", at.unwrap_or(body.len()))),
    }
}
