//! The simulation as its users see it: steps go in, time passes, and the stored state and the trace tell what happened.

mod end_to_end;
mod kit;
mod workers;
