//! The parts of a simulation that can be exchanged: what reconciles Jobs, and what is above that.

use super::Context;
use crate::cluster::ProcessFact;
use crate::job::{ControllerEvent, WatchKind};
use crate::objects::{Pod, Uid};
use crate::server::Change;
use crate::time::Time;

/// What reconciles Jobs: the model's own controller, or a real one that lives outside and keeps its own time.
pub trait Controller {
    /// Starts the process; does nothing when it runs.
    fn start(&mut self, ctx: &mut Context<'_>);
    /// Ends the process. What it remembered is gone; calls that it has sent have their effect.
    fn stop(&mut self, ctx: &mut Context<'_>);
    /// A change of the store sets out for the caches.
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>);
    /// Answers an event that it has scheduled.
    fn handle(&mut self, event: ControllerEvent, ctx: &mut Context<'_>);
    /// Stops the deliveries of a watch; changes queue up, for the next process too.
    fn hold(&mut self, kind: WatchKind);
    /// Resumes the deliveries of a watch: what has queued up arrives now, in order.
    fn release(&mut self, kind: WatchKind, ctx: &mut Context<'_>);

    /// When the next of its own timers is due.
    fn next_time(&self) -> Option<Time> {
        None
    }

    /// Its timers that are due now come before everything else of this instant.
    fn fire(&mut self, _ctx: &mut Context<'_>) {}

    /// Lets the controller's own clock run up to `until`, or up to the first earlier instant at which it does anything,
    /// which is then its [`Controller::next_time`]. The model's controller has no clock but the simulation's.
    fn advance(&mut self, _until: Time) {}

    /// Whether all that it is going to do by itself is scheduled.
    fn is_transparent(&self) -> bool {
        true
    }

    /// Why it cannot go on, when it cannot.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// What runs above the Job controller, and inside of pods: an operator and the processes that it is about. It is a component
/// like the others, but that it also ends processes.
pub trait Application {
    /// A change of the store.
    fn observe(&mut self, _change: &Change, _ctx: &mut Context<'_>) {}

    /// Whether the main process of this new pod is the application's.
    fn drives(&self, _pod: &Pod) -> bool {
        false
    }

    /// Whether the first main container of this new pod, which the application drives, has a readiness probe: it is ready when the
    /// application says so ([`Application::take_readiness`]), and not before.
    fn probes(&self, _pod: &Pod) -> bool {
        false
    }

    /// Something has happened to a main process of the application's.
    fn process(&mut self, _fact: ProcessFact, _ctx: &mut Context<'_>) {}

    /// When the next of its own timers is due.
    fn next_time(&self) -> Option<Time> {
        None
    }

    /// Its timers that are due now come before the events of this instant.
    fn fire(&mut self, _ctx: &mut Context<'_>) {}

    /// Main processes that have ended since it was last asked: pods, and exit codes.
    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        Vec::new()
    }

    /// What readiness probes have found out since it was last asked: pods, and whether they are ready. A container that starts again
    /// is not ready, whatever was said of the one before. Time between two probes does not count.
    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        Vec::new()
    }
}

/// There is nothing above the Job controller.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

impl Application for NoApplication {}
