//! Why the model does not agree with a recorded command: every one has a reason, or the replay fails.

use crate::world::{Kind, Note};

/// Part of the fixture's name, part of the command, reason.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "03b-leave-more",
        "flux job eventlog j3",
        "the event memo of a sub-instance says where on the rig it can be reached",
    ),
    ("06-seed003-state", "flux jobs -a", "asked in the same hundredth of a second in which the job ended"),
    (
        "0.61.2/04-sched-fluxion-fcfs",
        "flux jobs -a",
        "several jobs ended within 0.1 s under load; which first decides the next nodes",
    ),
    ("04-sched-fluxion", "flux jobs", "asked within 0.1 s of a job that starts or ends"),
    (
        "04-sched-fluxion-hybrid",
        "flux resource eventlog",
        "the lead needed 5 s from loading its modules to being online",
    ),
    ("05-jobids", "flux jobs", "two jobs of one scheduling pass ended within a millisecond"),
];

/// The reason of a disagreement.
pub(crate) fn reason(fixture: &str, note: &Note) -> Option<&'static str> {
    match note.kind {
        Kind::Unknown => Some("not in the model"),
        Kind::Skipped => Some("shows the rig, see stories.txt"),
        Kind::Differs => {
            let fits =
                |(name, line, _): &&(&str, &str, &str)| fixture.contains(name) && note.line.contains(line);
            REASONS.iter().find(fits).map(|(_, _, reason)| *reason)
        }
    }
}
