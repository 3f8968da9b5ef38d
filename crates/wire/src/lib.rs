//! Between the model's typed rows and the JSON of the Kubernetes API.
//!
//! * [`job`]: Jobs, whole and as patches.
//! * [`pod`]: pods, their status, binding, eviction, deletion.
//! * [`node`]: nodes, whole and as patches.
//! * [`manifest`]: whole objects that a client sends.
//! * [`template`]: what pods and the templates of Jobs have in common.
//! * [`printers`]: what tables show of rows.
//! * [`request`]: writes as HTTP requests.
//! * [`refusal`]: `metav1.Status` as an [`ApiError`](towtank_model::server::ApiError).
//!
//! The model keeps the fields that decide something. What it does not keep is written with some value that the API
//! accepts, and left behind when it is read. Three things look different on the two sides:
//!
//! * uids: the driver counts the objects of a kind in the last eight hexadecimal digits (PROTOCOL.md), and the model is
//!   that number. The label and the selector that carry a Job's uid have the model's text for it in a row;
//! * times: the start of a run is 2000-01-01T00:00:00Z;
//! * a pod's completion index: the model has it once, not as an annotation and a label.

pub mod job;
pub mod manifest;
pub mod node;
pub mod pod;
pub mod printers;
pub mod refusal;
pub mod request;
pub mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as MetaTime};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};
use towtank_model::objects::{
    CONTROLLER_UID_LABEL, ConditionStatus, LEGACY_CONTROLLER_UID_LABEL, Labels, ObjectKey, Uid,
};
use towtank_model::time::Time;

pub use job::{job_object, job_patch, job_row, job_spec, job_status};
pub use manifest::{
    job_manifest, job_status_row, pod_content, pod_spec_object, pod_status_row, pod_template_object,
};
pub use pod::{binding, delete_options, eviction, pod_object, pod_patch, pod_row, pod_status};
pub use refusal::api_error;

/// An object from the API that is no row of the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct WireError {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

impl WireError {
    /// What is wrong with the field at this path.
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }

    fn missing(field: &str) -> Self {
        Self::new(field, "is missing")
    }

    fn unknown(field: &str, text: &str) -> Self {
        Self::new(field, format!("unknown value {text:?}"))
    }
}

/// The kinds whose objects are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `batch/v1` Job.
    Job,
    /// `v1` Pod.
    Pod,
    /// `v1` Node.
    Node,
}

const UID_LEN: usize = 36;

impl Kind {
    /// What stands before the number in the uids of this kind.
    const fn uid_prefix(self) -> &'static str {
        match self {
            Self::Job => "00000000-0000-4000-8000-0001",
            Self::Pod => "00000000-0000-4000-8000-0002",
            Self::Node => "00000000-0000-4000-8000-0003",
        }
    }

    /// The API's text for a uid.
    pub fn uid_text(self, uid: Uid) -> String {
        format!("{}{:08x}", self.uid_prefix(), uid.0)
    }

    /// The uid behind the API's text, if the object is of this kind.
    pub fn uid(self, text: &str) -> Option<Uid> {
        let number = text.strip_prefix(self.uid_prefix())?;
        (text.len() == UID_LEN).then(|| u32::from_str_radix(number, 16).ok()).flatten().map(Uid)
    }
}

fn uid_at(field: &str, kind: Kind, text: &str) -> Result<Uid, WireError> {
    kind.uid(text)
        .ok_or_else(|| WireError::new(field, format!("{text:?} is no uid of this kind from a driver")))
}

// ---- times ----

/// The start of a run, 2000-01-01T00:00:00Z, in microseconds of Unix time.
const START_MICROS: i64 = 946_684_800_000_000;

/// The API's text for a time of an object (`metav1.Time`): every client writes whole seconds.
pub fn time_text(time: Time) -> String {
    let micros = i64::try_from(time.truncated_to_second().as_micros())
        .unwrap_or(i64::MAX)
        .saturating_add(START_MICROS);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_string()
}

/// The instant behind the API's text for a time, unless it is none or before the start of a run.
pub fn time_of(text: &str) -> Option<Time> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond() - START_MICROS).ok().map(Time::from_micros)
}

fn time_at(field: &str, time: &MetaTime) -> Result<Time, WireError> {
    u64::try_from(time.0.as_microsecond() - START_MICROS)
        .map(Time::from_micros)
        .map_err(|_| WireError::new(field, format!("{} is before the start of the run", time.0)))
}

fn optional_time(field: &str, time: Option<&MetaTime>) -> Result<Option<Time>, WireError> {
    time.map(|time| time_at(field, time)).transpose()
}

// ---- labels ----

/// Names of labels whose value is the uid of a Job.
const UID_LABELS: [&str; 2] = [CONTROLLER_UID_LABEL, LEGACY_CONTROLLER_UID_LABEL];

/// What a label says in the API.
pub fn label_text(label: &str, value: &str) -> String {
    let uid = value.strip_prefix("uid-").filter(|_| UID_LABELS.contains(&label));
    match uid.and_then(|number| number.parse().ok()) {
        Some(number) if Uid(number).to_string() == value => Kind::Job.uid_text(Uid(number)),
        _ => value.to_owned(),
    }
}

/// A label's value as the model has it.
fn label_row(label: &str, value: &str) -> Arc<str> {
    match Kind::Job.uid(value).filter(|_| UID_LABELS.contains(&label)) {
        Some(uid) => uid.to_string().into(),
        None => value.into(),
    }
}

/// Labels as the API has them.
pub fn labels_object(labels: &Labels) -> Value {
    labels.iter().map(|(label, value)| (label.to_string(), label_text(label, value))).collect()
}

fn labels_row(labels: Option<&BTreeMap<String, String>>) -> Labels {
    let labels = labels.into_iter().flatten();
    labels.map(|(label, value)| (label.as_str().into(), label_row(label, value))).collect()
}

/// A merge patch that makes `new` out of `old`.
fn labels_patch(old: &Labels, new: &Labels) -> Value {
    let gone =
        old.keys().filter(|label| !new.contains_key(*label)).map(|label| (label.to_string(), Value::Null));
    let set = new.iter().map(|(label, value)| (label.to_string(), label_text(label, value).into()));
    Value::Object(gone.chain(set).collect())
}

// ---- small things ----

/// Fields that are only written when there is something to write.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.to_owned(), value.into());
    }

    fn set_some(&mut self, field: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(field, value);
        }
    }

    /// Only when it is not empty.
    fn set_text(&mut self, field: &str, text: &str) {
        if !text.is_empty() {
            self.set(field, text);
        }
    }

    /// Only when there are any.
    fn set_list(&mut self, field: &str, list: impl Iterator<Item = Value>) {
        let list: Vec<Value> = list.collect();
        if !list.is_empty() {
            self.set(field, list);
        }
    }

    /// Only when there are any.
    fn set_labels(&mut self, field: &str, labels: &Labels) {
        if !labels.is_empty() {
            self.set(field, labels_object(labels));
        }
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}

fn texts(texts: &[Arc<str>]) -> impl Iterator<Item = Value> + '_ {
    texts.iter().map(|text| Value::from(&**text))
}

fn texts_row(texts: Option<Vec<String>>) -> Vec<Arc<str>> {
    texts.unwrap_or_default().into_iter().map(Arc::from).collect()
}

fn status_row(field: &str, text: &str) -> Result<ConditionStatus, WireError> {
    match text {
        "True" => Ok(ConditionStatus::True),
        "False" => Ok(ConditionStatus::False),
        "Unknown" => Ok(ConditionStatus::Unknown),
        other => Err(WireError::unknown(field, other)),
    }
}

fn key_row(metadata: &ObjectMeta) -> Result<ObjectKey, WireError> {
    let name = metadata.name.as_deref().ok_or_else(|| WireError::missing("metadata.name"))?;
    Ok(ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// An object that is only admitted has no version yet.
fn resource_version_row(metadata: &ObjectMeta) -> Result<u64, WireError> {
    match metadata.resource_version.as_deref() {
        None | Some("") => Ok(0),
        Some(text) => text.parse().map_err(|_| WireError::unknown("metadata.resourceVersion", text)),
    }
}

/// RFC 7386: what `patch` makes of `target`.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (field, change) in changes {
        if change.is_null() {
            fields.remove(field);
        } else {
            merge(fields.entry(field.as_str()).or_insert(Value::Null), change);
        }
    }
}

/// A merge patch that makes `new` out of `old`.
pub fn patch_between(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let gone = old.keys().filter(|field| !new.contains_key(*field)).map(|field| (field.clone(), Value::Null));
    let set = new.iter().filter_map(|(field, value)| match old.get(field) {
        Some(present) if present == value => None,
        Some(present) => Some((field.clone(), patch_between(present, value))),
        None => Some((field.clone(), value.clone())),
    });
    Value::Object(gone.chain(set).collect())
}

#[cfg(test)]
mod tests;
