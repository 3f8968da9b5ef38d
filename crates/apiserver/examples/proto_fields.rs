//! Writes `src/protobuf_fields.txt` from the Go types of Kubernetes: the number of each field in the binary form, its
//! name in JSON, and its type.
//!
//! `cargo run -p towtank-apiserver --example proto_fields -- API APIMACHINERY > crates/apiserver/src/protobuf_fields.txt`
//! where API and APIMACHINERY are the directories of the modules `k8s.io/api` and `k8s.io/apimachinery`.
//!
//! One line per message, `> group.version.Name`, and one per field: `NUMBER NAME TYPE FLAGS`. Types: `s` text,
//! `b` bytes, `t` truth, `i` integer, `f` float, or the name of a message; `*` before it is a list, `%` a map from
//! texts. The name `~` is a message whose fields are its owner's. Flag `z`: a zero is as good as absent.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// Packages by the names that the types use for them.
const PACKAGES: [(&str, &str); 12] = [
    ("core.v1", "core/v1"),
    ("apps.v1", "apps/v1"),
    ("batch.v1", "batch/v1"),
    ("autoscaling.v1", "autoscaling/v1"),
    ("autoscaling.v2", "autoscaling/v2"),
    ("coordination.v1", "coordination/v1"),
    ("discovery.v1", "discovery/v1"),
    ("events.v1", "events/v1"),
    ("policy.v1", "policy/v1"),
    ("rbac.v1", "rbac/v1"),
    ("authorization.v1", "authorization/v1"),
    ("authentication.v1", "authentication/v1"),
];

/// What `src/schema/builtin.rs` serves, without definitions of custom resources.
const ROOTS: &str = "core.v1.Pod core.v1.Node core.v1.Service core.v1.ConfigMap core.v1.Secret core.v1.Event \
    core.v1.ServiceAccount core.v1.Namespace core.v1.Binding core.v1.Endpoints core.v1.PersistentVolume \
    core.v1.PersistentVolumeClaim core.v1.ResourceQuota core.v1.LimitRange meta.v1.DeleteOptions apps.v1.Deployment \
    apps.v1.ReplicaSet apps.v1.StatefulSet apps.v1.DaemonSet batch.v1.Job batch.v1.CronJob autoscaling.v1.Scale \
    autoscaling.v2.HorizontalPodAutoscaler coordination.v1.Lease discovery.v1.EndpointSlice events.v1.Event \
    policy.v1.PodDisruptionBudget policy.v1.Eviction rbac.v1.Role rbac.v1.RoleBinding rbac.v1.ClusterRole \
    rbac.v1.ClusterRoleBinding authorization.v1.SelfSubjectAccessReview authorization.v1.SelfSubjectRulesReview \
    authorization.v1.SubjectAccessReview authorization.v1.LocalSubjectAccessReview \
    authentication.v1.SelfSubjectReview";

#[derive(Default)]
struct Types {
    structs: BTreeMap<String, Vec<(u32, String, String, bool)>>,
    /// Other named types, with what they stand for.
    names: BTreeMap<String, String>,
}

fn read(types: &mut Types, package: &str, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    let start = Regex::new(r"^type (\w+) struct \{")?;
    let named = Regex::new(r"^type (\w+) ([\w\[\]\.\*]+)\s*$")?;
    let field = Regex::new(r#"^\s+(?:\w+\s+)?([\w\.\*\[\]]+)\s+`json:"([^"]*)".*protobuf:"([^"]*)""#)?;
    let mut open: Option<String> = None;
    for line in text.lines() {
        if let Some(found) = start.captures(line) {
            let name = format!("{package}.{}", &found[1]);
            types.structs.insert(name.clone(), Vec::new());
            open = Some(name);
        } else if line == "}" {
            open = None;
        } else if let Some(found) = named.captures(line) {
            types.names.insert(format!("{package}.{}", &found[1]), found[2].to_owned());
        } else if let (Some(open), Some(found)) = (&open, field.captures(line)) {
            let (go, json, wire) = (&found[1], &found[2], &found[3]);
            let number = wire.split(',').nth(1).and_then(|number| number.parse().ok()).ok_or(line)?;
            let inline = json.is_empty() || json.starts_with(',');
            let name = if inline { "~" } else { json.split(',').next().unwrap_or_default() };
            let zero = json.contains("omitempty") && !go.starts_with('*');
            let kind = format!("{package}|{go}|{}", wire.split(',').next().unwrap_or_default());
            types.structs.entry(open.clone()).or_default().push((number, name.to_owned(), kind, zero));
        }
    }
    Ok(())
}

/// `*v1.Time` seen from a package is `meta.v1.Time`.
fn resolve(types: &Types, package: &str, go: &str, wire: &str) -> String {
    let go = go.trim_start_matches('*');
    if go == "[]byte" {
        return "b".to_owned();
    }
    if let Some(item) = go.strip_prefix("[]") {
        return format!("*{}", resolve(types, package, item, wire));
    }
    if let Some((_, value)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        // The tag of a map says `bytes`, whatever its values are.
        return format!("%{}", resolve(types, package, value, "bytes"));
    }
    let full = match go.split_once('.') {
        Some(("metav1", name)) => format!("meta.v1.{name}"),
        Some(("v1" | "corev1" | "api", name)) => format!("core.v1.{name}"),
        Some(("resource", "Quantity")) => return "Quantity".to_owned(),
        Some(("intstr", "IntOrString")) => return "IntOrString".to_owned(),
        Some(("runtime", "RawExtension")) => return "RawExtension".to_owned(),
        Some(("types", _)) => return "s".to_owned(),
        _ => format!("{package}.{go}"),
    };
    match full.as_str() {
        "meta.v1.Time" | "meta.v1.MicroTime" => return full[8..].to_owned(),
        "meta.v1.FieldsV1" => return "RawExtension".to_owned(),
        _ if types.structs.contains_key(&full) => return full,
        _ => {}
    }
    match types.names.get(&full) {
        // A named list is a message of its own: `items = 1`.
        Some(go) if go.starts_with("[]") && wire == "bytes" && full.ends_with("ExtraValue") => {
            "Items".to_owned()
        }
        Some(go) => {
            let package = full.rsplit_once('.').map_or(package, |(package, _)| package).to_owned();
            resolve(types, &package, go, wire)
        }
        None => match (go, wire) {
            ("bool", _) => "t".to_owned(),
            ("float64" | "float32", _) => "f".to_owned(),
            // The tag of `priority` says bytes; the Go type is right.
            ("int32" | "int64", _) => "i".to_owned(),
            ("string", _) | (_, "bytes") => "s".to_owned(),
            _ => "i".to_owned(),
        },
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let api = arguments.next().ok_or("where is k8s.io/api?")?;
    let machinery = arguments.next().ok_or("where is k8s.io/apimachinery?")?;
    let mut types = Types::default();
    for (package, directory) in PACKAGES {
        read(&mut types, package, &std::fs::read_to_string(format!("{api}/{directory}/types.go"))?)?;
    }
    read(&mut types, "meta.v1", &std::fs::read_to_string(format!("{machinery}/pkg/apis/meta/v1/types.go"))?)?;
    let mut wanted: Vec<String> = ROOTS.split_whitespace().map(str::to_owned).collect();
    let mut done = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !types.structs.contains_key(&name) || !done.insert(name.clone()) {
            continue;
        }
        println!("> {name}");
        for (number, field, kind, zero) in &types.structs[&name] {
            let mut parts = kind.split('|');
            let mut part = || parts.next().unwrap_or_default();
            let kind = resolve(&types, part(), part(), part());
            println!("{number} {field} {kind}{}", if *zero { " z" } else { "" });
            wanted.push(kind.trim_start_matches(['*', '%']).to_owned());
        }
    }
    Ok(())
}
