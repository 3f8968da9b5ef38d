//! The rules that a MiniCluster must keep (Flux spec A.2), and what cannot change while it runs.
//!
//! The original operator prints most of these to its own log and then does nothing; here a rule that is not kept is a refusal
//! that says which field, what is in it, and what would be right.

use std::fmt;

use towtank_flux::overlay::Topology;
use towtank_model::objects::RestartPolicy;

use crate::spec::{BurstedCluster, ContainerSpec, MiniClusterSpec, Volume};

/// Ranks of the largest MiniCluster that is played, those of clusters to burst to included.
const RANKS_MAX: i64 = 10_000;

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

/// Faults as they are found.
#[derive(Default)]
struct Faults {
    found: Vec<Fault>,
    /// Rules of this project's own are left out: what remains is the original's (A.2).
    leaves_out_own: bool,
}

impl Faults {
    /// Something is wrong with a field below `spec`.
    fn add(&mut self, field: impl fmt::Display, value: impl fmt::Display, why: impl Into<String>) {
        self.found.push(Fault { field: format!("spec.{field}"), value: value.to_string(), why: why.into() });
    }

    /// The same, by a rule that the original does not have.
    fn add_own(&mut self, field: impl fmt::Display, value: impl fmt::Display, why: impl Into<String>) {
        if !self.leaves_out_own {
            self.add(field, value, why);
        }
    }

    /// The same, where the rule is not kept.
    fn check(&mut self, is_kept: bool, field: &str, value: impl fmt::Display, why: &str) {
        if !is_kept {
            self.add(field, value, why);
        }
    }
}

impl MiniClusterSpec {
    /// The rules that hold at any time.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        self.check_sizes(&mut faults);
        self.check_job(&mut faults);
        self.check_containers(&mut faults);
        self.check_services(&mut faults);
        self.check_flux(&mut faults);
        self.check_bursting(&mut faults);
        faults.found
    }

    /// The rules of the original beyond those of sizes, in which it takes 0 for nothing (A.2).
    pub(crate) fn keeps_rules_of_the_original(&self) -> bool {
        let mut faults = Faults { leaves_out_own: true, ..Faults::default() };
        self.check_containers(&mut faults);
        self.check_services(&mut faults);
        self.check_bursting(&mut faults);
        faults.found.is_empty()
    }

    fn check_sizes(&self, faults: &mut Faults) {
        let Self { size, max_size, min_size, .. } = *self;
        let none = "must be at least 1: delete the MiniCluster to have no pods";
        faults.check(size >= 1, "size", size, none);
        if let Some(max) = max_size {
            faults.check(max >= 1, "maxSize", max, "must be at least 1");
            if size > max {
                faults.add("size", size, format!("must be no more than maxSize, {max}"));
            }
        }
        if let Some(min) = min_size {
            faults.check(min >= 1, "minSize", min, "must be at least 1");
            match max_size.filter(|max| min > *max) {
                // What is wrong is the one, whatever the size.
                Some(max) => faults.add("minSize", min, format!("must be no more than maxSize, {max}")),
                None if size < min => {
                    faults.add("size", size, format!("must be no less than minSize, {min}"));
                }
                None => {}
            }
        }
        faults.found.extend(self.too_large());
    }

    /// More ranks than are played, whoever's rules are kept.
    pub(crate) fn too_large(&self) -> Option<Fault> {
        let bursted = |cluster: &BurstedCluster| i64::from(cluster.size.unwrap_or(self.size).max(0));
        let ranks = i64::from(self.maximum()) + self.bursting.clusters.iter().map(bursted).sum::<i64>();
        let field = if self.max_size.is_some() { "spec.maxSize" } else { "spec.size" };
        (ranks > RANKS_MAX).then(|| Fault {
            field: field.to_owned(),
            value: self.maximum().to_string(),
            why: format!("at most {RANKS_MAX} ranks are played, these are {ranks}"),
        })
    }

    fn check_job(&self, faults: &mut Faults) {
        faults.check(self.tasks >= 0, "tasks", self.tasks, "must not be negative; 0 is one for each node");
        if let Some(limit) = self.backoff_limit {
            faults.check(limit >= 0, "backoffLimit", limit, "must not be negative");
        }
        faults.check(self.deadline_s >= 1, "deadlineSeconds", self.deadline_s, "must be at least 1");
        let is_of_a_job = self.restart_policy != RestartPolicy::Always;
        let why = "must be OnFailure or Never: the pods are a Job's";
        faults.check(is_of_a_job, "pod.restartPolicy", format_args!("{:?}", self.restart_policy), why);
    }

    fn check_containers(&self, faults: &mut Faults) {
        let running_flux = self.containers.iter().filter(|container| container.runs_flux).count();
        match self.containers.len() {
            0 => faults.add("containers", "[]", "one container must run Flux"),
            1 => {}
            _ if running_flux != 1 => {
                let value = format!("{running_flux} with runFlux");
                faults.add("containers", value, "exactly one container must have runFlux: true");
            }
            _ => {}
        }
        let is_only = self.containers.len() == 1;
        for (position, container) in self.containers.iter().enumerate() {
            let place = format!("containers[{position}]");
            let runs_flux = is_only || container.runs_flux;
            if !runs_flux && container.name.is_none() {
                faults.add(format_args!("{place}.name"), "none", "a container without Flux needs a name");
            }
            check_modes(faults, &place, container, runs_flux);
            check_name(faults, &place, container, self.containers.get(..position).unwrap_or_default());
            check_volumes(faults, &place, container);
        }
    }

    fn check_services(&self, faults: &mut Faults) {
        for (position, service) in self.services.iter().enumerate() {
            let place = format!("services[{position}]");
            if service.name.is_none() {
                faults.add(format_args!("{place}.name"), "none", "a service needs a name");
            }
            let commands = &service.commands;
            for (field, command) in [
                ("pre", &commands.pre),
                ("brokerPre", &commands.broker_pre),
                ("workerPre", &commands.worker_pre),
            ] {
                if let Some(command) = command {
                    let why = "a service runs no Flux: commands.servicePre is what runs first in it";
                    faults.add(format_args!("{place}.commands.{field}"), command, why);
                }
            }
            check_name(faults, &place, service, self.services.get(..position).unwrap_or_default());
            check_volumes(faults, &place, service);
        }
    }

    fn check_flux(&self, faults: &mut Faults) {
        if self.scheduler().is_none() {
            let policy = self.queue_policy.as_deref().unwrap_or_default();
            faults.add("flux.scheduler.queuePolicy", policy, "must be fcfs, easy, hybrid or conservative");
        }
        if let Some(topology) = &self.topology
            && topology.parse::<Topology>().is_err()
        {
            faults.add("flux.topology", topology, "must be `kary:K` or `flat`");
        }
    }

    fn check_bursting(&self, faults: &mut Faults) {
        if let Some(hosts) = &self.bursting.hostlist
            && !self.bursting.clusters.is_empty()
        {
            let why = "names all hosts, and so do clusters: write one of the two";
            faults.add("flux.bursting.hostlist", hosts, why);
        }
        for (position, cluster) in self.bursting.clusters.iter().enumerate() {
            if let Some(size) = cluster.size {
                let field = format!("flux.bursting.clusters[{position}].size");
                if size < 1 {
                    faults.add_own(field, size, "must be at least 1");
                }
            }
            let before = self.bursting.clusters.get(..position).unwrap_or_default();
            if let Some(name) = &cluster.name
                && before.iter().any(|other| other.name.as_ref() == Some(name))
            {
                let field = format!("flux.bursting.clusters[{position}].name");
                faults.add_own(field, name, "another cluster has this name");
            }
        }
    }

    /// The rules for this in the place of `old`, whose maximum was fixed when it was created. Sizes and `cleanup` can change;
    /// Job, script and brokers took everything else when they were made.
    pub fn faults_after(&self, old: &Self, maximum: i32) -> Vec<Fault> {
        let mut faults = Faults { found: self.faults(), ..Faults::default() };
        if self.max_size != old.max_size {
            let value = self.max_size.map_or_else(|| "none".to_owned(), |max| max.to_string());
            let why = format!("cannot change: every broker was told of {maximum} ranks when it started");
            faults.add("maxSize", value, why);
        } else if self.size > maximum && self.max_size.is_none() {
            let why =
                format!("must be no more than {maximum}, the maximum since the MiniCluster was created");
            faults.add("size", self.size, why);
        }
        self.check_frozen(old, &mut faults);
        faults.found
    }

    fn check_frozen(&self, old: &Self, faults: &mut Faults) {
        const BY_JOB: &str = "cannot change: the Job took it when it was made";
        const BY_SCRIPT: &str = "cannot change: the script in the pods took it when it was made";
        const BY_BROKERS: &str = "cannot change: the brokers took it when they started";
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let new = self;
        faults.check(new.tasks == old.tasks, "tasks", new.tasks, BY_SCRIPT);
        faults.check(new.is_interactive == old.is_interactive, "interactive", new.is_interactive, BY_BROKERS);
        faults.check(new.is_strict == old.is_strict, "logging.strict", new.is_strict, BY_SCRIPT);
        let limit = new.backoff_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        faults.check(new.backoff_limit == old.backoff_limit, "backoffLimit", limit, BY_JOB);
        faults.check(new.deadline_s == old.deadline_s, "deadlineSeconds", new.deadline_s, BY_JOB);
        faults.check(new.job_labels == old.job_labels, "jobLabels", "other labels", BY_JOB);
        faults.check(new.pod_labels == old.pod_labels, "pod.labels", "other labels", BY_JOB);
        let policy = new.restart_policy;
        faults.check(policy == old.restart_policy, "pod.restartPolicy", format_args!("{policy:?}"), BY_JOB);
        let headless = text(&new.headless_name);
        faults.check(new.headless_name == old.headless_name, "network.headlessName", headless, BY_JOB);
        let is_disabled = !new.has_view;
        faults.check(new.has_view == old.has_view, "flux.container.disable", is_disabled, BY_SCRIPT);
        let completes = new.completes_workers;
        faults.check(completes == old.completes_workers, "flux.completeWorkers", completes, BY_SCRIPT);
        faults.check(new.topology == old.topology, "flux.topology", text(&new.topology), BY_BROKERS);
        let policy = text(&new.queue_policy);
        faults.check(new.queue_policy == old.queue_policy, "flux.scheduler.queuePolicy", policy, BY_BROKERS);
        let simple = new.is_scheduler_simple;
        faults.check(simple == old.is_scheduler_simple, "flux.scheduler.simple", simple, BY_BROKERS);
        faults.check(new.bursting == old.bursting, "flux.bursting", "other hosts", BY_BROKERS);
        for (field, new, old) in
            [("containers", &new.containers, &old.containers), ("services", &new.services, &old.services)]
        {
            if new.len() != old.len() {
                faults.add(field, format_args!("{} of them", new.len()), BY_JOB);
                continue;
            }
            for (position, (new, old)) in new.iter().zip(old).enumerate() {
                let place = format!("{field}[{position}]");
                if new.command != old.command {
                    faults.add(format_args!("{place}.command"), text(&new.command), BY_SCRIPT);
                } else if new != old {
                    faults.add(place, "another container", BY_JOB);
                }
            }
        }
        let paths = new.others.keys().chain(old.others.keys().filter(|path| !new.others.contains_key(*path)));
        for path in paths {
            let (new, old) = (new.others.get(path), old.others.get(path));
            faults.check(new == old, path, new.map_or("none", String::as_str), BY_JOB);
        }
    }
}

/// How the command is run: one way, and there is one.
fn check_modes(faults: &mut Faults, place: &str, container: &ContainerSpec, runs_flux: bool) {
    if container.is_launcher && container.is_batch {
        faults.add(format_args!("{place}.batch"), true, "a container is a launcher or a batch, not both");
    }
    if let (true, Some(script), Some(_)) = (runs_flux, &container.commands.script, &container.command) {
        let why = "stands in the place of command: write one of the two";
        faults.add(format_args!("{place}.commands.script"), script, why);
    }
    for (field, is_set) in [
        ("launcher", container.is_launcher),
        ("batch", container.is_batch),
        ("batchRaw", container.is_batch_raw && !container.is_batch),
    ] {
        let (needs, is_there) = match field {
            "batchRaw" => ("batch: true", false),
            _ => ("a command, and Flux in the same container", runs_flux && container.command.is_some()),
        };
        if is_set && !is_there {
            faults.add_own(format_args!("{place}.{field}"), true, format!("needs {needs}"));
        }
    }
}

fn check_name(faults: &mut Faults, place: &str, container: &ContainerSpec, before: &[ContainerSpec]) {
    if let Some(name) = &container.name
        && before.iter().any(|other| other.name.as_ref() == Some(name))
    {
        faults.add_own(format_args!("{place}.name"), name, "another container has this name");
    }
}

fn check_volumes(faults: &mut Faults, place: &str, container: &ContainerSpec) {
    for (name, Volume { path, host_path, claim_name }) in &container.volumes {
        for (field, source) in [("claimName", claim_name), ("hostPath", host_path)] {
            if let (Some(source), None) = (source, path) {
                let why = "needs a path: where in the container it is mounted";
                faults.add(format_args!("{place}.volumes.{name}.{field}"), source, why);
            }
        }
    }
}
