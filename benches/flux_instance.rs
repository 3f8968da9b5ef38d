//! A Flux instance of many ranks: its start, and `flux resource list`.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use towtank_flux::command;
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::time::Draw;
use towtank_flux::{FluxVersion, Hostlist, Scheduler};

/// Every latency is its median.
struct Median;

impl Draw for Median {
    fn unit(&mut self) -> f64 {
        0.5
    }
}

const RANKS: u32 = 10_000;

/// An instance of which all ranks but every seventh are up.
fn instance() -> (Instance, Duration) {
    let hosts: Hostlist = (0..RANKS).fold(Hostlist::new(), |mut hosts, rank| {
        hosts.push(&format!("flux-sample-{rank}"));
        hosts
    });
    let mut instance = Instance::new(Setup::new(FluxVersion::V0_88, Scheduler::Simple, hosts, 16));
    for rank in (0..RANKS).filter(|rank| rank % 7 != 3) {
        assert!(instance.broker_started(Duration::ZERO, rank, &mut Median).is_ok());
    }
    let now = Duration::from_secs(100);
    instance.advance(now, &mut Median);
    (instance, now)
}

fn resource_list(c: &mut Criterion) {
    let (mut instance, mut now) = instance();
    // Half of the ranks are used, some of them partly.
    for line in ["flux submit -N2000 sleep 100000", "flux submit -n3000 sleep 100000", "flux drain 7-900 x"] {
        let ran = command::run(&mut instance, now, Duration::ZERO, line, &mut Median);
        assert!(ran.is_some());
        now += Duration::from_secs(1);
        instance.advance(now, &mut Median);
    }
    c.bench_function("flux/resource-list/10000", |bencher| {
        bencher.iter(|| {
            let ran = command::run(&mut instance, now, Duration::ZERO, "flux resource list", &mut Median);
            assert!(ran.is_some_and(|(answer, _)| answer.stdout.lines().count() == 4));
        });
    });
}

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("flux");
    group.sample_size(10);
    group.bench_function("start/10000", |bencher| bencher.iter(instance));
    group.finish();
}

criterion_group!(benches, resource_list, start);
criterion_main!(benches);
