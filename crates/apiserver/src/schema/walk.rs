//! Walks that change or list fields: pruning, unknown fields, defaults.
//!
//! Depth is bounded by the depth of the schema and of the parsed JSON.

use super::{Place, Schema, Type};
use serde_json::Value;

impl Schema {
    /// Whether fields that are not declared are kept.
    fn keeps(&self, name: &str) -> bool {
        self.preserve
            || (self.kind == Type::Any && self.is_free_form())
            || (self.embedded && matches!(name, "apiVersion" | "kind"))
    }

    /// Drops the fields that the schema does not know (`structural/pruning`). Doing it twice changes nothing more.
    pub fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, below| match self.field(name) {
                    Some(schema) => {
                        schema.prune(below);
                        true
                    }
                    None => self.keeps(name),
                });
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.prune(item));
                }
            }
            _ => {}
        }
    }

    /// The paths of the fields that the schema does not know, in the order of the object, for strict decoding:
    /// `unknown field "spec.foo"`.
    pub fn unknown_fields(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.unknown(value, Place::Root, &mut found);
        found
    }

    fn unknown(&self, value: &Value, place: Place<'_>, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, below) in fields {
                    match self.field(name) {
                        Some(_) if !(below.is_object() || below.is_array()) => {}
                        Some(schema) => schema.unknown(below, Place::Field(&place, name), found),
                        None if self.keeps(name) => {}
                        None => found.push(Place::Field(&place, name).to_string()),
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    schema.unknown(item, Place::Item(&place, index), found);
                }
            }
            _ => {}
        }
    }

    /// Fills absent fields in, and nulls of fields that are not nullable (`structural/defaulting`).
    pub fn apply_defaults(&self, value: &mut Value) {
        if !self.has_defaults {
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    let Some(default) = &schema.default else { continue };
                    match fields.get_mut(name.as_ref()) {
                        None => {
                            fields.insert(name.to_string(), default.clone());
                        }
                        Some(found @ Value::Null) if !schema.nullable => *found = default.clone(),
                        Some(_) => {}
                    }
                }
                for (name, below) in fields.iter_mut() {
                    if let Some(schema) = self.field(name) {
                        schema.apply_defaults(below);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for item in items {
                    if let (Value::Null, false, Some(default)) = (&item, schema.nullable, &schema.default) {
                        *item = default.clone();
                    }
                    schema.apply_defaults(item);
                }
            }
            _ => {}
        }
    }
}
