//! Refusals, worded as an API server words them.
//!
//! Codes, reasons and messages follow `k8s.io/apimachinery/pkg/api/errors` (the constructors `NewNotFound`, …) and
//! `pkg/util/validation/field` (one [`FieldError`] per field). Clients decide by `reason` and print `message`.

use serde_json::{Map, Value, json};
use std::fmt;

/// The result of a request.
pub type Result<T> = std::result::Result<T, ApiError>;

/// A refused request: what becomes a `Status` object of kind failure.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, e.g. `NotFound`.
    pub reason: &'static str,
    /// The message for a person.
    pub message: String,
    /// What the refusal is about.
    pub details: Box<Details>,
}

/// `StatusDetails`: empty parts are left out of the answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details {
    /// The name of the object.
    pub name: String,
    /// The API group of the resource.
    pub group: String,
    /// The resource (or kind, for invalid objects).
    pub kind: String,
    /// The uid of the object, if it was part of the question.
    pub uid: String,
    /// One entry per wrong field or conflict.
    pub causes: Vec<Cause>,
    /// The client is asked to come back after this many seconds.
    pub retry_after_seconds: u32,
}

/// One cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// E.g. `FieldValueInvalid` or `FieldManagerConflict`.
    pub reason: String,
    /// What is wrong.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

/// `resource.group`, or only the resource for the core group (`schema.GroupResource.String`).
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Box::default() }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.details.group = group.to_owned();
        self.details.kind = kind.to_owned();
        self.details.name = name.to_owned();
        self
    }

    fn retry(mut self, seconds: u32) -> Self {
        self.details.retry_after_seconds = seconds;
        self
    }

    /// 404: no object of this name.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::new(404, "NotFound", message).about(group, resource, name)
    }

    /// 404: no such path, as the generic server answers for what it does not serve.
    pub fn path_not_found() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: an object of this name exists.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Self::new(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409: `generateName` met names that are taken.
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str, retry_seconds: u32) -> Self {
        let message = format!(
            "{} {name:?} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource)
        );
        Self::new(409, "AlreadyExists", message).about(group, resource, name).retry(retry_seconds)
    }

    /// 409: a write that came too late; `why` is mostly [`OBJECT_MODIFIED`].
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(group, resource));
        Self::new(409, "Conflict", message).about(group, resource, name)
    }

    /// 409: server-side apply met fields of other managers.
    pub fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        let mut error = Self::new(409, "Conflict", message);
        error.details.causes = causes;
        error
    }

    /// 422: the object is wrong; `kind` is the kind, not the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut message = format!("{} {name:?} is invalid", qualified(group, kind));
        // An aggregate says each message once.
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [] => {}
            [one] => message = format!("{message}: {one}"),
            many => message = format!("{message}: [{}]", many.join(", ")),
        }
        let mut error = Self::new(422, "Invalid", message).about(group, kind, name);
        error.details.causes = errors.iter().map(FieldError::cause).collect();
        error
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(401, "Unauthorized", if message.is_empty() { "not authorized" } else { message })
    }

    /// 403.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (what.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(group, resource, name)
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> Self {
        let message =
            format!("{action} is not supported on resources of kind {:?}", qualified(group, resource));
        Self::new(405, "MethodNotAllowed", message).about(group, resource, "")
    }

    /// 406: no representation that the client accepts.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        let list = supported.join(", ");
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {list}"))
    }

    /// 410 with reason `Expired`: the resource version is older than what is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410 with reason `Gone`.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Gone", message)
    }

    /// 413.
    pub fn too_large(message: &str) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// 415: the body is of a type that this verb does not take.
    pub fn unsupported_media_type(supported: &[&str]) -> Self {
        let list = supported.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {list}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 without causes, as a patch that does not apply is answered (`NewGenericServerResponse`).
    pub fn unprocessable_patch(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// 429: the eviction would break a disruption budget, or the server is busy.
    pub fn too_many_requests(message: impl Into<String>, retry_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).retry(retry_seconds)
    }

    /// 500.
    pub fn internal(why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let mut error = Self::new(500, "InternalError", format!("Internal error occurred: {why}"));
        error.details.causes = vec![Cause { message: why, ..Cause::default() }];
        error
    }

    /// 500 with reason `ServerTimeout`: may be tried again.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        Self::new(500, "ServerTimeout", message).about(group, resource, operation).retry(retry_seconds)
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504.
    pub fn timeout(message: &str, retry_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).retry(retry_seconds)
    }

    /// The answer that goes to the client: a `Status` of `v1`.
    pub fn to_status(&self) -> Value {
        let details = &self.details;
        let mut out = Map::new();
        let texts = [
            ("name", &details.name),
            ("group", &details.group),
            ("kind", &details.kind),
            ("uid", &details.uid),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.insert(key.into(), json!(text));
        }
        if !details.causes.is_empty() {
            out.insert("causes".into(), details.causes.iter().map(Cause::to_json).collect());
        }
        if details.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), json!(details.retry_after_seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if !out.is_empty() {
            status["details"] = Value::Object(out);
        }
        status["code"] = json!(self.code);
        status
    }
}

/// Why an update with an old resource version is refused (`registry.OptimisticLockErrorMsg`).
pub const OBJECT_MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Cause {
    fn to_json(&self) -> Value {
        let parts = [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
        Value::Object(parts.map(|(key, text)| (key.to_owned(), json!(text))).collect())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// What is wrong with a field (`field.ErrorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of field.ErrorType")]
pub enum FieldErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooShort,
    TooMany,
    TooFew,
    Internal,
    TypeInvalid,
}

impl FieldErrorType {
    /// The reason in a cause, e.g. `FieldValueInvalid`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooShort => "FieldValueTooShort",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooShort => "Too short",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Internal => "Internal error",
        }
    }

    /// Whether the message shows the value.
    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal)
    }
}

/// One wrong field (`field.Error`).
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorType,
    /// The path, e.g. `spec.template.spec.containers[0].name`.
    pub field: String,
    /// The value found; `None` when the message leaves it out (objects and lists that break a rule).
    pub value: Option<Value>,
    /// More words; may be empty.
    pub detail: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(kind: FieldErrorType, field: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self { kind, field: field.to_owned(), value: Some(value.into()), detail: detail.to_owned() }
    }

    /// A required value is missing.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(FieldErrorType::Required, field, "", detail)
    }

    /// A value that is wrong.
    pub fn invalid(field: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(FieldErrorType::Invalid, field, value, detail)
    }

    /// A value that is not in the list of values allowed.
    pub fn not_supported(field: &str, value: impl Into<Value>, allowed: &[String]) -> Self {
        let quoted: Vec<_> = allowed.iter().map(|text| format!("{text:?}")).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            "supported values: ".to_owned() + &quoted.join(", ")
        };
        Self::new(FieldErrorType::NotSupported, field, value, &detail)
    }

    /// A field that may not be set here.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new(FieldErrorType::Forbidden, field, "", detail)
    }

    /// The same error, without the value in its message.
    pub fn without_value(mut self) -> Self {
        self.value = None;
        self
    }

    /// The same field below another root, e.g. a template's error below `spec.template`.
    pub fn below(mut self, root: &str) -> Self {
        self.field = match (root.is_empty(), self.field.is_empty()) {
            (true, _) => self.field,
            (false, true) => root.to_owned(),
            (false, false) if self.field.starts_with('[') => format!("{root}{}", self.field),
            (false, false) => format!("{root}.{}", self.field),
        };
        self
    }

    /// The message without the path (`field.Error.ErrorBody`).
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let (true, Some(value)) = (self.kind.shows_value(), &self.value) {
            let value = match value {
                Value::String(value) => format!("{value:?}"),
                other => other.to_string(),
            };
            text = format!("{text}: {value}");
        }
        if !self.detail.is_empty() {
            text = format!("{text}: {}", self.detail);
        }
        text
    }

    /// The cause in an answer.
    pub fn cause(&self) -> Cause {
        Cause { reason: self.kind.reason().to_owned(), message: self.body(), field: self.field.clone() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
