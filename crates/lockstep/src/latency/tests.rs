//! Phases of traces that were written by hand.

use super::*;

fn at(ms: u64, seen: Seen) -> Sighting {
    Sighting { at: Time::from_millis(ms), seen }
}

fn minicluster(ms: u64, size: i64, status: i64) -> Sighting {
    at(ms, Seen::MiniCluster { size, told: status, ready: status })
}

fn job(ms: u64, [parallelism, active, ready, terminating]: [i64; 4]) -> Sighting {
    at(ms, Seen::Job { parallelism, active, ready, terminating })
}

fn pod(ms: u64, uid: u64, steps: &str) -> Sighting {
    let has = |step| steps.contains(step);
    let seen = PodSeen {
        is_bound: has('b'),
        has_run: has('r'),
        is_ready: has('y'),
        is_told: has('t'),
        has_ended: has('e'),
    };
    at(ms, Seen::Pod(uid, seen))
}

/// One pod is there; two more come, and then one of them goes.
fn story() -> Vec<Sighting> {
    vec![
        minicluster(0, 1, 0),
        job(1, [1, 0, 0, 0]),
        pod(2, 0, "bry"),
        at(3, Seen::Online(1)),
        job(4, [1, 1, 1, 0]),
        minicluster(5, 1, 1),
        // Growing.
        minicluster(1_000, 3, 1),
        job(1_010, [3, 1, 1, 0]),
        pod(1_020, 1, ""),
        pod(1_022, 2, ""),
        pod(1_030, 1, "b"),
        pod(1_033, 2, "b"),
        pod(1_040, 1, "br"),
        pod(1_047, 2, "br"),
        at(1_048, Seen::Online(2)),
        pod(1_050, 1, "bry"),
        at(1_058, Seen::Online(3)),
        pod(1_060, 2, "bry"),
        job(2_020, [3, 3, 1, 0]),
        job(2_030, [3, 3, 3, 0]),
        minicluster(2_035, 3, 3),
        // Something that belongs to no change.
        pod(2_500, 0, "bry"),
        // Shrinking.
        minicluster(3_000, 2, 3),
        job(3_008, [2, 3, 3, 0]),
        pod(3_020, 2, "bryt"),
        at(3_100, Seen::Online(2)),
        pod(3_150, 2, "brte"),
        job(3_160, [2, 2, 2, 1]),
        at(3_190, Seen::Gone(2)),
        job(4_160, [2, 2, 2, 0]),
        minicluster(4_170, 2, 2),
    ]
}

#[test]
fn phases_of_growing_go_from_one_milestone_to_the_next() {
    let operations = operations(&story());
    assert_eq!(operations.iter().map(Operation::name).collect::<Vec<_>>(), ["0→1", "1→3", "3→2"]);
    let grown = &operations[1];
    assert_eq!(grown.pods, [vec![20.0, 30.0, 40.0, 50.0], vec![22.0, 33.0, 47.0, 60.0]]);
    assert_eq!(
        grown.phases(),
        [
            ("Job patched", 10.0),
            ("pods created", 12.0),
            ("pods scheduled", 11.0),
            ("pods running", 14.0),
            ("brokers online", 11.0),
            ("pods ready", 2.0),
            ("status settled", 975.0),
            (WHOLE, 1_035.0),
        ]
    );
}

#[test]
fn phases_of_shrinking_are_those_of_the_pods_that_go() {
    let operations = operations(&story());
    assert_eq!(operations[2].pods, [vec![20.0, 150.0, 190.0]]);
    assert_eq!(
        operations[2].phases(),
        [
            ("Job patched", 8.0),
            ("pods told to go", 12.0),
            ("brokers offline", 80.0),
            ("pods ended", 50.0),
            ("pods gone", 40.0),
            ("status settled", 980.0),
            (WHOLE, 1_170.0),
        ]
    );
}

#[test]
fn what_has_not_come_to_its_end_is_no_operation() {
    let story = story();
    let before_the_last = &story[..story.len() - 1];
    assert_eq!(operations(before_the_last).len(), 2);
    // Its end counts from the last change.
    let mut hasty = before_the_last.to_vec();
    hasty.extend([minicluster(4_165, 3, 2), minicluster(4_200, 2, 2)]);
    assert_eq!(operations(&hasty).len(), 2, "no pod came or went since then");
}

#[test]
fn a_pod_that_is_deleted_at_once_ends_when_it_goes() {
    let mut story = story();
    story.retain(|sighting| !matches!(sighting.seen, Seen::Pod(2, PodSeen { is_told: true, .. })));
    assert_eq!(operations(&story)[2].pods, [vec![190.0, 190.0, 190.0]]);
}

#[test]
fn times_are_kept_to_a_tenth_of_a_millisecond() {
    assert_eq!(milliseconds(Duration::from_micros(1_149)), 1.1);
}

#[test]
fn who_has_not_ended_within_the_grace_period_is_told() {
    let shrunk = |ended: f64| Operation {
        from: 4,
        to: 3,
        patched: 10.0,
        pods: vec![vec![30.0, 150.0, 158.0], vec![40.0, ended, ended + 8.0]],
        online: 140.0,
        settled: 31_000.0,
    };
    assert!(!shrunk(30_039.0).outlasts_grace_period());
    assert!(shrunk(30_040.0).outlasts_grace_period());
    assert!(!Operation { from: 3, to: 4, ..shrunk(40_000.0) }.outlasts_grace_period(), "it starts");
}
