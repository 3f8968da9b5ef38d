//! Sets of fields, as `metadata.managedFields` stores them (`FieldsV1`, structured-merge-diff `fieldpath.Set`).
//!
//! A set is a tree of path elements: `f:` a field, `k:` a list item by its keys, `v:` a list item by its value, `i:` by
//! its place. An element is kept as the text that the JSON form has, so reading and writing cost nothing more.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Deepest path that is read.
const DEPTH_MAX: usize = 100;

/// A set of fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    nodes: BTreeMap<String, Node>,
}

/// A path's end, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    /// Whether the path that ends here is in the set.
    pub(crate) member: bool,
    pub(crate) below: FieldSet,
}

/// The element of a field.
pub fn field(name: &str) -> String {
    format!("f:{name}")
}

impl FieldSet {
    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.values().all(|node| !node.member && node.below.is_empty())
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = match self.nodes.get_mut(first) {
            Some(node) => node,
            None => self.nodes.entry(first.clone()).or_default(),
        };
        match rest.is_empty() {
            true => node.member = true,
            false => node.below.insert(rest),
        }
    }

    /// Whether the path of one element is in the set.
    pub fn has(&self, element: &str) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What is below an element.
    pub fn below(&self, element: &str) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.below)
    }

    /// What is in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.add(other);
        all
    }

    /// Adds what is in the other set.
    pub fn add(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            match self.nodes.get_mut(element) {
                Some(own) => {
                    own.member |= node.member;
                    own.below.add(&node.below);
                }
                None => _ = self.nodes.insert(element.clone(), node.clone()),
            }
        }
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut nodes = BTreeMap::new();
        for (element, node) in &self.nodes {
            let Some(other) = other.nodes.get(element) else { continue };
            let below = node.below.intersection(&other.below);
            let member = node.member && other.member;
            if member || !below.nodes.is_empty() {
                nodes.insert(element.clone(), Node { member, below });
            }
        }
        Self { nodes }
    }

    /// What is in this set and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// Takes away what is in the other set; only what both have is looked at.
    pub fn subtract(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            let Some(own) = self.nodes.get_mut(element) else { continue };
            own.member &= !node.member;
            own.below.subtract(&node.below);
            if !own.member && own.below.nodes.is_empty() {
                self.nodes.remove(element);
            }
        }
    }

    /// Whether all of this set is in the other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.nodes.iter().all(|(element, node)| match other.nodes.get(element) {
            Some(other) => (other.member || !node.member) && node.below.is_within(&other.below),
            None => !node.member && node.below.is_empty(),
        })
    }

    /// Without a path and everything below it.
    pub fn without(mut self, path: &[&str]) -> Self {
        self.cut(path);
        self
    }

    fn cut(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => _ = self.nodes.remove(&field(last)),
            [first, rest @ ..] => {
                let first = field(first);
                if let Some(node) = self.nodes.get_mut(&first) {
                    node.below.cut(rest);
                    if !node.member && node.below.nodes.is_empty() {
                        self.nodes.remove(&first);
                    }
                }
            }
        }
    }

    /// Without exactly this path of elements; what is below stays.
    pub fn without_exact(mut self, path: &[&str]) -> Self {
        fn cut(set: &mut FieldSet, path: &[&str]) {
            let Some((first, rest)) = path.split_first() else { return };
            if let Some(node) = set.nodes.get_mut(*first) {
                match rest.is_empty() {
                    true => node.member = false,
                    false => cut(&mut node.below, rest),
                }
                if !node.member && node.below.nodes.is_empty() {
                    set.nodes.remove(*first);
                }
            }
        }
        cut(&mut self, path);
        self
    }

    /// All paths in the set, parents before children.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
        for (element, node) in &self.nodes {
            path.push(element.clone());
            if node.member {
                paths.push(path.clone());
            }
            node.below.collect(path, paths);
            path.pop();
        }
    }

    /// Paths with nothing in the set below them.
    pub fn leaves(&self) -> Self {
        let one = |(element, node): (&String, &Node)| {
            let below = node.below.leaves();
            let member = node.member && below.nodes.is_empty();
            (element.clone(), Node { member, below })
        };
        let kept = |(_, node): &(String, Node)| node.member || !node.below.nodes.is_empty();
        Self { nodes: self.nodes.iter().map(one).filter(kept).collect() }
    }

    /// Elements directly in the set's root, with what is below each.
    pub(crate) fn elements(&self) -> impl Iterator<Item = (&str, bool, &FieldSet)> {
        self.nodes.iter().map(|(element, node)| (element.as_str(), node.member, &node.below))
    }

    /// Adds what is at an element and below it, if that is anything.
    pub(crate) fn put(&mut self, element: impl Into<String>, node: Node) {
        if !node.member && node.below.nodes.is_empty() {
            return;
        }
        match self.nodes.entry(element.into()) {
            Entry::Vacant(place) => _ = place.insert(node),
            Entry::Occupied(mut own) => {
                own.get_mut().member |= node.member;
                own.get_mut().below.add(&node.below);
            }
        }
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let one = |(element, node): (&String, &Node)| {
            let mut below = match node.below.to_json() {
                Value::Object(below) => below,
                _ => Map::new(),
            };
            if node.member && !below.is_empty() {
                below.shift_insert(0, ".".to_owned(), json!({}));
            }
            (element.clone(), Value::Object(below))
        };
        Value::Object(self.nodes.iter().map(one).collect())
    }

    /// Reads the JSON form; `None` if it is not one.
    pub fn from_json(value: &Value) -> Option<Self> {
        Self::parse(value, 0)
    }

    fn parse(value: &Value, depth: usize) -> Option<Self> {
        let fields = value.as_object().filter(|_| depth < DEPTH_MAX)?;
        let mut set = Self::default();
        for (element, below) in fields.iter().filter(|(element, _)| *element != ".") {
            let known = ["f:", "k:", "v:", "i:"].iter().any(|kind| element.starts_with(kind));
            let member = below.as_object().filter(|_| known)?;
            let member = member.is_empty() || member.contains_key(".");
            set.nodes.insert(normal(element), Node { member, below: Self::parse(below, depth + 1)? });
        }
        Some(set)
    }
}

/// Keys of list items are written in order of their names, without blanks.
fn normal(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("k:", text)) => match serde_json::from_str::<BTreeMap<String, Value>>(text) {
            Ok(keys) => key_element(keys.iter().map(|(key, value)| (key.as_str(), value))),
            Err(_) => element.to_owned(),
        },
        Some(("v:", text)) => match serde_json::from_str::<Value>(text) {
            Ok(value) => value_element(&value),
            Err(_) => element.to_owned(),
        },
        _ => element.to_owned(),
    }
}

/// The element of a list item by its keys, which come in order of their names.
pub(crate) fn key_element<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let mut text = b"k:{".to_vec();
    for (position, (key, value)) in keys.into_iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        write_json(&mut text, key);
        text.push(b':');
        write_json(&mut text, value);
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}

/// The element of a list item by its value.
pub(crate) fn value_element(value: &Value) -> String {
    let mut text = b"v:".to_vec();
    write_json(&mut text, value);
    String::from_utf8(text).unwrap_or_default()
}

fn write_json(text: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Texts and values always have a JSON form, and a list takes whatever is written.
    let _ = serde_json::to_writer(text, value);
}

/// A path for people: `.spec.containers[name="a"].image`.
pub fn path_text(path: &[String]) -> String {
    let one = |element: &String| match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", text)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
            let parts: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", parts.join(","))
        }
        Some(("v:", text)) => format!("[={text}]"),
        Some(("i:", text)) => format!("[{text}]"),
        _ => element.clone(),
    };
    path.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(value: Value) -> FieldSet {
        FieldSet::from_json(&value).unwrap()
    }

    /// The forms of fieldpath/serialize_test.go.
    #[test]
    fn json_forms() {
        for value in [
            json!({}),
            json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}),
            json!({"f:l": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}, "v:\"x\"": {}, "v:1": {}, "i:0": {}}}),
        ] {
            let parsed = set(value.clone());
            assert_eq!(FieldSet::from_json(&parsed.to_json()).unwrap(), parsed);
            let mut sorted = value;
            sorted.sort_all_objects();
            let mut printed = parsed.to_json();
            printed.sort_all_objects();
            assert_eq!(printed, sorted);
        }
        assert_eq!(set(json!({"k:{ \"b\": 1, \"a\":2}": {}})).to_json(), json!({"k:{\"a\":2,\"b\":1}": {}}));
        assert!(
            FieldSet::from_json(&json!({"x": {}})).is_none()
                && FieldSet::from_json(&json!({"f:a": 1})).is_none()
        );
    }

    #[test]
    fn paths_read_like_those_of_kubectl() {
        let one = set(json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:ports": {
            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}}}}, "f:set": {"v:\"x\"": {}}}}));
        let texts: Vec<_> = one.paths().iter().map(|path| path_text(path)).collect();
        assert_eq!(
            texts,
            [".spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"]", ".spec.set[=\"x\"]"]
        );
    }

    #[test]
    fn operations() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = set(json!({"f:a": {"f:b": {}}, "f:d": {}}));
        assert_eq!(a.intersection(&b), set(json!({"f:a": {"f:b": {}}})));
        assert_eq!(a.difference(&b), set(json!({"f:a": {}, "f:c": {}})));
        assert_eq!(a.leaves(), set(json!({"f:a": {"f:b": {}}, "f:c": {}})));
        assert_eq!(a.clone().without(&["a"]), set(json!({"f:c": {}})));
        assert_eq!(a.without_exact(&["f:a"]), set(json!({"f:a": {"f:b": {}}, "f:c": {}})));
    }

    fn any_set() -> impl Strategy<Value = FieldSet> {
        prop::collection::vec(prop::collection::vec("f:[abc]", 1..4), 0..8).prop_map(|paths| {
            let mut set = FieldSet::default();
            paths.iter().for_each(|path| set.insert(path));
            set
        })
    }

    proptest! {
        #[test]
        fn sets_behave_like_sets(a in any_set(), b in any_set()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert!(a.difference(&b).intersection(&b).is_empty());
            prop_assert_eq!(a.is_within(&b), a.difference(&b).is_empty());
            prop_assert!(a.intersection(&b).is_within(&b));
            prop_assert_eq!(FieldSet::from_json(&a.to_json()), Some(a));
        }
    }
}
