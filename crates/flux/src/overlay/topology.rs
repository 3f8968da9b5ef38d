//! Who is whose parent.

use std::fmt;
use std::str::FromStr;

/// The shape of the tree (`tbon.topo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Every rank is a child of the lead.
    Flat,
    /// Every rank has at most so many children: parent(r) = (r-1)/k.
    Kary(u32),
}

/// The text is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown topology `{text}`: known are custom (flat) and kary:K with K from 1 on")]
pub struct InvalidTopology {
    /// What was given.
    pub text: String,
}

impl Topology {
    /// The parent of a rank; the lead has none.
    pub fn parent(self, rank: u32) -> Option<u32> {
        let above = rank.checked_sub(1)?;
        Some(match self {
            Self::Flat => 0,
            Self::Kary(k) => above.checked_div(k).unwrap_or(0),
        })
    }

    /// The children of a rank in an instance of this size, ascending.
    pub fn children(self, rank: u32, size: u32) -> std::ops::Range<u32> {
        let (first, end) = match self {
            Self::Flat if rank == 0 => (1, size),
            Self::Flat => (0, 0),
            Self::Kary(k) => {
                let first = u64::from(rank) * u64::from(k) + 1;
                let end = (first + u64::from(k)).min(u64::from(size));
                (u32::try_from(first.min(end)).unwrap_or(size), u32::try_from(end).unwrap_or(size))
            }
        };
        first..end.max(first)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => f.write_str("custom"),
            Self::Kary(k) => write!(f, "kary:{k}"),
        }
    }
}

impl FromStr for Topology {
    type Err = InvalidTopology;

    fn from_str(text: &str) -> Result<Self, InvalidTopology> {
        if matches!(text, "custom" | "flat" | "kary:0") {
            return Ok(Self::Flat);
        }
        let k = text.strip_prefix("kary:").and_then(|k| k.parse().ok());
        k.map(Self::Kary).ok_or_else(|| InvalidTopology { text: text.to_owned() })
    }
}
