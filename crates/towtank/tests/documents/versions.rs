//! `docs/kubernetes-versions.md`.

use std::fmt::Write as _;
use std::fs;

use towtank_model::version::KubernetesVersion;
use towtank_reference::drivers::Drivers;

use crate::{Sight, is_current, root};

/// One row: a behaviour, and where it is seen.
struct Behaviour {
    what: &'static str,
    sight: Sight,
}

const fn row(
    what: &'static str,
    scenario: &'static str,
    step: &'static str,
    seen: &'static str,
) -> Behaviour {
    Behaviour { what, sight: Sight { scenario, step, seen } }
}

const BEHAVIOURS: &[Behaviour] = &[
    row(
        "completions of an Indexed Job can change (ElasticIndexedJob), and no gang forbids it (WorkloadWithJob)",
        "jobs/elastic-scale-up",
        "grow to four",
        "job.completions == 4 && job.active == 4",
    ),
    row(
        "`podFailurePolicy` (JobPodFailurePolicy)",
        "jobs/pod-failure-policy-fails-job",
        "the pod ends with code 5",
        "job.failedReason == \"PodFailurePolicy\"",
    ),
    row("`status.ready` (JobReadyPods)", "jobs/e2e-ready-counts-running-pods", "resume", "job.ready == 2"),
    row(
        "`backoffLimitPerIndex` (JobBackoffLimitPerIndex)",
        "jobs/backoff-limit-per-index-by-version",
        "index 0 fails",
        "job.failedIndexes == \"0\"",
    ),
    row(
        "`podReplacementPolicy` (JobPodReplacementPolicy)",
        "jobs/replacement-policy-by-version",
        "delete a pod",
        "now > 30.0 && pods.size() == 2",
    ),
    row(
        "`status.terminating`",
        "jobs/replacement-policy-by-version",
        "delete a pod",
        "job.terminating != null && job.terminating == 1",
    ),
    row(
        "`successPolicy` (JobSuccessPolicy)",
        "jobs/success-policy-by-version",
        "index 0 succeeds",
        "job.conditions.exists(c, c.reason == \"SuccessPolicy\")",
    ),
    row(
        "`managedBy` (JobManagedBy)",
        "jobs/managed-by-by-version",
        "create",
        "now > 30.0 && pods.size() == 0",
    ),
    row(
        "strict validation of status writes (JobManagedBy): succeeded may not fall while parallelism and completions differ",
        "track-record/parallelism-alone-after-a-shrink-stops-all-status-writes",
        "lower parallelism alone",
        "job.succeeded == 2 && now > 3600.0",
    ),
    row(
        "interim conditions FailureTarget and SuccessCriteriaMet for all Jobs; the end waits for terminating pods",
        "jobs/end-of-a-job-by-version",
        "shrink to what is done",
        "job.conditions.exists(c, c.type == \"SuccessCriteriaMet\") && !job.complete && now > 30.0",
    ),
    row(
        "Complete says why: CompletionsReached",
        "jobs/end-of-a-job-by-version",
        "shrink to what is done",
        "job.conditions.exists(c, c.type == \"Complete\" && c.reason == \"CompletionsReached\")",
    ),
    row(
        "the sync that deletes pods reports them at once in ready and terminating (#125175, #125185)",
        "jobs/end-of-a-job-by-version",
        "shrink to what is done",
        "job.succeeded == 1 && job.active == 0 && job.ready == 0",
    ),
    row(
        "a refused write is tried again after 1 s (10 s before 1.28)",
        "jobs/refused-status-write-is-tried-again",
        "the pod succeeds, and the write that says so is refused",
        "job.complete && now < 12.2",
    ),
    row(
        "a pod is replaced before it has ended in spite of a `podFailurePolicy`",
        "track-record/shrink-with-terminating-pods-deletes-no-more-than-asked",
        "two are deleted and do not end",
        "pods.size() > 4",
    ),
    row(
        "terminating pods count towards what a shrink removes (#121147)",
        "track-record/shrink-with-terminating-pods-deletes-no-more-than-asked",
        "less parallelism",
        "job.active == 0",
    ),
    row(
        "resuming breaks the status (#134521)",
        "track-record/resumed-job-goes-on-counting",
        "resume",
        "!job.suspend && job.suspended && now > 14.0",
    ),
    row(
        "suspended with no completions cannot finish (#132144)",
        "track-record/suspended-job-of-no-completions-finishes",
        "create",
        "!job.complete && now > 4.0",
    ),
    row(
        "active is 0 during the back-off (#139457)",
        "folklore/24-active-may-read-0-while-pods-run",
        "index 0 fails while the others are not ready",
        "job.active == 0 && pods.filter(p, p.phase == \"Pending\").size() == 2",
    ),
    row(
        "and that is refused where pods are ready",
        "folklore/24-active-may-read-0-while-pods-run",
        "index 1 fails while the others are ready",
        "job.failed == 1 && now > 14.0",
    ),
    row(
        "a Job that is finished but not yet seen to be is skipped (#130333)",
        "track-record/finished-job-not-yet-seen-gets-another-pod",
        "the pod succeeds",
        "now > 300.0 && pods.size() == 1",
    ),
    row(
        "`startTime` is cleared on suspend",
        "jobs/resume-restarts-the-clock",
        "suspend",
        "job.startTime == null",
    ),
    row(
        "the deadline starts again on resume even when it has passed",
        "folklore/35-a-job-suspended-for-longer-than-its-deadline-fails-when-it-is-resumed",
        "resume",
        "job.active == 1",
    ),
    row(
        "a suspended Job that is done can finish",
        "folklore/21-a-suspended-job-can-complete",
        "shrink to what is done",
        "job.complete && job.suspend",
    ),
    row(
        "an update of the status alone waits one second",
        "jobs/e2e-ready-counts-running-pods",
        "resume",
        "job.ready == 0 && pods.size() == 2 && pods.all(p, p.ready)",
    ),
    row(
        "20 calls a second after a burst of 30, where the client is limited so",
        "jobs/client-limit-spreads-creations",
        "create",
        "now > 3.9 && pods.size() < 110",
    ),
    row(
        "a sync that is capped at 500 pods writes all new indexes",
        "jobs/capped-sync-writes-all-indexes",
        "all complete",
        "job.succeeded == 510 && pods.filter(p, p.finalizer).size() == 10",
    ),
    row(
        "scheduling directives can change in a suspended Job that has run (MutableSchedulingDirectivesForSuspendedJobs)",
        "jobs/node-selector-changes-in-suspended-started-job",
        "select another node while it is suspended",
        "job.suspend && job.generation == 3",
    ),
    row(
        "resources can change in a suspended Job (MutablePodResourcesForSuspendedJobs)",
        "jobs/pod-resources-change-by-version",
        "ask for less",
        "job.generation == 2",
    ),
    row(
        "the controller waits until it sees its own writes (StaleControllerConsistencyJob)",
        "track-record/succeeded-pod-is-repeated-while-the-job-is-stale",
        "a pod succeeds",
        "now > 100.0 && pods.size() == 2",
    ),
    row(
        "pods of a deleted Job are freed by selector, once",
        "track-record/one-failed-patch-leaves-a-pod-of-a-deleted-job-for-ever",
        "the Job is deleted",
        "now > 7000.0 && pods.exists(p, p.deleting && p.finalizer)",
    ),
    row(
        "an index that left the range uncounted is kept by a stale pod cache",
        "jobs/freed-index-is-kept-by-a-stale-pod-cache",
        "grow",
        "job.completedIndexes == \"1\"",
    ),
    row(
        "`backoffLimit` defaults to 2147483647 beside `backoffLimitPerIndex`, even where that is dropped",
        "jobs/backoff-limit-per-index-by-version",
        "create",
        "job.backoffLimit == 2147483647",
    ),
];

const HEAD: &str = "\
# What differs between versions

Written by `cargo xtask docs` from runs; a test compares. A cell is ● when the behaviour is seen in the scenario of its row, ○ when the same scenario is played and does not show it, and – when the scenario is not true of the version.

";

#[test]
fn the_version_table_is_what_the_runs_show() {
    let mut drivers = Drivers::default();
    let mut text = HEAD.to_owned();
    text.push_str("| behaviour |");
    for version in KubernetesVersion::all() {
        let _ = write!(text, " {version} |");
    }
    text.push_str(" proven by |\n| --- |");
    text.push_str(&" :-: |".repeat(KubernetesVersion::all().count()));
    text.push_str(" --- |\n");
    for Behaviour { what, sight } in BEHAVIOURS {
        let _ = write!(text, "| {what} |");
        for (_, cell) in sight.cells(&mut drivers) {
            text.push_str(match cell {
                Some(true) => " ● |",
                Some(false) => " ○ |",
                None => " – |",
            });
        }
        let _ = writeln!(text, " {} |", sight.link());
    }
    let notes = include_str!("notes.md");
    let _ = write!(text, "\n{notes}");
    is_current("kubernetes-versions.md", &text);
}

/// The notes are written by hand; what they name is there.
#[test]
fn the_notes_name_scenarios_that_exist() {
    let mut named = 0;
    for link in include_str!("notes.md").split("](").skip(1) {
        let target = link.split(')').next().unwrap_or_default();
        let file = target.strip_prefix("../").unwrap_or_else(|| panic!("{target} is not a file of ours"));
        assert!(fs::exists(root().join(file)).unwrap_or(false), "{file} does not exist");
        named += 1;
    }
    assert!(named >= 15, "{named} files named");
}
