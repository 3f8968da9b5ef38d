//! scenario
pub mod ast;
