//! `flux overlay status`: the health of the tree (Flux spec B.2, recordings 01, 03b).
//!
//! A rank is full if everything below it is, partial if something is offline, degraded if something is lost.
//! Below a rank that cannot be asked everything is as that rank is.

use std::fmt::Write as _;

use super::Overlay;
use super::broker::{Link, LinkState};
use crate::Hostlist;
use crate::time::Instant;

/// The status of a rank and what is below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// All of it is there.
    Full,
    /// Some of it is offline.
    Partial,
    /// Some of it is lost.
    Degraded,
    /// Lost itself.
    Lost,
    /// Not there.
    #[default]
    Offline,
}

impl Status {
    /// The word that Flux prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Degraded => "degraded",
            Self::Lost => "lost",
            Self::Offline => "offline",
        }
    }
}

/// What is kept of each rank, so that no question has to walk the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// Children that are lost or degraded, and that are offline or partial.
    degraded: u32,
    partial: u32,
    /// As the parent sees it (the lead: as it sees itself), and since when.
    seen: Status,
    since: Instant,
}

impl Health {
    fn own(&self) -> Status {
        match self {
            Self { degraded: 1.., .. } => Status::Degraded,
            Self { partial: 1.., .. } => Status::Partial,
            _ => Status::Full,
        }
    }

    fn counter(&mut self, status: Status) -> Option<&mut u32> {
        match status {
            Status::Full => None,
            Status::Partial | Status::Offline => Some(&mut self.partial),
            Status::Degraded | Status::Lost => Some(&mut self.degraded),
        }
    }
}

/// One rank of `flux overlay status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The rank.
    pub rank: u32,
    /// Its host.
    pub host: String,
    /// What it shows.
    pub status: Status,
    /// Since when.
    pub since: Instant,
    /// The reason, where the version prints one.
    pub error: Option<String>,
    /// The rank does not answer the question.
    pub mute: bool,
    /// The branches of the tree in front of it.
    pub branches: String,
}

impl Overlay {
    /// Health of an overlay in which nobody is there.
    pub(super) fn all_offline(&self) -> Vec<Health> {
        let partial = |rank| u32::try_from(self.children(rank).count()).unwrap_or(u32::MAX);
        (0..self.size()).map(|rank| Health { partial: partial(rank), ..Health::default() }).collect()
    }

    /// A new parent counts the absence of its children from its own start.
    pub(super) fn offline_since(&mut self, now: Instant, rank: u32) {
        if let Some(health) = self.health.get_mut(rank as usize) {
            health.since = now;
        }
    }

    /// The only way to change the state of a link: keeps the health of everything above.
    pub(super) fn set_link(&mut self, now: Instant, rank: u32, link: Link) {
        if let Some(place) = self.links.get_mut(rank as usize) {
            *place = link;
        }
        let mut rank = rank;
        // At most as many rounds as the tree is deep.
        loop {
            let own = self.health.get(rank as usize).map_or(Status::Offline, Health::own);
            let seen = match self.links.get(rank as usize).map(|link| link.state) {
                _ if rank == 0 => own,
                Some(LinkState::Up(_)) => own,
                Some(LinkState::Lost) => Status::Lost,
                _ => Status::Offline,
            };
            let Some(health) = self.health.get_mut(rank as usize) else { return };
            let before = std::mem::replace(&mut health.seen, seen);
            if before == seen {
                return;
            }
            health.since = now;
            let Some(parent) = self.topology.parent(rank) else { return };
            let Some(above) = self.health.get_mut(parent as usize) else { return };
            if let Some(count) = above.counter(before) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = above.counter(seen) {
                *count += 1;
            }
            rank = parent;
        }
    }

    /// The status of one rank as `flux overlay status` shows it.
    pub fn status(&self, rank: u32) -> (Status, Instant) {
        let mut at = Some(rank);
        let mut shown = self
            .health
            .get(rank as usize)
            .map_or((Status::Offline, Instant::ZERO), |health| (health.seen, health.since));
        // Whoever is above and not there speaks for everything below.
        while let Some(rank) = at {
            if let Some(health) = self
                .health
                .get(rank as usize)
                .filter(|health| matches!(health.seen, Status::Lost | Status::Offline))
            {
                shown = (health.seen, health.since);
            }
            at = self.topology.parent(rank).filter(|_| rank > 0);
        }
        shown
    }

    /// All ranks, in the order of the tree.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut ahead = vec![(0, String::new(), String::new())];
        while let Some((rank, own, below)) = ahead.pop() {
            let (status, since) = self.status(rank);
            let there = !matches!(status, Status::Lost | Status::Offline);
            let error = self
                .link(rank)
                .and_then(|link| link.error.clone())
                .filter(|_| self.features.overlay_errors && rank > 0);
            let mute = there && self.process(rank).is_some_and(|process| process.frozen || process.cut);
            lines.push(Line { rank, host: self.host(rank), status, since, error, mute, branches: own });
            let children: Vec<u32> = self.children(rank).collect();
            let last = children.last().copied();
            for child in children.into_iter().rev() {
                let (own, deeper) =
                    if Some(child) == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                ahead.push((child, format!("{below}{own}"), format!("{below}{deeper}")));
            }
        }
        lines
    }

    /// `flux overlay status`.
    pub fn status_text(&self, now: Instant, pretty: bool, verbose: bool) -> String {
        let mut text = String::new();
        for line in self.lines() {
            let branches = if pretty { line.branches.as_str() } else { "" };
            let status = if line.mute { "Connection timed out" } else { line.status.name() };
            // Writing to a string cannot fail.
            let _ = write!(text, "{branches}{} {}: {status}", line.rank, line.host);
            if verbose {
                let _ = write!(text, " for {:.4}s", now.saturating_sub(line.since).as_secs_f64());
                if !matches!(line.status, Status::Lost | Status::Offline) {
                    text.push_str(" (0.400 ms)");
                }
            }
            if let Some(error) = line.error.filter(|_| !line.mute) {
                let _ = write!(text, " {error}");
            }
            text.push('\n');
        }
        text
    }

    /// `flux overlay errors`: hosts by what went wrong, the most hosts first, then the latest.
    pub fn errors(&self) -> Vec<(Hostlist, String)> {
        let mut groups: Vec<(Vec<u32>, String)> = Vec::new();
        for line in self.lines() {
            let Some(error) = line.error else { continue };
            match groups.iter_mut().find(|(_, known)| *known == error) {
                Some((ranks, _)) => ranks.push(line.rank),
                None => groups.push((vec![line.rank], error)),
            }
        }
        groups.sort_by_key(|(ranks, _)| {
            (std::cmp::Reverse(ranks.len()), std::cmp::Reverse(ranks.last().copied()))
        });
        groups
            .into_iter()
            .map(|(ranks, error)| (self.hosts.select(&ranks.into_iter().collect()), error))
            .collect()
    }
}
