//! Schedulers and their policies.

use std::fmt;
use std::str::FromStr;

/// What decides which job runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// `sched-simple` of flux-core: the head of the queue blocks, jobs spread over the nodes.
    Simple,
    /// Fluxion with a queue policy.
    Fluxion(Policy),
}

/// The `queue-policy` of Fluxion's qmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The head of the queue blocks.
    Fcfs,
    /// The first blocked job has a reservation, others may fill what it leaves.
    Easy,
    /// As easy, with reservations for the first 64 blocked jobs.
    Hybrid,
    /// Every blocked job has a reservation.
    Conservative,
}

/// A release of flux-sched that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fluxion {
    /// 0.34.0.
    V0_34,
    /// 0.54.0.
    V0_54,
}

/// The text is no scheduler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown scheduler `{text}`: known are sched-simple, fluxion-fcfs, fluxion-easy, fluxion-hybrid, fluxion-conservative"
)]
pub struct UnknownScheduler {
    /// What was given.
    pub text: String,
}

impl Scheduler {
    /// All schedulers.
    pub const ALL: [Self; 5] = [
        Self::Simple,
        Self::Fluxion(Policy::Fcfs),
        Self::Fluxion(Policy::Easy),
        Self::Fluxion(Policy::Hybrid),
        Self::Fluxion(Policy::Conservative),
    ];

    /// The name, as in the recordings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simple => "sched-simple",
            Self::Fluxion(Policy::Fcfs) => "fluxion-fcfs",
            Self::Fluxion(Policy::Easy) => "fluxion-easy",
            Self::Fluxion(Policy::Hybrid) => "fluxion-hybrid",
            Self::Fluxion(Policy::Conservative) => "fluxion-conservative",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(text: &str) -> Result<Self, UnknownScheduler> {
        let named = |scheduler: &Self| scheduler.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownScheduler { text: text.to_owned() })
    }
}
