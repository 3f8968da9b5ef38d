//! `docs/track-record.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use towtank_reference::drivers::Drivers;

use crate::{Sight, is_current, ranges, root};

/// A defect of the original.
struct Defect {
    what: &'static str,
    report: &'static str,
    sight: Sight,
    /// What it is called where random stories find it.
    hunt: Option<&'static str>,
}

const NO_REPORT: &str = "none that we know";

const fn defect(
    what: &'static str,
    report: &'static str,
    scenario: &'static str,
    step: &'static str,
    seen: &'static str,
) -> Defect {
    Defect { what, report, sight: Sight { scenario, step, seen }, hunt: None }
}

impl Defect {
    const fn found_by(self, hunt: &'static str) -> Self {
        Self { hunt: Some(hunt), ..self }
    }
}

const DEFECTS: &[Defect] = &[
    defect(
        "a completed index gets a second pod while the controller has not yet seen its own status write",
        "#130103, #137210",
        "folklore/28-a-stale-job-cache-can-give-a-completed-index-a-second-pod",
        "index 0 completes",
        "pods.exists(p, p.index == 0 && p.incarnation == 2)",
    )
    .found_by("completed-index-again"),
    defect(
        "the same without indexes: two completions, two successes wanted, and a third pod",
        "KEP-5647, #137210",
        "track-record/succeeded-pod-is-repeated-while-the-job-is-stale",
        "a pod succeeds",
        "pods.size() == 3",
    )
    .found_by("success-again"),
    defect(
        "a Job that is finished, but not yet seen to be, gets another pod",
        "#130333",
        "track-record/finished-job-not-yet-seen-gets-another-pod",
        "the pod succeeds",
        "job.complete && pods.size() == 2",
    )
    .found_by("finished-job-gets-a-pod"),
    defect(
        "a Job recreated under its name waits up to five minutes for events of its predecessor",
        "#131917, #142142",
        "track-record/recreated-job-waits-for-pods-of-its-predecessor",
        "recreate it at once",
        "now > 200.0 && pods.size() <= 2 && pods.all(p, p.incarnation == 1)",
    )
    .found_by("recreated-job-waits"),
    defect(
        "`status.active` is 0 during the back-off, though pods run",
        "#139457",
        "folklore/24-active-may-read-0-while-pods-run",
        "index 0 fails while the others are not ready",
        "job.active == 0 && pods.filter(p, p.phase == \"Pending\").size() == 2",
    )
    .found_by("active-reads-0"),
    defect(
        "and where pods are ready, that 0 is refused: nothing is counted until the back-off is over",
        "#139457",
        "folklore/24-active-may-read-0-while-pods-run",
        "index 1 fails while the others are ready",
        "job.failed == 1 && now > 14.0",
    )
    .found_by("active-0-is-refused"),
    defect(
        "a shrink below what has completed, and then less parallelism alone, stop all status writes",
        NO_REPORT,
        "track-record/parallelism-alone-after-a-shrink-stops-all-status-writes",
        "lower parallelism alone",
        "job.succeeded == 2 && now > 3600.0",
    )
    .found_by("status-writes-stop"),
    defect(
        "a suspended Job whose completions are done cannot finish: its `startTime` has been cleared",
        NO_REPORT,
        "folklore/21-a-suspended-job-can-complete",
        "shrink to what is done",
        "!job.complete && now > 300.0 && job.suspend",
    )
    .found_by("suspended-job-cannot-finish"),
    defect(
        "a Job that was suspended for longer than its deadline fails in the instant it is resumed",
        NO_REPORT,
        "folklore/35-a-job-suspended-for-longer-than-its-deadline-fails-when-it-is-resumed",
        "resume",
        "job.failedReason == \"DeadlineExceeded\" && now < 64.0",
    )
    .found_by("deadline-passes-while-suspended"),
    defect(
        "one failed patch leaves a pod of a deleted Job terminating for ever",
        NO_REPORT,
        "track-record/one-failed-patch-leaves-a-pod-of-a-deleted-job-for-ever",
        "the Job is deleted",
        "now > 7000.0 && pods.exists(p, p.deleting && p.finalizer)",
    )
    .found_by("pod-of-a-deleted-job-stays"),
    defect(
        "a pod is counted twice when its event comes while a sync waits for an adoption",
        NO_REPORT,
        "track-record/pod-is-counted-twice-during-an-adoption",
        "it sees them again",
        "job.succeeded == 2 && pods.filter(p, p.phase == \"Succeeded\").size() == 1",
    )
    .found_by("pod-counts-twice"),
    defect(
        "a failure that becomes known late overwrites the time of a newer one, and there is no back-off",
        NO_REPORT,
        "track-record/back-off-forgets-an-earlier-failure",
        "change the replacement policy",
        "job.failed == 2 && job.active == 2 && now < 70.0",
    )
    .found_by("late-failure-ends-back-off"),
    defect(
        "a pod that a shrink has removed, and that does not count, fails the Job by the pod failure policy",
        NO_REPORT,
        "track-record/pod-removed-by-a-shrink-fails-the-job",
        "the removed pod ends",
        "job.conditions.exists(c, c.reason == \"PodFailurePolicy\")",
    )
    .found_by("removed-pod-fails-the-job"),
    defect(
        "a shrink deletes more pods than asked, for it counts those that terminate already (1.28.0)",
        "#121147",
        "track-record/shrink-with-terminating-pods-deletes-no-more-than-asked",
        "less parallelism",
        "job.active == 0",
    ),
    defect(
        "a suspended Job of no completions cannot finish (first patches of 1.32 and 1.33)",
        "#132144, #132614",
        "track-record/suspended-job-of-no-completions-finishes",
        "create",
        "!job.complete && now > 4.0",
    ),
    defect(
        "the status of a resumed Job is refused for ever (first patches of 1.32 to 1.34)",
        "#134521, #134769",
        "track-record/resumed-job-goes-on-counting",
        "resume",
        "!job.suspend && job.suspended && now > 14.0",
    ),
];

/// Steps that a story of a defect may have.
const STEPS_MAX: usize = 6;

const HEAD: &str = "\
# Defects of the Job controller that a story shows

Written by `cargo xtask docs` from runs; a test compares. A version has a defect when the bad sight is seen in it, and is clean when the same story shows it nowhere. Each story plays in a second in all ten
versions, on the original with `--world reference` (`cargo xtask reference build --all` builds it) and on the model:

```console,ignore
$ cargo towtank run scenarios/track-record --world model --world reference --kubernetes 1.28..1.37
```

The versions are 1.28.15, 1.29.6, 1.30.14, 1.31.14, 1.32.13, 1.33.13, 1.34.4, 1.35.4, 1.36.3 and 1.37.0. Defects that only earlier patches have are seen in none of them; their stories stay, so that they do not
come back.

Random stories find them again, as [hunts.md](hunts.md) tells: `cargo xtask hunt NAME` with the name in the last column tells stories on the original of a version that has the defect, and compares with a model that
does not know of it.

| defect | report | versions that have it | clean | story | hunt |
| --- | --- | --- | --- | --- | --- |
";

#[test]
fn the_track_record_is_what_the_runs_show() {
    let mut drivers = Drivers::default();
    let mut text = HEAD.to_owned();
    let mut commands = String::new();
    for Defect { what, report, sight, hunt } in DEFECTS {
        let cells = sight.cells(&mut drivers);
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        let (bad, good) =
            (or(ranges(&cells, true), "none of the ten"), or(ranges(&cells, false), "none yet"));
        let hunt = hunt.map(|name| format!("`{name}`")).unwrap_or_default();
        let _ = writeln!(text, "| {what} | {report} | {bad} | {good} | {} | {hunt} |", sight.link());
        let command = format!(
            "$ cargo towtank run scenarios/{}.yaml --world reference --kubernetes 1.28..1.37\n",
            sight.scenario
        );
        if !commands.contains(&command) {
            commands.push_str(&command);
        }
    }
    let _ = write!(text, "\nOne by one, on the original:\n\n```console,ignore\n{commands}```\n");
    is_current("track-record.md", &text);
}

#[test]
fn stories_of_defects_are_short() {
    for Defect { sight, .. } in DEFECTS {
        let path = root().join(format!("scenarios/{}.yaml", sight.scenario));
        let scenario = towtank_scenario::load(&path).expect("a scenario");
        let steps = scenario.steps.len();
        assert!(steps <= STEPS_MAX, "{} has {steps} steps", sight.scenario);
    }
}

#[test]
fn defects_that_random_stories_can_find_are_all_in_the_track_record() {
    let known = towtank_differential::defects::DEFECTS.iter().map(|defect| defect.name);
    let told: Vec<_> = DEFECTS.iter().filter_map(|defect| defect.hunt).collect();
    assert_eq!(known.clone().collect::<BTreeSet<_>>(), told.iter().copied().collect());
    assert_eq!(known.count(), told.len());
}
