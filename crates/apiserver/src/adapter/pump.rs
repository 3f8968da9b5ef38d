//! Programs that talk to an API server, and the server's side, on one virtual clock.
//!
//! A [`Pump`] owns both sides: the [`Site`] (server, controllers, nodes: synchronous, exact to the microsecond) and the tasks of the programs, which run
//! on a paused tokio runtime. It moves from instant to instant: all that the site does at an instant, then all that the programs do about it, then again,
//! until nobody wants anything more. Requests are taken when every task waits, so their order is the tasks' own and the same in every run.
//!
//! tokio's timers have a resolution of one millisecond; the programs' clock stands at the last whole one before the site's.

mod traffic;

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use towtank_model::engine::{Distribution, RandomStreams};
use towtank_model::time::Time;

use super::faults::{FaultPlan, Planted, RequestFault, WatchFault};
use super::mailbox::{ConnectionId, Inbox, Letter, Reply, WatchSender, Wire};
use super::runtime::{VirtualRuntime, whole_millis};
use crate::{Answer, Caller, WatchId, WatchPoll};

/// What programs talk to.
pub trait Site {
    /// The present instant.
    fn now(&self) -> Time;
    /// Whether all that is going to happen there by itself is known beforehand. If not, asking for it lets time pass there up to the answer, or to
    /// the limit.
    fn is_transparent(&self) -> bool {
        true
    }
    /// When something is going to happen there that is known beforehand.
    fn scheduled_time(&self) -> Option<Time> {
        None
    }
    /// When something is going to happen there by itself, at or before `limit`.
    fn next_time(&mut self, limit: Time) -> Option<Time>;
    /// Lets everything happen that is due at or before `at`; the clock stands there afterwards.
    ///
    /// # Errors
    ///
    /// Why it cannot go on.
    fn run_until(&mut self, at: Time) -> Result<bool, String>;
    /// Carries out a request at the present instant.
    fn handle(&mut self, caller: &Caller, request: Request<Bytes>) -> Answer;
    /// Watches that have something to tell since the last call.
    fn ready_watches(&mut self) -> Vec<WatchId>;
    /// The next thing that a watch has to tell.
    fn poll_watch(&mut self, watch: WatchId) -> WatchPoll;
    /// Nobody reads it any more.
    fn close_watch(&mut self, watch: WatchId);
}

/// The clock that a program is given in place of the machine's: microseconds since the start.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(super) fn set(&self, now: Time) {
        self.0.store(now.as_micros(), Ordering::Relaxed);
    }

    /// The present instant.
    pub fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// What a program runs, from its start to its end.
pub type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A program: who it is at the server, and how its process starts.
pub struct Program {
    /// Who it is.
    pub caller: Caller,
    /// Starts a process; called once for each of its lives, inside of the runtime, with its way to the server and a clock.
    pub start: Box<dyn FnMut(Wire, Clock) -> Life>,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// How long after its end the process starts again.
    pub restart_delay: Duration,
}

/// How long requests and events take.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// A request on its way, and its answer, each.
    pub request: Distribution,
    /// An event of a watch.
    pub watch: Distribution,
}

/// A program that is known to the pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId(usize);

struct Running {
    program: Program,
    life: Option<(AbortHandle, Wire, ConnectionId)>,
    requests: u64,
    events: u64,
    crashes: u64,
}

/// Something that is under way.
enum Step {
    Arrive { letter: Letter, number: u64, fault: Option<RequestFault>, back: Duration },
    Answer { to: ConnectionId, reply: oneshot::Sender<Reply>, with: Reply },
    Line { watch: WatchId, line: Option<Bytes> },
    Start(ProgramId),
}

struct OpenWatch {
    reader: ConnectionId,
    /// What was asked for.
    uri: Uri,
    sender: WatchSender,
    /// No event arrives before the one that was sent before it.
    last: Time,
}

/// Rounds of one instant after which programs and site must be going round in circles.
const ROUNDS_PER_INSTANT_MAX: u32 = 100_000;

/// Steps of a millisecond after something has happened, and doublings afterwards; see [`Pump::horizon`].
const STEPS_EXACT: u32 = 5;
const STEP_DOUBLINGS_MAX: u32 = 6;

/// See the module.
pub struct Pump<S> {
    site: S,
    runtime: VirtualRuntime,
    inbox: Inbox,
    programs: Vec<Running>,
    /// Whose life each connection belongs to.
    connections: Vec<ProgramId>,
    steps: BTreeMap<(Time, u64), Step>,
    sequence: u64,
    watches: BTreeMap<WatchId, OpenWatch>,
    /// Programs whose watches are held, and what waits there.
    held: BTreeMap<ProgramId, Vec<(WatchId, Option<Bytes>)>>,
    /// What goes wrong with the nth request or event of a kind.
    planted: Planted,
    latencies: Latencies,
    random: RandomStreams,
    clock: Clock,
    /// A letter that came while time passed.
    early: Option<Letter>,
    /// Tasks have been woken and have not run since.
    is_restless: bool,
    /// Steps since anything happened, at a site that cannot say when anything happens next.
    quiet_steps: u32,
    /// How far the programs' clock is ahead of such a site.
    ahead: Duration,
    /// The requests, if anybody wants to know.
    log: Option<Vec<LoggedRequest>>,
}

/// Requests that are kept until they are taken; more are not.
const LOG_MAX: usize = 1 << 20;

/// A request, as it was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// When.
    pub at: Time,
    /// Whose.
    pub program: ProgramId,
    /// Its number among the program's, from 0, as a [`FaultPlan`] counts them.
    pub number: u64,
    /// Method and path with query.
    pub line: String,
    /// The answer's status; 0 for a watch.
    pub status: u16,
}

impl<S: Site> Pump<S> {
    /// No program yet.
    ///
    /// # Errors
    ///
    /// The runtime cannot be built.
    pub fn new(site: S, latencies: Latencies, seed: u64) -> io::Result<Self> {
        // The programs draw jitter from this thread's generator (backon's back-off).
        fastrand::seed(seed);
        Ok(Self {
            site,
            runtime: VirtualRuntime::new()?,
            inbox: Inbox::new(),
            programs: Vec::new(),
            connections: Vec::new(),
            steps: BTreeMap::new(),
            sequence: 0,
            watches: BTreeMap::new(),
            held: BTreeMap::new(),
            planted: Planted::default(),
            latencies,
            random: RandomStreams::new(seed),
            clock: Clock::default(),
            early: None,
            is_restless: false,
            quiet_steps: 0,
            ahead: Duration::ZERO,
            log: None,
        })
    }

    /// What programs talk to.
    pub const fn site(&self) -> &S {
        &self.site
    }

    /// The same. Whoever does something to it that programs may hear of says so: [`Pump::disturb`].
    pub const fn site_mut(&mut self) -> &mut S {
        &mut self.site
    }

    /// Something has been done to the site at the present instant: watches may have something to tell.
    pub const fn disturb(&mut self) {
        self.is_restless = true;
    }

    /// The present instant.
    pub fn now(&self) -> Time {
        self.site.now()
    }

    /// Keeps the requests from now on, for [`Pump::take_log`].
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// The requests that are kept.
    pub fn log(&self) -> &[LoggedRequest] {
        self.log.as_deref().unwrap_or_default()
    }

    /// The requests since the last call, as far as they have been kept.
    pub fn take_log(&mut self) -> Vec<LoggedRequest> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    // ---- programs ----

    /// All programs, in the order in which they were added.
    pub fn programs(&self) -> impl Iterator<Item = ProgramId> + use<S> {
        (0..self.programs.len()).map(ProgramId)
    }

    /// Starts a program at the present instant.
    pub fn add(&mut self, program: Program) -> ProgramId {
        let id = ProgramId(self.programs.len());
        self.programs.push(Running { program, life: None, requests: 0, events: 0, crashes: 0 });
        self.start(id);
        id
    }

    /// Ends a program's process at once, as SIGKILL does; it starts again only by [`Pump::start`].
    pub fn stop(&mut self, id: ProgramId) {
        self.steps.retain(|_, step| !matches!(step, Step::Start(other) if *other == id));
        let Some(running) = self.programs.get_mut(id.0) else { return };
        if let Some((task, wire, connection)) = running.life.take() {
            wire.cut();
            task.abort();
            self.is_restless = true;
            let of_it = |watch: &OpenWatch| watch.reader == connection;
            let gone: Vec<WatchId> =
                self.watches.iter().filter(|(_, watch)| of_it(watch)).map(|(id, _)| *id).collect();
            for watch in gone {
                self.end_watch(watch);
            }
        }
        self.held.remove(&id);
    }

    /// Starts a program's process; does nothing when it runs.
    pub fn start(&mut self, id: ProgramId) {
        let connection = ConnectionId(self.connections.len());
        let Some(running) = self.programs.get_mut(id.0).filter(|running| running.life.is_none()) else {
            return;
        };
        self.connections.push(id);
        let wire = self.inbox.wire(connection);
        let start = &mut running.program.start;
        let life = self.runtime.enter(|| start(wire.clone(), self.clock.clone()));
        running.life = Some((self.runtime.spawn(life), wire, connection));
        self.is_restless = true;
    }

    /// Whether a program's process runs.
    pub fn is_running(&self, id: ProgramId) -> bool {
        self.programs.get(id.0).is_some_and(|running| running.life.is_some())
    }

    /// The nth request from now on, from 1, with this verb of RBAC and this resource (`patch`, `miniclusters/status`) meets a fault, whichever
    /// program's it is.
    pub fn plant_request(&mut self, verb: &'static str, resource: &str, nth: u32, fault: RequestFault) {
        self.planted.add_request(verb, resource, nth, fault);
    }

    /// The nth event from now on, from 1, of watches of this resource meets a fault, whichever program's it is.
    pub fn plant_event(&mut self, resource: &str, nth: u32, fault: WatchFault) {
        self.planted.add_event(resource, nth, fault);
    }

    /// Faults that have been planted and have met nothing so far.
    pub fn planted(&self) -> usize {
        self.planted.len()
    }

    /// How often a program's process has crashed as its plan says.
    pub fn crashes(&self, id: ProgramId) -> u64 {
        self.programs.get(id.0).map_or(0, |running| running.crashes)
    }

    /// Requests that a program has sent.
    pub fn requests(&self, id: ProgramId) -> u64 {
        self.programs.get(id.0).map_or(0, |running| running.requests)
    }

    /// Events that a program's watches have told it of.
    pub fn events(&self, id: ProgramId) -> u64 {
        self.programs.get(id.0).map_or(0, |running| running.events)
    }

    /// Holds a program's watches: its caches stand still.
    pub fn hold(&mut self, id: ProgramId) {
        self.held.entry(id).or_default();
    }

    /// Lets them go on: what has queued up arrives now, in order.
    pub fn release(&mut self, id: ProgramId) {
        for (watch, line) in self.held.remove(&id).unwrap_or_default() {
            self.line_arrives(watch, line);
        }
    }

    // ---- time ----

    /// Goes on to the next instant at which anything happens and lets all of it happen; `None` when nothing happens up to and including
    /// `limit`: the clock stands there then.
    ///
    /// # Errors
    ///
    /// The site cannot go on, or an instant does not end.
    pub fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, String> {
        loop {
            let next = if self.is_restless || self.early.is_some() {
                self.site.now()
            } else {
                let known = self.steps.first_key_value().map_or(limit, |((at, _), _)| (*at).min(limit));
                if self.site.is_transparent() {
                    let next = self.site.next_time(known).unwrap_or(known).max(self.site.now());
                    self.pass(next)
                } else {
                    let known = self.site.scheduled_time().map_or(known, |at| at.min(known));
                    let bound = self.pass(known.min(self.horizon()).max(self.site.now()));
                    let next = self.site.next_time(bound).unwrap_or(bound).max(self.site.now());
                    let present = Time::ZERO + whole_millis(next);
                    self.ahead = self.runtime.now().max(present) - present;
                    next
                }
            };
            self.collect_ended();
            let has_happened = self.play(next)?;
            self.quiet_steps = if has_happened { 0 } else { self.quiet_steps.saturating_add(1) };
            if has_happened {
                return Ok(Some(next));
            }
            if next >= limit {
                return Ok(None);
            }
        }
    }

    /// Lets the programs' timers go off up to `to`, or to the first letter that is sent; returns where it is then.
    fn pass(&mut self, to: Time) -> Time {
        let is_calm = self.quiet_steps >= STEPS_EXACT;
        let ahead = if is_calm { Duration::ZERO } else { self.ahead };
        if self.runtime.now() < Time::ZERO + whole_millis(to + ahead) {
            self.early = self.runtime.pass(to + ahead, &mut self.inbox);
            // A timer of this very instant may have woken another task too.
            self.is_restless = true;
        }
        if self.early.is_none() {
            return to;
        }
        self.runtime.now().saturating_sub(ahead).max(self.site.now())
    }

    /// How far the programs' timers may go off before a site that is not transparent is asked what it does until then. Neither side says when its next timer
    /// is due without letting it go off, so they go step by step: a millisecond for a while after anything has happened, longer when all is quiet. Where
    /// the site then does something within a step, the programs' clock is ahead of it: timers that they set now are set from there, and those set before
    /// are right again when all is quiet.
    fn horizon(&self) -> Time {
        let doublings = self.quiet_steps.saturating_sub(STEPS_EXACT).min(STEP_DOUBLINGS_MAX);
        Time::ZERO + whole_millis(self.site.now()) + Duration::from_millis(1 << doublings)
    }

    /// Lets everything happen up to and including `limit`.
    ///
    /// # Errors
    ///
    /// As for [`Pump::next_instant`].
    pub fn run_until(&mut self, limit: Time) -> Result<(), String> {
        while self.next_instant(limit)?.is_some() {}
        Ok(())
    }

    /// Everything of one instant.
    fn play(&mut self, at: Time) -> Result<bool, String> {
        let mut has_happened = false;
        for _ in 0..ROUNDS_PER_INSTANT_MAX {
            let mut is_quiet = !self.site.run_until(at)?;
            self.clock.set(at);
            while let Some(entry) = self.steps.first_entry().filter(|entry| entry.key().0 <= at) {
                is_quiet = false;
                let step = entry.remove();
                self.take(step);
            }
            for watch in self.site.ready_watches() {
                self.drain(watch);
            }
            if let Some(letter) = self.early.take() {
                is_quiet = false;
                self.receive(letter);
            }
            if std::mem::take(&mut self.is_restless) {
                self.runtime.settle();
                self.collect_ended();
            }
            while let Some(letter) = self.inbox.take() {
                is_quiet = false;
                self.receive(letter);
            }
            has_happened |= !is_quiet;
            if is_quiet && !self.is_restless {
                return Ok(has_happened);
            }
        }
        Err(format!("the programs do not come to rest at {at}: more than {ROUNDS_PER_INSTANT_MAX} rounds"))
    }

    /// Programs that have ended by themselves start again, as a kubelet would have them.
    fn collect_ended(&mut self) {
        for position in 0..self.programs.len() {
            let running = &mut self.programs[position];
            let has_ended = running.life.as_ref().is_some_and(|(task, ..)| task.is_finished());
            if has_ended {
                let (at, id) = (self.site.now() + running.program.restart_delay, ProgramId(position));
                self.stop(id);
                self.schedule(at, Step::Start(id));
            }
        }
    }

    fn schedule(&mut self, at: Time, step: Step) {
        self.sequence += 1;
        self.steps.insert((at, self.sequence), step);
    }
}
