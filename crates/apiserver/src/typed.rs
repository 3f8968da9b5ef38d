//! Objects seen through their schema, for ownership and server-side apply (structured-merge-diff `typed`): the set of
//! fields of an object, the difference of two objects, merging one into the other, and taking fields away.
//!
//! Lists and maps that are one value (atomic) are leaves. What the schema does not describe is granular for objects and
//! atomic for lists.

use crate::fields::{FieldSet, Node, field, key_element, value_element};
use crate::schema::{ListType, Schema, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a value is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Leaf,
    Map,
    List,
}

fn shape(schema: Option<&Schema>, value: &Value) -> Shape {
    match (value, schema) {
        (Value::Object(_), None) => Shape::Map,
        (Value::Object(_), Some(schema)) if !schema.atomic => Shape::Map,
        (Value::Array(_), Some(schema)) if schema.list != ListType::Atomic => Shape::List,
        _ => Shape::Leaf,
    }
}

/// The shape of a value that is there or not; null takes the shape that the schema asks for.
fn common_shape(schema: Option<&Schema>, old: Option<&Value>, new: Option<&Value>) -> Shape {
    let solid =
        |value: Option<&Value>| value.filter(|value| !value.is_null()).map(|value| shape(schema, value));
    match (solid(old), solid(new)) {
        (Some(a), Some(b)) if a != b => Shape::Leaf,
        (Some(a), _) => a,
        (None, Some(b)) => b,
        (None, None) => Shape::Leaf,
    }
}

/// The element of a list item; `None` when it lacks all of its keys.
fn element(schema: &Schema, item: &Value) -> Option<String> {
    match &schema.list {
        ListType::Atomic => None,
        ListType::Set => Some(value_element(item)),
        ListType::Map(keys) => {
            let default = |key: &str| schema.items.as_ref()?.properties.get(key)?.default.as_ref();
            let found = keys.iter().filter_map(|key| {
                let value = item.get(key).filter(|value| !value.is_null()).or_else(|| default(key))?;
                Some((key.as_str(), value))
            });
            let found: BTreeMap<_, _> = found.collect();
            (!found.is_empty()).then(|| key_element(found))
        }
    }
}

fn elements<'a>(schema: Option<&Schema>, value: Option<&'a Value>) -> Vec<(String, &'a Value)> {
    let (Some(schema), Some(items)) = (schema, value.and_then(Value::as_array)) else { return Vec::new() };
    items.iter().filter_map(|item| Some((element(schema, item)?, item))).collect()
}

fn find(list: &[(String, &Value)], element: &str) -> Option<usize> {
    list.iter().position(|(other, _)| other == element)
}

fn items(schema: Option<&Schema>) -> Option<&Schema> {
    schema.and_then(|schema| schema.items.as_deref())
}

fn member<'a>(schema: Option<&'a Schema>, name: &str) -> Option<&'a Schema> {
    // A field of any kind and without description is as good as none.
    schema
        .and_then(|schema| schema.field(name))
        .filter(|field| field.kind != Type::Any || !field.is_free_form())
}

/// The fields that an object sets, as an applied configuration owns them (`ToFieldSet`).
pub(crate) fn to_set(schema: &Schema, value: &Value) -> FieldSet {
    collect(Some(schema), value).below
}

fn collect(schema: Option<&Schema>, value: &Value) -> Node {
    let mut below = FieldSet::default();
    match (shape(schema, value), value) {
        (Shape::Map, Value::Object(fields)) => {
            for (name, value) in fields {
                let mut node = collect(member(schema, name), value);
                let declared = schema.is_some_and(|schema| schema.properties.contains_key(name.as_str()));
                node.member |= !declared || value.is_null() || value.as_object().is_some_and(Map::is_empty);
                below.put(field(name), node);
            }
        }
        (Shape::List, _) => {
            for (element, item) in elements(schema, Some(value)) {
                below.put(element, Node { member: true, ..collect(items(schema), item) });
            }
        }
        _ => return Node { member: true, below },
    }
    Node { member: false, below }
}

/// What differs between two objects.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) removed: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) added: FieldSet,
}

impl Comparison {
    /// What the new object says anew.
    pub(crate) fn written(&self) -> FieldSet {
        self.modified.union(&self.added)
    }
}

/// Compares two objects (`TypedValue.Compare`), but for the account of who owns what.
pub(crate) fn compare(schema: &Schema, old: &Value, new: &Value) -> Comparison {
    let found = differ(Some(schema), Some(old), Some(new), &["metadata", "managedFields"]);
    Comparison { removed: found.removed.below, modified: found.modified.below, added: found.added.below }
}

/// What differs at a place and below it.
#[derive(Default)]
struct Difference {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Difference {
    /// Takes over what differs at an element.
    fn put(&mut self, element: &str, found: Self) {
        self.removed.below.put(element, found.removed);
        self.modified.below.put(element, found.modified);
        self.added.below.put(element, found.added);
    }

    /// Takes over what differs at a field.
    fn put_field(&mut self, name: &str, found: Self) {
        if !found.is_empty() {
            self.put(&field(name), found);
        }
    }

    fn is_empty(&self) -> bool {
        [&self.removed, &self.modified, &self.added].iter().all(|node| !node.member && node.below.is_empty())
    }
}

/// `skip` is a path of fields from here that is not looked at.
fn differ(schema: Option<&Schema>, old: Option<&Value>, new: Option<&Value>, skip: &[&str]) -> Difference {
    let is_empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    let mut found = Difference::default();
    // Two empty values are leaves, so that empty and absent stay apart.
    let shape = match common_shape(schema, old, new) {
        _ if is_empty(old) && is_empty(new) => Shape::Leaf,
        shape => shape,
    };
    // Objects are walked through anyway.
    if shape != Shape::Map && old == new {
        return found;
    }
    match shape {
        Shape::Map => {
            let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let skip_below = |name: &str| match skip {
                [first, rest @ ..] if *first == name => rest,
                _ => &[],
            };
            let is_skipped = |name: &str| *skip == [name];
            for (name, before) in old.into_iter().flatten().filter(|(name, _)| !is_skipped(name)) {
                let after = new.and_then(|new| new.get(name));
                found.put_field(name, differ(member(schema, name), Some(before), after, skip_below(name)));
            }
            for (name, after) in new.into_iter().flatten().filter(|(name, _)| !is_skipped(name)) {
                if old.is_none_or(|old| !old.contains_key(name)) {
                    found.put_field(name, differ(member(schema, name), None, Some(after), skip_below(name)));
                }
            }
        }
        Shape::List => {
            let (old, new) = (elements(schema, old), elements(schema, new));
            for (at, (element, before)) in old.iter().enumerate() {
                if find(&old, element) == Some(at) {
                    let after = find(&new, element).map(|at| new[at].1);
                    found.put(element, differ(items(schema), Some(before), after, &[]));
                }
            }
            for (at, (element, after)) in new.iter().enumerate() {
                if find(&old, element).is_none() && find(&new, element) == Some(at) {
                    found.put(element, differ(items(schema), None, Some(after), &[]));
                }
            }
        }
        Shape::Leaf => {}
    }
    match (old, new) {
        (None, _) => found.added.member = true,
        (_, None) => found.removed.member = true,
        _ => found.modified.member |= shape == Shape::Leaf,
    }
    found
}

/// Merges an applied configuration into an object (`TypedValue.Merge`): what it says wins, the rest stays.
pub(crate) fn merge(schema: Option<&Schema>, old: Option<&Value>, new: &Value) -> Value {
    let Some(old) = old.filter(|old| shape(schema, old) == shape(schema, new)) else { return new.clone() };
    match (shape(schema, new), old, new) {
        (Shape::Map, Value::Object(before), Value::Object(after)) => {
            let kept = before.iter().map(|(name, old)| match after.get(name) {
                Some(new) => (name, merge(member(schema, name), Some(old), new)),
                None => (name, old.clone()),
            });
            let anew = after.iter().filter(|(name, _)| !before.contains_key(*name));
            let anew = anew.map(|(name, new)| (name, new.clone()));
            Value::Object(kept.chain(anew).map(|(name, value)| (name.clone(), value)).collect())
        }
        (Shape::List, ..) => Value::Array(merge_items(schema, old, new)),
        _ => new.clone(),
    }
}

/// Applied items keep their order; others stay where they were among the items that both lists have.
fn merge_items(schema: Option<&Schema>, old: &Value, new: &Value) -> Vec<Value> {
    let (old, new) = (elements(schema, Some(old)), elements(schema, Some(new)));
    let mut shared = new
        .iter()
        .filter(|(element, _)| find(&old, element).is_some())
        .map(|(element, _)| element)
        .peekable();
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let mut done = vec![false; new.len()];
    let (mut l, mut r) = (0, 0);
    while l < old.len() || r < new.len() {
        if let Some((element, value)) = old.get(l) {
            match find(&new, element) {
                None => {
                    merged.push((*value).clone());
                    l += 1;
                    continue;
                }
                // An item of both that was taken already, or whose turn has not come.
                Some(at) if done[at] || (r < new.len() && shared.peek() != Some(&element)) => {
                    l += 1;
                    continue;
                }
                Some(_) => {}
            }
        }
        let Some((element, value)) = new.get(r) else { break };
        let before = find(&old, element).map(|at| old[at].1);
        merged.push(merge(items(schema), before, value));
        if shared.peek() == Some(&element) {
            shared.next();
        }
        done[r] = true;
        r += 1;
    }
    merged
}

/// The object without the fields of the set (`RemoveItems`); a list or map that loses everything goes too.
pub(crate) fn remove(schema: Option<&Schema>, value: &Value, gone: &FieldSet) -> Option<Value> {
    match (shape(schema, value), value) {
        (Shape::Map, Value::Object(fields)) => {
            let keep = |(name, below): (&String, &Value)| {
                let element = field(name);
                if gone.has(&element) {
                    return None;
                }
                let below = match gone.below(&element).filter(|set| !set.is_empty()) {
                    Some(set) => remove(member(schema, name), below, set)?,
                    None => below.clone(),
                };
                Some((name.clone(), below))
            };
            let kept: Map<String, Value> = fields.iter().filter_map(keep).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::List, Value::Array(list)) => {
            let Some(own) = schema else { return Some(value.clone()) };
            let keep = |item: &Value| {
                let Some(element) = element(own, item) else { return Some(item.clone()) };
                if gone.has(&element) {
                    return None;
                }
                match gone.below(&element).filter(|set| !set.is_empty()) {
                    Some(set) => remove(items(schema), item, set),
                    None => Some(item.clone()),
                }
            };
            let kept: Vec<_> = list.iter().filter_map(keep).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        // An atomic value inside of which something is to be removed is removed as a whole.
        (Shape::Leaf, Value::Object(_) | Value::Array(_)) => None,
        _ => Some(value.clone()),
    }
}

/// The set with the declared fields on the way to its members (`EnsureNamedFieldsAreMembers`).
pub(crate) fn with_named_fields(schema: Option<&Schema>, set: &FieldSet) -> FieldSet {
    let mut full = FieldSet::default();
    for (element, own, below) in set.elements() {
        let name = element.strip_prefix("f:");
        let declared =
            name.is_some_and(|name| schema.is_some_and(|schema| schema.properties.contains_key(name)));
        let next = match name {
            Some(name) => member(schema, name),
            None => items(schema),
        };
        let member = own || (declared && !below.is_empty());
        full.put(element, Node { member, below: with_named_fields(next, below) });
    }
    full
}

/// Where a walk is; its elements are written out only when there is something to say of it.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, &'a str),
}

impl Place<'_> {
    fn elements(&self) -> Vec<String> {
        let (above, last) = match self {
            Self::Root => return Vec::new(),
            Self::Field(above, name) => (above, field(name)),
            Self::Item(above, element) => (above, (*element).to_owned()),
        };
        let mut elements = above.elements();
        elements.push(last);
        elements
    }

    /// For people.
    fn text(&self) -> String {
        crate::fields::path_text(&self.elements())
    }
}

/// What is wrong with an applied configuration: fields that are not declared, items twice in a list.
pub(crate) fn mistake(schema: &Schema, value: &Value) -> Option<String> {
    fn walk(schema: &Schema, value: &Value, place: &Place<'_>) -> Option<String> {
        match (shape(Some(schema), value), value) {
            (Shape::Map, Value::Object(fields)) => fields.iter().find_map(|(name, below)| {
                let place = Place::Field(place, name);
                match schema.field(name) {
                    Some(schema) => walk(schema, below, &place),
                    None if schema.preserve || schema.is_free_form() => None,
                    None => Some(format!("{}: field not declared in schema", place.text())),
                }
            }),
            (Shape::List, Value::Array(list)) => {
                let mut seen = Vec::new();
                list.iter().find_map(|item| {
                    let Some(element) = element(schema, item) else {
                        let keys = "associative list with keys has an element that omits all key fields";
                        return Some(format!("{}: {keys}", place.text()));
                    };
                    if seen.contains(&element) {
                        let text = crate::fields::path_text(&[element]);
                        return Some(format!("{}: duplicate entries for key {text}", place.text()));
                    }
                    let place = Place::Item(place, &element);
                    let found = schema.items.as_ref().and_then(|items| walk(items, item, &place));
                    seen.push(element);
                    found
                })
            }
            _ => None,
        }
    }
    walk(schema, value, &Place::Root)
}
