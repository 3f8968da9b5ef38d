//! `flux resource list`, `flux resource status`, `flux resource drain` (recordings 01, 03b, 11).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Resources;
use crate::Idset;
use crate::calendar::Date;
use crate::time::Instant;

/// Which ranks jobs use, and how many cores of each that is not used up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Ranks with at least one core allocated, and how many.
    pub cores: BTreeMap<u32, u32>,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The first column.
    pub state: String,
    /// Whether the nodes are online.
    pub up: bool,
    /// Cores, where the table has them.
    pub cores: u64,
    /// The ranks.
    pub ranks: Idset,
}

/// The rows of `flux resource list` to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFilter {
    /// `-s all`: one row of everything.
    All,
    /// Any of these.
    Some {
        /// The row `free`.
        free: bool,
        /// The row `allocated`.
        allocated: bool,
        /// The row `down`.
        down: bool,
    },
}

impl ListFilter {
    /// What is shown without `-s`.
    pub const DEFAULT: Self = Self::Some { free: true, allocated: true, down: true };
}

/// The width of the column REASON; what is longer ends in `+`.
const REASON_WIDTH: usize = 30;

impl Resources {
    /// The scheduler's view, given which ranks it takes to be up. A rank that is partly used is free and
    /// allocated, one that is drained and busy is allocated and down.
    pub fn list(&self, up: &Idset, busy: &Busy, filter: ListFilter) -> Vec<Row> {
        let all = self.all.difference(&self.excluded);
        let cores_of = |ranks: &Idset| ranks.len() as u64 * u64::from(self.cores);
        let row = |state: &str, up, cores, ranks| Row { state: state.to_owned(), up, cores, ranks };
        let ListFilter::Some { free, allocated, down } = filter else {
            return vec![row("all", true, cores_of(&all), all)];
        };
        let mut rows = Vec::new();
        if free {
            let mut ranks = up.clone();
            let mut cores = cores_of(up);
            for (rank, used) in &busy.cores {
                if up.contains(*rank) {
                    cores = cores.saturating_sub(u64::from(*used));
                    if *used >= self.cores {
                        ranks.remove(*rank);
                    }
                }
            }
            rows.push(row("free", true, cores, ranks));
        }
        if allocated {
            let cores = busy.cores.values().map(|used| u64::from(*used)).sum();
            rows.push(row("allocated", true, cores, busy.cores.keys().copied().collect()));
        }
        if down {
            let ranks = all.difference(up);
            rows.push(row("down", false, cores_of(&ranks), ranks));
        }
        rows
    }

    /// `flux resource list`. With `ranks` the last column names cores instead of hosts (`-o rlist`).
    pub fn list_text(&self, up: &Idset, busy: &Busy, filter: ListFilter, ranks: bool) -> String {
        let rows = self.list(up, busy, filter);
        let gpus = self.features.list_shows_zero_gpus;
        let (narrow, collapsed) = (self.features.narrow_tables, ranks && self.features.narrow_tables);
        let (nodes, cores, gpu_width) = if narrow { (6, 6, 5) } else { (6, 8, 8) };
        let mut text = format!("{:>10} {:>nodes$} {:>cores$}", "STATE", "NNODES", "NCORES");
        let column = |text: &mut String, value: &str| {
            if gpus {
                let _ = write!(text, " {}{value:>gpu_width$}", if collapsed { "+" } else { "" });
            }
        };
        column(&mut text, "NGPUS");
        let _ = writeln!(text, " {}", if ranks { "LIST" } else { "NODELIST" });
        for row in rows {
            let _ = write!(text, "{:>10} {:>nodes$} {:>cores$}", row.state, row.ranks.len(), row.cores);
            column(&mut text, "0");
            let _ = writeln!(
                text,
                " {}",
                if ranks { self.rlist(&row.ranks) } else { self.hosts.select(&row.ranks).to_string() }
            );
        }
        text
    }

    /// `rank[0-5]/core[0-9]`.
    fn rlist(&self, ranks: &Idset) -> String {
        if ranks.is_empty() {
            return String::new();
        }
        let cores = Idset::below(self.cores);
        format!("rank{}/core{}", ranks.bracketed(), cores.bracketed())
    }

    /// The administrator's view, in the order in which Flux prints it. A `*` marks nodes that are offline.
    pub fn status(&self, busy: &Busy, all: bool) -> Vec<Row> {
        let drained = self.drained();
        let used: Idset = busy.cores.keys().copied().collect();
        let draining = drained.intersection(&used);
        let avail = self.all.difference(&drained).difference(&self.excluded).difference(&self.torpid);
        let mut states = vec![("avail", avail), ("exclude", self.excluded.clone())];
        if self.features.status_shows_allocated {
            states.push(("allocated", if all { used } else { Idset::new() }));
            states.push(("torpid", self.torpid.clone()));
            states.push(("housekeeping", Idset::new()));
        }
        states.push(("draining", draining.clone()));
        states.push(("drained", drained.difference(&draining)));
        let mut rows = Vec::new();
        for (state, ranks) in states {
            let (up, down) = (ranks.intersection(&self.online), ranks.difference(&self.online));
            if !up.is_empty() || (all && down.is_empty()) || (all && state == "avail") {
                rows.push(Row { state: state.to_owned(), up: true, cores: 0, ranks: up });
            }
            if !down.is_empty() {
                rows.push(Row { state: format!("{state}*"), up: false, cores: 0, ranks: down });
            }
        }
        rows
    }

    /// `flux resource status`.
    pub fn status_text(&self, busy: &Busy, all: bool) -> String {
        // 0.88 colours the column UP and leaves no room for its heading.
        let (width, heading) = if self.features.narrow_tables {
            (12, "STATEUP NNODES NODELIST")
        } else {
            (10, "STATE UP NNODES NODELIST")
        };
        let mut text = format!("{:>pad$}\n", heading, pad = width + heading.len() - "STATE".len());
        for row in self.status(busy, all) {
            let mark = if row.up { "✔" } else { "✗" };
            let up = if self.features.narrow_tables { mark.to_owned() } else { format!(" {mark}") };
            let _ = writeln!(
                text,
                "{:>width$} {up} {:>6} {}",
                row.state,
                row.ranks.len(),
                self.hosts.select(&row.ranks)
            );
        }
        text
    }

    /// `flux resource drain`: ranks of one drain share a row, the lowest rank first.
    pub fn drain_text(&self, busy: &Busy) -> String {
        let mut text = format!("{:<12} {:<8} {:<REASON_WIDTH$} NODELIST\n", "TIME", "STATE", "REASON");
        let mut groups: Vec<(Instant, String, &str, Idset)> = Vec::new();
        for (rank, drain) in &self.drains {
            let state = if busy.cores.contains_key(rank) { "draining" } else { "drained" };
            let state = format!("{state}{}", if self.online.contains(*rank) { "" } else { "*" });
            let same = groups.iter_mut().find(|(since, known, reason, _)| {
                *since == drain.since && *known == state && *reason == drain.reason
            });
            match same {
                Some((.., ranks)) => {
                    ranks.insert(*rank);
                }
                None => groups.push((drain.since, state, &drain.reason, Idset::range(*rank, *rank))),
            }
        }
        for (since, state, reason, ranks) in groups {
            let reason = if reason.chars().count() > REASON_WIDTH {
                reason.chars().take(REASON_WIDTH - 1).chain(['+']).collect()
            } else {
                reason.to_owned()
            };
            let hosts = self.hosts.select(&ranks);
            let _ = writeln!(
                text,
                "{:<12} {state:<8} {reason:<REASON_WIDTH$} {hosts}",
                Date::of(self.wall + since).short()
            );
        }
        text
    }

    /// `flux resource info`.
    pub fn info_text(&self) -> String {
        let nodes = self.all.difference(&self.excluded).len() as u64;
        format!("{nodes} Nodes, {} Cores, 0 GPUs\n", nodes * u64::from(self.cores))
    }

    /// `flux resource R` (RFC 20).
    pub fn r_text(&self) -> String {
        let ranks = self.all.difference(&self.excluded);
        let last = self.cores.saturating_sub(1);
        let cores = if last == 0 { "0".to_owned() } else { format!("0-{last}") };
        format!(
            "{{\"version\": 1, \"execution\": {{\"R_lite\": [{{\"rank\": \"{}\", \"children\": {{\"core\": \"{cores}\"}}}}], \
             \"starttime\": 0.0, \"expiration\": 0.0, \"nodelist\": [\"{}\"]}}}}\n",
            ranks.bare(),
            self.hosts.select(&ranks)
        )
    }
}
