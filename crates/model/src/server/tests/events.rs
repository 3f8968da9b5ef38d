//! Events as client-go's `TestEventCorrelator` has them.

use super::*;

fn draft(message: impl Into<String>) -> EventDraft {
    EventDraft { job: Uid(0), is_warning: false, reason: "SuccessfulCreate".into(), message: message.into() }
}

fn counts(server: &Server) -> Vec<(u32, &str)> {
    server.events().iter().map(|event| (event.count, event.draft.message.as_str())).collect()
}

#[test]
fn equal_events_count_up() {
    let mut server = server(36);
    for secs in [1, 2, 3] {
        server.record(Time::from_secs(secs), Actor::JobController, draft("Created pod: a"));
    }
    server.record(Time::from_secs(4), Actor::User, draft("Created pod: a"));
    assert_eq!(counts(&server), [(3, "Created pod: a"), (1, "Created pod: a")]);
    let first = &server.events()[0];
    assert_eq!((first.first_time, first.last_time), (Time::from_secs(1), Time::from_secs(3)));
}

#[test]
fn ten_similar_events_are_combined_and_25_are_the_limit() {
    let mut server = server(36);
    for pod in 0..30 {
        server.record(Time::from_secs(1), Actor::JobController, draft(format!("Created pod: {pod}")));
    }
    let seen = counts(&server);
    assert_eq!(seen.len(), 10);
    assert!(seen[..9].iter().all(|&(count, _)| count == 1));
    assert_eq!(
        seen[9],
        (16, "(combined from similar events): Created pod: 24"),
        "the burst ends with the 25th"
    );
    // One more every five minutes; the count knows of those that were held back.
    server.record(Time::from_secs(301), Actor::JobController, draft("Created pod: 30"));
    assert_eq!(counts(&server)[9], (22, "(combined from similar events): Created pod: 30"));
    // Ten quiet minutes later the next is an event of its own.
    server.record(Time::from_secs(902), Actor::JobController, draft("Created pod: 31"));
    assert_eq!(counts(&server)[10], (1, "Created pod: 31"));
}

/// Since 1.32 warnings have a budget of their own.
#[test]
fn budgets() {
    for (minor, warnings) in [(31, 0), (32, 1)] {
        let mut server = server(minor);
        for _ in 0..25 {
            server.record(Time::ZERO, Actor::JobController, draft("Created pod: a"));
        }
        server.record(
            Time::ZERO,
            Actor::JobController,
            EventDraft { is_warning: true, ..draft("Error creating: x") },
        );
        assert_eq!(
            server.events().iter().filter(|event| event.draft.is_warning).count(),
            warnings,
            "1.{minor}"
        );
    }
}

#[test]
fn the_oldest_events_are_dropped() {
    let mut server = server(36);
    let jobs = u32::try_from(EVENTS_MAX).unwrap() * 2 + 5;
    for job in 0..jobs {
        server.record(Time::ZERO, Actor::JobController, EventDraft { job: Uid(job), ..draft("x") });
        assert!(server.events().len() <= EVENTS_MAX);
    }
    assert_eq!(server.events().len(), EVENTS_MAX);
    assert_eq!(server.events()[EVENTS_MAX - 1].draft.job, Uid(jobs - 1));
    // What was kept still counts up, what was dropped starts again.
    server.record(Time::ZERO, Actor::JobController, EventDraft { job: Uid(jobs - 1), ..draft("x") });
    server.record(Time::ZERO, Actor::JobController, EventDraft { job: Uid(0), ..draft("x") });
    let last: Vec<u32> = server.events()[EVENTS_MAX - 2..].iter().map(|event| event.count).collect();
    assert_eq!(last, [2, 1]);
}
