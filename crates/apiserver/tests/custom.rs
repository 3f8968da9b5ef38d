//! Custom resources.

mod support;

use serde_json::{Value, json};
use support::Cluster;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FLEETS: &str = "/apis/example.org/v1/namespaces/default/fleets";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "fleets.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"plural": "fleets", "kind": "Fleet", "shortNames": ["fl"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {
                        "type": "object", "required": ["size"],
                        "properties": {"size": {"type": "integer", "minimum": 1}, "max": {"type": "integer"}, "mode": {"type": "string", "default": "plain"}},
                        "x-kubernetes-validations": [{"rule": "!has(self.max) || self.size <= self.max", "message": "size must not exceed max"}],
                    },
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}},
                }}},
            }],
        },
    })
}

fn fleet(name: &str, size: i64) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Fleet", "metadata": {"name": name}, "spec": {"size": size}})
}

#[test]
fn a_definition_serves_its_objects_until_it_goes() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.get(FLEETS).code, 404);
    let made = cluster.post(CRDS, definition()).ok();
    assert_eq!(made["status"]["conditions"][1]["type"], "Established", "{made}");
    let object = cluster.post(FLEETS, fleet("a", 4)).ok();
    assert_eq!((&object["spec"]["mode"], &object["metadata"]["generation"]), (&json!("plain"), &json!(1)));
    let path = format!("{FLEETS}/a");
    let scaled = cluster.merge(&format!("{path}/scale"), json!({"spec": {"replicas": 6}})).ok();
    assert_eq!(scaled["spec"]["replicas"], 6);
    let object = cluster.get(&path).ok();
    assert_eq!((&object["spec"]["size"], &object["metadata"]["generation"]), (&json!(6), &json!(2)));
    let status = cluster
        .merge(
            &format!("{path}/status"),
            json!({"status": {"size": 6, "selector": "a=b"}, "spec": {"size": 1}}),
        )
        .ok();
    assert_eq!(
        (&status["spec"]["size"], &status["status"]["size"], &status["metadata"]["generation"]),
        (&json!(6), &json!(6), &json!(2))
    );
    let refused = cluster.merge(&path, json!({"spec": {"max": 2}}));
    assert!(refused.refused(422, "Invalid").contains("size must not exceed max"), "{}", refused.body);
    let refused = cluster.post(FLEETS, fleet("b", 0));
    assert!(refused.refused(422, "Invalid").contains("spec.size"), "{}", refused.body);
    let applied = cluster.apply(&format!("{FLEETS}/c"), "me", fleet("c", 2));
    assert_eq!(applied.code, 201, "{}", applied.body);
    let groups = cluster.get("/apis").ok();
    assert!(groups.to_string().contains("example.org"));
    cluster.headers = vec![("accept".to_owned(), "application/json;as=Table;v=v1;g=meta.k8s.io".to_owned())];
    let table = cluster.get(FLEETS).ok();
    assert_eq!(table["rows"][0]["cells"], json!(["a", 6]));
    cluster.headers.clear();
    let watch = cluster.watch(&format!("{FLEETS}?watch=1"));
    cluster.told(watch);
    cluster.delete(&format!("{CRDS}/fleets.example.org")).ok();
    cluster.wait(5);
    assert_eq!(cluster.told(watch), ["DELETED a", "DELETED c"]);
    assert_eq!(cluster.get(FLEETS).code, 404);
    assert_eq!(cluster.get(&format!("{CRDS}/fleets.example.org")).code, 404);
}
