//! Flux versions as data.
//!
//! A version is a value; all that differs between versions is a field of [`Features`], and code asks the field, never
//! the number. What is known of each version is what was recorded of it (Flux spec, part I).

use std::fmt;
use std::str::FromStr;

mod features;
mod scheduler;

pub use features::Features;
pub use scheduler::{Fluxion, Policy, Scheduler, UnknownScheduler};

/// A release of flux-core that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FluxVersion {
    /// 0.50.0: the era of seeds 002 and 004.
    V0_50,
    /// 0.61.2: seeds 000 and 001.
    V0_61,
    /// 0.88.0: the newest one recorded.
    V0_88,
}

/// The text is no version that the model knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown Flux version `{text}`: known are 0.50.0, 0.61.2, 0.88.0")]
pub struct UnknownVersion {
    /// What was given.
    pub text: String,
}

impl FluxVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 3] = [Self::V0_50, Self::V0_61, Self::V0_88];

    /// The release as a whole: `0.61.2`.
    pub const fn full(self) -> &'static str {
        match self {
            Self::V0_50 => "0.50.0",
            Self::V0_61 => "0.61.2",
            Self::V0_88 => "0.88.0",
        }
    }

    /// The Fluxion of the same time.
    pub const fn fluxion(self) -> Fluxion {
        match self {
            Self::V0_50 | Self::V0_61 => Fluxion::V0_34,
            Self::V0_88 => Fluxion::V0_54,
        }
    }
}

impl fmt::Display for FluxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.full())
    }
}

impl FromStr for FluxVersion {
    type Err = UnknownVersion;

    /// Reads `0.61.2` or `0.61`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let known = |version: &Self| {
            version.full() == text || version.full().rsplit_once('.').is_some_and(|(minor, _)| minor == text)
        };
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownVersion { text: text.to_owned() })
    }
}
