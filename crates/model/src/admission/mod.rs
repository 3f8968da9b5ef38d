//! Defaulting and validation of Jobs and their status, as the API server's registry does it.

use std::fmt;

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

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.field, self.kind, self.detail)
    }
}

pub(crate) fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
