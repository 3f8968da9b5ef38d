//! What a MiniCluster tells of itself, beside what there is.

use std::collections::BTreeSet;

use serde_json::Value;
use towtank_apiserver::adapter::site::Serves as _;
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::World as _;
use towtank_model::index_set::IndexSet;
use towtank_model::time::Time;

use super::others::{is_taken, stored};
use super::{Audit, GROUP, JobHistory, number, text};

impl Audit {
    /// A MiniCluster has changed: what its status tells was so at some time.
    pub(super) fn status(&mut self, uid: &str, object: &Value, now: Time) {
        let status = &object["status"];
        if status.is_null() {
            return;
        }
        let Some(cluster) = self.clusters.get(uid) else { return };
        let mut broken = Vec::new();
        let (size, ready, online) =
            (number(&status["size"]), number(&status["ready"]), number(&status["online"]));
        let completed = text(&status["completedIndexes"]);
        let none = JobHistory::new(uid);
        let job = self.job_of(uid).unwrap_or(&none);
        // The earliest that it can be, not to take an old value that came again for the new one.
        let from = |told: usize| if self.is_monotone { told } else { 0 };
        let mut told = cluster.told;
        let untrue = |what: String| {
            ("status-is-true", format!("{what}: it is not so, nor was since what was told last"))
        };
        match job.sizes[from(told.size)..].iter().position(|has| *has == size) {
            Some(position) => told.size = from(told.size) + position,
            None => broken.push(untrue(format!("size {size}"))),
        }
        let is_it = |report: &(i64, std::sync::Arc<str>)| report.0 == ready && *report.1 == *completed;
        match job.reports[from(told.report)..].iter().position(is_it) {
            Some(position) => told.report = from(told.report) + position,
            None => broken.push(untrue(format!("ready {ready}, completedIndexes `{completed}`"))),
        }
        let is_online = |ready: &BTreeSet<u32>| below(ready, size) == online;
        match job.ready[from(told.ready)..].iter().position(is_online) {
            Some(position) => told.ready = from(told.ready) + position,
            None => broken.push(untrue(format!("online {online}"))),
        }
        let claims = conditions(object, job, cluster.was_taken);
        broken.extend(claims.into_iter().map(|claim| ("conditions", claim)));
        let maximum = number(&status["maximumSize"]);
        if cluster.maximum != 0 && maximum != cluster.maximum {
            broken.push(("maximum-stays", format!("{maximum}, and was {}", cluster.maximum)));
        }
        let (observed, generation) =
            (number(&status["observedGeneration"]), number(&object["metadata"]["generation"]));
        if observed > generation || observed < cluster.observed_generation {
            let was = cluster.observed_generation;
            broken.push((
                "generation",
                format!("observedGeneration {observed} of {generation}, and was {was}"),
            ));
        }
        if let Some(cluster) = self.clusters.get_mut(uid) {
            cluster.told = told;
            cluster.maximum = maximum;
            cluster.observed_generation = observed;
        }
        for (rule, detail) in broken {
            self.broken(rule, now, detail);
        }
    }

    /// In the end everything is as it is wanted, or said why not.
    pub(super) fn settled(&mut self, world: &mut EmbeddedWorld) {
        let objects = world.engine().site().application().api().objects(GROUP, "miniclusters");
        for object in objects {
            let metadata = &object["metadata"];
            let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
            let job = stored(world, "batch", "jobs", namespace, name).unwrap_or_default();
            let is_taken = is_taken(world, &object);
            let online = self.job_of(text(&metadata["uid"])).and_then(|job| job.ready.last().cloned());
            let differences = unsettled(&object, &job, &online.unwrap_or_default(), is_taken);
            for difference in differences {
                self.broken("settled", world.now(), format!("{name}: {difference}"));
            }
        }
    }
}

/// What a status says at rest that is not what there is: field or condition, what it says, what is so.
fn unsettled(object: &Value, job: &Value, ready: &BTreeSet<u32>, is_taken: bool) -> Vec<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let uid = &object["metadata"]["uid"];
    let owners = job["metadata"]["ownerReferences"].as_array();
    let is_own = owners.into_iter().flatten().any(|owner| owner["uid"] == *uid);
    let job = if is_own { job } else { &Value::Null };
    let (wanted, size) = (number(&spec["size"]), number(&job["spec"]["completions"]));
    let has_condition = |kind: &str| has(&job["status"], kind);
    let has_finished = has_condition("Complete") || has_condition("Failed");
    let is_limited = wanted > number(&status["maximumSize"]) || (has_finished && size != wanted);
    let is_degraded = is_taken || has_condition("Failed");
    let completed = text(&job["status"]["completedIndexes"]);
    let online = below(ready, size);
    let is_whole = online + completed_below(completed, size) >= size;
    let mut differences = Vec::new();
    let mut compare = |what: &str, says: Value, is: Value| {
        if says != is {
            differences.push(format!("{what} is {is}, and in the status {says}"));
        }
    };
    for (field, is) in [("size", size), ("ready", number(&job["status"]["ready"])), ("online", online)] {
        compare(field, number(&status[field]).into(), is.into());
    }
    compare("completedIndexes", text(&status["completedIndexes"]).into(), completed.into());
    let generation = &object["metadata"]["generation"];
    compare("observedGeneration", status["observedGeneration"].clone(), generation.clone());
    for (condition, is) in [
        ("Ready", is_own && !has_finished && !is_taken && is_whole),
        ("Degraded", is_degraded),
        ("ScalingLimited", is_limited),
    ] {
        compare(condition, has(status, condition).into(), is.into());
    }
    if size != wanted && !is_limited && !is_degraded {
        differences.push(format!("the Job has size {size}, and {wanted} are wanted"));
    }
    differences
}

/// What conditions claim that is not so.
fn conditions(object: &Value, job: &JobHistory, was_taken: bool) -> Vec<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut broken = Vec::new();
    let size = number(&status["size"]);
    let completed = completed_below(text(&status["completedIndexes"]), size);
    if has(status, "Ready") && number(&status["online"]) + completed < size {
        broken.push(format!("Ready with {} of {size} online", status["online"]));
    }
    if has(status, "ScalingLimited")
        && !job.is_finished
        && number(&spec["size"]) <= number(&status["maximumSize"])
        && status["observedGeneration"] == object["metadata"]["generation"]
    {
        broken.push(format!("ScalingLimited with size {}", spec["size"]));
    }
    if has(status, "Degraded") && !job.has_failed && !was_taken {
        broken.push("Degraded, and the Job has not failed and no name is another's".to_owned());
    }
    let mut seen = BTreeSet::new();
    for condition in status["conditions"].as_array().into_iter().flatten() {
        if !seen.insert(text(&condition["type"])) {
            broken.push(format!("{} twice", condition["type"]));
        }
    }
    broken
}

/// Whether a condition of a status is true.
fn has(status: &Value, kind: &str) -> bool {
    let is_it = |condition: &Value| condition["type"] == kind && condition["status"] == "True";
    status["conditions"].as_array().into_iter().flatten().any(is_it)
}

fn completed_below(indexes: &str, size: i64) -> i64 {
    IndexSet::parse_below(indexes, u32::try_from(size).unwrap_or(0)).len() as i64
}

fn below(indexes: &BTreeSet<u32>, size: i64) -> i64 {
    indexes.iter().filter(|index| i64::from(**index) < size).count() as i64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(size: i64, conditions: &[&str]) -> Value {
        let conditions: Vec<Value> =
            conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        json!({
            "metadata": {"uid": "1", "generation": 2},
            "spec": {"size": size},
            "status": {
                "size": 2, "maximumSize": 4, "ready": 2, "online": 1, "completedIndexes": "1",
                "observedGeneration": 2, "conditions": conditions,
            },
        })
    }

    fn job(condition: &str) -> Value {
        json!({
            "metadata": {"ownerReferences": [{"uid": "1"}]},
            "spec": {"completions": 2},
            "status": {
                "ready": 2, "completedIndexes": "1",
                "conditions": [{"type": condition, "status": "True"}],
            },
        })
    }

    #[test]
    fn what_a_status_says_at_rest_is_compared_with_what_there_is() {
        let ready = BTreeSet::from([0, 3]);
        let check = |object: &Value, job: &Value, is_taken| unsettled(object, job, &ready, is_taken);
        let none: Vec<String> = Vec::new();
        assert_eq!(check(&cluster(2, &["Ready"]), &job("Suspended"), false), none);
        assert_eq!(
            check(&cluster(3, &["Ready"]), &job("Suspended"), false),
            ["the Job has size 2, and 3 are wanted"]
        );
        assert_eq!(check(&cluster(5, &["Ready", "ScalingLimited"]), &job("Suspended"), false), none);
        assert_eq!(check(&cluster(3, &["Degraded", "ScalingLimited"]), &job("Failed"), false), none);
        assert_eq!(
            check(&cluster(2, &[]), &job("Failed"), false),
            ["Degraded is true, and in the status false"]
        );
        let of_another = json!({"metadata": {"ownerReferences": [{"uid": "2"}]}, "spec": {"completions": 9}});
        let mut waits = cluster(2, &["Degraded"]);
        waits["status"] =
            json!({"maximumSize": 4, "observedGeneration": 2, "conditions": waits["status"]["conditions"]});
        assert_eq!(check(&waits, &of_another, true), none);
    }

    #[test]
    fn conditions_claim_what_is_so() {
        let history = JobHistory::new("1");
        let check = |object: &Value, was_taken| conditions(object, &history, was_taken);
        let none: Vec<String> = Vec::new();
        assert_eq!(check(&cluster(2, &["Ready"]), false), none);
        assert_eq!(check(&cluster(4, &["ScalingLimited"]), false), ["ScalingLimited with size 4"]);
        assert_eq!(check(&cluster(5, &["ScalingLimited"]), false), none);
        assert_eq!(check(&cluster(2, &["Degraded"]), false).len(), 1);
        assert_eq!(check(&cluster(2, &["Degraded"]), true), none);
        assert_eq!(check(&cluster(2, &["Ready", "Ready"]), false), ["\"Ready\" twice"]);
        let mut lonely = cluster(2, &["Ready"]);
        lonely["status"]["completedIndexes"] = json!("");
        assert_eq!(check(&lonely, false), ["Ready with 1 of 2 online"]);
    }
}
