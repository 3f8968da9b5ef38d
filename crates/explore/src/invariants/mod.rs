//! The rules that no story may break, each with a name and the place that it comes from.
//!
//! They are written from the outside: a rule sees one write at a time (the object before and after it) and the `Ledger`,
//! the state that all writes so far add up to. None of them asks the Job controller.

mod counting;
mod ledger;
mod pods;
mod rest;
mod status;
mod verdicts;

use towtank_model::objects::{Job, Pod, ResourceVersion};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Verb, Versions};
use towtank_model::time::Time;
use towtank_model::version::Features;

use ledger::Ledger;

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the [`Invariant`].
    pub invariant: &'static str,
    /// By what.
    pub detail: String,
}

/// A rule.
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    check: Check,
}

/// Every rule.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    [status::RULES, counting::RULES, verdicts::RULES, pods::RULES, rest::RULES].into_iter().flatten()
}

/// That a rule holds, or what breaks it.
type Holds = Result<(), String>;

enum Check {
    /// Of the version that a write gives to an object.
    Version(fn(ResourceVersion, &Ledger) -> Holds),
    /// Of every write to a Job.
    Job(fn(&Write<'_, Job>) -> Holds),
    /// Of every write to a pod.
    Pod(fn(&Write<'_, Pod>) -> Holds),
    /// Of the state in which a run comes to rest.
    Rest(fn(&Ledger) -> Holds),
}

/// One write.
struct Write<'a, T> {
    at: Time,
    actor: Actor,
    verb: Verb,
    old: Option<&'a T>,
    new: Option<&'a T>,
    /// What was stored before it.
    ledger: &'a Ledger,
}

impl<'a, T> Write<'a, T> {
    fn of(entry: &TraceEntry, verb: Verb, versions: &'a Versions<T>, ledger: &'a Ledger) -> Self {
        let (old, new) = (versions.old.as_deref(), versions.new.as_deref());
        Self { at: entry.at, actor: entry.actor, verb, old, new, ledger }
    }

    /// The object before and after; nothing when it is new or gone.
    fn both(&self) -> Option<(&'a T, &'a T)> {
        self.old.zip(self.new)
    }

    /// The controller wrote this, and knew the newest state: no cache was held and no call went wrong.
    fn is_informed_decision(&self) -> bool {
        self.actor == Actor::JobController && self.ledger.is_informed
    }
}

fn holds(is_true: bool, detail: impl FnOnce() -> String) -> Holds {
    if is_true { Ok(()) } else { Err(detail()) }
}

/// Reads a trace and holds it against every rule.
pub struct Checker {
    ledger: Ledger,
}

impl Checker {
    /// A checker for a run with these features, from its first write on.
    pub fn new(features: Features) -> Self {
        Self { ledger: Ledger::new(features) }
    }

    /// Says whether the controller sees the newest state from now on. Some rules hold only then.
    pub fn set_informed(&mut self, is_informed: bool) {
        self.ledger.is_informed = is_informed;
        // What comes next at this instant is another sync, with another view.
        self.ledger.syncs.clear();
        self.ledger.was_blind |= !is_informed;
    }

    /// Says that calls of the controller fail on their way, of which the trace does not tell.
    pub fn expect_faults(&mut self) {
        self.ledger.has_faults = true;
    }

    /// Says that the controller's process was ended and started anew: what it knew by heart is gone.
    pub fn restarted(&mut self) {
        self.ledger.restarted();
    }

    /// Takes the next lines of the trace. Returns what they break.
    pub fn read(&mut self, entries: &[TraceEntry]) -> Vec<Violation> {
        let mut violations = Vec::new();
        for entry in entries {
            match &entry.fact {
                Fact::Changed(verb, change) => {
                    self.check(entry, *verb, change, &mut violations);
                    self.ledger.take(entry, change);
                }
                Fact::Refused(verb, key, error) => self.ledger.refused(*verb, key, error),
                Fact::Recorded(_) | Fact::Decided(..) => {}
            }
        }
        violations
    }

    fn check(&self, entry: &TraceEntry, verb: Verb, change: &Change, violations: &mut Vec<Violation>) {
        let ledger = &self.ledger;
        match change {
            Change::Job(versions) => {
                let write = Write::of(entry, verb, versions, ledger);
                let version = versions.new.as_ref().map(|job| job.resource_version);
                judge(violations, |check| match check {
                    Check::Job(rule) => rule(&write),
                    Check::Version(rule) => version.map_or(Ok(()), |version| rule(version, ledger)),
                    Check::Pod(_) | Check::Rest(_) => Ok(()),
                });
            }
            Change::Pod(versions) => {
                let write = Write::of(entry, verb, versions, ledger);
                let version = versions.new.as_ref().map(|pod| pod.resource_version);
                judge(violations, |check| match check {
                    Check::Pod(rule) => rule(&write),
                    Check::Version(rule) => version.map_or(Ok(()), |version| rule(version, ledger)),
                    Check::Job(_) | Check::Rest(_) => Ok(()),
                });
            }
            Change::Node(_) => {}
        }
    }

    /// Holds the state of a run that has come to rest at `now` against the rules. Nothing is said about a run in which
    /// something happened within the longest delay after a failure.
    pub fn rest(&self, now: Time) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.ledger.is_at_rest(now) {
            judge(&mut violations, |check| match check {
                Check::Rest(rule) => rule(&self.ledger),
                Check::Version(_) | Check::Job(_) | Check::Pod(_) => Ok(()),
            });
        }
        violations
    }
}

fn judge(violations: &mut Vec<Violation>, check: impl Fn(&Check) -> Holds) {
    for invariant in all() {
        if let Err(detail) = check(&invariant.check) {
            violations.push(Violation { invariant: invariant.name, detail });
        }
    }
}
