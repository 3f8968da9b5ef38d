//! `/openapi/v3`: the schemas of what is served.

use crate::error::{ApiError, Result};
use crate::request::Parsed;
use crate::server::{ApiServer, Outcome};

/// Answers a path below `/openapi`.
pub(crate) fn answer(_server: &mut ApiServer, _parts: &[&str], _parsed: &Parsed) -> Result<Outcome> {
    Err(ApiError::path_not_found())
}
