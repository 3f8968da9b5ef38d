//! Rules of order between objects, which hold in every cluster: what they forbid is not explained, whatever runs of the model show.
//!
//! Histories (module `history`) have an order within each object only. Between objects there are four rules, each a promise of the Job controller. They are necessary
//! conditions: where a story's own hands may bring something about (`Hands`), or where histories do not tell enough, a rule is silent.
//!
//! Watches of Jobs and of pods are two connections, and what the one tells may come later than what the other does; so only pods are ordered
//! among themselves exactly. See [`WATCHES_APART`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use towtank_model::objects::PodReplacementPolicy;
use towtank_model::server::{Change, Fact, TraceEntry};
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Scenario};

use crate::history;
use crate::run::Run;
use crate::trace_text::TraceLine;

/// How much later one watch may tell of something than another: a second, many times what was seen between the recorded watches of kind (15 ms).
pub const WATCHES_APART: Duration = Duration::from_secs(1);

/// A rule of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A pod is created after its Job, and one with an index after the Job has had a size with this index (Job controller: `manageJob`, `firstPendingIndexes`).
    Created,
    /// A pod that has not ended is told to go after its Job was made smaller, was told to go, or is gone; or the Job ends or is suspended (Job controller: `manageJob`,
    /// `deleteActivePods`; garbage collector).
    ToldToGo,
    /// The next pod of an index is created after its predecessor has ended, or was told to go where the Job's `podReplacementPolicy` is not Failed
    /// (Job controller: `manageJob` counts active pods and, with that policy, terminating ones).
    Replaced,
    /// A Job is complete after a pod of every index, or as many pods as it has completions, has succeeded (Job controller: `syncJob`).
    Completed,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "a pod is created after its Job has a size with its index",
            Self::ToldToGo => "a pod is told to go after its Job was made smaller or told to go itself",
            Self::Replaced => "the next pod of an index is created after its predecessor has ended",
            Self::Completed => "a Job is complete after its pods have succeeded",
        })
    }
}

/// A rule that was broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// What came too early.
    pub line: TraceLine,
}

/// What else a story does to pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hands {
    /// From when on pods may be told to go by others than the controllers; `None`: never.
    delete_from: Option<Time>,
    /// The Job controller may not know of its pods, or pods may leave their Job: an index may have two pods, one of which has to go.
    blind: bool,
}

impl Hands {
    /// Those of a scenario whose steps began at these times; none: nobody knows.
    pub(super) fn of(scenario: &Scenario, asked: Option<&[Time]>) -> Self {
        let actions = || scenario.steps.iter().map(|step| &step.action.value).enumerate();
        let deletes = |action: &Action| {
            let ends = matches!(action, Action::Node { .. } | Action::TerminateNamespace(_));
            ends || matches!(action, Action::DeletePods { .. } | Action::Evict { .. })
        };
        let first = actions().find(|(_, action)| deletes(action)).map(|(step, _)| step);
        let delete_from =
            first.map(|step| asked.and_then(|asked| asked.get(step).copied()).unwrap_or(Time::ZERO));
        let blinds = |action: &Action| matches!(action, Action::Cache { .. } | Action::EditPod { .. });
        // A call whose answer is lost is made again.
        let blind = !scenario.cluster.faults.is_empty() || actions().any(|(_, action)| blinds(action));
        Self { delete_from, blind }
    }
}

/// The first rule that a run on virtual time breaks: all of it is seen at once there.
pub fn check(scenario: &Scenario, run: &Run) -> Option<Broken> {
    let begun: Option<Vec<Time>> = run.steps.iter().map(|step| step.at).collect();
    let history: Vec<TraceLine> =
        history::lines_by_chance(&run.trace).into_iter().map(|(line, _)| line).collect();
    broken(&history, Hands::of(scenario, begun.as_deref()), &replaced_when_ended(&run.trace), Duration::ZERO)
}

/// Jobs whose pods are replaced when they have ended, not before.
pub(super) fn replaced_when_ended(trace: &[TraceEntry]) -> BTreeSet<String> {
    let jobs = trace.iter().filter_map(|entry| match &entry.fact {
        Fact::Changed(_, Change::Job(versions)) => versions.new.as_ref(),
        _ => None,
    });
    jobs.filter(|job| job.spec.pod_replacement_policy == Some(PodReplacementPolicy::Failed))
        .map(|job| job.key.name.to_string())
        .collect()
}

/// The first rule that a history breaks. `apart` is how late a watch may be ([`WATCHES_APART`]).
pub(super) fn broken(
    history: &[TraceLine],
    hands: Hands,
    replaced_when_ended: &BTreeSet<String>,
    apart: Duration,
) -> Option<Broken> {
    let mut jobs: BTreeMap<&str, JobStory<'_>> = BTreeMap::new();
    for line in history {
        let (object, event) = history::parts(line);
        match object.split_once(' ') {
            Some(("job", name)) => jobs.entry(name).or_default().take(line, event),
            Some(("pod", name)) => {
                let Some((job, number)) = name.split_once('/') else { continue };
                let index = number.split_once('#').unwrap_or((number, ""));
                jobs.entry(job).or_default().take_pod(index, line, event);
            }
            _ => {}
        }
    }
    let story = |(name, story): (&&str, &JobStory<'_>)| {
        story.broken(hands, replaced_when_ended.contains(*name), apart)
    };
    // What came first is the cause of what follows.
    jobs.iter().filter_map(story).min_by_key(|broken| broken.line.at)
}

/// What became of a Job and its pods.
#[derive(Default)]
struct JobStory<'a> {
    /// Jobs that have had this name.
    jobs: usize,
    /// Parallelism and completions, and from when on.
    sizes: Vec<(Time, i64, Option<i64>)>,
    /// When it was told to go, or was gone.
    goes: Option<Time>,
    /// Conditions that became true.
    conditions: Vec<&'a TraceLine>,
    /// The pods of each index by their numbers; those without an index under an empty one.
    pods: BTreeMap<&'a str, BTreeMap<u32, PodStory<'a>>>,
    /// Pods without an index, so far.
    unnumbered: u32,
}

/// What became of a pod.
#[derive(Default)]
struct PodStory<'a> {
    created: Option<&'a TraceLine>,
    told: Option<&'a TraceLine>,
    succeeded: Option<Time>,
    /// Succeeded, failed or gone.
    ended: Option<Time>,
}

impl<'a> JobStory<'a> {
    fn take(&mut self, line: &'a TraceLine, event: &str) {
        match event {
            history::TOLD_TO_GO | "gone" => {
                self.goes.get_or_insert(line.at);
            }
            _ => match size(event) {
                Some((parallelism, completions)) => {
                    self.jobs += usize::from(history::is_creation(event));
                    self.sizes.push((line.at, parallelism, completions));
                }
                None => self.conditions.push(line),
            },
        }
    }

    fn take_pod(&mut self, (index, number): (&'a str, &str), line: &'a TraceLine, event: &str) {
        self.unnumbered += u32::from(index.is_empty() && history::is_creation(event));
        let number = number.parse().unwrap_or(self.unnumbered);
        let pod = self.pods.entry(index).or_default().entry(number).or_default();
        match event {
            history::TOLD_TO_GO => pod.told = Some(line),
            "Succeeded" => (pod.succeeded, pod.ended) = (Some(line.at), pod.ended.or(Some(line.at))),
            "Failed" | "gone" => pod.ended = pod.ended.or(Some(line.at)),
            event if history::is_creation(event) => pod.created = Some(line),
            _ => {}
        }
    }

    fn broken(&self, hands: Hands, replaced_when_ended: bool, apart: Duration) -> Option<Broken> {
        // Of two Jobs of one name, nobody knows whose a pod is.
        if self.jobs != 1 {
            return None;
        }
        let created = self
            .pods()
            .filter(|(index, pod)| pod.created.is_some_and(|line| !self.has_had(index, line.at + apart)));
        let created = created.filter_map(|(_, pod)| Some((Rule::Created, pod.created?)));
        let told = self.pods().filter_map(|(index, pod)| {
            pod.told.filter(|line| !self.lets_go(hands, index, pod, line.at, apart))
        });
        let told = told.map(|line| (Rule::ToldToGo, line));
        let replaced =
            self.pods.iter().filter(|(index, _)| !index.is_empty() && !hands.blind).flat_map(|(_, pods)| {
                pods.values().zip(pods.values().skip(1)).filter_map(|(old, new)| {
                    let line = new.created?;
                    let left = if replaced_when_ended { None } else { old.told.map(|line| line.at) };
                    let is_free = left.into_iter().chain(old.ended).any(|at| at <= line.at);
                    (!is_free).then_some((Rule::Replaced, line))
                })
            });
        let completed = self
            .conditions
            .iter()
            .filter(|line| !self.is_complete(line, apart))
            .map(|line| (Rule::Completed, *line));
        let all = created.chain(told).chain(replaced).chain(completed);
        all.min_by_key(|(_, line)| line.at).map(|(rule, line)| Broken { rule, line: line.clone() })
    }

    fn pods(&self) -> impl Iterator<Item = (&'a str, &PodStory<'a>)> {
        self.pods.iter().flat_map(|(index, pods)| pods.values().map(|pod| (*index, pod)))
    }

    /// The sizes that the Job has had by then.
    fn sizes_until(&self, until: Time) -> impl Iterator<Item = (i64, Option<i64>)> {
        self.sizes
            .iter()
            .take_while(move |(at, ..)| *at <= until)
            .map(|(_, parallelism, completions)| (*parallelism, *completions))
    }

    /// Whether the Job has had this index by then; every Job has pods without one.
    fn has_had(&self, index: &str, until: Time) -> bool {
        let has = |completions: Option<i64>| {
            completions.is_none_or(|number| index.parse::<i64>().is_ok_and(|index| index < number))
        };
        self.sizes_until(until).any(|(_, completions)| index.is_empty() || has(completions))
    }

    /// Whether there is a reason for a pod to be told to go.
    fn lets_go(&self, hands: Hands, index: &str, pod: &PodStory<'_>, at: Time, apart: Duration) -> bool {
        let until = at + apart;
        let (mut most, mut is_smaller) = (0, false);
        for (parallelism, completions) in self.sizes_until(until) {
            let is_beyond =
                completions.zip(index.parse::<i64>().ok()).is_some_and(|(number, index)| index >= number);
            is_smaller |= is_beyond || parallelism < most;
            most = most.max(parallelism);
        }
        is_smaller
            || !self.conditions.is_empty()
            || self.goes.is_some_and(|goes| goes <= until)
            || hands.blind
            || hands.delete_from.is_some_and(|from| from <= until)
            || pod.ended.is_some_and(|ended| ended <= at)
    }

    /// Whether the pods have succeeded that a condition speaks of; it may speak of other things.
    fn is_complete(&self, condition: &TraceLine, apart: Duration) -> bool {
        let (_, event) = history::parts(condition);
        // Up to 1.30 there is no reason.
        let is_completion = matches!(
            event,
            "Complete " | "Complete CompletionsReached" | "SuccessCriteriaMet CompletionsReached"
        );
        // What was judged once stays so, whatever the size is when all pods are gone (KEP-3998).
        let is_judged = self.conditions.iter().any(|earlier| {
            earlier.at <= condition.at && history::parts(earlier).1.starts_with("SuccessCriteriaMet ")
        });
        if !is_completion || is_judged && event.starts_with("Complete ") {
            return true;
        }
        let until = condition.at + apart;
        let has_succeeded = |pod: &&PodStory<'_>| pod.succeeded.is_some_and(|at| at <= until);
        let unindexed = self.pods.get("").map_or(0, |pods| pods.values().filter(has_succeeded).count());
        let is_indexed = self.pods.keys().any(|index| !index.is_empty());
        // Of sizes of the same instant, nobody knows which came first.
        let before = self.sizes.iter().rfind(|(at, ..)| *at < condition.at);
        let mut sizes = before.into_iter().chain(self.sizes.iter().filter(|(at, ..)| *at == condition.at));
        sizes.any(|(_, _, wanted)| match *wanted {
            None => unindexed > 0,
            Some(wanted) if !is_indexed => i64::try_from(unindexed).is_ok_and(|number| number >= wanted),
            Some(wanted) => (0..wanted).all(|index| {
                let pods = self.pods.get(&*index.to_string());
                pods.is_some_and(|pods| pods.values().any(|pod| has_succeeded(&pod)))
            }),
        })
    }
}

/// `parallelism P, completions C`, whether the Job is created with it or gets it.
fn size(event: &str) -> Option<(i64, Option<i64>)> {
    let (_, size) = event.split_once("parallelism ")?;
    let (parallelism, completions) = size.split_once(", completions ")?;
    Some((parallelism.parse().ok()?, completions.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history, and which rule it breaks at which second.
    fn first_broken(
        lines: &[(u64, &str)],
        hands: Hands,
        replaced_when_ended: &[&str],
    ) -> Option<(Rule, u64)> {
        let lines: Vec<TraceLine> = lines
            .iter()
            .map(|(at, text)| TraceLine::of_history(Time::from_secs(*at), (*text).to_owned()))
            .collect();
        let jobs = replaced_when_ended.iter().map(|name| (*name).to_owned()).collect();
        let broken = broken(&lines, hands, &jobs, WATCHES_APART)?;
        Some((broken.rule, (broken.line.at - Time::ZERO).as_secs()))
    }

    fn breaks(lines: &[(u64, &str)]) -> Option<(Rule, u64)> {
        first_broken(lines, Hands::default(), &[])
    }

    const CREATED: (u64, &str) = (10, "job j: created with parallelism 2, completions 2");

    #[test]
    fn a_pod_comes_after_its_index() {
        assert_eq!(breaks(&[CREATED, (9, "pod j/1#1: created")]), None, "a watch may be late");
        assert_eq!(breaks(&[CREATED, (8, "pod j/1#1: created")]), Some((Rule::Created, 8)));
        assert_eq!(breaks(&[CREATED, (8, "pod j/#: created")]), Some((Rule::Created, 8)));
        let grows = (20, "job j: parallelism 3, completions 3");
        assert_eq!(breaks(&[CREATED, grows, (20, "pod j/2#1: created")]), None);
        assert_eq!(breaks(&[CREATED, grows, (18, "pod j/2#1: created")]), Some((Rule::Created, 18)));
    }

    #[test]
    fn a_pod_is_told_to_go_for_a_reason() {
        let told = (20, "pod j/1#1: told to go");
        let [smaller, later] = [15, 25].map(|at| (at, "job j: parallelism 1, completions 1"));
        assert_eq!(breaks(&[CREATED, smaller, told]), None);
        assert_eq!(breaks(&[CREATED, later, told]), Some((Rule::ToldToGo, 20)));
        assert_eq!(
            breaks(&[CREATED, later, (19, "pod j/1#1: Failed"), told]),
            None,
            "nobody counts it any more"
        );
        assert_eq!(breaks(&[CREATED, (20, "job j: told to go"), told]), None);
        assert_eq!(breaks(&[CREATED, (21, "job j: Suspended JobSuspended"), told]), None, "pods go first");
        assert_eq!(
            breaks(&[CREATED, (20, "pod j/0#1: told to go"), (15, "job j: parallelism 1, completions 2")]),
            None
        );
        let hands = |from| Hands { delete_from: Some(Time::from_secs(from)), blind: false };
        assert_eq!(first_broken(&[CREATED, told], hands(20), &[]), None);
        assert_eq!(first_broken(&[CREATED, told], hands(22), &[]), Some((Rule::ToldToGo, 20)));
    }

    #[test]
    fn an_index_has_one_pod_after_the_other() {
        let pods = |told, ended, successor| {
            [
                CREATED,
                (11, "pod j/1#1: created"),
                (15, "job j: parallelism 1, completions 1"),
                (told, "pod j/1#1: told to go"),
                (ended, "pod j/1#1: Failed"),
                (17, "job j: parallelism 2, completions 2"),
                (successor, "pod j/1#2: created"),
            ]
        };
        assert_eq!(breaks(&pods(16, 30, 18)), None);
        assert_eq!(breaks(&pods(19, 30, 18)), Some((Rule::Replaced, 18)));
        let when_ended = |lines: &[(u64, &str)]| first_broken(lines, Hands::default(), &["j"]);
        assert_eq!(when_ended(&pods(16, 18, 18)), None);
        assert_eq!(when_ended(&pods(16, 30, 18)), Some((Rule::Replaced, 18)));
        let blind = Hands { blind: true, ..Hands::default() };
        assert_eq!(first_broken(&pods(19, 30, 18), blind, &[]), None);
    }

    #[test]
    fn a_job_is_complete_when_its_pods_have_succeeded() {
        let complete = (30, "job j: Complete CompletionsReached");
        let [zero, one] = [(29, "pod j/0#1: Succeeded"), (29, "pod j/1#2: Succeeded")];
        assert_eq!(breaks(&[CREATED, complete, zero, one]), None);
        assert_eq!(breaks(&[CREATED, complete, zero]), Some((Rule::Completed, 30)));
        assert_eq!(
            breaks(&[CREATED, complete, zero, (33, "pod j/1#2: Succeeded")]),
            Some((Rule::Completed, 30))
        );
        assert_eq!(breaks(&[CREATED, (30, "job j: Complete "), zero]), Some((Rule::Completed, 30)));
        assert_eq!(breaks(&[CREATED, (30, "job j: Complete SuccessPolicy"), zero]), None);
        let grows = (30, "job j: parallelism 3, completions 3");
        assert_eq!(breaks(&[CREATED, complete, grows, zero, one]), None, "it grows too late");
        let criteria = (28, "job j: SuccessCriteriaMet CompletionsReached");
        let early = [(27, "pod j/0#1: Succeeded"), (27, "pod j/1#2: Succeeded")];
        assert_eq!(breaks(&[CREATED, criteria, grows, (31, complete.1), early[0], early[1]]), None);
        assert_eq!(breaks(&[CREATED, criteria, complete, early[0]]), Some((Rule::Completed, 28)));
        let unindexed = [(12, "pod j/#: created"), (29, "pod j/#: Succeeded"), (13, "pod j/#: created")];
        assert_eq!(breaks(&[&[CREATED, complete], &unindexed[..]].concat()), Some((Rule::Completed, 30)));
        let both = [&[CREATED, complete], &unindexed[..], &[(29, "pod j/#: Succeeded")]].concat();
        assert_eq!(breaks(&both), None);
    }

    #[test]
    fn nobody_knows_of_two_jobs_of_one_name() {
        assert_eq!(breaks(&[CREATED, (50, CREATED.1), (8, "pod j/1#1: created")]), None);
    }
}
