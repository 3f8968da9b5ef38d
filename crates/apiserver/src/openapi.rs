//! The documents under `/openapi/v3`, one per group version (KEP-2896): `kubectl explain` reads the schemas and the
//! `x-kubernetes-group-version-kind` of operations, client-side validation reads which parameters an operation takes.
//!
//! A document is made of [`Schema`] once and kept as text by the caller; [`hash`] goes into its address.

use crate::schema::{GroupVersionKind, ListType, Schema, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One resource of a group version.
#[derive(Debug, Clone)]
pub struct Resource<'a> {
    /// The plural name in paths.
    pub plural: &'a str,
    /// The group, version and kind.
    pub kind: GroupVersionKind,
    /// Whether objects are in namespaces.
    pub namespaced: bool,
    /// Whether a definition made it: such objects take no strategic merge patch, and kubectl looks here for what they take.
    pub custom: bool,
    /// E.g. `status` and `scale`.
    pub subresources: &'a [&'a str],
    /// What its objects look like.
    pub schema: &'a Schema,
}

const JSON: &str = "application/json";
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    // Of built-in kinds only: it must be the last.
    "application/strategic-merge-patch+json",
];

/// `api/v1` or `apis/batch/v1`: the path of a group version, as the index names it.
pub fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// A short name for the contents of a document (FNV-1a): it changes when they do, and only then.
pub fn hash(document: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let one = |seed: u64| document.bytes().fold(seed, step);
    format!("{:016X}{:016X}", one(0xcbf2_9ce4_8422_2325), one(0x9ae1_6a3b_2f90_404f))
}

/// The index: the path of each group version ([`group_path`]) and where its document is.
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let one = |(path, hash): (&str, &str)| {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path.to_owned(), json!({"serverRelativeURL": url}))
    };
    let paths: BTreeMap<_, _> = documents.into_iter().map(one).collect();
    json!({"paths": paths})
}

/// The document of a group version.
pub fn document(group: &str, version: &str, resources: &[Resource<'_>]) -> Value {
    let mut components = Components::default();
    let mut paths = Map::new();
    for resource in resources {
        add_paths(&mut paths, &mut components, &group_path(group, version), resource);
    }
    // Options of deletions are in each document.
    if let Some(options) = crate::schema::builtin::schema("", "v1", "DeleteOptions") {
        components.root(options, None);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": components.schemas},
    })
}

/// Definitions that are referred to by name.
#[derive(Default)]
struct Components {
    schemas: BTreeMap<String, Value>,
}

impl Components {
    /// A reference to a kind; custom resources get a name from their group, as a server gives them.
    fn root(&mut self, schema: &Schema, kind: Option<&GroupVersionKind>) -> Value {
        let name = match (&schema.name, kind) {
            (Some(name), _) => name.to_string(),
            (None, Some(kind)) => {
                let group: Vec<_> = kind.group.split('.').rev().collect();
                format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
            }
            (None, None) => return self.node(schema),
        };
        if !self.schemas.contains_key(&name) {
            self.schemas.insert(name.clone(), Value::Null);
            let mut body = self.body(schema);
            let kinds: Vec<_> = match kind {
                Some(kind) => vec![kind.clone()],
                None => schema.kinds.clone(),
            };
            if !kinds.is_empty() {
                body.insert("x-kubernetes-group-version-kind".into(), kinds.iter().map(kind_json).collect());
            }
            self.schemas.insert(name.clone(), Value::Object(body));
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A node in place, or a reference to a built-in definition with the words of this place.
    fn node(&mut self, schema: &Schema) -> Value {
        let Some(name) = &schema.name else { return Value::Object(self.body(schema)) };
        let reference = format!("#/components/schemas/{name}");
        if !self.schemas.contains_key(name.as_ref()) {
            self.schemas.insert(name.to_string(), Value::Null);
            let body = self.body(schema);
            self.schemas.insert(name.to_string(), Value::Object(body));
        }
        let mut node = json!({"allOf": [{"$ref": reference}]});
        if !schema.description.is_empty() {
            node["description"] = json!(schema.description.as_ref());
        }
        if schema.patch.retain_keys {
            node["x-kubernetes-patch-strategy"] = json!("retainKeys");
        }
        node
    }

    fn body(&mut self, schema: &Schema) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| _ = out.insert(name.to_owned(), value);
        if !schema.description.is_empty() {
            put("description", json!(schema.description.as_ref()));
        }
        match schema.kind {
            Type::Any => {}
            Type::Object => put("type", json!("object")),
            Type::Array => put("type", json!("array")),
            Type::String => put("type", json!("string")),
            Type::Integer => put("type", json!("integer")),
            Type::Number => put("type", json!("number")),
            Type::Boolean => put("type", json!("boolean")),
            Type::IntOrString => {
                put("oneOf", json!([{"type": "integer"}, {"type": "string"}]));
                put("x-kubernetes-int-or-string", json!(true));
            }
        }
        if !schema.format.is_empty() {
            put("format", json!(schema.format));
        }
        if schema.nullable {
            put("nullable", json!(true));
        }
        if let Some(default) = &schema.default {
            put("default", default.clone());
        }
        if !schema.enumeration.is_empty() {
            put("enum", json!(schema.enumeration));
        }
        if let Some(pattern) = &schema.pattern {
            put("pattern", json!(pattern.as_str()));
        }
        add_limits(schema, &mut put);
        if !schema.required.is_empty() {
            put("required", json!(schema.required));
        }
        if schema.preserve {
            put("x-kubernetes-preserve-unknown-fields", json!(true));
        }
        if schema.embedded {
            put("x-kubernetes-embedded-resource", json!(true));
        }
        match &schema.list {
            ListType::Atomic => {}
            ListType::Set => put("x-kubernetes-list-type", json!("set")),
            ListType::Map(keys) => {
                put("x-kubernetes-list-type", json!("map"));
                put("x-kubernetes-list-map-keys", json!(keys));
            }
        }
        if schema.atomic {
            put("x-kubernetes-map-type", json!("atomic"));
        }
        let strategy = [(schema.patch.merge, "merge"), (schema.patch.retain_keys, "retainKeys")];
        let words: Vec<_> = strategy.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
        if !words.is_empty() {
            put("x-kubernetes-patch-strategy", json!(words.join(",")));
        }
        if let Some(key) = &schema.patch.merge_key {
            put("x-kubernetes-patch-merge-key", json!(key));
        }
        if !schema.properties.is_empty() {
            let fields = schema.properties.iter();
            let fields: Map<_, _> =
                fields.map(|(name, below)| (name.to_string(), self.node(below))).collect();
            put("properties", Value::Object(fields));
        }
        if let Some(below) = &schema.additional {
            put("additionalProperties", self.node(below));
        }
        if let Some(items) = &schema.items {
            put("items", self.node(items));
        }
        out
    }
}

fn add_limits(schema: &Schema, put: &mut impl FnMut(&str, Value)) {
    let limits = &schema.limits;
    for (name, limit) in
        [("minimum", limits.minimum), ("maximum", limits.maximum), ("multipleOf", limits.multiple_of)]
    {
        if let Some(limit) = limit {
            put(name, json!(limit));
        }
    }
    let counts = [
        ("minLength", limits.min_length),
        ("maxLength", limits.max_length),
        ("minItems", limits.min_items),
        ("maxItems", limits.max_items),
        ("minProperties", limits.min_properties),
        ("maxProperties", limits.max_properties),
    ];
    for (name, limit) in counts {
        if let Some(limit) = limit {
            put(name, json!(limit));
        }
    }
}

fn kind_json(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "kind": kind.kind, "version": kind.version})
}

fn parameter(name: &str, kind: &str, place: &str) -> Value {
    let mut parameter = json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}});
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}

fn add_paths(
    paths: &mut Map<String, Value>,
    components: &mut Components,
    base: &str,
    resource: &Resource<'_>,
) {
    let kind = kind_json(&resource.kind);
    let schema = components.root(resource.schema, Some(&resource.kind));
    let body = |types: &[&str], schema: &Value| {
        let content: Map<_, _> =
            types.iter().map(|kind| ((*kind).to_owned(), json!({"schema": schema}))).collect();
        json!({"content": content, "required": true})
    };
    let answer = json!({"200": {"description": "OK", "content": {JSON: {"schema": schema}}}});
    let query = |names: &[(&str, &str)]| -> Vec<Value> {
        names.iter().map(|(name, kind)| parameter(name, kind, "query")).collect()
    };
    let writes = [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
    let operation = |action: &str, parameters: Vec<Value>, request: Option<Value>| {
        let mut operation = json!({"parameters": parameters, "responses": answer});
        if let Some(request) = request {
            operation["requestBody"] = request;
        }
        operation["x-kubernetes-action"] = json!(action);
        operation["x-kubernetes-group-version-kind"] = kind.clone();
        operation
    };
    let lists = [
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ];
    let deletes = [
        ("dryRun", "string"),
        ("gracePeriodSeconds", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ];
    let patch = || {
        let patched = json!({"type": "object"});
        let patches = if resource.custom { &PATCHES[..PATCHES.len() - 1] } else { &PATCHES };
        let request = Some(body(patches, &patched));
        operation("patch", query(&[&writes[..], &[("force", "boolean")]].concat()), request)
    };
    let put = || operation("put", query(&writes), Some(body(&[JSON], &schema)));
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let all = format!("/{base}{scope}/{}", resource.plural);
    let mut path = |path: String, mut item: Value| {
        let names = ["namespace", "name"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
        item["parameters"] = names.map(|name| parameter(name, "string", "path")).collect();
        paths.insert(path, item);
    };
    path(
        all.clone(),
        json!({
            "get": operation("list", query(&lists), None),
            "post": operation("post", query(&writes), Some(body(&[JSON], &schema))),
            "delete": operation("deletecollection", query(&[&deletes[..], &lists].concat()), None),
        }),
    );
    if resource.namespaced {
        path(format!("/{base}/{}", resource.plural), json!({"get": operation("list", query(&lists), None)}));
    }
    path(
        format!("{all}/{{name}}"),
        json!({
            "get": operation("get", Vec::new(), None),
            "put": put(),
            "patch": patch(),
            "delete": operation("delete", query(&deletes), None),
        }),
    );
    for subresource in resource.subresources {
        let item = json!({"get": operation("get", Vec::new(), None), "put": put(), "patch": patch()});
        path(format!("{all}/{{name}}/{subresource}"), item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;

    fn job() -> Value {
        let schema = builtin::schema("batch", "v1", "Job").unwrap();
        let kind = schema.kinds[0].clone();
        let resource = Resource {
            plural: "jobs",
            kind,
            namespaced: true,
            custom: false,
            subresources: &["status"],
            schema,
        };
        document("batch", "v1", &[resource])
    }

    /// What the template of `kubectl explain` looks up.
    #[test]
    fn a_document_explains_a_kind() {
        let document = job();
        let path = &document["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"];
        let kind = json!({"group": "batch", "kind": "Job", "version": "v1"});
        assert_eq!(path["patch"]["x-kubernetes-group-version-kind"], kind);
        let names: Vec<_> =
            path["patch"]["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["io.k8s.api.batch.v1.Job"]["x-kubernetes-group-version-kind"], json!([kind]));
        let spec = &schemas["io.k8s.api.batch.v1.Job"]["properties"]["spec"];
        assert_eq!(spec["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.batch.v1.JobSpec");
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    }

    #[test]
    fn every_reference_is_there() {
        let document = job();
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn a_custom_resource_and_the_index() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 1, "description": "How many."}}}}});
        let schema = Schema::from_crd(&schema, "").unwrap();
        let kind = GroupVersionKind { group: "flux.org".into(), version: "v1".into(), kind: "Mini".into() };
        let resource = Resource {
            plural: "minis",
            kind,
            namespaced: true,
            custom: true,
            subresources: &[],
            schema: &schema,
        };
        let document = document("flux.org", "v1", &[resource]);
        let mini = &document["components"]["schemas"]["org.flux.v1.Mini"];
        assert_eq!(mini["properties"]["spec"]["properties"]["size"]["description"], "How many.");
        let path = &document["paths"]["/apis/flux.org/v1/namespaces/{namespace}/minis/{name}"];
        let patches = path["patch"]["requestBody"]["content"].as_object().unwrap();
        assert!(patches.contains_key("application/merge-patch+json"), "{path}");
        assert!(
            !patches.contains_key("application/strategic-merge-patch+json"),
            "kubectl apply would send one"
        );
        let hash = hash(&document.to_string());
        let index = index([(group_path("flux.org", "v1").as_str(), hash.as_str())]);
        let url = index["paths"]["apis/flux.org/v1"]["serverRelativeURL"].as_str().unwrap();
        assert_eq!(url, format!("/openapi/v3/apis/flux.org/v1?hash={hash}"));
    }
}
