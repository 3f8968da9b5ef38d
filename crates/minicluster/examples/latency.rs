//! Makes `snapshots/kind/latency.txt`: how long things took on a real kind cluster, in one line per figure.
//!
//! ```text
//! cargo run -p towtank-minicluster --example latency -- RECORDINGS/kind/latency.json > snapshots/kind/latency.txt
//! ```
//!
//! Kept are the series that a run of the model can be held against, and of each figure its median, extremes and number. A milestone counts
//! from the PATCH to the last of the pods that it concerns; a phase is between two milestones of one pod.

use std::error::Error;

use serde_json::Value;

const SERIES: [&str; 4] = ["U", "E", "E-0.61", "E-init"];
const OPERATIONS: [&str; 4] = ["3->4", "4->3", "4->6", "6->4"];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which latency.json?")?;
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    println!(
        "# Recorded 2026-11-22 on kind 0.33.0 with two workers on one machine of two cores, Kubernetes 1.36.3, flux-core 0.88.0 with\n\
         # sched-simple (E-0.61: 0.61.2). U: a shell is PID 1; E: the broker; E-init: the broker, behind an init container.\n\
         # Made by `cargo run -p towtank-minicluster --example latency`; edit nothing here.\n\
         # series operation figure median min max n, milliseconds"
    );
    for series in SERIES {
        for operation in OPERATIONS {
            let facts = &recorded["series"][series][operation];
            for kind in ["milestones_ms", "phases_ms"] {
                let figures = facts[kind].as_object().ok_or("no figures")?;
                for (name, figure) in figures {
                    let number = |key: &str| {
                        figure[key].as_f64().ok_or(format!("{series} {operation} {name}: no {key}"))
                    };
                    println!(
                        "{series} {operation} {name} {:.1} {:.1} {:.1} {}",
                        number("median")?,
                        number("min")?,
                        number("max")?,
                        number("n")?
                    );
                }
            }
        }
    }
    Ok(())
}
