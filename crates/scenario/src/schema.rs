//! The format as JSON Schema, for editors.

use serde_json::Value;

/// The JSON Schema (draft 2020-12) of a scenario file, with a description of every field.
///
/// It is derived from the types that the parser reads into, so it cannot name a field that the parser refuses, or lack
/// one that it accepts. It says less than the parser does: it does not know which fields exclude each other, nor what
/// the small languages (durations, versions, CEL, tables) look like.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(crate::raw::Scenario).to_value();
    forbid_null(&mut schema);
    schema
}

/// A field that may be absent may not be null, which `schemars` does not tell apart. Fields for which null means
/// something refer to a type of their own, which stays as it is.
fn forbid_null(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(forbid_null);
        }
        return;
    };
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(without_null);
    }
    fields.values_mut().for_each(forbid_null);
}

/// Takes null out of the types of one property.
fn without_null(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
    }
    let Some(Value::Array(options)) = property.get_mut("anyOf") else { return };
    options.retain(|option| option.get("type") != Some(&Value::from("null")));
    if let [Value::Object(only)] = options.as_mut_slice() {
        let only = std::mem::take(only);
        if let Value::Object(fields) = property {
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
}
