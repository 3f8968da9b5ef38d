//! The resource eventlog: `resource.eventlog` in the KVS up to 0.61, `flux resource eventlog` in 0.88
//! (recordings 01, 04, 06).

use super::{Overwrite, Resources};
use crate::Idset;
use crate::time::Instant;

/// One line of the eventlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: Instant,
    /// What: `online`, `drain`, …
    pub name: &'static str,
    /// With which context, as printed.
    pub context: String,
    /// Whether the KVS keeps it: later versions keep only drains there.
    pub kept: bool,
}

/// An eventlog is cut off here, oldest entries first: an instance that lives long must not grow without end.
const ENTRIES_MAX: usize = 100_000;

impl Resources {
    fn note(&mut self, time: Instant, name: &'static str, context: String, kept: bool) {
        if self.log.len() >= ENTRIES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(Entry { time, name, context, kept });
    }

    pub(super) fn note_start(&mut self, now: Instant, restart: bool) {
        if self.features.resource_journal {
            let context = format!("ranks=\"{}\" online=\"\" nodelist=\"{}\"", self.all.bare(), self.hosts);
            self.note(now, "restart", context, false);
        } else {
            let drained = self.drains.iter().map(|(rank, drain)| {
                format!(
                    "\"{rank}\":{{\"timestamp\":{:.6},\"reason\":\"{}\"}}",
                    (self.wall + drain.since).as_secs_f64(),
                    drain.reason
                )
            });
            let drained = drained.collect::<Vec<_>>().join(",");
            let context = format!(
                "restart={restart} drain={{{drained}}} online=\"\" exclude=\"{}\"",
                self.excluded.bare()
            );
            self.note(now, "resource-init", context, true);
        }
        self.note(now, "resource-define", "method=\"configuration\"".to_owned(), true);
    }

    pub(super) fn note_online(&mut self, now: Instant, rank: u32, online: bool) {
        let name = if online { "online" } else { "offline" };
        // Ranks that change at the same time share a line.
        let last = self.log.back_mut().filter(|last| last.name == name && last.time == now);
        if let Some(last) = last {
            let known = last.context.trim_start_matches("idset=").trim_matches('"').parse::<Idset>();
            if let Ok(mut ranks) = known {
                ranks.insert(rank);
                last.context = format!("idset=\"{}\"", ranks.bare());
                return;
            }
        }
        let kept = !self.features.resource_journal;
        self.note(now, name, format!("idset=\"{rank}\""), kept);
    }

    pub(super) fn note_drain(&mut self, now: Instant, ranks: &Idset, reason: &str, overwrite: Overwrite) {
        let overwrite = i32::from(overwrite == Overwrite::Force);
        let context = format!(
            "idset=\"{}\"{} reason=\"{reason}\" overwrite={overwrite}",
            ranks.bare(),
            self.nodelist(ranks)
        );
        self.note(now, "drain", context, true);
    }

    pub(super) fn note_torpid_drain(&mut self, now: Instant, rank: u32) {
        self.note(now, "drain", format!("idset=\"{rank}\" reason=\"broker was unresponsive\""), true);
    }

    pub(super) fn note_undrain(&mut self, now: Instant, ranks: &Idset) {
        let overwrite = if self.features.resource_journal { " overwrite=0" } else { "" };
        let context = format!("idset=\"{}\"{}{overwrite}", ranks.bare(), self.nodelist(ranks));
        self.note(now, "undrain", context, true);
    }

    /// Later versions name the hosts as well.
    fn nodelist(&self, ranks: &Idset) -> String {
        if self.features.drain_by_host {
            format!(" nodelist=\"{}\"", self.hosts.select(ranks))
        } else {
            String::new()
        }
    }

    /// The eventlog: all of it, or what the KVS keeps.
    pub fn eventlog(&self, all: bool) -> String {
        let lines = self.log.iter().filter(|entry| all || entry.kept);
        lines
            .map(|entry| {
                format!("{:.6} {} {}\n", (self.wall + entry.time).as_secs_f64(), entry.name, entry.context)
            })
            .collect()
    }
}
