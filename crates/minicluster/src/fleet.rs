//! All MiniClusters of a simulation: their operator, and the brokers in their pods.
//!
//! The operator learns of a MiniCluster after the latency of a watch and answers with one call, as real ones do. A pod's first
//! process is the script of `entrypoint`; the broker that it starts is a rank of the MiniCluster's Flux instance, which
//! knows nothing of pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use towtank_flux::command::{self, Answer, Code};
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::overlay::Quorum;
use towtank_flux::time::Draw;
use towtank_flux::{FluxVersion, JobId, Scheduler};
use towtank_model::cluster::{ProcessFact, ProcessStep, TimingProfile};
use towtank_model::engine::{Distribution, Purpose, RandomStreams};
use towtank_model::objects::{ObjectKey, Pod, Uid};
use towtank_model::server::{Actor, ApiError, Change, Propagation, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;

use crate::contract;
pub use crate::entrypoint::Pid1;
use crate::entrypoint::{Entrypoint, Next, RETRY, Stage};
use crate::spec::{Fault, MiniClusterSpec};

/// What all MiniClusters of a simulation have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// flux-core in the image.
    pub flux: FluxVersion,
    /// Cores of every rank: what the lead sees of its node.
    pub cores: u32,
    /// What gets SIGTERM in the pods.
    pub pid1: Pid1,
    /// How long the operator's watch and calls take.
    pub timing: &'static TimingProfile,
}

impl Default for Settings {
    fn default() -> Self {
        Self { flux: FluxVersion::V0_61, cores: 10, pid1: Pid1::Shell, timing: TimingProfile::instant() }
    }
}

/// Why something cannot be done to a MiniCluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// There is none of this name.
    #[error("minicluster `{0}` not found")]
    NotFound(String),
    /// It breaks rules. Nothing has changed.
    #[error("minicluster `{name}` is invalid: {}", texts(faults))]
    Invalid {
        /// Its name.
        name: String,
        /// The rules.
        faults: Vec<Fault>,
    },
    /// Flux has no such rank, or no broker runs there.
    #[error("{0}")]
    Flux(String),
}

fn texts(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One MiniCluster.
#[derive(Clone, Debug)]
pub struct MiniCluster {
    key: ObjectKey,
    spec: MiniClusterSpec,
    /// `status.maximumSize`: fixed when it was created.
    maximum: i32,
    /// The size when it was created: the lead's command is made of it once and for all (A.6).
    first_size: i32,
    instance: Instance,
    /// Its pods with a script, by rank.
    ranks: BTreeMap<u32, Uid>,
    /// The pod whose statedir the lead has written to.
    lead_disk: Option<Uid>,
    /// What the API server last said to the operator, when it refused.
    refusal: Option<String>,
}

impl MiniCluster {
    /// Its name, which is its Job's too.
    pub const fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// What is wanted.
    pub const fn spec(&self) -> &MiniClusterSpec {
        &self.spec
    }

    /// Ranks that Flux was told about.
    pub const fn maximum(&self) -> i32 {
        self.maximum
    }

    /// Its Flux.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What the API server last said to the operator, when it refused.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}

#[derive(Clone, Debug)]
enum Timer {
    Reconcile(Arc<str>),
    Retry(Uid),
}

/// All MiniClusters of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    settings: Settings,
    clusters: BTreeMap<Arc<str>, MiniCluster>,
    /// The scripts in pods, and whose they are.
    scripts: BTreeMap<Uid, (Arc<str>, Entrypoint)>,
    timers: BTreeMap<(Time, u64), Timer>,
    sequence: u64,
    exits: Vec<(Uid, i32)>,
}

impl Fleet {
    /// No MiniCluster yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The MiniCluster of this name.
    pub fn get(&self, name: &str) -> Option<&MiniCluster> {
        self.clusters.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MiniCluster)> {
        self.clusters.iter().map(|(name, cluster)| (&**name, cluster))
    }

    /// A user applies a MiniCluster: it is created, or takes this spec.
    ///
    /// # Errors
    ///
    /// [`FleetError::Invalid`]: nothing changes.
    pub fn apply(
        &mut self,
        key: &ObjectKey,
        spec: MiniClusterSpec,
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let name = Arc::clone(&key.name);
        let faults = match self.clusters.get(&name) {
            Some(known) => spec.faults_after(&known.spec, known.maximum),
            None => spec.faults(),
        };
        if !faults.is_empty() {
            return Err(FleetError::Invalid { name: name.to_string(), faults });
        }
        match self.clusters.get_mut(&name) {
            Some(known) => known.spec = spec,
            None => {
                let cluster = self.create(key, spec);
                self.clusters.insert(Arc::clone(&name), cluster);
            }
        }
        self.reconcile_soon(name, ctx);
        Ok(())
    }

    /// A user changes a MiniCluster.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`] or [`FleetError::Invalid`]: nothing changes.
    pub fn edit(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut MiniClusterSpec),
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let known = self.clusters.get(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let (key, mut spec) = (known.key.clone(), known.spec.clone());
        change(&mut spec);
        self.apply(&key, spec, ctx)
    }

    /// A user deletes a MiniCluster: its Job goes with it.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`].
    pub fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), FleetError> {
        let cluster = self.clusters.get(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        // The Job may be gone already.
        let _ = ctx.server.delete_job(
            ctx.now,
            Actor::GarbageCollector,
            &cluster.key.clone(),
            Propagation::Background,
        );
        self.clusters.remove(name);
        // Its pods are nobody's now, whatever is created under its name.
        self.scripts.retain(|_, (of, _)| **of != *name);
        Ok(())
    }

    /// A command typed at the lead, such as `flux resource list`. `None`: the model does not know the command, or no lead answers.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`].
    pub fn run(
        &mut self,
        name: &str,
        line: &str,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Answer>, FleetError> {
        let cluster = self.clusters.get_mut(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let answer = command::run(
            &mut cluster.instance,
            instant(ctx.now),
            Duration::ZERO,
            line,
            &mut Lots(ctx.random),
        );
        self.settle(ctx.now);
        Ok(answer.map(|(answer, _)| answer))
    }

    /// What a command that changes nothing would print at the lead now, such as `flux resource list`; `None`: no lead answers.
    pub fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        struct Fixed;
        impl Draw for Fixed {
            fn unit(&mut self) -> f64 {
                0.5
            }
        }
        // Looking changes nothing: it is done to a copy.
        let mut instance = self.get(name)?.instance.clone();
        let (answer, _) = command::run(&mut instance, instant(now), Duration::ZERO, line, &mut Fixed)?;
        Some(answer.stdout)
    }

    /// SIGTERM or SIGKILL reaches the broker of a rank, and not the script around it.
    ///
    /// # Errors
    ///
    /// There is no such MiniCluster or rank, or no broker runs there.
    pub fn signal(
        &mut self,
        name: &str,
        rank: u32,
        kills: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let cluster = self.clusters.get_mut(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        cluster.instance.advance(at, draw);
        let sent = match kills {
            true => cluster.instance.broker_killed(at, rank, draw),
            false => cluster.instance.broker_terminated(at, rank, draw),
        };
        self.settle(ctx.now);
        sent.map_err(|error| FleetError::Flux(error.to_string()))
    }

    fn create(&self, key: &ObjectKey, spec: MiniClusterSpec) -> MiniCluster {
        let maximum = spec.maximum();
        let version = self.settings.flux;
        // A policy that nobody knows is a fault of the spec.
        let scheduler = spec.scheduler().unwrap_or(Scheduler::Simple);
        let hosts = contract::hosts(&key.name, maximum);
        let mut setup = Setup::new(version, scheduler, hosts, self.settings.cores);
        setup.quorum = Quorum::Size(contract::quorum(&spec));
        if let Some(topology) = spec.topology.as_deref().and_then(|topology| topology.parse().ok()) {
            setup.topology = topology;
        }
        MiniCluster {
            key: key.clone(),
            first_size: spec.size,
            spec,
            maximum,
            instance: Instance::new(setup),
            ranks: BTreeMap::new(),
            lead_disk: None,
            refusal: None,
        }
    }

    // ---- the operator ----

    fn reconcile_soon(&mut self, name: Arc<str>, ctx: &mut Context<'_>) {
        let mut drawn = |latency: Distribution| latency.draw(ctx.random, Purpose::Application);
        let at = ctx.now + drawn(self.settings.timing.watch_delivery) + drawn(self.settings.timing.api_call);
        self.schedule(at, Timer::Reconcile(name));
    }

    fn reconcile(&mut self, name: &Arc<str>, ctx: &mut Context<'_>) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let job = ctx.server.job_by_key(&cluster.key).cloned();
        let size = cluster.spec.size;
        let written = match &job {
            None => {
                let manifest = contract::job(name, &cluster.spec);
                ctx.server.create_job(ctx.now, Actor::Operator, cluster.key.clone(), &manifest).map(drop)
            }
            Some(job) if job.spec.parallelism != size || job.spec.completions != Some(size) => {
                let manifest = contract::resized(size);
                ctx.server.update_job(ctx.now, Actor::Operator, &cluster.key, &manifest).map(drop)
            }
            Some(_) => Ok(()),
        };
        cluster.refusal = written.err().map(|error: ApiError| error.to_string());
    }

    fn schedule(&mut self, at: Time, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at, self.sequence), timer);
    }

    // ---- the pods ----

    fn start_broker(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        let Some((name, script)) = self.scripts.get_mut(&pod) else { return };
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let (rank, at, draw) = (script.rank, instant(ctx.now), &mut Lots(ctx.random));
        cluster.instance.advance(at, draw);
        if script.is_lead() && cluster.lead_disk != Some(pod) {
            // The statedir is a directory of the pod.
            cluster.instance.wipe_statedir();
            cluster.lead_disk = Some(pod);
        }
        let before = cluster.ranks.insert(rank, pod).filter(|before| *before != pod);
        // A rank that is not in the list cannot be: pods have indexes below the maximum.
        let _ = cluster.instance.broker_started(at, rank, draw);
        let old = before.and_then(|before| self.scripts.get_mut(&before));
        if let Some((_, old)) = old.filter(|(_, old)| old.stage == Stage::Broker) {
            old.stage = Stage::Superseded;
        }
        // What has ended of this rank was an older process: this script has no broker until then.
        self.settle(ctx.now);
        if let Some((_, script)) = self.scripts.get_mut(&pod) {
            script.stage = Stage::Broker;
        }
    }

    /// What the instances have come to: brokers that have ended, and leads whose command can be submitted or is done.
    fn settle(&mut self, now: Time) {
        for name in self.clusters.keys().cloned().collect::<Vec<_>>() {
            let Some(cluster) = self.clusters.get_mut(&name) else { continue };
            for (_, rank, code) in cluster.instance.take_exits() {
                self.broker_ended(&name, rank, code, now);
            }
        }
    }

    fn broker_ended(&mut self, name: &str, rank: u32, code: i32, now: Time) {
        let Some(cluster) = self.clusters.get(name) else { return };
        let Some((_, script)) = cluster.ranks.get(&rank).and_then(|pod| self.scripts.get_mut(pod)) else {
            return;
        };
        if script.stage != Stage::Broker {
            return;
        }
        let pod = script.pod;
        match script.after(code, cluster.spec.completes_workers) {
            Next::Exit(code) => {
                script.stage = Stage::Stopped;
                self.exits.push((pod, code));
            }
            Next::Retry => {
                script.stage = Stage::Waiting;
                self.schedule(now + RETRY, Timer::Retry(pod));
            }
        }
    }

    /// Submits the lead's command when Flux runs, and shuts Flux down when it is done.
    fn attend_to_leads(&mut self, ctx: &mut Context<'_>) {
        let at = instant(ctx.now);
        for (name, cluster) in &mut self.clusters {
            let Some((_, lead)) = cluster.ranks.get(&0).and_then(|pod| self.scripts.get_mut(pod)) else {
                continue;
            };
            let Some(command) = cluster.spec.flux_container().and_then(|container| container.command.clone())
            else {
                continue;
            };
            if lead.stage != Stage::Broker || cluster.spec.is_interactive || !cluster.instance.runs() {
                continue;
            }
            let draw = &mut Lots(ctx.random);
            match lead.job {
                None => {
                    let line = submission(&cluster.spec, cluster.first_size, &command);
                    let answer = command::run(&mut cluster.instance, at, Duration::ZERO, &line, draw);
                    let printed = answer.map(|(answer, _)| answer.stdout).unwrap_or_default();
                    lead.job = printed.trim().parse().ok();
                    cluster.refusal =
                        lead.job.is_none().then(|| format!("`{line}` of `{name}` was not understood"));
                }
                Some(job) if is_inactive(&cluster.instance, job, at) => {
                    // The lead was running a moment ago.
                    let _ = cluster.instance.broker_terminated(at, 0, draw);
                }
                Some(_) => {}
            }
        }
    }
}

impl Application for Fleet {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Job(Versions { old: Some(job), new: None })
                if self.clusters.contains_key(&job.key.name) =>
            {
                self.reconcile_soon(Arc::clone(&job.key.name), ctx);
            }
            Change::Pod(Versions { old: Some(pod), new: None }) => {
                self.scripts.remove(&pod.uid);
            }
            _ => {}
        }
    }

    fn drives(&self, pod: &Pod) -> bool {
        let owner = pod.owner.as_ref().filter(|owner| owner.is_job);
        owner.is_some_and(|owner| self.clusters.contains_key(&owner.name)) && pod.index.get().is_some()
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        let uid = fact.pod;
        match fact.step {
            ProcessStep::Started => {
                let Some(pod) = ctx.server.pod(uid) else { return };
                let (Some(owner), Some(rank)) = (&pod.owner, pod.index.get()) else { return };
                let Some(cluster) = self.clusters.get(&owner.name) else { return };
                // A pod of an earlier Job of this name belongs to a MiniCluster that is gone.
                if ctx.server.job_by_key(&cluster.key).is_none_or(|job| job.uid != owner.uid) {
                    return;
                }
                // A container that starts again runs the whole script again.
                self.scripts.insert(uid, (Arc::clone(&owner.name), Entrypoint::new(uid, rank)));
                self.start_broker(uid, ctx);
            }
            ProcessStep::Told => {
                let Some((name, script)) = self.scripts.get_mut(&uid) else {
                    // Its MiniCluster is deleted, and nobody asks any more how its broker leaves.
                    if self.settings.pid1 == Pid1::Broker {
                        self.exits.push((uid, 0));
                    }
                    return;
                };
                let Some(cluster) = self.clusters.get_mut(name) else { return };
                match (self.settings.pid1, script.stage) {
                    (Pid1::Broker, Stage::Broker) => {
                        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
                        cluster.instance.advance(at, draw);
                        // It runs: its stage says so.
                        let _ = cluster.instance.broker_terminated(at, script.rank, draw);
                    }
                    (Pid1::Broker, _) => self.exits.push((uid, TERMINATED)),
                    (Pid1::Shell, _) => {}
                }
                self.settle(ctx.now);
            }
            ProcessStep::Ended(_) => {
                let Some((name, script)) = self.scripts.get_mut(&uid) else { return };
                let had_broker = std::mem::replace(&mut script.stage, Stage::Stopped) == Stage::Broker;
                let Some(cluster) = self.clusters.get_mut(name) else { return };
                if had_broker {
                    let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
                    cluster.instance.advance(at, draw);
                    // It may have ended by itself at this very instant.
                    let _ = cluster.instance.broker_killed(at, script.rank, draw);
                }
                self.settle(ctx.now);
            }
        }
    }

    fn next_time(&self) -> Option<Time> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let instances = self.clusters.values().filter_map(|cluster| cluster.instance.next_time()).map(time);
        instances.chain(timer).min()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        for cluster in self.clusters.values_mut() {
            cluster.instance.advance(instant(ctx.now), &mut Lots(ctx.random));
        }
        self.settle(ctx.now);
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= ctx.now) {
            match entry.remove() {
                Timer::Reconcile(name) => self.reconcile(&name, ctx),
                Timer::Retry(pod) => {
                    if self.scripts.get(&pod).is_some_and(|(_, script)| script.stage == Stage::Waiting) {
                        self.start_broker(pod, ctx);
                    }
                }
            }
        }
        self.attend_to_leads(ctx);
        self.settle(ctx.now);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        std::mem::take(&mut self.exits)
    }
}

/// Exit code of a process that SIGTERM ended.
const TERMINATED: i32 = 143;

/// How the lead submits the command (A.6): one task per node at least, on as many nodes as the MiniCluster had pods when it was made.
fn submission(spec: &MiniClusterSpec, size: i32, command: &str) -> String {
    match spec.tasks {
        0 => format!("flux submit -N {size} {command}"),
        tasks if tasks >= size => format!("flux submit -N {size} -n{tasks} {command}"),
        tasks => format!("flux submit -n{tasks} {command}"),
    }
}

fn is_inactive(instance: &Instance, job: JobId, at: Duration) -> bool {
    let job = instance.jobs().and_then(|jobs| jobs.job(job));
    job.is_none_or(|job| job.event("clean").is_some_and(|clean| clean <= at))
}

/// Flux counts from the beginning of the simulation.
fn instant(now: Time) -> Duration {
    now - Time::ZERO
}

/// The first microsecond at which something is due: an instance may ask for less than that.
fn time(instant: Duration) -> Time {
    let micros = instant.as_nanos().div_ceil(1_000);
    Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Flux's random numbers come from the simulation's.
struct Lots<'a>(&'a mut RandomStreams);

impl Draw for Lots<'_> {
    fn unit(&mut self) -> f64 {
        self.0.unit(Purpose::Application)
    }
}

/// Whether a command has failed; one that waits has not.
pub fn has_failed(answer: &Answer) -> bool {
    matches!(answer.code, Code::Exit(code) if code != 0)
}
