//! Flux: jobs from their submission to INACTIVE.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use towtank_flux::Idset;
use towtank_flux::jobs::{Job, JobLatencies, JobManager, JobSpec, Setup, State};
use towtank_flux::scheduler::Inventory;
use towtank_flux::time::Draw;
use towtank_flux::version::{Features, FluxVersion, Policy, Scheduler};

/// Nodes and cores of the instance.
const NODES: u32 = 64;
const CORES: u32 = 16;
/// Submissions per virtual millisecond: far more than a real instance takes, and less than the cores can take.
const BURST: u32 = 4;

/// A generator of Marsaglia's xorshift family; its quality does not matter here.
struct Shift(u64);

impl Draw for Shift {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Submits `count` jobs of one core and lets them all end.
fn run(scheduler: Scheduler, count: u32) -> JobManager {
    let version = FluxVersion::V0_88;
    let hosts = (0..NODES).map(|rank| format!("flux-sample-{rank}")).collect();
    let setup = Setup {
        features: Features::of(version),
        scheduler,
        inventory: Inventory::uniform(hosts, CORES),
        latencies: JobLatencies::of(version),
        user: "root".to_owned(),
        wall: 0.0,
    };
    let mut manager = JobManager::new(setup, Duration::ZERO);
    manager.set_up(Duration::ZERO, &Idset::below(NODES));
    let mut draw = Shift(0x9e37_79b9_7f4a_7c15);
    let spec = Arc::new(JobSpec::new(["true"]));
    let mut now = Duration::ZERO;
    for at in 0..count {
        if at % BURST == 0 {
            now += Duration::from_millis(1);
            manager.advance(now, &mut draw);
        }
        let submitted = manager.submit(now, 0, Arc::clone(&spec));
        assert!(submitted.is_ok());
    }
    while let Some(next) = manager.next_time() {
        manager.advance(next, &mut draw);
    }
    manager
}

fn jobs(c: &mut Criterion) {
    let mut group = c.benchmark_group("flux-jobs");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for scheduler in [Scheduler::Simple, Scheduler::Fluxion(Policy::Fcfs), Scheduler::Fluxion(Policy::Easy)] {
        for count in [10_000_u32, 1_000_000] {
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(format!("{scheduler}/{count}"), |bencher| {
                let manager = run(scheduler, count);
                let ended = |job: &Job| job.state() == State::Inactive && job.status() == Some(0);
                assert!(manager.jobs().iter().all(ended));
                drop(manager);
                // What it takes to forget the jobs is not measured.
                bencher.iter_batched(|| (), |()| run(scheduler, count), BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, jobs);
criterion_main!(benches);
