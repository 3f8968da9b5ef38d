//! Nodes that are one machine with a few cores: what kubelets do for pods is work that shares them.
//!
//! Every task is one thread: it gets a core at most, and less as soon as there are more tasks than cores (processor sharing). So many pods that come at once start
//! side by side, each of them late, and not one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Kubelets;
use crate::cluster::{ClusterEvent, PodTimer};
use crate::engine::Stamp;
use crate::objects::Uid;
use crate::simulation::{Context, Event};
use crate::time::Time;

/// Something that a kubelet does for a pod, which is no Job of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) pod: Uid,
    /// How long after it is done the pod comes to its next stage.
    pub(super) rest: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Thousandths of a core.
    cores_milli: u64,
    /// By what each of them must have been given when it is done, in order of coming among equals.
    tasks: BTreeMap<(u64, u64), Task>,
    /// What a task has been given that was there from the start: nanoseconds of a core.
    given: u64,
    /// Until when.
    at: Time,
    sequence: u64,
    /// When kubelets look next which pods they are done with.
    pub(super) looks_at: Time,
}

impl Machine {
    /// With so many thousandths of a core.
    pub(super) fn new(cores_milli: u32) -> Self {
        let (tasks, at) = (BTreeMap::new(), Time::ZERO);
        Self { cores_milli: cores_milli.into(), tasks, given: 0, at, sequence: 0, looks_at: Time::ZERO }
    }

    /// Takes on a task that keeps a core busy for so long.
    pub(super) fn add(&mut self, task: Task, work: Duration, now: Time) {
        self.advance(now);
        let work = u64::try_from(work.as_nanos()).unwrap_or(u64::MAX);
        self.tasks.insert((self.given.saturating_add(work), self.sequence), task);
        self.sequence += 1;
    }

    /// Drops what is to be done for a pod.
    pub(super) fn drop_tasks(&mut self, pod: Uid, now: Time) {
        self.advance(now);
        self.tasks.retain(|_, task| task.pod != pod);
    }

    /// Whether anything is to be done for a pod.
    pub(super) fn works_for(&self, pod: Uid) -> bool {
        self.tasks.values().any(|task| task.pod == pod)
    }

    /// When the next task is done, if no other comes.
    pub(super) fn next_time(&self) -> Option<Time> {
        let (&(done, _), _) = self.tasks.first_key_value()?;
        let (given, taken) = self.speed();
        let nanos = (u128::from(done.saturating_sub(self.given)) * taken).div_ceil(given);
        Some(self.at + Duration::from_micros(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX)))
    }

    /// Takes out a task that is done.
    pub(super) fn take_done(&mut self, now: Time) -> Option<Task> {
        self.advance(now);
        let first = self.tasks.first_entry()?;
        (first.key().0 <= self.given).then(|| first.remove())
    }

    /// Lets time pass.
    fn advance(&mut self, now: Time) {
        let (given, taken) = self.speed();
        let nanos = now.since(self.at).as_nanos() * given / taken;
        self.given = self.given.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.at = now;
    }

    /// What each task is given of a core: so much in so much time.
    fn speed(&self) -> (u128, u128) {
        let all = 1_000 * self.tasks.len().max(1) as u128;
        (all.min(self.cores_milli.into()).max(1), all)
    }
}

impl Kubelets {
    /// Has the machine work for a pod, which goes on to its next stage a while after that.
    pub(super) fn work(&mut self, pod: Uid, work: Duration, rest: Duration, ctx: &mut Context<'_>) {
        let Some(machine) = &mut self.machine else { return };
        machine.add(Task { pod, rest }, work, ctx.now);
        self.arm_machine(ctx);
    }

    /// Whether the machine works for a pod.
    pub(super) fn works_for(&self, pod: Uid) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.works_for(pod))
    }

    /// The machine does nothing more for a pod.
    pub(super) fn drop_work(&mut self, pod: Uid, ctx: &mut Context<'_>) {
        if let Some(machine) = &mut self.machine
            && machine.works_for(pod)
        {
            machine.drop_tasks(pod, ctx.now);
            self.arm_machine(ctx);
        }
    }

    /// The machine has done something.
    pub(in crate::cluster) fn advance_machine(&mut self, stamp: Stamp, ctx: &mut Context<'_>) {
        if !self.machine_timer.expire(stamp) {
            return;
        }
        while let Some(Task { pod, rest }) =
            self.machine.as_mut().and_then(|machine| machine.take_done(ctx.now))
        {
            self.arm(pod, PodTimer::Stage, ctx.now + rest, ctx);
        }
        self.arm_machine(ctx);
    }

    fn arm_machine(&mut self, ctx: &mut Context<'_>) {
        let Some(at) = self.machine.as_ref().and_then(Machine::next_time) else {
            return self.machine_timer.cancel();
        };
        let stamp = self.machine_timer.arm();
        ctx.events.schedule(at, Event::Cluster(ClusterEvent::Machine { stamp }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each task is done, which comes at such a time and takes so long by itself; milliseconds.
    fn play(cores_milli: u32, tasks: &[(u64, u64)]) -> Vec<(u32, u64)> {
        let mut machine = Machine::new(cores_milli);
        let (mut done, mut coming) = (Vec::new(), (0..).zip(tasks).peekable());
        loop {
            let next = machine.next_time();
            let comes = coming.peek().map(|(_, (at, _))| Time::from_millis(*at));
            let Some(now) = next.into_iter().chain(comes).min() else { return done };
            while let Some(task) = machine.take_done(now) {
                done.push((task.pod.0, now.as_micros() / 1_000));
            }
            while let Some((number, (_, work))) = coming.next_if(|(_, (at, _))| Time::from_millis(*at) <= now)
            {
                let task = Task { pod: Uid(number), rest: Duration::ZERO };
                machine.add(task, Duration::from_millis(*work), now);
            }
        }
    }

    #[test]
    fn a_task_has_one_core_and_many_share_all() {
        assert_eq!(play(2_000, &[(0, 300)]), [(0, 300)]);
        assert_eq!(play(2_000, &[(0, 300), (0, 200)]), [(1, 200), (0, 300)]);
        // Four on two cores: half a core each, and more of it when the first is done.
        assert_eq!(
            play(2_000, &[(0, 100), (0, 400), (0, 400), (0, 400)]),
            [(0, 200), (1, 650), (2, 650), (3, 650)]
        );
        // One that comes later, and one and a half cores.
        assert_eq!(play(1_500, &[(0, 300), (200, 300)]), [(0, 333), (1, 533)]);
        assert_eq!(play(500, &[(0, 100)]), [(0, 200)]);
        // However many they are, they have all of it.
        for (tasks, ms) in [(64, 6_400), (3_000, 300_000)] {
            assert_eq!(
                play(1_000, &vec![(0, 100); tasks]).last().map(|(_, at)| *at),
                Some(ms),
                "{tasks} tasks"
            );
        }
    }

    #[test]
    fn what_is_dropped_takes_nothing_from_the_others() {
        let mut machine = Machine::new(1_000);
        for pod in [Uid(1), Uid(2)] {
            machine.add(Task { pod, rest: Duration::ZERO }, Duration::from_millis(100), Time::ZERO);
        }
        machine.drop_tasks(Uid(1), Time::from_millis(100));
        assert!(!machine.works_for(Uid(1)) && machine.works_for(Uid(2)));
        assert_eq!(machine.next_time(), Some(Time::from_millis(150)));
        assert_eq!(machine.take_done(Time::from_millis(149)), None);
        assert_eq!(machine.take_done(Time::from_millis(150)).map(|task| task.pod), Some(Uid(2)));
    }
}
