//! The schema describes what the parser accepts: checked on the scenario that uses every word of the format.

use serde_json::{Value, json};
use towtank_scenario::{NoFiles, parse, schema};

/// The words of `tests/good.yaml` as JSON, by way of YAML.
fn example() -> Value {
    serde_saphyr::from_str(include_str!("good.yaml")).expect("the example is YAML")
}

/// The first mistake of `value` under the keywords that our schema uses.
fn violation(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#'))?;
        return violation(root, target, value, at);
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(keyword).and_then(Value::as_array) {
            let mistakes: Vec<String> =
                options.iter().map_while(|option| violation(root, option, value, at)).collect();
            if mistakes.len() == options.len() {
                return Some(format!("{at}: {mistakes:?}"));
            }
        }
    }
    if let Some(allowed) = schema.get("const").into_iter().next()
        && allowed != value
    {
        return Some(format!("{at}: not {allowed}"));
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Some(format!("{at}: {value} is none of {allowed:?}"));
    }
    if let Some(types) = schema.get("type") {
        let types = types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
        let found = match value {
            Value::Null => vec!["null"],
            Value::Bool(_) => vec!["boolean"],
            Value::Number(number) if number.is_f64() => vec!["number"],
            Value::Number(_) => vec!["integer", "number"],
            Value::String(_) => vec!["string"],
            Value::Array(_) => vec!["array"],
            Value::Object(_) => vec!["object"],
        };
        if !types.iter().any(|allowed| found.iter().any(|found| allowed == found)) {
            return Some(format!("{at}: {value} is not {types:?}"));
        }
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    let item_schema = schema.get("items");
    for (position, item) in items {
        if let Some(mistake) =
            item_schema.and_then(|schema| violation(root, schema, item, &format!("{at}/{position}")))
        {
            return Some(mistake);
        }
    }
    let (Some(fields), Some(known)) =
        (value.as_object(), schema.get("properties").and_then(Value::as_object))
    else {
        return None;
    };
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !required.as_str().is_some_and(|name| fields.contains_key(name)) {
            return Some(format!("{at}: {required} is missing"));
        }
    }
    fields.iter().find_map(|(name, value)| match known.get(name) {
        Some(schema) => violation(root, schema, value, &format!("{at}/{name}")),
        None if schema.get("additionalProperties") == Some(&json!(false)) => {
            Some(format!("{at}: unknown {name}"))
        }
        None => None,
    })
}

/// All keys of mappings, at any depth.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                keys(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// Names under `properties`, at any depth, and whether a description comes with them. A choice (`{down: …}`) is
/// described as a whole, and a reference brings the description of what it refers to.
fn properties<'a>(schema: &'a Value, found: &mut Vec<(&'a str, bool)>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(known)) = fields.get("properties") {
                let is_choice = known.len() == 1 && fields.contains_key("description");
                found.extend(known.iter().map(|(name, schema)| {
                    let is_described = schema.get("description").is_some() || schema.get("$ref").is_some();
                    (name.as_str(), is_choice || is_described)
                }));
            }
            fields.values().for_each(|value| properties(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

#[test]
fn the_example_satisfies_the_schema_and_the_parser() {
    assert!(parse("good.yaml", include_str!("good.yaml"), &NoFiles).is_ok());
    let schema = schema();
    assert_eq!(violation(&schema, &schema, &example(), ""), None);
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = schema();
    for (pointer, name, value) in [
        ("/spec", "stepps", json!([])),
        ("/spec", "about", Value::Null),
        ("/spec/cluster", "nodes", json!("three")),
        ("/spec/steps/0", "aply", json!("job.yaml")),
        ("/spec/steps/1/patch", "job", Value::Null),
        ("/spec/steps/0/expect/0/job", "active", json!("4")),
    ] {
        let mut changed = example();
        let place = changed.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer);
        place.insert(name.to_owned(), value);
        assert!(violation(&schema, &schema, &changed, "").is_some(), "{pointer}/{name}");
        let text = serde_json::to_string_pretty(&changed).expect("JSON, which is YAML");
        assert!(parse("changed.yaml", &text, &NoFiles).is_err(), "{pointer}/{name}");
    }
}

#[test]
fn every_field_has_a_description_and_stands_in_the_example() {
    let schema = schema();
    let (mut known, mut used) = (Vec::new(), Vec::new());
    properties(&schema, &mut known);
    keys(&example(), &mut used);
    // The example's cluster has kubelets, so it cannot set phases, and an operator, so that it has none of another; of the words for a node it uses two.
    const ELSEWHERE: &[&str] = &[
        "phase",
        "ready",
        "up",
        "delete",
        "cordon",
        "uncordon",
        "outOfService",
        "shutDown",
        "release",
        "compat",
    ];
    for (name, is_described) in known {
        assert!(
            used.iter().any(|key| key == name) || ELSEWHERE.contains(&name),
            "`{name}` is not in the example"
        );
        assert!(is_described, "`{name}` has no description");
    }
}
