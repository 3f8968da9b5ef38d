//! Which cores jobs got in recordings 04, 10 and 12: 8 or 4 nodes of 4 cores, step by step.

use std::time::Duration;

use towtank_flux::scheduler::{Allocation, Decision, Engine, Inventory, Request, Shape};
use towtank_flux::version::{Features, FluxVersion, Policy, Scheduler};
use towtank_flux::{Idset, JobId};

/// An engine with a counter of jobs.
struct Lab {
    engine: Engine,
    jobs: u64,
}

impl Lab {
    fn new(scheduler: Scheduler, version: FluxVersion, nodes: u32) -> Self {
        let hosts = format!("flux-sample-[0-{}]", nodes - 1).parse().unwrap();
        let mut engine = Engine::new(&Inventory::uniform(hosts, 4), scheduler, Features::of(version));
        engine.set_up(&Idset::below(nodes));
        Self { engine, jobs: 0 }
    }

    fn up(&mut self, ranks: &str) {
        self.engine.set_up(&ranks.parse().unwrap());
    }

    /// Submits one job; what it got, or why not.
    fn submit(&mut self, request: &str) -> (JobId, String) {
        self.jobs += 1;
        let job = JobId(self.jobs);
        let request = parse(request);
        let text = match self.engine.pass(Duration::ZERO, [(job, &request)]).pop() {
            Some((_, Decision::Allocate(allocation))) => cores(&allocation),
            Some((_, Decision::Deny(note))) => note,
            Some((_, Decision::Reserve(..))) | None => "waits".to_owned(),
        };
        (job, text)
    }

    /// Submits jobs that hold what they get.
    fn hold(&mut self, steps: &[(&str, &str)]) -> Vec<JobId> {
        steps
            .iter()
            .map(|(request, expected)| {
                let (job, got) = self.submit(request);
                assert_eq!(got, *expected, "{request}");
                job
            })
            .collect()
    }

    /// Submits jobs, each after the last one ended.
    fn one_by_one(&mut self, steps: &[(&str, &str)]) {
        for (request, expected) in steps {
            let (job, got) = self.submit(request);
            assert_eq!(got, *expected, "{request}");
            self.engine.release(job);
        }
    }

    fn release(&mut self, jobs: &[JobId]) {
        for job in jobs {
            self.engine.release(*job);
        }
    }
}

/// `-N2 -n4 -c2` and its parts.
fn parse(text: &str) -> Request {
    let option = |name: &str| {
        text.split(' ').find_map(|word| word.strip_prefix(name)).map(|n| n.parse::<u32>().unwrap())
    };
    let cores = option("-c").unwrap_or(1);
    let shape = match (option("-N"), option("-n")) {
        (None, tasks) => Shape::Slots(tasks.unwrap_or(1)),
        (Some(nodes), None) => Shape::WholeNodes(nodes),
        (Some(nodes), Some(tasks)) => Shape::Nodes { nodes, slots: tasks.div_ceil(nodes) },
    };
    Request::new(shape, cores)
}

/// `4-5:0-3` or `6:2-3 7:0-3`.
fn cores(allocation: &Allocation) -> String {
    let group =
        |(ranks, cores): &(Idset, towtank_flux::scheduler::CoreSet)| format!("{ranks}:{}", cores.ids());
    allocation.groups().iter().map(group).collect::<Vec<_>>().join(" ")
}

#[test]
fn fluxion_comes_back_to_what_was_used_last() {
    for version in [FluxVersion::V0_61, FluxVersion::V0_88] {
        let mut lab = Lab::new(Scheduler::Fluxion(Policy::Fcfs), version, 8);
        let small = lab.hold(&[
            ("-n1", "7:3"),
            ("-n1", "6:3"),
            ("-n1", "5:3"),
            ("-n1", "4:3"),
            ("-n1", "3:3"),
            ("-n1", "2:3"),
            ("-n1", "1:3"),
            ("-n1", "0:3"),
            ("-n1", "7:2"),
            ("-n1", "6:2"),
        ]);
        lab.release(&small);
        let whole = lab.hold(&[("-N2", "4-5:0-3"), ("-N3", "1-3:0-3"), ("-N1", "0:0-3"), ("-N2", "6-7:0-3")]);
        lab.release(&whole[1..2]);
        let after = lab.hold(&[("-N1", "3:0-3"), ("-n1", "2:3"), ("-n1", "2:2"), ("-N1", "1:0-3")]);
        lab.release(&[whole[0], whole[2], whole[3]]);
        lab.release(&after);
        lab.one_by_one(&[
            ("-n1", "2:3"),
            ("-n1", "2:3"),
            ("-N2", "2,7:0-3"),
            ("-N2", "6-7:0-3"),
            ("-N2", "6-7:0-3"),
            ("-N4", "4-7:0-3"),
            ("-N4", "4-7:0-3"),
            ("-n6", "6:2-3 7:0-3"),
            ("-n6", "6:2-3 7:0-3"),
        ]);
        lab.hold(&[
            ("-n3", "6:1-3"),
            ("-n2", "7:2-3"),
            ("-n4", "5:3 6:0 7:0-1"),
            ("-n5", "4:2-3 5:0-2"),
            ("-n2 -c2", "3:2-3 4:0-1"),
            ("-N1 -n2", "3:0-1"),
        ]);
    }
}

#[test]
fn sched_simple_spreads_from_rank_0() {
    for version in [FluxVersion::V0_61, FluxVersion::V0_88] {
        let mut lab = Lab::new(Scheduler::Simple, version, 8);
        let small = lab.hold(&[
            ("-n1", "0:0"),
            ("-n1", "1:0"),
            ("-n1", "2:0"),
            ("-n1", "3:0"),
            ("-n1", "4:0"),
            ("-n1", "5:0"),
            ("-n1", "6:0"),
            ("-n1", "7:0"),
            ("-n1", "0:1"),
            ("-n1", "1:1"),
        ]);
        lab.release(&small);
        let whole = lab.hold(&[("-N2", "0-1:0-3"), ("-N3", "2-4:0-3"), ("-N1", "5:0-3"), ("-N2", "6-7:0-3")]);
        lab.release(&whole[1..2]);
        let after = lab.hold(&[("-N1", "2:0-3"), ("-n1", "3:0"), ("-n1", "4:0"), ("-N1", "waits")]);
        lab.release(&[whole[0], whole[2], whole[3]]);
        lab.release(&after);
        lab.one_by_one(&[
            ("-n1", "0:0"),
            ("-n1", "0:0"),
            ("-N2", "0-1:0-3"),
            ("-N4", "0-3:0-3"),
            ("-n6", "0:0-3 1:0-1"),
        ]);
        lab.hold(&[
            ("-n3", "0:0-2"),
            ("-n2", "1:0-1"),
            ("-n4", "2:0-3"),
            ("-n5", "3:0-3 4:0"),
            ("-n2 -c2", "5:0-3"),
            ("-N1 -n2", "6:0-1"),
        ]);
    }
}

#[test]
fn burst_ranks_are_used_as_recorded() {
    const DENIED: &str = "alloc denied due to type=\"unsatisfiable\"";
    let mut fcfs = Lab::new(Scheduler::Fluxion(Policy::Fcfs), FluxVersion::V0_88, 8);
    fcfs.up("0-1");
    fcfs.one_by_one(&[("-N4", DENIED)]);
    fcfs.up("0-1,4-7");
    fcfs.one_by_one(&[
        ("-N4", "4-7:0-3"),
        ("-N4", "0-1,6-7:0-3"),
        ("-N4", "4-7:0-3"),
        ("-N6", "0-1,4-7:0-3"),
        ("-N1", "7:0-3"),
        ("-N2", "6-7:0-3"),
    ]);
    let mut easy = Lab::new(Scheduler::Fluxion(Policy::Easy), FluxVersion::V0_88, 8);
    easy.up("0-1");
    easy.one_by_one(&[("-N4", "waits")]);
    easy.up("0-1,4,7");
    easy.one_by_one(&[("-N4", "0-1,4,7:0-3")]);
    easy.up("0-1,4-7");
    easy.one_by_one(&[
        ("-N4", "4-7:0-3"),
        ("-N4", "4-7:0-3"),
        ("-N6", "0-1,4-7:0-3"),
        ("-N1", "7:0-3"),
        ("-N2", "6-7:0-3"),
    ]);
}

/// Recording 04: 2 of 4 nodes of 4 cores are up.
#[test]
fn what_waits_and_what_fails_with_half_the_nodes() {
    use FluxVersion::{V0_61, V0_88};
    const DENIED: &str = "alloc denied due to type=\"unsatisfiable\"";
    const WAITS: &str = "waits";
    let fluxion = Scheduler::Fluxion;
    let rows = [
        // scheduler, version, -N4, -N5, -n17, -n10, -N1 -n1 -c5
        (
            Scheduler::Simple,
            V0_61,
            [WAITS, "unsatisfiable request", "unsatisfiable request", WAITS, "unsatisfiable request"],
        ),
        (
            Scheduler::Simple,
            V0_88,
            [
                WAITS,
                "unsatisfiable request: need 5 exclusive node(s), only 4 eligible",
                "unsatisfiable request: need 17 slot(s) of 1 core(s), only 16 such slot(s) available (total cores: 16)",
                WAITS,
                "unsatisfiable request: need 1 node(s) with 5 cores each, only 0 eligible",
            ],
        ),
        (fluxion(Policy::Fcfs), V0_61, [WAITS, DENIED, DENIED, WAITS, DENIED]),
        (fluxion(Policy::Easy), V0_61, [WAITS, DENIED, DENIED, WAITS, DENIED]),
        (fluxion(Policy::Fcfs), V0_88, [DENIED, DENIED, DENIED, WAITS, DENIED]),
        (fluxion(Policy::Easy), V0_88, [WAITS, WAITS, DENIED, WAITS, DENIED]),
        (fluxion(Policy::Hybrid), V0_88, [WAITS, WAITS, DENIED, WAITS, DENIED]),
        (fluxion(Policy::Conservative), V0_88, [WAITS, WAITS, DENIED, WAITS, DENIED]),
    ];
    for (scheduler, version, expected) in rows {
        let mut lab = Lab::new(scheduler, version, 4);
        lab.up("0-1");
        for (request, expected) in ["-N4", "-N5", "-n17", "-n10", "-N1 -n1 -c5"].into_iter().zip(expected) {
            assert_eq!(lab.submit(request).1, expected, "{scheduler} {version} {request}");
        }
    }
}
