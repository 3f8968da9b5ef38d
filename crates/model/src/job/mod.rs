//! The Job controller.

pub mod sync;

/// What the Job controller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerEvent {
    /// Placeholder.
    Placeholder,
}
