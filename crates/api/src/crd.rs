//! The CustomResourceDefinition: the schema of the types, and the rules.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    ValidationRule,
};
use kube::CustomResourceExt;

use crate::MiniCluster;
use crate::rules::{RULES, Rule};

/// The CustomResourceDefinition of MiniClusters.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = MiniCluster::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            strip(schema);
            if let Some(spec) = find(schema, &["spec"]) {
                fill(spec);
            }
            for rule in RULES {
                if let Some(place) = find(schema, rule.place) {
                    place.x_kubernetes_validations.get_or_insert_default().push(validation(rule));
                }
            }
        }
    }
    crd
}

/// The same as a manifest, one document of JSON that is YAML too where it stands in a file.
pub fn manifest() -> serde_json::Value {
    serde_json::to_value(crd()).unwrap_or_default()
}

fn validation(rule: &Rule) -> ValidationRule {
    let is_expression = rule.message.starts_with('\'');
    ValidationRule {
        rule: rule.rule.to_owned(),
        message: (!is_expression).then(|| rule.message.to_owned()),
        message_expression: is_expression.then(|| rule.message.to_owned()),
        field_path: rule.field.map(str::to_owned),
        ..ValidationRule::default()
    }
}

/// The schema at this place.
pub(crate) fn find<'a>(schema: &'a mut JSONSchemaProps, place: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    let [first, rest @ ..] = place else { return Some(schema) };
    let inner = if *first == "[]" {
        match (schema.items.as_mut(), schema.additional_properties.as_mut()) {
            (Some(JSONSchemaPropsOrArray::Schema(inner)), _) => &mut **inner,
            (_, Some(JSONSchemaPropsOrBool::Schema(inner))) => &mut **inner,
            _ => return None,
        }
    } else {
        schema.properties.as_mut()?.get_mut(*first)?
    };
    find(inner, rest)
}

/// A part that is absent has the defaults of its fields: to write them is to write nothing, and a rule that compares two versions of it
/// finds none changed. Answers whether there is a default below.
fn fill(schema: &mut JSONSchemaProps) -> bool {
    let required = schema.required.take();
    let mut has_defaults = false;
    for (name, property) in schema.properties.iter_mut().flatten() {
        let is_required = required.iter().flatten().any(|one| one == name);
        if fill(property) && !is_required && property.default.is_none() {
            property.default = Some(JSON(serde_json::json!({})));
        }
        has_defaults |= property.default.is_some();
    }
    let can_be_empty = required.as_ref().is_none_or(Vec::is_empty);
    schema.required = required;
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        fill(items);
    }
    has_defaults && can_be_empty
}

/// Titles say nothing, and a field that is absent is not there: `null` would be a third way to say so.
fn strip(schema: &mut JSONSchemaProps) {
    schema.title = None;
    schema.nullable = None;
    if let Some(properties) = &mut schema.properties {
        properties.values_mut().for_each(strip);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(inner)) => strip(inner),
        Some(JSONSchemaPropsOrArray::Schemas(inner)) => inner.iter_mut().for_each(strip),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &mut schema.additional_properties {
        strip(inner);
    }
}
