//! kube-scheduler with its default plugins, as far as they concern pods of Jobs: one queue, filters for capacity,
//! node selector, taints and cordons, the least allocated node first.
//!
//! Pods wait in order of arrival. Pods with the same spec (all pods of one template) fit or do not fit alike, so they
//! queue as one [`Line`]: when its first pod fits nowhere, nothing behind it is tried until a pod leaves or a node
//! changes. Each decision costs the logarithm of nodes and lines, whatever the number of pods.
//!
//! Not modelled: memory, affinity, topology spread, priorities and preemption. Retries are delayed per line, not per
//! pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::capacity::{Capacity, cpu_request_milli};
use super::conditions::{self, Words};
use super::timing::TimingProfile;
use super::{ClusterEvent, TieBreak};
use crate::engine::{Purpose, Stamp, Timer};
use crate::objects::{ConditionStatus, NodeId, Pod, PodSpec, Uid};
use crate::server::{Actor, Change, Versions};
use crate::simulation::{Context, Event};
use crate::time::Time;

/// Lines, in the order in which they were opened.
type LineId = u32;

/// Pods with the same spec that wait for a node.
#[derive(Clone, Debug)]
struct Line {
    spec: Arc<PodSpec>,
    cpu_milli: u64,
    /// By ticket, the order of arrival.
    pods: BTreeMap<u64, Uid>,
    /// The first ticket that has not been told yet that it fits nowhere.
    unmarked_from: u64,
    /// The first pod was found to fit nowhere, and nothing has changed since.
    is_stuck: bool,
    /// Failures since the last success.
    failures: u32,
    /// Not tried before this instant.
    retry_at: Time,
}

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In this line, with this ticket.
    Waiting(LineId, u64),
    /// On a node, or on its way there, counted with so much CPU.
    Counted(NodeId, u64),
}

/// The scheduler.
#[derive(Clone, Debug)]
pub struct Scheduler {
    timing: &'static TimingProfile,
    tie_break: TieBreak,
    words: Words,
    capacity: Capacity,
    places: BTreeMap<Uid, Place>,
    lines: BTreeMap<LineId, Line>,
    next_line: LineId,
    /// The line of a spec, by the address of the spec that the line holds on to.
    line_of_spec: BTreeMap<usize, LineId>,
    /// Lines whose pods fit nowhere.
    stuck: BTreeSet<LineId>,
    /// Lines to be worked on, by the instant from which they may be and the ticket of their first pod.
    ready: BTreeSet<(Time, u64, LineId)>,
    next_ticket: u64,
    timer: Timer,
    /// When the timer is due.
    wake_at: Time,
}

impl Scheduler {
    pub(super) fn new(timing: &'static TimingProfile, tie_break: TieBreak, words: Words) -> Self {
        Self {
            timing,
            tie_break,
            words,
            capacity: Capacity::default(),
            places: BTreeMap::new(),
            lines: BTreeMap::new(),
            next_line: 0,
            line_of_spec: BTreeMap::new(),
            stuck: BTreeSet::new(),
            ready: BTreeSet::new(),
            next_ticket: 0,
            timer: Timer::default(),
            wake_at: Time::ZERO,
        }
    }

    /// Follows what happens to pods and nodes.
    pub(super) fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Pod(Versions { new: Some(pod), .. }) => self.pod_changed(pod, ctx),
            Change::Pod(Versions { old: Some(pod), new: None }) => self.pod_left(pod.uid, ctx),
            Change::Node(Versions { new: Some(node), .. }) => {
                let lot = self.lot(ctx);
                if self.capacity.set_node(node, lot) {
                    self.unstick(ctx);
                }
            }
            Change::Node(Versions { old: Some(node), new: None }) => self.capacity.remove_node(node.id),
            _ => {}
        }
    }

    fn pod_changed(&mut self, pod: &Arc<Pod>, ctx: &mut Context<'_>) {
        let place = self.places.get(&pod.uid).copied();
        if pod.status.phase.is_terminal() {
            return self.pod_left(pod.uid, ctx);
        }
        match (pod.node, place) {
            (Some(node), Some(Place::Counted(counted, _))) if node == counted => {}
            (Some(node), _) => {
                self.pod_left(pod.uid, ctx);
                self.count(pod.uid, node, cpu_request_milli(&pod.spec), ctx);
            }
            // Pods that are being deleted are skipped.
            (None, Some(Place::Waiting(..))) if pod.is_deleting() => self.pod_left(pod.uid, ctx),
            (None, None) if !pod.is_deleting() && pod.spec.scheduling_gates.is_empty() => {
                self.enqueue(pod, ctx)
            }
            (None, _) => {}
        }
    }

    /// The pod waits for nothing and occupies nothing any more.
    fn pod_left(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        match self.places.remove(&pod) {
            Some(Place::Waiting(line, ticket)) => self.change_line(line, |line| {
                line.pods.remove(&ticket);
            }),
            Some(Place::Counted(node, cpu_milli)) => {
                let lot = self.lot(ctx);
                self.capacity.remove(node, cpu_milli, lot);
                self.unstick(ctx);
            }
            None => {}
        }
    }

    fn count(&mut self, pod: Uid, node: NodeId, cpu_milli: u64, ctx: &mut Context<'_>) {
        let lot = self.lot(ctx);
        self.capacity.add(node, cpu_milli, lot);
        self.places.insert(pod, Place::Counted(node, cpu_milli));
    }

    fn lot(&self, ctx: &mut Context<'_>) -> u32 {
        match self.tie_break {
            TieBreak::NodeOrder => 0,
            TieBreak::Seeded => u32::try_from(ctx.random.next_u64(Purpose::Scheduling) >> 32).unwrap_or(0),
        }
    }

    fn enqueue(&mut self, pod: &Arc<Pod>, ctx: &mut Context<'_>) {
        let id = self.line_for(&pod.spec);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.places.insert(pod.uid, Place::Waiting(id, ticket));
        self.change_line(id, |line| {
            line.pods.insert(ticket, pod.uid);
        });
        self.wake(ctx);
    }

    fn line_for(&mut self, spec: &Arc<PodSpec>) -> LineId {
        // The address stays taken as long as the line holds the spec; nothing depends on the order of addresses.
        let address = Arc::as_ptr(spec).addr();
        if let Some(&id) = self.line_of_spec.get(&address) {
            return id;
        }
        let line = Line {
            spec: Arc::clone(spec),
            cpu_milli: cpu_request_milli(spec),
            pods: BTreeMap::new(),
            unmarked_from: 0,
            is_stuck: false,
            failures: 0,
            retry_at: Time::ZERO,
        };
        let id = self.next_line;
        self.next_line = self.next_line.wrapping_add(1);
        self.lines.insert(id, line);
        self.line_of_spec.insert(address, id);
        id
    }

    /// Changes a line and puts it where it then belongs; closes it when it is empty.
    fn change_line(&mut self, id: LineId, change: impl FnOnce(&mut Line)) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Some(key) = line.key(id) {
            self.ready.remove(&key);
        }
        change(line);
        if let Some(key) = line.key(id) {
            self.ready.insert(key);
        }
        if line.is_stuck && !line.pods.is_empty() {
            self.stuck.insert(id);
        } else {
            self.stuck.remove(&id);
        }
        if line.pods.is_empty() {
            let address = Arc::as_ptr(&line.spec).addr();
            self.line_of_spec.remove(&address);
            self.lines.remove(&id);
        }
    }

    /// Capacity may have grown: every line may try again, after its back-off.
    fn unstick(&mut self, ctx: &mut Context<'_>) {
        if self.stuck.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.stuck) {
            self.change_line(id, |line| line.is_stuck = false);
        }
        self.wake(ctx);
    }

    /// Sees to it that the timer expires when there is something to decide.
    fn wake(&mut self, ctx: &mut Context<'_>) {
        let Some(&(from, ..)) = self.ready.first() else { return };
        let from = from.max(ctx.now);
        if self.timer.is_armed() && self.wake_at <= from {
            return;
        }
        let at = from + self.timing.scheduling.draw(ctx.random, Purpose::Scheduling);
        if self.timer.is_armed() && self.wake_at <= at {
            return;
        }
        self.wake_at = at;
        let stamp = self.timer.arm();
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::Schedule { stamp }));
    }

    /// The time for one decision has passed: decides about the first pod of the first line.
    pub(super) fn decide(&mut self, stamp: Stamp, ctx: &mut Context<'_>) {
        if !self.timer.expire(stamp) {
            return;
        }
        if let Some(&(from, _, line)) = self.ready.first()
            && from <= ctx.now
        {
            self.serve(line, ctx);
        }
        self.wake(ctx);
    }

    fn serve(&mut self, id: LineId, ctx: &mut Context<'_>) {
        let Some(line) = self.lines.get(&id) else { return };
        let Some((&ticket, &pod)) = line.pods.first_key_value() else { return };
        let cpu_milli = line.cpu_milli;
        let choice = if line.is_stuck { None } else { self.capacity.best(&line.spec, cpu_milli) };
        if let Some(node) = choice {
            self.change_line(id, |line| {
                line.failures = 0;
                line.retry_at = Time::ZERO;
                line.pods.remove(&ticket);
            });
            self.count(pod, node, cpu_milli, ctx);
            let bound_at = ctx.now + self.timing.binding.draw(ctx.random, Purpose::Scheduling);
            ctx.events.schedule(bound_at, Event::Cluster(ClusterEvent::Bind { pod, node }));
            return;
        }
        let unmarked: Vec<Uid> = line.pods.range(line.unmarked_from..).map(|(_, &pod)| pod).collect();
        let (now, next_ticket, delays) = (ctx.now, self.next_ticket, self.timing.scheduling_backoff);
        self.change_line(id, |line| {
            line.unmarked_from = next_ticket;
            if !line.is_stuck {
                line.is_stuck = true;
                line.retry_at = now + backoff(delays, line.failures);
                line.failures = line.failures.saturating_add(1);
            }
        });
        for pod in unmarked {
            mark_unschedulable(pod, &self.words, ctx);
        }
    }

    /// A binding arrives at the API server.
    pub(super) fn bind(&mut self, pod: Uid, node: NodeId, ctx: &mut Context<'_>) {
        if !matches!(self.places.get(&pod), Some(Place::Counted(chosen, _)) if *chosen == node) {
            return;
        }
        let stored = ctx.server.pod(pod).cloned();
        // The node may have gone, and the pod with it or not, while the binding was on its way.
        let is_wanted = stored.as_ref().is_some_and(|pod| pod.node.is_none() && !pod.is_deleting());
        if is_wanted
            && ctx.server.node(node).is_some()
            && ctx.server.bind_pod(ctx.now, Actor::Scheduler, pod, node).is_ok()
        {
            return;
        }
        if stored.as_ref().is_some_and(|pod| pod.node.is_some()) {
            return;
        }
        self.pod_left(pod, ctx);
        if let Some(pod) = stored.filter(|pod| !pod.is_deleting() && !pod.status.phase.is_terminal()) {
            self.enqueue(&pod, ctx);
        }
    }
}

impl Line {
    /// The line's place among those to be worked on: a line that is stuck has work only while some of its pods have
    /// not been told.
    fn key(&self, id: LineId) -> Option<(Time, u64, LineId)> {
        if self.is_stuck {
            let (&ticket, _) = self.pods.range(self.unmarked_from..).next()?;
            return Some((Time::ZERO, ticket, id));
        }
        let (&ticket, _) = self.pods.first_key_value()?;
        Some((self.retry_at, ticket, id))
    }
}

/// Initial back-off doubled with every failure, up to the longest.
fn backoff((initial, longest): (Duration, Duration), failures: u32) -> Duration {
    initial.saturating_mul(2_u32.saturating_pow(failures)).min(longest)
}

fn mark_unschedulable(pod: Uid, words: &Words, ctx: &mut Context<'_>) {
    let now = ctx.now;
    // A pod that is gone needs no condition.
    let _ = ctx.server.update_pod_status(now, Actor::Scheduler, pod, |status| {
        let (kind, reason) = (&words.pod_scheduled, &words.unschedulable);
        conditions::set(&mut status.conditions, kind, ConditionStatus::False, reason, now);
    });
}
