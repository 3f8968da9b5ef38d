//! Defaulting and validation of Jobs, their status and pods, as the API server's registry does it.
//!
//! * [`defaults`]: what a manifest becomes before it is judged; fields of features that are off are dropped.
//! * [`create`]: the rules for a Job as it stands (Job spec sections 4.1 and 5.5 to 5.11).
//! * [`update`]: the rules for the step from one spec to the next.
//! * [`status`]: the rules for status updates (section 2.2).
//! * [`pod`]: the rules for pods and pod templates, as far as the model has their fields.
//!
//! Rules are applied in the order of the original, and all of them: the answer names everything that is wrong. Sources
//! are upstream `pkg/apis/batch/validation`, `pkg/registry/batch/job/strategy.go` and `pkg/apis/batch/v1/defaults.go`.

use std::fmt;

use crate::objects::ObjectKey;
use crate::server::ApiError;
use crate::version::Features;

pub mod create;
pub mod defaults;
pub mod pod;
mod policies;
pub mod status;
mod text;
pub mod update;
mod wording;

#[cfg(test)]
mod tests;

/// A broken rule of validation: which field, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// Path of the field, as the API server prints it: `spec.completions`.
    pub field: String,
    /// Kind of the error.
    pub kind: FieldErrorType,
    /// What is wrong, in the server's words where a user would search for them.
    pub detail: String,
}

impl FieldError {
    /// An error of this kind.
    pub fn new(field: impl Into<String>, kind: FieldErrorType, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind, detail: detail.into() }
    }

    /// A field that is missing.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorType::Required, detail)
    }

    /// A value that breaks a rule.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorType::Invalid, detail)
    }

    /// A value that is not among those that there are.
    pub fn not_supported(field: impl Into<String>, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        Self::new(field, FieldErrorType::NotSupported, format!("supported values: {}", supported.join(", ")))
    }

    /// A change that is not allowed.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorType::Forbidden, detail)
    }

    /// A value that stands there before.
    pub fn duplicate(field: impl Into<String>) -> Self {
        Self::new(field, FieldErrorType::Duplicate, "")
    }

    /// A list with too many entries.
    pub fn too_many(field: impl Into<String>, count: usize, count_max: usize) -> Self {
        Self::new(field, FieldErrorType::TooMany, format!("{count}: must have at most {count_max} items"))
    }

    /// A text that is too long.
    pub fn too_long(field: impl Into<String>, len_max: usize) -> Self {
        Self::new(field, FieldErrorType::TooLong, format!("may not be more than {len_max} bytes"))
    }
}

/// Kinds of field errors (`field.ErrorType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldErrorType {
    /// `FieldValueRequired`.
    Required,
    /// `FieldValueInvalid`.
    Invalid,
    /// `FieldValueNotSupported`.
    NotSupported,
    /// `FieldValueForbidden`.
    Forbidden,
    /// `FieldValueDuplicate`.
    Duplicate,
    /// `FieldValueTooMany`.
    TooMany,
    /// `FieldValueTooLong`.
    TooLong,
}

impl fmt::Display for FieldErrorType {
    /// As the API server prints it in front of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::TooMany => "Too many",
            Self::TooLong => "Too long",
        })
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.kind)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The errors in one line.
pub(crate) fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Refuses the object when rules are broken, in the words of the version.
pub(crate) fn check(
    key: &ObjectKey,
    mut errors: Vec<FieldError>,
    features: &Features,
) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    wording::apply(&mut errors, features.version);
    Err(ApiError::Invalid { key: key.clone(), errors })
}

/// `ValidateNonnegativeField`.
fn non_negative(errors: &mut Vec<FieldError>, field: &str, value: Option<i64>) {
    if value.is_some_and(|value| value < 0) {
        errors.push(FieldError::invalid(field, "must be greater than or equal to 0"));
    }
}
