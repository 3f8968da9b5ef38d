//! What clusters are made of: who runs the control plane and the operator, and what stories and chaos can do to them.

use std::path::PathBuf;

use crate::connection::Connection;
use crate::deployed::Images;
use crate::namespaces::Namespaces;
use crate::processes::Victim;
use crate::site::SiteError;

/// Nodes with kubelets and containers.
#[derive(Clone, Debug)]
pub(crate) struct Machines {
    /// Of those that take pods.
    pub(crate) names: Vec<String>,
    /// What the pods of MiniClusters run there.
    pub(crate) images: Images,
}

/// A running cluster, and the production operator in it. What it consists of ends with it.
pub(crate) trait Provider {
    /// A client that may do everything.
    fn connection(&self) -> &Connection;

    /// Its nodes; `None`: it has none, and gets virtual ones.
    fn machines(&self) -> Option<&Machines>;

    /// Has the controllers of Jobs run or not; all others run in any case, as they do where the model's process of the Job controller ends.
    fn turn_job_controllers(&mut self, on: bool) -> Result<(), SiteError>;

    /// Fresh namespaces for these of a scenario, where the cluster has other users; those of the scenario before are removed.
    /// `None`: nobody else uses it, and a scenario gets the namespaces that it names.
    fn fresh_namespaces(&mut self, names: &[String]) -> Result<Option<Namespaces>, SiteError>;

    /// Has the operator run or not.
    fn turn_operator(&mut self, on: bool) -> Result<(), SiteError>;

    /// Kills something and has it started again at once; `false`: it does not run, because a story has stopped it.
    fn strike(&mut self, victim: Victim) -> Result<bool, SiteError>;

    /// An error when something has ended that nobody has ended.
    fn check(&mut self) -> Result<(), SiteError>;

    /// Starts again what of the control plane has ended by itself, as those who watch over such programs do, and says what it was: a controller manager, for one, ends when an API server that has just
    /// come back does not know its rights yet. The operator has no reason to end.
    fn revive(&mut self) -> Result<Vec<Victim>, SiteError>;

    /// At the end, the logs are moved there.
    fn keep_logs(&mut self, to: PathBuf);

    /// It has not started as it should: at the end, the logs are moved beside the directories of runs. Returns where they will be.
    fn keep_logs_of_failed(&mut self) -> PathBuf;

    /// Ends the cluster, or what was made in it; an error when something is left. Whoever is dropped does the same and tells nobody.
    fn end(&mut self) -> Result<(), SiteError>;
}
