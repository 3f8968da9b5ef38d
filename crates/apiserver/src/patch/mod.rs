//! Patches of JSON objects: JSON patch, merge patch and strategic merge patch.
//!
//! The refusals are those of `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`. A patch never changes the object when
//! it fails.

mod strategic;

use crate::error::{ApiError, Result};
use serde_json::Value;

pub use strategic::strategic_merge;

/// `maxJSONPatchOperations` in handlers/patch.go.
const OPERATIONS_MAX: usize = 10_000;

/// A failed patch operation: the server's own words, without the reason (`NewGenericServerResponse` for 422).
const REFUSED: &str = "the server rejected our request due to an error in our request";

/// Applies a JSON patch (RFC 6902).
pub fn json_patch(object: &mut Value, patch: Value) -> Result<()> {
    let Value::Array(operations) = &patch else {
        let found = kind_of(&patch);
        let text = format!("json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp");
        return Err(ApiError::bad_request(format!("error decoding patch: {text}")));
    };
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let text = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(ApiError::too_large(&text));
    }
    // An unknown operation is only met when the patch is applied, hence not a bad request.
    let patch: json_patch::Patch =
        serde_json::from_value(patch).map_err(|_| ApiError::unprocessable_patch(REFUSED))?;
    json_patch::patch(object, &patch).map_err(|_| ApiError::unprocessable_patch(REFUSED))
}

/// Applies a merge patch (RFC 7386): `null` removes, objects merge, everything else replaces.
pub fn merge_patch(object: &mut Value, patch: Value) -> Result<()> {
    if !patch.is_object() {
        let text = format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            kind_of(&patch)
        );
        return Err(ApiError::bad_request(format!("error decoding patch: {text}")));
    }
    merge(object, patch);
    Ok(())
}

/// The depth is bounded by the parser of the patch.
fn merge(object: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = object else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.shift_remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The name that Go's decoder gives a JSON value in its messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_json_patch_that_fails_changes_nothing() {
        let mut object = json!({"a": 1});
        let patch =
            json!([{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 3}]);
        let error = json_patch(&mut object, patch).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
        assert_eq!(object, json!({"a": 1}));
        json_patch(&mut object, json!([{"op": "remove", "path": "/a"}])).unwrap();
        assert_eq!(object, json!({}));
    }

    #[test]
    fn limits_and_shapes() {
        let many: Vec<_> =
            (0..=OPERATIONS_MAX).map(|_| json!({"op": "test", "path": "", "value": {}})).collect();
        let error = json_patch(&mut json!({}), Value::Array(many)).unwrap_err();
        assert!(error.message.ends_with("is 10000, got 10001"), "{error}");
        assert_eq!(json_patch(&mut json!({}), json!({})).unwrap_err().code, 400);
        assert_eq!(merge_patch(&mut json!({}), json!([])).unwrap_err().code, 400);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Two implementations of RFC 7386 agree.
        #[test]
        fn merge_patch_is_that_of_the_crate(object in any_json(), patch in any_json()) {
            let mut expected = object.clone();
            json_patch::merge(&mut expected, &patch);
            let mut found = object;
            merge(&mut found, patch);
            prop_assert_eq!(found, expected);
        }
    }
}
