//! All MiniClusters of a simulation: their operator, and the brokers in their pods.
//!
//! The operator learns of a MiniCluster after the latency of a watch and answers with one call, as real ones do. A pod's first
//! process is the script of `entrypoint`; the broker that it starts is a rank of the MiniCluster's Flux instance, which
//! knows nothing of pods.

mod commands;
mod former;
mod operator;
mod pods;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use towtank_flux::instance::Instance;
use towtank_flux::time::Draw;
use towtank_flux::{FluxVersion, command};
use towtank_model::cluster::{ProcessFact, ProcessStep, TimingProfile};
use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::objects::{Job, ObjectKey, Pod, Uid};
use towtank_model::server::{Change, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;

use self::former::Former;
use crate::contract;
pub use crate::entrypoint::Pid1;
use crate::entrypoint::{Entrypoint, Stage};
pub use crate::operator::Operator;
use crate::operator::Status;
use crate::spec::{Fault, MiniClusterSpec};
use crate::workload::{Workload, WorkloadError};

/// What all MiniClusters of a simulation have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// flux-core in the image.
    pub flux: FluxVersion,
    /// Cores of every rank: what the lead sees of its node.
    pub cores: u32,
    /// What gets SIGTERM in the pods.
    pub pid1: Pid1,
    /// How long the operator's watch and calls take, and how fast the brokers are.
    pub timing: &'static TimingProfile,
    /// Pods have the init container that copies Flux into them; without it, Flux is in the image (recordings/kind).
    pub has_view: bool,
    /// Whose operator it is.
    pub operator: Operator,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flux: FluxVersion::V0_61,
            cores: 10,
            pid1: Pid1::Shell,
            timing: TimingProfile::instant(),
            has_view: true,
            operator: Operator::Contract,
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
    /// What Flux says is wrong, and what there is.
    #[error("{0}")]
    Flux(String),
    /// The model does not know the command, or not in this form.
    #[error("the model does not know `{0}`; of `flux …` it knows {known}, not all in every form", known = command::COMMANDS.join(", "))]
    UnknownCommand(String),
}

fn texts(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One MiniCluster.
#[derive(Clone, Debug)]
pub struct MiniCluster {
    key: ObjectKey,
    spec: MiniClusterSpec,
    operator: Operator,
    /// What script and brokers were made of, once and for all (A.6): the spec when it was created.
    made: MiniClusterSpec,
    /// What its lead runs inside of Flux.
    workload: Result<Option<Workload>, WorkloadError>,
    /// There is a script for the pods.
    has_script: bool,
    /// The headless service of its name leads to its pods.
    has_dns: bool,
    /// What the operator has written last.
    status: Status,
    /// The Job that the operator has made.
    job: Option<Uid>,
    instance: Instance,
    /// Its pods with a script, by rank.
    ranks: BTreeMap<u32, Uid>,
    /// The pod whose statedir the lead has written to.
    lead_disk: Option<Uid>,
    /// The Job whose pods the instance is made of.
    served: Option<Uid>,
    /// Why the operator cannot do what is wanted, in its own words or the API server's.
    refusal: Option<String>,
    /// Why the lead cannot run its command.
    lead_refusal: Option<String>,
    /// What the lead's command ended with.
    outcome: Option<i32>,
    /// When its operator looks at it again though nothing has happened, and how often it has asked for that.
    requeue: Option<Time>,
    requeues: u32,
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

    /// `status.maximumSize`: ranks that its own pods can have, fixed when it was created.
    pub fn maximum(&self) -> i32 {
        match self.operator {
            Operator::Contract => self.made.maximum(),
            Operator::Upstream => self.status.maximum_size,
        }
    }

    /// `status.size`: `active` pods there are, or what the original has written last.
    pub const fn size(&self, active: i32) -> i32 {
        match self.operator {
            Operator::Contract => active,
            Operator::Upstream => self.status.size,
        }
    }

    /// Conditions that are True. By the contract: `Ready` when as many brokers are online as pods are wanted and the lead has
    /// its quorum; `Rejected` when something cannot be done; `WorkloadFailed` when the lead's command has failed, whatever its
    /// container ended with.
    pub fn conditions(&self) -> Vec<&'static str> {
        if self.operator == Operator::Upstream {
            return self.status.conditions.clone();
        }
        let wanted = usize::try_from(self.spec.size).unwrap_or(0);
        let is_ready = self.instance.runs() && self.instance.overlay().online().len() >= wanted;
        let is_rejected = self.refusal().is_some();
        let has_failed = self.outcome.is_some_and(|code| code != 0);
        [(is_ready, "Ready"), (is_rejected, "Rejected"), (has_failed, "WorkloadFailed")]
            .into_iter()
            .filter_map(|(is_true, kind)| is_true.then_some(kind))
            .collect()
    }

    /// The Job that its operator has made.
    pub const fn job(&self) -> Option<Uid> {
        self.job
    }

    /// Its Flux.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What cannot be done, and why: told by the operator, by the API server, or by the lead.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref().or(self.lead_refusal.as_deref())
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

/// Timers that go off before the others have their turn.
const TIMERS_PER_ROUND_MAX: usize = 100_000;

#[derive(Clone, Debug)]
enum Timer {
    Reconcile(Arc<str>),
    /// The operator looks again, if this is still the time that its queue has for the MiniCluster.
    Requeue(Arc<str>, Time),
    /// The script of a pod, in this run, starts its broker again.
    Retry(Uid, u64),
    /// A lead has slept long enough.
    Look,
    /// The broker of a pod learns that a newer one has its rank.
    Dropped(Uid, u64),
}

/// All MiniClusters of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    settings: Settings,
    clusters: BTreeMap<Arc<str>, MiniCluster>,
    /// The scripts in pods, and whose they are.
    scripts: BTreeMap<Uid, (Arc<str>, Entrypoint)>,
    /// Instances that others have taken the place of.
    former: BTreeMap<u64, Former>,
    /// Headless services, by namespace and name: the MiniCluster whose pods each leads to.
    services: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
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

    fn schedule(&mut self, at: Time, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at, self.sequence), timer);
    }
}

impl Application for Fleet {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Job(Versions { old: Some(old), new }) => {
                let cluster = self.clusters.get(&old.key.name).filter(|cluster| cluster.key == old.key);
                if cluster.is_some_and(|cluster| cluster.concerns(old, new.as_deref())) {
                    self.reconcile_soon(Arc::clone(&old.key.name), ctx);
                }
            }
            Change::Pod(Versions { old: Some(pod), new: None }) => {
                // Whoever is deleted by force is gone at once, with what runs in it.
                self.process_ended(pod.uid, ctx);
                self.scripts.remove(&pod.uid);
            }
            _ => {}
        }
    }

    fn drives(&self, pod: &Pod) -> bool {
        let Some(owner) = pod.owner.as_ref().filter(|owner| owner.is_job) else { return false };
        self.clusters.get(&owner.name).is_some_and(|cluster| cluster.job == Some(owner.uid))
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        match fact.step {
            ProcessStep::Started => self.process_started(fact.pod, ctx),
            ProcessStep::Told => self.process_told(fact.pod, ctx),
            ProcessStep::Ended(_) => self.process_ended(fact.pod, ctx),
        }
    }

    fn next_time(&self) -> Option<Time> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let instances = self.clusters.values().map(|cluster| &cluster.instance);
        let instances = instances.chain(self.former.values().map(|former| &former.instance));
        instances.filter_map(Instance::next_time).map(time).chain(timer).min()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        for cluster in self.clusters.values_mut() {
            cluster.instance.advance(instant(ctx.now), &mut Lots(ctx.random));
        }
        for former in self.former.values_mut() {
            former.instance.advance(instant(ctx.now), &mut Lots(ctx.random));
        }
        self.settle(ctx.now);
        // Who always answers at once what another has written gets no further in this round.
        for _ in 0..TIMERS_PER_ROUND_MAX {
            let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= ctx.now) else {
                break;
            };
            match entry.remove() {
                Timer::Reconcile(name) => self.reconcile(&name, ctx),
                Timer::Requeue(name, at) => {
                    if let Some(cluster) = self.clusters.get_mut(&name).filter(|it| it.requeue == Some(at)) {
                        cluster.requeue = None;
                        self.reconcile(&name, ctx);
                    }
                }
                Timer::Retry(pod, run) => {
                    let waits = |script: &Entrypoint| script.run == run && script.stage == Stage::Waiting;
                    if self.scripts.get(&pod).is_some_and(|(_, script)| waits(script)) {
                        self.start_broker(pod, ctx);
                    }
                }
                // What follows looks at the leads.
                Timer::Look => {}
                Timer::Dropped(pod, run) => self.broker_dropped(pod, run, ctx.now),
            }
        }
        self.attend_to_leads(ctx);
        self.settle(ctx.now);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        std::mem::take(&mut self.exits)
    }
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
