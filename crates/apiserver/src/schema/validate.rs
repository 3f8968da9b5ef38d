//! Values against the tree (`kube-openapi/pkg/validation`), then the rules.
//!
//! Messages are those that an API server gives for custom resources. A value that did not change since the old object
//! is not checked again (ratcheting, KEP-4008), so an object that became invalid can still be updated elsewhere.

use super::rules::Run;
use super::{ListType, Place, Schema, Type};
use crate::error::{FieldError, FieldErrorType};
use serde_json::Value;

/// An object stops being checked after so many errors.
const ERRORS_MAX: usize = 100;

impl Schema {
    /// Checks an object; `old` is what it replaces. Metadata has its own rules and is left out.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check(Place::Root, new, old, &mut errors);
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                FieldErrorType::NotSupported
                    | FieldErrorType::Required
                    | FieldErrorType::TooLong
                    | FieldErrorType::TooMany
                    | FieldErrorType::TypeInvalid
            )
        };
        if self.has_rules && errors.iter().any(blocks) {
            let text = "some validation rules were not checked because the object was invalid; correct the existing \
                        errors to complete validation";
            errors.push(FieldError::invalid("", Value::Null, text));
        } else {
            Run::new(&mut errors).walk(self, Place::Root, new, old);
        }
        for error in errors.iter_mut().filter(|error| error.field.is_empty()) {
            // How a nil path prints.
            error.field = "<nil>".to_owned();
        }
        errors
    }

    fn check(&self, place: Place<'_>, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        if old == Some(new) || errors.len() >= ERRORS_MAX || (new.is_null() && self.nullable) {
            return;
        }
        if !self.takes(new) {
            let (wanted, found) = (type_name(self.kind), found_type(new));
            let text = format!("{} must be of type {wanted}: {found:?}", body(place));
            errors.push(FieldError::new(FieldErrorType::TypeInvalid, &place.to_string(), found, &text));
            return;
        }
        self.check_bounds(place, new, errors);
        match new {
            Value::Object(fields) => {
                for name in self.required.iter().filter(|name| !fields.contains_key(name.as_str())) {
                    errors.push(FieldError::required(&Place::Field(&place, name).to_string(), ""));
                }
                for (name, value) in fields {
                    let Some(schema) = self.field(name) else { continue };
                    let metadata = name == "metadata" && schema.name.is_some();
                    if !metadata {
                        schema.check(
                            Place::Field(&place, name),
                            value,
                            old.and_then(|old| old.get(name)),
                            errors,
                        );
                    }
                }
            }
            Value::Array(items) => {
                self.check_unique(place, items, errors);
                let Some(schema) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| self.same_item(item, old));
                    schema.check(Place::Item(&place, index), item, old, errors);
                }
            }
            _ => {}
        }
        self.check_combinations(place, new, errors);
    }

    fn takes(&self, value: &Value) -> bool {
        match self.kind {
            Type::Any => true,
            Type::Object => value.is_object(),
            Type::Array => value.is_array(),
            Type::String => value.is_string(),
            // 1.0 is an integer, as in Go's decoder for custom resources.
            Type::Integer => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|v| v.fract() == 0.0)
            }
            Type::Number => value.is_number(),
            Type::Boolean => value.is_boolean(),
            Type::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
        }
    }

    fn check_bounds(&self, place: Place<'_>, value: &Value, errors: &mut Vec<FieldError>) {
        let limits = &self.limits;
        let mut refuse = |text: String| {
            errors.push(FieldError::invalid(
                &place.to_string(),
                value.clone(),
                &format!("{} {text}", body(place)),
            ));
        };
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                if let Some(limit) = limits.minimum {
                    if limits.exclusive_minimum && number <= limit {
                        refuse(format!("should be greater than {limit}"));
                    } else if number < limit {
                        refuse(format!("should be greater than or equal to {limit}"));
                    }
                }
                if let Some(limit) = limits.maximum {
                    if limits.exclusive_maximum && number >= limit {
                        refuse(format!("should be less than {limit}"));
                    } else if number > limit {
                        refuse(format!("should be less than or equal to {limit}"));
                    }
                }
                if let Some(step) = limits.multiple_of.filter(|step| (number / step).fract() != 0.0) {
                    refuse(format!("should be a multiple of {step}"));
                }
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                if let Some(limit) = limits.min_length.filter(|limit| length < *limit) {
                    refuse(format!("should be at least {limit} chars long"));
                }
                if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    refuse(format!("should match '{pattern}'"));
                }
                if !self.format.is_empty() && !format_holds(&self.format, text) {
                    refuse(format!("must be of type {}: {text:?}", self.format));
                }
                if let Some(limit) = limits.max_length.filter(|limit| length > *limit) {
                    let bytes = if limit == 1 { "byte" } else { "bytes" };
                    let text = format!("may not be more than {limit} {bytes}");
                    errors.push(FieldError::new(
                        FieldErrorType::TooLong,
                        &place.to_string(),
                        "<value omitted>",
                        &text,
                    ));
                }
            }
            Value::Array(items) => {
                let count = items.len() as u64;
                if let Some(limit) = limits.min_items.filter(|limit| count < *limit) {
                    let text = format!("{} should have at least {limit} items", body(place));
                    errors.push(FieldError::invalid(&place.to_string(), count, &text));
                }
                too_many(place, count, limits.max_items, errors);
            }
            Value::Object(fields) => {
                let count = fields.len() as u64;
                if let Some(limit) = limits.min_properties.filter(|limit| count < *limit) {
                    let text = format!("{} should have at least {limit} properties", body(place));
                    errors.push(FieldError::invalid(&place.to_string(), count, &text));
                }
                too_many(place, count, limits.max_properties, errors);
            }
            _ => {}
        }
        if !self.enumeration.is_empty() && !self.enumeration.contains(value) {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let allowed: Vec<_> = self.enumeration.iter().map(text).collect();
            errors.push(FieldError::not_supported(&place.to_string(), value.clone(), &allowed));
        }
    }

    /// Items of sets and keys of list maps are there once (`schema/listtype/validation.go`).
    fn check_unique(&self, place: Place<'_>, items: &[Value], errors: &mut Vec<FieldError>) {
        if self.list == ListType::Atomic {
            return;
        }
        let is_same = |one: &Value, other: &Value| match &self.list {
            ListType::Atomic => false,
            ListType::Set => one == other,
            ListType::Map(keys) => keys.iter().all(|key| one.get(key) == other.get(key)),
        };
        for (index, item) in items.iter().enumerate() {
            if items[..index].iter().any(|other| is_same(item, other)) {
                let key = match &self.list {
                    ListType::Atomic | ListType::Set => item.clone(),
                    ListType::Map(keys) => {
                        keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
                    }
                };
                let at = Place::Item(&place, index).to_string();
                errors.push(FieldError::new(FieldErrorType::Duplicate, &at, key, ""));
            }
        }
    }

    fn check_combinations(&self, place: Place<'_>, value: &Value, errors: &mut Vec<FieldError>) {
        if self.all_of.is_empty() && self.any_of.is_empty() && self.one_of.is_empty() && self.not.is_none() {
            return;
        }
        let holds = |schema: &Schema| {
            let mut below = Vec::new();
            schema.check(place, value, None, &mut below);
            below.is_empty()
        };
        let path = place.to_string();
        let shown = FieldError::invalid(&path, "", "");
        let refuse = |text: String| FieldError { detail: text, ..shown.clone() };
        for schema in &self.all_of {
            schema.check(place, value, None, errors);
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(holds) {
            errors.push(refuse(format!("{path:?} must validate at least one schema (anyOf)")));
        }
        if !self.one_of.is_empty() {
            let count = self.one_of.iter().filter(|schema| holds(schema)).count();
            let found = if count == 0 {
                "Found none valid".to_owned()
            } else {
                format!("Found {count} valid alternatives")
            };
            if count != 1 {
                errors
                    .push(refuse(format!("{path:?} must validate one and only one schema (oneOf). {found}")));
            }
        }
        if self.not.as_deref().is_some_and(holds) {
            errors.push(refuse(format!("{path:?} must not validate the schema (not)")));
        }
    }

    /// The item of the old list that `item` continues: by key in list maps, by value in sets.
    pub(super) fn same_item<'a>(&self, item: &Value, old: &'a Value) -> Option<&'a Value> {
        let old = old.as_array()?;
        match &self.list {
            ListType::Atomic => None,
            ListType::Set => old.iter().find(|other| *other == item),
            ListType::Map(keys) => {
                old.iter().find(|other| keys.iter().all(|key| other.get(key) == item.get(key)))
            }
        }
    }
}

fn too_many(place: Place<'_>, count: u64, limit: Option<u64>, errors: &mut Vec<FieldError>) {
    if let Some(limit) = limit.filter(|limit| count > *limit) {
        let items = if limit == 1 { "item" } else { "items" };
        let text = format!("must have at most {limit} {items}");
        errors.push(FieldError::new(FieldErrorType::TooMany, &place.to_string(), count, &text));
    }
}

/// How messages name the place: `spec.size in body`.
fn body(place: Place<'_>) -> String {
    if matches!(place, Place::Root) { "in body".to_owned() } else { format!("{place} in body") }
}

pub(super) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Any => "",
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::IntOrString => "integer,string",
    }
}

fn found_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The formats that are checked; others are words for people, as in Kubernetes.
pub(super) fn format_holds(format: &str, text: &str) -> bool {
    match format {
        "date-time" => {
            let bytes = text.as_bytes();
            let digits = |range: std::ops::Range<usize>| {
                bytes.get(range).is_some_and(|s| s.iter().all(u8::is_ascii_digit))
            };
            let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
            let zone =
                text.ends_with(['Z', 'z']) || text.get(19..).is_some_and(|rest| rest.contains(['+', '-']));
            [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits)
                && marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark))
                && zone
        }
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => {
            let groups: Vec<_> = text.split('-').map(str::len).collect();
            groups == [8, 4, 4, 4, 12] && text.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit())
        }
        "byte" => {
            text.len().is_multiple_of(4)
                && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/=".contains(&c))
        }
        _ => true,
    }
}
