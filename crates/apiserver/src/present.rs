//! Objects as they are sent: filtered, and in the form that was asked for.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use towtank_model::objects::{COMPLETION_INDEX, CONTROLLER_UID_LABEL, LEGACY_CONTROLLER_UID_LABEL, Labels};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_wire as wire;
use towtank_wire::printers::PrinterFeatures;

use crate::kinds::{self, Resource};
use crate::request::View;
use crate::selector::{FieldSelector, LabelSelector};
use crate::store::{At as _, Content, Version, to_bytes};
use crate::table;

/// Which objects are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Keys begin with it: `NAMESPACE/`, or empty.
    pub(crate) prefix: String,
    /// Labels.
    pub(crate) labels: LabelSelector,
    /// Fields.
    pub(crate) fields: FieldSelector,
    /// What a table's rows carry of the object.
    pub(crate) include: Include,
    /// How tables are printed.
    pub(crate) printers: PrinterFeatures,
}

/// `includeObject` of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    /// The metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl Filter {
    /// Everything, printed as this version does.
    pub(crate) fn everything(version: KubernetesVersion) -> Self {
        Self {
            prefix: String::new(),
            labels: LabelSelector::default(),
            fields: FieldSelector::default(),
            include: Include::default(),
            printers: PrinterFeatures::of(version),
        }
    }

    /// The namespace fits.
    pub(crate) fn is_in_scope(&self, version: &Version) -> bool {
        version.key.starts_with(&self.prefix)
    }

    /// Neither selector selects.
    pub(crate) fn selects_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Both selectors select the object.
    pub(crate) fn selects(&self, version: &Version) -> bool {
        (self.labels.is_everything() || labels_match(&self.labels, version))
            && (self.fields.is_everything() || self.fields.matches_by(|field| field_of(version, field)))
    }
}

fn labels_match(selector: &LabelSelector, version: &Version) -> bool {
    match &version.content {
        Content::Document(value) => selector.matches(value.at("/metadata/labels").unwrap_or(&Value::Null)),
        Content::Pod { row, .. } => {
            let index = row.index.get().map(|index| index.to_string());
            row_labels_match(selector, &row.labels, index.as_deref())
        }
        Content::Job { row, .. } => row_labels_match(selector, &row.labels, None),
        Content::Node { row, .. } => row_labels_match(selector, &row.labels, None),
    }
}

/// Labels of a row; those with the uid of a Job have another text there.
fn row_labels_match(selector: &LabelSelector, labels: &Labels, index: Option<&str>) -> bool {
    let uid_text = |label: &str| labels.get(label).map(|value| wire::label_text(label, value));
    let (uid, legacy_uid) = (uid_text(CONTROLLER_UID_LABEL), uid_text(LEGACY_CONTROLLER_UID_LABEL));
    selector.matches_by(|label| match label {
        CONTROLLER_UID_LABEL => uid.as_deref(),
        LEGACY_CONTROLLER_UID_LABEL => legacy_uid.as_deref(),
        COMPLETION_INDEX => labels.get(label).map(|value| &**value).or(index),
        _ => labels.get(label).map(|value| &**value),
    })
}

/// The value of a field that a selector may name.
fn field_of<'a>(version: &'a Version, field: &str) -> Cow<'a, str> {
    match (field, &version.content) {
        ("metadata.name", _) => version.name().into(),
        ("metadata.namespace", _) => version.namespace().into(),
        ("spec.nodeName", Content::Pod { node, .. }) => node.as_deref().unwrap_or_default().into(),
        ("status.phase", Content::Pod { row, .. }) => row.status.phase.as_str().into(),
        ("status.successful", Content::Job { row, .. }) => row.status.succeeded.to_string().into(),
        ("spec.unschedulable", Content::Node { row, .. }) => {
            if row.unschedulable { "true" } else { "false" }.into()
        }
        ("source", Content::Document(value)) => crate::store::text(value, "/source/component").into(),
        (_, content) => {
            let field = event_field(field).unwrap_or(Cow::Borrowed(field));
            let pointer = format!("/{}", field.replace('.', "/"));
            let base = match content {
                Content::Document(value) => value,
                Content::Pod { base, .. } | Content::Job { base, .. } | Content::Node { base, .. } => base,
            };
            match base.at(&pointer) {
                Some(Value::String(text)) => text.as_str().into(),
                Some(Value::Bool(value)) => if *value { "true" } else { "false" }.into(),
                Some(Value::Number(number)) => number.to_string().into(),
                _ => "".into(),
            }
        }
    }
}

/// Fields of `events.k8s.io/v1` are those of `v1` in what is stored.
fn event_field(field: &str) -> Option<Cow<'static, str>> {
    if field == "reportingController" {
        return Some("reportingComponent".into());
    }
    field.strip_prefix("regarding.").map(|rest| format!("involvedObject.{rest}").into())
}

/// Whether objects of this resource are sent as they are stored.
pub(crate) fn is_plain(resource: &Resource) -> bool {
    !resource.is_custom && &*resource.group != "events.k8s.io"
}

/// One object, in the form asked for.
pub(crate) fn object(resource: &Resource, version: &Version, view: View) -> Bytes {
    match view {
        View::Object | View::Table if is_plain(resource) => version.json().clone(),
        View::Object | View::Table => {
            if let Content::Document(value) = &version.content
                && kinds::is_stored_form(resource, value)
            {
                return version.json().clone();
            }
            let mut value = Value::clone(&version.value());
            kinds::to_served(resource, &mut value);
            to_bytes(&value)
        }
        View::Partial => to_bytes(&partial(&version.value())),
    }
}

/// A value that was worked out, in the form asked for.
pub(crate) fn value(resource: &Resource, object: Value, view: View) -> Bytes {
    match view {
        View::Partial => to_bytes(&partial(&object)),
        _ => {
            let mut object = object;
            kinds::to_served(resource, &mut object);
            to_bytes(&object)
        }
    }
}

/// `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// A table of one object, as a watch sends it.
pub(crate) fn table_of_one(
    resource: &Resource,
    version: &Arc<Version>,
    filter: &Filter,
    now: Time,
    with_columns: bool,
) -> Bytes {
    let mut table = table::of(resource, std::slice::from_ref(version), filter, now);
    table["metadata"] = json!({"resourceVersion": version.rv.to_string()});
    if !with_columns {
        table["columnDefinitions"] = Value::Null;
    }
    to_bytes(&table)
}

/// The same content at another version.
pub(crate) fn at_version(version: &Version, rv: u64) -> Content {
    match &version.content {
        Content::Document(value) => {
            let mut value = Value::clone(value);
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".to_owned(), rv.to_string().into());
            }
            Content::Document(Arc::new(value))
        }
        other => other.clone(),
    }
}

/// A bookmark of some kinds has to be readable as an object of the kind: fields that must be there are empty.
pub(crate) fn complete_bookmark(resource: &Resource, object: &mut Value) {
    match &*resource.kind {
        "Pod" => {
            object["spec"] = json!({"containers": null});
            object["status"] = json!({});
        }
        "Job" => {
            object["spec"] =
                json!({"template": {"metadata": {"creationTimestamp": null}, "spec": {"containers": null}}});
            object["status"] = json!({});
        }
        "Node" | "Service" | "Namespace" | "PodDisruptionBudget" => {
            object["spec"] = json!({});
            object["status"] = json!({});
        }
        "Deployment" => {
            object["spec"] = json!({"selector": null, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}});
            object["status"] = json!({});
        }
        "Lease" => object["spec"] = json!({}),
        "Event" if resource.group.is_empty() => object["involvedObject"] = json!({}),
        _ => {}
    }
}
