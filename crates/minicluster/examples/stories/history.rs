//! What became of the Job and its pods in a recorded story, from the watch events alone, as `towtank_lockstep::observed` keeps it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// When the recordings were made, and on what.
const DATE: &str = "2026-11-22";
const KUBERNETES: &str = "1.36.3";

/// The file for `snapshots/cluster`: the steps, and when each was asked for in milliseconds, and what happened before `end_ms`.
pub(super) fn observations(
    entries: &[Value],
    asked: &[(&str, f64)],
    flux: &str,
    end_ms: f64,
) -> Option<String> {
    let events = entries.iter().find_map(|entry| entry["pod_events"].as_array())?;
    let mut objects: BTreeMap<String, Vec<(f64, String)>> = BTreeMap::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut incarnations: BTreeMap<u64, u32> = BTreeMap::new();
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    for event in events {
        let (at, name) = (event["t"].as_f64()?, event["name"].as_str()?.to_owned());
        if at >= end_ms {
            break;
        }
        let is_job = event["kind"] == "job";
        let object = match known.get(&name) {
            Some(object) => object.clone(),
            None if is_job => format!("job {name}"),
            None => {
                let index = event["idx"].as_u64()?;
                let incarnation = incarnations.entry(index).or_insert(0);
                *incarnation += 1;
                let job = name.rsplitn(3, '-').nth(2)?;
                format!("pod {job}/{index}#{incarnation}")
            }
        };
        known.insert(name.clone(), object.clone());
        let old = before.insert(name, event.clone());
        let told = if is_job { job(old.as_ref(), event) } else { pod(old.as_ref(), event) };
        objects.entry(object).or_default().extend(told.into_iter().map(|text| (at, text)));
    }
    let lines = objects.iter().flat_map(|(object, told)| {
        told.iter().map(move |(at, text)| format!("{:.3} {object}: {text}", at / 1_000.0))
    });
    let steps = asked.iter().map(|(step, ms)| json!({ "step": step, "asked": ms / 1_000.0 }));
    let observation = json!([{
        "provider": "kind", "kubernetes": KUBERNETES, "flux": flux, "date": DATE,
        "steps": steps.collect::<Vec<_>>(),
        "history": lines.collect::<Vec<_>>(),
    }]);
    Some(format!("{observation:#}\n"))
}

fn job(old: Option<&Value>, new: &Value) -> Vec<String> {
    let size = |job: &Value| {
        // Completions, then parallelism.
        let number = |position: usize| job["spec"][position].as_u64().unwrap_or(0);
        format!("parallelism {}, completions {}", number(1), number(0))
    };
    let conditions = |job: &Value| -> Vec<String> {
        let all = job["status"]["conditions"].as_array().into_iter().flatten();
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        all.filter(|condition| condition["status"] == "True")
            .map(|condition| format!("{} {}", text(condition, "type"), text(condition, "reason")))
            .collect()
    };
    if new["type"] == "DELETED" {
        return vec!["gone".to_owned()];
    }
    let mut told = Vec::new();
    match old {
        None => told.push(format!("created with {}", size(new))),
        Some(old) if size(old) != size(new) => told.push(size(new)),
        Some(_) => {}
    }
    let known = old.map(&conditions).unwrap_or_default();
    told.extend(conditions(new).into_iter().filter(|condition| !known.contains(condition)));
    told
}

fn pod(old: Option<&Value>, new: &Value) -> Vec<String> {
    let Some(old) = old else { return vec!["created".to_owned()] };
    if new["type"] == "DELETED" {
        return vec!["gone".to_owned()];
    }
    let mut told = Vec::new();
    if old["del"].is_null() && !new["del"].is_null() {
        told.push("told to go".to_owned());
    }
    if old["phase"] != new["phase"] {
        told.extend(new["phase"].as_str().map(str::to_owned));
    }
    told
}
