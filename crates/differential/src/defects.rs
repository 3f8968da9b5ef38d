//! Known defects of the real controller, each with a model that does not know of it, and the sign by which it is seen.

use std::collections::BTreeSet;

use towtank_explore::story::Story;
use towtank_lockstep::trace_text::TraceLine;
use towtank_model::objects::CompletionMode;
use towtank_model::version::{Features, KubernetesVersion};

/// A defect that a search can find.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// What it is called here.
    pub name: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// Minor version that has it.
    minor: u16,
    /// Makes a model that does not know of it.
    forget: fn(&mut Features),
    /// Whether it, and not only something else that the switch governs, shows in what the real controller wrote (first)
    /// and the model that does not know of it would have written (second).
    shows: fn(&Story, &[TraceLine], &[TraceLine]) -> bool,
}

impl Defect {
    /// A version that has it.
    pub fn version(&self) -> KubernetesVersion {
        KubernetesVersion::from_minor(self.minor).unwrap_or(KubernetesVersion::NEWEST)
    }

    /// The version without the defect.
    pub(crate) fn unaware(&self) -> Features {
        let mut features = Features::of(self.version());
        (self.forget)(&mut features);
        features
    }

    pub(crate) fn shows(&self, story: &Story, real: &[TraceLine], unaware: &[TraceLine]) -> bool {
        (self.shows)(story, real, unaware)
    }
}

/// All of them, those last that are hard to find. The last patch releases have none of those that were mended within a minor version.
pub const DEFECTS: [Defect; 13] = [
    Defect {
        name: "completed-index-again",
        what: "a completed index gets a second pod while the controller has not seen its own status write",
        minor: 35,
        forget: |features| features.read_own_writes = true,
        shows: |story, real, unaware| {
            story.job.completion_mode == Some(CompletionMode::Indexed) && repeats(real) > repeats(unaware)
        },
    },
    Defect {
        name: "success-again",
        what: "the same without indexes: more pods than successes are wanted",
        minor: 35,
        forget: |features| features.read_own_writes = true,
        shows: |story, real, unaware| {
            let is_wanted = |lines| count(lines, "pod story/#", "→Succeeded") > 0;
            story.job.completion_mode != Some(CompletionMode::Indexed)
                && story.job.completions.is_some()
                && is_wanted(real)
                && more(real, unaware, "create pod story/#", "")
        },
    },
    Defect {
        name: "finished-job-gets-a-pod",
        what: "a Job that is finished, but not yet seen to be, gets another pod",
        minor: 33,
        forget: |features| features.skips_finished_unseen = true,
        shows: |_, real, unaware| created_after_the_end(real) > created_after_the_end(unaware),
    },
    Defect {
        name: "recreated-job-waits",
        what: "a Job recreated under its name waits up to five minutes for events of its predecessor",
        minor: 36,
        forget: |features| features.expectations_outlive_job = false,
        shows: |_, real, _| count(real, "create job story", "") > 1,
    },
    Defect {
        name: "active-reads-0",
        what: "`status.active` is 0 during the back-off, though pods run",
        minor: 35,
        forget: |features| features.active_zero_in_backoff = false,
        shows: |_, real, unaware| more(real, unaware, "status job story", "→0, "),
    },
    Defect {
        name: "active-0-is-refused",
        what: "and where pods are ready, that 0 is refused: nothing is counted until the back-off is over",
        minor: 35,
        forget: |features| features.active_zero_in_backoff = false,
        shows: |_, real, unaware| {
            more(real, unaware, "status story refused", "cannot set more ready pods than active")
        },
    },
    Defect {
        name: "suspended-job-cannot-finish",
        what: "a suspended Job whose completions are done cannot finish: its `startTime` has been cleared",
        minor: 36,
        forget: |features| features.clears_start_time_on_suspend = false,
        shows: |_, real, unaware| {
            more(real, unaware, "status story refused", "startTime is required for finished job")
        },
    },
    Defect {
        name: "deadline-passes-while-suspended",
        what: "a Job that was suspended for longer than its deadline fails in the instant it is resumed",
        minor: 35,
        forget: |features| features.clears_start_time_on_suspend = true,
        shows: |_, real, unaware| more(real, unaware, "status job story", "(DeadlineExceeded)"),
    },
    Defect {
        name: "pod-of-a-deleted-job-stays",
        what: "one failed patch leaves a pod of a deleted Job terminating for ever",
        minor: 36,
        forget: |features| features.orphan_selector_key = false,
        shows: |_, real, unaware| more(unaware, real, "update pod story/", "tracking finalizer taken off"),
    },
    Defect {
        name: "late-failure-ends-back-off",
        what: "a failure that becomes known late overwrites the time of a newer one, and there is no back-off",
        minor: 36,
        forget: |features| features.late_failure_is_newest = false,
        shows: |_, _, _| true,
    },
    Defect {
        name: "removed-pod-fails-the-job",
        what: "a pod that a shrink has removed, and that does not count, fails the Job by the pod failure policy",
        minor: 36,
        forget: |features| features.removed_pods_fail_job = false,
        shows: |_, real, unaware| more(real, unaware, "status job story", "(PodFailurePolicy)"),
    },
    Defect {
        name: "status-writes-stop",
        what: "a shrink below what has completed, and then less parallelism alone, stop all status writes",
        minor: 36,
        forget: |features| features.strict_status_validation = false,
        shows: |_, real, unaware| {
            more(real, unaware, "status story refused", "cannot decrease the succeeded counter")
        },
    },
    Defect {
        name: "pod-counts-twice",
        what: "a pod is counted twice when its event comes while a sync waits for an adoption",
        minor: 35,
        forget: |features| features.read_own_writes = true,
        shows: |_, real, unaware| {
            let is_excessive = |lines| counted_successes(lines) > count(lines, "", "→Succeeded");
            is_excessive(real) && !is_excessive(unaware)
        },
    },
];

/// Lines with these two texts in them.
fn count(lines: &[TraceLine], one: &str, other: &str) -> usize {
    lines.iter().filter(|line| line.text.contains(one) && line.text.contains(other)).count()
}

/// The one has more such lines than the other.
fn more(one: &[TraceLine], other: &[TraceLine], first: &str, second: &str) -> bool {
    count(one, first, second) > count(other, first, second)
}

/// Pods that were created although one of their index had succeeded.
fn repeats(lines: &[TraceLine]) -> usize {
    let mut succeeded = BTreeSet::new();
    let mut repeats = 0;
    for line in lines {
        let Some((verb, pod)) = line.text.split_once(" pod ") else { continue };
        let Some((index, rest)) = pod.split_once('#') else { continue };
        if rest.contains("→Succeeded") {
            succeeded.insert(index);
        } else if verb == "create" && succeeded.contains(index) {
            repeats += 1;
        }
    }
    repeats
}

/// Pods of the Job that were created after its end.
fn created_after_the_end(lines: &[TraceLine]) -> usize {
    let is_end = |line: &TraceLine| {
        line.text.starts_with("status job story")
            && (line.text.contains("Complete=True") || line.text.contains("Failed=True"))
    };
    let is_next = |line: &&TraceLine| !line.text.starts_with("create job story");
    let after = lines.iter().skip_while(|line| !is_end(line)).take_while(is_next);
    after.filter(|line| line.text.starts_with("create pod story/")).count()
}

/// The most that `succeeded` has ever been.
fn counted_successes(lines: &[TraceLine]) -> usize {
    let counted = lines.iter().filter_map(|line| {
        let after = line.text.strip_prefix("status job story")?.split_once("succeeded ")?.1;
        after.split_once('→')?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    counted.max().unwrap_or(0)
}
