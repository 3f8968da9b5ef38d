//! What `metadata` must look like (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use crate::error::{FieldError, FieldErrorType};
use crate::names;
use serde_json::Value;
use towtank_model::version::KubernetesVersion;

/// All annotations of an object together (`TotalAnnotationSizeLimitB`).
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// What names of a kind look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// An RFC 1123 subdomain: most kinds, custom resources too.
    Subdomain,
    /// An RFC 1123 label: namespaces, and services since 1.36.
    Label,
    /// An RFC 1035 label: services up to 1.35.
    Dns1035Label,
    /// Anything that fits into a path: roles and bindings.
    Path,
}

impl NameRule {
    /// The rule of a kind.
    pub fn of(group: &str, kind: &str, version: KubernetesVersion) -> Self {
        match (group, kind) {
            // `RelaxedServiceNameValidation` (KEP-5311) is on by default since 1.36.
            ("", "Service") if version.minor() < 36 => Self::Dns1035Label,
            ("", "Namespace" | "Service") => Self::Label,
            ("rbac.authorization.k8s.io", _) => Self::Path,
            _ => Self::Subdomain,
        }
    }

    /// What is wrong with a name.
    pub(crate) fn complaints(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns_subdomain(name),
            Self::Label => names::dns_label(name),
            Self::Dns1035Label => names::dns1035_label(name),
            Self::Path if matches!(name, "." | "..") => vec![format!("may not be '{name}'")],
            Self::Path => ['/', '%']
                .into_iter()
                .filter(|c| name.contains(*c))
                .map(|c| format!("may not contain '{c}'"))
                .collect(),
        }
    }
}

fn text<'a>(meta: &'a Value, name: &str) -> &'a str {
    meta[name].as_str().unwrap_or_default()
}

/// Keys of annotations are compared without case.
fn annotation_key(key: &str) -> Vec<String> {
    if key.bytes().any(|c| c.is_ascii_uppercase()) || !key.is_ascii() {
        return names::label_key(&key.to_lowercase());
    }
    names::label_key(key)
}

/// Checks the metadata of a new object (`ValidateObjectMeta`), whose name has been generated if it is to be.
pub fn validate(meta: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, value: &str, complaints: Vec<String>| {
        errors.extend(complaints.iter().map(|why| FieldError::invalid(field, value, why)));
    };
    let prefix = text(meta, "generateName");
    if !prefix.is_empty() {
        // What is generated is appended, so the prefix may end in a dash.
        let masked = if prefix.ends_with('-') && prefix.len() > 1 {
            format!("{}a", &prefix[..prefix.len() - 1])
        } else {
            prefix.to_owned()
        };
        refuse("metadata.generateName", prefix, rule.complaints(&masked));
    }
    let name = text(meta, "name");
    if !name.is_empty() {
        refuse("metadata.name", name, rule.complaints(name));
    }
    let namespace = text(meta, "namespace");
    if namespaced && !namespace.is_empty() {
        refuse("metadata.namespace", namespace, names::dns_label(namespace));
    }
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    }
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required("metadata.namespace", "")),
        (false, false) => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"))
        }
        _ => {}
    }
    validate_parts(meta, &mut errors);
    let finalizers: Vec<_> =
        meta["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for finalizer in &finalizers {
        errors.extend(
            finalizer_complaints(finalizer)
                .iter()
                .map(|why| FieldError::invalid("metadata.finalizers", *finalizer, why)),
        );
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid("metadata.finalizers", meta["finalizers"].clone(), why));
    }
    errors
}

fn finalizer_complaints(finalizer: &str) -> Vec<String> {
    let mut complaints = names::label_key(finalizer);
    let standard = matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
    if complaints.is_empty() && !finalizer.contains('/') && !standard {
        complaints.push("name is neither a standard finalizer name nor is it fully qualified".to_owned());
    }
    complaints
}

/// Checks the metadata of an update (`ValidateObjectMetaUpdate`).
pub fn validate_update(meta: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !old["deletionTimestamp"].is_null() {
        let had = old["finalizers"].as_array().cloned().unwrap_or_default();
        let new: Vec<_> =
            meta["finalizers"].as_array().into_iter().flatten().filter(|one| !had.contains(one)).collect();
        if !new.is_empty() {
            let list: Vec<_> = new.iter().map(ToString::to_string).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    let fixed =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in fixed {
        if meta[field] != old[field] {
            let at = format!("metadata.{field}");
            errors.push(FieldError::invalid(&at, meta[field].clone(), "field is immutable"));
        }
    }
    validate_parts(meta, &mut errors);
    errors
}

/// Labels, annotations and owners.
fn validate_parts(meta: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in meta["labels"].as_object().into_iter().flatten() {
        let field = "metadata.labels";
        errors.extend(names::label_key(key).iter().map(|why| FieldError::invalid(field, key.as_str(), why)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(names::label_value(value).iter().map(|why| FieldError::invalid(field, value, why)));
    }
    let mut bytes = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        errors.extend(
            annotation_key(key)
                .iter()
                .map(|why| FieldError::invalid("metadata.annotations", key.as_str(), why)),
        );
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        let why = format!("may not be more than {ANNOTATIONS_BYTES_MAX} bytes");
        errors.push(FieldError::new(FieldErrorType::TooLong, "metadata.annotations", "", &why));
    }
    let field = "metadata.ownerReferences";
    let mut controller: Option<&str> = None;
    for owner in meta["ownerReferences"].as_array().into_iter().flatten() {
        for name in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, name).is_empty() {
                let why =
                    if name == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                errors.push(FieldError::invalid(&format!("{field}.{name}"), "", why));
            }
        }
        if text(owner, "kind") == "Event" && matches!(text(owner, "apiVersion"), "v1" | "events.k8s.io/v1") {
            let version = text(owner, "apiVersion");
            let why = format!("{version}, Kind=Event is disallowed from being an owner");
            errors.push(FieldError::invalid(field, owner.clone(), &why));
        }
        if owner["controller"] == Value::Bool(true) {
            let name = text(owner, "name");
            match controller {
                None => controller = Some(name),
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {name}"
                    );
                    errors.push(FieldError::invalid(field, meta["ownerReferences"].clone(), &why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(meta: Value) -> Vec<String> {
        validate(&meta, true, NameRule::Subdomain).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn new_objects() {
        assert!(
            fields(json!({"name": "a.b", "namespace": "n", "finalizers": ["x.y/z", "orphan"]})).is_empty()
        );
        assert_eq!(fields(json!({"namespace": "n"})), ["metadata.name"]);
        assert_eq!(
            fields(json!({"name": "A", "generateName": "a-"})),
            ["metadata.name", "metadata.namespace"]
        );
        assert_eq!(
            fields(
                json!({"name": "a", "namespace": "n", "labels": {"-": "x", "y": "-"}, "finalizers": ["x"]})
            ),
            ["metadata.labels", "metadata.labels", "metadata.finalizers"]
        );
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
        let both = json!({"name": "a", "namespace": "n", "ownerReferences": [owner("x"), owner("y")]});
        let errors = validate(&both, true, NameRule::Subdomain);
        assert!(errors[0].detail.ends_with("references for x and y"), "{errors:?}");
        let cluster = validate(&json!({"name": "system:x", "namespace": "n"}), false, NameRule::Path);
        assert_eq!(cluster[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
    }

    #[test]
    fn updates() {
        let old = json!({"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["x/a"]});
        let mut new = old.clone();
        new["uid"] = json!("2");
        new["finalizers"] = json!(["x/b"]);
        let errors = validate_update(&new, &old);
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
              finalizers []string{\"x/b\"}",
                "metadata.uid: Invalid value: \"2\": field is immutable"
            ]
        );
    }
}
