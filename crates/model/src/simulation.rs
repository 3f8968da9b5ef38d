//! One simulated cluster: the components, the events that drive them, and the steps that a user can take.
//!
//! Time passes only in [`Simulation::step_instant`] and [`Simulation::run_until`]. Between two calls the simulation is
//! quiet: a user's action takes effect in the store at once, and whatever follows from it happens in the next step.

mod actions;
mod parts;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::{ActionError, Cluster, ClusterConfig, ClusterEvent, ContainerChoice};
use crate::engine::{EventQueue, RandomStreams};
use crate::job::{ControllerConfig, ControllerEvent, JobController};
use crate::objects::Uid;
use crate::server::{ApiError, Change, Registry, Server, TraceEntry, Versions};
use crate::time::Time;
use crate::version::Features;

pub use parts::{Application, Controller, NoApplication};

/// What can be pending. Each component has events of its own and sees no other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// For the Job controller (queue, caches, API answers, time to live).
    Controller(ControllerEvent),
    /// For the scheduler, the kubelets and the controllers of nodes and pods.
    Cluster(ClusterEvent),
}

/// What a component may use while it handles something.
pub struct Context<'a> {
    /// The present instant.
    pub now: Time,
    /// Where it schedules what is to come.
    pub events: &'a mut EventQueue<Event>,
    /// Where it reads and writes objects.
    pub server: &'a mut Server,
    /// Where its random numbers come from.
    pub random: &'a mut RandomStreams,
}

/// Events of one instant after which something must be going round in circles.
const EVENTS_PER_INSTANT_MAX: u64 = 10_000_000;

/// How a simulation is set up.
#[derive(Clone, Debug)]
pub struct SimulationConfig {
    /// What the Kubernetes version does.
    pub features: Features,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The instant at which it begins.
    pub start: Time,
    /// Every write is kept for [`Simulation::take_trace`].
    pub keeps_trace: bool,
    /// The Job controller's decisions are kept in the trace too.
    pub explains: bool,
    /// The Job controller's process.
    pub controller: ControllerConfig,
    /// Nodes, their timing, and what the workload does.
    pub cluster: ClusterConfig,
    /// See [`SimulationError::Livelock`].
    pub events_per_instant_max: u64,
    /// What has changed is kept for [`Simulation::take_touched`].
    pub notes_touched: bool,
}

impl SimulationConfig {
    /// A cluster of this version with nothing special about it.
    pub fn new(features: Features, seed: u64) -> Self {
        Self {
            features,
            seed,
            start: Time::ZERO,
            keeps_trace: false,
            explains: false,
            controller: ControllerConfig::default(),
            cluster: ClusterConfig::default(),
            events_per_instant_max: EVENTS_PER_INSTANT_MAX,
            notes_touched: false,
        }
    }
}

/// Why a simulation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// Time does not pass: components keep scheduling events for the same instant.
    #[error("more than {events} events at {at}: the simulation does not come to rest")]
    Livelock {
        /// The instant.
        at: Time,
        /// Events handled at it.
        events: u64,
    },
    /// A part of the simulation that lives outside has failed.
    #[error("{0}")]
    Outside(String),
}

/// An instant at which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// When.
    pub at: Time,
    /// Stored state has changed.
    pub has_changed: bool,
}

/// Objects that have changed, for those who show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Pods, those that are gone included.
    pub pods: BTreeSet<Uid>,
    /// Any node.
    pub nodes: bool,
}

impl Touched {
    fn note(&mut self, change: &Change) {
        match change {
            Change::Pod(Versions { old, new }) => {
                self.pods.extend(new.as_ref().or(old.as_ref()).map(|pod| pod.uid));
            }
            Change::Node(_) => self.nodes = true,
            Change::Job(_) => {}
        }
    }
}

/// A cluster on virtual time.
pub struct Simulation<C = JobController, A = NoApplication> {
    events: EventQueue<Event>,
    server: Server,
    random: RandomStreams,
    controller: C,
    cluster: Cluster,
    application: A,
    events_per_instant_max: u64,
    /// What has changed since somebody asked; `None`: nobody asks.
    touched: Option<Touched>,
    /// Changes of the store so far.
    generation: u64,
    /// Events handled so far.
    handled: u64,
}

impl Simulation {
    /// A cluster without objects, at the start of time, with all its components just started.
    pub fn new(config: SimulationConfig) -> Self {
        let controller = JobController::new(config.controller.clone(), config.features, config.explains);
        Self::with_parts(config, controller, None)
    }
}

impl<C: Controller> Simulation<C> {
    /// The same with another controller, and with another judge of all writes than the model's own rules: nothing in
    /// `config` about the Job controller's process counts.
    pub fn with_parts(config: SimulationConfig, controller: C, registry: Option<Box<dyn Registry>>) -> Self {
        Self::with_application(config, controller, registry, NoApplication)
    }
}

impl<C: Controller, A: Application> Simulation<C, A> {
    /// The same with an application on top.
    pub fn with_application(
        config: SimulationConfig,
        controller: C,
        registry: Option<Box<dyn Registry>>,
        application: A,
    ) -> Self {
        let mut server = Server::new(config.features, config.keeps_trace);
        if let Some(registry) = registry {
            server.defer_to(registry);
        }
        let mut events = EventQueue::default();
        events.advance_to(config.start);
        let mut simulation = Self {
            events,
            server,
            random: RandomStreams::new(config.seed),
            controller,
            cluster: Cluster::new(config.cluster),
            application,
            events_per_instant_max: config.events_per_instant_max,
            touched: config.notes_touched.then(Touched::default),
            generation: 0,
            handled: 0,
        };
        simulation.start_controller();
        let (mut ctx, _, cluster) = simulation.parts();
        // Only a name that is taken is refused, and the store is empty.
        let _ = cluster.start(&mut ctx);
        simulation.spread();
        simulation
    }

    /// The present instant.
    pub fn now(&self) -> Time {
        self.events.now()
    }

    /// The stored state.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The Job controller.
    pub const fn controller(&self) -> &C {
        &self.controller
    }

    /// What runs on top.
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// Has the application do something now.
    pub fn apply_to<T>(&mut self, action: impl FnOnce(&mut A, &mut Context<'_>) -> T) -> T {
        let result = self.quietly(action);
        // What it shows may be another, though nothing is stored.
        self.generation += 1;
        self.spread();
        result
    }

    /// The same for what changes nothing that anybody can see, and stores nothing.
    pub fn quietly<T>(&mut self, action: impl FnOnce(&mut A, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context {
            now: self.events.now(),
            events: &mut self.events,
            server: &mut self.server,
            random: &mut self.random,
        };
        action(&mut self.application, &mut ctx)
    }

    /// Scheduler, kubelets, and the controllers of nodes and pods.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Grows with every change of the stored state, and whenever the application may show something else.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Events handled so far.
    pub const fn events_handled(&self) -> u64 {
        self.handled
    }

    /// Takes the trace since the last call; empty when none is kept.
    pub fn take_trace(&mut self) -> Vec<TraceEntry> {
        self.server.take_trace()
    }

    /// What has changed since the last call; nothing where nothing is noted.
    pub fn take_touched(&mut self) -> Touched {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether nothing is going to happen without a further action.
    pub fn is_quiescent(&self) -> bool {
        self.events.is_empty()
            && self.controller.next_time().is_none()
            && self.application.next_time().is_none()
            && self.controller.is_transparent()
    }

    /// When the application does something next: one thread that plays nodes plays it too, after what it writes.
    fn application_time(&self) -> Option<Time> {
        let next = self.application.next_time()?;
        let writes_until = self.cluster.kubelets.writes_until();
        Some(writes_until.map_or(next, |until| next.max(until + Duration::from_micros(1))))
    }

    /// When the next thing is due that is known beforehand: all but what a controller that keeps its own time is going to do.
    pub fn scheduled_time(&self) -> Option<Time> {
        let times = [self.events.next_time(), self.application_time(), self.controller.next_time()];
        times.into_iter().flatten().min()
    }

    /// When the next thing is due, at or before `limit`. A controller that keeps its own time runs up to there.
    pub fn next_time(&mut self, limit: Time) -> Option<Time> {
        let others = [self.events.next_time(), self.application_time()].into_iter().flatten().min();
        self.controller.advance(others.map_or(limit, |next| next.min(limit)));
        [others, self.controller.next_time()].into_iter().flatten().min().filter(|at| *at <= limit)
    }

    /// Goes on to the next instant at which anything is due and handles all of its events, those included that are
    /// scheduled for it meanwhile. When nothing is due up to and including `limit`, the clock stands at `limit`
    /// afterwards and the answer is `None`.
    ///
    /// # Errors
    ///
    /// [`SimulationError::Livelock`] when the instant does not end, [`SimulationError::Outside`] when a part fails.
    pub fn step_instant(&mut self, limit: Time) -> Result<Option<Instant>, SimulationError> {
        let limit = limit.max(self.now());
        let next = self.next_time(limit);
        self.check()?;
        let Some(at) = next else {
            self.events.advance_to(limit);
            return Ok(None);
        };
        let before = self.generation;
        let mut handled = 0;
        self.events.advance_to(at);
        let (mut ctx, controller, _) = self.parts();
        controller.fire(&mut ctx);
        self.spread();
        if self.application_time().is_some_and(|next| next <= at) {
            self.apply_to(|application, ctx| application.fire(ctx));
        }
        while let Some((_, event)) = self.events.pop_until(at) {
            if handled == self.events_per_instant_max {
                return Err(SimulationError::Livelock { at, events: handled });
            }
            handled += 1;
            self.handle(event);
        }
        self.handled += handled;
        self.check()?;
        Ok(Some(Instant { at, has_changed: self.generation != before }))
    }

    /// Why a part that lives outside cannot go on, if it cannot: what it has answered since means nothing.
    pub fn failure(&self) -> Option<String> {
        self.controller.failure()
    }

    fn check(&self) -> Result<(), SimulationError> {
        self.failure().map_or(Ok(()), |failure| Err(SimulationError::Outside(failure)))
    }

    /// Lets everything happen that is due up to and including `limit`; the clock stands there afterwards.
    ///
    /// # Errors
    ///
    /// [`SimulationError::Livelock`] when an instant does not end.
    pub fn run_until(&mut self, limit: Time) -> Result<(), SimulationError> {
        while self.step_instant(limit)?.is_some() {}
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        let (mut ctx, controller, cluster) = self.parts();
        match event {
            Event::Controller(event) => controller.handle(event, &mut ctx),
            Event::Cluster(event) => cluster.handle(event, &mut ctx),
        }
        self.spread();
    }

    /// Shows the components what has changed, in order, until none of them changes anything more.
    fn spread(&mut self) {
        loop {
            let changes = self.server.take_changes();
            let facts = self.cluster.kubelets.take_facts();
            let exits = self.application.take_exits();
            let readiness = self.application.take_readiness();
            if changes.is_empty() && facts.is_empty() && exits.is_empty() && readiness.is_empty() {
                return;
            }
            // Facts change what the application shows.
            self.generation += (changes.len() + facts.len()) as u64;
            let mut ctx = Context {
                now: self.events.now(),
                events: &mut self.events,
                server: &mut self.server,
                random: &mut self.random,
            };
            for change in &changes {
                if let Some(touched) = &mut self.touched {
                    touched.note(change);
                }
                if let Change::Pod(Versions { old: None, new: Some(pod) }) = change
                    && self.application.drives(pod)
                {
                    self.cluster.kubelets.hand_over(pod.uid, self.application.probes(pod));
                }
                self.controller.observe(change, &mut ctx);
                self.cluster.observe(change, &mut ctx);
                self.application.observe(change, &mut ctx);
            }
            for fact in facts {
                self.application.process(fact, &mut ctx);
            }
            for (pod, code) in exits {
                // A process that has been killed meanwhile ends no second time.
                let _ = self.cluster.exit(pod, ContainerChoice::First, code, None, &mut ctx);
            }
            for (pod, is_ready) in readiness {
                self.cluster.kubelets.probed(pod, is_ready, &mut ctx);
            }
        }
    }

    fn parts(&mut self) -> (Context<'_>, &mut C, &mut Cluster) {
        let ctx = Context {
            now: self.events.now(),
            events: &mut self.events,
            server: &mut self.server,
            random: &mut self.random,
        };
        (ctx, &mut self.controller, &mut self.cluster)
    }

    /// Carries out a step of the user and shows the components what it changed.
    fn act<T>(
        &mut self,
        action: impl FnOnce(&mut Context<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (mut ctx, _, _) = self.parts();
        let result = action(&mut ctx);
        self.spread();
        result
    }

    /// The same for a step that goes to the cluster's components.
    fn act_on<T>(
        &mut self,
        action: impl FnOnce(&mut Cluster, &mut Context<'_>) -> Result<T, ActionError>,
    ) -> Result<T, ActionError> {
        let (mut ctx, _, cluster) = self.parts();
        let result = action(cluster, &mut ctx);
        self.spread();
        result
    }
}
