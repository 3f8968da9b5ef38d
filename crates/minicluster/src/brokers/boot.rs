//! What the first process of a pod with Flux finds when it starts (Flux spec A.5, A.6).

use std::sync::Arc;

use towtank_flux::hostlist::Hostlist;
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::latency::{Latencies, Place};
use towtank_flux::overlay::{Quorum, Topology};
use towtank_flux::{FluxVersion, Scheduler};
use towtank_model::cluster::TimingProfile;

use crate::entrypoint::Pid1;
use crate::workload::{Workload, WorkloadError};

/// What the pods of a Flux have in them, whoever wrote it: for processes that start from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Boot {
    /// What runs as the first process.
    pub pid1: Pid1,
    /// The pod of completion index N has the host name NAME-N.
    pub name: Arc<str>,
    /// `bootstrap.hosts`: rank = position.
    pub hosts: Hostlist,
    /// `tbon.topo`.
    pub topology: Topology,
    /// `broker.quorum`, for a lead that starts.
    pub quorum: Quorum,
    /// Scheduler and policy.
    pub scheduler: Scheduler,
    /// What the lead runs inside of Flux; `None`: nothing, it waits for its users.
    pub lead: Result<Option<Workload>, WorkloadError>,
    /// `flux.completeWorkers`: a worker never starts its broker a second time.
    pub completes_workers: bool,
    /// `logging.strict`: a command that fails ends the script.
    pub is_strict: bool,
    /// The names of the hosts lead to the pods: there is a headless service, and it is this Flux's own.
    pub has_dns: bool,
}

impl Boot {
    /// The defaults of a MiniCluster for these hosts: nothing but interactive brokers.
    pub fn new(name: impl Into<Arc<str>>, hosts: Hostlist) -> Self {
        Self {
            pid1: Pid1::default(),
            name: name.into(),
            hosts,
            // Flux spec A.5: `-Stbon.fanout=256`.
            topology: Topology::Kary(256),
            quorum: Quorum::All,
            scheduler: Scheduler::Simple,
            lead: Ok(None),
            completes_workers: false,
            is_strict: false,
            has_dns: true,
        }
    }

    /// The rank of the pod of this index; `None`: its broker does not find its host in the list, and exits with 1.
    pub(crate) fn rank(&self, index: u32) -> Option<u32> {
        let position = self.hosts.find(&format!("{}-{index}", self.name))?;
        u32::try_from(position).ok()
    }

    /// A Flux of these hosts is the same as one of those: what a lead cannot take over from one that was there before.
    pub(super) fn fits(&self, other: &Self) -> bool {
        (&self.hosts, self.topology, self.scheduler) == (&other.hosts, other.topology, other.scheduler)
    }

    /// A Flux of which no broker runs.
    pub(super) fn instance(&self, settings: &Settings) -> Instance {
        let mut setup = Setup::new(settings.flux, self.scheduler, self.hosts.clone(), settings.cores);
        setup.latencies = Latencies::of(settings.flux, place(settings.timing));
        setup.quorum = self.quorum.clone();
        setup.topology = self.topology;
        Instance::new(setup)
    }
}

/// What all brokers of a simulation have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// flux-core in the image.
    pub flux: FluxVersion,
    /// Cores of every rank: what the lead sees of its node.
    pub cores: u32,
    /// How fast the brokers are.
    pub timing: &'static TimingProfile,
}

impl Default for Settings {
    fn default() -> Self {
        Self { flux: FluxVersion::V0_61, cores: 10, timing: TimingProfile::instant() }
    }
}

/// Where the brokers run: the recordings of `instant` are those of the rig, the others were made in pods.
fn place(timing: &TimingProfile) -> Place {
    if timing == TimingProfile::instant() { Place::Rig } else { Place::Pods }
}
