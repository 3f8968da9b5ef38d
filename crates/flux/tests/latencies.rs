//! How long things take: medians of many draws against the recorded medians (`constants.json`, recordings 02,
//! 03, 09, 11, 15), within 15 %.

#![expect(clippy::expect_used, reason = "a story that cannot be told fails the test")]

use std::time::Duration;

use towtank_flux::command;
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::overlay::Status;
use towtank_flux::time::{Draw, Instant};
use towtank_flux::{FluxVersion, Scheduler};

/// Marsaglia's xorshift.
struct Shift(u64);

impl Draw for Shift {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How often each thing is measured.
const TRIALS: u64 = 301;

/// What may be off.
const MARGIN: f64 = 0.15;

/// An instance of four ranks at rest, at a random phase of its heartbeat.
fn instance(version: FluxVersion, seed: u64) -> (Instance, Instant, Shift) {
    let mut draw = Shift(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let hosts = "flux-sample-[0-3]".parse().expect("a hostlist");
    let mut instance = Instance::new(Setup::new(version, Scheduler::Simple, hosts, 4));
    for rank in 0..4 {
        instance.broker_started(Duration::ZERO, rank, &mut draw).expect("a rank");
    }
    let now = Duration::from_secs(60) + Duration::from_secs_f64(draw.unit() * 2.0);
    instance.advance(now, &mut draw);
    instance.take_exits();
    (instance, now, draw)
}

/// Milliseconds until something is so.
fn until(instance: &mut Instance, from: Instant, draw: &mut Shift, so: impl Fn(&Instance) -> bool) -> f64 {
    let mut now = from;
    while !so(instance) {
        now = instance.next_time().expect("it happens some time").max(now);
        instance.advance(now, draw);
    }
    (now - from).as_secs_f64() * 1000.0
}

/// The median over many instances.
fn median(version: FluxVersion, trial: impl Fn(&mut Instance, Instant, &mut Shift) -> f64) -> f64 {
    let mut all: Vec<f64> = (0..TRIALS)
        .map(|seed| {
            let (mut instance, now, mut draw) = instance(version, seed);
            trial(&mut instance, now, &mut draw)
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn near(
    what: &str,
    version: FluxVersion,
    recorded: f64,
    trial: impl Fn(&mut Instance, Instant, &mut Shift) -> f64,
) {
    let model = median(version, trial);
    assert!(
        (model - recorded).abs() <= MARGIN * recorded,
        "{version} {what}: {model:.1} ms, recorded {recorded} ms"
    );
}

/// What is waited for.
type Sight = Box<dyn Fn(&Instance) -> bool>;

fn status(rank: u32, status: Status) -> Sight {
    Box::new(move |instance| instance.overlay().status(rank).0 == status)
}

fn down(rank: u32) -> Sight {
    Box::new(move |instance| !instance.up().contains(rank))
}

fn up(rank: u32) -> Sight {
    Box::new(move |instance| instance.up().contains(rank))
}

fn gone(rank: u32) -> Sight {
    Box::new(move |instance| instance.overlay().state(rank).is_none())
}

const VERSIONS: [FluxVersion; 2] = [FluxVersion::V0_61, FluxVersion::V0_88];

#[test]
fn an_orderly_leave() {
    for (version, [overlay, sched, exit]) in
        VERSIONS.into_iter().zip([[584.3, 679.3, 578.5], [1161.8, 1265.1, 1180.0]])
    {
        let term = |so: fn(u32) -> Sight| {
            move |instance: &mut Instance, now, draw: &mut Shift| {
                instance.broker_terminated(now, 1, draw).expect("it runs");
                until(instance, now, draw, so(1))
            }
        };
        near("SIGTERM to offline", version, overlay, term(|rank| status(rank, Status::Offline)));
        near("SIGTERM to scheduler", version, sched, term(down));
        near("SIGTERM to exit", version, exit, term(gone));
    }
}

/// Lost is uniform over the period of the heartbeat, whatever the version: all 22 recorded deaths at 2 s
/// together.
#[test]
fn a_loss() {
    for version in VERSIONS {
        let kill = |so: fn(u32) -> Sight| {
            move |instance: &mut Instance, now, draw: &mut Shift| {
                instance.broker_killed(now, 3, draw).expect("it runs");
                until(instance, now, draw, so(3))
            }
        };
        near("SIGKILL to lost", version, 1114.4, kill(|rank| status(rank, Status::Lost)));
        near("SIGKILL to scheduler", version, 1218.5, kill(down));
    }
}

/// recordings/kind, 32→2: of ranks that are lost by one heartbeat all but the last are told at once, the last after 0.1 s.
#[test]
fn a_loss_of_two() {
    let (mut instance, now, mut draw) = instance(FluxVersion::V0_88, 1);
    for rank in [2, 3] {
        instance.broker_killed(now, rank, &mut draw).expect("it runs");
    }
    let lost = until(&mut instance, now, &mut draw, status(3, Status::Lost));
    let lost = now + Duration::from_secs_f64(lost / 1_000.0);
    for (later, up) in [(1, "0-1,3"), (80, "0-1,3"), (130, "0-1")] {
        instance.advance(lost + Duration::from_millis(later), &mut draw);
        assert_eq!(instance.up().to_string(), up, "{later} ms after the loss");
    }
}

#[test]
fn a_disconnect() {
    for (version, [overlay, sched, exit]) in
        VERSIONS.into_iter().zip([[16.5, 116.3, 634.7], [28.1, 123.1, 1296.5]])
    {
        let cut = |so: fn(u32) -> Sight| {
            move |instance: &mut Instance, now, draw: &mut Shift| {
                instance.disconnected(now, 2, draw).expect("it is connected");
                until(instance, now, draw, so(2))
            }
        };
        near("disconnect to lost", version, overlay, cut(|rank| status(rank, Status::Lost)));
        near("disconnect to scheduler", version, sched, cut(down));
        near("disconnect to exit", version, exit, cut(gone));
    }
}

#[test]
fn a_return() {
    for (version, [overlay, sched]) in VERSIONS.into_iter().zip([[56.7, 944.7], [75.8, 1733.1]]) {
        let back = |so: fn(u32) -> Sight| {
            move |instance: &mut Instance, now: Instant, draw: &mut Shift| {
                instance.broker_terminated(now, 3, draw).expect("it runs");
                let later = now + Duration::from_secs(10);
                instance.advance(later, draw);
                instance.broker_started(later, 3, draw).expect("a rank");
                until(instance, later, draw, so(3))
            }
        };
        near("start to overlay", version, overlay, back(|rank| status(rank, Status::Full)));
        near("start to scheduler", version, sched, back(up));
    }
}

#[test]
fn a_drain_and_its_end() {
    for (version, [drain, undrain]) in VERSIONS.into_iter().zip([[2.6, 2.3], [6.2, 8.9]]) {
        near("drain to scheduler", version, drain, |instance, now, draw| {
            assert!(command::run(instance, now, Duration::ZERO, "flux drain 1 x", draw).is_some());
            until(instance, now, draw, down(1))
        });
        near("undrain to scheduler", version, undrain, |instance, now, draw| {
            assert!(command::run(instance, now, Duration::ZERO, "flux drain 1 x", draw).is_some());
            let later = now + Duration::from_secs(1);
            instance.advance(later, draw);
            assert!(command::run(instance, later, Duration::ZERO, "flux undrain 1", draw).is_some());
            until(instance, later, draw, up(1))
        });
    }
}

/// Recording 15: 23.4 s and 23.3 s; recording 16 and 09: a killed pod at a heartbeat of 60 s.
#[test]
fn silence() {
    near("partition to lost", FluxVersion::V0_88, 23_380.0, |instance, now, draw| {
        instance.partitioned(now, 2, true, draw).expect("it runs");
        until(instance, now, draw, status(2, Status::Lost))
    });
    for (version, recorded) in VERSIONS.into_iter().zip([27_150.0, 27_160.0]) {
        near("slow heartbeat to scheduler", version, recorded, |instance, now, draw| {
            assert!(
                command::run(instance, now, Duration::ZERO, "flux module reload heartbeat period=60s", draw)
                    .is_some()
            );
            let later = now + Duration::from_secs(3);
            instance.broker_killed(later, 3, draw).expect("it runs");
            until(instance, later, draw, down(3))
        });
    }
}

/// The lead's SIGTERM ends everybody, itself last (recordings 03 and 03b); a lead that comes back ends its
/// orphans.
#[test]
fn the_lead() {
    for (version, recorded) in VERSIONS.into_iter().zip([3_998.0, 5_559.0]) {
        near("lead SIGTERM to exit", version, recorded, |instance, now, draw| {
            instance.broker_terminated(now, 0, draw).expect("it runs");
            until(instance, now, draw, gone(0))
        });
    }
    for (version, recorded) in VERSIONS.into_iter().zip([6_251.0, 2_090.0]) {
        near("lead start to orphan's exit", version, recorded, |instance, now, draw| {
            instance.broker_killed(now, 0, draw).expect("it runs");
            let later = now + Duration::from_secs(8);
            instance.broker_started(later, 0, draw).expect("a rank");
            until(instance, later, draw, gone(2))
        });
    }
}
