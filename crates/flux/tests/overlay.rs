//! The overlay network against what real Flux showed (recordings 02, 03, 03b, 07, 09, 15; Flux spec, part
//! I), and against a second, slow way to see its health.

#![expect(clippy::expect_used, reason = "a refused deed fails the test")]

use std::time::Duration;

use proptest::prelude::*;
use towtank_flux::latency::{Latencies, Place, Spread};
use towtank_flux::overlay::{BrokerState, Fact, Overlay, Quorum, Reason, Refused, Status, Topology};
use towtank_flux::time::{Draw, Instant};
use towtank_flux::{Features, FluxVersion, Hostlist};

/// Every latency is its median.
struct Median;

impl Draw for Median {
    fn unit(&mut self) -> f64 {
        0.5
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn overlay(version: FluxVersion, size: u32, topology: &str) -> Overlay {
    let hosts: Hostlist = format!("flux-sample-[0-{}]", size - 1).parse().expect("a hostlist");
    let topology: Topology = topology.parse().expect("a topology");
    Overlay::new(hosts, version, Features::of(version), topology, Latencies::of(version, Place::Rig))
}

/// An overlay of which all ranks run since long.
fn running(version: FluxVersion, size: u32, topology: &str) -> Overlay {
    let mut overlay = overlay(version, size, topology);
    for rank in 0..size {
        overlay.start(Instant::ZERO, rank, &mut Median).expect("a rank");
    }
    overlay.advance(s(100), &mut Median);
    overlay.take_facts();
    overlay
}

/// The facts until a time, without their times.
fn facts(overlay: &mut Overlay, to: Instant) -> Vec<Fact> {
    overlay.advance(to, &mut Median);
    overlay.take_facts().into_iter().map(|(_, fact)| fact).collect()
}

fn states(overlay: &Overlay) -> Vec<Status> {
    (0..overlay.size()).map(|rank| overlay.status(rank).0).collect()
}

#[test]
fn a_killed_rank_is_lost_at_the_next_heartbeat() {
    for late in [0, 300, 900, 1_999] {
        let mut overlay = running(FluxVersion::V0_61, 4, "kary:256");
        let killed = s(100) + Duration::from_millis(late);
        overlay.advance(killed, &mut Median);
        overlay.kill(killed, 3, &mut Median).expect("it runs");
        overlay.advance(killed + s(10), &mut Median);
        let lost = overlay
            .take_facts()
            .into_iter()
            .find(|(_, fact)| *fact == Fact::Gone(3, Reason::Lost))
            .expect("it is lost")
            .0;
        assert!(lost > killed && lost <= killed + s(2), "killed at {killed:?}, lost at {lost:?}");
        assert_eq!(overlay.status(0).0, Status::Degraded);
        assert_eq!(overlay.status(3).0, Status::Lost);
    }
}

#[test]
fn an_orderly_leave_is_offline_and_exits_0() {
    let mut overlay = running(FluxVersion::V0_88, 4, "kary:256");
    overlay.term(s(100), 2, &mut Median).expect("it runs");
    let facts = facts(&mut overlay, s(110));
    assert!(facts.contains(&Fact::Exited(2, 0)) && facts.contains(&Fact::Gone(2, Reason::Left)), "{facts:?}");
    assert_eq!(states(&overlay), [Status::Partial, Status::Full, Status::Offline, Status::Full]);
    assert!(
        overlay.status_text(s(110), true, false).contains("flux-sample-2: offline administrative shutdown")
    );
}

/// kary:2 of 7: rank 1 has the children 3 and 4 (recording 03b, section 6).
#[test]
fn an_interior_rank_takes_its_subtree_along() {
    let exits = |facts: &[Fact]| -> Vec<(u32, i32)> {
        let exit =
            |fact: &Fact| if let Fact::Exited(rank, code) = fact { Some((*rank, *code)) } else { None };
        facts.iter().filter_map(exit).collect()
    };
    let mut left = running(FluxVersion::V0_61, 7, "kary:2");
    left.term(s(100), 1, &mut Median).expect("it runs");
    assert_eq!(exits(&facts(&mut left, s(110))), [(3, 0), (4, 0), (1, 0)]);

    let mut cut = running(FluxVersion::V0_61, 7, "kary:2");
    cut.disconnect(s(100), 1, &mut Median).expect("it is connected");
    assert_eq!(exits(&facts(&mut cut, s(110))), [(3, 0), (4, 0), (1, 1)]);

    let mut killed = running(FluxVersion::V0_61, 7, "kary:2");
    killed.kill(s(100), 1, &mut Median).expect("it runs");
    assert_eq!(exits(&facts(&mut killed, s(110))), [(1, -9)]);
    use Status::{Degraded, Full, Lost, Offline, Partial};
    assert_eq!(states(&killed), [Degraded, Lost, Full, Lost, Lost, Full, Full]);
    // Headless children exit 1 once their parent is back, and join again when they are started.
    killed.start(s(110), 1, &mut Median).expect("a rank");
    killed.advance(s(112), &mut Median);
    assert_eq!(states(&killed), [Partial, Partial, Full, Offline, Offline, Full, Full]);
    let mut late = exits(&facts(&mut killed, s(130)));
    late.sort_unstable();
    assert_eq!(late, [(3, 1), (4, 1)]);
    for rank in [3, 4] {
        killed.start(s(130), rank, &mut Median).expect("a rank");
    }
    killed.advance(s(140), &mut Median);
    assert_eq!(states(&killed), [Full; 7]);
}

#[test]
fn a_partition_is_noticed_after_the_tcp_timeout() {
    let mut overlay = running(FluxVersion::V0_88, 3, "kary:256");
    overlay.cut(s(100), 2, &mut Median).expect("it runs");
    overlay.advance(s(130), &mut Median);
    let lost = overlay
        .take_facts()
        .into_iter()
        .find(|(_, fact)| *fact == Fact::Gone(2, Reason::Lost))
        .expect("it is lost")
        .0;
    assert!((s(120)..=s(124)).contains(&lost), "{lost:?}");
    assert_eq!(overlay.state(2).map(|(state, _)| state), Some(BrokerState::Run), "the worker does not know");
    overlay.heal(s(130), 2, &mut Median).expect("it runs");
    assert!(facts(&mut overlay, s(140)).contains(&Fact::Exited(2, 1)));
}

#[test]
fn silence_is_torpid_until_it_ends() {
    let mut overlay = running(FluxVersion::V0_88, 4, "kary:256");
    overlay.freeze(s(100), 3, &mut Median).expect("it runs");
    assert_eq!(facts(&mut overlay, s(120)), []);
    assert_eq!(facts(&mut overlay, s(131)), [Fact::Torpid(3)]);
    assert!(overlay.online().contains(3) && overlay.torpid().contains(3));
    assert!(overlay.status_text(s(131), true, false).contains("flux-sample-3: Connection timed out"));
    overlay.thaw(s(140), 3).expect("it runs");
    assert_eq!(facts(&mut overlay, s(200)), [Fact::Responsive(3)]);
    assert!(overlay.torpid().is_empty());
}

/// Part I 7: with a heartbeat of 60 s torpid comes before lost.
#[test]
fn a_slow_heartbeat_makes_the_dead_torpid_first() {
    let mut overlay = running(FluxVersion::V0_88, 4, "kary:256");
    overlay.heartbeat_loaded(s(100), s(60));
    overlay.kill(s(103), 3, &mut Median).expect("it runs");
    overlay.advance(s(200), &mut Median);
    let facts: Vec<(u64, Fact)> =
        overlay.take_facts().into_iter().map(|(time, fact)| (time.as_secs(), fact)).collect();
    assert_eq!(
        facts,
        [(103, Fact::Exited(3, -9)), (130, Fact::Torpid(3)), (160, Fact::Gone(3, Reason::Lost))]
    );
    // Any message finds it sooner.
    let mut overlay = running(FluxVersion::V0_88, 4, "kary:256");
    overlay.heartbeat_loaded(s(100), s(60));
    overlay.kill(s(103), 3, &mut Median).expect("it runs");
    assert!(!overlay.send(s(104), 3, &mut Median) && overlay.send(s(104), 2, &mut Median));
    assert_eq!(overlay.status(3).0, Status::Lost);
}

#[test]
fn the_lead_waits_for_its_quorum_and_the_workers_for_the_lead() {
    let mut overlay = overlay(FluxVersion::V0_61, 4, "kary:256");
    let state = |overlay: &Overlay, rank| overlay.state(rank).map(|(state, _)| state);
    for rank in [1, 2] {
        overlay.start(s(0), rank, &mut Median).expect("a rank");
    }
    overlay.advance(s(1_000), &mut Median);
    assert_eq!(state(&overlay, 1), Some(BrokerState::Join), "a worker waits for the lead without end");
    overlay.start(s(999), 3, &mut Median).expect("a rank");
    overlay.take_facts();
    overlay.term(s(1_000), 3, &mut Median).expect("it runs");
    assert_eq!(facts(&mut overlay, s(1_000)), [Fact::Exited(3, 1)], "it never joined: nothing ends in order");
    overlay.start(s(1_000), 0, &mut Median).expect("a rank");
    overlay.advance(s(2_000), &mut Median);
    // The default quorum is all ranks; one of them is missing.
    assert_eq!(
        (state(&overlay, 0), state(&overlay, 1)),
        (Some(BrokerState::Quorum), Some(BrokerState::Quorum))
    );
    assert_eq!(overlay.online().bare(), "0-2");
    overlay.set_quorum(Quorum::Size(4));
    overlay.start(s(2_000), 3, &mut Median).expect("a rank");
    overlay.advance(s(2_010), &mut Median);
    assert_eq!((state(&overlay, 0), state(&overlay, 3)), (Some(BrokerState::Run), Some(BrokerState::Run)));
}

#[test]
fn a_quorum_is_a_size_since_0_51() {
    let read = |text, version| Quorum::read(text, &Features::of(version));
    assert_eq!(read("2", FluxVersion::V0_61), Ok(Quorum::Size(2)));
    assert_eq!(read("0-1", FluxVersion::V0_50), "0-1".parse().map(Quorum::Ranks).map_err(|_| unreachable!()));
    assert_eq!(
        read("0-1", FluxVersion::V0_61).expect_err("an idset").to_string(),
        "broker.quorum: `0-1` is no number of ranks"
    );
}

#[test]
fn a_lead_that_ends_in_order_ends_all() {
    let mut overlay = running(FluxVersion::V0_61, 3, "kary:256");
    overlay.term(s(100), 0, &mut Median).expect("it runs");
    let facts = facts(&mut overlay, s(120));
    for rank in 0..3 {
        assert!(facts.contains(&Fact::Exited(rank, 0)), "{facts:?}");
    }
    assert_eq!(facts.last(), Some(&Fact::LeadDown(true)));
}

#[test]
fn workers_of_a_killed_lead_stay_until_it_is_back() {
    let mut overlay = running(FluxVersion::V0_61, 3, "kary:256");
    overlay.kill(s(100), 0, &mut Median).expect("it runs");
    assert_eq!(facts(&mut overlay, s(1_000)), [Fact::Exited(0, -9), Fact::LeadDown(false)]);
    overlay.start(s(1_000), 0, &mut Median).expect("a rank");
    let facts = facts(&mut overlay, s(1_020));
    assert!(facts.contains(&Fact::Exited(1, 1)) && facts.contains(&Fact::Exited(2, 1)), "{facts:?}");
}

#[test]
fn hosts_and_versions_are_checked() {
    let mut newer = running(FluxVersion::V0_88, 3, "kary:256");
    let refused = newer.stranger(2, "flux-sample-1", FluxVersion::V0_88).expect_err("another host");
    let said = "rejecting connection from flux-sample-1 (rank 2): flux-sample-2 is configured as rank 2: mismatched config?";
    assert_eq!(refused.to_string(), said);
    let refused = newer.stranger(2, "flux-sample-2", FluxVersion::V0_61).expect_err("another version");
    assert_eq!(refused.to_string(), "client (0.61.2) version mismatched with server (0.88.0)");
    let mut older = running(FluxVersion::V0_61, 3, "kary:256");
    assert_eq!(older.stranger(2, "flux-sample-1", FluxVersion::V0_61), Ok(()), "0.61 does not look at hosts");
    let refused = older.start(s(100), 3, &mut Median).expect_err("no such rank");
    assert_eq!(refused.to_string(), "rank 3 is not in the instance: its ranks are 0-2");
    assert_eq!(older.disconnect(s(100), 0, &mut Median), Err(Refused::NotConnected(0)));
}

/// Half of the draws fall below the median.
#[test]
fn a_spread_keeps_its_median() {
    struct Fixed(f64);
    impl Draw for Fixed {
        fn unit(&mut self) -> f64 {
            self.0
        }
    }
    let spread = Spread::ms(10, 20, 100);
    let drawn: Vec<u128> =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|unit| spread.draw(&mut Fixed(unit)).as_millis()).to_vec();
    assert_eq!(drawn, [10, 15, 20, 60, 100]);
}

/// A deed at some time after the last one.
#[derive(Clone, Debug)]
enum Deed {
    Start(u32),
    Kill(u32),
    Term(u32),
    Freeze(u32),
    Thaw(u32),
    Cut(u32),
    Heal(u32),
    Disconnect(u32),
}

const SIZE: u32 = 9;

fn deeds() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let rank = 0..SIZE;
    let deed = prop_oneof![
        3 => rank.clone().prop_map(Deed::Start),
        1 => rank.clone().prop_map(Deed::Kill),
        1 => rank.clone().prop_map(Deed::Term),
        1 => rank.clone().prop_map(Deed::Freeze),
        1 => rank.clone().prop_map(Deed::Thaw),
        1 => rank.clone().prop_map(Deed::Cut),
        1 => rank.clone().prop_map(Deed::Heal),
        1 => rank.prop_map(Deed::Disconnect),
    ];
    prop::collection::vec((0_u64..4_000, deed), 0..60)
}

/// What a reader can conclude of a rank from the ranks below it.
fn concluded(overlay: &Overlay, topology: Topology, rank: u32) -> Status {
    let below: Vec<Status> =
        topology.children(rank, overlay.size()).map(|child| overlay.status(child).0).collect();
    if below.iter().any(|status| matches!(status, Status::Lost | Status::Degraded)) {
        Status::Degraded
    } else if below.iter().any(|status| matches!(status, Status::Offline | Status::Partial)) {
        Status::Partial
    } else {
        Status::Full
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_story_leaves_the_overlay_consistent(deeds in deeds(), flat in any::<bool>()) {
        let topology = if flat { Topology::Flat } else { Topology::Kary(2) };
        let mut overlay = overlay(FluxVersion::V0_61, SIZE, &topology.to_string());
        overlay.set_quorum(Quorum::Size(1));
        let mut now = Instant::ZERO;
        for (pause, deed) in deeds {
            now += Duration::from_millis(pause);
            overlay.advance(now, &mut Median);
            prop_assert!(overlay.next_time().is_none_or(|next| next > now));
            // Whether a deed is possible is for the overlay to say.
            let _ = match deed {
                Deed::Start(rank) => overlay.start(now, rank, &mut Median),
                Deed::Kill(rank) => overlay.kill(now, rank, &mut Median),
                Deed::Term(rank) => overlay.term(now, rank, &mut Median),
                Deed::Freeze(rank) => overlay.freeze(now, rank, &mut Median),
                Deed::Thaw(rank) => overlay.thaw(now, rank),
                Deed::Cut(rank) => overlay.cut(now, rank, &mut Median),
                Deed::Heal(rank) => overlay.heal(now, rank, &mut Median),
                Deed::Disconnect(rank) => overlay.disconnect(now, rank, &mut Median),
            };
            for rank in 0..SIZE {
                let status = overlay.status(rank).0;
                if !matches!(status, Status::Lost | Status::Offline) {
                    prop_assert_eq!(status, concluded(&overlay, topology, rank), "rank {}", rank);
                }
                if overlay.online().contains(rank) {
                    let above = topology.parent(rank).is_none_or(|parent| overlay.online().contains(parent));
                    prop_assert!(above, "rank {} is online below a rank that is not", rank);
                }
            }
            prop_assert!(overlay.torpid().is_subset(overlay.online()));
        }
        // Nothing goes on for ever, and in the end nobody who is awake believes in the dead.
        for rank in 0..SIZE {
            let _ = overlay.thaw(now, rank);
        }
        overlay.advance(now + s(1_000), &mut Median);
        prop_assert_eq!(overlay.next_time(), None);
        for rank in overlay.online().iter() {
            prop_assert!(overlay.state(rank).is_some(), "rank {} is online and has no process", rank);
        }
    }
}

/// recordings/kind, extra-lead-pod-deleted-U: a lead to which nobody ever came is there itself.
#[test]
fn a_lonely_lead_is_partial() {
    for (size, expected) in [(4, Status::Partial), (1, Status::Full)] {
        let mut overlay = overlay(FluxVersion::V0_88, size, "kary:256");
        overlay.start(Instant::ZERO, 0, &mut Median).expect("the lead");
        assert_eq!(overlay.status(0).0, expected);
    }
}
