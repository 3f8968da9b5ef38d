//! The controller's small languages, read by the model and by the original: lists of completion indexes in a status, and
//! which of several active pods is deleted first.

use serde::Deserialize;
use serde_json::{Value, json};
use towtank_model::index_set::IndexSet;
use towtank_model::job::sync::deletion_order;
use towtank_model::objects::{NodeId, Pod, Uid};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

use crate::draw::Draw;
use crate::driver::{Driver, DriverError};
use towtank_wire::{self as wire, Kind, WireError};

/// Pods of the longest ranking. Go's sort is stable up to here, and free among equals beyond.
const PODS_MAX: usize = 12;
/// Differences after which the search ends.
const DIFFERENCES_MAX: usize = 5;

/// Why the two cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A pod that the model has no row for.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Puts so many random questions of each kind to both, and returns those that they answer differently.
///
/// # Errors
///
/// The driver fails.
pub fn search(
    driver: &mut Driver,
    version: KubernetesVersion,
    questions: u64,
    seed: u64,
) -> Result<Vec<String>, TextError> {
    let mut differences = Vec::new();
    for number in 0..questions {
        let mut draw = Draw::new(seed, number);
        differences.extend(compare_indexes(driver, &mut draw)?);
        differences.extend(compare_order(driver, version, &mut draw)?);
        if differences.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    Ok(differences)
}

/// A list of indexes, read and printed again.
fn compare_indexes(driver: &mut Driver, draw: &mut Draw) -> Result<Option<String>, TextError> {
    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Read {
        text: String,
        count: i64,
    }
    let text = index_list(draw);
    let completions = 1 + u32::try_from(draw.below(24)).unwrap_or(0);
    let set = IndexSet::parse_below(&text, completions);
    let ours = Read { text: set.to_string(), count: i64::try_from(set.len()).unwrap_or(i64::MAX) };
    let question = json!({"do": "text", "what": "indexes", "text": text, "completions": completions});
    let theirs: Read = driver.ask(&question)?;
    let told = || format!("`{text}` of {completions} indexes: model {ours:?}, original {theirs:?}");
    Ok((ours != theirs).then(told))
}

/// Mostly ascending numbers and ranges; some make no sense. No range descends: see [`IndexSet::parse_below`].
fn index_list(draw: &mut Draw) -> String {
    let list = draw.indexes();
    if draw.one_in(4) && list != "3-1" {
        return list.to_owned();
    }
    let mut last = 0;
    let mut token = |draw: &mut Draw| {
        let first = last + draw.below(4);
        last = first + draw.below(4);
        match draw.below(12) {
            0 => draw.one_of(&["", "x", "-", "3-", "-3", "1-2-3", " 2"]).to_owned(),
            1..7 => format!("{first}-{last}"),
            _ => first.to_string(),
        }
    };
    (0..draw.below(6)).map(|_| token(draw)).collect::<Vec<_>>().join(",")
}

/// Which of some pods goes first.
fn compare_order(
    driver: &mut Driver,
    version: KubernetesVersion,
    draw: &mut Draw,
) -> Result<Option<String>, TextError> {
    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Ranking {
        order: Vec<usize>,
    }
    let count = u32::try_from(2 + draw.below(PODS_MAX - 1)).unwrap_or(2);
    let documents: Vec<Value> = (0..count).map(|number| pod(draw, number)).collect();
    let node_id = |name: &str| name.parse().ok().map(NodeId);
    let pods: Vec<Pod> =
        documents.iter().map(|document| wire::pod_row(document, node_id)).collect::<Result<_, _>>()?;
    let ours = Ranking { order: deletion_order(&pods, &Features::of(version)) };
    let theirs: Ranking =
        driver.ask(&json!({"do": "text", "what": "deletion-ranking", "pods": documents}))?;
    let told = || format!("{}: model {ours:?}, original {theirs:?}", json!(documents));
    Ok((ours != theirs).then(told))
}

/// An active pod with something of all that the ranking looks at.
fn pod(draw: &mut Draw, number: u32) -> Value {
    let time = |draw: &mut Draw| wire::time_text(Time::from_secs(u64::try_from(draw.below(4)).unwrap_or(0)));
    let restarts = |draw: &mut Draw| draw.one_of(&[0, 0, 1, 2, 5]);
    let mut spec = json!({
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "i"}],
        "initContainers": [{"name": "sidecar", "image": "i", "restartPolicy": "Always"}, {"name": "init", "image": "i"}],
    });
    if !draw.one_in(4) {
        spec["nodeName"] = json!("1");
    }
    let ready = draw.one_of(&["True", "False", "Unknown"]);
    let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": time(draw)});
    let status = |name: &str, count: i32| json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": count});
    json!({
        "metadata": {
            "name": format!("p-{number}"), "namespace": "default", "uid": Kind::Pod.uid_text(Uid(number)),
            "resourceVersion": "1", "creationTimestamp": time(draw),
        },
        "spec": spec,
        "status": {
            "phase": draw.one_of(&["Pending", "Running", "Running", "Unknown"]),
            "conditions": draw.maybe(2, |_| condition).into_iter().collect::<Vec<_>>(),
            "containerStatuses": [status("main", restarts(draw))],
            "initContainerStatuses": [status("sidecar", restarts(draw)), status("init", restarts(draw))],
        },
    })
}
