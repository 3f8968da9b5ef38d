//! Strategic merge patch: a merge patch that knows which lists are merged by a key.
//!
//! The rules are those of `k8s.io/apimachinery/pkg/util/strategicpatch` (and the design notes on `$retainKeys`,
//! `$deleteFromPrimitiveList` and `$setElementOrder`): `null` removes, objects merge, lists with patch strategy `merge`
//! merge item by item, other lists are replaced. Custom resources have no such patch.

use super::{REFUSED, kind_of};
use crate::error::{ApiError, Result};
use crate::schema::Schema;
use serde_json::{Map, Value};

type Fields = Map<String, Value>;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of a built-in kind; the object is untouched when it fails.
pub fn strategic_merge(schema: &Schema, object: &mut Value, patch: Value) -> Result<()> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("invalid JSON document"));
    };
    let fields = object.as_object().cloned().unwrap_or_default();
    *object = Value::Object(merge_objects(fields, patch, Some(schema))?);
    Ok(())
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(ApiError::bad_request(text))
}

/// Recursion is bounded by the depth of the parsed patch.
fn merge_objects(mut object: Fields, mut patch: Fields, schema: Option<&Schema>) -> Result<Fields> {
    match patch.shift_remove(PATCH) {
        None => {}
        Some(word) if word == "replace" => return Ok(clean_fields(patch)),
        Some(word) if word == "delete" => return Ok(Fields::new()),
        Some(word) if word == "merge" => {}
        Some(word) => {
            return Err(ApiError::internal(format!("unknown patch type: {word} in map: {patch:?}")));
        }
    }
    retain_keys(&mut object, &mut patch)?;
    let mut orders: Vec<(String, Vec<Value>)> = Vec::new();
    let mut removals: Vec<(String, Vec<Value>)> = Vec::new();
    for name in patch.keys().filter(|name| name.starts_with('$')).cloned().collect::<Vec<_>>() {
        let (list, wrong) = match (name.strip_prefix(ORDER), name.strip_prefix(DELETE_FROM)) {
            (Some(_), _) => (&mut orders, "invalid patch format of setElementOrder list"),
            (_, Some(_)) => (&mut removals, "invalid patch format of primitive list"),
            _ => continue,
        };
        match (patch.shift_remove(&name), name.split_once('/')) {
            (Some(Value::Array(items)), Some((_, field))) => list.push((field.to_owned(), items)),
            _ => return refuse(wrong),
        }
    }
    for (name, gone) in removals {
        if let Some(list) = object.get_mut(&name).and_then(Value::as_array_mut) {
            list.retain(|item| !gone.contains(item));
        }
    }
    for (name, order) in &orders {
        let before = object.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let key =
            schema.and_then(|schema| schema.field(name)).and_then(|field| field.patch.merge_key.clone());
        check_order(patch.get(name), order, key.as_deref())?;
        if let Some(value) = patch.shift_remove(name) {
            merge_field(&mut object, name.clone(), value, schema)?;
        }
        if let Some(Value::Array(items)) = object.get_mut(name) {
            *items = arrange(std::mem::take(items), order, &before, key.as_deref());
        }
    }
    for (name, value) in patch {
        merge_field(&mut object, name, value, schema)?;
    }
    Ok(object)
}

fn merge_field(object: &mut Fields, name: String, value: Value, schema: Option<&Schema>) -> Result<()> {
    let field = schema.and_then(|schema| schema.field(&name));
    if value.is_null() {
        object.shift_remove(&name);
        return Ok(());
    }
    let merged = match (object.get_mut(&name).map(Value::take), value) {
        (Some(Value::Object(old)), Value::Object(patch)) => {
            Some(Value::Object(merge_objects(old, patch, field)?))
        }
        (Some(Value::Array(old)), Value::Array(patch)) if field.is_some_and(|field| field.patch.merge) => {
            Some(Value::Array(merge_lists(old, patch, &name, field)?))
        }
        (_, value) => clean(value),
    };
    match merged {
        Some(value) => _ = object.insert(name, value),
        None => _ = object.shift_remove(&name),
    }
    Ok(())
}

/// `$retainKeys`: only the fields named stay, and only they may be in the patch.
fn retain_keys(object: &mut Fields, patch: &mut Fields) -> Result<()> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let wrong = "invalid patch format of retainKeys";
    let Value::Array(keys) = keys else { return refuse(wrong) };
    let listed = |name: &str| keys.iter().any(|key| key == name);
    let special = |name: &str| name.starts_with(ORDER) || name.starts_with(DELETE_FROM) || name == PATCH;
    if patch.iter().any(|(name, value)| !value.is_null() && !special(name) && !listed(name)) {
        return refuse(wrong);
    }
    object.retain(|name, _| listed(name));
    Ok(())
}

fn merge_lists(
    old: Vec<Value>,
    patch: Vec<Value>,
    name: &str,
    schema: Option<&Schema>,
) -> Result<Vec<Value>> {
    let items = schema.and_then(|schema| schema.items.as_deref());
    let key = schema.and_then(|schema| schema.patch.merge_key.as_deref());
    if patch.iter().chain(&old).any(Value::is_array) {
        return Err(ApiError::unprocessable_patch(REFUSED));
    }
    if !patch.iter().chain(&old).any(Value::is_object) {
        let mut merged = old.clone();
        for item in &patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(arrange(merged, &patch, &old, None));
    }
    let Some(key) = key else {
        return Err(ApiError::internal(format!("cannot merge lists without merge key for {name}")));
    };
    let mut merged = old.clone();
    let mut order = Vec::new();
    let mut replace = false;
    let mut plain = Vec::new();
    for item in patch {
        let Value::Object(mut item) = item else {
            let found = kind_of(&item);
            return Err(ApiError::internal(format!("expected a map, but received a {found}")));
        };
        let word = item.get(PATCH).cloned();
        let same = item.get(key).cloned();
        match (word, same) {
            (Some(word), _) if word == "replace" => replace = true,
            (Some(word), Some(value)) if word == "delete" => {
                merged.retain(|old| old.get(key) != Some(&value))
            }
            (Some(word), _) if word != "delete" => {
                item.shift_remove(PATCH);
                return Err(ApiError::internal(format!("unknown patch type: {word} in map: {item:?}")));
            }
            (_, None) => {
                let item = Value::Object(item);
                return Err(ApiError::internal(format!(
                    "map: {item} does not contain declared merge key: {key}"
                )));
            }
            (_, Some(value)) => plain.push((value, item)),
        }
    }
    if replace {
        merged.clear();
    }
    for (value, item) in plain {
        order.push(Value::Object(Map::from_iter([(key.to_owned(), value.clone())])));
        match merged.iter_mut().find(|old| old.get(key) == Some(&value)) {
            Some(Value::Object(old)) => *old = merge_objects(std::mem::take(old), item, items)?,
            Some(_) => {}
            None => merged.extend(clean(Value::Object(item))),
        }
    }
    Ok(arrange(merged, &order, &old, Some(key)))
}

/// Whether two items are the same item of a list.
fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

/// Items that `order` names come in that order; the others keep the order of the old list and are put before the
/// first named item that came after them there.
fn arrange(items: Vec<Value>, order: &[Value], old: &[Value], key: Option<&str>) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item, key));
    let (mut named, mut others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(old, item).unwrap_or(usize::MAX));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let at = place(old, &item);
        while let (Some(other), Some(at)) = (others.peek(), at) {
            match place(old, other) {
                Some(before) if before < at => arranged.extend(others.next()),
                _ => break,
            }
        }
        arranged.push(item);
    }
    arranged.extend(others);
    arranged
}

/// The items of the patch must stand in the order that is asked for.
fn check_order(patch: Option<&Value>, order: &[Value], key: Option<&str>) -> Result<()> {
    let items =
        patch.and_then(Value::as_array).into_iter().flatten().filter(|item| item.get(PATCH).is_none());
    let mut from = 0;
    for item in items {
        match order.iter().skip(from).position(|other| same(other, item, key)) {
            Some(at) => from += at + 1,
            None => {
                let order = Value::Array(order.to_vec());
                let patch = patch.unwrap_or(&Value::Null);
                return Err(ApiError::internal(format!(
                    "The order in patch list:\n{patch}\n doesn't match {ORDER} list:\n{order}\n"
                )));
            }
        }
    }
    Ok(())
}

/// What is new keeps no nulls and no directives. An object that is itself a directive vanishes.
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => match fields[PATCH].as_str() {
            Some("replace" | "merge") => Some(Value::Object(clean_fields(fields))),
            _ => None,
        },
        Value::Object(fields) => Some(Value::Object(clean_fields(fields))),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(clean).collect())),
        other => Some(other),
    }
}

fn clean_fields(fields: Fields) -> Fields {
    let special = |name: &str| {
        name == PATCH || name == RETAIN_KEYS || name.starts_with(ORDER) || name.starts_with(DELETE_FROM)
    };
    let kept = fields.into_iter().filter(|(name, value)| !value.is_null() && !special(name));
    kept.filter_map(|(name, value)| Some((name, clean(value)?))).collect()
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
