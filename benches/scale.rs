//! 100,000 pods for a virtual hour: wall time, events a second, and memory per pod.
//!
//! Not a criterion bench: it runs once, and what it measures (the resident memory of the process) is spoilt by a second
//! run in the same process.

use std::time::Duration;

use towtank_benches::cluster::busy_hour;
use towtank_model::time::Time;

const JOBS: u32 = 1_000;
const PODS: f64 = 100_000.0;

fn main() {
    // `cargo test --benches` passes --test: then there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let before = resident_bytes();
    #[expect(clippy::disallowed_types, reason = "a bench measures real time")]
    let clock = std::time::Instant::now();
    let mut simulation = busy_hour(JOBS);
    let mut peak = before;
    for minute in 1..=60 {
        let limit = Time::ZERO + Duration::from_secs(60 * minute);
        if let Err(error) = simulation.run_until(limit) {
            eprintln!("{error}");
            std::process::exit(1);
        }
        peak = peak.zip(resident_bytes()).map(|(peak, now)| peak.max(now));
    }
    let wall = clock.elapsed().as_secs_f64();
    let finished = simulation.server().jobs().filter(|job| job.is_finished()).count();
    println!("{JOBS} Jobs of 100 pods on {JOBS} nodes, one virtual hour: {finished} Jobs finished");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let events = simulation.events_handled() as f64;
    println!("wall time {wall:.2} s, {events:.0} events, {:.2} M events/s", events / wall / 1e6);
    match (before, peak) {
        (Some(before), Some(peak)) => {
            println!("memory per pod {:.0} bytes (resident, at the peak)", (peak - before) / PODS)
        }
        _ => println!("memory per pod: not measured on this system"),
    }
}

/// Resident memory of this process, where the system tells it.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}
