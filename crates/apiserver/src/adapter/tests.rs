//! The pump, with a site that is nothing but a counter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use towtank_model::engine::Distribution;
use towtank_model::time::Time;

use super::faults::{FaultPlan, Moment, RequestFault, WatchFault};
use super::pump::{Latencies, Program, Pump, Site};
use crate::{Answer, Caller, WatchId, WatchPoll};

/// Ticks once a second; its only watch tells of each tick.
#[derive(Default)]
struct Ticker {
    now: Time,
    ticks: u64,
    told: BTreeMap<WatchId, u64>,
    posts: Vec<Time>,
}

impl Site for Ticker {
    fn now(&self) -> Time {
        self.now
    }

    fn next_time(&mut self, limit: Time) -> Option<Time> {
        Some(Time::from_secs(self.ticks + 1)).filter(|at| *at <= limit)
    }

    fn run_until(&mut self, at: Time) -> Result<bool, String> {
        let before = self.ticks;
        self.ticks = at.as_micros() / 1_000_000;
        self.now = at;
        Ok(self.ticks != before)
    }

    fn handle(&mut self, _caller: &Caller, request: Request<Bytes>) -> Answer {
        if request.uri().query().is_some_and(|query| query.contains("watch")) {
            let id = WatchId(self.told.len() as u64);
            self.told.insert(id, self.ticks);
            return Answer::Watch(id);
        }
        if request.method() == "POST" {
            self.posts.push(self.now);
        }
        Answer::Response(Response::new(Bytes::from_static(b"{}")))
    }

    fn ready_watches(&mut self) -> Vec<WatchId> {
        self.told.iter().filter(|(_, told)| **told < self.ticks).map(|(id, _)| *id).collect()
    }

    fn poll_watch(&mut self, watch: WatchId) -> WatchPoll {
        match self.told.get_mut(&watch) {
            Some(told) if *told < self.ticks => {
                *told += 1;
                WatchPoll::Event(Bytes::from(format!("{told}\n")))
            }
            _ => WatchPoll::Empty,
        }
    }

    fn close_watch(&mut self, watch: WatchId) {
        self.told.remove(&watch);
    }
}

fn pump(latency_ms: u64) -> Pump<Ticker> {
    let request = Distribution::constant_ms(latency_ms);
    Pump::new(Ticker::default(), Latencies { request, watch: request }, 1).expect("a runtime")
}

fn program(faults: FaultPlan, life: impl Fn(kube::Client) -> super::pump::Life + 'static) -> Program {
    Program {
        caller: Caller::master("test", towtank_model::server::Actor::Operator),
        start: Box::new(move |wire, _| life(kube::Client::new(wire, "default"))),
        faults,
        restart_delay: Duration::from_secs(1),
    }
}

fn post() -> Request<Vec<u8>> {
    Request::post("/things").body(Vec::new()).expect("a request")
}

/// A program's own timers are instants of the simulation, and no other time passes for it.
#[test]
fn timers_of_a_program_are_instants() {
    let mut pump = pump(0);
    pump.add(program(FaultPlan::default(), |client| {
        Box::pin(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                let _ = client.request_text(post()).await;
            }
        })
    }));
    let mut instants = Vec::new();
    while let Some(at) = pump.next_instant(Time::from_secs(10)).expect("it goes on") {
        instants.push(at.as_micros() / 1_000);
    }
    assert_eq!(instants, [1000, 2000, 2500, 3000, 4000, 5000, 6000, 7000, 7500, 8000, 9000, 10000]);
    assert_eq!(pump.site().posts, [2_500, 5_000, 7_500, 10_000].map(Time::from_millis));
    assert_eq!(pump.now(), Time::from_secs(10));
}

/// A request and its answer take their time, to the microsecond, though tokio counts milliseconds.
#[test]
fn requests_take_time() {
    let mut pump = pump(7);
    pump.add(program(FaultPlan::default(), |client| {
        Box::pin(async move {
            for _ in 0..3 {
                let _ = client.request_text(post()).await;
            }
            std::future::pending().await
        })
    }));
    pump.run_until(Time::from_secs(1)).expect("it goes on");
    assert_eq!(pump.site().posts, [7, 21, 35].map(Time::from_millis));
}

/// A process that crashes before or after a request starts again, and its detached tasks have no effect.
#[test]
fn a_crash_ends_a_process_and_all_of_its_tasks() {
    for (moment, posts) in [(Moment::Before, 3), (Moment::After, 4)] {
        let starts = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&starts);
        let faults = FaultPlan {
            requests: BTreeMap::from([(1, RequestFault::Crash(moment))]),
            ..FaultPlan::default()
        };
        let mut pump = pump(0);
        let id = pump.add(program(faults, move |client| {
            counter.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                let detached = client.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let _ = detached.request_text(post()).await;
                });
                let _ = client.request_text(post()).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                let _ = client.request_text(post()).await;
                std::future::pending().await
            })
        }));
        pump.run_until(Time::from_secs(3)).expect("it goes on");
        assert_eq!((starts.load(Ordering::Relaxed), pump.crashes(id)), (2, 1));
        // 1 before the crash, 3 in the second life; of the first life's detached task nothing.
        assert_eq!(pump.site().posts.len(), posts + 1, "{moment:?}: {:?}", pump.site().posts);
    }
}

/// The same seed gives the same requests at the same times.
#[test]
fn runs_are_repeated_exactly() {
    let run = || {
        let mut pump = pump(3);
        pump.keep_log();
        for pause in [70, 110, 130] {
            pump.add(program(FaultPlan::default(), move |client| {
                Box::pin(async move {
                    loop {
                        let _ = client.request_text(post()).await;
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                })
            }));
        }
        pump.run_until(Time::from_secs(5)).expect("it goes on");
        pump.take_log()
    };
    let first = run();
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(first, run());
}

/// Faults that are planted count only what is of their kind, over all programs and lives; of two that are due the second meets the next.
#[test]
fn planted_faults_meet_the_nth_of_their_kind() {
    let mut pump = pump(0);
    pump.plant_request("create", "things", 2, RequestFault::Error(Moment::Before));
    pump.plant_request("create", "things", 2, RequestFault::Crash(Moment::Before));
    pump.plant_request("create", "things/status", 1, RequestFault::Error(Moment::Before));
    pump.plant_request("patch", "things", 1, RequestFault::Error(Moment::Before));
    pump.plant_request("create", "others", 4, RequestFault::Error(Moment::Before));
    let post = |plural: &str| {
        let path = format!("/api/v1/namespaces/a/{plural}");
        Request::post(path).body(Vec::new()).expect("a request")
    };
    for start in [100, 150] {
        pump.add(program(FaultPlan::default(), move |client| {
            Box::pin(async move {
                for (pause, plural) in [(start, "things"), (20, "others"), (80, "things")] {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    let _ = client.request_text(post(plural)).await;
                }
                std::future::pending().await
            })
        }));
    }
    pump.run_until(Time::from_secs(3)).expect("it goes on");
    // The second program's first fails; the first one's process ends at its second, and begins again.
    assert_eq!(pump.site().posts, [100, 120, 170, 250, 1_300, 1_320, 1_400].map(Time::from_millis));
    assert_eq!(pump.planted(), 3);
}

/// A fault of a watch counts the events of watches of its resource.
#[test]
fn planted_faults_end_watches() {
    let told = |fault| {
        let mut pump = pump(0);
        pump.plant_event("things", 3, fault);
        pump.plant_event("others", 1, WatchFault::Broken);
        let lines = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&lines);
        pump.add(program(FaultPlan::default(), move |client| {
            let counter = Arc::clone(&counter);
            Box::pin(async move {
                let watch = Request::get("/api/v1/things?watch=true").body(Vec::new()).expect("a request");
                let _ = client.request_text(watch).await.map(|text| {
                    counter.store(text.lines().count().try_into().unwrap_or(0), Ordering::Relaxed);
                });
                std::future::pending().await
            })
        }));
        pump.run_until(Time::from_secs(9)).expect("it goes on");
        (lines.load(Ordering::Relaxed), pump.planted())
    };
    assert_eq!(told(WatchFault::Broken), (2, 1));
    assert_eq!(told(WatchFault::Expired), (3, 1));
    // A watch that goes on is never read to its end.
    assert_eq!(told(WatchFault::Delay(Duration::from_secs(1))), (0, 1));
}

/// A process that is stopped does not come back because it had crashed before.
#[test]
fn who_is_stopped_stays_away() {
    let faults =
        FaultPlan { requests: [(0, RequestFault::Crash(Moment::Before))].into(), ..FaultPlan::default() };
    let mut pump = pump(0);
    let id = pump.add(program(faults, |client| {
        Box::pin(async move {
            let _ = client.request_text(post()).await;
            std::future::pending().await
        })
    }));
    pump.run_until(Time::from_millis(500)).expect("it goes on");
    assert_eq!((pump.crashes(id), pump.is_running(id)), (1, false));
    pump.stop(id);
    pump.run_until(Time::from_secs(5)).expect("it goes on");
    assert!(!pump.is_running(id) && pump.site().posts.is_empty());
    pump.start(id);
    pump.run_until(Time::from_secs(6)).expect("it goes on");
    assert_eq!(pump.site().posts.len(), 1);
}
