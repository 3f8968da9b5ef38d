//! Syncs of the Job controller, and Jobs from their creation to their end.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

use towtank_benches::cluster::{large_indexed_job, steady_snapshot};
use towtank_model::job::sync::SyncPass;
use towtank_model::time::Time;

/// Upstream's times for `BenchmarkLargeIndexedJob` at 100 requests a second, in seconds.
const PUBLISHED: [(i32, f64); 4] = [(10, 3.03), (100, 3.05), (1_000, 19.4), (10_000, 222.7)];

fn sync(c: &mut Criterion) {
    let mut group = c.benchmark_group("sync");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(1));
    for pods in [4, 100, 10_000] {
        let snapshot = steady_snapshot(pods);
        group.bench_function(format!("steady/{pods}"), |bencher| {
            bencher.iter_batched(
                || snapshot.clone(),
                |snapshot| black_box(SyncPass::new(snapshot, false).next(Time::from_secs(60), Vec::new())),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn large(c: &mut Criterion) {
    eprintln!(
        "Indexed Job from creation to Complete, virtual time in s: published | 100 requests/s | 50 requests/s"
    );
    for (pods, published) in PUBLISHED {
        let [at_100, at_50] =
            [100, 50].map(|qps| large_indexed_job(pods, qps).since(Time::ZERO).as_secs_f64());
        eprintln!("{pods:>6} pods: {published:>6.2} | {at_100:>6.2} | {at_50:>6.2}");
    }
    let mut group = c.benchmark_group("indexed-job");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (pods, _) in PUBLISHED {
        group.throughput(Throughput::Elements(u64::from(pods.unsigned_abs())));
        group.bench_function(format!("{pods}"), |bencher| bencher.iter(|| large_indexed_job(pods, 100)));
    }
    group.finish();
}

criterion_group!(benches, sync, large);
criterion_main!(benches);
