use super::*;
use crate::managed_fields::update;
use crate::schema::builtin;
use proptest::prelude::*;

fn writer<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer { manager, api_version: "batch/v1", subresource: "", now, reset: &[&["status"]] }
}

fn job(spec: Value) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec})
}

fn schema() -> &'static Schema {
    builtin::schema("batch", "v1", "Job").unwrap()
}

fn run(live: Option<&Value>, config: Value, manager: &str, force: bool) -> Result<Value> {
    apply(schema(), live, &config, force, &writer(manager, "2026-01-01T00:00:00Z"))
}

fn owners(object: &Value) -> Vec<(String, Value)> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.into_iter()
        .map(|entry| (entry["manager"].as_str().unwrap().to_owned(), entry["fieldsV1"].clone()))
        .collect()
}

fn containers(list: Value) -> Value {
    json!({"template": {"spec": {"containers": list}}})
}

#[test]
fn an_applied_object_is_owned() {
    let spec = json!({"parallelism": 2, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "x", "image": "i", "ports": [{"containerPort": 80}]}]}}});
    let object = run(None, job(spec), "me", false).unwrap();
    assert_eq!(
        owners(&object),
        [(
            "me".to_owned(),
            json!({"f:spec": {"f:parallelism": {}, "f:template": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}})
        )]
    );
    assert_eq!(object["metadata"]["managedFields"][0]["operation"], "Apply");
}

/// The entry that `kubectl create` leaves: maps that were not there are owned (`.`), structs are not.
#[test]
fn a_created_object_is_owned() {
    let mut object = job(json!({"parallelism": 1, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "x", "image": "i", "resources": {}}], "restartPolicy": "Never"}}}));
    object["status"] = json!({"active": 1});
    update(schema(), None, &mut object, &writer("kubectl-create", "t"));
    assert_eq!(
        owners(&object),
        [(
            "kubectl-create".to_owned(),
            json!({"f:spec": {"f:parallelism": {}, "f:template": {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}},
                "f:restartPolicy": {}}}}})
        )]
    );
}

#[test]
fn fields_change_hands() {
    let mut object = job(json!({"parallelism": 1, "completions": 1}));
    update(schema(), None, &mut object, &writer("a", "1"));
    let mut next = object.clone();
    next["spec"]["parallelism"] = json!(2);
    update(schema(), Some(&object), &mut next, &writer("b", "2"));
    assert_eq!(
        owners(&next),
        [
            ("a".to_owned(), json!({"f:spec": {"f:completions": {}}})),
            ("b".to_owned(), json!({"f:spec": {"f:parallelism": {}}}))
        ]
    );
    // A write that changes nothing changes no entry, not even a time.
    let mut same = next.clone();
    update(schema(), Some(&next), &mut same, &writer("c", "3"));
    assert_eq!(same, next);
    // A field that goes is dropped from its owner.
    let mut less = next.clone();
    less["spec"].as_object_mut().unwrap().shift_remove("completions");
    update(schema(), Some(&next), &mut less, &writer("b", "4"));
    assert_eq!(owners(&less), [("b".to_owned(), json!({"f:spec": {"f:parallelism": {}}}))]);
    assert_eq!(less["metadata"]["managedFields"][0]["time"], "2");
}

/// `TestUpdateApplyConflict` and the message of managedfields/internal/conflict.go.
#[test]
fn conflicts_and_force() {
    let mut live = job(json!({"parallelism": 1, "completions": 5}));
    update(schema(), None, &mut live, &writer("kubectl-client-side-apply", "t"));
    let error = run(Some(&live), job(json!({"parallelism": 3})), "me", false).unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using batch/v1: .spec.parallelism"
    );
    assert_eq!((error.code, error.details.causes[0].reason.as_str()), (409, "FieldManagerConflict"));
    let error = run(Some(&live), job(json!({"parallelism": 3, "completions": 6})), "me", false).unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using batch/v1:\n\
         - .spec.completions\n- .spec.parallelism"
    );
    let forced = run(Some(&live), job(json!({"parallelism": 3})), "me", true).unwrap();
    assert_eq!(forced["spec"], json!({"parallelism": 3, "completions": 5}));
    assert_eq!(
        owners(&forced),
        [
            ("me".to_owned(), json!({"f:spec": {"f:parallelism": {}}})),
            ("kubectl-client-side-apply".to_owned(), json!({"f:spec": {"f:completions": {}}}))
        ]
    );
    // The same value is no conflict: the field is owned by both.
    let shared = run(Some(&live), job(json!({"parallelism": 1})), "me", false).unwrap();
    assert_eq!(owners(&shared).len(), 2);
}

/// `TestMultipleAppliers`: what the last applier no longer says goes, unless somebody else says it.
#[test]
fn fields_no_longer_applied_go() {
    let both = json!([{"name": "x", "image": "1"}, {"name": "y", "image": "1"}]);
    let live = run(None, job(containers(both)), "a", false).unwrap();
    let live = run(Some(&live), job(containers(json!([{"name": "y", "image": "1"}]))), "b", false).unwrap();
    let next = run(Some(&live), job(containers(json!([{"name": "x"}]))), "a", false).unwrap();
    assert_eq!(
        next["spec"]["template"]["spec"]["containers"],
        json!([{"name": "x"}, {"name": "y", "image": "1"}])
    );
    let last = run(Some(&next), job(json!({"parallelism": 1})), "a", false).unwrap();
    assert_eq!(last["spec"]["template"]["spec"]["containers"], json!([{"name": "y", "image": "1"}]));
    let none = run(Some(&last), job(json!({"parallelism": 1})), "b", false).unwrap();
    assert_eq!(none["spec"], json!({"parallelism": 1}));
}

#[test]
fn atomic_values_and_free_maps() {
    let live = run(None, job(json!({"selector": {"matchLabels": {"a": "1"}}})), "a", false).unwrap();
    assert_eq!(owners(&live)[0].1, json!({"f:spec": {"f:selector": {}}}));
    let error =
        run(Some(&live), job(json!({"selector": {"matchLabels": {"b": "1"}}})), "b", false).unwrap_err();
    assert!(error.message.ends_with("conflict with \"a\": .spec.selector"), "{error}");
    let mut labels = job(json!({}));
    labels["metadata"]["labels"] = json!({"x": "1"});
    let live = run(Some(&live), labels, "b", false).unwrap();
    assert_eq!(live["metadata"]["labels"], json!({"x": "1"}));
    assert_eq!(owners(&live)[1].1["f:metadata"], json!({"f:labels": {"f:x": {}}}));
}

#[test]
fn mistakes_in_a_configuration() {
    let text = |spec: Value| run(None, job(spec), "a", false).unwrap_err().message;
    assert!(
        text(json!({"paralelism": 1})).ends_with("Kind=Job): .spec.paralelism: field not declared in schema")
    );
    assert!(
        text(containers(json!([{"name": "x"}, {"name": "x"}])))
            .ends_with(".spec.template.spec.containers: duplicate entries for key [name=\"x\"]")
    );
}

#[test]
fn an_object_that_nobody_tracks() {
    let live = job(json!({"parallelism": 1, "completions": 1}));
    let error = run(Some(&live), job(json!({"parallelism": 2})), "a", false).unwrap_err();
    assert!(
        error.message.contains("conflict with \"before-first-apply\" using batch/v1: .spec.parallelism"),
        "{error}"
    );
    let mut untracked = live.clone();
    untracked["spec"]["parallelism"] = json!(3);
    update(schema(), Some(&live), &mut untracked, &writer("b", "t"));
    assert!(owners(&untracked).is_empty(), "an update starts no tracking");
}

#[test]
fn old_updaters_are_put_together() {
    let mut live = job(json!({}));
    live["metadata"]["labels"] = json!({"first": "x"});
    update(schema(), None, &mut live, &writer("m00", "00"));
    for number in 1..15 {
        let name = format!("m{number:02}");
        let mut next = live.clone();
        next["metadata"]["labels"][&name] = json!("x");
        update(schema(), Some(&live), &mut next, &writer(&name, &format!("{number:02}")));
        live = next;
    }
    let owners = owners(&live);
    assert_eq!(owners.len(), 10);
    assert_eq!(owners[0].0, "ancient-changes");
}

fn any_config() -> impl Strategy<Value = Value> {
    let container = (prop::option::of(0..3), prop::option::of(prop::collection::vec(0..2, 0..2)));
    let containers = prop::collection::btree_map("[a-c]", container, 1..4).prop_map(|map| {
        let one = |(name, (image, ports)): (String, (Option<i32>, Option<Vec<i32>>))| {
            let mut container = json!({"name": name});
            if let Some(image) = image {
                container["image"] = json!(image.to_string());
            }
            if let Some(mut ports) = ports {
                ports.dedup();
                container["ports"] =
                    ports.into_iter().map(|port| json!({"containerPort": port + 80})).collect();
            }
            container
        };
        map.into_iter().map(one).collect::<Vec<_>>()
    });
    let labels = prop::option::of(prop::collection::btree_map("[a-c]", "[01]", 1..3));
    (containers, labels, prop::option::of(0..3)).prop_map(|(containers, labels, parallelism)| {
        let mut config = job(json!({"template": {"spec": {"containers": containers}}}));
        if let Some(labels) = labels {
            config["metadata"]["labels"] = json!(labels);
        }
        if let Some(parallelism) = parallelism {
            config["spec"]["parallelism"] = json!(parallelism);
        }
        config
    })
}

/// Half of a configuration: what belongs to one of two appliers.
fn half(config: &Value, second: bool) -> Value {
    let mut half = config.clone();
    let list = half["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    list.retain(|container| (container["name"] == "b") == second);
    let empty = list.is_empty();
    // Each applier owns something, or the object would be tracked for nobody (`before-first-apply`).
    half["metadata"]["annotations"] = json!({if second { "second" } else { "first" }: ""});
    if empty {
        half["spec"].as_object_mut().unwrap().shift_remove("template");
    }
    if second {
        half["spec"].as_object_mut().unwrap().shift_remove("parallelism");
    } else if let Some(meta) = half["metadata"].as_object_mut() {
        meta.shift_remove("labels");
    }
    half
}

fn sorted(mut object: Value) -> Value {
    object["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
    if let Some(list) = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut) {
        list.sort_by_key(|container| container["name"].to_string());
    }
    object.sort_all_objects();
    object
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(first in any_config(), second in any_config()) {
        let live = run(None, first, "a", false).unwrap();
        let once = apply(schema(), Some(&live), &second, true, &writer("b", "1")).unwrap();
        let twice = apply(schema(), Some(&once), &second, true, &writer("b", "2")).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn disjoint_appliers_commute(config in any_config()) {
        let (x, y) = (half(&config, false), half(&config, true));
        let one = run(Some(&run(None, x.clone(), "a", false).unwrap()), y.clone(), "b", false).unwrap();
        let two = run(Some(&run(None, y, "b", false).unwrap()), x, "a", false).unwrap();
        prop_assert_eq!(owners(&one), owners(&two));
        prop_assert_eq!(sorted(one), sorted(two));
    }

    /// A sole applier has what it says, whatever it said before.
    #[test]
    fn a_sole_applier_gets_what_it_says(first in any_config(), second in any_config()) {
        let live = run(None, first, "a", false).unwrap();
        let next = run(Some(&live), second.clone(), "a", false).unwrap();
        let fresh = run(None, second, "a", false).unwrap();
        prop_assert_eq!(owners(&next), owners(&fresh));
        let bare = |object: &Value| {
            let mut object = object.clone();
            object["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
            object
        };
        prop_assert_eq!(typed::to_set(schema(), &bare(&next)), typed::to_set(schema(), &bare(&fresh)));
    }
}
