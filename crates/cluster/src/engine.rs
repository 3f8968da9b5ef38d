//! A simulation whose clock is the real one: nodes and Flux are the model's, everything else happens elsewhere.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;
use towtank_control_plane::Interrupt;
use towtank_lockstep::latency::Sighting;
use towtank_lockstep::virtual_world::{Engine, Upper as _};
use towtank_lockstep::world::{Refusal, WorldError};
use towtank_model::simulation::Simulation;
use towtank_model::time::Time;
use towtank_scenario::ast::OperatorChange;

use crate::chaos::{Chaos, Fate};
use crate::clock::Clock;
use crate::latency::Log;
use crate::mirror::{Mirror, Shared};
use crate::processes::Victim;
use crate::site::SharedProvider;
use crate::watch::{Message, Shown, Watches};
use crate::workloads::Workloads;

/// How long the world may be silent before somebody looks at it.
const TICK: Duration = Duration::from_millis(200);
/// A world in which nothing has happened for so long, and nothing is planned, is at rest: a controller that has something to do does it
/// within a second (the Job controller's batches of status writes).
const REST: Duration = Duration::from_secs(3);
/// The same with real kubelets, which ask the pods of MiniClusters every five seconds whether they are ready, twice before they believe it.
const REST_ON_REAL_NODES: Duration = Duration::from_secs(15);
/// The same when processes were killed: Kubernetes' own clients, and the operator's, wait up to a minute until they try again.
const REST_AFTER_CHAOS: Duration = Duration::from_secs(70);
/// How often something may end by itself in one run while other things are killed.
const REVIVED_MAX: usize = 50;
/// How long the first lists may take.
const LISTS_MAX: Duration = Duration::from_secs(30);

/// What is simulated of a real cluster.
pub(crate) type Nodes = Simulation<Mirror, Workloads>;

/// Moves a simulation as real time passes.
pub(crate) struct RealTime {
    simulation: Nodes,
    copy: Shared,
    inbox: Receiver<Message>,
    provider: SharedProvider,
    chaos: Chaos,
    interrupt: Option<Interrupt>,
    /// What was to be seen of the sizes of MiniClusters, where somebody wants to know.
    log: Option<Log>,
    /// When anything last happened.
    changed: Time,
    /// They end with the world.
    watches: Watches,
}

impl RealTime {
    /// Around a fresh simulation of a cluster in which there is nothing yet. Waits until all watches tell of what comes.
    ///
    /// # Errors
    ///
    /// A watch does not begin.
    pub(crate) fn new(
        simulation: Nodes,
        copy: Shared,
        inbox: Receiver<Message>,
        watches: Watches,
        provider: SharedProvider,
        chaos: Chaos,
        interrupt: Option<Interrupt>,
    ) -> Result<Self, WorldError> {
        let changed = copy.borrow().clock.now();
        let mut this =
            Self { simulation, copy, inbox, provider, chaos, interrupt, log: None, changed, watches };
        let deadline = changed + LISTS_MAX;
        let mut listed = BTreeSet::new();
        let mut why = String::new();
        while listed.len() < this.watches.count() {
            if this.now() >= deadline {
                let seconds = LISTS_MAX.as_secs();
                return Err(WorldError(format!("the watches have not begun within {seconds} s{why}")));
            }
            for message in this.receive(deadline)? {
                match &message.shown {
                    Shown::Listed(namespace, _) => {
                        listed.insert((message.watched, namespace.clone()));
                    }
                    Shown::Failed(error) => why = format!(": {error}"),
                    Shown::Stored(_) | Shown::Gone(_) => {}
                }
                this.copy.borrow_mut().receive(Time::ZERO, message);
            }
        }
        // Nothing was there, so nothing has been counted yet.
        this.copy.borrow_mut().begin(Clock::start_with_a_second());
        this.catch_up()?;
        this.changed = this.now();
        Ok(this)
    }

    /// From now on, what is to be seen of the sizes of MiniClusters is kept for [`RealTime::take_log`].
    pub(crate) fn keep_log(&mut self) {
        self.log = Some(Log::default());
    }

    /// What was to be seen since the last call.
    pub(crate) fn take_log(&mut self) -> Vec<Sighting> {
        self.log.as_mut().map(Log::take).unwrap_or_default()
    }

    fn now(&self) -> Time {
        self.copy.borrow().clock.now()
    }

    /// What the watches show next, if they show anything until `wake`.
    fn receive(&self, wake: Time) -> Result<Vec<Message>, WorldError> {
        let mut messages = match self.inbox.recv_timeout(wake.since(self.now())) {
            Ok(message) => vec![message],
            Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(WorldError("the watches of the cluster have ended".to_owned()));
            }
        };
        messages.extend(self.inbox.try_iter());
        // Watches of different kinds overtake each other; the versions of a cluster are of one counter. The end of a list has none.
        let versions: Option<Vec<u64>> = messages.iter().map(version).collect();
        if versions.is_some() {
            messages.sort_by_key(version);
        }
        Ok(messages)
    }

    /// Kills what is to be killed by now, and starts it again; nothing else may have ended.
    fn strike(&mut self) -> Result<(), WorldError> {
        if self.interrupt.as_ref().is_some_and(Interrupt::is_raised) {
            return Err(WorldError("interrupted".to_owned()));
        }
        let broken = |error: crate::site::SiteError| WorldError(error.to_string());
        if self.chaos.has_struck() {
            for victim in self.provider.borrow_mut().revive().map_err(broken)? {
                self.chaos.note(self.now(), Fate::Ended, victim);
            }
            let ended = self.chaos.ended();
            if ended > REVIVED_MAX {
                return Err(WorldError(format!("programs have ended by themselves {ended} times")));
            }
        }
        self.provider.borrow_mut().check().map_err(broken)?;
        while let Some(victim) = self.chaos.due(self.now()) {
            let began = self.now();
            if self.provider.borrow_mut().strike(victim).map_err(broken)? {
                self.chaos.note(began, Fate::Killed, victim);
            }
        }
        Ok(())
    }

    /// Lets everything happen that is due by now.
    fn catch_up(&mut self) -> Result<bool, WorldError> {
        let now = self.now();
        let mut has_happened = false;
        let failed = |error: towtank_model::simulation::SimulationError| WorldError(error.to_string());
        loop {
            // What happens to brokers comes before what the nodes write about it, which takes time.
            let began = self.now();
            if self.simulation.step_instant(now).map_err(failed)?.is_none() {
                break;
            }
            has_happened = true;
            if let Some(log) = &mut self.log {
                let views = self.simulation.application().views(self.simulation.server());
                log.note_brokers(&views, began);
            }
        }
        if has_happened {
            self.changed = now;
            // MiniClusters are shown though they are no rows.
            self.simulation.apply_to(|_, _| {});
        }
        Ok(has_happened)
    }
}

fn version(message: &Message) -> Option<u64> {
    let (Shown::Stored(object) | Shown::Gone(object)) = &message.shown else { return None };
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)?.parse().ok()
}

impl Engine for RealTime {
    type Controller = Mirror;
    type Upper = Workloads;

    fn simulation(&self) -> &Nodes {
        &self.simulation
    }

    fn simulation_mut(&mut self) -> &mut Nodes {
        &mut self.simulation
    }

    fn prepare(&mut self) -> Result<(), WorldError> {
        self.catch_up().map(drop)
    }

    fn act(&mut self) {
        self.changed = self.now();
    }

    /// Stories that do anything else to it are not played here.
    fn operate(&mut self, change: &OperatorChange) -> Result<(), Refusal> {
        let mut provider = self.provider.borrow_mut();
        let done = match change {
            OperatorChange::Restart(_) => provider.strike(Victim::Operator).map(drop),
            OperatorChange::Start => provider.turn_operator(true),
            OperatorChange::Stop(_) => provider.turn_operator(false),
            OperatorChange::Hold | OperatorChange::Release | OperatorChange::Faults(_) => Ok(()),
        };
        done.map_err(|error| Refusal::new("ServiceUnavailable", error.to_string()))
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let tick = self.now() + TICK;
        loop {
            self.strike()?;
            if self.catch_up()? {
                return Ok(Some(self.simulation.now()));
            }
            let now = self.simulation.now();
            if now >= limit {
                return Ok(None);
            }
            if now >= tick {
                return Ok(Some(now));
            }
            let next = [self.simulation.scheduled_time(), self.chaos.next_time(), Some(tick), Some(limit)];
            let wake = next.into_iter().flatten().min().unwrap_or(limit);
            for message in self.receive(wake)? {
                let now = self.now();
                if let Some(log) = &mut self.log {
                    log.note(&message, self.copy.borrow().clock.time_of(message.came));
                }
                self.copy.borrow_mut().receive(now, message);
            }
        }
    }

    fn is_quiescent(&self) -> bool {
        let rest = match (self.chaos.has_struck(), self.provider.borrow().machines()) {
            (true, _) => REST_AFTER_CHAOS,
            (false, Some(_)) => REST_ON_REAL_NODES,
            (false, None) => REST,
        };
        let planned = self.simulation.scheduled_time().is_some_and(|at| at.since(self.now()) < rest);
        !planned && self.chaos.next_time().is_none() && self.now().since(self.changed) >= rest
    }
}
