//! The instance as a whole: what survives what (Flux spec, part I, recordings 02, 03b, 06, 11, 16).

#![expect(clippy::expect_used, clippy::panic, reason = "a story that cannot be told fails the test")]

use std::time::Duration;

use proptest::prelude::*;
use towtank_flux::command::{self, Code};
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::jobs::State;
use towtank_flux::latency::Spread;
use towtank_flux::overlay::Quorum;
use towtank_flux::time::{Draw, Instant};
use towtank_flux::{FluxVersion, Scheduler};

/// Every latency is its median.
struct Median;

impl Draw for Median {
    fn unit(&mut self) -> f64 {
        0.5
    }
}

/// Somebody who tells a story.
struct Story {
    instance: Instance,
    now: Instant,
}

impl Story {
    /// All of these ranks are up, of so many.
    fn new(version: FluxVersion, scheduler: &str, size: u32, up: u32) -> Self {
        let hosts = format!("flux-sample-[0-{}]", size - 1);
        Self::of(Self::setup(version, scheduler, &hosts), up)
    }

    fn setup(version: FluxVersion, scheduler: &str, hosts: &str) -> Setup {
        let scheduler: Scheduler = scheduler.parse().expect("a scheduler");
        Setup::new(version, scheduler, hosts.parse().expect("a hostlist"), 4)
    }

    fn of(setup: Setup, up: u32) -> Self {
        let mut story = Self { instance: Instance::new(setup), now: Duration::from_secs(1_795_306_000) };
        story.instance.set_quorum(Quorum::Size(up));
        story.start(0..up);
        story
    }

    fn start(&mut self, ranks: std::ops::Range<u32>) {
        for rank in ranks {
            self.instance.broker_started(self.now, rank, &mut Median).expect("a rank");
        }
        self.wait(10);
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.instance.advance(self.now, &mut Median);
    }

    fn kill(&mut self, rank: u32) {
        self.instance.broker_killed(self.now, rank, &mut Median).expect("it runs");
        self.wait(10);
    }

    fn term(&mut self, rank: u32) {
        self.instance.broker_terminated(self.now, rank, &mut Median).expect("it runs");
        self.wait(20);
    }

    /// A command that succeeds; what it printed, blanks collapsed.
    fn flux(&mut self, line: &str) -> String {
        let (code, stdout, stderr) = self.ask(line);
        assert_eq!(code, Code::Exit(0), "{line}: {stderr}");
        stdout
    }

    fn ask(&mut self, line: &str) -> (Code, String, String) {
        // Typing takes longer than a drain on its way to the scheduler.
        self.now += Duration::from_millis(100);
        let patience = Duration::from_secs(100);
        let ran = command::run(&mut self.instance, self.now, patience, line, &mut Median);
        let (answer, end) = ran.unwrap_or_else(|| panic!("nobody knows {line}"));
        self.now = self.now.max(end);
        let plain = |text: &str| {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        (answer.code, plain(&answer.stdout), plain(&answer.stderr))
    }

    /// ST of all jobs, oldest first.
    fn states(&mut self) -> Vec<String> {
        let table = self.flux("flux jobs -a -no '{id} {status_abbrev}'");
        let mut lines: Vec<(u64, String)> = table
            .lines()
            .filter_map(|line| {
                let (id, state) = line.split_once(' ')?;
                Some((id.parse::<towtank_flux::JobId>().ok()?.0, state.to_owned()))
            })
            .collect();
        lines.sort();
        lines.into_iter().map(|(_, state)| state).collect()
    }
}

const OLD: FluxVersion = FluxVersion::V0_61;
const NEW: FluxVersion = FluxVersion::V0_88;

#[test]
fn a_drain_survives_leaving_coming_back_and_a_restart() {
    for version in [OLD, NEW] {
        let mut story = Story::new(version, "sched-simple", 4, 4);
        story.flux("flux resource drain 2 maintenance");
        story.kill(2);
        assert!(story.flux("flux resource status").contains("drained* ✗ 1 flux-sample-2"));
        story.start(2..3);
        assert!(story.flux("flux resource status").contains("drained ✔ 1 flux-sample-2"));
        story.term(0);
        let (code, _, stderr) = story.ask("flux resource list");
        assert_eq!(code, Code::Exit(1));
        assert!(stderr.contains("Unable to connect to Flux"), "{stderr}");
        story.start(0..4);
        assert!(story.flux("flux resource list").contains("down 1 4 0 flux-sample-2"));
        story.flux("flux undrain flux-sample-2");
        assert!(story.flux("flux resource list").contains("free 4 16 0 flux-sample-[0-3]"));
    }
}

/// Part I 10: a crash goes back to the last clean checkpoint, and what was pending in it runs a second time.
#[test]
fn a_crash_forgets_and_repeats() {
    let mut story = Story::new(OLD, "sched-simple", 2, 2);
    story.flux("flux submit -N2 sleep 300");
    story.flux("flux submit -N2 sleep 1");
    story.wait(2);
    assert_eq!(story.states(), ["R", "S"]);
    story.term(0);
    story.start(0..2);
    story.wait(5);
    assert_eq!(story.states(), ["CA", "CD"], "the pending job ran after the restart");
    story.flux("flux submit -N2 sleep 2");
    story.wait(10);
    assert_eq!(story.states(), ["CA", "CD", "CD"]);
    story.kill(0);
    // Orphans leave once the lead is back, and are started again.
    story.start(0..1);
    story.wait(10);
    story.start(1..2);
    story.wait(10);
    assert_eq!(story.states(), ["CA", "CD"], "the last job is forgotten");
    let log = story.flux(&format!("flux job eventlog {}", story_id(&story, 1)));
    assert!(log.contains("flux-restart"), "the other ran once more: {log}");
}

fn story_id(story: &Story, at: usize) -> String {
    let jobs = story.instance.jobs().expect("the lead answers");
    jobs.jobs().get(at).expect("a job").id().to_string()
}

/// J 6: the lead's pod is replaced. Its state is gone with it, and the workers leave once another lead answers.
#[test]
fn a_replaced_lead_knows_nothing_and_nobody() {
    let mut story = Story::new(OLD, "sched-simple", 3, 3);
    story.flux("flux drain 2 sticky");
    story.term(0);
    story.instance.wipe_statedir();
    story.start(0..3);
    assert!(story.flux("flux resource list").contains("free 3 12"), "the drain was in the statedir");
    story.kill(0);
    story.instance.take_exits();
    story.wait(100);
    assert_eq!(story.instance.take_exits(), [], "headless workers stay");
    story.instance.replaced_by_another(story.now, &mut Median);
    story.wait(20);
    let exits: Vec<(u32, i32)> =
        story.instance.take_exits().into_iter().map(|exit| (exit.1, exit.2)).collect();
    assert_eq!(exits, [(1, 1), (2, 1)]);
}

/// Part I 3: a lead that waits for its quorum schedules nevertheless.
#[test]
fn the_quorum_trap_still_runs_jobs() {
    let mut setup = Story::setup(NEW, "sched-simple", "flux-sample-[0-3]");
    setup.quorum = Quorum::All;
    let mut story = Story { instance: Instance::new(setup), now: Duration::from_secs(1_000) };
    story.start(0..1);
    assert!(!story.instance.runs());
    assert!(story.flux("flux uptime").contains(" quorum "));
    story.flux("flux run hostname");
    assert_eq!(story.states(), ["CD"]);
}

/// Part I 7: the pod that comes back after a slow heartbeat is drained on 0.61 and free on 0.88.
#[test]
fn a_slow_heartbeat_leaves_a_drain_behind_on_older_flux() {
    for (version, expected) in [(OLD, "down 1 4 0 flux-sample-3"), (NEW, "free 4 16 0 flux-sample-[0-3]")] {
        let mut story = Story::new(version, "sched-simple", 4, 4);
        story.flux("flux module reload heartbeat period=60s");
        story.kill(3);
        story.wait(60);
        story.start(3..4);
        assert!(
            story.flux("flux resource list").contains(expected),
            "{version}: {}",
            story.flux("flux resource list")
        );
    }
}

/// B.4: since 0.65 a torpid rank is hidden while it is silent; before, it is drained and stays so.
#[test]
fn silence_hides_a_rank_on_newer_flux_and_drains_it_on_older() {
    for version in [OLD, NEW] {
        let mut story = Story::new(version, "sched-simple", 4, 4);
        story.instance.broker_frozen(story.now, 3, true, &mut Median).expect("it runs");
        story.wait(40);
        assert!(story.flux("flux resource list").contains("down 1 4 0 flux-sample-3"), "{version}");
        let state = if version == NEW { "torpid" } else { "drained" };
        assert!(
            story.flux("flux resource status").contains(&format!("{state} ✔ 1 flux-sample-3")),
            "{version}"
        );
        story.instance.broker_frozen(story.now, 3, false, &mut Median).expect("it runs");
        story.wait(10);
        let down = story.flux("flux resource list").contains("down 1 4 0 flux-sample-3");
        assert_eq!(down, version == OLD, "{version}");
    }
}

/// The resource module learns of a loss a moment later: by then the rank may be back.
#[test]
fn a_rank_that_is_back_at_once_stays_up() {
    let mut setup = Story::setup(NEW, "sched-simple", "flux-sample-[0-3]");
    let quick = Spread::fixed(Duration::from_millis(10));
    (setup.latencies.connect, setup.latencies.rc1) = (quick, quick);
    let mut story = Story::of(setup, 4);
    story.instance.broker_started(story.now, 3, &mut Median).expect("a rank");
    story.wait(10);
    assert!(story.flux("flux resource list").contains("free 4 16 0 flux-sample-[0-3]"));
    assert_eq!(story.instance.take_exits().iter().map(|exit| (exit.1, exit.2)).collect::<Vec<_>>(), [(3, 1)]);
}

/// Part I 6: drains of an archive are of ranks on 0.61, of hosts on 0.88.
#[test]
fn an_archive_drains_other_hosts_on_older_flux() {
    for (version, others, smaller) in [(OLD, "other-1", false), (NEW, "", true)] {
        let mut story = Story::new(version, "sched-simple", 2, 2);
        story.flux("flux resource drain 1 kept");
        story.flux("flux submit sleep 0");
        story.flux("flux dump /archive.tgz");
        let archives = story.instance.take_archives();
        let restored = |hosts: &str, up: u32| {
            let mut instance = Instance::new(Story::setup(version, "sched-simple", hosts));
            instance.give_archives(archives.clone());
            instance.restore_from(Some("archive.tgz".to_owned()));
            instance.set_quorum(Quorum::Size(up));
            let mut story = Story { instance, now: Duration::from_secs(1_795_307_000) };
            story.start(0..up);
            story
        };
        let mut same = restored("flux-sample-[0-1]", 2);
        assert!(same.flux("flux resource drain").contains("drained kept flux-sample-1"));
        assert_eq!(same.states().len(), 1);
        let mut other = restored("other-[0-1]", 2);
        assert!(other.flux("flux resource drain").ends_with(others));
        assert_eq!(other.flux("flux resource drain").contains("kept"), !others.is_empty());
        let mut small = restored("flux-sample-0", 1);
        assert_eq!(
            small.instance.resources().is_some(),
            smaller,
            "{version}: into a cluster too small for the drained rank"
        );
        assert_eq!(small.instance.take_exits().iter().any(|exit| exit.2 == 1), !smaller);
    }
}

/// Part I 16.
#[test]
fn a_missing_archive_stops_older_flux() {
    for (version, boots) in [(OLD, false), (NEW, true)] {
        let mut instance = Instance::new(Story::setup(version, "sched-simple", "flux-sample-[0-1]"));
        instance.restore_from(Some("nosuch.tgz".to_owned()));
        let mut story = Story { instance, now: Duration::from_secs(1_000) };
        story.start(0..2);
        assert_eq!(story.instance.resources().is_some(), boots, "{version}");
    }
}

/// Part I 5 and the notes of lost nodes.
#[test]
fn a_job_ends_with_its_node() {
    for (version, note) in [
        (OLD, "lost contact with job shell on broker flux-sample-1 (rank 1)"),
        (NEW, "node failure on flux-sample-1 (rank 1)"),
    ] {
        let mut story = Story::new(version, "sched-simple", 2, 2);
        let lost = story.flux("flux submit -N2 sleep 300");
        story.wait(2);
        story.kill(1);
        assert_eq!(story.states(), ["F"]);
        assert!(story.flux(&format!("flux job eventlog {lost}")).contains(note));
        story.start(1..2);
        let left = story.flux("flux submit -N2 sleep 300");
        story.wait(2);
        story.term(1);
        let log = story.flux(&format!("flux job eventlog {left}"));
        assert!(
            log.contains("flux_job_event_watch_get: Function not implemented")
                && log.contains("finish status="),
            "{log}"
        );
    }
}

/// Racy by design (B.5): a job may be sent to a rank that is gone already, and fails.
#[test]
fn a_job_that_is_sent_to_a_gone_rank_fails() {
    for orderly in [true, false] {
        let mut story = Story::new(NEW, "sched-simple", 3, 3);
        if orderly {
            story.instance.broker_terminated(story.now, 2, &mut Median).expect("it runs");
        } else {
            story.instance.broker_killed(story.now, 2, &mut Median).expect("it runs");
        }
        while story.instance.overlay().online().contains(2) {
            story.now = story.instance.next_time().expect("it is found out");
            story.instance.advance(story.now, &mut Median);
        }
        assert!(story.instance.up().contains(2), "the scheduler does not know yet");
        let ran = command::run(
            &mut story.instance,
            story.now,
            Duration::ZERO,
            "flux submit -N3 sleep 100",
            &mut Median,
        );
        let (answer, _) = ran.expect("a known command");
        story.wait(10);
        assert_eq!(story.states(), ["F"], "orderly: {orderly}");
        let log = story.flux(&format!("flux job eventlog {}", answer.stdout.trim()));
        assert!(log.contains("node failure on flux-sample-2 (rank 2)"), "{log}");
    }
}

/// D.4, B.9: how the user left the queue is remembered, unless he said not to.
#[test]
fn a_stopped_queue_is_remembered_if_it_should_be() {
    for (line, stopped) in [("flux queue stop", true), ("flux queue stop --nocheckpoint", false)] {
        let mut story = Story::new(NEW, "sched-simple", 2, 2);
        story.flux(line);
        story.flux("flux shutdown");
        story.wait(10);
        story.start(0..2);
        assert_eq!(story.flux("flux queue status").contains("Scheduling is stopped"), stopped, "{line}");
    }
}

#[test]
fn wrong_targets_are_refused_by_name() {
    let mut story = Story::new(OLD, "sched-simple", 4, 4);
    for (line, said) in [
        (
            "flux resource drain flux-sample-[3-5] x",
            "flux-resource: ERROR: [Errno 22] invalid targets: invalid hosts: flux-sample-[4-5]",
        ),
        (
            "flux resource drain 3-5 x",
            "flux-resource: ERROR: [Errno 22] invalid targets: idset is out of range: 3-5",
        ),
        ("flux resource drain a[ x", "flux-resource: ERROR: [Errno 22] invalid targets: a["),
        ("flux resource undrain 1-2", "flux-resource: ERROR: ranks 1-2 not drained"),
        (
            "flux overlay disconnect 9",
            "flux-overlay: ERROR: rank 9 is not in the instance: its ranks are 0-3",
        ),
        (
            "flux overlay disconnect nobody",
            "flux-overlay: ERROR: nobody is neither a rank nor a host of the instance",
        ),
    ] {
        let (code, _, stderr) = story.ask(line);
        assert_eq!((code, stderr.as_str()), (Code::Exit(1), said), "{line}");
    }
    assert!(
        command::run(&mut story.instance, story.now, Duration::ZERO, "flux dance", &mut Median).is_none()
    );
    assert!(
        command::run(&mut story.instance, story.now, Duration::ZERO, "flux jobs 'unbalanced", &mut Median)
            .is_none()
    );
}

/// Recording 05: the broker that was asked is part of the id of a job.
#[test]
fn commands_are_typed_at_any_rank() {
    let mut story = Story::new(NEW, "sched-simple", 4, 3);
    let mut at = |rank, line| {
        let ran = command::run_at(&mut story.instance, rank, story.now, Duration::ZERO, line, &mut Median);
        ran.expect("a known command").0
    };
    let id: towtank_flux::JobId = at(2, "flux submit hostname").stdout.trim().parse().expect("a job id");
    assert_eq!((id.0 >> 10) & 0x3fff, 2);
    assert_eq!(at(1, "flux getattr hostname").stdout, "flux-sample-1\n");
    assert_eq!(at(3, "flux getattr hostname").code, Code::Exit(1), "that broker is not there");
}

/// Recordings 07 and 13: what a broker says before it exits with 1.
#[test]
fn wrong_configurations_are_refused() {
    for hosts in ["flux-sample-[0-1],burst-0-[0--1]", "flux-sample-0,flux-sample-[1-0],burst-0-[0-3]"] {
        let refused = Setup::read_hosts(hosts).expect_err("no hostlist");
        let said = format!("Config file error [bootstrap]: host value '{hosts}' is not a valid hostlist");
        assert_eq!(refused.to_string(), said);
    }
    assert_eq!(Setup::read_hosts("flux-sample-[0]").expect("maxSize 1").len(), 1);
    assert!(Setup::read_hosts("n[0-999999]").expect_err("too many").to_string().contains("at most"));
    let mut instance = Instance::new(Story::setup(NEW, "sched-simple", "flux-sample-[0-1],flux-sample-1"));
    let refused = instance.host_started(Duration::ZERO, "burst-9-9", &mut Median).expect_err("not a host");
    assert!(refused.to_string().starts_with("Config file error [bootstrap]: burst-9-9 not found in hosts"));
    assert_eq!(instance.host_started(Duration::ZERO, "flux-sample-1", &mut Median), Ok(1));
}

#[test]
fn force_changes_a_reason_and_update_keeps_it() {
    let mut story = Story::new(OLD, "sched-simple", 4, 4);
    story.flux("flux resource drain 1-2 first");
    story.flux("flux resource drain -u 0-1 more");
    story.flux("flux resource drain -f 2 forced");
    let table = story.flux("flux resource drain");
    let rows: Vec<&str> =
        table.lines().skip(1).map(|row| row.split_once(" drained ").map_or("", |(_, row)| row)).collect();
    assert_eq!(rows, ["more flux-sample-0", "first flux-sample-1", "forced flux-sample-2"]);
}

/// What happens to an instance of three ranks.
#[derive(Clone, Debug)]
enum Deed {
    Start(u32),
    Kill(u32),
    Term(u32),
    Drain(u32),
    Undrain(u32),
    Submit(u32),
    Stop,
    Go,
}

fn deeds() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let deed = prop_oneof![
        4 => (0_u32..4).prop_map(Deed::Start),
        1 => (0_u32..4).prop_map(Deed::Kill),
        1 => (0_u32..4).prop_map(Deed::Term),
        1 => (0_u32..4).prop_map(Deed::Drain),
        1 => (0_u32..4).prop_map(Deed::Undrain),
        3 => (1_u32..4).prop_map(Deed::Submit),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Go),
    ];
    prop::collection::vec((0_u64..6_000, deed), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the story goes: nothing runs on a rank that never was up, the scheduler's view adds up, and
    /// the tables can be printed.
    #[test]
    fn views_agree_in_any_story(deeds in deeds(), newer in any::<bool>()) {
        let version = if newer { NEW } else { OLD };
        let mut story = Story::new(version, "sched-simple", 4, 1);
        for (pause, deed) in deeds {
            story.now += Duration::from_millis(pause);
            story.instance.advance(story.now, &mut Median);
            let now = story.now;
            let line = match deed {
                // What is not possible is refused.
                Deed::Start(rank) => { let _ = story.instance.broker_started(now, rank, &mut Median); continue }
                Deed::Kill(rank) => { let _ = story.instance.broker_killed(now, rank, &mut Median); continue }
                Deed::Term(rank) => { let _ = story.instance.broker_terminated(now, rank, &mut Median); continue }
                Deed::Drain(rank) => format!("flux drain {rank} x"),
                Deed::Undrain(rank) => format!("flux undrain {rank}"),
                Deed::Submit(nodes) => format!("flux submit -N{nodes} sleep 3"),
                Deed::Stop => "flux queue stop".to_owned(),
                Deed::Go => "flux queue start".to_owned(),
            };
            let _ = command::run(&mut story.instance, now, Duration::ZERO, &line, &mut Median);
            story.now += Duration::from_millis(100);
            story.instance.advance(story.now, &mut Median);
            let Some(resources) = story.instance.resources() else { continue };
            let busy = story.instance.busy();
            let up = story.instance.up();
            prop_assert!(up.is_subset(resources.online()));
            prop_assert!(up.intersection(&resources.drained()).is_empty());
            let rows = resources.list(&story.instance.up(), &busy, towtank_flux::resource::ListFilter::DEFAULT);
            let [free, allocated, down] = rows.as_slice() else { panic!("three rows") };
            // Free, used up, or down: every rank is one of them.
            let all = free.ranks.union(&allocated.ranks).union(&down.ranks);
            prop_assert_eq!(all.len(), 4);
            prop_assert!(free.ranks.intersection(&down.ranks).is_empty());
            prop_assert_eq!(down.cores, 4 * down.ranks.len() as u64);
            let running = story.instance.jobs().map_or(0, |jobs| jobs.jobs().iter().filter(|job| job.state() == State::Run).count());
            prop_assert!(running > 0 || story.instance.jobs().is_some_and(|jobs| jobs.jobs().iter().any(|job| job.state() == State::Cleanup)) || allocated.ranks.is_empty());
        }
        // With everybody there and nothing in the way, all jobs come to an end.
        for rank in 0..4 {
            if story.instance.overlay().state(rank).is_none() {
                story.start(rank..rank + 1);
            }
        }
        story.wait(100);
        for rank in 0..4 {
            if story.instance.overlay().state(rank).is_none() {
                story.start(rank..rank + 1);
            }
            let _ = story.ask(&format!("flux undrain {rank}"));
        }
        story.flux("flux queue start");
        story.wait(1_000);
        prop_assert!(story.instance.jobs().is_some_and(|jobs| jobs.is_drained()));
        prop_assert_eq!(story.instance.next_time(), None);
        prop_assert!(story.flux("flux resource list").contains("free 4 16"));
    }
}
