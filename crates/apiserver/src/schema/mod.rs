//! What the fields of a kind are: one tree for built-in kinds and for custom resources.
//!
//! A [`Schema`] is built once ([`Schema::from_crd`], or [`builtin`] for the kinds of Kubernetes) and then only read:
//!
//! * [`Schema::prune`] drops fields that a custom resource does not have, [`Schema::unknown_fields`] names them;
//! * [`Schema::apply_defaults`] fills the defaults of a custom resource in (built-in kinds: [`crate::defaults`]);
//! * [`Schema::decode_error`] says why an object of a built-in kind cannot be read at all;
//! * [`Schema::validate`] checks values and runs the rules (`x-kubernetes-validations`);
//! * list and map types steer server-side apply, merge keys steer strategic merge patches.
//!
//! Each node knows whether anything below it has a default or a rule, so that a walk stops early.

pub mod builtin;
mod decode;
mod normal;
mod parse;
mod rules;
mod structural;
mod validate;
mod walk;

use regex::Regex;
use rules::Rule;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use structural::validate_structure;

/// What JSON values a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of OpenAPI")]
pub enum Type {
    /// No `type` given: any value.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// How the items of a list belong together (`x-kubernetes-list-type`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// Items are scalars, each at most once.
    Set,
    /// Items are objects, told apart by these keys.
    Map(Vec<String>),
}

/// How a strategic merge patch treats the field (`x-kubernetes-patch-strategy`, `x-kubernetes-patch-merge-key`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// Lists are merged item by item, not replaced.
    pub merge: bool,
    /// Keys that are not listed in `$retainKeys` go.
    pub retain_keys: bool,
    /// The field that tells items of a merged list of objects apart.
    pub merge_key: Option<String>,
}

/// Bounds on a value; absent means no bound.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are those of JSON schema")]
pub struct Limits {
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
}

/// One node of the tree.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The name of the definition, for built-in types: documents refer to it instead of repeating it.
    pub name: Option<Arc<str>>,
    /// For people (`kubectl explain`).
    pub description: Arc<str>,
    /// What values the node takes.
    pub kind: Type,
    /// E.g. `int32` or `date-time`.
    pub format: String,
    /// Whether `null` is a value.
    pub nullable: bool,
    /// The fields of an object.
    pub properties: BTreeMap<Arc<str>, Arc<Schema>>,
    /// The values of an object with free keys.
    pub additional: Option<Arc<Schema>>,
    /// The items of a list.
    pub items: Option<Arc<Schema>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The values allowed, if there is a list of them.
    pub enumeration: Vec<Value>,
    /// The value of an absent field.
    pub default: Option<Value>,
    /// Bounds.
    pub limits: Limits,
    /// What a text must match.
    pub pattern: Option<Regex>,
    /// Unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve: bool,
    /// The object is a whole resource (`x-kubernetes-embedded-resource`).
    pub embedded: bool,
    /// How list items belong together.
    pub list: ListType,
    /// The object is one value (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// How strategic merge patches treat the field.
    pub patch: PatchStrategy,
    /// All of these must hold too; values only, no new fields.
    pub all_of: Vec<Schema>,
    /// One of these must hold.
    pub any_of: Vec<Schema>,
    /// Exactly one of these must hold.
    pub one_of: Vec<Schema>,
    /// This must not hold.
    pub not: Option<Box<Schema>>,
    /// `apiVersion`, kind and group of a resource at the root: `x-kubernetes-group-version-kind`.
    pub kinds: Vec<GroupVersionKind>,
    rules: Vec<Rule>,
    has_defaults: bool,
    has_rules: bool,
}

/// A kind in a version of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct GroupVersionKind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl GroupVersionKind {
    fn parts(&self) -> (&str, &str, &str) {
        (&self.group, &self.version, &self.kind)
    }
}

impl Schema {
    /// The schema of a field of an object, if the object has such a field.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.additional.as_ref()).map(Arc::as_ref)
    }

    /// The schema along a path of field names; list items are stepped into without a name.
    pub fn at(&self, path: &[&str]) -> Option<&Schema> {
        let mut node = self;
        for name in path {
            while let (true, Some(items)) = (node.properties.is_empty(), &node.items) {
                node = items;
            }
            node = node.field(name)?;
        }
        Some(node)
    }

    /// Whether objects are of free form: nothing is known of their fields.
    pub fn is_free_form(&self) -> bool {
        self.properties.is_empty() && self.additional.is_none() && self.items.is_none()
    }
}

/// A path below a path: `spec` and `size` is `spec.size`.
fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Where a walk is in an object. It is written out only when there is something to say of it.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Root,
    /// `.size`
    Field(&'a Place<'a>, &'a str),
    /// `[size]`
    Key(&'a Place<'a>, &'a str),
    /// `[0]`
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Key(above, name) => write!(f, "{above}[{name}]"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests;
