//! Writes to the model's rows: Jobs, pods and nodes that clients send as JSON. What the row holds is judged by the model.

use std::sync::Arc;

use serde_json::Value;
use towtank_model::admission as model;
use towtank_model::objects::{Node, ObjectKey};
use towtank_model::server::{ApiError as ModelError, PodContent, PodManifest, Server, Verb};
use towtank_wire as wire;

use crate::call::Call;
use crate::error::{ApiError, FieldError, FieldErrorType, OBJECT_MODIFIED, Result};
use crate::kinds::Resource;
use crate::overlay;
use crate::server::ApiServer;
use crate::store::{Content, Version, text};
use crate::write::{Written, namespace_terminates};

/// A row that cannot be read from what was sent: the body is at fault.
pub(crate) fn unreadable(error: wire::WireError) -> ApiError {
    ApiError::bad_request(format!("the object cannot be read: {error}"))
}

/// A refusal of the model, about an object as it was sent.
pub(crate) fn refused(resource: &Resource, name: &str, object: &Value, error: ModelError) -> ApiError {
    let (group, plural) = (&*resource.group, &*resource.plural);
    match error {
        ModelError::NotFound { .. } => ApiError::not_found(group, plural, name),
        ModelError::AlreadyExists { .. } => ApiError::already_exists(group, plural, name),
        ModelError::Conflict { .. } => ApiError::conflict(group, plural, name, OBJECT_MODIFIED),
        ModelError::Invalid { errors, .. } => {
            let errors: Vec<FieldError> = errors.iter().map(|error| field_error(error, object)).collect();
            ApiError::invalid(group, &resource.kind, name, &errors)
        }
        ModelError::Forbidden(why) => ApiError::forbidden(group, plural, name, &why),
        ModelError::NamespaceTerminating(namespace) => namespace_terminates(resource, name, &namespace),
        error @ (ModelError::Unreachable | ModelError::AnswerLost) => ApiError::internal(error),
    }
}

/// The model knows no values: they are those at the fields.
fn field_error(error: &model::FieldError, object: &Value) -> FieldError {
    use model::FieldErrorType as Model;
    let kind = match error.kind {
        Model::Required => FieldErrorType::Required,
        Model::Invalid => FieldErrorType::Invalid,
        Model::NotSupported => FieldErrorType::NotSupported,
        Model::Forbidden => FieldErrorType::Forbidden,
        Model::Duplicate => FieldErrorType::Duplicate,
        Model::TooMany => FieldErrorType::TooMany,
        Model::TooLong => FieldErrorType::TooLong,
    };
    let mut pointer = String::with_capacity(error.field.len() + 1);
    for part in error.field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    }
    let value = object.pointer(&pointer).cloned().unwrap_or_default();
    match (error.kind, error.detail.split_once(": ")) {
        (Model::TooMany, Some((count, rest))) => {
            let count = count.parse::<u64>().map_or(value, Value::from);
            FieldError::new(kind, &error.field, count, rest)
        }
        _ => FieldError::new(kind, &error.field, value, &error.detail),
    }
}

fn key_of(call: &Call<'_>, object: &Value) -> ObjectKey {
    ObjectKey::new(call.target.namespace.as_str(), text(object, "/metadata/name"))
}

/// Carries out a write to rows, or only judges it: if it is rehearsed, or refused for these `errors` of the document anyway. Then
/// it is refused for those of the row, too.
fn carried<T>(
    call: &mut Call<'_>,
    name: &str,
    object: &Value,
    errors: Vec<FieldError>,
    write: impl FnOnce(&mut Server) -> std::result::Result<T, ModelError>,
) -> Result<T> {
    let is_rehearsal = call.is_dry_run || !errors.is_empty();
    let result = if is_rehearsal { call.rows.rehearse(write) } else { write(call.rows) };
    if errors.is_empty() {
        return result.map_err(|error| refused(&call.resource, name, object, error));
    }
    let mut all: Vec<FieldError> = match &result {
        Err(ModelError::Invalid { errors, .. }) => {
            errors.iter().map(|error| field_error(error, object)).collect()
        }
        _ => Vec::new(),
    };
    // A template is immutable as a whole: to say it once is enough.
    let is_template = |error: &FieldError| TEMPLATE.contains(&error.field.as_str());
    let has_template = all.iter().any(is_template);
    let of_document = errors.into_iter().filter(|error| {
        let is_said = all.iter().any(|one| one.field == error.field && one.kind == error.kind);
        let is_of_template = has_template && is_template(error);
        !(is_said || is_of_template)
    });
    let of_document: Vec<FieldError> = of_document.collect();
    all.extend(of_document);
    Err(ApiError::invalid(&call.resource.group, &call.resource.kind, name, &all))
}

/// Whether two objects are the same to Go's types, to which a null is as good as nothing.
fn says_the_same(one: &Value, other: &Value) -> bool {
    let has = |one: &Value, other: &Value| {
        let mut fields = one.as_object().into_iter().flatten();
        fields.all(|(field, value)| says_the_same(value, &other[field]))
    };
    match (one, other) {
        (Value::Object(_), Value::Object(_)) => has(one, other) && has(other, one),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| says_the_same(one, other))
        }
        _ => one == other,
    }
}

/// Where a template is told to be immutable.
const TEMPLATE: [&str; 2] = ["spec.template", "spec.template.spec"];

impl ApiServer {
    /// The version of a row after a write to it; the last one when it is gone.
    fn after_row_write(&mut self, call: &mut Call<'_>, table: usize, key: &str) -> Result<Written> {
        let now = call.now;
        let last = self.tables.get(table).and_then(|table| table.get(key)).cloned();
        self.follow(call.rows, now);
        let version = self.tables.get(table).and_then(|table| table.get(key)).cloned().or(last);
        version.map(Written::Version).ok_or_else(|| call.not_found())
    }

    // ---- Jobs ----

    /// `given` is what was sent, `object` that with all defaults.
    pub(crate) fn create_job(
        &mut self,
        call: &mut Call<'_>,
        given: &Value,
        object: Value,
        errors: Vec<FieldError>,
    ) -> Result<Written> {
        let manifest = wire::job_manifest(given).map_err(unreadable)?;
        let key = key_of(call, &object);
        let (now, actor) = (call.now, call.caller.actor);
        let create = |rows: &mut Server| rows.create_job(now, actor, key.clone(), &manifest);
        let job = carried(call, &key.name, &object, errors, create)?;
        if call.is_dry_run {
            return Ok(Written::Rehearsed(overlay::job(&job, &object, 0)));
        }
        self.rows.set_base(call.resource.table, job.uid.0, object);
        self.after_row_write(call, call.resource.table, &crate::store::key(&key.namespace, &key.name))
    }

    /// `given` is the Job before defaults; none where the status is written.
    pub(crate) fn update_job(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        before: &Value,
        given: Option<&Value>,
        object: Value,
        errors: Vec<FieldError>,
    ) -> Result<Written> {
        let Content::Job { row, .. } = &old.content else { return Err(call.not_found()) };
        let row = Arc::clone(row);
        if errors.is_empty() && says_the_same(&object, before) {
            return Ok(Written::Version(Arc::clone(old)));
        }
        let (now, actor, uid) = (call.now, call.caller.actor, row.uid);
        let job = if let Some(given) = given {
            let manifest = wire::job_manifest(given).map_err(unreadable)?;
            carried(call, old.name(), &object, errors, |rows| {
                rows.replace_job(now, actor, uid, &manifest, true)
            })?
        } else {
            let status = wire::job_status_row(&object).map_err(unreadable)?;
            carried(call, old.name(), &object, errors, |rows| {
                let written = rows.update_job_status(now, actor, uid, row.resource_version, status)?;
                if written == row { rows.touch_job(now, actor, Verb::UpdateStatus, uid) } else { Ok(written) }
            })?
        };
        if call.is_dry_run {
            return Ok(Written::Rehearsed(overlay::job(&job, &object, old.rv)));
        }
        self.rows.set_base(call.resource.table, uid.0, object);
        self.after_row_write(call, call.resource.table, &old.key)
    }

    // ---- pods ----

    pub(crate) fn create_pod(
        &mut self,
        call: &mut Call<'_>,
        object: Value,
        errors: Vec<FieldError>,
    ) -> Result<Written> {
        let PodContent { labels, annotations, finalizers, owner, spec } =
            wire::pod_content(&object).map_err(unreadable)?;
        let spec = self.rows.shared_spec(spec);
        let manifest = PodManifest { labels, annotations, finalizers, spec };
        let key = key_of(call, &object);
        let (now, actor) = (call.now, call.caller.actor);
        let create = |rows: &mut Server| rows.create_owned_pod(now, actor, key.clone(), &manifest, owner);
        let pod = carried(call, &key.name, &object, errors, create)?;
        let node = text(&object, "/spec/nodeName").to_owned();
        if call.is_dry_run {
            return Ok(Written::Rehearsed(overlay::pod(&pod, &object, None, 0)));
        }
        self.rows.set_base(call.resource.table, pod.uid.0, object);
        let key = crate::store::key(&key.namespace, &key.name);
        let written = self.after_row_write(call, call.resource.table, &key)?;
        // A pod that names its node needs no scheduler.
        let id = call.rows.nodes().find(|one| *one.name == *node).map(|one| one.id);
        match id {
            Some(id) if call.rows.bind_pod(now, actor, pod.uid, id).is_ok() => {
                self.after_row_write(call, call.resource.table, &key)
            }
            _ => Ok(written),
        }
    }

    pub(crate) fn update_pod(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        before: &Value,
        object: Value,
        subresource: &str,
        errors: Vec<FieldError>,
    ) -> Result<Written> {
        let Content::Pod { row, node, .. } = &old.content else { return Err(call.not_found()) };
        let (row, node) = (Arc::clone(row), node.clone());
        if errors.is_empty() && says_the_same(&object, before) {
            return Ok(Written::Version(Arc::clone(old)));
        }
        let (now, actor, uid) = (call.now, call.caller.actor, row.uid);
        let result = if subresource == "status" {
            let status = wire::pod_status_row(&object).map_err(unreadable)?;
            carried(call, old.name(), &object, errors, |rows| {
                let written = rows.update_pod_status(now, actor, uid, |place| *place = status)?;
                if written == row { rows.touch_pod(now, actor, Verb::UpdateStatus, uid) } else { Ok(written) }
            })
        } else {
            let content = wire::pod_content(&object).map_err(unreadable)?;
            carried(call, old.name(), &object, errors, |rows| {
                rows.replace_pod(now, actor, uid, content, true)
            })
        };
        let pod = result?;
        if call.is_dry_run {
            return Ok(Written::Rehearsed(overlay::pod(&pod, &object, node.as_deref(), old.rv)));
        }
        self.rows.set_base(call.resource.table, uid.0, object);
        self.after_row_write(call, call.resource.table, &old.key)
    }

    // ---- nodes ----

    pub(crate) fn create_node(&mut self, call: &mut Call<'_>, object: Value) -> Result<Written> {
        let content = wire::node::node_content(&object, call.now).map_err(unreadable)?;
        let name = text(&object, "/metadata/name").to_owned();
        let (now, actor) = (call.now, call.caller.actor);
        if call.is_dry_run {
            return Ok(Written::Rehearsed(object));
        }
        let created = call.rows.create_node(
            now,
            actor,
            &name,
            content.labels.clone(),
            content.cpu_milli,
            content.pods_max,
        );
        let id = created.map_err(|error| refused(&call.resource, &name, &object, error))?;
        self.rows.set_base(call.resource.table, id.0, object);
        let written = self.after_row_write(call, call.resource.table, &name)?;
        let changed = call.rows.update_node(now, actor, id, |node| write_node(node, content));
        match changed {
            Ok(()) => self.after_row_write(call, call.resource.table, &name),
            Err(_) => Ok(written),
        }
    }

    pub(crate) fn update_node(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        before: &Value,
        object: Value,
    ) -> Result<Written> {
        let Content::Node { row, .. } = &old.content else { return Err(call.not_found()) };
        if object == *before {
            return Ok(Written::Version(Arc::clone(old)));
        }
        let (now, actor, id) = (call.now, call.caller.actor, row.id);
        let content = wire::node::node_content(&object, now).map_err(unreadable)?;
        let mut new = Node::clone(row);
        write_node(&mut new, content);
        // What is false is left out, so a node may say the same in other words.
        let shown = overlay::node(&new, &object, old.rv);
        if call.is_dry_run {
            return Ok(Written::Rehearsed(shown));
        }
        if shown == *before {
            return Ok(Written::Version(Arc::clone(old)));
        }
        let result = if new == **row {
            call.rows.touch_node(now, actor, id)
        } else {
            call.rows.update_node(now, actor, id, |node| *node = new)
        };
        result.map_err(|error| refused(&call.resource, old.name(), &object, error))?;
        self.rows.set_base(call.resource.table, id.0, object);
        self.after_row_write(call, call.resource.table, &old.key)
    }
}

fn write_node(node: &mut Node, content: wire::node::NodeContent) {
    if content.labels != *node.labels {
        node.labels = Arc::new(content.labels);
    }
    node.unschedulable = content.unschedulable;
    node.taints = content.taints;
    node.cpu_milli = content.cpu_milli;
    node.pods_max = content.pods_max;
    node.is_ready = content.is_ready;
}
