//! Between the objects of a real cluster and those that the model's rows are read from.
//!
//! `wire` reads objects in which uids are counted and in which a run starts at a certain second (see there). A real cluster has
//! random uids and the time of day, so both are exchanged on the way in, and back on the way out; everything else stays.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use towtank_model::objects::Uid;
use towtank_wire::Kind;

/// Fields that hold a time, wherever they are in a Job or a pod.
const TIMES: [&str; 11] = [
    "completionTime",
    "creationTimestamp",
    "deletionTimestamp",
    "finishedAt",
    "firstTimestamp",
    "lastProbeTime",
    "lastTimestamp",
    "lastTransitionTime",
    "startTime",
    "startedAt",
    "timeAdded",
];

/// Labels whose value is the uid of a Job.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];

/// The start of a run in the texts that `wire` reads, in seconds of Unix time.
const START_S: i64 = 946_684_800;

/// The uids of one run, and when it began.
#[derive(Debug)]
pub(crate) struct Translation {
    /// From the real time to that of the run.
    shift: SignedDuration,
    jobs: Uids,
    pods: Uids,
}

#[derive(Debug, Default)]
struct Uids {
    numbers: BTreeMap<String, u32>,
    texts: Vec<String>,
}

impl Uids {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

impl Translation {
    /// For a run that began at this second of Unix time.
    pub(crate) fn new(began_s: i64) -> Self {
        let shift = SignedDuration::from_secs(START_S.saturating_sub(began_s));
        Self { shift, jobs: Uids::default(), pods: Uids::default() }
    }

    fn uids(&mut self, kind: Kind) -> Option<&mut Uids> {
        match kind {
            Kind::Job => Some(&mut self.jobs),
            Kind::Pod => Some(&mut self.pods),
            Kind::Node => None,
        }
    }

    /// The row's text for a Job that has been seen.
    pub(crate) fn known_job(&self, uid: &str) -> Option<Uid> {
        self.jobs.numbers.get(uid).copied().map(Uid)
    }

    /// The row's text for a pod that has been seen, as the cluster stores it.
    pub(crate) fn known_pod(&self, stored: &Value) -> Option<Uid> {
        let uid = stored["metadata"]["uid"].as_str()?;
        self.pods.numbers.get(uid).copied().map(Uid)
    }

    /// Makes an object of the cluster one that a row can be read from.
    pub(crate) fn inward(&mut self, kind: Kind, object: &mut Value) {
        shift_times(object, self.shift);
        if let Some(uid) = object.pointer_mut("/metadata/uid") {
            self.count(kind, uid);
        }
        let owners = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter(|owner| owner["kind"] == "Job") {
            self.count(Kind::Job, &mut owner["uid"]);
        }
        for place in ["/metadata/labels", "/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            for label in UID_LABELS {
                if let Some(uid) = object.pointer_mut(place).and_then(|labels| labels.get_mut(label)) {
                    self.count(Kind::Job, uid);
                }
            }
        }
        for list in ["succeeded", "failed"] {
            let pods = object.pointer_mut(&format!("/status/uncountedTerminatedPods/{list}"));
            for uid in pods.and_then(Value::as_array_mut).into_iter().flatten() {
                self.count(Kind::Pod, uid);
            }
        }
    }

    fn count(&mut self, kind: Kind, uid: &mut Value) {
        let Some(text) = uid.as_str().map(str::to_owned) else { return };
        if let Some(uids) = self.uids(kind) {
            *uid = kind.uid_text(Uid(uids.number(&text))).into();
        }
    }

    /// Makes the body of a request that was written from rows one that the cluster understands.
    pub(crate) fn outward(&self, body: &mut Value) {
        shift_times(body, -self.shift);
        self.restore(body);
    }

    /// Puts real uids in the places of counted ones, which nothing else looks like.
    fn restore(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let real = |kind: Kind, uids: &Uids| {
                    kind.uid(text).and_then(|uid| uids.texts.get(uid.0 as usize)).cloned()
                };
                if let Some(uid) = real(Kind::Job, &self.jobs).or_else(|| real(Kind::Pod, &self.pods)) {
                    *text = uid;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.restore(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.restore(field)),
            _ => {}
        }
    }
}

fn shift_times(value: &mut Value, shift: SignedDuration) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| shift_times(item, shift)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let time = field.as_str().filter(|_| TIMES.contains(&name.as_str()));
                match time.and_then(|text| text.parse::<Timestamp>().ok()) {
                    Some(time) => {
                        *field =
                            time.saturating_add(shift).map_or(Value::Null, |time| time.to_string().into())
                    }
                    None => shift_times(field, shift),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const BEGAN_S: i64 = 1_767_225_600;

    #[test]
    fn uids_are_counted_and_times_begin_with_the_run() {
        let mut translation = Translation::new(BEGAN_S);
        let mut pod = json!({
            "metadata": {
                "uid": "b7c6", "creationTimestamp": "2026-01-01T00:00:05Z",
                "labels": {"batch.kubernetes.io/controller-uid": "a1", "app": "a1"},
                "ownerReferences": [{"kind": "Job", "uid": "a1"}],
            },
            "status": {"startTime": "2026-01-01T00:01:00Z", "conditions": [{"lastTransitionTime": null}]},
        });
        translation.inward(Kind::Pod, &mut pod);
        let job = Kind::Job.uid_text(Uid(0));
        assert_eq!(
            pod,
            json!({
                "metadata": {
                    "uid": Kind::Pod.uid_text(Uid(0)), "creationTimestamp": "2000-01-01T00:00:05Z",
                    "labels": {"batch.kubernetes.io/controller-uid": job, "app": "a1"},
                    "ownerReferences": [{"kind": "Job", "uid": job}],
                },
                "status": {"startTime": "2000-01-01T00:01:00Z", "conditions": [{"lastTransitionTime": null}]},
            })
        );
    }

    #[test]
    fn what_goes_out_is_what_came_in() {
        let mut translation = Translation::new(BEGAN_S);
        let real = json!({
            "metadata": {"uid": "a1", "name": "j"},
            "status": {"startTime": "2026-01-01T00:00:01Z", "uncountedTerminatedPods": {"succeeded": ["p1", "p2"]}},
        });
        let mut object = real.clone();
        translation.inward(Kind::Job, &mut object);
        assert_eq!(object["status"]["uncountedTerminatedPods"]["succeeded"][1], Kind::Pod.uid_text(Uid(1)));
        translation.outward(&mut object);
        assert_eq!(object, real);
    }

    #[test]
    fn an_object_keeps_its_number() {
        let mut translation = Translation::new(BEGAN_S);
        for (text, number) in [("x", 0), ("y", 1), ("x", 0)] {
            let mut job = json!({"metadata": {"uid": text}});
            translation.inward(Kind::Job, &mut job);
            assert_eq!(job["metadata"]["uid"], Kind::Job.uid_text(Uid(number)));
        }
        assert_eq!(translation.known_job("y"), Some(Uid(1)));
        assert_eq!(translation.known_job("z"), None);
    }
}
