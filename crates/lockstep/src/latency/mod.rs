//! How long it takes until a MiniCluster has the size that somebody wants, phase by phase: a pure function of what was to be seen.
//!
//! A world tells what is to be seen of the objects as [`Sighting`]s: a virtual one from its observations ([`play::Virtual`]), a real one from its
//! watches. [`operations`] makes an [`Operation`] of each change of size, and its [`Operation::phases`] are what is compared. So the phases of a run of the
//! model and those of a real cluster are made by the same code.

pub mod compare;
pub mod fit;
pub mod large_job;
pub mod page;
pub mod play;
pub mod profile;
pub mod recording;
pub mod sigterm;
mod stages;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use towtank_model::objects::TERMINATION_GRACE_PERIOD_S;
use towtank_model::time::Time;

/// Something that was to be seen of a MiniCluster, of its Job or of one of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Since when.
    pub at: Time,
    /// What.
    pub seen: Seen,
}

/// What was to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The MiniCluster.
    MiniCluster {
        /// `spec.size`.
        size: i64,
        /// `status.size`.
        told: i64,
        /// `status.ready`.
        ready: i64,
    },
    /// Its Job.
    Job {
        /// `spec.parallelism`.
        parallelism: i64,
        /// `status.active`.
        active: i64,
        /// `status.ready`.
        ready: i64,
        /// `status.terminating`.
        terminating: i64,
    },
    /// A pod, by a number of its own.
    Pod(u64, PodSeen),
    /// A pod is no more.
    Gone(u64),
    /// So many brokers are online.
    Online(i64),
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    /// It has a node.
    pub is_bound: bool,
    /// Its phase is Running, or was.
    pub has_run: bool,
    /// Its condition Ready is True.
    pub is_ready: bool,
    /// It has a deletion timestamp.
    pub is_told: bool,
    /// Its phase is Succeeded or Failed.
    pub has_ended: bool,
}

/// One change of size, from the change of the MiniCluster's spec until everything is as it should be. All times are milliseconds since the change, to a tenth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Size before.
    pub from: i64,
    /// Size that is wanted.
    pub to: i64,
    /// The Job has the new size in its spec.
    pub patched: f64,
    /// What became of each pod that came or went, in the order in which they were created, or told to go: of one that came when it was created, bound,
    /// running and ready; of one that went when it was told to go, ended and gone.
    pub pods: Vec<Vec<f64>>,
    /// As many brokers are online as are wanted.
    pub online: f64,
    /// The status of the Job counts as many pods as are wanted, all of them ready and none on its way out, and the status of the MiniCluster says the same.
    pub settled: f64,
}

/// What pods of an operation go through.
const GROWS: [&str; 4] = ["pods created", "pods scheduled", "pods running", "pods ready"];
const SHRINKS: [&str; 3] = ["pods told to go", "pods ended", "pods gone"];

impl Operation {
    /// Whether pods come rather than go.
    pub const fn grows(&self) -> bool {
        self.to > self.from
    }

    /// The size before and after, as tables show it.
    pub fn name(&self) -> String {
        format!("{}→{}", self.from, self.to)
    }

    /// Whether some pod that was told to go has not ended within the usual grace period.
    pub fn outlasts_grace_period(&self) -> bool {
        let grace_period_ms = f64::from(TERMINATION_GRACE_PERIOD_S) * 1_000.0;
        let mut ends = self.pods.iter().filter_map(|pod| Some(pod.get(1)? - pod.first()?));
        !self.grows() && ends.any(|end| end >= grace_period_ms)
    }

    /// When the last pod had come so far (see [`Operation::pods`]).
    fn last(&self, step: usize) -> f64 {
        self.pods.iter().filter_map(|pod| pod.get(step)).copied().fold(0.0, f64::max)
    }

    /// Milestones in order, and when each was reached: by the last pod, where it is about pods.
    fn milestones(&self) -> Vec<(&'static str, f64)> {
        let names: &[&str] = if self.grows() { &GROWS } else { &SHRINKS };
        let mut all = vec![("Job patched", self.patched)];
        all.extend(names.iter().enumerate().map(|(step, name)| (*name, self.last(step))));
        // A pod is ready when its broker is online, and ends when its broker has gone.
        let (place, name) = if self.grows() { (all.len() - 1, "brokers online") } else { (2, OFFLINE) };
        all.insert(place, (name, self.online));
        all.push(("status settled", self.settled));
        all
    }

    /// How much each phase adds, in milliseconds: from the milestone before it, or the last of those before it, to its own. A milestone that was reached before
    /// another that comes earlier in the list adds nothing. The last is the sum.
    pub fn phases(&self) -> Vec<(&'static str, f64)> {
        let mut reached = 0.0_f64;
        let mut phases = Vec::new();
        for (name, at) in self.milestones() {
            phases.push((name, (at - reached).max(0.0)));
            reached = reached.max(at);
        }
        phases.push((WHOLE, reached));
        phases
    }
}

/// Name of the phase in which brokers leave.
const OFFLINE: &str = "brokers offline";
/// Name of the sum of all phases.
pub const WHOLE: &str = "in all";

/// All changes of size that came to their end, in order.
pub fn operations(sightings: &[Sighting]) -> Vec<Operation> {
    let mut tracker = Tracker::default();
    sightings.iter().filter_map(|sighting| tracker.note(sighting)).collect()
}

/// Follows what is to be seen.
#[derive(Debug, Default)]
pub struct Tracker {
    /// Before the present change.
    from: i64,
    /// `spec.size`.
    size: i64,
    /// When it was changed; `None`: the last change has come to its end.
    asked: Option<Time>,
    told: (i64, i64),
    job: [i64; 4],
    online: i64,
    pods: BTreeMap<u64, PodSeen>,
    /// Milestones of the present change.
    patched: Option<Time>,
    came_online: Option<Time>,
    /// Of each pod that came or went since the change, when it was created, and of what comes then; by number.
    marks: BTreeMap<u64, [Option<Time>; 4]>,
    /// Their numbers in order.
    order: Vec<u64>,
}

impl Tracker {
    /// Whether a change is under way.
    pub const fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// The size that is wanted.
    pub const fn size(&self) -> i64 {
        self.size
    }

    /// Takes note of what is to be seen; the change of size that has come to its end with it.
    pub fn note(&mut self, sighting: &Sighting) -> Option<Operation> {
        let at = sighting.at;
        match sighting.seen {
            Seen::MiniCluster { size, told, ready } => {
                if size != self.size {
                    let from = std::mem::replace(&mut self.size, size);
                    self.begin(from, at);
                }
                self.told = (told, ready);
            }
            Seen::Job { parallelism, active, ready, terminating } => {
                self.job = [parallelism, active, ready, terminating];
            }
            Seen::Online(count) => self.online = count,
            Seen::Pod(uid, pod) => self.pod(uid, pod, at),
            Seen::Gone(uid) => {
                let pod = self.pods.remove(&uid).unwrap_or_default();
                if self.size < self.from {
                    self.mark(uid, [true, true, true, false], at, !pod.is_told);
                }
            }
        }
        self.asked?;
        let size = self.size;
        let first = |place: &mut Option<Time>, is_so: bool| {
            if is_so {
                place.get_or_insert(at);
            }
        };
        first(&mut self.patched, self.job[0] == size);
        first(&mut self.came_online, self.online == size);
        self.end(at)
    }

    fn begin(&mut self, from: i64, at: Time) {
        self.from = from;
        self.asked = Some(at);
        (self.patched, self.came_online) = (None, None);
        self.marks.clear();
        self.order.clear();
    }

    fn pod(&mut self, uid: u64, pod: PodSeen, at: Time) {
        let old = self.pods.insert(uid, pod);
        if self.size > self.from {
            let steps = [true, pod.is_bound, pod.has_run, pod.is_ready];
            self.mark(uid, steps, at, old.is_none());
        } else if pod.is_told {
            let steps = [true, pod.has_ended, false, false];
            self.mark(uid, steps, at, !old.is_some_and(|old| old.is_told));
        }
    }

    /// A pod has come so far; with `is_new`, it is one of those that the change is about.
    fn mark(&mut self, uid: u64, steps: [bool; 4], at: Time, is_new: bool) {
        if self.asked.is_none() || !is_new && !self.marks.contains_key(&uid) {
            return;
        }
        if !self.marks.contains_key(&uid) {
            self.order.push(uid);
        }
        let marks = self.marks.entry(uid).or_default();
        for (mark, is_there) in marks.iter_mut().zip(steps) {
            if is_there {
                mark.get_or_insert(at);
            }
        }
    }

    /// The present change, when it has come to its end.
    fn end(&mut self, at: Time) -> Option<Operation> {
        let asked = self.asked?;
        let (from, to) = (self.from, self.size);
        if self.told != (to, to) || self.job != [to, to, to, 0] {
            return None;
        }
        let ms = |at: Time| milliseconds(at.since(asked));
        let steps = if to > from { GROWS.len() } else { SHRINKS.len() };
        let pods: Option<Vec<Vec<f64>>> = self
            .order
            .iter()
            .map(|uid| self.marks.get(uid)?.iter().take(steps).map(|mark| mark.map(ms)).collect())
            .collect();
        let operation = Operation {
            from,
            to,
            patched: ms(self.patched?),
            pods: pods.filter(|pods| pods.len() as u64 >= from.abs_diff(to))?,
            online: ms(self.came_online?),
            settled: ms(at),
        };
        self.asked = None;
        Some(operation)
    }
}

/// To a tenth.
fn milliseconds(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests;
