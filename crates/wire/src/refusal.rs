//! `metav1.Status` as an error of the model's server.

use serde_json::Value;
use towtank_model::admission::{FieldError, FieldErrorType};
use towtank_model::objects::ObjectKey;
use towtank_model::server::ApiError;

use super::{Kind, UID_LEN};

/// The refusal behind an answer with this code, to a write to `key`.
pub fn api_error(kind: &'static str, key: &ObjectKey, code: u16, status: &Value) -> ApiError {
    let text = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default();
    let key = key.clone();
    match (code, text("reason")) {
        (404, _) => ApiError::NotFound { kind, key },
        (409, "AlreadyExists") => ApiError::AlreadyExists { kind, key },
        (409, _) => ApiError::Conflict { kind, key },
        (422, _) => ApiError::Invalid { key, errors: causes(status).map(field_error).collect() },
        (403, _) if causes(status).any(|cause| cause["reason"] == "NamespaceTerminating") => {
            ApiError::NamespaceTerminating(key.namespace)
        }
        (403, _) => ApiError::Forbidden(text("message").to_owned()),
        // Nothing that the model's server ever says.
        (code, reason) => ApiError::Forbidden(format!("{code} {reason}: {}", text("message"))),
    }
}

fn causes(status: &Value) -> impl Iterator<Item = &Value> {
    status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten()
}

fn field_error(cause: &Value) -> FieldError {
    let text = |field: &str| cause.get(field).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("reason") {
        "FieldValueRequired" => FieldErrorType::Required,
        "FieldValueNotSupported" => FieldErrorType::NotSupported,
        "FieldValueForbidden" => FieldErrorType::Forbidden,
        "FieldValueDuplicate" => FieldErrorType::Duplicate,
        "FieldValueTooMany" => FieldErrorType::TooMany,
        "FieldValueTooLong" => FieldErrorType::TooLong,
        _ => FieldErrorType::Invalid,
    };
    FieldError::new(text("field"), kind, in_the_models_words(detail(kind, text("message"))))
}

/// What follows the kind of error and the value in the text of a cause: `Invalid value: -1: must be …`.
fn detail(kind: FieldErrorType, message: &str) -> &str {
    let Some(rest) = message.strip_prefix(&*kind.to_string()) else { return message };
    let rest = rest.strip_prefix(": ").unwrap_or(rest);
    // These never come with the value; of too many things the model keeps how many.
    if matches!(
        kind,
        FieldErrorType::Required
            | FieldErrorType::Forbidden
            | FieldErrorType::TooLong
            | FieldErrorType::TooMany
    ) {
        return rest;
    }
    match value_len(rest) {
        None => rest,
        Some(len) => rest[len..].strip_prefix(": ").unwrap_or_default(),
    }
}

/// The length of the value at the beginning of `text`, if there is one: a number, a word that stands for a value, a text
/// in quotes, or anything in brackets with a Go type's name before it.
fn value_len(text: &str) -> Option<usize> {
    let (mut depth, mut in_quotes, mut is_escaped) = (0_u32, false, false);
    let mut len = text.len();
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && text[position..].starts_with(": ") => {
                len = position;
                break;
            }
            _ => {}
        }
    }
    let value = &text[..len];
    let is_number = || value.parse::<f64>().is_ok();
    let is_word = || matches!(value, "true" | "false" | "null" | "<nil>");
    let is_bracketed = || {
        let name = value.split(['{', '[', '(']).next().unwrap_or_default();
        value.ends_with(['}', ']', ')']) && !name.contains(' ')
    };
    let is_quoted = || value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    // Times print themselves with blanks: `2000-01-01 00:00:05 +0000 UTC`.
    let is_time = || value.ends_with(" UTC") && value.starts_with(|first: char| first.is_ascii_digit());
    (is_number() || is_word() || is_quoted() || is_bracketed() || is_time()).then_some(len)
}

/// Uids of Jobs are spelled as the model spells them.
fn in_the_models_words(detail: &str) -> String {
    let mut words = String::with_capacity(detail.len());
    let mut rest = detail;
    while let Some(start) = rest.find(Kind::Job.uid_prefix()) {
        let end = start + UID_LEN;
        let Some(uid) = rest.get(start..end).and_then(|text| Kind::Job.uid(text)) else { break };
        words.push_str(&rest[..start]);
        words.push_str(&uid.to_string());
        rest = &rest[end..];
    }
    words.push_str(rest);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_is_found_behind_any_value() {
        use FieldErrorType::{Duplicate, Invalid, NotSupported, Required, TooLong, TooMany};
        for (kind, message, expected) in [
            (
                Invalid,
                "Invalid value: -1: must be greater than or equal to 0",
                "must be greater than or equal to 0",
            ),
            (Invalid, "Invalid value: \"a: \\\"b: c\": must be: so", "must be: so"),
            (
                Invalid,
                "Invalid value: core.PodTemplateSpec{A:v1.B{C:\"}: \"}, D:(*int)(nil)}: field is immutable",
                "field is immutable",
            ),
            (Invalid, "Invalid value: []int32{2, 1}: must be ordered", "must be ordered"),
            (Invalid, "Invalid value: {\"a\":\"x: y\"}: field is immutable", "field is immutable"),
            (Invalid, "Invalid value: null: field is immutable", "field is immutable"),
            (
                Invalid,
                "Invalid value: 2000-01-01 00:00:05 +0000 UTC: field is immutable",
                "field is immutable",
            ),
            (Invalid, "Invalid value: \"2000-01-01T00:00:05Z\": field is immutable", "field is immutable"),
            (
                Invalid,
                "Invalid value: cannot disable the terminal Failed=True condition",
                "cannot disable the terminal Failed=True condition",
            ),
            (Invalid, "Invalid value: error parsing: \"x\"", "error parsing: \"x\""),
            (Required, "Required value", ""),
            (Required, "Required value: must be: so", "must be: so"),
            (Duplicate, "Duplicate value: \"uid\"", ""),
            (
                NotSupported,
                "Unsupported value: \"x\": supported values: \"a\", \"b\"",
                "supported values: \"a\", \"b\"",
            ),
            (TooMany, "Too many: 21: must have at most 20 items", "21: must have at most 20 items"),
            (TooLong, "Too long: may not be more than 63 bytes", "may not be more than 63 bytes"),
        ] {
            assert_eq!(detail(kind, message), expected, "{message}");
        }
    }

    #[test]
    fn uids_are_spelled_as_in_the_model() {
        let detail = "must be '00000000-0000-4000-8000-00010000000a'";
        assert_eq!(in_the_models_words(detail), "must be 'uid-10'");
        assert_eq!(in_the_models_words("00000000-0000-4000-8000-0001"), "00000000-0000-4000-8000-0001");
    }
}
