//! An instance of jobs with fixed latencies, for the tests of this crate.

use std::time::Duration;

use towtank_flux::jobs::{Job, JobLatencies, JobManager, JobSpec, Setup, SubmitError};
use towtank_flux::jobs_table;
use towtank_flux::scheduler::Inventory;
use towtank_flux::time::Draw;
use towtank_flux::{Features, FluxVersion, Hostlist, Idset, JobId, Scheduler};

/// Fixed latencies ask for nothing.
pub(crate) struct Nothing;

impl Draw for Nothing {
    fn unit(&mut self) -> f64 {
        panic!("a fixed latency asked for a random number")
    }
}

pub(crate) fn setup(version: FluxVersion, scheduler: Scheduler, hosts: &str, cores: u32) -> Setup {
    Setup {
        features: Features::of(version),
        scheduler,
        inventory: Inventory::uniform(hosts.parse::<Hostlist>().unwrap(), cores),
        latencies: JobLatencies::of(version).fixed(),
        user: "root".to_owned(),
        wall: 0.0,
    }
}

/// A job manager and a clock.
pub(crate) struct Lab {
    pub(crate) manager: JobManager,
    pub(crate) now: Duration,
}

impl Lab {
    /// All of four nodes with four cores up.
    pub(crate) fn new(version: FluxVersion, scheduler: Scheduler) -> Self {
        let mut lab = Self::down(version, scheduler);
        lab.up("0-3");
        lab
    }

    pub(crate) fn down(version: FluxVersion, scheduler: Scheduler) -> Self {
        let manager = JobManager::new(setup(version, scheduler, "flux-sample-[0-3]", 4), Duration::ZERO);
        Self { manager, now: Duration::ZERO }
    }

    pub(crate) fn up(&mut self, ranks: &str) {
        self.manager.set_up(self.now, &ranks.parse::<Idset>().unwrap());
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.manager.advance(self.now, &mut Nothing);
    }

    /// `-N2 -c4 -t 20 --urgency=3 --job-name=x sleep 5`: submits and waits 0.3 s, as long as the command takes.
    pub(crate) fn submit(&mut self, line: &str) -> JobId {
        let id = self.try_submit(line).unwrap();
        self.wait(0.3);
        id
    }

    pub(crate) fn try_submit(&mut self, line: &str) -> Result<JobId, SubmitError> {
        self.manager.submit(self.now, 0, spec(line))
    }

    pub(crate) fn job(&self, id: JobId) -> &Job {
        self.manager.job(id).unwrap()
    }

    /// `flux jobs` with arguments; every id becomes the name of its job, so that tables are readable.
    pub(crate) fn jobs(&self, args: &str) -> String {
        let args: Vec<&str> = args.split_whitespace().collect();
        let answer = jobs_table::run(&self.manager, self.now, &args);
        answer.stdout + &answer.stderr
    }

    /// Name, state and place of every job, in the order of `flux jobs -a`.
    pub(crate) fn summary(&self) -> Vec<String> {
        let answer =
            jobs_table::run(&self.manager, self.now, &["-an", "-o", "{name} {status_abbrev} {ranks}"]);
        answer.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A submission from the words of a command line.
pub(crate) fn spec(line: &str) -> JobSpec {
    let words: Vec<&str> = line.split_whitespace().collect();
    let start = words.iter().position(|word| !word.starts_with('-')).unwrap_or(words.len());
    let (options, command) = words.split_at(start);
    let mut spec = JobSpec::new(command.iter().copied());
    for option in options {
        let value = |prefix: &str| option.strip_prefix(prefix);
        if let Some(name) = value("--job-name=") {
            spec.name = Some(name.to_owned());
        } else if let Some(urgency) = value("--urgency=") {
            spec.urgency = urgency.parse().unwrap();
        } else if let Some(hosts) = value("--requires=host:") {
            spec.hosts = Some(hosts.parse().unwrap());
        } else if let Some(limit) = value("-t") {
            spec.limit = Some(towtank_flux::duration::parse_fsd(limit).unwrap());
        } else if let Some(nodes) = value("-N") {
            spec.nodes = Some(nodes.parse().unwrap());
        } else if let Some(tasks) = value("-n") {
            spec.tasks = Some(tasks.parse().unwrap());
        } else if let Some(cores) = value("-c") {
            spec.cores_per_task = Some(cores.parse().unwrap());
        } else {
            panic!("{option}");
        }
    }
    spec
}
