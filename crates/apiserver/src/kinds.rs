//! Which resources there are, under which paths, and how each is treated (`pkg/registry/*/storage` of each kind).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

/// How objects of a resource are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// As JSON, here.
    Document,
    /// As rows of the model.
    Pod,
    /// As rows of the model.
    Job,
    /// As rows of the model.
    Node,
    /// Not at all: an answer to a question.
    Review,
}

/// Where `/scale` finds its numbers (`spec.versions[].subresources.scale` of a CRD).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    /// JSON pointer of the wanted number.
    pub(crate) spec: String,
    /// JSON pointer of the present number.
    pub(crate) status: String,
    /// JSON pointer of the selector, as text or as an object.
    pub(crate) selector: Option<String>,
}

/// A column that a CRD adds to its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrinterColumn {
    /// Head of the column.
    pub(crate) name: String,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub(crate) kind: String,
    /// Format, such as `int32`.
    pub(crate) format: String,
    /// What it says.
    pub(crate) description: String,
    /// 0 is always shown, above only in wide tables.
    pub(crate) priority: i64,
    /// Where it is found.
    pub(crate) json_path: String,
}

/// One resource under one group and version.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one independent fact of the resource each")]
pub(crate) struct Resource {
    /// API group; empty for `v1`.
    pub(crate) group: Arc<str>,
    /// Version.
    pub(crate) version: Arc<str>,
    /// Plural name, as in paths.
    pub(crate) plural: Arc<str>,
    /// Singular name.
    pub(crate) singular: Arc<str>,
    /// Kind.
    pub(crate) kind: Arc<str>,
    /// Kind of the list.
    pub(crate) list_kind: Arc<str>,
    /// Objects belong to a namespace.
    pub(crate) is_namespaced: bool,
    /// Short names for kubectl.
    pub(crate) short_names: Vec<Arc<str>>,
    /// Categories for kubectl.
    pub(crate) categories: Vec<Arc<str>>,
    /// How objects are kept.
    pub(crate) class: Class,
    /// The table in which they lie.
    pub(crate) table: usize,
    /// `/status` is written apart.
    pub(crate) has_status: bool,
    /// `metadata.generation` counts changes of what is wanted.
    pub(crate) has_generation: bool,
    /// A deletion answers with the object (`ReturnDeletedObject`).
    pub(crate) returns_deleted: bool,
    /// A PUT to a name that is not there creates (`AllowCreateOnUpdate`).
    pub(crate) creates_on_update: bool,
    /// `/scale`.
    pub(crate) scale: Option<ScalePaths>,
    /// Defined by a CustomResourceDefinition.
    pub(crate) is_custom: bool,
    /// Columns of its table, of a custom resource.
    pub(crate) columns: Vec<PrinterColumn>,
    /// Fields besides name and namespace that a field selector may name.
    pub(crate) fields: Vec<String>,
}

impl Resource {
    /// `GROUP/VERSION`, or the version alone.
    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }
}

/// `GROUP/VERSION`, or the version alone.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Group, version, plural, singular, kind, flags, short names.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// Flags: `n` namespaced, `s` status, `g` generation, `r` returns what it deletes, `c` creates on update, `P` `J` `N` rows,
/// `R` review, `e` shares the table of the resource before it, `x` scale, `a` in category `all`.
const BUILT_IN: &[Row] = &[
    ("", "v1", "configmaps", "configmap", "ConfigMap", "n", &["cm"]),
    ("", "v1", "events", "event", "Event", "nc", &["ev"]),
    ("events.k8s.io", "v1", "events", "event", "Event", "nce", &["ev"]),
    ("", "v1", "namespaces", "namespace", "Namespace", "sr", &["ns"]),
    ("", "v1", "nodes", "node", "Node", "Ns", &["no"]),
    ("", "v1", "pods", "pod", "Pod", "nsrPa", &["po"]),
    ("", "v1", "secrets", "secret", "Secret", "n", &[]),
    ("", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "nr", &["sa"]),
    ("", "v1", "services", "service", "Service", "nsra", &["svc"]),
    ("apps", "v1", "deployments", "deployment", "Deployment", "nsgxa", &["deploy"]),
    ("batch", "v1", "jobs", "job", "Job", "nsgJa", &[]),
    ("coordination.k8s.io", "v1", "leases", "lease", "Lease", "nc", &[]),
    ("policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", "nsg", &["pdb"]),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", "c", &[]),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "clusterrolebinding",
        "ClusterRoleBinding",
        "c",
        &[],
    ),
    ("rbac.authorization.k8s.io", "v1", "roles", "role", "Role", "nc", &[]),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", "nc", &[]),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "customresourcedefinition",
        "CustomResourceDefinition",
        "sg",
        &["crd", "crds"],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        "R",
        &[],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        "R",
        &[],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "subjectaccessreview",
        "SubjectAccessReview",
        "R",
        &[],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        "LocalSubjectAccessReview",
        "nR",
        &[],
    ),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", "R", &[]),
];

/// Field selectors of the built-in kinds (`GetAttrs` and `AddFieldLabelConversionFunc` of each).
fn fields(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("batch", "jobs") => &["status.successful"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

/// All resources.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// In order of group, version and plural.
    resources: Vec<Arc<Resource>>,
    /// Counts changes, so that what is made of all resources can be kept until there is one.
    pub(crate) revision: u64,
    tables: usize,
}

impl Registry {
    /// The built-in resources.
    pub(crate) fn built_in() -> Self {
        let mut registry = Self::default();
        for &(group, version, plural, singular, kind, flags, short_names) in BUILT_IN {
            let has = |flag: char| flags.contains(flag);
            let class = match flags {
                _ if has('P') => Class::Pod,
                _ if has('J') => Class::Job,
                _ if has('N') => Class::Node,
                _ if has('R') => Class::Review,
                _ => Class::Document,
            };
            let table = if has('e') { registry.tables - 1 } else { registry.new_table() };
            let scale = has('x').then(|| ScalePaths {
                spec: "/spec/replicas".to_owned(),
                status: "/status/replicas".to_owned(),
                selector: Some("/spec/selector".to_owned()),
            });
            registry.insert(Resource {
                group: group.into(),
                version: version.into(),
                plural: plural.into(),
                singular: singular.into(),
                kind: kind.into(),
                list_kind: format!("{kind}List").into(),
                is_namespaced: has('n'),
                short_names: short_names.iter().map(|&name| name.into()).collect(),
                categories: if has('a') { vec!["all".into()] } else { Vec::new() },
                class,
                table,
                has_status: has('s'),
                has_generation: has('g'),
                returns_deleted: has('r'),
                creates_on_update: has('c'),
                scale,
                is_custom: false,
                columns: Vec::new(),
                fields: fields(group, plural).iter().map(|&field| field.to_owned()).collect(),
            });
        }
        registry
    }

    /// The number of tables.
    pub(crate) fn tables(&self) -> usize {
        self.tables
    }

    /// A new table's number.
    pub(crate) fn new_table(&mut self) -> usize {
        self.tables += 1;
        self.tables - 1
    }

    /// Adds or replaces a resource.
    pub(crate) fn insert(&mut self, resource: Resource) {
        self.revision += 1;
        let resource = Arc::new(resource);
        match self.place(&resource.group, &resource.version, &resource.plural) {
            Ok(place) => self.resources[place] = resource,
            Err(place) => self.resources.insert(place, resource),
        }
    }

    /// Where a resource is, or would be.
    fn place(&self, group: &str, version: &str, plural: &str) -> std::result::Result<usize, usize> {
        let order =
            |one: &Arc<Resource>| (&*one.group, &*one.version, &*one.plural).cmp(&(group, version, plural));
        self.resources.binary_search_by(order)
    }

    /// Takes away all versions of a custom resource.
    pub(crate) fn remove(&mut self, group: &str, plural: &str) {
        self.revision += 1;
        self.resources.retain(|one| !(one.is_custom && *one.group == *group && *one.plural == *plural));
    }

    /// The resource under a path.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.place(group, version, plural).ok().map(|place| &self.resources[place])
    }

    /// Any version of a resource.
    pub(crate) fn any(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.iter().find(|one| *one.group == *group && *one.plural == *plural)
    }

    /// The resource of a kind.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.resources.iter().find(|one| {
            *one.kind == *kind
                && *one.group == *group
                && *one.version == *version
                && one.class != Class::Review
        })
    }

    /// All resources.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// One resource for each table, the first under which it is served.
    pub(crate) fn storages(&self) -> Vec<Arc<Resource>> {
        let mut seen = std::collections::BTreeSet::new();
        let stored = self.resources.iter().filter(|one| one.class != Class::Review);
        stored.filter(|one| seen.insert(one.table)).cloned().collect()
    }
}

/// The Event of `events.k8s.io/v1` behind one of `v1`, and back: the same object, with other names for some fields
/// (`k8s.io/kubernetes/pkg/apis/events/v1/conversion.go`).
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The stored form of what was sent under this resource.
pub(crate) fn to_stored(resource: &Resource, object: &mut Value) {
    if &*resource.group == "events.k8s.io" {
        rename(object, "v1", |(core, events)| (events, core));
    }
}

/// A stored object as this resource shows it.
pub(crate) fn to_served(resource: &Resource, object: &mut Value) {
    if &*resource.group == "events.k8s.io" {
        rename(object, "events.k8s.io/v1", |(core, events)| (core, events));
    } else if resource.is_custom {
        let api_version = resource.api_version();
        if object["apiVersion"] != *api_version {
            object["apiVersion"] = api_version.into();
        }
    }
}

/// The same of one that is only looked at.
pub(crate) fn served<'a>(resource: &Resource, object: &'a Value) -> Cow<'a, Value> {
    if is_stored_form(resource, object) {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    to_served(resource, &mut object);
    Cow::Owned(object)
}

/// Whether objects are shown under this resource as they are stored.
pub(crate) fn is_stored_form(resource: &Resource, object: &Value) -> bool {
    if resource.is_custom {
        return object.get("apiVersion").and_then(Value::as_str) == Some(&resource.api_version());
    }
    &*resource.group != "events.k8s.io"
}

fn rename<'a>(
    object: &mut Value,
    api_version: &str,
    direction: impl Fn((&'a str, &'a str)) -> (&'a str, &'a str),
) {
    let Value::Object(fields) = object else { return };
    for names in EVENT_FIELDS {
        let (from, to) = direction(names);
        if let Some(value) = fields.shift_remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    fields.insert("apiVersion".to_owned(), api_version.into());
}
