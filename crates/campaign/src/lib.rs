//! Campaigns against the production operator: stories are played in the world `embedded` while things go wrong, and must end as they do
//! when nothing goes wrong, with rules that hold all the time.
//!
//! * [`sweep`]: the operator's process ends at each of its requests in turn, before and after the server has carried it out;
//! * [`Plan::random`]: anything goes wrong, as a seed says: errors, conflicts, timeouts, connections that break, crashes, watches that are late,
//!   end or have expired, caches that stand still, with one replica or two.

mod audit;
mod plan;
mod play;
mod world;

pub use audit::Violation;
pub use plan::{Extent, Hold, Plan};
pub use play::{CampaignError, Finding, Outcome, calm, play, shrink, sweep, try_out};
