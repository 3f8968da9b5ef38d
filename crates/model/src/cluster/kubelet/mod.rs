//! The kubelets: one state machine per bound pod, from acceptance to the end of its object.
//!
//! A pod is accepted, waits for its node's turn to start it, or for its share of the machine that all nodes are, runs its init containers in order and then its main
//! containers, becomes Ready, and ends: by itself, or because its object is deleted, or because its node shuts down.
//! Every change on the node is reported after a latency; changes in between share a report.
//!
//! * `lifecycle`: starts, ends and restarts of containers.
//! * `termination`: SIGTERM, grace period, SIGKILL, and the end of the object (Job spec section 7.1 and 7.2).
//! * `probe`: when readiness probes run, and what they find out.
//! * `machine`: what takes the time of a machine's cores.
//! * `nodes`: what a node does for one pod at a time; nodes that fall silent, come back and shut down.
//! * `report`: the status that all this amounts to.
//! * `thread`: nodes that write one report after the other, and do nothing else meanwhile.
//!
//! A kubelet that has fallen silent ([`Kubelets::set_silent`]) starts nothing, notices nothing and reports nothing,
//! while the processes of its pods go on. When it is back it brings every pod up to date.

mod container;
mod lifecycle;
mod machine;
mod nodes;
mod probe;
mod report;
mod restarts;
mod termination;
mod thread;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::container::Fate;
use self::machine::Machine;
use self::nodes::{Host, Turn};
use self::thread::Thread;
use self::work::{PodWork, Probe, Stage, StopReason};
use super::conditions::Words;
use super::timing::TimingProfile;
use super::workload::Workload;
use super::{ActionError, ClusterEvent, ContainerChoice, PodTimer, Signal};
use crate::engine::{Distribution, Purpose, Stamp, Timer};
use crate::objects::{ConditionStatus, NodeId, Pod, Uid};
use crate::server::{Actor, ApiError, Change, Versions};
use crate::simulation::{Context, Event};
use crate::time::Time;

/// How long a kubelet waits before it repeats a call that failed for no reason of the object's (its back-off per pod).
const RETRY: Duration = Duration::from_secs(10);

/// What has happened to the process of a pod's first main container, where an application drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFact {
    /// The pod.
    pub pod: Uid,
    /// What.
    pub step: ProcessStep,
}

/// A step in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessStep {
    /// It starts, or starts again.
    Started,
    /// SIGTERM arrives.
    Told,
    /// It has ended, with this code.
    Ended(i32),
}

/// All kubelets.
#[derive(Clone, Debug)]
pub struct Kubelets {
    timing: &'static TimingProfile,
    /// See [`super::ClusterConfig::is_one_machine`].
    is_one_machine: bool,
    workload: Workload,
    words: Words,
    hosts: Vec<Host>,
    /// What all nodes share, if the profile says so.
    machine: Option<Machine>,
    /// When the machine has done the next thing.
    machine_timer: Timer,
    /// What all nodes are, if the profile says so.
    thread: Option<Thread>,
    /// Pods until their end has been reported and, when they are being deleted, their object is deleted.
    pods: BTreeMap<Uid, Box<PodWork>>,
    /// What an application has not been told yet.
    facts: Vec<ProcessFact>,
}

impl Kubelets {
    pub(super) fn new(
        timing: &'static TimingProfile,
        is_one_machine: bool,
        workload: Workload,
        words: Words,
    ) -> Self {
        Self {
            timing,
            is_one_machine,
            workload,
            words,
            hosts: Vec::new(),
            machine: (timing.cores_milli > 0).then(|| Machine::new(timing.cores_milli)),
            machine_timer: Timer::default(),
            thread: timing.is_one_thread.then(Thread::default),
            pods: BTreeMap::new(),
            facts: Vec::new(),
        }
    }

    /// An application drives the first main process of this pod, which has just been created.
    pub(crate) fn hand_over(&mut self, pod: Uid, has_probe: bool) {
        self.workload.hand_over(pod, has_probe);
    }

    /// What has happened to the processes that an application drives, since it was last asked.
    pub(crate) fn take_facts(&mut self) -> Vec<ProcessFact> {
        std::mem::take(&mut self.facts)
    }

    /// Notes it if it concerns a process that an application drives.
    fn note(&mut self, pod: Uid, position: usize, step: ProcessStep) {
        if !self.workload.is_driven(pod) {
            return;
        }
        if self.pods.get(&pod).is_some_and(|work| work.first_main() == position) {
            self.facts.push(ProcessFact { pod, step });
        }
    }

    /// Follows what happens to pods.
    pub(super) fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        match change {
            Change::Pod(Versions { old, new: Some(pod) }) => {
                if old.is_none() {
                    self.workload.created(pod);
                }
                self.sync(pod, ctx);
            }
            Change::Pod(Versions { old: Some(pod), new: None }) => {
                // Nothing is left to report about: the processes are killed, which nobody sees.
                self.forget(pod.uid, ctx);
                self.workload.forget(pod.uid);
            }
            _ => {}
        }
    }

    /// Brings a pod to what its object asks for.
    fn sync(&mut self, pod: &Arc<Pod>, ctx: &mut Context<'_>) {
        let Some(node) = pod.node else { return };
        if self.host(node).is_silent {
            return;
        }
        let uid = pod.uid;
        match self.pods.get(&uid).map(|work| work.stage) {
            None => self.accept(pod, node, ctx),
            // Somebody else has ended the pod (the pod garbage collector): its processes go without further report.
            Some(stage) if pod.status.phase.is_terminal() && stage != Stage::Ended => {
                self.forget(uid, ctx);
                self.accept(pod, node, ctx);
            }
            Some(_) => {
                if let Some(deletion) = pod.deletion {
                    self.stop(uid, StopReason::Deletion, deletion.grace_period_s, ctx);
                }
            }
        }
    }

    fn accept(&mut self, pod: &Arc<Pod>, node: NodeId, ctx: &mut Context<'_>) {
        let uid = pod.uid;
        let awaits_cleanup = pod.deletion.is_some_and(|deletion| deletion.grace_period_s > 0);
        let is_over = pod.status.phase.is_terminal();
        if (is_over && !awaits_cleanup) || self.host(node).is_shutting_down {
            return;
        }
        let mut work = PodWork::new(pod, node, ctx.now);
        work.probe = self.workload.has_probe(uid).then(Probe::default);
        self.pods.insert(uid, Box::new(work));
        self.host(node).pods += 1;
        if is_over {
            if let Some(work) = self.pods.get_mut(&uid) {
                work.stage = Stage::Ended;
            }
            return self.arm_cleanup(uid, ctx);
        }
        self.report(uid, ctx);
        if let Some(deletion) = pod.deletion {
            return self.stop(uid, StopReason::Deletion, deletion.grace_period_s, ctx);
        }
        let timing = self.timing;
        let slot = timing.start_slot.draw(ctx.random, Purpose::Node);
        let rest = timing.start.draw(ctx.random, Purpose::Node);
        // The slots of a profile are those of two nodes that start pods beside each other.
        let (node, slot, rest) = match self.is_one_machine && self.machine.is_none() {
            true => (NodeId(0), slot / 2, rest + slot / 2),
            false => (node, slot, rest),
        };
        let pull = match std::mem::replace(&mut self.host(node).has_image, true) {
            true => Duration::ZERO,
            false => timing.image_pull.draw(ctx.random, Purpose::Node),
        };
        if self.thread.is_some() {
            // It hears of the pod so late, and has reported nothing before.
            self.arm(uid, PodTimer::Report, ctx.now + rest, ctx);
        }
        self.take_turn(uid, node, Turn::Start { pull, slot }, rest, ctx);
    }

    /// A timer of a pod has expired.
    pub(super) fn expire(&mut self, uid: Uid, timer: PodTimer, stamp: Stamp, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let is_silent = self.hosts.get(work.node.0 as usize).is_some_and(|host| host.is_silent);
        let expired = match timer {
            PodTimer::Stage => work.stage_timer.expire(stamp),
            PodTimer::Stop => work.stop_timer.expire(stamp),
            PodTimer::Ready => work.ready_timer.expire(stamp),
            PodTimer::Report => work.report_timer.expire(stamp),
            PodTimer::Probe => work.probe.as_mut().is_some_and(|probe| probe.timer.expire(stamp)),
            PodTimer::Container(position) => {
                let container = work.containers.get_mut(usize::from(position));
                container.is_some_and(|container| container.timer.expire(stamp))
            }
        };
        if !expired {
            return;
        }
        match timer {
            PodTimer::Container(position) => {
                self.container_expired(uid, usize::from(position), is_silent, ctx)
            }
            // What a silent kubelet leaves undone is taken up by `resume`.
            _ if is_silent => self.abandon_write(uid),
            _ if self.put_off(uid, timer, ctx) => {}
            PodTimer::Stage => self.stage_expired(uid, ctx),
            PodTimer::Stop => self.stop_expired(uid, ctx),
            PodTimer::Ready => self.become_ready(uid, ctx),
            PodTimer::Report => self.write_report(uid, ctx),
            PodTimer::Probe => self.probe_expired(uid, ctx),
        }
    }

    /// Arms one of a pod's timers.
    fn arm(&mut self, uid: Uid, timer: PodTimer, at: Time, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let stamp = match timer {
            PodTimer::Stage => work.stage_timer.arm(),
            PodTimer::Stop => work.stop_timer.arm(),
            PodTimer::Ready => work.ready_timer.arm(),
            PodTimer::Report => work.report_timer.arm(),
            PodTimer::Probe => match &mut work.probe {
                Some(probe) => probe.timer.arm(),
                None => return,
            },
            PodTimer::Container(position) => match work.containers.get_mut(usize::from(position)) {
                Some(container) => container.timer.arm(),
                None => return,
            },
        };
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::Pod { pod: uid, timer, stamp }));
    }

    /// Arms one of a pod's timers after a drawn time.
    fn arm_after(&mut self, uid: Uid, timer: PodTimer, after: Distribution, ctx: &mut Context<'_>) {
        let at = ctx.now + after.draw(ctx.random, Purpose::Node);
        self.arm(uid, timer, at, ctx);
    }

    // ---- reports ----

    /// The pod has changed: a report is due.
    fn report(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get(&uid) else { return };
        if work.report_timer.is_armed() {
            return;
        }
        match self.thread {
            None => self.arm_after(uid, PodTimer::Report, self.timing.status_report, ctx),
            // It takes its time when it is written.
            Some(_) => self.arm(uid, PodTimer::Report, ctx.now, ctx),
        }
    }

    fn write_report(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        let Some(work) = self.pods.get(&uid) else { return };
        let now = ctx.now;
        let (features, words) = (*ctx.server.features(), &self.words);
        let written = ctx.server.update_pod_status(now, Actor::Kubelet, uid, |status| {
            // The API would take any phase; a kubelet never leaves a terminal one that somebody else has set.
            let before = status.phase;
            work.write_to(status, words, &features, now);
            if before.is_terminal() {
                status.phase = before;
            }
        });
        let is_over = work.stage == Stage::Ended;
        match written {
            Ok(pod) if is_over => self.reported_end(&pod, ctx),
            Ok(_) => {}
            Err(ApiError::NotFound { .. }) => self.forget(uid, ctx),
            Err(_) => self.arm(uid, PodTimer::Report, now + RETRY, ctx),
        }
    }

    /// The kubelet has nothing to do with the pod any more.
    fn forget(&mut self, uid: Uid, ctx: &mut Context<'_>) {
        self.drop_work(uid, ctx);
        self.abandon_write(uid);
        for position in self.pods.get(&uid).map_or(0..0, |work| 0..work.containers.len()) {
            let container = self.pods.get(&uid).and_then(|work| work.containers.get(position));
            if container.is_some_and(container::ContainerRun::is_running) {
                self.note(uid, position, ProcessStep::Ended(container::KILLED));
            }
        }
        let Some(work) = self.pods.remove(&uid) else { return };
        let host = self.host(work.node);
        host.pods = host.pods.saturating_sub(1);
        // A node that shuts down is off when its last pod has ended.
        host.is_silent |= host.is_shutting_down && host.pods == 0;
    }

    // ---- users ----

    /// A signal reaches the main process of the first container.
    pub(super) fn signal(
        &mut self,
        uid: Uid,
        signal: Signal,
        ctx: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        let position =
            self.running(uid, ContainerChoice::First)?.into_iter().next().ok_or(ActionError::NotRunning)?;
        match signal {
            Signal::Kill => self.process_ended(uid, position, container::KILLED, ctx),
            Signal::Term => self.terminate(uid, position, ctx),
        }
        Ok(())
    }

    /// Containers end with this code.
    pub(super) fn exit(
        &mut self,
        uid: Uid,
        choice: ContainerChoice<'_>,
        exit_code: i32,
        condition: Option<(Arc<str>, ConditionStatus)>,
        ctx: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        let positions = self.running(uid, choice)?;
        if let Some(work) = self.pods.get_mut(&uid) {
            work.exit_condition = condition.or_else(|| work.exit_condition.take());
        }
        for position in positions {
            self.process_ended(uid, position, exit_code, ctx);
        }
        Ok(())
    }

    /// The chosen containers of a pod whose processes run; at least one.
    fn running(&self, uid: Uid, choice: ContainerChoice<'_>) -> Result<Vec<usize>, ActionError> {
        let work = self.pods.get(&uid).ok_or(ActionError::NotRunning)?;
        let first = work.first_main();
        let chosen: Vec<usize> = match choice {
            ContainerChoice::First => vec![first],
            ContainerChoice::All => (first..work.containers.len()).collect(),
            ContainerChoice::Named(name) => {
                let names = work.spec.init_containers.iter().chain(&work.spec.containers);
                let position = names.into_iter().position(|container| &*container.name == name);
                vec![position.ok_or_else(|| ActionError::NoSuchContainer(name.into()))?]
            }
        };
        let runs = |position: &usize| {
            work.containers.get(*position).is_some_and(container::ContainerRun::is_running)
        };
        let running: Vec<usize> = chosen.into_iter().filter(runs).collect();
        if running.is_empty() { Err(ActionError::NotRunning) } else { Ok(running) }
    }

    /// SIGTERM reaches one container.
    fn terminate(&mut self, uid: Uid, position: usize, ctx: &mut Context<'_>) {
        let behaviour = self.workload.of(uid);
        let Some(work) = self.pods.get_mut(&uid) else { return };
        let Some(container) = work.containers.get_mut(position) else { return };
        let was_running = container.is_running();
        let fate = container.terminate(behaviour, ctx.now);
        if was_running {
            self.note(uid, position, ProcessStep::Told);
        }
        self.follow(uid, position, fate, ctx);
    }

    fn follow(&mut self, uid: Uid, position: usize, fate: Fate, ctx: &mut Context<'_>) {
        match fate {
            Fate::Unchanged => {}
            Fate::EndsNow(code) => self.process_ended(uid, position, code, ctx),
            Fate::EndsAt(at) => self.arm(uid, PodTimer::container(position), at, ctx),
        }
    }
}
