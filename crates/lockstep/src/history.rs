//! What became of each object, without times: how runs are compared whose operators are not the same program.
//!
//! The model of the operator and the production operator come to the same decisions, but the one writes at once what the other writes request by
//! request, so nothing happens at the same time, and what is counted in between (ready pods of a Job, writes of a status) is counted otherwise. What must be
//! the same all the same is the history of every object: each Job with its sizes and how it finished, each pod of each index with the
//! phases it went through, who told it to go, and whether it is gone. When a pod is ready is a matter of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_model::objects::{ConditionStatus, Job, Pod, Uid};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Versions};

use crate::trace_text::{Names, TraceLine, actor_name, job_size};

/// The histories of all Jobs and pods, one after another; lines of one object in order.
pub(crate) fn lines(trace: &[TraceEntry]) -> Vec<TraceLine> {
    told(trace, |actor| format!(" by {}", actor_name(actor))).into_iter().map(|(line, _)| line).collect()
}

/// The same without who told a pod to go, and without numbers of pods that have no index: which of equal pods comes first is chance. Each with its place in the
/// trace.
pub(crate) fn lines_by_chance(trace: &[TraceEntry]) -> Vec<(TraceLine, usize)> {
    object_by_object(told(trace, |_| String::new()))
}

/// Lines of histories, in whichever order the objects come, as [`lines_by_chance`] has them; lines of one object must be in order.
pub(crate) fn object_by_object<T>(lines: impl IntoIterator<Item = (TraceLine, T)>) -> Vec<(TraceLine, T)> {
    let mut objects: Vec<Vec<(TraceLine, T)>> = Vec::new();
    // Where the lines are of who bears a name now: a later object may have the name of one that has gone.
    let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
    for (mut line, place) in lines {
        let (object, event) = parts(&line);
        let (object, is_new) = (object.to_owned(), is_creation(event));
        if let Some((job, _number)) = object.split_once("/#") {
            line.text = format!("{job}/#: {event}");
        }
        let known = bearers.get(&object).filter(|_| !is_new).and_then(|known| objects.get_mut(*known));
        match known {
            Some(lines) => lines.push((line, place)),
            None => {
                bearers.insert(object, objects.len());
                objects.push(vec![(line, place)]);
            }
        }
    }
    let texts = |lines: &[(TraceLine, T)]| -> Vec<String> {
        lines.iter().map(|(line, _)| line.text.clone()).collect()
    };
    objects.sort_by_cached_key(|lines| texts(lines));
    objects.into_iter().flatten().collect()
}

/// The object that a line of a history is about, and what became of it.
pub(crate) fn parts(line: &TraceLine) -> (&str, &str) {
    line.text.split_once(": ").unwrap_or((&line.text, ""))
}

/// Whether an object begins with this.
pub(crate) fn is_creation(event: &str) -> bool {
    event == CREATED || event.starts_with("created with ")
}

const CREATED: &str = "created";
/// An object has a deletion timestamp.
pub(crate) const TOLD_TO_GO: &str = "told to go";

/// Each line with its place in the trace.
fn told(trace: &[TraceEntry], author: impl Fn(Actor) -> String) -> Vec<(TraceLine, usize)> {
    let mut names = Names::default();
    // The Jobs of each name: a later one may have the name of one that has gone.
    let mut jobs: BTreeMap<Option<Arc<str>>, Vec<Uid>> = BTreeMap::new();
    let mut histories = Vec::new();
    for (place, entry) in trace.iter().enumerate() {
        let Fact::Changed(_, change) = &entry.fact else { continue };
        let (owner, object, job, events) = match change {
            Change::Job(versions) => {
                let Some(job) = versions.new.as_ref().or(versions.old.as_ref()) else { continue };
                (
                    Some(job.uid),
                    format!("job {}", job.key.name),
                    Some(job.key.name.clone()),
                    job_events(versions),
                )
            }
            Change::Pod(versions) => {
                let Some(pod) = versions.new.as_ref().or(versions.old.as_ref()) else { continue };
                let owner = pod.owner.as_ref();
                let job = owner.map(|owner| owner.name.clone());
                let events = pod_events(versions, &author(entry.actor));
                (owner.map(|owner| owner.uid), format!("pod {}", names.pod(pod)), job, events)
            }
            Change::Node(_) => continue,
        };
        let number = owner.map_or(0, |uid| {
            let of_name = jobs.entry(job.clone()).or_default();
            of_name.iter().position(|known| *known == uid).unwrap_or_else(|| {
                of_name.push(uid);
                of_name.len() - 1
            })
        });
        for event in events {
            let line = TraceLine {
                at: entry.at,
                actor: actor_name(entry.actor),
                text: format!("{object}: {event}"),
                job: job.clone(),
                is_refused: false,
                is_event: false,
            };
            histories.push(((job.clone(), number, object.clone()), (line, place)));
        }
    }
    histories.sort_by(|one, other| one.0.cmp(&other.0));
    histories.into_iter().map(|(_, line)| line).collect()
}

fn job_events(Versions { old, new }: &Versions<Job>) -> Vec<String> {
    let Some(new) = new else { return vec!["gone".to_owned()] };
    let mut events = Vec::new();
    match old {
        None => events.push(format!("created with {}", job_size(new))),
        Some(old) if job_size(old) != job_size(new) => events.push(job_size(new)),
        Some(_) => {}
    }
    for condition in &new.status.conditions {
        let was_true = old.as_ref().is_some_and(|old| old.status.true_condition(condition.kind).is_some());
        if condition.status == ConditionStatus::True && !was_true {
            events.push(format!("{} {}", condition.kind.as_str(), condition.reason));
        }
    }
    if new.deletion_time.is_some() && old.as_ref().is_none_or(|old| old.deletion_time.is_none()) {
        events.push(TOLD_TO_GO.to_owned());
    }
    events
}

fn pod_events(Versions { old, new }: &Versions<Pod>, author: &str) -> Vec<String> {
    let Some(new) = new else { return vec!["gone".to_owned()] };
    let Some(old) = old else { return vec![CREATED.to_owned()] };
    let mut events = Vec::new();
    if new.deletion.is_some() && old.deletion.is_none() {
        events.push(format!("{TOLD_TO_GO}{author}"));
    }
    if new.status.phase != old.status.phase {
        events.push(new.status.phase.as_str().to_owned());
    }
    events
}

#[cfg(test)]
mod tests {
    use towtank_model::time::Time;

    use super::*;

    fn sorted(texts: &[&str]) -> Vec<String> {
        let lines = texts.iter().map(|text| (TraceLine::of_history(Time::ZERO, (*text).to_owned()), ()));
        object_by_object(lines).into_iter().map(|(line, ())| line.text).collect()
    }

    #[test]
    fn the_order_of_objects_is_their_own() {
        let [two, ten] =
            [["pod j/0#2: created", "pod j/0#2: Running"], ["pod j/0#10: created", "pod j/0#10: Failed"]];
        assert_eq!(sorted(&[two, ten].concat()), [ten, two].concat());
        assert_eq!(sorted(&[ten, two].concat()), [ten, two].concat());
    }

    #[test]
    fn a_name_may_have_two_bearers() {
        let [first, second] =
            [["job j: created with 1/1", "job j: gone"], ["job j: created with 1/1", "job j: 2/2"]];
        assert_eq!(sorted(&[second, first].concat()), [second, first].concat());
        assert_eq!(sorted(&[first, second].concat()), [second, first].concat());
    }

    #[test]
    fn pods_without_an_index_have_no_numbers() {
        let lines = ["pod j/#1: created", "pod j/#2: created", "pod j/#1: Running", "pod j/#2: Failed"];
        assert_eq!(
            sorted(&lines),
            ["pod j/#: created", "pod j/#: Failed", "pod j/#: created", "pod j/#: Running"]
        );
    }
}
