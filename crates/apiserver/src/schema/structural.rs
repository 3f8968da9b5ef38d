//! What the schema of a custom resource must look like (KEP-1111, structural schemas).
//!
//! The checks and their words are those of `apiextensions-apiserver/pkg/apiserver/schema/validation.go` and
//! `pkg/apis/apiextensions/validation`, for the mistakes that people make.

use super::child;
use crate::error::FieldError;
use serde_json::Value;

/// Deepest nesting that is checked.
const DEPTH_MAX: usize = 64;

/// Where in the schema a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Field,
    Item,
}

/// Checks an `openAPIV3Schema`; `path` is where it is in the definition, e.g.
/// `spec.validation.openAPIV3Schema` (where a real server reports a schema that all versions share).
pub fn validate_structure(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(schema, path, Place::Root, 0, &mut errors);
    errors
}

fn check(node: &Value, path: &str, place: Place, depth: usize, errors: &mut Vec<FieldError>) {
    if depth > DEPTH_MAX {
        errors.push(FieldError::forbidden(path, "the schema is nested too deeply"));
        return;
    }
    let at = |name: &str| child(path, name);
    let flag = |name: &str| node[name] == Value::Bool(true);
    let kind = node["type"].as_str().unwrap_or_default();
    let free = flag("x-kubernetes-int-or-string") || flag("x-kubernetes-preserve-unknown-fields");
    check_type(node, kind, free, path, place, errors);
    for word in ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"] {
        if node.get(word).is_some() {
            errors.push(FieldError::forbidden(&at(word), &format!("{word} is not supported")));
        }
    }
    if flag("uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&at("uniqueItems"), why));
    }
    if place == Place::Root && flag("nullable") {
        errors.push(FieldError::forbidden(&at("nullable"), "nullable cannot be true at the root"));
    }
    let properties = node["properties"].as_object();
    if node["additionalProperties"].is_object() || flag("additionalProperties") {
        if place == Place::Root {
            errors.push(FieldError::forbidden(&at("additionalProperties"), "must not be used at the root"));
        }
        if properties.is_some_and(|properties| !properties.is_empty()) {
            let why = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(&at("additionalProperties"), why));
        }
    }
    if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = at("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    if kind == "array" && !node["items"].is_object() {
        errors.push(FieldError::required(&at("items"), "must be specified"));
    }
    check_list_type(node, kind, path, errors);
    check_map_type(node, kind, path, errors);
    check_rules(node, path, errors);
    for word in ["allOf", "anyOf", "oneOf"] {
        for (index, part) in node[word].as_array().into_iter().flatten().enumerate() {
            check_value_part(part, &format!("{path}.{word}[{index}]"), depth + 1, errors);
        }
    }
    if node["not"].is_object() {
        check_value_part(&node["not"], &at("not"), depth + 1, errors);
    }
    for (name, below) in properties.into_iter().flatten() {
        if place == Place::Root && name == "metadata" {
            check_metadata(below, &format!("{path}.properties[metadata]"), errors);
        } else {
            check(below, &format!("{path}.properties[{name}]"), Place::Field, depth + 1, errors);
        }
    }
    if node["additionalProperties"].is_object() {
        check(&node["additionalProperties"], &at("additionalProperties"), Place::Field, depth + 1, errors);
    }
    if node["items"].is_object() {
        check(&node["items"], &at("items"), Place::Item, depth + 1, errors);
    }
}

fn check_type(node: &Value, kind: &str, free: bool, path: &str, place: Place, errors: &mut Vec<FieldError>) {
    let at = child(path, "type");
    const KINDS: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    if !kind.is_empty() && !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&at, kind, &KINDS.map(str::to_owned)));
    }
    match (kind, place) {
        ("", Place::Root) => errors.push(FieldError::required(&at, "must not be empty at the root")),
        ("", _) if free => {}
        ("", Place::Item) => {
            errors.push(FieldError::required(&at, "must not be empty for specified array items"))
        }
        ("", Place::Field) => {
            errors.push(FieldError::required(&at, "must not be empty for specified object fields"))
        }
        ("object", _) => {}
        (other, Place::Root) => errors.push(FieldError::invalid(&at, other, "must be object at the root")),
        _ => {}
    }
    if node["x-kubernetes-embedded-resource"] == Value::Bool(true) {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match kind {
            "object" => {}
            "" => errors.push(FieldError::required(&at, why)),
            other => errors.push(FieldError::invalid(&at, other, why)),
        }
        let kept = node["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true);
        if !kept && node["properties"].as_object().is_none_or(|properties| properties.is_empty()) {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                       x-kubernetes-preserve-unknown-fields";
            errors.push(FieldError::required(&child(path, "properties"), why));
        }
    }
}

/// Only names may be restricted in metadata.
fn check_metadata(node: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if node["type"].as_str().is_some_and(|kind| kind != "object") {
        errors.push(FieldError::invalid(&child(path, "type"), node["type"].clone(), "must be object"));
    }
    let fields = node["properties"].as_object().into_iter().flatten();
    let others = fields.filter(|(name, _)| !matches!(name.as_str(), "name" | "generateName")).count();
    if others > 0 {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Below `allOf`, `anyOf`, `oneOf` and `not` only values are restricted; fields are declared outside.
fn check_value_part(node: &Value, path: &str, depth: usize, errors: &mut Vec<FieldError>) {
    if depth > DEPTH_MAX {
        return;
    }
    let words = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ];
    for (word, why) in words {
        // The parts of an int-or-string name its two types.
        let allowed = word == "type" && matches!(node[word].as_str(), Some("integer" | "string"));
        if node.get(word).is_some() && !allowed {
            errors.push(FieldError::forbidden(&child(path, word), why));
        }
    }
    for (name, below) in node["properties"].as_object().into_iter().flatten() {
        check_value_part(below, &format!("{path}.properties[{name}]"), depth + 1, errors);
    }
    if node["items"].is_object() {
        check_value_part(&node["items"], &child(path, "items"), depth + 1, errors);
    }
}

fn check_list_type(node: &Value, kind: &str, path: &str, errors: &mut Vec<FieldError>) {
    let at = |name: &str| child(path, name);
    let keys: Vec<_> = node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().collect();
    let list = node["x-kubernetes-list-type"].as_str();
    if list.is_none() && !keys.is_empty() {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(FieldError::required(&at("x-kubernetes-list-type"), why));
    }
    let Some(list) = list else { return };
    if !["atomic", "set", "map"].contains(&list) {
        let allowed = ["atomic", "set", "map"].map(str::to_owned);
        errors.push(FieldError::not_supported(&at("x-kubernetes-list-type"), list, &allowed));
    }
    let why = "must be array if x-kubernetes-list-type is specified";
    match kind {
        "array" => {}
        "" => errors.push(FieldError::required(&at("type"), why)),
        other => errors.push(FieldError::invalid(&at("type"), other, why)),
    }
    if list != "map" {
        return;
    }
    if keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&at("x-kubernetes-list-map-keys"), why));
    }
    let items = &node["items"];
    if items.is_object() && items["type"] != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&at("items.type"), items["type"].clone(), why));
    }
    for key in keys.iter().filter_map(|key| key.as_str()) {
        let field = &items["properties"][key];
        if !field.is_object() {
            let why = "entries must all be names of item properties";
            let value = node["x-kubernetes-list-map-keys"].clone();
            errors.push(FieldError::invalid(&at("x-kubernetes-list-map-keys"), value, why));
            continue;
        }
        let required = items["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key));
        if !required && field.get("default").is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at(&format!("items.properties[{key}].default")), why));
        }
    }
}

fn check_map_type(node: &Value, kind: &str, path: &str, errors: &mut Vec<FieldError>) {
    let Some(map) = node["x-kubernetes-map-type"].as_str() else { return };
    let why = "must be object if x-kubernetes-map-type is specified";
    match kind {
        "object" => {}
        "" => errors.push(FieldError::required(&child(path, "type"), why)),
        other => errors.push(FieldError::invalid(&child(path, "type"), other, why)),
    }
    if !["atomic", "granular"].contains(&map) {
        let allowed = ["atomic", "granular"].map(str::to_owned);
        errors.push(FieldError::not_supported(&child(path, "x-kubernetes-map-type"), map, &allowed));
    }
}

fn check_rules(node: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const REASONS: [&str; 4] =
        ["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"];
    for (index, rule) in node["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
        let at = |name: &str| format!("{path}.x-kubernetes-validations[{index}].{name}");
        let text = |name: &str| rule[name].as_str().unwrap_or_default();
        if text("rule").trim().is_empty() {
            errors.push(FieldError::required(&at("rule"), "rule is not specified"));
        }
        let message = text("message");
        if rule.get("message").is_some() && !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(&at("message"), message, "must be non-empty if specified"));
        } else if message.trim().contains('\n') {
            errors.push(FieldError::invalid(&at("message"), message, "must not contain line breaks"));
        } else if message.is_empty() && text("rule").trim().contains('\n') {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&at("message"), why));
        }
        let reason = text("reason");
        if !reason.is_empty() && !REASONS.contains(&reason) {
            errors.push(FieldError::not_supported(&at("reason"), reason, &REASONS.map(str::to_owned)));
        }
    }
}
