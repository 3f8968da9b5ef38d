//! The world `embedded`, watched over, with caches that stand still as a plan says.

use towtank_apiserver::adapter::pump::{LoggedRequest, ProgramId};
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::{PodChanges, Refusal, World, WorldError, WorldKind};
use towtank_model::server::TraceEntry;
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Scenario, TableCommand};
use towtank_scenario::observation::Observation;

use crate::audit::{Audit, REST, Violation};
use crate::plan::Plan;
use crate::play::end;

/// Leases are about who works: they are no work.
pub(crate) fn is_of_election(request: &LoggedRequest) -> bool {
    request.line.contains("/leases")
}

/// See the module.
pub(crate) struct Audited {
    world: EmbeddedWorld,
    audit: Audit,
    programs: Vec<ProgramId>,
    /// When a hold begins (true) or ends, in order.
    turns: Vec<(Time, bool, ProgramId)>,
    trace: Vec<TraceEntry>,
    /// How the story ends when nothing goes wrong: a world that has come to rest there need not run on.
    goal: Option<String>,
    /// It has.
    is_over: bool,
    /// When the operator asked for anything last, but for Leases and watches, and how much of its log that was read from.
    busy: (Time, usize),
}

impl Audited {
    pub(crate) fn new(
        mut world: EmbeddedWorld,
        scenario: &Scenario,
        plan: &Plan,
        goal: Option<&str>,
    ) -> Self {
        let programs: Vec<ProgramId> = world.engine().programs().collect();
        let mut turns = Vec::new();
        for hold in &plan.holds {
            if let Some(program) = programs.get(hold.replica) {
                turns.extend([(hold.from, true, *program), (hold.to, false, *program)]);
            }
        }
        // The next is the last.
        turns.sort_unstable_by(|a, b| b.cmp(a));
        world.engine_mut().keep_log();
        let audit = Audit::begin(&mut world, scenario, plan);
        let goal = goal.map(str::to_owned);
        Self { world, audit, programs, turns, trace: Vec::new(), goal, is_over: false, busy: (Time::ZERO, 0) }
    }

    /// Requests and events of the first replica so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let first = self.programs.first();
        first.map_or((0, 0), |id| (self.world.engine().requests(*id), self.world.engine().events(*id)))
    }

    /// Ends the audit: what was broken, and what the operator has asked for.
    pub(crate) fn finish(mut self, passed: bool) -> (Vec<Violation>, Vec<LoggedRequest>) {
        let requests = self.world.engine_mut().take_log();
        (self.audit.finish(&mut self.world, &requests, passed), requests)
    }

    fn look(&mut self) {
        let fresh = self.world.take_trace();
        self.audit.look(&mut self.world, &fresh);
        self.trace.extend(fresh);
        self.rest();
    }

    /// Looks whether all has come to rest.
    fn rest(&mut self) {
        let has_rested = self.world.now() >= self.busy.0 + REST;
        let log = self.world.engine().log();
        let fresh = log.get(self.busy.1..).unwrap_or_default();
        let is_work =
            |request: &&LoggedRequest| !is_of_election(request) && !request.line.contains("watch=true");
        let last = fresh.iter().rfind(is_work);
        let at = last.map_or(self.busy.0, |request| request.at);
        self.busy = (at, log.len());
        let goal = self.goal.as_ref().filter(|_| has_rested && last.is_none());
        self.is_over = goal.is_some_and(|goal| end(self.world.observe()) == *goal);
    }

    /// Begins and ends the holds that are due.
    fn turn(&mut self) -> bool {
        let mut has_turned = false;
        while let Some((_, begins, program)) = self.turns.pop_if(|(at, ..)| *at <= self.world.now()) {
            has_turned = true;
            let pump = self.world.engine_mut();
            if begins { pump.hold(program) } else { pump.release(program) }
        }
        has_turned
    }
}

impl World for Audited {
    fn kind(&self) -> WorldKind {
        self.world.kind()
    }

    fn now(&self) -> Time {
        self.world.now()
    }

    fn perform(&mut self, action: &Action) -> Result<(), Refusal> {
        let result = self.world.perform(action);
        self.look();
        result
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let stop = self.turns.last().map_or(limit, |(at, ..)| (*at).min(limit));
        let instant = self.world.next_instant(stop)?;
        self.look();
        let has_turned = self.turn();
        Ok(instant.or_else(|| (has_turned || stop < limit).then_some(stop)))
    }

    fn is_quiescent(&self) -> bool {
        self.is_over
    }

    fn observe(&mut self) -> &Observation {
        self.world.observe()
    }

    fn show(&mut self, commands: Vec<(String, TableCommand)>) {
        self.world.show(commands);
    }

    fn take_changes(&mut self) -> Option<PodChanges> {
        self.world.take_changes()
    }

    fn generation(&self) -> u64 {
        self.world.generation()
    }

    fn take_trace(&mut self) -> Vec<TraceEntry> {
        std::mem::take(&mut self.trace)
    }
}
