//! Who owns which field: `metadata.managedFields`.
//!
//! The steps are those of `k8s.io/apimachinery/pkg/util/managedfields` over structured-merge-diff's `merge.Updater`: a
//! write takes the fields it changes from their owners; fields that vanish are dropped from all.

use crate::error::{ApiError, Result};
use crate::fields::{FieldSet, path_text};
use crate::schema::Schema;
use crate::store::At as _;
use crate::typed::{self, Comparison};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Older updates are put together when there are more managers (`DefaultMaxUpdateManagers`).
const UPDATERS_MAX: usize = 10;

/// Who writes, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `batch/v1`: the version that the request speaks.
    pub api_version: &'a str,
    /// E.g. `status`; empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, in seconds.
    pub now: &'a str,
    /// Paths that this resource does not write, e.g. `&[&["status"]]` for an object with a status subresource
    /// (`GetResetFields` of its strategy).
    pub reset: &'a [&'a [&'a str]],
}

/// Paths that are never owned (`stripmeta.go`).
const NEVER_OWNED: [&[&str]; 12] = [
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// What tells entries apart. The order is that of the list, up to times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) manager: String,
    /// Empty for appliers, who are one whatever version they speak.
    version: String,
    subresource: String,
    pub(crate) applies: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) version: String,
    pub(crate) time: String,
    pub(crate) set: FieldSet,
}

/// All entries of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Managed {
    pub(crate) entries: BTreeMap<Identity, Entry>,
}

impl Writer<'_> {
    pub(crate) fn identity(&self, applies: bool) -> Identity {
        Identity {
            manager: self.manager.to_owned(),
            version: if applies { String::new() } else { self.api_version.to_owned() },
            subresource: self.subresource.to_owned(),
            applies,
        }
    }

    /// The set without what this resource does not write.
    pub(crate) fn writable(&self, set: FieldSet) -> FieldSet {
        if set.is_empty() {
            return set;
        }
        self.reset.iter().fold(set, |set, path| set.without(path))
    }

    fn comparison(&self, schema: &Schema, old: &Value, new: &Value) -> Comparison {
        let found = typed::compare(schema, old, new);
        Comparison {
            removed: self.writable(found.removed),
            modified: self.writable(found.modified),
            added: self.writable(found.added),
        }
    }
}

/// The set without what is never owned.
pub(crate) fn strip(set: FieldSet) -> FieldSet {
    NEVER_OWNED.iter().fold(set, |set, path| set.without_exact(path))
}

impl Managed {
    /// Reads the entries of an object. What cannot be read is forgotten, as on a real server.
    pub(crate) fn of(object: &Value) -> Self {
        let list = object.at("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let one = |entry: &Value| {
            let applies = entry["operation"] == "Apply";
            let identity = Identity {
                manager: text(entry, "manager"),
                version: if applies { String::new() } else { text(entry, "apiVersion") },
                subresource: text(entry, "subresource"),
                applies,
            };
            let set = FieldSet::from_json(&entry["fieldsV1"])?;
            Some((identity, Entry { version: text(entry, "apiVersion"), time: text(entry, "time"), set }))
        };
        Self { entries: list.filter_map(one).collect() }
    }

    /// The list as it is stored: appliers first, then by time, manager, version and subresource.
    pub(crate) fn to_json(&self) -> Value {
        let mut entries: Vec<_> = self.entries.iter().filter(|(_, entry)| !entry.set.is_empty()).collect();
        entries.sort_by(|(a, x), (b, y)| {
            (!a.applies, &x.time, &a.manager, &x.version, &a.subresource).cmp(&(
                !b.applies,
                &y.time,
                &b.manager,
                &y.version,
                &b.subresource,
            ))
        });
        let one = |(identity, entry): (&Identity, &Entry)| {
            let mut out = Map::new();
            out.insert("manager".into(), json!(identity.manager));
            out.insert("operation".into(), json!(if identity.applies { "Apply" } else { "Update" }));
            out.insert("apiVersion".into(), json!(entry.version));
            if !entry.time.is_empty() {
                out.insert("time".into(), json!(entry.time));
            }
            out.insert("fieldsType".into(), json!("FieldsV1"));
            out.insert("fieldsV1".into(), entry.set.to_json());
            if !identity.subresource.is_empty() {
                out.insert("subresource".into(), json!(identity.subresource));
            }
            Value::Object(out)
        };
        entries.into_iter().map(one).collect()
    }

    /// Writes the list into an object.
    pub(crate) fn put(&self, object: &mut Value) {
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            match self.entries.values().all(|entry| entry.set.is_empty()) {
                true => _ = meta.shift_remove("managedFields"),
                false => {
                    // Last, wherever it was.
                    meta.shift_remove("managedFields");
                    meta.insert("managedFields".into(), self.to_json());
                }
            }
        }
    }

    /// Takes what changed from all managers but `own`; without `force` that is refused if somebody loses a field that
    /// was set anew, unless it is among those that are `free`.
    pub(crate) fn give_way(
        &mut self,
        own: &Identity,
        found: &Comparison,
        force: bool,
        free: &FieldSet,
    ) -> Result<()> {
        let written = found.written();
        if written.is_empty() && found.removed.is_empty() {
            return Ok(());
        }
        if !force {
            let conflicts = self.entries.iter().filter(|(identity, _)| *identity != own);
            let conflicts: Vec<_> = conflicts
                .map(|(identity, entry)| {
                    (identity, entry, entry.set.intersection(&written).difference(free).paths())
                })
                .filter(|(.., paths)| !paths.is_empty())
                .collect();
            if !conflicts.is_empty() {
                return Err(conflict(&conflicts));
            }
        }
        for (identity, entry) in &mut self.entries {
            if identity != own {
                entry.set.subtract(&written);
                entry.set.subtract(&found.removed);
            }
        }
        self.entries.retain(|_, entry| !entry.set.is_empty());
        Ok(())
    }

    /// An update by a writer: it owns what it changed.
    pub(crate) fn update(&mut self, schema: &Schema, old: &Value, new: &Value, writer: &Writer<'_>) {
        let found = writer.comparison(schema, old, new);
        // The writer's own entry gives way too: what it has now is what it had and what it changed.
        let nobody = Identity {
            manager: String::new(),
            version: String::new(),
            subresource: String::new(),
            applies: false,
        };
        let _ = self.give_way(&nobody, &found, true, &FieldSet::default());
        let written = strip(found.written());
        if !written.is_empty() {
            let entry = self.entries.entry(writer.identity(false)).or_default();
            entry.version = writer.api_version.to_owned();
            entry.time = writer.now.to_owned();
            entry.set.add(&written);
        }
        self.bound();
    }

    /// Puts the oldest updates together when there are too many (`capmanagers.go`).
    fn bound(&mut self) {
        let updaters = |entries: &BTreeMap<Identity, Entry>| {
            let mut list: Vec<_> = entries.iter().filter(|(identity, _)| !identity.applies).collect();
            list.sort_by(|(a, x), (b, y)| (&x.time, a).cmp(&(&y.time, b)));
            list.into_iter().map(|(identity, _)| identity.clone()).collect::<Vec<_>>()
        };
        let mut list = updaters(&self.entries);
        while list.len() > UPDATERS_MAX {
            let Some(second) = list.iter().skip(1).position(|other| other.version == list[0].version) else {
                return;
            };
            let (first, second) = (list[0].clone(), list[second + 1].clone());
            let (Some(a), Some(b)) = (self.entries.remove(&first), self.entries.remove(&second)) else {
                return;
            };
            let bucket = Identity { manager: "ancient-changes".into(), subresource: String::new(), ..second };
            let entry = self.entries.entry(bucket).or_default();
            let set = entry.set.union(&a.set).union(&b.set);
            *entry = Entry { set, ..b };
            list = updaters(&self.entries);
        }
    }
}

fn conflict(conflicts: &[(&Identity, &Entry, Vec<Vec<String>>)]) -> ApiError {
    let name = |identity: &Identity, entry: &Entry| {
        let mut text = format!("{:?}", identity.manager);
        if !identity.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", identity.subresource);
        }
        if !identity.applies {
            text = format!("{text} using {}", entry.version);
        }
        text
    };
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for (identity, entry, paths) in conflicts {
        let name = name(identity, entry);
        lines.push(format!("conflicts with {name}:"));
        for path in paths {
            let field = path_text(path);
            lines.push(format!("- {field}"));
            let message = format!("conflict with {name}");
            causes.push(crate::error::Cause { reason: "FieldManagerConflict".to_owned(), message, field });
        }
    }
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n")),
    };
    ApiError::apply_conflict(causes, message)
}

/// What a new object of the kind holds before anything is set: the structs that are always written. They have no
/// owner, so `f:spec` of a Job is not a field of its creator while `f:spec` of a custom resource is.
pub(crate) fn blank(schema: &Schema) -> Value {
    let mut blank = json!({});
    if schema.name.is_none() {
        return blank;
    }
    for part in
        ["metadata", "spec", "status"].into_iter().filter(|part| schema.properties.contains_key(*part))
    {
        blank[part] = json!({});
    }
    let pod = || json!({"containers": null});
    let template = || json!({"metadata": {}, "spec": pod()});
    let spec = schema.properties.get("spec");
    let has = |name: &str| spec.is_some_and(|spec| spec.properties.contains_key(name));
    if has("containers") {
        blank["spec"] = pod();
    }
    if has("template") {
        blank["spec"]["template"] = template();
    }
    if has("jobTemplate") {
        blank["spec"]["jobTemplate"] = json!({"metadata": {}, "spec": {"template": template()}});
    }
    for strategy in ["strategy", "updateStrategy"].into_iter().filter(|name| has(name)) {
        blank["spec"][strategy] = json!({});
    }
    if schema.properties.contains_key("roleRef") {
        blank["roleRef"] = json!({});
    }
    blank
}

/// Brings `managedFields` of `new` up to date for a create (`old` is `None`), update or patch. Clients may send the
/// list along or not; sending `[]` forgets it (`FieldManager.Update`).
pub fn update(schema: &Schema, old: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let sent = new.at("/metadata/managedFields").and_then(Value::as_array);
    let is_reset = sent.is_some_and(|list| list.is_empty() || *list == [json!({})]);
    let of_old = || old.map(Managed::of).unwrap_or_default();
    let mut managed = match (writer.subresource.is_empty(), is_reset) {
        (true, true) => Managed::default(),
        (true, false) => {
            Some(Managed::of(new)).filter(|sent| !sent.entries.is_empty()).unwrap_or_else(of_old)
        }
        (false, _) => of_old(),
    };
    // An object that nobody tracks is not tracked until somebody applies (`skipnonapplied.go`).
    match old {
        None => managed.update(schema, &blank(schema), new, writer),
        Some(_) if managed.entries.is_empty() => {}
        Some(old) => managed.update(schema, old, new, writer),
    }
    managed.put(new);
}
