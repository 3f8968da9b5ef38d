//! Paths that are no objects: what is served (discovery, aggregated and not), versions, health.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth;
use crate::call::{Outcome, Reply};
use crate::error::{ApiError, Result};
use crate::kinds::{Class, Resource, group_version};
use crate::request::Parsed;
use crate::server::{ApiServer, Caller};
use crate::store::to_bytes;

/// What has been made of all resources, until they change.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    revision: u64,
    documents: BTreeMap<String, bytes::Bytes>,
}

/// Documents that are remembered.
const DOCUMENTS_MAX: usize = 1_000;

/// A document that was made since resources changed last.
pub(crate) fn cached(server: &mut ApiServer, name: &str) -> Option<bytes::Bytes> {
    if server.discovery.revision != server.registry.revision
        || server.discovery.documents.len() > DOCUMENTS_MAX
    {
        server.discovery = Cache { revision: server.registry.revision, documents: BTreeMap::new() };
    }
    server.discovery.documents.get(name).cloned()
}

/// Keeps a document until resources change.
pub(crate) fn keep(server: &mut ApiServer, name: &str, document: bytes::Bytes) {
    server.discovery.documents.insert(name.to_owned(), document);
}

/// Answers a path that is no object.
pub(crate) fn answer(
    server: &mut ApiServer,
    caller: &Caller,
    parts: &[String],
    parsed: &Parsed,
) -> Result<Outcome> {
    if !matches!(parsed.method, http::Method::GET | http::Method::HEAD) {
        return Err(ApiError::path_not_found());
    }
    let verb = parsed.method.as_str().to_lowercase();
    auth::check_path(server, caller, &verb, &format!("/{}", parts.join("/")))?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_aggregated = parsed.header("accept").split(',').find_map(|one| {
        if one.contains("as=APIGroupDiscoveryList") && one.split(';').any(|part| part.trim() == "v=v2") {
            return Some(true);
        }
        (one.trim() == "application/json").then_some(false)
    }) == Some(true);
    let document = match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => return Ok(Outcome::Text("ok".into())),
        ["version"] => version(server),
        ["api"] if is_aggregated => return Ok(aggregated(server, true)),
        ["apis"] if is_aggregated => return Ok(aggregated(server, false)),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "localhost"}],
        }),
        ["api", "v1"] => resource_list(server, "", "v1")?,
        ["apis"] => {
            let groups: Vec<Value> =
                groups(server).iter().filter(|(group, _)| !group.is_empty()).map(group_document).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["apis", group] => {
            let groups = groups(server);
            let found = groups.iter().find(|(name, _)| name == group).ok_or_else(ApiError::path_not_found)?;
            let mut document = group_document(found);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            document
        }
        ["apis", group, version] => resource_list(server, group, version)?,
        ["openapi", rest @ ..] => return crate::schemas::answer(server, rest, parsed),
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
        }
        _ => return Err(ApiError::path_not_found()),
    };
    Ok(Outcome::Reply(Reply::json(200, &document)))
}

fn version(server: &ApiServer) -> Value {
    let version = server.config.version;
    json!({
        "major": "1",
        "minor": version.minor().to_string(),
        "gitVersion": format!("v{}", version.full()),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2000-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    })
}

/// Groups with their versions, the core group first.
pub(crate) fn groups(server: &ApiServer) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in server.registry.iter() {
        let versions = groups.entry(resource.group.to_string()).or_default();
        if !versions.iter().any(|version| **version == *resource.version) {
            versions.push(resource.version.to_string());
        }
    }
    let mut groups: Vec<(String, Vec<String>)> = groups.into_iter().collect();
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Order of versions: v2, v1, v1beta2, v1beta1, v1alpha1 (`version.CompareKubeAwareVersionStrings`).
fn priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let number = |text: &str| text.parse().unwrap_or(0);
    for (stage, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (stage, number(major), number(minor));
        }
    }
    (3, number(rest), 0)
}

fn group_document((group, versions): &(String, Vec<String>)) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": group_version(group, version), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// Subresources of a resource: name, kind and verbs.
pub(crate) fn subresources(resource: &Resource) -> Vec<(&'static str, Value, &'static [&'static str])> {
    const PARTS: &[&str] = &["get", "patch", "update"];
    let own = json!({"group": &*resource.group, "version": &*resource.version, "kind": &*resource.kind});
    let of =
        |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut list: Vec<(&'static str, Value, &'static [&'static str])> = Vec::new();
    if resource.has_status {
        list.push(("status", own.clone(), PARTS));
    }
    if resource.scale.is_some() {
        list.push(("scale", of("autoscaling", "v1", "Scale"), PARTS));
    }
    if resource.class == Class::Pod {
        list.push(("binding", of("", "v1", "Binding"), &["create"]));
        list.push(("eviction", of("policy", "v1", "Eviction"), &["create"]));
        list.push(("log", own.clone(), &["get"]));
    }
    if &*resource.kind == "Namespace" && resource.group.is_empty() {
        list.push(("finalize", own, &["update"]));
    }
    list
}

fn resource_list(server: &ApiServer, group: &str, version: &str) -> Result<Value> {
    let mut resources = Vec::new();
    for resource in server.registry.iter().filter(|one| *one.group == *group && *one.version == *version) {
        let mut entry = json!({
            "name": &*resource.plural,
            "singularName": &*resource.singular,
            "namespaced": resource.is_namespaced,
            "kind": &*resource.kind,
            "verbs": auth::verbs_of(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = texts(&resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = texts(&resource.categories);
        }
        resources.push(entry);
        for (name, kind, verbs) in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural),
                "singularName": "",
                "namespaced": resource.is_namespaced,
                "kind": kind["kind"],
                "verbs": verbs,
            });
            if kind["group"] != *resource.group {
                entry["group"] = kind["group"].clone();
                entry["version"] = kind["version"].clone();
            }
            resources.push(entry);
        }
    }
    if resources.is_empty() {
        return Err(ApiError::path_not_found());
    }
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group, version),
        "resources": resources,
    }))
}

fn texts(list: &[Arc<str>]) -> Value {
    list.iter().map(|text| Value::from(&**text)).collect()
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// All groups with all resources in one document (KEP-3352).
fn aggregated(server: &mut ApiServer, is_core: bool) -> Outcome {
    let name = if is_core { "api" } else { "apis" };
    if let Some(document) = cached(server, name) {
        return Outcome::Typed(document, AGGREGATED.to_owned());
    }
    let groups: Vec<Value> = groups(server)
        .iter()
        .filter(|(group, _)| group.is_empty() == is_core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = server
                        .registry
                        .iter()
                        .filter(|one| *one.group == **group && *one.version == **version)
                        .map(|resource| aggregated_resource(resource))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": groups,
    });
    let document = to_bytes(&document);
    keep(server, name, document.clone());
    Outcome::Typed(document, AGGREGATED.to_owned())
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": &*resource.plural,
        "responseKind": {"group": &*resource.group, "version": &*resource.version, "kind": &*resource.kind},
        "scope": if resource.is_namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": &*resource.singular,
        "verbs": auth::verbs_of(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = texts(&resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = texts(&resource.categories);
    }
    let parts: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, kind, verbs)| json!({"subresource": name, "responseKind": kind, "verbs": verbs}))
        .collect();
    if !parts.is_empty() {
        entry["subresources"] = parts.into();
    }
    entry
}
