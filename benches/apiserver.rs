//! The embedded API server: writes with watches open, large lists, and that neither depends on what is stored besides.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use towtank_apiserver::{Answer, ApiServer, Caller, Config, WatchId, WatchPoll};
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

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

    fn watch(&mut self) -> WatchId {
        match self.send("GET", &format!("{MAPS}?watch=1"), "", Bytes::new()) {
            Answer::Watch(watch) => watch,
            Answer::Response(response) => panic!("{response:?}"),
        }
    }

    fn body(&mut self, method: &str, path: &str, body: String) -> Bytes {
        match self.send(method, path, "application/json", body.into()) {
            Answer::Response(response) if response.status().is_success() => response.into_body(),
            other => panic!("{other:?}"),
        }
    }

    fn with_maps(count: usize) -> Self {
        let mut cluster = Self::new();
        for number in 0..count {
            let name = format!("map-{number}");
            cluster.body("POST", MAPS, map(&name, 0));
        }
        cluster
    }
}

fn map(name: &str, value: u64) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"{value}"}}}}"#
    )
}

/// A PUT that changes a document, with three watches that read what they are told.
fn writes(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/write");
    group.throughput(Throughput::Elements(1));
    for stored in [10, 5_000] {
        group.bench_function(format!("put a ConfigMap, 3 watches, {stored} stored"), |bench| {
            let mut cluster = Cluster::with_maps(stored);
            let watches = [cluster.watch(), cluster.watch(), cluster.watch()];
            let mut value = 0;
            bench.iter(|| {
                value += 1;
                black_box(cluster.body("PUT", &format!("{MAPS}/map-3"), map("map-3", value)));
                for watch in watches {
                    while let WatchPoll::Event(line) = cluster.server.poll_watch(watch) {
                        black_box(line);
                    }
                }
            });
        });
    }
    group.finish();
}

fn lists(c: &mut Criterion) {
    let mut group = c.benchmark_group("apiserver/list");
    group.sample_size(20);
    let mut cluster = Cluster::new();
    for number in 0..6_000 {
        let pod = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
        );
        cluster.body("POST", PODS, pod);
    }
    group.bench_function("6000 pods", |bench| {
        bench.iter(|| black_box(cluster.body("GET", PODS, String::new()).len()));
    });
    group.finish();
}

criterion_group!(benches, writes, lists);
criterion_main!(benches);
