//! From JSON (OpenAPI v3) to the tree.

use super::rules::Rule;
use super::{GroupVersionKind, Limits, ListType, PatchStrategy, Schema, Type};
use crate::error::FieldError;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Deepest nesting of a schema; the request parser stops at 128 levels of JSON.
const DEPTH_MAX: usize = 64;

/// The definitions that a schema may refer to by name, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) raw: BTreeMap<String, Value>,
    done: BTreeMap<String, Arc<Schema>>,
    open: Vec<String>,
}

impl Definitions {
    /// The tree of a definition. A definition inside itself (`JSONSchemaProps`) is an object of free form.
    pub(super) fn get(&mut self, name: &str) -> Arc<Schema> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let raw = self.raw.get(name).cloned();
        let (Some(raw), false) = (raw, self.open.iter().any(|open| open == name)) else {
            return Arc::new(Schema { kind: Type::Any, preserve: true, ..Schema::default() });
        };
        self.open.push(name.to_owned());
        let mut errors = Vec::new();
        let mut schema = Parser { definitions: Some(self), errors: &mut errors }.node(&raw, "", 0);
        self.open.pop();
        schema.name = Some(name.into());
        let schema = Arc::new(schema);
        self.done.insert(name.to_owned(), schema.clone());
        schema
    }
}

impl Schema {
    /// The tree of a custom resource from its `openAPIV3Schema`; `path` is where that is in the definition. The root
    /// gets the fields that every resource has.
    ///
    /// Only what would make the tree useless is an error here (patterns and rules that do not compile);
    /// [`super::validate_structure`] has the other rules.
    pub fn from_crd(schema: &Value, path: &str) -> Result<Schema, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut root = Parser { definitions: None, errors: &mut errors }.node(schema, path, 0);
        if !errors.is_empty() {
            return Err(errors);
        }
        for name in ["apiVersion", "kind"] {
            root.properties
                .entry(name.into())
                .or_insert_with(|| Arc::new(Schema { kind: Type::String, ..Schema::default() }));
        }
        root.properties.insert("metadata".into(), super::builtin::object_meta());
        Ok(root)
    }
}

struct Parser<'a> {
    definitions: Option<&'a mut Definitions>,
    errors: &'a mut Vec<FieldError>,
}

impl Parser<'_> {
    fn shared(&mut self, value: &Value, path: &str, depth: usize) -> Arc<Schema> {
        let reference = value["$ref"].as_str().and_then(|text| text.rsplit('/').next());
        let (Some(name), Some(definitions)) = (reference, self.definitions.as_deref_mut()) else {
            return Arc::new(self.node(value, path, depth));
        };
        let target = definitions.get(name);
        match value["description"].as_str() {
            Some(text) => Arc::new(Schema { description: text.into(), ..(*target).clone() }),
            None => target,
        }
    }

    fn node(&mut self, value: &Value, path: &str, depth: usize) -> Schema {
        let mut schema = Schema { preserve: true, ..Schema::default() };
        if depth > DEPTH_MAX {
            self.errors.push(FieldError::forbidden(path, "the schema is nested too deeply"));
            return schema;
        }
        let flag = |name: &str| value[name] == Value::Bool(true);
        schema.description = value["description"].as_str().unwrap_or_default().into();
        schema.kind = match value["type"].as_str() {
            _ if flag("x-kubernetes-int-or-string") => Type::IntOrString,
            Some("object") => Type::Object,
            Some("array") => Type::Array,
            Some("string") => Type::String,
            Some("integer") => Type::Integer,
            Some("number") => Type::Number,
            Some("boolean") => Type::Boolean,
            _ => Type::Any,
        };
        schema.format = value["format"].as_str().unwrap_or_default().to_owned();
        schema.nullable = flag("nullable");
        schema.preserve = flag("x-kubernetes-preserve-unknown-fields");
        schema.embedded = flag("x-kubernetes-embedded-resource");
        schema.atomic = value["x-kubernetes-map-type"] == "atomic";
        schema.list = match value["x-kubernetes-list-type"].as_str() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(texts(&value["x-kubernetes-list-map-keys"])),
            _ => ListType::Atomic,
        };
        schema.patch = patch_strategy(value);
        schema.required = texts(&value["required"]);
        schema.enumeration = value["enum"].as_array().cloned().unwrap_or_default();
        schema.default = value.get("default").cloned();
        schema.limits = limits(value);
        schema.kinds = kinds(&value["x-kubernetes-group-version-kind"]);
        if let Some(pattern) = value["pattern"].as_str() {
            match Regex::new(pattern) {
                Ok(pattern) => schema.pattern = Some(pattern),
                Err(why) => {
                    let text = format!("must be a valid regular expression, but isn't: {why}");
                    self.errors.push(FieldError::invalid(&super::child(path, "pattern"), pattern, &text));
                }
            }
        }
        for (name, field) in value["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.properties[{name}]");
            let field = self.shared(field, &path, depth + 1);
            schema.properties.insert(name.as_str().into(), field);
        }
        match &value["additionalProperties"] {
            below @ Value::Object(_) => {
                schema.additional =
                    Some(self.shared(below, &super::child(path, "additionalProperties"), depth + 1));
            }
            Value::Bool(true) => {
                schema.additional = Some(Arc::new(Schema { preserve: true, ..Schema::default() }))
            }
            _ => {}
        }
        if value["items"].is_object() {
            schema.items = Some(self.shared(&value["items"], &super::child(path, "items"), depth + 1));
        }
        schema.all_of = self.many(value, "allOf", path, depth);
        schema.any_of = self.many(value, "anyOf", path, depth);
        schema.one_of = self.many(value, "oneOf", path, depth);
        if value["not"].is_object() {
            schema.not = Some(Box::new(self.node(&value["not"], &super::child(path, "not"), depth + 1)));
        }
        for (index, rule) in value["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
            match Rule::compile(rule) {
                Ok(rule) => schema.rules.push(rule),
                Err((field, why)) => {
                    let at = format!("{path}.x-kubernetes-validations[{index}].{field}");
                    self.errors.push(FieldError::invalid(&at, rule.clone(), &why));
                }
            }
        }
        if schema.embedded {
            schema.properties.entry("metadata".into()).or_insert_with(super::builtin::object_meta);
        }
        for (index, rule) in schema.rules.iter().enumerate() {
            if let Some(why) = rule.undefined_field(&schema, depth == 0) {
                let at = format!("{path}.x-kubernetes-validations[{index}].rule");
                let shown = value["x-kubernetes-validations"][index].clone();
                self.errors.push(FieldError::invalid(&at, shown, &why));
            }
        }
        let below = || schema.properties.values().chain(&schema.additional).chain(&schema.items);
        schema.has_defaults = below().any(|node| node.has_defaults || node.default.is_some());
        schema.has_rules = !schema.rules.is_empty() || below().any(|node| node.has_rules);
        schema
    }

    fn many(&mut self, value: &Value, name: &str, path: &str, depth: usize) -> Vec<Schema> {
        let list = value[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let at = |index| format!("{path}.{name}[{index}]");
        list.iter().enumerate().map(|(index, one)| self.node(one, &at(index), depth + 1)).collect()
    }
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn patch_strategy(value: &Value) -> PatchStrategy {
    let words = value["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
    PatchStrategy {
        merge: words.split(',').any(|word| word == "merge"),
        retain_keys: words.split(',').any(|word| word == "retainKeys"),
        merge_key: value["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned),
    }
}

fn limits(value: &Value) -> Limits {
    let count = |name: &str| value[name].as_u64();
    Limits {
        minimum: value["minimum"].as_f64(),
        maximum: value["maximum"].as_f64(),
        exclusive_minimum: value["exclusiveMinimum"] == Value::Bool(true),
        exclusive_maximum: value["exclusiveMaximum"] == Value::Bool(true),
        multiple_of: value["multipleOf"].as_f64(),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
    }
}

fn kinds(value: &Value) -> Vec<GroupVersionKind> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |value: &Value| GroupVersionKind {
        group: text(&value["group"]),
        version: text(&value["version"]),
        kind: text(&value["kind"]),
    };
    value.as_array().into_iter().flatten().map(one).collect()
}
