//! The second part of `docs/latency.md`: what was measured on real clusters (`snapshots/cluster`), beside the model. Without any measurement it says nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towtank_lockstep::latency::recording::Recording;
use towtank_lockstep::latency::{compare, large_job, page, sigterm};
use towtank_lockstep::observed::Observation;
use towtank_scenario::ast::Scenario;

use crate::{is_current, root};

/// What stands above it is another test's (`crates/minicluster/tests/latency`).
const BEGIN: &str =
    "\n<!-- What follows is made by `cargo xtask bench latency`; what stands above is not. -->\n";

const HEAD: &str = "
# Elasticity latency: the model and real control planes

Measured with the production operator and Kubernetes' own etcd, API server, controllers and scheduler (`towtank bench latency`, `towtank bench large-job`). With the providers `process` and
`containers` nodes are virtual, and what runs in their pods takes the time that the model's Flux draws: there it is the control plane that is measured. With `kind` nodes and containers are
real. Of the machine, its cores are told, and the highest load (the mean of a minute, before or after a scenario).
";

const CHANGES: &str = "
### Changes of size

Milliseconds; the times are those at which a watch has told of something. The Job controller may make 20 requests a second and 30 at once, which is Kubernetes' default. A phase goes from
one milestone to the next, each reached by the last pod concerned, and begins with the change of `spec.size` in the MiniCluster. A pod is ready when its broker is online, so that comes
first. *status settled*: the Job's status counts all pods, all of them ready and none on its way out, and the MiniCluster's status says the same. A percentage is how far the model is off, as
a part of what was measured, or of a millisecond where that is more; differences of less than a millisecond count as none. **ok**: within 10 % at p50 and 25 % at p90.

The model's timing profile is fitted by `towtank calibrate` to other changes of size (`benches/latency/calibration`) than those that are judged (`benches/latency/judged`);
`crates/lockstep/src/latency/fit.rs` says which step is read off what.
";

const KUBELETS: &str = "
A kubelet lists its containers once a second, and probes one that it finds running; what that run misses, the next one finds five seconds later. So some pods are ready after less than two seconds, and others after six. Starts and ends of pods share the
cores of the machine, in the model too (`cores_milli` of the profile). Not in the model: that requests take longer while many pods start (*pods created*, *scheduled*, *told to go*), that what is left of the last starts
finds brokers online already (*pods ready* of 2→64), and that one of 62 pods which are told to go at once ends after 30 s only, now and then (64→2 at p90: four of 20 rounds; six pods in five of 20 rounds when it was measured again and the logs of the cluster were
kept). The nodes' journals say the same of each of these six: containerd (1.6.20) has `Stop container … with signal terminated`, nothing comes of it, and after the grace period `ExecSync … failed to start exec`: its shim had been starting the process of a readiness probe, and
SIGTERM waited behind that. Where the broker is still alive then it hears of SIGTERM, and leaves in order. Others have seen that lock held ([containerd/containerd#10092](https://github.com/containerd/containerd/issues/10092)).
";

const THREAD: &str = "
Nodes are virtual: one thread plays them and their brokers, and writes one report after the other, in the model too (`is_one_thread` of the profile). Not in the model: that reports differ in length by what they are about, and that the removal of a pod keeps
the thread busy as well (*pods gone*, *status settled* of 64→2).
";

const SIGTERM: &str = "
## SIGTERM, on kind

Observations of `towtank e2e --provider kind --record` with the production operator: the time from SIGTERM to a worker's broker to the phase Succeeded of its pod, and the time from a change of size by one to the moment at which the
pod is gone. With real Flux (above) a change from 4 to 3 had settled after 1.3 s where the broker is PID 1, and after 31.3 s where a shell is that swallows SIGTERM, as under the original operator.

| PID 1 | Kubernetes | SIGTERM → Succeeded | 4→3 → gone |
| --- | --- | ---: | ---: |
";

/// The stories that tell of it, and what is PID 1 in them.
const TELLERS: [(&str, &str); 2] = [
    ("scenarios/downsize/downsize.yaml", "the operator's entrypoint"),
    ("scenarios/downsize/a-shell-that-keeps-sigterm.yaml", "a shell that swallows SIGTERM"),
];

/// What clusters of kind have shown of SIGTERM.
fn sigterm_on_kind() -> String {
    let mut rows = String::new();
    for (story, pid1) in TELLERS {
        let path = root().join(story);
        let scenario = towtank_scenario::load(&path).expect("a scenario");
        for observation in Observation::of_scenario(&path).expect("observations") {
            let Some(told) = sigterm::of(&scenario, &observation).filter(|_| observation.provider == "kind")
            else {
                continue;
            };
            let version = observation.observed.stack.kubernetes.full();
            let (completed, gone) = (told.completed.as_secs_f64(), told.gone.as_secs_f64());
            rows.push_str(&format!("| {pid1} | {version} | {completed:.1} s | {gone:.1} s |\n"));
        }
    }
    if rows.is_empty() { rows } else { format!("{SIGTERM}{rows}") }
}

const LARGE_JOBS: &str = "
### Large Jobs

Indexed Jobs whose pods succeed at once (`benches/large-job`), each on a fresh control plane, from their creation to the condition Complete; medians. The controllers may make so many requests a
second, and 100 at once. **ok**: the model is within 10 %. Published: Kubernetes' `BenchmarkLargeIndexedJob`
([kubernetes/kubernetes#113478](https://github.com/kubernetes/kubernetes/pull/113478)) with 100 requests a second, on 56 threads, without scheduler and nodes: a client sets its pods to Succeeded, and looks
after them at growing intervals. Nobody has published figures with 50 requests a second, as far as was found.
";

/// Scenarios of a directory, by name of the file.
fn scenarios(directory: &str) -> Vec<Arc<Scenario>> {
    let entries = fs::read_dir(root().join(directory)).expect("the scenarios");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().map(|file| Arc::new(towtank_scenario::load(file).expect("a scenario"))).collect()
}

/// A file that is there.
fn text(path: &Path) -> Option<String> {
    path.is_file().then(|| fs::read_to_string(path).expect("a file that can be read"))
}

/// Directories with what was measured on a cluster, by name.
fn measured() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("snapshots/cluster")).expect("the snapshots");
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    directories.retain(|directory| {
        ["judged.json", "large-job.json"].iter().any(|name| directory.join(name).is_file())
    });
    directories.sort();
    directories
}

/// What a recording says of itself, with what is said of its rows.
fn about<T>(recording: &Recording<T>, rows: &str) -> String {
    let Recording { date, cores, series, .. } = recording;
    let load = series.iter().flat_map(|series| &series.load).copied().fold(0.0, f64::max);
    format!("\n{date}, {cores} cores, load up to {load:.1}. {rows}\n\n")
}

/// The cluster.
fn head<T>(recording: &Recording<T>) -> String {
    format!("\n## {}, Kubernetes {}\n", recording.provider, recording.kubernetes)
}

/// What was measured on one cluster.
fn part(directory: &Path) -> String {
    let mut part = String::new();
    let timing = directory.join("timing.json");
    let profile = timing.to_string_lossy();
    if let Some(text) = text(&directory.join("judged.json")) {
        let recording: Recording = Recording::parse(&text).expect("a recording");
        assert!(timing.is_file(), "{profile} is not there: run `cargo towtank calibrate`");
        let rows = compare::judge(&recording, &scenarios("benches/latency/judged"), &profile)
            .expect("the model plays them");
        let tables = page::tables(&rows).replace("### ", "#### ");
        let at_best = compare::near_at_best(&recording).expect("changes of size");
        let about = about(&recording, &page::summary(&rows, at_best));
        let nodes = if recording.provider == "kind" { KUBELETS } else { THREAD };
        part = format!("{}{CHANGES}{nodes}{about}{}\n", head(&recording), tables.trim_end());
    }
    if let Some(text) = text(&directory.join("large-job.json")) {
        let recording = Recording::parse(&text).expect("a recording");
        let profile = timing.is_file().then_some(&*profile);
        let rows = large_job::judge(&recording, &scenarios("benches/large-job"), profile)
            .expect("the model plays them");
        let near = rows.iter().filter(|row| row.is_near()).count();
        let about = about(&recording, &format!("{near} of {} rows are ok.", rows.len()));
        if part.is_empty() {
            part = head(&recording);
        }
        part = format!("{part}{LARGE_JOBS}{about}{}", page::large_jobs(&rows));
    }
    part
}

#[test]
fn latency_of_real_clusters() {
    let written = fs::read_to_string(root().join("docs/latency.md")).expect("the document");
    let (before, _) = written.split_once(BEGIN).unwrap_or((&written, ""));
    let parts: String =
        measured().iter().map(|directory| part(directory)).chain([sigterm_on_kind()]).collect();
    let own = if parts.is_empty() { String::new() } else { format!("{BEGIN}{HEAD}{parts}") };
    is_current("latency.md", &format!("{before}{own}"));
}

#[test]
fn profiles_are_what_the_recordings_give() {
    for directory in measured() {
        let Some(calibration) = text(&directory.join("calibration.json")) else { continue };
        let recording: Recording = Recording::parse(&calibration).expect("a recording");
        assert_eq!(recording.to_string(), calibration, "one way to write it");
        let scenarios = scenarios("benches/latency/calibration");
        let profile = compare::calibrate(&recording, &scenarios).expect("a profile").to_string();
        let name = directory.display();
        assert_eq!(
            Some(profile),
            text(&directory.join("timing.json")),
            "{name}: run `cargo towtank calibrate`"
        );
    }
}
