//! Nodes that are one machine with a few cores: what kubelets do for pods is work that shares them.
//!
//! Every job is one thread: it gets a core at most, and less as soon as there are more jobs than cores (processor sharing). So many pods that come at once start
//! side by side, each of them late, and not one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::objects::Uid;
use crate::time::Time;

/// Something that a kubelet does for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
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
    jobs: BTreeMap<(u64, u64), Job>,
    /// What a job has been given that was there from the start: nanoseconds of a core.
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
        let (jobs, at) = (BTreeMap::new(), Time::ZERO);
        Self { cores_milli: cores_milli.into(), jobs, given: 0, at, sequence: 0, looks_at: Time::ZERO }
    }

    /// Takes on a job that keeps a core busy for so long.
    pub(super) fn add(&mut self, job: Job, work: Duration, now: Time) {
        self.advance(now);
        let work = u64::try_from(work.as_nanos()).unwrap_or(u64::MAX);
        self.jobs.insert((self.given.saturating_add(work), self.sequence), job);
        self.sequence += 1;
    }

    /// Drops what is to be done for a pod.
    pub(super) fn drop_jobs(&mut self, pod: Uid, now: Time) {
        self.advance(now);
        self.jobs.retain(|_, job| job.pod != pod);
    }

    /// Whether anything is to be done for a pod.
    pub(super) fn works_for(&self, pod: Uid) -> bool {
        self.jobs.values().any(|job| job.pod == pod)
    }

    /// When the next job is done, if no other comes.
    pub(super) fn next_time(&self) -> Option<Time> {
        let (&(done, _), _) = self.jobs.first_key_value()?;
        let nanos = done.saturating_sub(self.given).saturating_mul(1_000).div_ceil(self.speed_milli());
        Some(self.at + Duration::from_micros(nanos.div_ceil(1_000)))
    }

    /// Takes out a job that is done.
    pub(super) fn take_done(&mut self, now: Time) -> Option<Job> {
        self.advance(now);
        let first = self.jobs.first_entry()?;
        (first.key().0 <= self.given).then(|| first.remove())
    }

    /// Lets time pass.
    fn advance(&mut self, now: Time) {
        let nanos = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.given = self.given.saturating_add(nanos.saturating_mul(self.speed_milli()) / 1_000);
        self.at = now;
    }

    /// What each job has of a core, in thousandths; at least one, so that all come to their end.
    fn speed_milli(&self) -> u64 {
        let jobs = u64::try_from(self.jobs.len()).unwrap_or(u64::MAX).max(1);
        (self.cores_milli / jobs).clamp(1, 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each job is done, which comes at such a time and takes so long by itself; milliseconds.
    fn play(cores_milli: u32, jobs: &[(u64, u64)]) -> Vec<(u32, u64)> {
        let mut machine = Machine::new(cores_milli);
        let (mut done, mut coming) = (Vec::new(), (0..).zip(jobs).peekable());
        loop {
            let next = machine.next_time();
            let comes = coming.peek().map(|(_, (at, _))| Time::from_millis(*at));
            let Some(now) = next.into_iter().chain(comes).min() else { return done };
            while let Some(job) = machine.take_done(now) {
                done.push((job.pod.0, now.as_micros() / 1_000));
            }
            while let Some((number, (_, work))) = coming.next_if(|(_, (at, _))| Time::from_millis(*at) <= now)
            {
                let job = Job { pod: Uid(number), rest: Duration::ZERO };
                machine.add(job, Duration::from_millis(*work), now);
            }
        }
    }

    #[test]
    fn a_job_has_one_core_and_many_share_all() {
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
    }

    #[test]
    fn what_is_dropped_takes_nothing_from_the_others() {
        let mut machine = Machine::new(1_000);
        for pod in [Uid(1), Uid(2)] {
            machine.add(Job { pod, rest: Duration::ZERO }, Duration::from_millis(100), Time::ZERO);
        }
        machine.drop_jobs(Uid(1), Time::from_millis(100));
        assert!(!machine.works_for(Uid(1)) && machine.works_for(Uid(2)));
        assert_eq!(machine.next_time(), Some(Time::from_millis(150)));
        assert_eq!(machine.take_done(Time::from_millis(149)), None);
        assert_eq!(machine.take_done(Time::from_millis(150)).map(|job| job.pod), Some(Uid(2)));
    }
}
