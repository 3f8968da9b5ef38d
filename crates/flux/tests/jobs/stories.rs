//! Random stories of jobs: whatever happens, cores are held once, events are in order, and everything ends.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Lab, setup, spec};
use proptest::prelude::*;
use towtank_flux::jobs::{Job, JobManager, NodeLoss, State};
use towtank_flux::version::Scheduler;
use towtank_flux::{FluxVersion, Idset, JobId};

#[derive(Clone, Debug)]
enum Deed {
    Submit(&'static str, i64),
    Cancel(usize),
    Urgency(usize, i64),
    Lose(u32, bool),
    Up,
    Stop,
    Start,
    Restart,
    Wait(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let lines = vec![
        "-N1 -n1 sleep 1",
        "-n3 sleep 2",
        "-N2 -t3 sleep 5",
        "-N4 sleep 1",
        "-N9 true",
        "-n2 -c3 false",
        "-N2 -n2 -t2 nosuchcommand",
        "-N1 --requires=host:flux-sample-3 sleep 1",
    ];
    prop_oneof![
        8 => (prop::sample::select(lines), 0_i64..32).prop_map(|(line, urgency)| Deed::Submit(line, urgency)),
        1 => (0_usize..30).prop_map(Deed::Cancel),
        1 => (0_usize..30, 0_i64..32).prop_map(|(job, urgency)| Deed::Urgency(job, urgency)),
        1 => (0_u32..4, any::<bool>()).prop_map(|(rank, lost)| Deed::Lose(rank, lost)),
        1 => Just(Deed::Up),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Start),
        1 => Just(Deed::Restart),
        6 => (1_u64..3_000).prop_map(Deed::Wait),
    ]
}

/// What must hold at every moment. What `lost` jobs held before a restart is nobody's.
fn check(lab: &Lab, up: &Idset, lost: &BTreeSet<JobId>) -> Result<(), TestCaseError> {
    let mut held = BTreeSet::new();
    for job in lab.manager.jobs() {
        let names: Vec<&str> = job.events(lab.now).map(|event| event.kind.name()).collect();
        let times: Vec<Duration> = job.events(lab.now).map(|event| event.time).collect();
        prop_assert!(times.is_sorted(), "{:?}", job.events(lab.now).collect::<Vec<_>>());
        for name in ["submit", "validate", "depend", "alloc", "start", "finish", "release", "free", "clean"] {
            prop_assert!(names.iter().filter(|seen| **seen == name).count() <= 1, "{name} twice: {names:?}");
        }
        prop_assert_eq!(job.state() == State::Inactive, job.outcome().is_some());
        prop_assert_eq!(job.state() == State::Inactive, names.contains(&"clean"), "{:?}", names);
        if matches!(job.state(), State::Run | State::Cleanup)
            && !lost.contains(&job.id())
            && let Some(allocation) = job.allocation()
        {
            for (rank, cores) in allocation.nodes() {
                for core in cores.iter() {
                    prop_assert!(held.insert((*rank, core)), "core {core} of rank {rank} is held twice");
                }
            }
        }
    }
    for rank in 0..4 {
        let count = held.iter().filter(|core| core.0 == rank).count() as u32;
        prop_assert_eq!(
            (lab.manager.allocated_cores(rank), lab.manager.free_cores(rank)),
            (count, 4 - count)
        );
    }
    // Nobody starts on a node that is down.
    for job in lab.manager.jobs().iter().filter(|job| job.allocated_at() == Some(lab.now)) {
        prop_assert!(job.allocation().is_some_and(|allocation| allocation.ranks().is_subset(up)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_story_of_jobs_ends(
        scheduler in prop::sample::select(Scheduler::ALL.to_vec()),
        version in prop::sample::select(FluxVersion::ALL.to_vec()),
        deeds in prop::collection::vec(deed(), 1..50),
    ) {
        let mut lab = Lab::new(version, scheduler);
        let mut up = Idset::below(4);
        let mut ids: Vec<JobId> = Vec::new();
        let mut lost = BTreeSet::new();
        let pick = |ids: &[JobId], at: usize| ids.get(at % ids.len().max(1)).copied();
        for deed in deeds {
            match deed {
                Deed::Submit(line, urgency) => {
                    let mut spec = spec(line);
                    spec.urgency = urgency;
                    ids.push(lab.manager.submit(lab.now, 0, spec).unwrap());
                    prop_assert!(ids.is_sorted_by(|a, b| a < b));
                }
                Deed::Cancel(at) => {
                    if let Some(id) = pick(&ids, at) {
                        let over = lab.job(id).state() == State::Inactive;
                        prop_assert_eq!(lab.manager.cancel(lab.now, id).is_err(), over);
                    }
                }
                Deed::Urgency(at, urgency) => {
                    if let Some(id) = pick(&ids, at) {
                        let over = lab.job(id).state() == State::Inactive;
                        prop_assert_eq!(lab.manager.set_urgency(lab.now, id, urgency).is_err(), over);
                    }
                }
                Deed::Lose(rank, lost) => {
                    up.remove(rank);
                    lab.manager.set_up(lab.now, &up);
                    lab.manager.node_failed(lab.now, rank, if lost { NodeLoss::Lost } else { NodeLoss::Left });
                }
                Deed::Up => {
                    up = Idset::below(4);
                    lab.manager.set_up(lab.now, &up);
                }
                Deed::Stop => lab.manager.stop(lab.now, None),
                Deed::Start => lab.manager.start(lab.now),
                Deed::Restart => {
                    let checkpoint = lab.manager.checkpoint();
                    let ran = |job: &&Job| matches!(job.state(), State::Run | State::Cleanup);
                    lost.extend(checkpoint.jobs().iter().filter(ran).map(Job::id));
                    let setup = setup(version, scheduler, "flux-sample-[0-3]", 4);
                    lab.manager = JobManager::restore(setup, lab.now, checkpoint, true);
                    lab.manager.set_up(lab.now, &up);
                }
                Deed::Wait(millis) => {
                    let until = lab.now + Duration::from_millis(millis);
                    // Every moment at which something happens.
                    while let Some(next) = lab.manager.next_time().filter(|next| *next <= until) {
                        lab.now = lab.now.max(next);
                        lab.manager.advance(lab.now, &mut crate::common::Nothing);
                        check(&lab, &up, &lost)?;
                    }
                    lab.now = until;
                    lab.manager.advance(lab.now, &mut crate::common::Nothing);
                }
            }
            check(&lab, &up, &lost)?;
        }
        // With all nodes up and the queue started only held jobs and those for which there are too few nodes are left.
        lab.up("0-3");
        lab.manager.start(lab.now);
        lab.wait(1_000.0);
        check(&lab, &Idset::below(4), &lost)?;
        let prunes = lab.manager.setup().features.prunes_nodes;
        let blocked_by_held = |job: &Job| job.priority() == 0 || (prunes && job.request().nodes() == Some(9));
        let denials_end = lab.manager.setup().features.denial_ends_pass;
        for job in lab.manager.jobs().iter().filter(|job| job.state() != State::Inactive) {
            prop_assert!(blocked_by_held(job) || denials_end, "{} {:?}", job.id(), job.state());
        }
        prop_assert_eq!(lab.manager.next_time(), None);
    }
}
