//! The resource module: who may get work, and the administrator's view (Flux spec B.6, part I).
//!
//! Drained, excluded and offline are different things here, and one to the scheduler: `down`. A drain is
//! sticky: it survives that the rank leaves and comes back, that the lead restarts, and a restore. Only
//! undrain ends it.

mod log;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::time::Instant;
use crate::version::Features;
use crate::{Hostlist, Idset};

pub use log::Entry;
pub use table::{Busy, ListFilter, Row};

/// Why a drain or undrain is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// A host that the instance does not have.
    #[error("[Errno 22] invalid targets: invalid hosts: {0}")]
    Hosts(String),
    /// A rank that the instance does not have.
    #[error("[Errno 22] invalid targets: idset is out of range: {0}")]
    Ranks(String),
    /// Neither a list of hosts nor an idset.
    #[error("[Errno 22] invalid targets: {0}")]
    Text(String),
    /// Drained already; a new reason needs force.
    #[error("[Errno 17] {0} already drained")]
    Drained(Ranks),
    /// Excluded by configuration.
    #[error("[Errno 22] {0} excluded")]
    Excluded(Ranks),
    /// Nothing to undrain.
    #[error("{0} not drained")]
    NotDrained(Ranks),
}

/// Ranks in a message: `rank 2` or `ranks 2-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranks(pub Idset);

impl std::fmt::Display for Ranks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.0.len() == 1 { "rank" } else { "ranks" }, self.0.bare())
    }
}

/// What to do with targets that are drained already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse.
    No,
    /// `-u`: leave them as they are and drain the others.
    Update,
    /// `-f`: give them the new reason.
    Force,
}

/// One drained rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Since when.
    pub since: Instant,
    /// Why, as the administrator said.
    pub reason: String,
}

/// A drain as it is kept in the archive: the next instance may have other hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDrain {
    /// The rank at that time.
    pub rank: u32,
    /// Its host at that time.
    pub host: String,
    /// The drain.
    pub drain: Drain,
}

/// A drain of the archive is for a rank that this instance does not have: before 0.88 the lead cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive drains rank {rank}, the instance has only {size}")]
pub struct DrainOutOfRange {
    /// The rank.
    pub rank: u32,
    /// How many ranks there are.
    pub size: u32,
}

/// The resources of an instance.
#[derive(Clone, Debug)]
pub struct Resources {
    hosts: Hostlist,
    cores: u32,
    all: Idset,
    excluded: Idset,
    online: Idset,
    torpid: Idset,
    drains: BTreeMap<u32, Drain>,
    /// Limited: the oldest entries go first.
    log: VecDeque<Entry>,
    features: Features,
    /// What time of Unix the caller's epoch is.
    wall: Duration,
}

impl Resources {
    /// Ranks with the same number of cores each, as a MiniCluster configures them (Flux spec A.5).
    pub fn new(
        now: Instant,
        hosts: Hostlist,
        cores: u32,
        excluded: Idset,
        features: Features,
        wall: Duration,
    ) -> Self {
        let all = Idset::below(u32::try_from(hosts.len()).unwrap_or(Idset::MAX));
        let mut resources = Self {
            hosts,
            cores,
            excluded: excluded.intersection(&all),
            all,
            online: Idset::new(),
            torpid: Idset::new(),
            drains: BTreeMap::new(),
            log: VecDeque::new(),
            features,
            wall,
        };
        resources.note_start(now, false);
        resources
    }

    /// The lead starts again on what an earlier one left.
    pub fn restored(&self, now: Instant, kept: &[KeptDrain]) -> Result<Self, DrainOutOfRange> {
        let mut next = Self {
            drains: BTreeMap::new(),
            online: Idset::new(),
            torpid: Idset::new(),
            log: VecDeque::new(),
            ..self.clone()
        };
        let size = u32::try_from(self.all.len()).unwrap_or(Idset::MAX);
        for KeptDrain { rank, host, drain } in kept {
            let rank = if self.features.drain_by_host {
                self.hosts.find(host).and_then(|at| u32::try_from(at).ok())
            } else {
                Some(*rank)
            };
            match rank {
                Some(rank) if rank < size => {
                    next.drains.insert(rank, drain.clone());
                    next.note_drain(drain.since, &Idset::range(rank, rank), &drain.reason, Overwrite::No);
                }
                Some(rank) => return Err(DrainOutOfRange { rank, size }),
                // 0.88 forgets drains of hosts that it does not have.
                None => {}
            }
        }
        next.note_start(now, !kept.is_empty());
        Ok(next)
    }

    /// What the archive keeps of the drains.
    pub fn kept(&self) -> Vec<KeptDrain> {
        let kept = |(rank, drain): (&u32, &Drain)| KeptDrain {
            rank: *rank,
            host: self.hosts.get(*rank as usize).unwrap_or_default(),
            drain: drain.clone(),
        };
        self.drains.iter().map(kept).collect()
    }

    /// Cores of each rank.
    pub fn cores(&self) -> u32 {
        self.cores
    }

    /// Ranks that the configuration excludes.
    pub fn excluded(&self) -> &Idset {
        &self.excluded
    }

    /// The ranks that are online, as this module knows.
    pub fn online(&self) -> &Idset {
        &self.online
    }

    /// The drained ranks.
    pub fn drained(&self) -> Idset {
        self.drains.keys().copied().collect()
    }

    /// The ranks that may get work: the scheduler's `up`.
    pub fn up(&self) -> Idset {
        self.online.difference(&self.drained()).difference(&self.torpid).difference(&self.excluded)
    }

    /// A rank came.
    pub fn set_online(&mut self, now: Instant, rank: u32) {
        if self.online.insert(rank) {
            self.note_online(now, rank, true);
        }
    }

    /// A rank is gone.
    pub fn set_offline(&mut self, now: Instant, rank: u32) {
        self.torpid.remove(rank);
        if self.online.remove(rank) {
            self.note_online(now, rank, false);
        }
    }

    /// A rank is silent: up to 0.64 that drains it, and it stays drained (Flux spec B.4, part I 7).
    pub fn set_torpid(&mut self, now: Instant, rank: u32) {
        if self.features.torpid_drains {
            self.drains.entry(rank).or_insert_with(|| {
                let reason = "broker was unresponsive".to_owned();
                Drain { since: now, reason }
            });
            self.note_torpid_drain(now, rank);
        } else {
            self.torpid.insert(rank);
        }
    }

    /// A rank is heard again.
    pub fn set_responsive(&mut self, rank: u32) {
        self.torpid.remove(rank);
    }

    /// Ranks from a list of hosts or an idset.
    pub fn targets(&self, text: &str) -> Result<Idset, DrainError> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.starts_with(|c: char| c.is_ascii_digit()) {
            let ranks: Idset = text.parse().map_err(|_| DrainError::Text(text.to_owned()))?;
            return if ranks.is_subset(&self.all) {
                Ok(ranks)
            } else {
                Err(DrainError::Ranks(text.to_owned()))
            };
        }
        let hosts: Hostlist = text.parse().map_err(|_| DrainError::Text(text.to_owned()))?;
        let mut ranks = Idset::new();
        let mut unknown = Hostlist::new();
        for host in hosts.iter() {
            match self.hosts.find(&host).and_then(|at| u32::try_from(at).ok()) {
                Some(rank) => {
                    ranks.insert(rank);
                }
                None => unknown.push(&host),
            }
        }
        if unknown.is_empty() { Ok(ranks) } else { Err(DrainError::Hosts(unknown.to_string())) }
    }

    /// `flux resource drain TARGETS REASON`.
    pub fn drain(
        &mut self,
        now: Instant,
        targets: &str,
        reason: &str,
        overwrite: Overwrite,
    ) -> Result<(), DrainError> {
        let mut ranks = self.targets(targets)?;
        let excluded = ranks.intersection(&self.excluded);
        if !excluded.is_empty() {
            return Err(DrainError::Excluded(Ranks(excluded)));
        }
        let already = ranks.intersection(&self.drained());
        match overwrite {
            Overwrite::No if !already.is_empty() => return Err(DrainError::Drained(Ranks(already))),
            Overwrite::Update => ranks = ranks.difference(&already),
            Overwrite::No | Overwrite::Force => {}
        }
        for rank in ranks.iter() {
            let reason = reason.to_owned();
            // Force changes the reason, not the time.
            match self.drains.get_mut(&rank) {
                Some(drain) => drain.reason = reason,
                None => {
                    self.drains.insert(rank, Drain { since: now, reason });
                }
            }
        }
        self.note_drain(now, &ranks, reason, overwrite);
        Ok(())
    }

    /// `flux resource undrain TARGETS`.
    pub fn undrain(&mut self, now: Instant, targets: &str) -> Result<(), DrainError> {
        let ranks = self.targets(targets)?;
        let missing = ranks.difference(&self.drained());
        if !missing.is_empty() {
            return Err(DrainError::NotDrained(Ranks(missing)));
        }
        for rank in ranks.iter() {
            self.drains.remove(&rank);
        }
        self.note_undrain(now, &ranks);
        Ok(())
    }
}
