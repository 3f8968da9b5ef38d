//! Keeping very long stories small: their beginning write by write; of the rest what is about no single pod, and digests of
//! what lies between.

use towtank_model::time::Time;

use super::fold::{fold, is_about_pod};
use crate::trace_text::TraceLine;

/// Lines of text that a story may fill and still be kept whole.
const TEXT_LINES_MAX: usize = 600;
/// Writes that are kept of a longer one.
const KEPT: usize = 200;
/// Writes that share a digest.
const PER_DIGEST: usize = 1_000;

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// One write: time, who and text count, nothing else is kept.
    Write(TraceLine),
    /// Writes of which only this is kept.
    Digest {
        /// How many.
        writes: usize,
        /// When the last of them was.
        until: Time,
        /// FNV-1a of their lines.
        digest: u64,
    },
}

impl Entry {
    /// A write as a recording keeps it.
    pub(super) fn write(line: TraceLine) -> Self {
        Self::Write(TraceLine { job: None, is_refused: false, ..line })
    }

    /// How many writes it stands for.
    pub(super) const fn writes(&self) -> usize {
        match self {
            Self::Write(_) => 1,
            Self::Digest { writes, .. } => *writes,
        }
    }

    /// As a line of a report.
    pub(super) fn as_line(&self) -> TraceLine {
        match self {
            Self::Write(line) => line.clone(),
            Self::Digest { writes, until, digest } => TraceLine {
                at: *until,
                actor: "…",
                text: format!(
                    "{writes} writes up to here with the digest {digest:016x} (to see them: --world reference)"
                ),
                job: None,
                is_refused: false,
                is_event: false,
            },
        }
    }
}

/// The lines of a run as they are recorded.
pub(super) fn abridged(lines: Vec<TraceLine>) -> Vec<Entry> {
    if lines.len() <= TEXT_LINES_MAX || fold(&lines).len() <= TEXT_LINES_MAX {
        return lines.into_iter().map(Entry::write).collect();
    }
    let mut entries: Vec<Entry> = lines[..KEPT].iter().cloned().map(Entry::write).collect();
    for lines in lines[KEPT..].chunk_by(|one, other| is_about_pod(one) == is_about_pod(other)) {
        if lines.first().is_some_and(is_about_pod) {
            entries.extend(lines.chunks(PER_DIGEST).map(|chunk| Entry::Digest {
                writes: chunk.len(),
                until: chunk.last().map_or(Time::ZERO, |line| line.at),
                digest: digest(chunk),
            }));
        } else {
            entries.extend(lines.iter().cloned().map(Entry::write));
        }
    }
    entries
}

fn digest(lines: &[TraceLine]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut digest = BASIS;
    for line in lines {
        for byte in format!("{line}\n").bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
    digest
}
