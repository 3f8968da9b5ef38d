//! All MiniClusters of a simulation: their operator as the model has it, above the brokers in their pods.
//!
//! The operator learns of a MiniCluster after the latency of a watch and answers with one call, as real ones do. What it has the pods
//! find there is a [`brokers::Boot`].

mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_flux::FluxVersion;
use towtank_flux::instance::Instance;
use towtank_model::cluster::{ProcessFact, TimingProfile};
use towtank_model::objects::{Job, ObjectKey, Pod, Uid};
use towtank_model::server::{Change, Server, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;

use crate::brokers::{self, Brokers, CommandError, Flux};
use crate::contract::{self, Standing};
pub use crate::entrypoint::Pid1;
pub use crate::operator::Operator;
use crate::operator::Status;
use crate::spec::{Fault, MiniClusterSpec};

/// What all MiniClusters of a simulation have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// flux-core in the image.
    pub flux: FluxVersion,
    /// Cores of every rank: what the lead sees of its node.
    pub cores: u32,
    /// What runs as the first process in the pods.
    pub pid1: Pid1,
    /// How long the operator's watch and calls take, and how fast the brokers are.
    pub timing: &'static TimingProfile,
    /// Pods have the init container that copies Flux into them; without it, Flux is in the image (recordings/kind).
    pub has_view: bool,
    /// Whose operator it is.
    pub operator: Operator,
    /// How many processes it has, of which one works.
    pub replicas: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flux: FluxVersion::V0_61,
            cores: 10,
            pid1: Pid1::Entrypoint,
            timing: TimingProfile::instant(),
            has_view: true,
            operator: Operator::Contract,
            replicas: 1,
        }
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
    /// What was typed at its lead, or sent to a broker, comes to nothing.
    #[error(transparent)]
    Command(#[from] CommandError),
}

fn texts(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A MiniCluster as its operator knows it.
#[derive(Clone, Debug)]
struct Known {
    key: ObjectKey,
    spec: MiniClusterSpec,
    operator: Operator,
    /// What script and brokers were made of, once and for all (A.6): the spec when it was created.
    made: MiniClusterSpec,
    /// The operator has seen it.
    is_seen: bool,
    /// There is a script for the pods.
    has_script: bool,
    /// The headless service of its name leads to its pods.
    has_dns: bool,
    /// What the operator has written last.
    status: Status,
    /// The Job that the operator has made.
    job: Option<Uid>,
    /// Why the operator cannot do what is wanted, in its own words or the API server's.
    refusal: Option<String>,
    /// When its operator looks at it again though nothing has happened, and how often it has asked for that.
    requeue: Option<Time>,
    requeues: u32,
}

impl Known {
    /// `status.maximumSize`: ranks that its own pods can have, fixed when it was created.
    fn maximum(&self) -> i32 {
        match self.operator {
            Operator::Contract => self.made.maximum(),
            Operator::Upstream => self.status.maximum_size,
        }
    }

    /// A Job has changed in a way that the operator looks at.
    fn concerns(&self, old: &Job, new: Option<&Job>) -> bool {
        match (self.operator, new) {
            (_, None) => true,
            // It watches all Jobs that it has made.
            (Operator::Upstream, Some(_)) => true,
            (Operator::Contract, Some(new)) => {
                let is_edited = old.generation != new.generation;
                let is_as_wanted = contract::has_size(new, self.spec.size);
                self.job == Some(new.uid) && (self.spec.cleans_up || is_edited && !is_as_wanted)
            }
        }
    }
}

/// One MiniCluster, and its Flux.
#[derive(Clone, Copy, Debug)]
pub struct MiniCluster<'a> {
    known: &'a Known,
    flux: &'a Flux,
}

impl<'a> MiniCluster<'a> {
    /// Its name, which is its Job's too.
    pub const fn key(self) -> &'a ObjectKey {
        &self.known.key
    }

    /// What is wanted.
    pub const fn spec(self) -> &'a MiniClusterSpec {
        &self.known.spec
    }

    /// Its status: by the contract what is, from the original what it has written last.
    pub fn status(self, server: &Server) -> Status {
        let Self { known, flux } = self;
        match known.operator {
            Operator::Upstream => known.status.clone(),
            Operator::Contract if !known.is_seen => Status::default(),
            Operator::Contract => {
                let job = server.job_by_key(&known.key);
                contract::status(&Standing {
                    wanted: known.spec.size,
                    maximum: known.maximum(),
                    job: job.map(|job| &**job),
                    is_own: job.is_some_and(|job| known.job == Some(job.uid)),
                    online: flux.instance().overlay().online(),
                })
            }
        }
    }

    /// The Job that its operator has made.
    pub const fn job(self) -> Option<Uid> {
        self.known.job
    }

    /// Its Flux.
    pub const fn instance(self) -> &'a Instance {
        self.flux.instance()
    }

    /// What cannot be done, and why: told by the operator, by the API server, or by the lead.
    pub fn refusal(self) -> Option<&'a str> {
        self.known.refusal.as_deref().or(self.flux.refusal())
    }
}

/// Timers that go off before the others have their turn.
const TIMERS_PER_ROUND_MAX: usize = 100_000;

#[derive(Clone, Debug)]
enum Timer {
    Reconcile(Arc<str>),
    /// The operator looks again, if this is still the time that its queue has for the MiniCluster.
    Requeue(Arc<str>, Time),
}

/// All MiniClusters of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    settings: Settings,
    clusters: BTreeMap<Arc<str>, Known>,
    /// Their Fluxes have their names.
    brokers: Brokers,
    /// Headless services, by namespace and name: the MiniCluster whose pods each leads to.
    services: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
    timers: BTreeMap<(Time, u64), Timer>,
    sequence: u64,
    /// Processes of the operator that have been stopped.
    stopped: u32,
    /// The operator hears of nothing.
    is_held: bool,
}

impl Fleet {
    /// No MiniCluster yet.
    pub fn new(settings: Settings) -> Self {
        let Settings { flux, cores, timing, .. } = settings;
        let brokers = Brokers::new(brokers::Settings { flux, cores, timing });
        Self { settings, brokers, ..Self::default() }
    }

    /// The MiniCluster of this name.
    pub fn get(&self, name: &str) -> Option<MiniCluster<'_>> {
        Some(MiniCluster { known: self.clusters.get(name)?, flux: self.brokers.get(name)? })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MiniCluster<'_>)> {
        self.clusters.keys().filter_map(|name| Some((&**name, self.get(name)?)))
    }

    /// A command typed at the lead: see [`Brokers::run`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), FleetError> {
        Ok(self.brokers.run(name, line, ctx)?)
    }

    /// What a command that changes nothing would print at the lead now: see [`Brokers::print`].
    pub fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        self.brokers.print(name, line, now)
    }

    /// SIGTERM or SIGKILL reaches the broker of a rank: see [`Brokers::signal`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn signal(
        &mut self,
        name: &str,
        rank: u32,
        kills: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        Ok(self.brokers.signal(name, rank, kills, ctx)?)
    }

    /// One of the operator's processes ends, or all; those that are left go on with its work.
    pub fn stop_operator(&mut self, all: bool) {
        let Settings { replicas, .. } = self.settings;
        self.stopped = if all { replicas } else { self.stopped.saturating_add(1).min(replicas) };
        // A process that starts sees all that there is.
        self.is_held &= !all;
    }

    /// All of the operator's processes run again; what has happened meanwhile is looked at now.
    pub fn start_operator(&mut self, now: Time) {
        self.stopped = 0;
        self.catch_up(now);
    }

    /// The operator hears of nothing, until it hears of everything.
    pub fn hold_operator(&mut self, is_held: bool, now: Time) {
        self.is_held = is_held;
        self.catch_up(now);
    }

    /// Nobody does the operator's work.
    const fn is_idle(&self) -> bool {
        self.is_held || self.stopped >= self.settings.replicas
    }

    /// What has been due for a while is due now.
    fn catch_up(&mut self, now: Time) {
        while !self.is_idle()
            && let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 < now)
        {
            let timer = entry.remove();
            self.schedule(now, timer);
        }
    }

    fn schedule(&mut self, at: Time, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at, self.sequence), timer);
    }
}

impl Application for Fleet {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        if let Change::Job(Versions { old: Some(old), new }) = change {
            let cluster = self.clusters.get(&old.key.name).filter(|cluster| cluster.key == old.key);
            if cluster.is_some_and(|cluster| cluster.concerns(old, new.as_deref())) {
                self.reconcile_soon(Arc::clone(&old.key.name), ctx);
            }
        }
        self.brokers.observe(change, ctx);
    }

    fn drives(&self, pod: &Pod) -> bool {
        self.brokers.drives(pod)
    }

    fn probes(&self, pod: &Pod) -> bool {
        self.brokers.probes(pod)
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        self.brokers.process(fact, ctx);
    }

    fn next_time(&self) -> Option<Time> {
        let timer = self.timers.keys().next().filter(|_| !self.is_idle()).map(|(at, _)| *at);
        timer.into_iter().chain(self.brokers.next_time()).min()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        // Who always answers at once what another has written gets no further in this round.
        for _ in 0..TIMERS_PER_ROUND_MAX {
            let is_idle = self.is_idle();
            let due = self.timers.first_entry().filter(|entry| !is_idle && entry.key().0 <= ctx.now);
            let Some(entry) = due else { break };
            match entry.remove() {
                Timer::Reconcile(name) => self.reconcile(&name, ctx),
                Timer::Requeue(name, at) => {
                    if let Some(cluster) = self.clusters.get_mut(&name).filter(|it| it.requeue == Some(at)) {
                        cluster.requeue = None;
                        self.reconcile(&name, ctx);
                    }
                }
            }
        }
        self.brokers.fire(ctx);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        self.brokers.take_exits()
    }

    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        self.brokers.take_readiness()
    }
}
