//! The format as JSON Schema, for editors.

/// The JSON Schema (draft 2020-12) of a scenario file, with a description of every field.
///
/// It is derived from the types that the parser reads into, so it cannot name a field that the parser refuses, or lack
/// one that it accepts. It says less than the parser does: it does not know which fields exclude each other, nor what
/// the small languages (durations, versions, CEL, tables) look like.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(crate::raw::Scenario).to_value()
}
