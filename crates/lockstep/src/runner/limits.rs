//! How far a run goes, and how exactly a scenario is meant in it.

use std::time::Duration;

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the world runs on after the last step, when it does not come to rest before.
    pub tail: Duration,
    /// Instants at which something happens.
    pub instants_max: u64,
    /// Writes that a failure shows.
    pub failure_writes: usize,
    /// How much later than the scenario says something that it waits for (`within`) may come: for runs in which things go wrong that the
    /// scenario knows nothing of.
    pub patience: Duration,
    /// What a scenario waits for may pass unseen, or not last: for runs in which whoever should show it is killed again and again. What must never be is judged all the same.
    pub may_miss: bool,
    /// Played in real time; `None`: time stands still while somebody looks.
    pub reality: Option<Reality>,
    /// What is to be seen in each step is kept in [`crate::run::Run::sights`].
    pub keeps_sights: bool,
}

/// How exactly a scenario is meant where it is played in real time.
#[derive(Clone, Copy, Debug)]
pub struct Reality {
    /// How much later than `at` says, or than right after the action, something may come true, and how long something may take to settle
    /// that then has to hold. Nothing in a real cluster takes no time.
    pub slack: Duration,
    /// How long something has to hold at most.
    pub holds_max: Duration,
    /// How long nothing is done after a step that has settled. Where containers are real, not everything that a document's author has seen between two commands is worth
    /// an expectation: kubelets ask every few seconds whether a pod is ready.
    pub pause: Duration,
}

impl Default for Reality {
    /// Five seconds for what virtual worlds do at once; ten for what has to last; no pauses.
    fn default() -> Self {
        Self { slack: Duration::from_secs(5), holds_max: Duration::from_secs(10), pause: Duration::ZERO }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tail: Duration::from_mins(10),
            instants_max: 2_000_000,
            failure_writes: 8,
            patience: Duration::ZERO,
            may_miss: false,
            reality: None,
            keeps_sights: false,
        }
    }
}
