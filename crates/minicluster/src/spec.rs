//! The MiniCluster resource, `flux-framework.org/v1alpha2`, as far as anything here depends on it, and what it must keep
//! (Flux spec A.1 and A.2).

use std::fmt;

use towtank_flux::Scheduler;
use towtank_model::objects::{Labels, RestartPolicy};

/// Ranks of the largest MiniCluster that is played.
const RANKS_MAX: i32 = 10_000;

/// `spec` of a MiniCluster.
#[derive(Clone, Debug, PartialEq)]
pub struct MiniClusterSpec {
    /// `size`: pods that are wanted now.
    pub size: i32,
    /// `maxSize`: ranks that Flux is told about; `size` when absent.
    pub max_size: Option<i32>,
    /// `minSize`: the quorum of brokers, and the least `size`.
    pub min_size: Option<i32>,
    /// `tasks`.
    pub tasks: i32,
    /// `interactive`: the lead runs without a command.
    pub is_interactive: bool,
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
    /// `flux.completeWorkers`: a worker never starts its broker a second time.
    pub completes_workers: bool,
    /// `flux.topology`, such as `kary:2`.
    pub topology: Option<String>,
    /// `flux.scheduler.queuePolicy`.
    pub queue_policy: Option<String>,
    /// `flux.scheduler.simple`: sched-simple in the place of Fluxion.
    pub is_scheduler_simple: bool,
}

impl Default for MiniClusterSpec {
    fn default() -> Self {
        Self {
            size: 1,
            max_size: None,
            min_size: None,
            tasks: 1,
            is_interactive: false,
            backoff_limit: None,
            deadline_s: 31_500_000,
            job_labels: Labels::new(),
            pod_labels: Labels::new(),
            restart_policy: RestartPolicy::OnFailure,
            containers: Vec::new(),
            completes_workers: false,
            topology: None,
            queue_policy: None,
            is_scheduler_simple: false,
        }
    }
}

/// An entry of `spec.containers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

impl MiniClusterSpec {
    /// Ranks that Flux is told about when this is created.
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
        if self.is_scheduler_simple {
            return Some(Scheduler::Simple);
        }
        format!("fluxion-{}", self.queue_policy.as_deref().unwrap_or("fcfs")).parse().ok()
    }

    /// The rules that hold at any time.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, value: String, why: String| {
            faults.push(Fault { field: format!("spec.{field}"), value, why });
        };
        let Self { size, max_size, min_size, .. } = *self;
        if size < 1 {
            fault(
                "size",
                size.to_string(),
                "must be at least 1: delete the MiniCluster to have no pods".into(),
            );
        }
        if self.maximum() > RANKS_MAX {
            fault("maxSize", self.maximum().to_string(), format!("must be no more than {RANKS_MAX} here"));
        }
        if let Some(max) = max_size
            && size > max
        {
            fault("size", size.to_string(), format!("must be no more than maxSize, {max}"));
        }
        if let Some(min) = min_size {
            if min < 1 {
                fault("minSize", min.to_string(), "must be at least 1".into());
            }
            if size < min {
                fault("size", size.to_string(), format!("must be no less than minSize, {min}"));
            }
            if let Some(max) = max_size
                && min > max
            {
                fault("minSize", min.to_string(), format!("must be no more than maxSize, {max}"));
            }
        }
        if let Some(limit) = self.backoff_limit
            && limit < 0
        {
            fault("backoffLimit", limit.to_string(), "must not be negative".into());
        }
        let running_flux = self.containers.iter().filter(|container| container.runs_flux).count();
        match self.containers.len() {
            0 => fault("containers", "[]".into(), "one container must run Flux".into()),
            1 => {}
            _ if running_flux != 1 => {
                let why = "exactly one container must have runFlux: true".into();
                fault("containers", format!("{running_flux} with runFlux"), why);
            }
            _ => {}
        }
        for (position, container) in self.containers.iter().enumerate() {
            let place = |field: &str| format!("containers[{position}].{field}");
            if container.is_launcher && container.is_batch {
                fault(
                    &place("batch"),
                    "true".into(),
                    "a container is a launcher or a batch, not both".into(),
                );
            }
            if self.containers.len() > 1 && !container.runs_flux && container.name.is_none() {
                fault(&place("name"), "none".into(), "a container without Flux needs a name".into());
            }
            let twin = self.containers[..position].iter().find(|other| other.name == container.name);
            if let (Some(name), Some(_)) = (&container.name, twin) {
                fault(&place("name"), name.clone(), "another container has this name".into());
            }
        }
        if self.scheduler().is_none() {
            let policy = self.queue_policy.clone().unwrap_or_default();
            fault("flux.scheduler.queuePolicy", policy, "must be fcfs, easy, hybrid or conservative".into());
        }
        if let Some(topology) = &self.topology
            && topology.parse::<towtank_flux::overlay::Topology>().is_err()
        {
            fault("flux.topology", topology.clone(), "must be `kary:K` or `flat`".into());
        }
        faults
    }

    /// The rules for this in the place of `old`, whose maximum was fixed when it was created.
    pub fn faults_after(&self, old: &Self, maximum: i32) -> Vec<Fault> {
        let mut faults = self.faults();
        if self.max_size != old.max_size {
            faults.push(Fault {
                field: "spec.maxSize".into(),
                value: self.max_size.map_or_else(|| "none".into(), |max| max.to_string()),
                why: format!("cannot change: every broker was told of {maximum} ranks when it started"),
            });
        } else if self.size > maximum {
            faults.push(Fault {
                field: "spec.size".into(),
                value: self.size.to_string(),
                why: format!("must be no more than {maximum}, the maximum since the MiniCluster was created"),
            });
        }
        faults
    }
}

/// A rule that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field.
    pub field: String,
    /// What is there.
    pub value: String,
    /// What would be right.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, why } = self;
        write!(f, "{field}: {value}: {why}")
    }
}
