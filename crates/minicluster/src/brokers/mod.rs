//! The brokers in pods: what runs as the first process of the container with Flux, and the Flux instances that the brokers make up.
//!
//! Nothing here knows of specs or operators. It is told which Job's pods are of which Flux and what their first processes find
//! ([`Boot`]), by the model of an operator ([`crate::fleet`]) or by whoever reads what a real one has written; from then on it drives
//! these processes. A broker is a rank of an [`Instance`], which knows nothing of pods.

mod boot;
mod commands;
mod former;
mod pods;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use towtank_flux::Idset;
use towtank_flux::instance::Instance;
use towtank_flux::time::Draw;
use towtank_model::cluster::{ProcessFact, ProcessStep};
use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::objects::{Pod, Uid};
use towtank_model::server::{Change, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;

pub use self::boot::{Boot, Settings};
pub use self::commands::CommandError;
use self::former::Former;
pub use crate::entrypoint::Pid1;
use crate::entrypoint::{Entrypoint, Stage};

/// Timers that go off before the others have their turn.
const TIMERS_PER_ROUND_MAX: usize = 100_000;

/// One Flux, and the pods that it runs in.
#[derive(Clone, Debug)]
pub struct Flux {
    /// What a process that starts now finds.
    boot: Arc<Boot>,
    /// What the instance was made of.
    made: Arc<Boot>,
    instance: Instance,
    /// Its pods with a script, by rank.
    ranks: BTreeMap<u32, Uid>,
    /// The pod whose statedir the lead has written to.
    lead_disk: Option<Uid>,
    /// Ranks whose pods are known to be ready.
    ready: Idset,
    /// The Job whose pods the instance is made of.
    served: Option<Uid>,
    /// Why the lead cannot run its command.
    refusal: Option<String>,
    /// What the lead's command ended with.
    outcome: Option<i32>,
}

impl Flux {
    /// The instance.
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Why the lead cannot run its command.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// What the lead's command ended with.
    pub const fn outcome(&self) -> Option<i32> {
        self.outcome
    }
}

#[derive(Clone, Debug)]
enum Timer {
    /// The script of a pod, in this run, starts its broker again.
    Retry(Uid, u64),
    /// A lead has slept long enough.
    Look,
    /// The workers of a lead know that it goes.
    Leave(Uid, u64),
    /// The broker of a pod learns that a newer one has its rank.
    Dropped(Uid, u64),
}

/// All brokers of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Brokers {
    settings: Settings,
    /// By the name under which the caller knows them.
    fluxes: BTreeMap<Arc<str>, Flux>,
    /// The Jobs whose pods are of a Flux.
    jobs: BTreeMap<Uid, Arc<str>>,
    /// The first processes of pods, and of which Flux they are.
    scripts: BTreeMap<Uid, (Arc<str>, Entrypoint)>,
    /// Instances that others have taken the place of.
    former: BTreeMap<u64, Former>,
    timers: BTreeMap<(Time, u64), Timer>,
    sequence: u64,
    exits: Vec<(Uid, i32)>,
    /// Pods that have become ready, or are so no longer.
    readiness: Vec<(Uid, bool)>,
}

impl Brokers {
    /// No Flux yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The Flux of this name.
    pub fn get(&self, name: &str) -> Option<&Flux> {
        self.fluxes.get(name)
    }

    /// What processes of this Flux find that start from now on. Those that run go on with what they have, but for the names of
    /// hosts, which are asked for again and again.
    pub fn put(&mut self, name: &Arc<str>, boot: Boot, ctx: &mut Context<'_>) {
        let boot = Arc::new(boot);
        let Some(flux) = self.fluxes.get_mut(name) else {
            let flux = Flux {
                made: Arc::clone(&boot),
                instance: boot.instance(&self.settings),
                boot,
                ranks: BTreeMap::new(),
                lead_disk: None,
                ready: Idset::new(),
                served: None,
                refusal: None,
                outcome: None,
            };
            self.fluxes.insert(Arc::clone(name), flux);
            return;
        };
        let is_found = boot.has_dns && !flux.boot.has_dns;
        if flux.ranks.is_empty() && !boot.fits(&flux.made) {
            (flux.made, flux.instance) = (Arc::clone(&boot), boot.instance(&self.settings));
        }
        flux.boot = boot;
        if is_found {
            self.hosts_found(name, ctx);
        }
    }

    /// The pods of this Job, and of no other, are of that Flux.
    pub fn serve(&mut self, name: &Arc<str>, job: Uid) {
        self.jobs.retain(|_, of| of != name);
        self.jobs.insert(job, Arc::clone(name));
    }

    /// There is no such Flux any more. Its brokers go on until their pods are gone, whatever is put under its name.
    pub fn remove(&mut self, name: &str) {
        self.retire(name);
        self.fluxes.remove(name);
        self.jobs.retain(|_, of| **of != *name);
        for (of, script) in self.scripts.values_mut() {
            // Scripts without a broker are nobody's now.
            if **of == *name && script.former.is_none() {
                script.stage = Stage::Stopped;
            }
        }
    }

    /// The Flux that this pod is of.
    fn flux_of(&self, pod: &Pod) -> Option<&Arc<str>> {
        pod.owner.as_ref().filter(|owner| owner.is_job).and_then(|owner| self.jobs.get(&owner.uid))
    }

    fn schedule(&mut self, at: Time, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at, self.sequence), timer);
    }
}

impl Application for Brokers {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Pod(Versions { old: None, new: Some(pod) }) => self.pod_created(pod),
            Change::Pod(Versions { old: Some(pod), new: None }) => {
                // Whoever is deleted by force is gone at once, with what runs in it.
                self.process_ended(pod.uid, ctx);
                self.scripts.remove(&pod.uid);
            }
            _ => {}
        }
    }

    fn drives(&self, pod: &Pod) -> bool {
        self.flux_of(pod).is_some()
    }

    fn probes(&self, pod: &Pod) -> bool {
        let flux = self.flux_of(pod).and_then(|name| self.fluxes.get(name));
        flux.is_some_and(|flux| flux.boot.pid1 == Pid1::Entrypoint)
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
        let instances = self.fluxes.values().map(|flux| &flux.instance);
        let instances = instances.chain(self.former.values().map(|former| &former.instance));
        instances.filter_map(Instance::next_time).map(time).chain(timer).min()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        for flux in self.fluxes.values_mut() {
            flux.instance.advance(instant(ctx.now), &mut Lots(ctx.random));
        }
        for former in self.former.values_mut() {
            former.instance.advance(instant(ctx.now), &mut Lots(ctx.random));
        }
        self.settle(ctx.now);
        for _ in 0..TIMERS_PER_ROUND_MAX {
            let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= ctx.now) else {
                break;
            };
            match entry.remove() {
                Timer::Retry(pod, run) => {
                    let waits = |script: &Entrypoint| script.run == run && script.stage == Stage::Waiting;
                    if self.scripts.get(&pod).is_some_and(|(_, script)| waits(script)) {
                        self.start_broker(pod, ctx);
                    }
                }
                // What follows looks at the leads.
                Timer::Look => {}
                Timer::Leave(pod, run) => self.leave(pod, run, ctx),
                Timer::Dropped(pod, run) => self.broker_dropped(pod, run, ctx.now),
            }
        }
        self.attend_to_leads(ctx);
        self.settle(ctx.now);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        std::mem::take(&mut self.exits)
    }

    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        std::mem::take(&mut self.readiness)
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
