//! Why a reconcile failed.

use kube::Error;

/// Bytes of a message.
const MESSAGE_MAX: usize = 1_000;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {source}")]
pub struct Failure {
    /// What was called, for people.
    pub call: String,
    /// What came of it.
    pub source: Box<Error>,
}

impl Failure {
    pub(crate) fn of(call: impl Into<String>) -> impl FnOnce(Error) -> Self {
        let call = call.into();
        move |source| Self { call, source: Box::new(source) }
    }
}

/// The HTTP status of an answer, if there was one.
pub(crate) fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

impl Failure {
    /// The API server understands the call and refuses it, and will as long as nobody changes anything.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(code(&self.source), Some(403 | 422))
    }

    /// For a condition and an Event: what the API server says, as far as an Event takes it (1,024 bytes, core/v1).
    pub(crate) fn told(&self) -> String {
        let why = match &*self.source {
            Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        let mut told = format!("{}: {why}", self.call);
        told.truncate(told.floor_char_boundary(MESSAGE_MAX));
        told
    }
}

/// The write was about an older version of the object, or about another object of its name.
pub(crate) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 && status.reason == "Conflict")
}

/// An object of this name is there already.
pub(crate) fn is_already_there(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}
