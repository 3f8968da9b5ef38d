//! Server-side apply (KEP-555): merge a configuration into an object by its schema, and keep account of who owns what.
//!
//! The steps are those of `merge.Updater.Apply` in structured-merge-diff. What the applier no longer says, and nobody
//! else owns, goes.

use crate::error::{ApiError, Result};
use crate::fields::FieldSet;
use crate::managed_fields::{Managed, Writer, blank, strip};
use crate::schema::Schema;
use crate::store::At as _;
use crate::typed;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Applies `config` to `live` (`None` creates). Gives the new object with its `managedFields`; defaults, validation and
/// comparison with the stored object are up to the caller. When nothing changes, the result equals `live`.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: &Value,
    force: bool,
    writer: &Writer<'_>,
) -> Result<Value> {
    if config.at("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if config["apiVersion"] != writer.api_version {
        let version = config["apiVersion"].as_str().unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            writer.api_version
        )));
    }
    if let Some(why) = typed::mistake(schema, config) {
        let text = |path: &str| config.at(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        return Err(ApiError::internal(format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {why}",
            text("/metadata/namespace"),
            text("/metadata/name"),
            writer.api_version,
            text("/kind")
        )));
    }
    let before = live.map_or_else(|| Cow::Owned(blank_object(schema, config)), Cow::Borrowed);
    let before: &Value = &before;
    let mut managed = live.map(Managed::of).unwrap_or_default();
    if let (true, Some(_)) = (managed.entries.is_empty(), live) {
        // What is there already belongs to nobody in particular.
        let first = Writer { manager: "before-first-apply", ..*writer };
        managed.update(schema, &blank(schema), before, &first);
        for entry in managed.entries.values_mut() {
            entry.time = String::new();
        }
    }
    let identity = writer.identity(true);
    let last = managed.entries.remove(&identity);
    let entry = managed.entries.entry(identity.clone()).or_default();
    entry.version = writer.api_version.to_owned();
    entry.set = writer.writable(typed::to_set(schema, config));
    let merged = typed::merge(Some(schema), Some(before), config);
    let mut object = match &last {
        // The usual case has nothing to take away: all that was said is said again.
        Some(last) if !last.set.is_within(&entry.set) => prune(schema, merged, &last.set, &managed),
        _ => merged,
    };
    let mut found = typed::compare(schema, before, &object);
    for set in [&mut found.removed, &mut found.modified, &mut found.added] {
        *set = writer.writable(std::mem::take(set));
    }
    let free = live.and_then(|live| client_applied(schema, live, writer)).unwrap_or_default();
    managed.give_way(&identity, &found, force, &free)?;
    if let Some(entry) = managed.entries.get_mut(&identity) {
        entry.set = strip(std::mem::take(&mut entry.set));
        // An apply that changes neither the object nor the ownership keeps its time.
        let same = last.filter(|last| *before == object && last.set == entry.set);
        entry.time = same.map_or_else(|| writer.now.to_owned(), |last| last.time);
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    managed.put(&mut object);
    if writer.manager == KUBECTL && live.is_some_and(|live| last_applied(live).is_some()) {
        // `lastappliedupdater.go`: who goes on with client-side apply begins where this ends.
        let mut said = config.clone();
        if let Some(annotations) = said.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
        object["metadata"]["annotations"][LAST_APPLIED] = said.to_string().into();
    }
    Ok(object)
}

/// The field manager of `kubectl apply --server-side`.
const KUBECTL: &str = "kubectl";
/// Where `kubectl apply` without it keeps what it has applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn last_applied(live: &Value) -> Option<&str> {
    live["metadata"]["annotations"].get(LAST_APPLIED)?.as_str().filter(|text| !text.is_empty())
}

/// What kubectl has applied on the client's side and is as it has left it: kubectl takes it over on the server's side without a conflict
/// (`lastappliedmanager.go`).
fn client_applied(schema: &Schema, live: &Value, writer: &Writer<'_>) -> Option<FieldSet> {
    if writer.manager != KUBECTL {
        return None;
    }
    let last: Value = serde_json::from_str(last_applied(live)?).ok()?;
    if last["apiVersion"] != writer.api_version {
        return None;
    }
    let found = typed::compare(schema, &last, live);
    let changed = [found.modified, found.added, found.removed];
    Some(changed.iter().fold(typed::to_set(schema, &last), |set, changed| set.difference(changed)))
}

/// A new object: only its type, for what is compared with it.
fn blank_object(schema: &Schema, config: &Value) -> Value {
    let mut object = json!({"apiVersion": config["apiVersion"], "kind": config["kind"]});
    if let (Some(fields), Value::Object(blank)) = (object.as_object_mut(), blank(schema)) {
        // Nothing that the applier does not say may appear in the object.
        let said = |name: &str| config.get(name).is_some_and(Value::is_object);
        fields.extend(blank.into_iter().filter(|(name, _)| said(name)).map(|(name, _)| (name, json!({}))));
    }
    object
}

/// Takes away what the applier said last time and does not say now, unless somebody else owns it (`Updater.prune`).
fn prune(schema: &Schema, merged: Value, last: &FieldSet, managed: &Managed) -> Value {
    let full = |set: &FieldSet| typed::with_named_fields(Some(schema), set);
    let without = |set: &FieldSet| typed::remove(Some(schema), &merged, set).unwrap_or_else(|| json!({}));
    let all = full(&typed::to_set(schema, &merged));
    let last = full(last);
    let pruned = without(&last);
    // Back comes what any manager owns, this one with its new configuration included.
    let owned = managed.entries.values().fold(FieldSet::default(), |mut all, entry| {
        all.add(&entry.set);
        all
    });
    let kept = full(&typed::to_set(schema, &pruned)).union(&full(&owned));
    let pruned = without(&all.difference(&kept));
    // And what was never this applier's.
    let kept = full(&typed::to_set(schema, &pruned));
    without(&all.difference(&kept).intersection(&last))
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
