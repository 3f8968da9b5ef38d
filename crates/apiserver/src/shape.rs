//! Objects between the wire and the store: decoding, unknown fields, defaults, validation, managed fields. What the fields of
//! a kind are is the business of [`crate::schema`]; here it is chosen by resource.

use std::sync::Arc;

use serde_json::Value;

use crate::call::Call;
use crate::defaults;
use crate::error::{ApiError, FieldError, FieldErrorType, Result};
use crate::kinds::{Class, Resource, group_version};
use crate::managed_fields::{self, Writer};
use crate::protobuf;
use crate::request::Parsed;
use crate::schema::{Schema, builtin};
use crate::server::ApiServer;
use crate::store::{At as _, text};

/// The object in the body of a request.
pub(crate) fn decode(parsed: &Parsed) -> Result<Value> {
    match parsed.content_type() {
        "" | "application/json" | "application/yaml" => parsed.value(),
        protobuf::MEDIA_TYPE => protobuf::decode(&parsed.body),
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// What the fields of a resource's objects are, as they are sent.
pub(crate) fn schema(server: &ApiServer, resource: &Resource) -> Option<Arc<Schema>> {
    if resource.is_custom {
        return server.custom.schema(resource);
    }
    builtin::schema(&resource.group, &resource.version, &resource.kind).cloned()
}

/// The same of objects as they are stored.
fn stored_schema(server: &ApiServer, resource: &Resource) -> Option<Arc<Schema>> {
    if &*resource.group == "events.k8s.io" {
        return builtin::schema("", "v1", "Event").cloned();
    }
    schema(server, resource)
}

/// Fields that nobody knows: refused, told of, or dropped in silence, as `fieldValidation` says.
pub(crate) fn check_fields(server: &ApiServer, call: &mut Call<'_>, object: &mut Value) -> Result<()> {
    let Some(schema) = schema(server, &call.resource) else { return Ok(()) };
    let validation = call.parsed.query.get("fieldValidation");
    if !matches!(validation, "" | "Ignore" | "Warn" | "Strict") {
        let allowed = ["Ignore", "Warn", "Strict"].map(str::to_owned);
        let wrong = FieldError::not_supported("fieldValidation", validation, &allowed);
        return Err(ApiError::invalid("meta.k8s.io", "CreateOptions", "", &[wrong]));
    }
    let mut has_unknown = true;
    if validation != "Ignore" {
        let unknown = schema.unknown_fields(object);
        has_unknown = !unknown.is_empty();
        if validation == "Strict" && !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
            return Err(ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                call.resource.kind,
                call.resource.version,
                call.resource.kind,
                list.join(", ")
            )));
        }
        call.warnings.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    }
    if !call.resource.is_custom
        && let Some(why) = schema.decode_error(object)
    {
        return Err(ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            call.resource.kind, call.resource.version, call.resource.kind
        )));
    }
    if has_unknown {
        schema.prune(object);
    }
    if !call.resource.is_custom {
        schema.normalize(object);
    }
    Ok(())
}

/// Fills in what has a default.
pub(crate) fn default(server: &ApiServer, resource: &Resource, object: &mut Value) {
    if resource.is_custom {
        if let Some(schema) = server.custom.schema(resource) {
            schema.apply_defaults(object);
        }
        return;
    }
    defaults::apply(stored_group(resource), &resource.kind, object);
}

fn stored_group(resource: &Resource) -> &str {
    if &*resource.group == "events.k8s.io" { "" } else { &resource.group }
}

/// Every rule of its kind that an object breaks.
pub(crate) fn validate(
    server: &ApiServer,
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let Some(schema) = stored_schema(server, resource) else { return Vec::new() };
    let mut errors = schema.validate(object, old);
    if matches!(resource.class, Class::Pod | Class::Job) {
        // An absent template is an empty one, and lists may say things twice: what must not is judged by the model.
        errors.retain(|error| error.kind != FieldErrorType::Duplicate && error.field != "spec.template");
    }
    errors
}

/// Paths that a write to this part of an object does not own (`GetResetFields` of the strategies).
fn reset_fields(resource: &Resource, subresource: &str) -> &'static [&'static [&'static str]] {
    match (subresource, resource.has_status, resource.is_custom) {
        ("status", _, true) => &[&["spec"], &["metadata"]],
        ("status", _, false) => &[&["spec"]],
        (_, true, _) => &[&["status"]],
        _ => &[],
    }
}

/// Notes whose the fields are that a write has changed.
pub(crate) fn manage(
    server: &ApiServer,
    call: &Call<'_>,
    old: Option<&Value>,
    object: &mut Value,
    manager: &str,
    subresource: &str,
) {
    if let Some(old) = old
        && keeps_account(call, old, object, manager, subresource)
    {
        return;
    }
    let Some(schema) = stored_schema(server, &call.resource) else { return };
    let api_version = group_version(stored_group(&call.resource), &call.resource.version);
    let now = towtank_wire::time_text(call.now);
    let reset = reset_fields(&call.resource, subresource);
    let writer = Writer { manager, api_version: &api_version, subresource, now: &now, reset };
    managed_fields::update(&schema, old, object, &writer);
}

/// The plain case of an update: one manager owns everything, and writes other values into the same fields. Then nothing
/// about the account changes but its time. Returns whether this was it.
fn keeps_account(call: &Call<'_>, old: &Value, object: &mut Value, manager: &str, subresource: &str) -> bool {
    let Some(account) = old.at("/metadata/managedFields") else { return false };
    let Some([entry]) = account.as_array().map(Vec::as_slice) else { return false };
    let is_whole = subresource.is_empty() && text(entry, "/subresource").is_empty();
    let is_ours = text(entry, "/manager") == manager
        && text(entry, "/operation") == "Update"
        && text(entry, "/apiVersion") == group_version(stored_group(&call.resource), &call.resource.version);
    let sent = object.at("/metadata/managedFields");
    if !is_whole
        || !is_ours
        || sent.is_some_and(|sent| sent != account)
        || !has_same_fields(old, object, true)
    {
        return false;
    }
    let mut account = account.clone();
    if !is_same_but_for_account(old, object) {
        account[0]["time"] = towtank_wire::time_text(call.now).into();
    }
    crate::write::metadata(object).insert("managedFields".to_owned(), account);
    true
}

/// Whether both have the same fields all the way down; lists have to be equal.
fn has_same_fields(old: &Value, new: &Value, is_top: bool) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let count = |fields: &serde_json::Map<String, Value>| {
                fields.len() - usize::from(!is_top && fields.contains_key("managedFields"))
            };
            count(old) == count(new)
                && old.iter().all(|(field, old)| {
                    (!is_top && field == "managedFields")
                        || new.get(field).is_some_and(|new| has_same_fields(old, new, false))
                })
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => old == new,
        _ => true,
    }
}

/// Whether two objects with the same fields say the same.
fn is_same_but_for_account(old: &Value, new: &Value) -> bool {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return old == new };
    old.iter().all(|(field, old)| {
        field == "managedFields" || new.get(field).is_some_and(|new| is_same_but_for_account(old, new))
    })
}

/// What server-side apply makes of an object, or of nothing.
pub(crate) fn apply(
    server: &ApiServer,
    call: &Call<'_>,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
    subresource: &str,
) -> Result<Value> {
    let schema = schema(server, &call.resource).ok_or_else(ApiError::path_not_found)?;
    let api_version = call.resource.api_version();
    let now = towtank_wire::time_text(call.now);
    let reset = reset_fields(&call.resource, subresource);
    let writer = Writer { manager, api_version: &api_version, subresource, now: &now, reset };
    crate::apply::apply(&schema, live, config, force, &writer)
}

// ---- rows that no client has sent ----

/// A pod with the defaults of its kind.
pub(crate) fn defaulted_pod(mut object: Value) -> Value {
    defaults::apply("", "Pod", &mut object);
    object
}

/// A Job with the defaults of its kind.
pub(crate) fn defaulted_job(mut object: Value) -> Value {
    defaults::apply("batch", "Job", &mut object);
    object
}

/// `status.qosClass` (`GetPodQOS`): of requests and limits of CPU and memory.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let (mut has_any, mut is_guaranteed) = (false, true);
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).and_then(Value::as_array).into_iter().flatten() {
            let resources = container.get("resources").unwrap_or(&Value::Null);
            for resource in COUNTED {
                let of = |kind: &str| resources.get(kind).and_then(|list| list.get(resource));
                has_any |= of("requests").is_some() || of("limits").is_some();
                let is_equal = of("requests").is_none_or(|wanted| Some(wanted) == of("limits"));
                is_guaranteed &= of("limits").is_some() && is_equal;
            }
        }
    }
    match (has_any, is_guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
