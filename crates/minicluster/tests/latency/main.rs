//! How long growing and shrinking takes with the profile `kind`, against a real kind cluster (`snapshots/kind/latency.txt`): medians within
//! 15 %.
//!
//! The model's figures are fitted on the operations 3→4 and 4→3, and judged on 4→6 and 6→4. `LATENCY_WRITE=1` writes the table to
//! `docs/latency.md`, above what another test makes of real control planes.

mod facts;
mod page;
mod run;

use std::path::Path;

use facts::{Facts, Figure};
use towtank_flux::FluxVersion;
use towtank_minicluster::fleet::Pid1;

/// Stories told per series.
const RUNS: u64 = 201;

/// Where the part of the document begins that another test makes (`crates/towtank/tests/documents/latency.rs`).
const REST: &str = "\n<!-- What follows is made by `cargo xtask bench latency`";

/// How far a median may be off.
const MARGIN: f64 = 0.15;

/// The series, what runs in their pods, and whether they are judged. The others are there to be looked at.
const SERIES: [(&str, Pid1, FluxVersion, bool, bool); 4] = [
    ("U", Pid1::Shell, FluxVersion::V0_88, false, true),
    ("E", Pid1::Broker, FluxVersion::V0_88, false, true),
    ("E-0.61", Pid1::Broker, FluxVersion::V0_61, false, false),
    ("E-init", Pid1::Broker, FluxVersion::V0_88, true, false),
];

/// Why the model misses some judged figures.
const BUSY: &str =
    "two pods at once on two busy cores: every call takes longer, which the model does only for starts";
const POLLED: &str = "the rig polled every 25 ms, and two brokers started on two busy cores";
const REPORT: &str = "a few milliseconds, of which a fifth are negative: the rig's clocks";
const HUMPS: &str = "two humps: of ranks lost by one heartbeat the last is told after 0.1 s, the others at once; the means are 49 and 60";
const PHASES: &str =
    "the heartbeat's phase less the kubelet's, from minus to plus 1.3 s: no median to speak of";

/// Judged figures that the model misses: series, operation, figure; and why. Even so they must lie between the recorded extremes, or
/// within 25 ms of the median.
const MISSED: &[(&str, &str, &str, &str)] = &[
    ("U", "4->6", "scheduled", BUSY),
    ("U", "4->6", "pod_created..scheduled", BUSY),
    ("E", "4->6", "pod_created..scheduled", BUSY),
    ("U", "4->6", "entry_script..running", REPORT),
    ("U", "4->6", "entry_script..overlay_full", POLLED),
    ("E", "4->6", "entry_script..overlay_full", POLLED),
    ("U", "6->4", "deletionTimestamp", BUSY),
    ("E", "6->4", "deletionTimestamp", BUSY),
    ("U", "6->4", "finalizer_dropped", BUSY),
    ("E", "6->4", "finalizer_dropped", BUSY),
    ("U", "6->4", "overlay_down..sched_down", HUMPS),
    ("U", "6->4", "overlay_down..gone", PHASES),
];

/// A figure of both.
pub(crate) struct Row {
    pub(crate) series: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) name: String,
    pub(crate) recorded: Figure,
    pub(crate) model: f64,
    pub(crate) is_judged: bool,
}

impl Row {
    pub(crate) fn ratio(&self) -> f64 {
        self.model / self.recorded.median
    }

    pub(crate) fn is_near(&self) -> bool {
        (self.model - self.recorded.median).abs() <= MARGIN * self.recorded.median.abs()
    }

    /// Near enough for a figure that is listed as missed.
    fn is_plausible(&self) -> bool {
        let recorded = self.recorded;
        (recorded.min..=recorded.max).contains(&self.model) || (self.model - recorded.median).abs() <= 25.0
    }

    pub(crate) fn excuse(&self) -> Option<&'static str> {
        let same = |miss: &&(&str, &str, &str, &'static str)| {
            miss.0 == self.series && miss.1 == self.operation && miss.2 == self.name
        };
        MISSED.iter().find(same).map(|miss| miss.3)
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("snapshots/kind/latency.txt")).expect("the fixture");
    let facts = Facts::read(&text);
    let mut rows = Vec::new();
    for (series, pid1, flux, has_view, is_judged) in SERIES {
        let patch = facts.fitted(series, "patch_accepted");
        let mut model = run::many(pid1, flux, has_view, patch, RUNS);
        for operation in run::OPERATIONS {
            for (name, recorded) in facts.of(series, operation) {
                let Some(median) = model.median(operation, name) else { continue };
                let is_judged = is_judged && matches!(operation, "4->6" | "6->4");
                rows.push(Row {
                    series,
                    operation,
                    name: name.to_owned(),
                    recorded,
                    model: median,
                    is_judged,
                });
            }
        }
    }
    rows
}

#[test]
fn medians_are_near_the_recorded_ones() {
    let rows = rows();
    let page = page::page(&rows);
    println!("{page}");
    let path = root().join("docs/latency.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let (own, rest) = written.split_at(written.find(REST).unwrap_or(written.len()));
    let is_rewritten = std::env::var_os("LATENCY_WRITE").is_some();
    if is_rewritten {
        std::fs::write(&path, format!("{page}{rest}")).expect("docs can be written");
    }
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.is_judged) {
        let told = format!(
            "{} {} {}: model {:.0} ms, recorded {:.0} ms",
            row.series, row.operation, row.name, row.model, row.recorded.median
        );
        match (row.is_near(), row.excuse()) {
            (false, None) => wrong.push(told),
            (false, Some(_)) if !row.is_plausible() => wrong.push(told),
            (true, Some(_)) => wrong.push(format!("{told}: is near, and listed as missed")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows.iter().filter(|row| row.is_judged).count(), 50, "judged figures");
    let listed = |row: &&Row| row.is_judged && row.excuse().is_some();
    assert_eq!(rows.iter().filter(listed).count(), MISSED.len(), "every miss is of a figure");
    assert!(
        own == page || is_rewritten,
        "docs/latency.md is old: LATENCY_WRITE=1 cargo test -p towtank-minicluster --test latency"
    );
}
