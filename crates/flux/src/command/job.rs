//! STUB
use super::{Answer, Session};
pub(super) fn run(_: &mut Session<'_>, _: &[&str]) -> Option<Answer> { None }
pub(super) fn table(_: &mut Session<'_>, _: &[&str]) -> Option<Answer> { None }
pub(super) fn cancel(_: &mut Session<'_>, _: &[&str]) -> Option<Answer> { None }
pub(super) fn attach(_: &mut Session<'_>, _: crate::JobId) -> Option<Answer> { None }
