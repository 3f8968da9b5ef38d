//! Operators: what one sees of a MiniCluster, what it writes, and whose rules it follows.
//!
//! There are two: the [`contract`] that this project holds an operator to, and the [`original`], so
//! that those who run it know what they have. A plan is a pure function of what is seen; `fleet` carries it out.

use std::sync::Arc;

use towtank_flux::hostlist::Hostlist;
use towtank_model::objects::{Job, ObjectKey, Pod, Uid};
use towtank_model::server::JobManifest;

use crate::spec::{Fault, MiniClusterSpec};
use crate::{contract, original};

/// Whose operator it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// It keeps the contract.
    #[default]
    Contract,
    /// flux-operator, as it is.
    Upstream,
}

/// What an operator sees when it reconciles a MiniCluster.
#[derive(Debug)]
pub struct Observed<'a> {
    /// Namespace and name.
    pub key: &'a ObjectKey,
    /// What is wanted.
    pub spec: &'a MiniClusterSpec,
    /// What it has last written there.
    pub status: &'a Status,
    /// There is a script for the pods.
    pub has_script: bool,
    /// The Job of its name.
    pub job: Option<&'a Job>,
    /// It has made that Job.
    pub is_own: bool,
    /// All pods of its namespace, where the operator looks at pods: the original always, the contract for `cleanup`.
    pub pods: Vec<&'a Pod>,
}

/// `status` of a MiniCluster. The original knows `size`, `maximumSize` and conditions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `size`: pods that the Job was told to have.
    pub size: i32,
    /// `ready`: pods that are ready.
    pub ready: i32,
    /// `online`: brokers of these pods that are online.
    pub online: i32,
    /// `completedIndexes`: those whose pods have succeeded.
    pub completed_indexes: String,
    /// `maximumSize`; 0 before it is known.
    pub maximum_size: i32,
    /// Types of the conditions that are True.
    pub conditions: Vec<&'static str>,
}

/// One thing that an operator does.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The script for the pods, made of the spec as it is now: later specs do not change it.
    Script,
    /// Creates the Job.
    CreateJob(Box<JobManifest>),
    /// Changes the Job.
    UpdateJob(Box<JobManifest>),
    /// Changes `spec.size` of the MiniCluster.
    Size(i32),
    /// Writes the status of the MiniCluster.
    Status(Status),
    /// Puts the label `job-index` on a pod.
    Label(Uid, String),
    /// Deletes the MiniCluster.
    Delete,
}

/// What an operator does about what it sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub writes: Vec<Write>,
    /// What it cannot do, for the user.
    pub refusal: Option<String>,
    /// It wants to look again, whatever happens.
    pub requeues: bool,
}

impl Operator {
    /// What it does about what it sees.
    pub fn plan(self, observed: &Observed<'_>) -> Plan {
        match self {
            Self::Contract => contract::plan(observed),
            Self::Upstream => original::plan(observed),
        }
    }

    /// Rules that `spec` does not keep, in the place of `old` with this maximum where there is one: it is not taken.
    pub fn refuse(self, spec: &MiniClusterSpec, old: Option<(&MiniClusterSpec, i32)>) -> Vec<Fault> {
        match (self, old) {
            (Self::Contract, None) => spec.faults(),
            (Self::Contract, Some((old, maximum))) => spec.faults_after(old, maximum),
            // There is no admission: whatever has the right types is stored, as far as it can be played.
            (Self::Upstream, _) => spec.too_large().into_iter().collect(),
        }
    }

    /// Ranks that must be online before a lead that starts now goes on: the script was made of `made`, and `size` pods are
    /// wanted now.
    pub fn quorum(self, made: &MiniClusterSpec, size: i32) -> u32 {
        let ranks = match self {
            Self::Contract => contract::quorum(made, size),
            Self::Upstream => original::quorum(made),
        };
        u32::try_from(ranks).unwrap_or(1).max(1)
    }

    /// A MiniCluster in whose namespace another has the same headless service: whether it is taken.
    pub const fn shares_services(self) -> bool {
        matches!(self, Self::Upstream)
    }
}

/// Hosts of all ranks, those that no pod runs included: rank = position = completion index. Hosts of clusters to burst to come
/// behind (Flux spec A.5).
pub fn hosts(name: &str, spec: &MiniClusterSpec) -> Hostlist {
    let own = (0..spec.maximum().max(1)).map(|index| format!("{name}-{index}"));
    let bursted = spec.bursting.clusters.iter().enumerate().flat_map(|(position, cluster)| {
        let name = cluster.name.clone().unwrap_or_else(|| format!("burst-{position}"));
        (0..cluster.size.unwrap_or(spec.size).max(0)).map(move |index| format!("{name}-{index}"))
    });
    own.chain(bursted).collect()
}

/// The name of the headless service.
pub fn headless_name(key: &ObjectKey, spec: &MiniClusterSpec) -> Arc<str> {
    spec.headless_name.as_deref().map_or_else(|| Arc::clone(&key.name), Arc::from)
}
