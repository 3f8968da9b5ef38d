//! `/status`, `/scale`, `/eviction`, `/binding` and `/finalize`.

use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::server::Verb as Write;

use crate::call::{Call, Reply};
use crate::error::{ApiError, FieldError, Result};
use crate::kinds::{Class, ScalePaths};
use crate::patch;
use crate::request::Verb;
use crate::selector::LabelSelector;
use crate::server::ApiServer;
use crate::store::{At as _, Content, Version, text};
use crate::write_rows::refused;

impl ApiServer {
    pub(crate) fn subresource(&mut self, call: &mut Call<'_>, verb: Verb, name: &str) -> Result<Reply> {
        let resource = Arc::clone(&call.resource);
        match (name, verb) {
            ("status", Verb::Get) if resource.has_status => self.get(call),
            ("status", Verb::Update) if resource.has_status => self.update(call, "status"),
            ("status", Verb::Patch) if resource.has_status => self.patch(call, "status"),
            ("scale", _) if resource.scale.is_some() => self.scale(call, verb),
            ("finalize", Verb::Update) if &*resource.kind == "Namespace" => self.update(call, "finalize"),
            ("eviction", Verb::Create) if resource.class == Class::Pod => self.evict(call),
            ("binding", Verb::Create) if resource.class == Class::Pod => self.bind(call),
            ("log" | "exec" | "attach" | "portforward", _) if resource.class == Class::Pod => {
                self.stored(&resource, &call.key()).ok_or_else(|| call.not_found())?;
                // As a real server's for a container that is not there yet.
                let pod = &call.target.name;
                Err(ApiError::bad_request(format!(
                    "pod {pod:?} is simulated: no program runs in its containers that could write a log or be talked to"
                )))
            }
            ("status", _) if resource.has_status => {
                let action = call.parsed.method.as_str().to_lowercase();
                Err(ApiError::method_not_supported(&resource.group, &resource.plural, &action))
            }
            _ => Err(ApiError::path_not_found()),
        }
    }

    // ---- scale ----

    fn scale(&mut self, call: &mut Call<'_>, verb: Verb) -> Result<Reply> {
        let Some(paths) = call.resource.scale.clone() else { return Err(ApiError::path_not_found()) };
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            return Err(call.not_found());
        };
        let before = old.value();
        let present = scale_of(&before, &paths);
        let wanted = match verb {
            Verb::Get => return Ok(Reply::json(200, &present)),
            Verb::Update => call.parsed.value()?,
            Verb::Patch => {
                let mut scale = present;
                let body = call.parsed.value()?;
                match call.parsed.content_type() {
                    "application/json-patch+json" => patch::json_patch(&mut scale, body)?,
                    "application/merge-patch+json"
                    | "application/strategic-merge-patch+json"
                    | "application/apply-patch+yaml" => patch::merge_patch(&mut scale, body)?,
                    _ => {
                        return Err(ApiError::unsupported_media_type(&[
                            "application/json-patch+json",
                            "application/merge-patch+json",
                            "application/apply-patch+yaml",
                        ]));
                    }
                }
                scale
            }
            _ => {
                let action = call.parsed.method.as_str().to_lowercase();
                return Err(ApiError::method_not_supported(
                    &call.resource.group,
                    &call.resource.plural,
                    &action,
                ));
            }
        };
        let rv = text(&wanted, "/metadata/resourceVersion");
        if !rv.is_empty() && rv != old.rv.to_string() {
            let why = crate::error::OBJECT_MODIFIED;
            return Err(ApiError::conflict(&call.resource.group, &call.resource.plural, old.name(), why));
        }
        let replicas = match wanted.at("/spec/replicas") {
            None => 0,
            Some(value) => value.as_i64().ok_or_else(|| {
                ApiError::bad_request(
                    "json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32",
                )
            })?,
        };
        if replicas < 0 {
            let below = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            return Err(ApiError::invalid("autoscaling", "Scale", old.name(), &[below]));
        }
        let mut object = Value::clone(&before);
        set_at(&mut object, &paths.spec, replicas.into());
        let manager = call.parsed.manager();
        let written = self.update_object(call, &old, &before, object, "", Some(&manager))?;
        let value = match written {
            crate::write::Written::Version(version) => version.value(),
            crate::write::Written::Rehearsed(value) => Arc::new(value),
        };
        Ok(Reply::json(200, &scale_of(&value, &paths)))
    }

    // ---- eviction ----

    /// KEP-85: an eviction is refused while a disruption budget has nothing left.
    fn evict(&mut self, call: &mut Call<'_>) -> Result<Reply> {
        let body = if call.parsed.body.is_empty() { json!({}) } else { crate::shape::decode(call.parsed)? };
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            return Err(call.not_found());
        };
        let Content::Pod { row, .. } = &old.content else { return Err(call.not_found()) };
        for (field, present) in [("uid", old.uid().into_owned()), ("resourceVersion", old.rv.to_string())] {
            let wanted = text(&body, &format!("/deleteOptions/preconditions/{field}"));
            if !wanted.is_empty() && wanted != present {
                let why = format!(
                    "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {present}"
                );
                return Err(ApiError::conflict("", "pods", old.name(), &why));
            }
        }
        if body.at("/deleteOptions/dryRun").is_some_and(|list| list[0] == "All") {
            call.is_dry_run = true;
        }
        let is_counted = !row.status.phase.is_terminal() && row.deletion.is_none();
        if is_counted {
            self.check_budget(call, &old)?;
        }
        let (now, actor, uid) = (call.now, call.caller.actor, row.uid);
        let grace = body.at("/deleteOptions/gracePeriodSeconds").and_then(Value::as_u64);
        let evict =
            |rows: &mut towtank_model::server::Server| match grace.and_then(|it| u32::try_from(it).ok()) {
                // A grace period of the request's own: the condition comes with the deletion all the same.
                Some(seconds) => rows.evict_pod(now, actor, uid).and_then(|()| match rows.pod(uid) {
                    Some(_) => rows.delete_pod(now, actor, uid, Some(seconds)),
                    None => Ok(()),
                }),
                None => rows.evict_pod(now, actor, uid),
            };
        let result = if call.is_dry_run { call.rows.rehearse(evict) } else { evict(call.rows) };
        result.map_err(|error| refused(&call.resource, old.name(), &Value::Null, error))?;
        self.follow(call.rows, now);
        Ok(Reply::json(201, &success()))
    }

    fn check_budget(&mut self, call: &mut Call<'_>, pod: &Arc<Version>) -> Result<()> {
        let Some(budgets) = self.registry.get("policy", "v1", "poddisruptionbudgets").cloned() else {
            return Ok(());
        };
        let prefix = format!("{}/", pod.namespace());
        let Some(table) = self.tables.get(budgets.table) else { return Ok(()) };
        let labels = pod.value().at("/metadata/labels").cloned().unwrap_or_default();
        let selects = |budget: &Arc<Version>| {
            let selector = budget.value().at("/spec/selector").cloned().unwrap_or_default();
            LabelSelector::from_object(&selector).is_ok_and(|selector| selector.matches(&labels))
        };
        let found: Vec<Arc<Version>> =
            table.range(&prefix, None).filter(|budget| selects(budget)).cloned().collect();
        match found.as_slice() {
            [] => Ok(()),
            [budget] => {
                let (healthy, wanted) = self.budget_state(&budget.value(), pod.namespace());
                if healthy > wanted {
                    return Ok(());
                }
                let why = "Cannot evict pod as it would violate the pod's disruption budget.";
                let mut error = ApiError::too_many_requests(why, 0);
                error.details.causes.push(crate::error::Cause {
                    reason: "DisruptionBudget".to_owned(),
                    message: format!(
                        "The disruption budget {} needs {wanted} healthy pods and has {healthy} currently",
                        budget.name()
                    ),
                    field: String::new(),
                });
                let _ = call;
                Err(error)
            }
            _ => Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            )),
        }
    }

    /// Pods that are ready now, and how many have to be: worked out from the pods, as the disruption controller does.
    pub(crate) fn budget_state(&self, budget: &Value, namespace: &str) -> (i64, i64) {
        let selector = budget.at("/spec/selector").cloned().unwrap_or_default();
        let Ok(labels) = LabelSelector::from_object(&selector) else { return (0, 0) };
        let filter =
            crate::present::Filter { labels, ..crate::present::Filter::everything(self.config.version) };
        let prefix = format!("{namespace}/");
        let pods = self.tables.get(self.rows.pods).into_iter().flat_map(|table| table.range(&prefix, None));
        let (mut all, mut healthy) = (0_i64, 0_i64);
        for pod in pods.filter(|pod| filter.selects(pod)) {
            let Content::Pod { row, .. } = &pod.content else { continue };
            if row.status.phase.is_terminal() {
                continue;
            }
            all += 1;
            healthy += i64::from(row.deletion.is_none() && row.is_ready());
        }
        let amount = |value: &Value, rounds_up: bool| -> i64 {
            match value
                .as_str()
                .and_then(|text| text.strip_suffix('%'))
                .and_then(|text| text.parse::<i64>().ok())
            {
                Some(percent) if rounds_up => {
                    (all * percent).div_euclid(100) + i64::from((all * percent) % 100 != 0)
                }
                Some(percent) => all * percent / 100,
                None => value.as_i64().unwrap_or(0),
            }
        };
        let wanted = match (budget.at("/spec/minAvailable"), budget.at("/spec/maxUnavailable")) {
            (Some(least), _) if !least.is_null() => amount(least, true),
            (_, Some(most)) if !most.is_null() => all - amount(most, true),
            _ => all,
        };
        (healthy, wanted.max(0))
    }

    // ---- binding ----

    fn bind(&mut self, call: &mut Call<'_>) -> Result<Reply> {
        let body = crate::shape::decode(call.parsed)?;
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            return Err(call.not_found());
        };
        let Content::Pod { row, .. } = &old.content else { return Err(call.not_found()) };
        let kind = text(&body, "/target/kind");
        let node = text(&body, "/target/name").to_owned();
        let mut errors = Vec::new();
        if !matches!(kind, "" | "Node") {
            errors.push(FieldError::not_supported(
                "target.kind",
                kind,
                &["Node".to_owned(), "<empty>".to_owned()],
            ));
        }
        if node.is_empty() {
            errors.push(FieldError::required("target.name", ""));
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid("", "Binding", old.name(), &errors));
        }
        let conflict = |why: &str| Err(ApiError::conflict("", "pods/binding", old.name(), why));
        if row.deletion.is_some() {
            return conflict(&format!("pod {} is being deleted, cannot be assigned to a host", old.name()));
        }
        if let Content::Pod { node: Some(present), .. } = &old.content {
            return conflict(&format!("pod {} is already assigned to node {present:?}", old.name()));
        }
        let Some(id) = call.rows.nodes().find(|one| *one.name == *node).map(|one| one.id) else {
            return Err(ApiError::not_found("", "nodes", &node));
        };
        let (now, actor, uid) = (call.now, call.caller.actor, row.uid);
        let bind = |rows: &mut towtank_model::server::Server| rows.bind_pod(now, actor, uid, id);
        let result = if call.is_dry_run { call.rows.rehearse(bind) } else { bind(call.rows) };
        result.map_err(|error| refused(&call.resource, old.name(), &Value::Null, error))?;
        self.follow(call.rows, now);
        let _ = Write::Bind;
        Ok(Reply::json(201, &success()))
    }
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

/// The `Scale` of an object (`autoscaling/v1`).
fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number(&paths.spec)},
        "status": {"replicas": number(&paths.status)},
    });
    match paths.selector.as_deref().and_then(|pointer| object.pointer(pointer)) {
        Some(Value::String(selector)) => scale["status"]["selector"] = selector.as_str().into(),
        Some(selector @ Value::Object(_)) => {
            let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
            let mut pairs: Vec<String> = labels
                .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()))
                .collect();
            pairs.sort();
            scale["status"]["selector"] = pairs.join(",").into();
        }
        _ => {}
    }
    scale
}

/// Sets the value at a JSON pointer, with the objects on the way to it.
fn set_at(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}
