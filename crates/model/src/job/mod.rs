//! The Job controller.

pub mod sync;
