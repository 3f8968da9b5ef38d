use super::*;
use proptest::prelude::*;
use serde_json::json;

fn crd(schema: Value) -> Schema {
    Schema::from_crd(&schema, "spec.validation.openAPIV3Schema").unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn cluster() -> Schema {
    crd(json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1},
            "minSize": {"type": "integer"},
            "maxSize": {"type": "integer"},
            "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
            "port": {"x-kubernetes-int-or-string": true},
            "flags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "containers": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"},
                    "image": {"type": "string", "default": "busybox"},
                    "tag": {"type": "string", "x-kubernetes-validations": [
                        {"rule": "self == oldSelf", "message": "tag does not change"}]}
                }}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }, "x-kubernetes-validations": [
            {"rule": "!has(self.maxSize) || self.size <= self.maxSize", "message": "size is above maxSize"},
            {"rule": "has(self.maxSize) == has(oldSelf.maxSize) && (!has(self.maxSize) || self.maxSize == oldSelf.maxSize)",
             "message": "maxSize does not change", "fieldPath": ".maxSize", "reason": "FieldValueForbidden"},
            {"rule": "!has(self.minSize) || self.minSize <= self.size",
             "messageExpression": "'size ' + string(self.size) + ' is below minSize ' + string(self.minSize)"}
        ]},
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}}}
    }}))
}

fn messages(schema: &Schema, new: Value, old: Option<Value>) -> Vec<String> {
    schema.validate(&new, old.as_ref()).iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_refused_in_the_words_of_kubernetes() {
    let schema = cluster();
    let found = messages(&schema, json!({"spec": {"size": "x", "mode": "c", "name": "ABCD"}}), None);
    assert_eq!(
        found,
        [
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            "spec.name: Invalid value: \"ABCD\": spec.name in body should match '^[a-z]+$'",
            "spec.name: Too long: may not be more than 3 bytes",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        ]
    );
    assert_eq!(
        messages(&schema, json!({"spec": {"size": 0}}), None),
        ["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"]
    );
    assert_eq!(messages(&schema, json!({"spec": {}}), None)[0], "spec.size: Required value");
    let twice =
        json!({"spec": {"size": 1, "flags": ["a", "a"], "containers": [{"name": "x"}, {"name": "x"}]}});
    assert_eq!(
        messages(&schema, twice, None),
        ["spec.flags[1]: Duplicate value: \"a\"", "spec.containers[1]: Duplicate value: {\"name\":\"x\"}"]
    );
    assert!(messages(&schema, json!({"spec": {"size": 1, "port": "http"}}), None).is_empty());
    let long = json!({"spec": {"size": 1, "containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}});
    assert_eq!(messages(&schema, long, None)[0], "spec.containers: Too many: 3: must have at most 2 items");
}

#[test]
fn rules_run() {
    let schema = cluster();
    let spec = |spec: Value| json!({"spec": spec});
    assert_eq!(
        messages(&schema, spec(json!({"size": 5, "maxSize": 4, "minSize": 6})), None),
        ["spec: Invalid value: size is above maxSize", "spec: Invalid value: size 5 is below minSize 6"]
    );
    assert!(messages(&schema, spec(json!({"size": 4, "maxSize": 4})), None).is_empty());
    assert_eq!(
        messages(
            &schema,
            spec(json!({"size": 4, "maxSize": 9})),
            Some(spec(json!({"size": 4, "maxSize": 4})))
        ),
        ["spec.maxSize: Forbidden: maxSize does not change"]
    );
    // Transition rules follow items by their key, and wait for an old value.
    let with = |tag: &str| spec(json!({"size": 1, "containers": [{"name": "z"}, {"name": "a", "tag": tag}]}));
    let swapped = spec(json!({"size": 1, "containers": [{"name": "a", "tag": "2"}, {"name": "z"}]}));
    assert!(messages(&schema, with("1"), None).is_empty());
    assert_eq!(
        messages(&schema, swapped, Some(with("1"))),
        ["spec.containers[0].tag: Invalid value: \"2\": tag does not change"]
    );
}

/// KEP-4008: what was invalid before and is not touched may stay.
#[test]
fn unchanged_values_are_not_checked_again() {
    let schema = cluster();
    let old = json!({"spec": {"size": 5, "maxSize": 4, "mode": "gone"}});
    let mut new = old.clone();
    new["status"] = json!({"ready": 1});
    assert!(messages(&schema, new.clone(), Some(old.clone())).is_empty());
    new["spec"]["size"] = json!(6);
    assert_eq!(messages(&schema, new, Some(old)), ["spec: Invalid value: size is above maxSize"]);
}

#[test]
fn rules_that_do_not_compile() {
    let refuse = |rule: &str| {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}, "type": {"type": "string"}},
            "x-kubernetes-validations": [{"rule": rule}]});
        Schema::from_crd(&schema, "root").map(|_| ()).map_err(|errors| errors[0].detail.clone())
    };
    assert_eq!(
        refuse("self.a > 1 && self.b").unwrap_err(),
        "compilation failed: ERROR: <input>:1:19: undefined field 'b'\n | self.a > 1 && self.b\n | ..................^"
    );
    assert!(refuse("self.a >").unwrap_err().starts_with("compilation failed: "));
    assert!(refuse("other.a > 1").unwrap_err().contains("undeclared reference to 'other'"));
    assert!(refuse("self.a.foo(1)").unwrap_err().contains("undeclared reference to 'foo'"));
    for good in [
        "self.a > 1 && [1, 2].all(x, x > 0)",
        "'a,b'.split(',').size() == 2 && 'AbC'.lowerAscii() == 'abc'",
        "[1, 2, 3].sum() == 6 && [2, 1].min() == 1 && [1, 2].isSorted()",
        "'abc 12'.find('[0-9]+') == '12' && isURL('https://a.b/c') && isQuantity('1Gi') && !isQuantity('x')",
        "self.metadata.name.matches('^[a-z]+$') && self.type == 'x'",
    ] {
        let schema = crd(
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "type": {"type": "string"}},
            "x-kubernetes-validations": [{"rule": good}]}),
        );
        let object = json!({"metadata": {"name": "n"}, "a": 2, "type": "x"});
        assert_eq!(messages(&schema, object, None), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn escaped_names_and_missing_keys() {
    let schema = crd(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "namespace": {"type": "string"}, "a-b": {"type": "integer"}, "c": {"type": "integer"}
    }, "x-kubernetes-validations": [{"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"}, {"rule": "self.c > 0"}]}}}));
    assert_eq!(
        messages(&schema, json!({"spec": {"namespace": "x", "a-b": 1}}), None),
        ["spec: Invalid value: \"object\": no such key: c evaluating rule: self.c > 0"]
    );
}

#[test]
fn costly_rules_end() {
    let schema =
        crd(json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}]}}}));
    let list: Vec<_> = (0..10_000).collect();
    let found = messages(&schema, json!({"l": list}), None);
    assert!(found[0].contains("running out of cost budget"), "{found:?}");
}

#[test]
fn structure_is_checked() {
    let refuse = |schema: Value| {
        let errors = validate_structure(&schema, "s");
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(refuse(json!({})), ["s.type: Required value: must not be empty at the root"]);
    assert_eq!(
        refuse(
            json!({"type": "object", "properties": {"a": {}, "b": {"type": "array"}, "c": {"type": "strin"}}})
        ),
        [
            "s.properties[a].type: Required value: must not be empty for specified object fields",
            "s.properties[b].items: Required value: must be specified",
            "s.properties[c].type: Unsupported value: \"strin\": supported values: \"array\", \"boolean\", \
             \"integer\", \"number\", \"object\", \"string\"",
        ]
    );
    let list = json!({"type": "object", "properties": {"l": {"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}});
    assert_eq!(
        refuse(list),
        ["s.properties[l].items.properties[name].default: Required value: this property is in \
          x-kubernetes-list-map-keys, so it must have a default or be a required property"]
    );
}

#[test]
fn unknown_fields_and_defaults() {
    let schema = cluster();
    let mut object = json!({
        "apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n", "bogus": 1}, "extra": 1,
        "spec": {"size": 1, "foo": {"bar": 1}, "labels": {"any": "x"}, "free": {"any": {"thing": 1}},
                 "containers": [{"name": "a", "x": 1}], "mode": null}
    });
    let unknown = ["metadata.bogus", "extra", "spec.foo", "spec.containers[0].x"];
    assert_eq!(schema.unknown_fields(&object), unknown);
    schema.prune(&mut object);
    schema.apply_defaults(&mut object);
    assert_eq!(
        object["spec"],
        json!({"size": 1, "labels": {"any": "x"}, "free": {"any": {"thing": 1}},
               "containers": [{"name": "a", "image": "busybox"}], "mode": "a"})
    );
}

#[test]
fn built_in_kinds_know_their_lists() {
    let pod = builtin::schema("", "v1", "Pod").unwrap();
    let containers = pod.at(&["spec", "containers"]).unwrap();
    assert_eq!(containers.list, ListType::Map(vec!["name".to_owned()]));
    assert_eq!(containers.patch.merge_key.as_deref(), Some("name"));
    let ports = pod.at(&["spec", "containers", "ports"]).unwrap();
    assert_eq!(ports.list, ListType::Map(vec!["containerPort".to_owned(), "protocol".to_owned()]));
    assert!(pod.at(&["spec", "volumes"]).unwrap().patch.retain_keys);
    assert!(pod.at(&["spec", "nodeSelector"]).unwrap().atomic);
    let selector = builtin::schema("batch", "v1", "Job").unwrap().at(&["spec", "selector"]).unwrap();
    assert!(selector.atomic && !selector.description.is_empty());
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {}, "spec": {"paralelism": 1,
        "template": {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}, "comand": []}]}}}});
    assert_eq!(
        builtin::schema("batch", "v1", "Job").unwrap().unknown_fields(&job),
        ["spec.paralelism", "spec.template.spec.containers[0].comand"]
    );
}

#[test]
fn values_that_do_not_fit_a_built_in_kind() {
    let job = builtin::schema("batch", "v1", "Job").unwrap();
    let refuse =
        |spec: Value| job.decode_error(&json!({"metadata": {"creationTimestamp": null}, "spec": spec}));
    let container = |container: Value| json!({"template": {"spec": {"containers": [container]}}});
    assert_eq!(refuse(json!({"parallelism": 1, "selector": {"matchLabels": {"a": "b"}}})), None);
    assert_eq!(
        refuse(json!({"parallelism": "1"})).unwrap(),
        "json: cannot unmarshal string into Go struct field JobSpec.spec.parallelism of type int32"
    );
    assert_eq!(
        refuse(container(json!({"env": [{"name": "A", "value": 1}]}))).unwrap(),
        "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
    );
    assert_eq!(
        refuse(container(json!({"command": "sh"}))).unwrap(),
        "json: cannot unmarshal string into Go struct field Container.spec.template.spec.containers.command of type \
         []string"
    );
    assert!(
        refuse(container(json!({"resources": {"limits": {"cpu": "x"}}})))
            .unwrap()
            .starts_with("quantities must")
    );
    assert_eq!(refuse(container(json!({"resources": {"limits": {"cpu": 1, "memory": "1.5Gi"}}}))), None);
    let secret = builtin::schema("", "v1", "Secret").unwrap();
    assert_eq!(
        secret.decode_error(&json!({"data": {"a": "x!"}})).unwrap(),
        "illegal base64 data at input byte 1"
    );
    let stamp = |text: &str| secret.decode_error(&json!({"metadata": {"creationTimestamp": text}}));
    assert!(
        stamp("now").unwrap().starts_with("parsing time \"now\"") && stamp("2026-01-01T00:00:00Z").is_none()
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), "[ab]".prop_map(Value::from)];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name =
            prop::sample::select(vec!["spec", "size", "labels", "free", "containers", "name", "x", "mode"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_twice_is_pruning_once(object in any_json()) {
        let schema = cluster();
        let mut once = object;
        schema.prune(&mut once);
        let mut twice = once.clone();
        schema.prune(&mut twice);
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(schema.unknown_fields(&once), Vec::<String>::new());
        schema.apply_defaults(&mut once);
        let mut again = once.clone();
        schema.apply_defaults(&mut again);
        prop_assert_eq!(once, again);
    }
}
