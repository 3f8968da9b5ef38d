//! Which mutant runs, and what each breaks; only with the cargo feature of this name.

use std::sync::atomic::{AtomicU32, Ordering};

/// The mutant that runs in this process; 0: none.
static SELECTED: AtomicU32 = AtomicU32::new(0);

/// From now on every simulation of this process is that of a mutant, or, with 0, of none.
pub fn select(mutant: u32) {
    SELECTED.store(mutant, Ordering::Relaxed);
}

/// Whether this mutant runs.
pub fn is_selected(mutant: u32) -> bool {
    SELECTED.load(Ordering::Relaxed) == mutant
}

/// Every mutant: its number and the mistake.
pub const MUTANTS: &[(u32, &str)] = &[
    (1, "the delay after a failure has one doubling too many"),
    (2, "a success does not end the back-off"),
    (3, "the end of a container is not taken for the end of its pod"),
    (4, "the delay of an index has one doubling too few"),
    (5, "the end of a delay wakes no Job"),
    (6, "a terminating pod is a failure though only ended pods are replaced"),
    (7, "the index `completions` counts as in range"),
    (8, "every running pod counts as ready"),
    (9, "terminating pods are not told"),
    (10, "backoffLimit comes before the pod failure policy"),
    (11, "an interim failure is forgotten by the next sync"),
    (12, "the Job fails at backoffLimit, not beyond it"),
    (13, "restarts in place fail the Job beyond backoffLimit, not at it"),
    (14, "the deadline runs on while the Job is suspended"),
    (15, "the deadline is a second late"),
    (16, "another reason than DeadlineExceeded"),
    (17, "the Job fails at maxFailedIndexes, not beyond it"),
    (18, "failed indexes do not count as done"),
    (19, "Failed is written without waiting at FailureTarget"),
    (20, "success has no reason"),
    (21, "one of the listed indexes fulfils a success policy"),
    (22, "a success policy asks for one success too many"),
    (23, "FailIndex is passed over"),
    (24, "NotIn is taken for In"),
    (25, "a pod failure policy does not look at the status of a condition"),
    (26, "the message names another rule of the pod failure policy"),
    (27, "podReplacementPolicy Failed is passed over"),
    (28, "an index fails beyond backoffLimitPerIndex, not at it"),
    (29, "ignored failures count"),
    (30, "parallelism is kept up when less is missing"),
    (31, "a work queue gets new pods after a success"),
    (32, "terminating pods do not hold their place"),
    (33, "slow start grows by four"),
    (34, "a replacement does not carry the failure of its index on"),
    (35, "the Job's back-off delays a Job with a back-off per index"),
    (36, "running pods are deleted before those that have not started"),
    (37, "the age of a pod has no say in deletion"),
    (38, "completed indexes beyond completions are kept"),
    (39, "failed indexes are started again"),
    (40, "a pod without finalizer completes its index"),
    (41, "pods out of range stay until there are too many"),
    (42, "a Job that is being deleted keeps the finalizers of its pods"),
    (43, "a failed pod is let go before its replacement carries the failure on"),
    (44, "pods that a failed Job cuts short are not failures"),
    (45, "the interim condition is not written"),
    (46, "a Job finishes while pods terminate"),
    (47, "a suspended Job gets a start time"),
    (48, "a new pod without owner wakes no Job"),
    (49, "suspending does not clear the start time"),
    (50, "a failed Job gets a completion time"),
    (51, "pods are managed while creations are outstanding"),
    (52, "a Job that is being deleted gets new pods"),
    (53, "a Job is done while pods are active"),
    (54, "the back-off record is not kept"),
    (55, "the deadline wakes the Job too late"),
    (56, "a change of `terminating` alone is not written"),
    (57, "pods deleted at the end still count as active"),
    (58, "a surplus pod is deleted with its finalizer"),
    (59, "pods deleted at the end still count as ready"),
    (60, "a pod that is being deleted is adopted"),
    (61, "a pod that the selector does not match is not released"),
    (62, "syncs after pod events are not delayed"),
    (63, "the sync after a change of the spec is delayed"),
    (64, "deletions are not observed"),
    (65, "creations are not observed"),
    (66, "the delay after an error has one doubling too many"),
    (67, "a success of a key does not reset its delay"),
];
