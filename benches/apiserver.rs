//! The embedded API server: writes with watches open, applies, large lists, and that neither depends on what is stored besides.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use towtank_apiserver::{Answer, ApiServer, Caller, Config, WatchId, WatchPoll};
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
/// Pods that a resize takes away and brings back.
const RESIZED: usize = 8;

struct Cluster {
    server: ApiServer,
    rows: Server,
    caller: Caller,
}

impl Cluster {
    fn new() -> Self {
        let mut rows = Server::new(Features::of(KubernetesVersion::NEWEST), false);
        let server = ApiServer::new(Config::default(), &mut rows, Time::ZERO);
        Self { server, rows, caller: Caller::master("bench", Actor::User) }
    }

    fn send(&mut self, method: &str, path: &str, kind: &str, body: Bytes) -> Answer {
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.header("user-agent", "bench").body(body).expect("a request");
        let answer = self.server.handle(&mut self.rows, Time::ZERO, &self.caller, request);
        drop(self.rows.take_changes());
        answer
    }

    fn watch(&mut self, path: &str) -> WatchId {
        match self.send("GET", &format!("{path}?watch=1"), "", Bytes::new()) {
            Answer::Watch(watch) => watch,
            Answer::Response(response) => panic!("{response:?}"),
        }
    }

    /// Reads all that these watches have to say.
    fn read(&mut self, watches: &[WatchId]) {
        for watch in watches {
            while let WatchPoll::Event(line) = self.server.poll_watch(*watch) {
                black_box(line);
            }
        }
    }

    fn body(&mut self, method: &str, path: &str, kind: &str, body: Bytes) -> Bytes {
        match self.send(method, path, kind, body) {
            Answer::Response(response) if response.status().is_success() => response.into_body(),
            other => panic!("{other:?}"),
        }
    }

    fn with_maps(count: usize) -> Self {
        let mut cluster = Self::new();
        for number in 0..count {
            let name = format!("map-{number}");
            cluster.body("POST", MAPS, JSON, map(&name, 0));
        }
        cluster
    }

    fn with_pods(count: usize) -> Self {
        let mut cluster = Self::new();
        for number in 0..count {
            cluster.body("POST", PODS, JSON, pod(number));
        }
        cluster
    }
}

fn map(name: &str, value: u64) -> Bytes {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"{value}"}}}}"#
    )
    .into()
}

fn pod(number: usize) -> Bytes {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
    )
    .into()
}

fn job(ttl: u64) -> Bytes {
    let container = |name: &str| {
        format!(
            r#"{{"name":"{name}","image":"busybox","command":["sh","-c","true"],"ports":[{{"containerPort":80}}],"env":[{{"name":"A","value":"1"}},{{"name":"B","value":"2"}}],"resources":{{"limits":{{"memory":"1Gi"}}}},"volumeMounts":[{{"name":"v","mountPath":"/v"}}]}}"#
        )
    };
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"j","labels":{{"app":"flux"}}}},"spec":{{"parallelism":4,"completions":4,"completionMode":"Indexed","ttlSecondsAfterFinished":{ttl},"template":{{"metadata":{{"labels":{{"app":"flux"}}}},"spec":{{"restartPolicy":"OnFailure","containers":[{}],"initContainers":[{}],"volumes":[{{"name":"v","configMap":{{"name":"c"}}}}]}}}}}}}}"#,
        container("main"),
        container("first"),
    )
    .into()
}

/// A PUT that changes a document, with three watches that read what they are told.
fn writes(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/write");
    group.throughput(Throughput::Elements(1));
    for stored in [10, 5_000] {
        group.bench_function(format!("put a ConfigMap, 3 watches, {stored} stored"), |bench| {
            let mut cluster = Cluster::with_maps(stored);
            let watches = [cluster.watch(MAPS), cluster.watch(MAPS), cluster.watch(MAPS)];
            let mut value = 0;
            bench.iter(|| {
                value += 1;
                black_box(cluster.body("PUT", &format!("{MAPS}/map-3"), JSON, map("map-3", value)));
                cluster.read(&watches);
            });
        });
    }
    group.finish();
}

/// Server-side applies, as the operator sends them again and again: of what is there already, and of something new.
fn applies(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/apply");
    group.throughput(Throughput::Elements(1));
    let path = format!("{JOBS}/j?fieldManager=bench&force=true");
    for (name, step) in [("a Job as it is", 0), ("a Job with another field", 1)] {
        group.bench_function(name, |bench| {
            let mut cluster = Cluster::new();
            let mut value = 100;
            bench.iter(|| {
                value += step;
                black_box(cluster.body("PATCH", &path, APPLY, job(value)));
            });
        });
    }
    let path = format!("{MAPS}/map-3?fieldManager=bench&force=true");
    for (name, step) in [("a ConfigMap as it is", 0), ("a ConfigMap with another value", 1)] {
        group.bench_function(name, |bench| {
            let mut cluster = Cluster::new();
            let mut value = 100;
            bench.iter(|| {
                value += step;
                black_box(cluster.body("PATCH", &path, APPLY, map("map-3", value)));
            });
        });
    }
    group.finish();
}

/// What a resize comes to here: some pods go, as many come, and a watch reads of each. The others are only stored.
fn resizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/resize");
    for stored in [100, 6_000] {
        group.bench_function(format!("{RESIZED} of {stored} pods"), |bench| {
            let mut cluster = Cluster::with_pods(stored);
            let watches = [cluster.watch(PODS)];
            cluster.read(&watches);
            bench.iter(|| {
                for number in 0..RESIZED {
                    cluster.body(
                        "DELETE",
                        &format!("{PODS}/pod-{number}?gracePeriodSeconds=0"),
                        "",
                        Bytes::new(),
                    );
                }
                for number in 0..RESIZED {
                    cluster.body("POST", PODS, JSON, pod(number));
                }
                cluster.read(&watches);
            });
        });
    }
    group.finish();
}

fn lists(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/list");
    group.sample_size(20);
    let mut cluster = Cluster::with_pods(6_000);
    group.bench_function("6000 pods", |bench| {
        bench.iter(|| black_box(cluster.body("GET", PODS, "", Bytes::new()).len()));
    });
    group.finish();
}

criterion_group!(benches, writes, applies, resizes, lists);
criterion_main!(benches);
