//! The pump, with a site that is nothing but a counter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use towtank_model::engine::Distribution;
use towtank_model::time::Time;

use super::faults::{FaultPlan, Moment, RequestFault};
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
