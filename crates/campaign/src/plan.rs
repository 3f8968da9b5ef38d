//! What goes wrong in one run.

use std::fmt;
use std::time::Duration;

use towtank_apiserver::adapter::faults::{FaultPlan, Moment, RequestFault, WatchFault};
use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::time::Time;

/// What goes wrong in one run: for each replica of the operator, and when which of them sees nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What goes wrong with the requests and watches of each replica.
    pub replicas: Vec<FaultPlan>,
    /// When caches stand still.
    pub holds: Vec<Hold>,
}

/// A time in which the watches of a replica tell nothing; what they had to tell comes at the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose, by its place in the plan.
    pub replica: usize,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
}

/// How much of a run random plans may touch.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Requests that may go wrong, from the first.
    pub requests: u64,
    /// Events that may go wrong, from the first.
    pub events: u64,
    /// When the last cache is held, at the latest.
    pub end: Time,
}

impl Plan {
    /// Nothing goes wrong; one replica.
    pub fn none() -> Self {
        Self { replicas: vec![FaultPlan::default()], holds: Vec::new() }
    }

    /// The only replica's process ends at its request of this number, before or after the server has carried it out.
    pub fn crash(request: u64, moment: Moment) -> Self {
        let requests = [(request, RequestFault::Crash(moment))].into();
        Self { replicas: vec![FaultPlan { requests, ..FaultPlan::default() }], holds: Vec::new() }
    }

    /// The plan of this seed. A quarter of them have two replicas.
    pub fn random(seed: u64, extent: Extent) -> Self {
        let mut dice = Dice(RandomStreams::new(seed));
        let replicas = if dice.one_of(4) { 2 } else { 1 };
        let mut plan = Self { replicas: Vec::new(), holds: Vec::new() };
        for _ in 0..replicas {
            plan.replicas.push(dice.faults(extent));
        }
        for _ in 0..dice.below(3) {
            let from = Time::from_millis(dice.below(extent.end.as_micros() / 1_000));
            let length = Duration::from_millis(1 + dice.below(30_000));
            let replica = usize::try_from(dice.below(replicas)).unwrap_or(0);
            plan.holds.push(Hold { replica, from, to: from + length });
        }
        plan
    }

    /// How many things go wrong.
    pub fn len(&self) -> usize {
        let faults = self.replicas.iter().map(|plan| plan.requests.len() + plan.events.len());
        faults.sum::<usize>() + self.holds.len()
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what was written later was known later: not with two writers, of whom each has caches of its own.
    pub fn is_in_order(&self) -> bool {
        self.replicas.len() == 1
    }

    /// All plans that are this one without one of its faults.
    pub fn without_one(&self) -> impl Iterator<Item = Self> + '_ {
        let requests = (0..self.replicas.len()).flat_map(move |replica| {
            self.replicas[replica].requests.keys().map(move |number| {
                let mut plan = self.clone();
                plan.replicas[replica].requests.remove(number);
                plan
            })
        });
        let events = (0..self.replicas.len()).flat_map(move |replica| {
            self.replicas[replica].events.keys().map(move |number| {
                let mut plan = self.clone();
                plan.replicas[replica].events.remove(number);
                plan
            })
        });
        let holds = (0..self.holds.len()).map(move |position| {
            let mut plan = self.clone();
            plan.holds.remove(position);
            plan
        });
        requests.chain(events).chain(holds)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(f, "{} without faults", replicas(self.replicas.len()));
        }
        write!(f, "{}", replicas(self.replicas.len()))?;
        for (replica, plan) in self.replicas.iter().enumerate() {
            for (number, fault) in &plan.requests {
                write!(f, "; request {number} of {replica}: {fault:?}")?;
            }
            for (number, fault) in &plan.events {
                write!(f, "; event {number} of {replica}: {fault:?}")?;
            }
        }
        for Hold { replica, from, to } in &self.holds {
            write!(f, "; caches of {replica} stand still from {from} to {to}")?;
        }
        Ok(())
    }
}

fn replicas(count: usize) -> &'static str {
    if count == 1 { "one replica" } else { "two replicas" }
}

struct Dice(RandomStreams);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(Purpose::Network, bound)
    }

    fn one_of(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn moment(&mut self) -> Moment {
        if self.one_of(2) { Moment::Before } else { Moment::After }
    }

    /// How much goes wrong is drawn first, so that there are calm runs and wild ones.
    fn faults(&mut self, extent: Extent) -> FaultPlan {
        let mut plan = FaultPlan::default();
        for _ in 0..self.below(9) {
            let number = self.below(extent.requests);
            let fault = match self.below(7) {
                0 => RequestFault::Error(self.moment()),
                1 => RequestFault::Conflict,
                2 => RequestFault::Timeout(self.moment()),
                3 => RequestFault::Broken(self.moment()),
                4 => RequestFault::Delay(Duration::from_millis(1 + self.below(20_000))),
                _ => RequestFault::Crash(self.moment()),
            };
            plan.requests.insert(number, fault);
        }
        for _ in 0..self.below(5) {
            let number = self.below(extent.events);
            let fault = match self.below(3) {
                0 => WatchFault::Broken,
                1 => WatchFault::Expired,
                _ => WatchFault::Delay(Duration::from_millis(1 + self.below(20_000))),
            };
            plan.events.insert(number, fault);
        }
        plan
    }
}
