//! CustomResourceDefinitions: from a definition to served resources (`k8s.io/apiextensions-apiserver`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::server::Server;
use towtank_model::time::Time;
use towtank_wire as wire;

use crate::error::FieldError;
use crate::kinds::{Class, PrinterColumn, Resource, ScalePaths};
use crate::schema::{self, Schema};
use crate::server::ApiServer;
use crate::store::{At as _, Table, Version, text};
use crate::write::metadata;

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Schemas that [`compiled`] remembers.
const COMPILED_MAX: usize = 8;

thread_local! {
    static COMPILED: RefCell<Vec<(Value, Arc<Schema>)>> = const { RefCell::new(Vec::new()) };
}

/// The tree of a schema that keeps all rules. The last ones are remembered: the same definition is installed into one
/// simulated cluster after another, and its CEL rules take longer to compile than many a story to play.
fn compiled(schema: &Value, path: &str) -> Result<Arc<Schema>, Vec<FieldError>> {
    let is_it = |(known, _): &&(Value, Arc<Schema>)| known == schema;
    let known = COMPILED.with_borrow(|all| all.iter().find(is_it).map(|(_, tree)| Arc::clone(tree)));
    if let Some(known) = known {
        return Ok(known);
    }
    let wrong = schema::validate_structure(schema, path);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let tree = Arc::new(Schema::from_crd(schema, path)?);
    COMPILED.with_borrow_mut(|all| {
        all.truncate(COMPILED_MAX - 1);
        all.insert(0, (schema.clone(), Arc::clone(&tree)));
    });
    Ok(tree)
}

/// Schemas of custom resources, by group, version and plural.
#[derive(Debug, Default)]
pub(crate) struct Custom {
    schemas: BTreeMap<(String, String, String), Arc<Schema>>,
    /// The content that was read last, by name of the definition.
    seen: BTreeMap<String, Arc<Value>>,
}

impl Custom {
    /// What the fields of a resource are.
    pub(crate) fn schema(&self, resource: &Resource) -> Option<Arc<Schema>> {
        let key = (resource.group.to_string(), resource.version.to_string(), resource.plural.to_string());
        self.schemas.get(&key).cloned()
    }

    pub(crate) fn remove(&mut self, group: &str, plural: &str) {
        self.schemas.retain(|(its_group, _, its_plural), _| its_group != group || its_plural != plural);
        self.seen.remove(&format!("{plural}.{group}"));
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.at(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Fills a new definition in (`SetDefaults_CustomResourceDefinitionSpec`).
pub(crate) fn prepare(object: &mut Value) {
    let kind = text(object, "/spec/names/kind").to_owned();
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    if !object["spec"]["names"].is_object() {
        object["spec"]["names"] = json!({});
    }
    if text(object, "/spec/names/singular").is_empty() {
        object["spec"]["names"]["singular"] = kind.to_lowercase().into();
    }
    if text(object, "/spec/names/listKind").is_empty() {
        object["spec"]["names"]["listKind"] = format!("{kind}List").into();
    }
    if object["spec"].get("conversion").is_none() {
        object["spec"]["conversion"] = json!({"strategy": "None"});
    }
    // Go writes a whole number without a fraction, and limits in a schema are such numbers.
    if let Some(versions) = object.pointer_mut("/spec/versions") {
        whole_numbers(versions);
    }
    let stored: Vec<Value> = list(object, "/spec/versions")
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    object["status"] =
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored});
}

fn whole_numbers(value: &mut Value) {
    /// The largest number up to which each whole one is a float of its own: 2^53.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole =
                number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0 && it.abs() <= WHOLE_MAX);
            if let Some(whole) = whole {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
                let whole = whole as i64;
                *value = whole.into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// What an update leaves out that has a default.
pub(crate) fn prepare_update(object: &mut Value, before: &Value) {
    let status = before.get("status").cloned().unwrap_or_default();
    prepare(object);
    object["status"] = status;
}

/// Keeps a definition that is deleted until its objects are gone.
pub(crate) fn hold(object: &mut Value) {
    let finalizers = metadata(object).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|one| *one == CLEANUP)
    {
        finalizers.push(CLEANUP.into());
    }
}

/// Every rule that a definition breaks (`ValidateCustomResourceDefinition`, as far as it concerns what is served here).
pub(crate) fn validate(object: &Value, before: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    let name = text(object, "/metadata/name");
    if name != format!("{plural}.{group}") {
        errors.push(FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    for field in ["plural", "kind"] {
        if text(object, &format!("/spec/names/{field}")).is_empty() {
            errors.push(FieldError::required(&format!("spec.names.{field}"), ""));
        }
    }
    let scope = text(object, "/spec/scope");
    if !matches!(scope, "Namespaced" | "Cluster") {
        let allowed = ["Cluster", "Namespaced"].map(str::to_owned);
        errors.push(FieldError::not_supported("spec.scope", scope, &allowed));
    }
    let versions: Vec<&Value> = list(object, "/spec/versions").collect();
    let stored = versions.iter().filter(|version| version.get("storage") == Some(&Value::Bool(true))).count();
    if stored != 1 {
        let value = object.at("/spec/versions").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(
            "spec.versions",
            value,
            "must have exactly one version marked as storage version",
        ));
    }
    for (position, version) in versions.iter().enumerate() {
        let path = if versions.len() == 1 {
            "spec.validation.openAPIV3Schema".to_owned()
        } else {
            format!("spec.versions[{position}].schema.openAPIV3Schema")
        };
        match version.at("/schema/openAPIV3Schema") {
            None => errors.push(FieldError::required(
                &format!("spec.versions[{position}].schema.openAPIV3Schema"),
                "schemas are required",
            )),
            Some(schema) => {
                errors.extend(compiled(schema, &path).err().unwrap_or_default());
            }
        }
    }
    if let Some(before) = before {
        for (field, pointer) in [("spec.scope", "/spec/scope"), ("spec.group", "/spec/group")] {
            if before.at(pointer) != object.at(pointer) {
                let value = object.at(pointer).cloned().unwrap_or_default();
                errors.push(FieldError::invalid(field, value, "field is immutable"));
            }
        }
    }
    errors
}

/// Serves what a stored definition says, and notes in its status that it does.
pub(crate) fn established(
    server: &mut ApiServer,
    rows: &mut Server,
    now: Time,
    version: &Arc<Version>,
) -> Result<(), String> {
    let definition = version.value();
    let name = version.name().to_owned();
    let spec = definition.get("spec").cloned().unwrap_or_default();
    if server.custom.seen.get(&name).is_some_and(|seen| **seen == spec) {
        return Ok(());
    }
    let group = text(&spec, "/group").to_owned();
    let plural = text(&spec, "/names/plural").to_owned();
    let table = match server.registry.any(&group, &plural) {
        Some(known) if known.is_custom => known.table,
        Some(_) => return Err(format!("{name} is a built-in resource")),
        None => {
            let table = server.registry.new_table();
            server.tables.push(Table::default());
            server.watchers.push(Vec::new());
            table
        }
    };
    server.registry.remove(&group, &plural);
    server.custom.remove(&group, &plural);
    for version in
        list(&spec, "/versions").filter(|version| version.get("served") == Some(&Value::Bool(true)))
    {
        if let Some(schema) = version.at("/schema/openAPIV3Schema")
            && let Ok(schema) = compiled(schema, "spec.validation.openAPIV3Schema")
        {
            let key = (group.clone(), text(version, "/name").to_owned(), plural.clone());
            server.custom.schemas.insert(key, schema);
        }
        server.registry.insert(resource_of(&spec, version, table));
    }
    server.custom.seen.insert(name, Arc::new(spec.clone()));
    let mut object = Value::clone(&definition);
    object["status"] = status_of(&spec, &definition, now);
    if object != *definition
        && let Some(crds) = server.registry.any("apiextensions.k8s.io", "customresourcedefinitions").cloned()
    {
        server.store(rows, crds.table, Arc::clone(&version.key), object);
    }
    Ok(())
}

fn status_of(spec: &Value, definition: &Value, now: Time) -> Value {
    let at = definition
        .at("/status/conditions/0/lastTransitionTime")
        .cloned()
        .unwrap_or_else(|| wire::time_text(now).into());
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at});
    json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": spec["names"],
        "storedVersions": definition["status"]["storedVersions"],
    })
}

/// `.spec.size` as a JSON pointer.
fn pointer_of(path: &str) -> String {
    path.replace('.', "/")
}

fn resource_of(spec: &Value, version: &Value, table: usize) -> Resource {
    let names = |field: &str| -> Vec<Arc<str>> {
        list(spec, &format!("/names/{field}")).filter_map(Value::as_str).map(Arc::from).collect()
    };
    let scale = version.at("/subresources/scale").map(|scale| ScalePaths {
        spec: pointer_of(text(scale, "/specReplicasPath")),
        status: pointer_of(text(scale, "/statusReplicasPath")),
        selector: scale.get("labelSelectorPath").and_then(Value::as_str).map(pointer_of),
    });
    let columns = list(version, "/additionalPrinterColumns").map(|column| PrinterColumn {
        name: text(column, "/name").to_owned(),
        kind: text(column, "/type").to_owned(),
        format: text(column, "/format").to_owned(),
        description: text(column, "/description").to_owned(),
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
        json_path: text(column, "/jsonPath").to_owned(),
    });
    let fields = list(version, "/selectableFields")
        .map(|field| text(field, "/jsonPath").trim_start_matches('.').to_owned());
    Resource {
        group: text(spec, "/group").into(),
        version: text(version, "/name").into(),
        plural: text(spec, "/names/plural").into(),
        singular: text(spec, "/names/singular").into(),
        kind: text(spec, "/names/kind").into(),
        list_kind: text(spec, "/names/listKind").into(),
        is_namespaced: text(spec, "/scope") == "Namespaced",
        short_names: names("shortNames"),
        categories: names("categories"),
        class: Class::Document,
        table,
        has_status: version.at("/subresources/status").is_some(),
        has_generation: true,
        returns_deleted: false,
        creates_on_update: false,
        scale,
        is_custom: true,
        columns: columns.collect(),
        fields: fields.collect(),
    }
}
