//! scenario
pub mod ast;
mod cel;
mod error;
pub mod observation;
mod raw;
pub mod table;
mod text;
mod yaml;

pub use error::{Problem, ScenarioError};
