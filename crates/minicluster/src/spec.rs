//! The MiniCluster resource, `flux-framework.org/v1alpha2`, as far as anything here depends on it (Flux spec A.1). What it
//! must keep is in [`crate::rules`].

use std::collections::BTreeMap;

use towtank_flux::Scheduler;
use towtank_model::objects::{Labels, RestartPolicy};

pub use crate::rules::Fault;

/// `spec` of a MiniCluster.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "as the resource has them")]
pub struct MiniClusterSpec {
    /// `size`: pods that are wanted now.
    pub size: i32,
    /// `maxSize`: ranks that Flux is told about; `size` when absent.
    pub max_size: Option<i32>,
    /// `minSize`: the least `size`; and, when it was there at the creation, the quorum of brokers.
    pub min_size: Option<i32>,
    /// `tasks`; 0 is one for each node.
    pub tasks: i32,
    /// `interactive`: the lead runs without a command.
    pub is_interactive: bool,
    /// `cleanup`: the MiniCluster goes when its lead has ended.
    pub cleans_up: bool,
    /// `backoffLimit` of the Job; 100 when absent.
    pub backoff_limit: Option<i32>,
    /// `deadlineSeconds` of the Job.
    pub deadline_s: i64,
    /// `jobLabels`.
    pub job_labels: Labels,
    /// `pod.labels`.
    pub pod_labels: Labels,
    /// `pod.restartPolicy`; OnFailure when absent.
    pub restart_policy: RestartPolicy,
    /// `containers`.
    pub containers: Vec<ContainerSpec>,
    /// `services`: containers of one pod beside the cluster.
    pub services: Vec<ContainerSpec>,
    /// `logging.strict`: a command that fails ends the script.
    pub is_strict: bool,
    /// `network.headlessName`; the name of the MiniCluster when absent.
    pub headless_name: Option<String>,
    /// Not `flux.container.disable`: Flux is copied into the pods by an init container.
    pub has_view: bool,
    /// `flux.completeWorkers`: a worker never starts its broker a second time.
    pub completes_workers: bool,
    /// `flux.topology`, such as `kary:2`.
    pub topology: Option<String>,
    /// `flux.scheduler.queuePolicy`.
    pub queue_policy: Option<String>,
    /// `flux.scheduler.simple`: sched-simple in the place of Fluxion.
    pub is_scheduler_simple: bool,
    /// `flux.bursting`.
    pub bursting: Bursting,
    /// Fields that decide nothing here, by path, as they are written: whatever they say, it cannot change either.
    pub others: BTreeMap<String, String>,
}

impl Default for MiniClusterSpec {
    fn default() -> Self {
        Self {
            size: 1,
            max_size: None,
            min_size: None,
            tasks: 1,
            is_interactive: false,
            cleans_up: false,
            backoff_limit: None,
            deadline_s: 31_500_000,
            job_labels: Labels::new(),
            pod_labels: Labels::new(),
            restart_policy: RestartPolicy::OnFailure,
            containers: Vec::new(),
            services: Vec::new(),
            is_strict: false,
            headless_name: None,
            has_view: true,
            completes_workers: false,
            topology: None,
            queue_policy: None,
            is_scheduler_simple: false,
            bursting: Bursting::default(),
            others: BTreeMap::new(),
        }
    }
}

/// An entry of `spec.containers` or `spec.services`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the resource has them")]
pub struct ContainerSpec {
    /// `name`.
    pub name: Option<String>,
    /// `image`.
    pub image: String,
    /// `command`: submitted to Flux by the lead.
    pub command: Option<String>,
    /// `runFlux`: it is the one with Flux in it. A sole container always is.
    pub runs_flux: bool,
    /// `launcher`: the command submits its own jobs.
    pub is_launcher: bool,
    /// `batch`: the command is a batch script.
    pub is_batch: bool,
    /// `batchRaw`: the script is run as it is, its lines are not submitted.
    pub is_batch_raw: bool,
    /// `commands`.
    pub commands: Commands,
    /// `volumes`, by name.
    pub volumes: BTreeMap<String, Volume>,
}

/// `commands` of a container, as far as a rule is about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// `script`: in the place of `command`.
    pub script: Option<String>,
    /// `pre`.
    pub pre: Option<String>,
    /// `workerPre`.
    pub worker_pre: Option<String>,
    /// `brokerPre`.
    pub broker_pre: Option<String>,
}

/// A volume of a container, as far as a rule is about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// `path`: where it is mounted.
    pub path: Option<String>,
    /// `hostPath`.
    pub host_path: Option<String>,
    /// `claimName`.
    pub claim_name: Option<String>,
}

/// `flux.bursting`: ranks that other clusters run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bursting {
    /// `hostlist`: in the place of the one that is made.
    pub hostlist: Option<String>,
    /// `clusters`: their hosts come after this cluster's own.
    pub clusters: Vec<BurstedCluster>,
}

/// An entry of `flux.bursting.clusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurstedCluster {
    /// `name`; `burst-N` for the Nth, from 0, when absent.
    pub name: Option<String>,
    /// `size`; that of the MiniCluster when absent.
    pub size: Option<i32>,
}

impl MiniClusterSpec {
    /// Ranks that its own pods can have, when it is created.
    pub fn maximum(&self) -> i32 {
        self.max_size.unwrap_or(self.size).max(self.size)
    }

    /// The container that runs Flux.
    pub fn flux_container(&self) -> Option<&ContainerSpec> {
        match self.containers.as_slice() {
            [only] => Some(only),
            containers => containers.iter().find(|container| container.runs_flux),
        }
    }

    /// The scheduler and its policy; Fluxion with `fcfs` when nothing is said.
    pub fn scheduler(&self) -> Option<Scheduler> {
        let fluxion = format!("fluxion-{}", self.queue_policy.as_deref().unwrap_or("fcfs")).parse().ok();
        if self.is_scheduler_simple { fluxion.map(|_| Scheduler::Simple) } else { fluxion }
    }
}
