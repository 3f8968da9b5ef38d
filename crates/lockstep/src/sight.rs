//! What is to be seen at one instant and has nothing to do with time: what runs of different clocks are compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use towtank_model::time::Time;
use towtank_scenario::observation::{JobView, MiniClusterView, Observation, PodView};

/// One line for each object, without times, names that are drawn, and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Sight(Arc<[String]>);

impl From<Vec<String>> for Sight {
    fn from(lines: Vec<String>) -> Self {
        Self::sorted(lines)
    }
}

impl From<Sight> for Vec<String> {
    fn from(sight: Sight) -> Self {
        sight.0.to_vec()
    }
}

impl Sight {
    /// What this observation shows, but for what an operator reports of a MiniCluster, which comes whenever it comes.
    pub fn of(observation: &Observation) -> Self {
        let jobs = observation.jobs.iter().filter(|job| job.exists).map(job_line);
        let pods = observation.pods.iter().map(pod_line);
        let miniclusters = observation.miniclusters.iter().filter(|it| it.exists).map(minicluster_line);
        Self::sorted(miniclusters.chain(jobs).chain(pods).collect())
    }

    /// The same with all that takes its time to come true: what the operator reports, what is ready, what is on its way.
    pub fn whole(observation: &Observation) -> Self {
        let jobs = observation.jobs.iter().filter(|job| job.exists).map(|job| {
            let counts = (job.ready, job.terminating, &job.failed_indexes);
            format!("{}; ready, terminating, failed indexes {counts:?}", job_line(job))
        });
        let pods = observation
            .pods
            .iter()
            .map(|pod| format!("{}; {}, restarts {}", pod_line(pod), pod.ready_containers, pod.restarts));
        let miniclusters = observation.miniclusters.iter().filter(|it| it.exists).map(|minicluster| {
            let status = &minicluster.status;
            format!(
                "{}; status size {}, ready {}, completed {:?}, {:?}",
                minicluster_line(minicluster),
                status.size,
                status.ready,
                status.completed_indexes,
                status.conditions
            )
        });
        Self::sorted(miniclusters.chain(jobs).chain(pods).collect())
    }

    fn sorted(mut lines: Vec<String>) -> Self {
        lines.sort();
        Self(lines.into())
    }

    /// The lines, sorted.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// The lines that `other` does not have, or not as often.
    pub fn without(&self, other: &Self) -> Vec<&str> {
        let mut left = BTreeMap::<&str, usize>::new();
        other.0.iter().for_each(|line| *left.entry(line).or_default() += 1);
        let is_more = |line: &&str| match left.get_mut(*line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        self.0.iter().map(String::as_str).filter(is_more).collect()
    }

    /// How many lines are in one of both only.
    pub fn distance(&self, other: &Self) -> usize {
        self.without(other).len() + other.without(self).len()
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// How the line of an object ends that is told to go.
pub(crate) const GOES: &str = ", is to go";
/// What stands for the index of pods that have none: nobody can tell those of a Job apart.
pub(crate) const ANY_OF_EQUALS: &str = "/#";

fn job_line(job: &JobView) -> String {
    let conditions = job.conditions.iter().filter(|condition| condition.status == "True");
    let conditions: Vec<String> =
        conditions.map(|condition| format!("{} {}", condition.kind, condition.reason)).collect();
    format!(
        "job {}: {} of {}, active {}, succeeded {}, failed {}, completed {:?}, {:?}{}",
        job.name,
        job.parallelism,
        job.completions.map_or_else(|| "-".to_owned(), |completions| completions.to_string()),
        job.active,
        job.succeeded,
        job.failed,
        job.completed_indexes,
        conditions,
        if job.deleting { GOES } else { "" },
    )
}

fn pod_line(pod: &PodView) -> String {
    let place = match pod.index {
        Some(index) => format!("{}/{index}#{}", pod.job, pod.incarnation),
        None if pod.job.is_empty() => pod.name.clone(),
        // Which of equal pods comes first is chance.
        None => format!("{}{ANY_OF_EQUALS}", pod.job),
    };
    format!("pod {place}: {}{}", pod.phase, if pod.deleting { GOES } else { "" })
}

fn minicluster_line(minicluster: &MiniClusterView) -> String {
    let flux = &minicluster.flux;
    format!(
        "minicluster {}: {} wanted, flux {}, {} online, {} drained",
        minicluster.name,
        minicluster.spec.size,
        if flux.running { "runs" } else { "does not run" },
        flux.online,
        flux.drained,
    )
}

/// What was to be seen while a step was played, the end of the run after the last one included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSights {
    /// When its expectations had come true.
    pub settled: Option<Sight>,
    /// At any instant from its action to the next one's.
    pub all: BTreeSet<Sight>,
    /// What lasted for [`LASTING`], with all that takes its time.
    pub lasting: BTreeSet<Sight>,
    /// What was to be seen last, with all that takes its time, and since when.
    last: Option<(Sight, Time)>,
}

/// How long something lasts that is no passing state. The Job controller's status follows within a second, an operator's within two.
pub const LASTING: Duration = Duration::from_secs(3);

impl StepSights {
    /// Notes what is to be seen now.
    pub(crate) fn note(&mut self, observation: &Observation, now: Time) {
        self.all.insert(Sight::of(observation));
        let sight = Sight::whole(observation);
        if self.last.as_ref().is_none_or(|(last, _)| *last != sight) {
            self.end(now);
            self.last = Some((sight, now));
        }
    }

    /// What was to be seen last is no more.
    fn end(&mut self, now: Time) {
        if let Some((last, since)) = self.last.take()
            && now - since >= LASTING
        {
            self.lasting.insert(last);
        }
    }

    /// The run has ended; what a world at rest shows stays for ever.
    pub(crate) fn finish(&mut self, now: Time, is_at_rest: bool) {
        match self.last.take() {
            Some((last, _)) if is_at_rest => drop(self.lasting.insert(last)),
            last => {
                self.last = last;
                self.end(now);
            }
        }
    }
}
