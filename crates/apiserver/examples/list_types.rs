//! Writes `src/schema/list_types.txt` from the OpenAPI documents of Kubernetes (`api/openapi-spec/v3/*.json` of its
//! sources), which `k8s-openapi` does not carry: list types, map types, patch strategies.
//!
//! `cargo run -p towtank-apiserver --example list_types -- DIRECTORY > crates/apiserver/src/schema/list_types.txt`

use serde_json::Value;
use std::collections::BTreeSet;

const DOCUMENTS: [&str; 12] = [
    "api__v1",
    "apis__apps__v1",
    "apis__authorization.k8s.io__v1",
    "apis__autoscaling__v1",
    "apis__autoscaling__v2",
    "apis__batch__v1",
    "apis__coordination.k8s.io__v1",
    "apis__discovery.k8s.io__v1",
    "apis__events.k8s.io__v1",
    "apis__policy__v1",
    "apis__rbac.authorization.k8s.io__v1",
    "apis__apiextensions.k8s.io__v1",
];

fn words(node: &Value) -> String {
    let mut words = Vec::new();
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    match text("x-kubernetes-list-type").as_str() {
        "set" => words.push("set".to_owned()),
        "map" => {
            let keys = node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            let keys: Vec<_> = keys.filter_map(Value::as_str).collect();
            words.push(format!("map:{}", keys.join(",")));
        }
        _ => {}
    }
    if text("x-kubernetes-map-type") == "atomic" {
        words.push("atomic".to_owned());
    }
    let strategy = text("x-kubernetes-patch-strategy");
    if strategy.contains("merge") {
        words.push(format!("merge:{}", text("x-kubernetes-patch-merge-key")));
    }
    if strategy.contains("retainKeys") {
        words.push("retain".to_owned());
    }
    words.join(" ")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let mut lines = BTreeSet::new();
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(format!("{directory}/{name}_openapi.json"))?;
        let document: Value = serde_json::from_str(&text)?;
        for (name, definition) in document["components"]["schemas"].as_object().into_iter().flatten() {
            let own = words(definition);
            if !own.is_empty() {
                lines.insert(format!("{name} . {own}"));
            }
            for (field, node) in definition["properties"].as_object().into_iter().flatten() {
                let mut own = words(node);
                // The only default that identity needs: a port without protocol is a TCP port.
                if field == "protocol" && node["default"] == "TCP" {
                    own = "tcp".to_owned();
                }
                if !own.is_empty() {
                    lines.insert(format!("{name} {field} {own}"));
                }
            }
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
