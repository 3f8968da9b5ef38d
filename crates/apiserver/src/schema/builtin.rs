//! The kinds of Kubernetes that are served.
//!
//! Fields and descriptions come from `k8s-openapi`; what that leaves out (list types, map types, patch strategies) is
//! in `list_types.txt`, made from the OpenAPI documents of Kubernetes 1.37 by `examples/list_types.rs`.

use super::parse::Definitions;
use super::{GroupVersionKind, Schema};
use k8s_openapi::api::{
    apps, authorization, autoscaling, batch, coordination, core, discovery, events, policy, rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::SchemaGenerator;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

const LIST_TYPES: &str = include_str!("list_types.txt");
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// All built-in kinds, built at first use.
#[derive(Debug)]
struct Builtin {
    /// In order of group, version and kind.
    kinds: Vec<Arc<Schema>>,
    object_meta: Arc<Schema>,
}

/// The schema of a built-in kind.
pub fn schema(group: &str, version: &str, kind: &str) -> Option<&'static Arc<Schema>> {
    let kinds = &builtin().kinds;
    let wanted = (group, version, kind);
    let order = |one: &Arc<Schema>| one.kinds.first().map(GroupVersionKind::parts).cmp(&Some(wanted));
    kinds.binary_search_by(order).ok().map(|place| &kinds[place])
}

/// All built-in kinds, in order of group, version and kind.
pub fn all() -> impl Iterator<Item = &'static Arc<Schema>> {
    builtin().kinds.iter()
}

/// The metadata that every object has.
pub fn object_meta() -> Arc<Schema> {
    builtin().object_meta.clone()
}

fn builtin() -> &'static Builtin {
    static BUILTIN: OnceLock<Builtin> = OnceLock::new();
    BUILTIN.get_or_init(build)
}

fn build() -> Builtin {
    let mut generator = SchemaGenerator::default();
    let mut kinds: Vec<(GroupVersionKind, String)> = Vec::new();
    macro_rules! add {
        ($group:literal $version:literal: $($kind:ident = $type:ty),* $(,)?) => {$(
            generator.subschema_for::<$type>();
            let name = <$type as schemars::JsonSchema>::schema_name().into_owned();
            let (group, version, kind) = ($group.to_owned(), $version.to_owned(), stringify!($kind).to_owned());
            kinds.push((GroupVersionKind { group, version, kind }, name));
        )*};
    }
    add!("" "v1": Pod = core::v1::Pod, Node = core::v1::Node, Service = core::v1::Service,
        ConfigMap = core::v1::ConfigMap, Secret = core::v1::Secret, Event = core::v1::Event,
        ServiceAccount = core::v1::ServiceAccount, Namespace = core::v1::Namespace, Binding = core::v1::Binding,
        Endpoints = core::v1::Endpoints, PersistentVolume = core::v1::PersistentVolume,
        PersistentVolumeClaim = core::v1::PersistentVolumeClaim, ResourceQuota = core::v1::ResourceQuota,
        LimitRange = core::v1::LimitRange, DeleteOptions = meta::v1::DeleteOptions, Status = meta::v1::Status);
    add!("apps" "v1": Deployment = apps::v1::Deployment, ReplicaSet = apps::v1::ReplicaSet,
        StatefulSet = apps::v1::StatefulSet, DaemonSet = apps::v1::DaemonSet);
    add!("batch" "v1": Job = batch::v1::Job, CronJob = batch::v1::CronJob);
    add!("autoscaling" "v1": Scale = autoscaling::v1::Scale);
    add!("autoscaling" "v2": HorizontalPodAutoscaler = autoscaling::v2::HorizontalPodAutoscaler);
    add!("coordination.k8s.io" "v1": Lease = coordination::v1::Lease);
    add!("discovery.k8s.io" "v1": EndpointSlice = discovery::v1::EndpointSlice);
    add!("events.k8s.io" "v1": Event = events::v1::Event);
    add!("policy" "v1": PodDisruptionBudget = policy::v1::PodDisruptionBudget, Eviction = policy::v1::Eviction);
    add!("rbac.authorization.k8s.io" "v1": Role = rbac::v1::Role, RoleBinding = rbac::v1::RoleBinding,
        ClusterRole = rbac::v1::ClusterRole, ClusterRoleBinding = rbac::v1::ClusterRoleBinding);
    add!("authorization.k8s.io" "v1": SelfSubjectAccessReview = authorization::v1::SelfSubjectAccessReview,
        SelfSubjectRulesReview = authorization::v1::SelfSubjectRulesReview,
        SubjectAccessReview = authorization::v1::SubjectAccessReview,
        LocalSubjectAccessReview = authorization::v1::LocalSubjectAccessReview);
    add!("apiextensions.k8s.io" "v1": CustomResourceDefinition = apiextensions::v1::CustomResourceDefinition);

    let mut definitions = Definitions::default();
    definitions.raw.extend(generator.take_definitions(false));
    for line in LIST_TYPES.lines() {
        add_words(&mut definitions.raw, line);
    }
    free_form(&mut definitions.raw);
    let mut builtin = Builtin { kinds: Vec::new(), object_meta: definitions.get(OBJECT_META) };
    kinds.sort();
    for (gvk, name) in kinds {
        let mut schema = (*definitions.get(&name)).clone();
        schema.kinds = vec![gvk];
        builtin.kinds.push(Arc::new(schema));
    }
    builtin
}

/// Adds the words of one line, `DEFINITION FIELD WORD…`, to the raw definition; the field `.` is the whole.
fn add_words(raw: &mut BTreeMap<String, Value>, line: &str) {
    let mut words = line.split(' ');
    let (Some(name), Some(field)) = (words.next(), words.next()) else { return };
    let Some(definition) = raw.get_mut(name) else { return };
    let node = match field {
        "." => Some(definition),
        field => definition["properties"].get_mut(field),
    };
    let Some(node) = node.and_then(Value::as_object_mut) else { return };
    for word in words {
        let (word, rest) = word.split_once(':').unwrap_or((word, ""));
        match word {
            "set" => _ = node.insert("x-kubernetes-list-type".into(), json!("set")),
            "map" => {
                node.insert("x-kubernetes-list-type".into(), json!("map"));
                let keys: Vec<_> = rest.split(',').collect();
                node.insert("x-kubernetes-list-map-keys".into(), json!(keys));
            }
            "atomic" => _ = node.insert("x-kubernetes-map-type".into(), json!("atomic")),
            "merge" => {
                node.insert("x-kubernetes-patch-strategy".into(), json!("merge"));
                if !rest.is_empty() {
                    node.insert("x-kubernetes-patch-merge-key".into(), json!(rest));
                }
            }
            "retain" => {
                let merge = node.get("x-kubernetes-patch-strategy").is_some();
                let words = if merge { "merge,retainKeys" } else { "retainKeys" };
                node.insert("x-kubernetes-patch-strategy".into(), json!(words));
            }
            "tcp" => _ = node.insert("default".into(), json!("TCP")),
            _ => {}
        }
    }
}

/// Types whose contents are not described: anything goes.
fn free_form(raw: &mut BTreeMap<String, Value>) {
    let names = [
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    ];
    for name in names {
        if let Some(node) = raw.get_mut(name) {
            node["x-kubernetes-preserve-unknown-fields"] = json!(true);
        }
    }
}
