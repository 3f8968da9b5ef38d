//! Random stories, and what must be true of every one of them.
//!
//! A [`story::Story`] is a list of verbs that a user, a node or an accident could do to Jobs and their pods; the same
//! story always comes from the same seed. [`invariants::Checker`] reads the trace of a run, write by write, and holds it
//! against [`invariants::all`]: rules that no order of events may break. A story that breaks one is shrunk by proptest
//! to the few verbs that matter.

mod genes;
pub mod invariants;
mod manifest_text;
mod play;
mod roll;
mod scenario_text;
pub mod story;
pub mod verbs;

pub use scenario_text::{Form, scenario_text, scenario_text_on};
