use super::*;
use crate::schema::builtin;
use proptest::prelude::*;
use serde_json::json;

fn merged(kind: &str, object: Value, patch: Value) -> Value {
    let group = if kind == "Deployment" { "apps" } else { "" };
    let mut object = object;
    strategic_merge(builtin::schema(group, "v1", kind).unwrap(), &mut object, patch).unwrap();
    object
}

fn pod(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

/// The containers after a patch of them.
fn containers(old: Value, patch: Value) -> Value {
    merged("Pod", pod(old), pod(patch))["spec"]["containers"].take()
}

#[test]
fn lists_with_a_merge_key_merge() {
    let old = json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1", "env": [{"name": "x", "value": "1"}]}]);
    assert_eq!(
        containers(old.clone(), json!([{"name": "b", "env": [{"name": "y", "value": "2"}], "image": null}])),
        json!([{"name": "a", "image": "1"},
            {"name": "b", "env": [{"name": "y", "value": "2"}, {"name": "x", "value": "1"}]}])
    );
    assert_eq!(containers(old.clone(), json!([{"name": "a", "$patch": "delete"}]))[0]["name"], "b");
    assert_eq!(
        containers(old.clone(), json!([{"name": "c"}, {"$patch": "replace"}])),
        json!([{"name": "c"}]),
        "a replace directive in the list drops all old items"
    );
    let error = strategic_merge(
        builtin::schema("", "v1", "Pod").unwrap(),
        &mut pod(old),
        pod(json!([{"image": "x"}])),
    );
    assert!(error.unwrap_err().message.contains("does not contain declared merge key: name"));
}

#[test]
fn other_lists_are_replaced() {
    let old = json!([{"name": "a", "command": ["x", "y"]}]);
    assert_eq!(
        containers(old, json!([{"name": "a", "command": ["z"]}])),
        json!([{"name": "a", "command": ["z"]}])
    );
}

#[test]
fn the_order_of_items_is_set() {
    let old = json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]);
    let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}],
        "containers": [{"name": "d", "image": "1"}]}});
    assert_eq!(
        merged("Pod", pod(old), patch)["spec"]["containers"],
        json!([{"name": "b"}, {"name": "c"}, {"name": "d", "image": "1"}, {"name": "a"}])
    );
}

#[test]
fn scalars_and_finalizers() {
    let old = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"],
        "$setElementOrder/finalizers": ["a", "c", "d"]}});
    assert_eq!(merged("Pod", old, patch), json!({"metadata": {"finalizers": ["a", "c", "d"]}}));
}

/// The strategy of a deployment has `retainKeys`: kubectl sends the list of keys that stay.
#[test]
fn retained_keys() {
    let old = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(merged("Deployment", old.clone(), patch), json!({"spec": {"strategy": {"type": "Recreate"}}}));
    let bad = json!({"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}});
    let mut object = old.clone();
    let schema = builtin::schema("apps", "v1", "Deployment").unwrap();
    assert_eq!(strategic_merge(schema, &mut object, bad).unwrap_err().code, 400);
    assert_eq!(object, old, "a patch that fails changes nothing");
}

#[test]
fn maps_are_replaced_and_deleted() {
    let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let replace = json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}});
    assert_eq!(merged("Pod", old.clone(), replace), json!({"metadata": {"labels": {"c": "3"}}}));
    let delete = json!({"metadata": {"labels": {"$patch": "delete"}}});
    assert_eq!(merged("Pod", old.clone(), delete), json!({"metadata": {"labels": {}}}));
    assert_eq!(
        merged("Pod", old, json!({"metadata": {"labels": {"a": null}}})),
        json!({"metadata": {"labels": {"b": "2"}}})
    );
}

/// A patch that turns `old` into `new`, as a client computes it (`CreateTwoWayMergePatch`).
fn diff(old: &Value, new: &Value, schema: Option<&Schema>) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = Fields::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        let field = schema.and_then(|schema| schema.field(name));
        match (old.get(name), value, field.and_then(|field| field.patch.merge_key.as_deref())) {
            (Some(before), after, _) if before == after => {}
            (Some(Value::Array(before)), Value::Array(after), Some(key)) => {
                let of = |item: &Value| json!({key: item[key]});
                let mut items: Vec<_> = Vec::new();
                for item in after {
                    match before.iter().find(|old| same(old, item, Some(key))) {
                        Some(old) => {
                            let mut part = diff(old, item, field.and_then(|field| field.items.as_deref()));
                            part[key] = item[key].clone();
                            items.push(part);
                        }
                        None => items.push(item.clone()),
                    }
                }
                for gone in before.iter().filter(|old| !after.iter().any(|item| same(old, item, Some(key)))) {
                    items.push(json!({"$patch": "delete", key: gone[key]}));
                }
                patch.insert(format!("{ORDER}{name}"), after.iter().map(of).collect());
                patch.insert(name.clone(), items.into());
            }
            (Some(before @ Value::Object(_)), after @ Value::Object(_), _) => {
                patch.insert(name.clone(), diff(before, after, field));
            }
            (_, after, _) => _ = patch.insert(name.clone(), after.clone()),
        }
    }
    Value::Object(patch)
}

/// Image, command and environment of a container.
type Parts = (Option<String>, Vec<String>, Vec<Value>);

fn any_pod() -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map("[xyz]", "[0-2]", 0..3)
        .prop_map(|map| map.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect::<Vec<_>>())
        .prop_shuffle();
    let container = (prop::option::of("[12]"), prop::collection::vec("[ab]", 0..3), env);
    let containers = prop::collection::btree_map("[a-d]", container, 1..4).prop_map(|map| {
        let one = |(name, (image, command, env)): (String, Parts)| {
            let mut container = json!({"name": name, "command": command, "env": env});
            if let Some(image) = image {
                container["image"] = image.into();
            }
            container
        };
        map.into_iter().map(one).collect::<Vec<_>>()
    });
    let labels = prop::collection::btree_map("[a-c]", "[0-2]", 0..3);
    (containers.prop_shuffle(), labels).prop_map(
        |(containers, labels)| json!({"metadata": {"labels": labels}, "spec": {"containers": containers}}),
    )
}

proptest! {
    #[test]
    fn a_computed_patch_gives_the_wanted_object(old in any_pod(), new in any_pod()) {
        let schema = builtin::schema("", "v1", "Pod").unwrap();
        let patch = diff(&old, &new, Some(schema));
        let mut object = old;
        strategic_merge(schema, &mut object, patch).unwrap();
        prop_assert_eq!(object, new);
    }
}
