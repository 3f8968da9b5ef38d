//! Makes the scenarios of `scenarios/kind/` from the stories that were told on a real kind cluster, and keeps what became of the pods in `snapshots/cluster/kind/`.
//!
//! ```text
//! cargo run -p towtank-minicluster --example stories -- RECORDINGS/kind .
//! ```
//!
//! What was done becomes a step, and what was printed where the story had settled becomes what must be seen as long after the step as then,
//! and two seconds more. Tables in between, which were polled until something moved, are left out. The rig patched the Job by hand; here
//! the MiniCluster is asked for the same size. A story ends where it asks for what a MiniCluster refuses: more than its maximum.

mod history;

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Recordings and the scenarios made of them, with what each shows, and the versions of Kubernetes that tell the same.
const STORIES: &[(&str, &str, &str, &str)] = &[
    (
        "seed000-downsize",
        "downsize-u",
        "The downsize document on flux-core 0.88, with a shell as PID 1.",
        "all",
    ),
    (
        "seed000-downsize-E",
        "downsize-e",
        "The downsize document with the broker as PID 1: a shrink takes a second.",
        "all",
    ),
    ("seed000-downsize-0.61", "downsize-u-0-61", "The downsize document on flux-core 0.61.", "all"),
    (
        "seed000-variant-delete-pod-U",
        "delete-pod-u",
        "A deleted worker fails, and its successor stays drained.",
        "all",
    ),
    (
        "seed000-variant-overlay-disconnect-U-complete-off",
        "disconnect-u-complete-off",
        "Who was disconnected rejoins 15 s later; who leaves in order completes; who was killed tries again.",
        "all",
    ),
    (
        "seed000-variant-overlay-disconnect-U-complete-on",
        "disconnect-u-complete-on",
        "With completeWorkers, a worker that was disconnected or killed completes.",
        "all",
    ),
    (
        "seed002-scaling-basic-U",
        "basic-u",
        "A shrink takes a node with a running job, which fails when its node is lost.",
        "all",
    ),
    (
        "seed002-scaling-basic-E",
        "basic-e",
        "A shrink takes a node with a running job, which fails when its broker leaves.",
        "all",
    ),
    ("seed002-scaling-expand-U", "expand-u", "Two of four grow to four and shrink to one.", "all"),
    (
        "seed002-scaling-expand-plain-U",
        "expand-plain-u",
        "Two of four grow to four and shrink to one.",
        "all",
    ),
    ("seed002-scaling-plain-U", "plain-u", "Four shrink to three and grow again.", "all"),
    (
        "extra-delete-race-E",
        "delete-race-e",
        "A deleted worker that leaves in order is counted as succeeded, and never comes back.",
        "all",
    ),
    (
        "extra-lead-pod-deleted-E-complete-off",
        "lead-deleted-e",
        "A lead that obeys SIGTERM takes its workers along, and comes back alone.",
        ">=1.36",
    ),
    (
        "extra-lead-pod-deleted-U-complete-on",
        "lead-deleted-u",
        "A lead that is deleted runs beside its successor for a while.",
        "all",
    ),
];

/// Of Flux's tables, those that are kept.
const TABLES: [&str; 5] = ["resource list", "resource status", "resource drain", "overlay status", "jobs -a"];

/// Seconds that a settled state is given beyond what it took.
const SLACK: f64 = 2.0;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (from, to) = (args.next().ok_or("which recordings?")?, args.next().ok_or("which directory?")?);
    let (scenarios, snapshots) =
        (Path::new(&to).join("scenarios/kind"), Path::new(&to).join("snapshots/cluster/kind"));
    std::fs::create_dir_all(&snapshots)?;
    for (recording, name, about, versions) in STORIES {
        let text = std::fs::read_to_string(Path::new(&from).join(format!("{recording}.json")))?;
        let story: Value = serde_json::from_str(&text)?;
        let (scenario, observations) = scenario(recording, name, about, versions, &story)
            .ok_or(format!("{recording} cannot be read"))?;
        std::fs::write(scenarios.join(format!("{name}.yaml")), scenario)?;
        if let Some(observations) = observations {
            std::fs::write(snapshots.join(format!("{name}.json")), observations)?;
        }
    }
    Ok(())
}

/// What is done in one step, when, and what is seen.
#[derive(Default)]
struct Step {
    name: String,
    action: String,
    at_ms: f64,
    expectations: Vec<(f64, String)>,
}

/// The scenario, and what was observed, where every event was recorded.
fn scenario(
    recording: &str,
    name: &str,
    about: &str,
    versions: &str,
    story: &Value,
) -> Option<(String, Option<String>)> {
    let versions = match versions {
        "all" => String::new(),
        versions => format!("  kubernetes: \"{versions}\"\n"),
    };
    let entries = story["steps"].as_array()?;
    // The race was recorded without a note of what it ran on.
    let mode =
        entries.iter().find_map(|entry| entry["note"].as_str().filter(|note| note.starts_with("mode ")));
    let mode = mode.unwrap_or("mode E, completeWorkers False, size 10, hosts flux-sample-[0-9], image local/flux:0.88, init False, quorum 10");
    let setting = |key: &str| mode.split(", ").find_map(|part| part.strip_prefix(key)).map(str::trim);
    let size: u32 = setting("size ")?.parse().ok()?;
    let maximum: u32 = setting("hosts ")?.rsplit(['-', ']']).nth(1)?.parse::<u32>().ok()? + 1;
    let cores =
        entries.iter().find_map(|entry| entry["output"].as_str().filter(|text| text.contains("NCORES")))?;
    let mut words = cores.lines().nth(1)?.split_whitespace().skip(1);
    let (nodes, cores): (u32, u32) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let version = if setting("image ")?.ends_with("0.61") { "0.61.2" } else { "0.88.0" };
    let pid1 = if setting("mode ")? == "E" { "broker" } else { "shell" };
    let has_view = setting("init ")? != "False";
    let completes = setting("completeWorkers ")? == "True";
    let mut text = format!(
        "apiVersion: towtank.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: kind-{}}}\nspec:\n  about: >-\n    {about}\n  \
         # Made of the recording by `cargo run -p towtank-minicluster --example stories`.\n  \
         source: recordings/kind, {recording} (kind 0.33.0, Kubernetes 1.36.3)\n{versions}  \
         cluster: {{nodes: 2, coresPerNode: {}, timing: kind, oneMachine: true, flux: {{version: {version}, pid1: {pid1}, view: {has_view}}}}}\n  steps:\n",
        name.replace('.', "-"),
        cores / nodes,
    );
    let manifest = format!(
        "apply:\n        apiVersion: flux-framework.org/v1alpha2\n        kind: MiniCluster\n        metadata: {{name: flux-sample}}\n        \
         spec:\n          size: {size}\n          maxSize: {maximum}\n          interactive: true\n          \
         flux: {{completeWorkers: {completes}, scheduler: {{simple: true}}}}\n          containers: [{{image: flux}}]"
    );
    let (steps, end_ms) = steps(entries, &manifest, maximum)?;
    for step in &steps {
        // Writing to a string cannot fail.
        let _ = write!(text, "    - name: {}\n      {}\n", step.name, step.action);
        if !step.expectations.is_empty() {
            text.push_str("      expect:\n");
        }
        for (at, claims) in &step.expectations {
            let _ = write!(text, "        - at: {at:.0}s\n{claims}");
        }
    }
    let asked: Vec<(&str, f64)> = steps.iter().map(|step| (&*step.name, step.at_ms)).collect();
    Some((text, history::observations(entries, &asked, version, end_ms)))
}

/// The steps, and the instant at which the story ends.
fn steps(entries: &[Value], manifest: &str, maximum: u32) -> Option<(Vec<Step>, f64)> {
    let mut steps: Vec<Step> = Vec::new();
    let mut settled: Option<(f64, String)> = None;
    let mut is_quick = false;
    let mut end_ms = f64::INFINITY;
    for entry in entries {
        let at = entry["t_ms"].as_f64()?;
        if let Some(note) = entry["note"].as_str() {
            close(&mut steps, &mut settled);
            if note.starts_with("-- settled") {
                settled = Some((at, String::new()));
            }
            continue;
        }
        let action = match (entry["command"].as_str(), entry["observation"].as_str()) {
            (Some(command), _) => action(command, manifest),
            (None, Some(observation)) => observation.strip_prefix("index_").map(|index| {
                (format!("delete the pod of index {index}"), format!("delete: {{pod: flux-sample-{index}}}"))
            }),
            _ => None,
        };
        if let Some((name, action)) = action {
            close(&mut steps, &mut settled);
            is_quick = ["drain", "submit", "rank: 0, signal: KILL"].iter().any(|word| action.contains(word));
            if action.strip_prefix("patch: {minicluster: flux-sample, spec: {size: ").is_some_and(|rest| {
                rest.trim_end_matches('}').parse::<u32>().is_ok_and(|size| size > maximum)
            }) {
                end_ms = at;
                break;
            }
            steps.push(Step { name, action, at_ms: at, ..Step::default() });
            continue;
        }
        let Some(command) = entry["command"].as_str() else { continue };
        let output = entry["output"].as_str().unwrap_or_default();
        let Some(claim) = claim(command, output) else { continue };
        if settled.is_none() && is_quick && (command.contains("fx resource") || command.contains("get job")) {
            settled = Some((at, String::new()));
        }
        if let Some((_, claims)) = &mut settled {
            let key = claim.lines().next().unwrap_or_default().to_owned();
            if !claims.contains(&key) {
                claims.push_str(&claim);
            }
        }
    }
    close(&mut steps, &mut settled);
    // Steps of which nothing was seen pass at once: the next comes as long after them as then.
    let times: Vec<f64> = steps.iter().map(|step| step.at_ms).collect();
    let mut paced = Vec::new();
    for (position, step) in steps.into_iter().enumerate() {
        let pause = times.get(position + 1).map(|next| (next - step.at_ms) / 1_000.0);
        let (is_silent, at_ms) = (step.expectations.is_empty(), step.at_ms);
        paced.push(step);
        if let Some(pause) = pause.filter(|_| is_silent) {
            paced.push(Step {
                name: "wait".to_owned(),
                action: format!("wait: {:.0}s", pause.ceil()),
                at_ms,
                ..Step::default()
            });
        }
    }
    for (position, step) in paced.iter_mut().enumerate() {
        step.name = format!("{}. {}", position + 1, step.name);
    }
    Some((paced, end_ms))
}

fn close(steps: &mut [Step], settled: &mut Option<(f64, String)>) {
    let (Some((at, claims)), Some(step)) = (settled.take(), steps.last_mut()) else { return };
    if !claims.is_empty() {
        step.expectations.push((((at - step.at_ms) / 1_000.0 + SLACK).ceil(), claims));
    }
}

/// What a user did.
fn action(command: &str, manifest: &str) -> Option<(String, String)> {
    let named = |name: &str, action: String| Some((name.to_owned(), action));
    if command.starts_with("kubectl apply") {
        return named("create", manifest.to_owned());
    }
    if let Some(at) = command.find("\"completions\": ") {
        let size: String = command.get(at + 15..)?.chars().take_while(char::is_ascii_digit).collect();
        return named(
            &format!("ask for {size}"),
            format!("patch: {{minicluster: flux-sample, spec: {{size: {size}}}}}"),
        );
    }
    if let Some(pod) = command.split(" delete pod ").nth(1) {
        let pod = pod.split(' ').next()?.rsplit_once('-')?.0;
        return named(&format!("delete {pod}"), format!("delete: {{pod: {pod}}}"));
    }
    if command.contains("pkill -9 flux-broker") && command.contains("exec flux-sample-0-") {
        return named("KILL to the broker of the lead", "flux exec: {rank: 0, signal: KILL}".to_owned());
    }
    let typed = command.split("bash -c 'fx ").nth(1)?.trim_end_matches('\'');
    if let Some(rest) = typed.strip_prefix("exec -r ") {
        let mut words = rest.split(' ');
        let (rank, signal) = (words.next()?, words.nth(1)?);
        let signal = match (rest.contains(" kill "), signal) {
            (true, "-15") => "TERM",
            (true, "-9") => "KILL",
            _ => return None,
        };
        return named(
            &format!("{signal} to the broker of rank {rank}"),
            format!("flux exec: {{rank: {rank}, signal: {signal}}}"),
        );
    }
    let first = typed.split(' ').next()?;
    let does = first == "submit" || typed.starts_with("overlay disconnect") || typed.contains("drain flux-");
    let typed = typed.replace("-o cpu-affinity=off ", "");
    if does {
        named(&format!("flux {}", typed.replace('"', "").replace(':', " ")), format!("flux: {typed}"))
    } else {
        None
    }
}

/// What was seen.
fn claim(command: &str, output: &str) -> Option<String> {
    let block = |key: &str, lines: Vec<String>| {
        let lines: String =
            lines.into_iter().map(|line| format!("            {}\n", line.trim_end())).collect();
        Some(format!("          {key}: |2\n{lines}"))
    };
    let lines = || output.lines().map(str::to_owned).collect::<Vec<_>>();
    if command.ends_with("get pods") {
        return block("kubectl get pods", lines());
    }
    if command.contains("get job flux-sample -o jsonpath") {
        let status: Value = serde_json::from_str(output.split_once(' ')?.1).ok()?;
        let number = |key: &str| status[key].as_i64().unwrap_or(0);
        return Some(format!(
            "          job: {{active: {}, ready: {}, succeeded: {}, failed: {}, completedIndexes: \"{}\"}}\n",
            number("active"),
            number("ready"),
            number("succeeded"),
            number("failed"),
            status["completedIndexes"].as_str().unwrap_or_default(),
        ));
    }
    let typed = command.split("bash -c 'fx ").nth(1)?.trim_end_matches('\'');
    match TABLES.contains(&typed).then_some(typed)? {
        "resource list" => block("flux resource list", lines()),
        // 0.88 joins two of its headings.
        "resource status" => block(
            "flux resource status",
            lines().iter().map(|line| line.replace("STATEUP", "STATE UP")).collect(),
        ),
        "jobs -a" => {
            // Ids and times are another run's.
            let rows = output.lines().map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let kept = words.iter().enumerate().filter(|(position, _)| !matches!(position, 0 | 6));
                kept.map(|(_, word)| format!("{word:>9}")).collect::<Vec<_>>().join(" ")
            });
            block("flux jobs -a", rows.collect())
        }
        "resource drain" => {
            // When it was drained is another run's.
            let from = output.lines().next()?.find("STATE")?;
            block(
                "flux resource drain",
                output.lines().map(|line| line.get(from..).unwrap_or_default().to_owned()).collect(),
            )
        }
        "overlay status" => block("flux overlay status", lines()),
        _ => None,
    }
}
