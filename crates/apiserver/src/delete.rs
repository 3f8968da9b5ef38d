//! Deletion: preconditions, grace, propagation, finalizers (`rest.BeforeDelete`, `Store.Delete`).

use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::server::Propagation;
use towtank_wire as wire;

use crate::call::{Call, Reply};
use crate::error::{ApiError, Result};
use crate::kinds::Class;
use crate::present;
use crate::server::ApiServer;
use crate::store::{At as _, Content, Version, text};
use crate::write::metadata;
use crate::write_rows::refused;

/// Finalizer of a deletion that waits for dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of a deletion that lets dependents be.
pub(crate) const ORPHAN: &str = "orphan";

/// What a deletion asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_s: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) rv: Option<String>,
}

impl DeleteOptions {
    /// From the body, or from parameters.
    pub(crate) fn read(call: &mut Call<'_>) -> Result<Self> {
        let query = &call.parsed.query;
        let mut options =
            Self { grace_period_s: query.get("gracePeriodSeconds").parse().ok(), ..Self::default() };
        let mut policy = query.get("propagationPolicy").to_owned();
        let mut orphans = query.flag("orphanDependents");
        if !call.parsed.body.is_empty() {
            let body = decode_options(call)?;
            if let Some(grace) = body.get("gracePeriodSeconds").filter(|value| !value.is_null()) {
                options.grace_period_s = Some(
                    grace.as_i64().ok_or_else(|| ApiError::bad_request("gracePeriodSeconds is no number"))?,
                );
            }
            let given = text(&body, "/propagationPolicy");
            if !given.is_empty() {
                policy = given.to_owned();
            }
            orphans = body.get("orphanDependents").and_then(Value::as_bool).or(orphans);
            let precondition = |field: &str| {
                body.at(&format!("/preconditions/{field}")).and_then(Value::as_str).map(str::to_owned)
            };
            options.uid = precondition("uid");
            options.rv = precondition("resourceVersion");
            let dry_run = body.get("dryRun").and_then(Value::as_array);
            for one in dry_run.into_iter().flatten() {
                if one != "All" {
                    return Err(ApiError::bad_request(format!(
                        "invalid dryRun value {one}: supported values: \"All\""
                    )));
                }
                call.is_dry_run = true;
            }
        }
        options.propagation = match (policy.as_str(), orphans) {
            ("", None) => None,
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("Foreground", None) => Some(Propagation::Foreground),
            (other, None) => {
                let allowed = ["Foreground", "Background", "Orphan"].map(str::to_owned);
                let wrong = crate::error::FieldError::not_supported("propagationPolicy", other, &allowed);
                return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &[wrong]));
            }
            _ => {
                let both = crate::error::FieldError::invalid(
                    "propagationPolicy",
                    policy,
                    "orphanDependents and deletionPropagation cannot be both set",
                );
                return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &[both]));
            }
        };
        Ok(options)
    }
}

fn decode_options(call: &Call<'_>) -> Result<Value> {
    match call.parsed.content_type() {
        "" | "application/json" | "application/yaml" => {
            let body = call.parsed.value()?;
            if body.is_object() || body.is_null() {
                return Ok(body);
            }
            Err(ApiError::bad_request("the body is no DeleteOptions"))
        }
        _ => crate::shape::decode(call.parsed),
    }
}

impl ApiServer {
    pub(crate) fn delete(&mut self, call: &mut Call<'_>) -> Result<Reply> {
        let options = DeleteOptions::read(call)?;
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            return Err(call.not_found());
        };
        let left = self.delete_version(call, &old, &options)?;
        Ok(match left {
            // It waits for something: it is shown as it stands.
            Some(version) => Reply { code: 200, body: present::object(&call.resource, &version, call.view) },
            None if call.resource.returns_deleted => {
                Reply { code: 200, body: present::object(&call.resource, &old, call.view) }
            }
            None => Reply::json(
                200,
                &json!({
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": deleted_details(&call.resource.group, &call.resource.plural, &old),
                }),
            ),
        })
    }

    pub(crate) fn delete_collection(&mut self, call: &mut Call<'_>) -> Result<Reply> {
        let options = DeleteOptions::read(call)?;
        let filter = self.filter(call)?;
        let Some(table) = self.tables.get(call.resource.table) else {
            return Err(ApiError::path_not_found());
        };
        let selected: Vec<Arc<Version>> =
            table.range(&filter.prefix, None).filter(|version| filter.selects(version)).cloned().collect();
        for version in &selected {
            match self.delete_version(call, version, &options) {
                Err(error) if error.code != 404 => return Err(error),
                _ => {}
            }
        }
        let items: Vec<Value> =
            selected.iter().map(|version| present_value(&call.resource, version)).collect();
        Ok(Reply::json(
            200,
            &json!({
                "kind": &*call.resource.list_kind,
                "apiVersion": call.resource.api_version(),
                "metadata": {"resourceVersion": call.rows.resource_version().to_string()},
                "items": items,
            }),
        ))
    }

    /// Deletes one object; what is left of it if it stays for now.
    pub(crate) fn delete_version(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        options: &DeleteOptions,
    ) -> Result<Option<Arc<Version>>> {
        let resource = Arc::clone(&call.resource);
        let conflict = |what: &str, wanted: &str, present: &str| {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {present}"
            );
            Err(ApiError::conflict(&resource.group, &resource.plural, old.name(), &why))
        };
        if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != old.uid()) {
            return conflict("UID", uid, &old.uid());
        }
        if let Some(rv) = options.rv.as_deref().filter(|rv| *rv != old.rv.to_string()) {
            return conflict("ResourceVersion", rv, &old.rv.to_string());
        }
        match resource.class {
            Class::Pod | Class::Job | Class::Node => self.delete_row(call, old, options),
            Class::Document | Class::Review => self.delete_document(call, old, options),
        }
    }

    fn delete_row(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        options: &DeleteOptions,
    ) -> Result<Option<Arc<Version>>> {
        let (now, actor) = (call.now, call.caller.actor);
        let is_dry_run = call.is_dry_run;
        let content = old.content.clone();
        let write = |rows: &mut towtank_model::server::Server| match &content {
            Content::Pod { row, .. } => {
                let grace =
                    options.grace_period_s.map(|seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
                rows.delete_pod(now, actor, row.uid, grace)
            }
            Content::Job { row, .. } => {
                // Jobs leave their pods alone unless they are told otherwise (`DefaultGarbageCollectionPolicy`).
                let propagation = options.propagation.unwrap_or_else(|| default_of_job(row));
                rows.delete_job(now, actor, &row.key, propagation)
            }
            Content::Node { row, .. } => rows.delete_node(now, actor, row.id),
            Content::Document(_) => Ok(()),
        };
        let result = if is_dry_run { call.rows.rehearse(write) } else { write(call.rows) };
        result.map_err(|error| refused(&call.resource, old.name(), &Value::Null, error))?;
        self.follow(call.rows, now);
        if is_dry_run {
            return Ok(None);
        }
        Ok(self.stored(&call.resource, &old.key).filter(|left| left.uid() == old.uid()).cloned())
    }

    fn delete_document(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        options: &DeleteOptions,
    ) -> Result<Option<Arc<Version>>> {
        let resource = Arc::clone(&call.resource);
        if &*resource.kind == "Namespace" && matches!(old.name(), "default" | "kube-system" | "kube-public") {
            return Err(ApiError::forbidden(
                "",
                "namespaces",
                old.name(),
                "this namespace may not be deleted",
            ));
        }
        let mut value = Value::clone(&old.value());
        let was_deleting = old.is_deleting();
        let finalizers = deletion_finalizers(&value, options.propagation);
        let fields = metadata(&mut value);
        if finalizers.is_empty() {
            fields.shift_remove("finalizers");
        } else {
            fields.insert("finalizers".to_owned(), finalizers.into());
        }
        let is_crd = &*resource.group == "apiextensions.k8s.io";
        if is_crd && !was_deleting {
            crate::crd::hold(&mut value);
        }
        let waits = |value: &Value| !crate::strategy::is_ready_to_go(&resource, value);
        let fields = metadata(&mut value);
        if !was_deleting {
            fields.insert("deletionTimestamp".to_owned(), wire::time_text(call.now).into());
            fields.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
            if let Some(generation) = fields.get("generation").and_then(Value::as_i64).filter(|it| *it > 0) {
                fields.insert("generation".to_owned(), (generation + 1).into());
            }
        }
        if &*resource.kind == "Namespace" && resource.group.is_empty() {
            value["status"]["phase"] = "Terminating".into();
        }
        if call.is_dry_run {
            return Ok(None);
        }
        if !waits(&value) {
            self.drop_document(call.rows, resource.table, old);
            return Ok(None);
        }
        if value == *old.value() {
            return Ok(Some(Arc::clone(old)));
        }
        let version = self.store(call.rows, resource.table, Arc::clone(&old.key), value);
        self.deletion_began(call, &version);
        Ok(Some(version))
    }
}

/// Finalizers that a deletion leaves (`deletionFinalizersForGarbageCollection`).
fn deletion_finalizers(value: &Value, propagation: Option<Propagation>) -> Vec<Value> {
    let present = value.at("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(propagation) = propagation else { return present };
    let mut finalizers: Vec<Value> =
        present.into_iter().filter(|one| *one != FOREGROUND && *one != ORPHAN).collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    finalizers
}

/// What has been asked for before stays; else Jobs of `batch/v1` leave their pods alone (`shouldOrphanDependents`).
fn default_of_job(job: &towtank_model::objects::Job) -> Propagation {
    let has = |finalizer: &str| job.finalizers.iter().any(|one| **one == *finalizer);
    if !has(ORPHAN) && has(FOREGROUND) { Propagation::Foreground } else { Propagation::Orphan }
}

fn present_value(resource: &crate::kinds::Resource, version: &Version) -> Value {
    let mut value = Value::clone(&version.value());
    crate::kinds::to_served(resource, &mut value);
    value
}

fn deleted_details(group: &str, plural: &str, old: &Version) -> Value {
    let mut details = json!({"name": old.name()});
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details["kind"] = plural.into();
    details["uid"] = old.uid().into_owned().into();
    details
}
