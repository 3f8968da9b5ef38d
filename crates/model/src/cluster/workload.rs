//! What the processes in pods do: how long they run, how they end, and what they make of SIGTERM.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::index_set::IndexSet;
use crate::objects::{Pod, Uid};

/// What the containers of a pod do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How long the process runs by itself; for ever when absent.
    pub runs_for: Option<Duration>,
    /// The code with which it then ends.
    pub exit_code: i32,
    /// What it does at SIGTERM.
    pub on_term: OnTerm,
}

impl Behaviour {
    /// Runs until told to stop; SIGTERM ends it at once with 143, as it ends a process without a handler.
    pub const DEFAULT: Self = Self {
        runs_for: None,
        exit_code: 0,
        on_term: OnTerm::Exit { exit_code: 143, after: Duration::ZERO },
    };
}

impl Behaviour {
    /// An application says what happens: by itself the process neither ends nor heeds SIGTERM.
    pub(super) const DRIVEN: Self = Self { runs_for: None, exit_code: 0, on_term: OnTerm::Ignore };
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a process does at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerm {
    /// It ends with this code after this time.
    Exit {
        /// The code.
        exit_code: i32,
        /// The time it needs.
        after: Duration,
    },
    /// It goes on, until SIGKILL ends it with 137.
    Ignore,
}

/// Says what the containers of some pods do.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadRule {
    /// Only pods of the Job of this name.
    pub job: Option<Arc<str>>,
    /// Only these completion indexes.
    pub indexes: Option<IndexSet>,
    /// Only the nth pod (from 1) of its index; of its Job when there are no indexes.
    pub incarnation: Option<u32>,
    /// What they do.
    pub behaviour: Behaviour,
}

/// Position of a rule; the default behaviour lies behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BehaviourId(u16);

/// The rules of a run: the first that matches decides, [`Behaviour::DEFAULT`] when none does.
#[derive(Clone, Debug, Default)]
pub(super) struct Workload {
    rules: Vec<WorkloadRule>,
    /// Pods so far per Job and index; kept only when a rule asks.
    incarnations: BTreeMap<(Uid, Option<u32>), u32>,
    counts_incarnations: bool,
    /// What the pods that exist do, from their creation.
    by_pod: BTreeMap<Uid, BehaviourId>,
    /// Pods of which an application says what they do, and whether it says when they are ready too.
    driven: BTreeMap<Uid, bool>,
}

impl Workload {
    pub(super) fn new(mut rules: Vec<WorkloadRule>) -> Self {
        rules.truncate(usize::from(u16::MAX));
        let counts_incarnations = rules.iter().any(|rule| rule.incarnation.is_some());
        Self { rules, counts_incarnations, ..Self::default() }
    }

    /// A pod was created: settles what it will do.
    pub(super) fn created(&mut self, pod: &Pod) {
        if self.rules.is_empty() {
            return;
        }
        let owner = pod.owner.as_ref().filter(|owner| owner.is_job);
        let incarnation = match owner {
            Some(owner) if self.counts_incarnations => {
                let count = self.incarnations.entry((owner.uid, pod.index.get())).or_default();
                *count = count.saturating_add(1);
                *count
            }
            _ => 1,
        };
        let matches = |rule: &WorkloadRule| {
            rule.job.as_ref().is_none_or(|job| owner.is_some_and(|owner| owner.name == *job))
                && rule.incarnation.is_none_or(|wanted| wanted == incarnation)
                && rule
                    .indexes
                    .as_ref()
                    .is_none_or(|set| pod.index.get().is_some_and(|index| set.contains(index)))
        };
        if let Some(position) = self.rules.iter().position(matches) {
            self.by_pod.insert(pod.uid, BehaviourId(u16::try_from(position).unwrap_or(u16::MAX)));
        }
    }

    /// An application drives this pod.
    pub(super) fn hand_over(&mut self, pod: Uid, has_probe: bool) {
        self.driven.insert(pod, has_probe);
    }

    /// Whether the application that drives this pod says when it is ready.
    pub(super) fn has_probe(&self, pod: Uid) -> bool {
        self.driven.get(&pod).is_some_and(|has_probe| *has_probe)
    }

    /// Whether an application drives this pod.
    pub(super) fn is_driven(&self, pod: Uid) -> bool {
        self.driven.contains_key(&pod)
    }

    /// The pod is gone.
    pub(super) fn forget(&mut self, pod: Uid) {
        self.by_pod.remove(&pod);
        self.driven.remove(&pod);
    }

    /// What this pod does.
    pub(super) fn of(&self, pod: Uid) -> &Behaviour {
        const DEFAULT: &Behaviour = &Behaviour::DEFAULT;
        const DRIVEN: &Behaviour = &Behaviour::DRIVEN;
        if self.driven.contains_key(&pod) {
            return DRIVEN;
        }
        self.by_pod
            .get(&pod)
            .and_then(|id| self.rules.get(usize::from(id.0)))
            .map_or(DEFAULT, |rule| &rule.behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{ObjectKey, OwnerReference, PodIndex, PodSpec, PodStatus, RestartPolicy};
    use crate::time::Time;

    fn pod(uid: u32, job: Option<(&str, u32)>, index: Option<u32>) -> Pod {
        let owner =
            |(name, uid): (&str, u32)| OwnerReference { is_job: true, name: name.into(), uid: Uid(uid) };
        Pod {
            key: ObjectKey::new("default", format!("p{uid}")),
            uid: Uid(uid),
            resource_version: 1,
            labels: Arc::default(),
            owner: job.map(owner),
            index: index.map_or(PodIndex::Absent, PodIndex::At),
            index_failure_count: None,
            index_ignored_failure_count: None,
            tracked: false,
            foreign_finalizers: Arc::new([]),
            creation_time: Time::ZERO,
            deletion: None,
            spec: Arc::new(PodSpec { restart_policy: RestartPolicy::Never, ..PodSpec::default() }),
            node: None,
            status: PodStatus::default(),
        }
    }

    fn rule(
        job: Option<&str>,
        indexes: Option<&str>,
        incarnation: Option<u32>,
        exit_code: i32,
    ) -> WorkloadRule {
        WorkloadRule {
            job: job.map(Into::into),
            indexes: indexes.map(|text| IndexSet::parse_below(text, 100)),
            incarnation,
            behaviour: Behaviour { exit_code, ..Behaviour::DEFAULT },
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = vec![
            rule(Some("a"), Some("1,3-4"), Some(2), 10),
            rule(Some("a"), Some("1,3-4"), None, 20),
            rule(None, None, Some(2), 30),
            rule(Some("a"), None, None, 40),
        ];
        let mut workload = Workload::new(rules);
        // Job and its uid, index, exit code; in order of creation.
        let pods = [
            (Some(("a", 1)), Some(1), 20),
            (Some(("a", 1)), Some(2), 40),
            (Some(("a", 1)), Some(1), 10),
            (Some(("a", 1)), Some(2), 30),
            (Some(("a", 1)), Some(1), 20),
            (Some(("b", 2)), Some(1), 0),
            (Some(("b", 2)), Some(1), 30),
            // The Job was deleted and made again: its pods count anew.
            (Some(("a", 3)), Some(3), 20),
            (None, None, 0),
        ];
        for (uid, &(job, index, _)) in (0..).zip(&pods) {
            workload.created(&pod(uid, job, index));
        }
        let codes = (0..9).map(|uid| workload.of(Uid(uid)).exit_code);
        assert!(codes.eq(pods.iter().map(|pod| pod.2)));
        workload.forget(Uid(0));
        assert_eq!(workload.of(Uid(0)), &Behaviour::DEFAULT);
    }
}
