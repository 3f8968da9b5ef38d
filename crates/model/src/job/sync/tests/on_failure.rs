//! Upstream `TestJobBackoffForOnFailure`.

use std::sync::Arc;

use super::build::{job, pods, snapshot};
use super::drive::{Api, run};
use super::*;
use crate::objects::*;

type Row = (&'static str, (i32, i32, i32), &'static [i32], &'static str, bool, (i32, i32, i32), bool);

#[test]
fn restarts_in_place_count_toward_the_limit() {
    let rows: [Row; 11] = [
        ("backoffLimit 0 should have 1 pod active", (1, 1, 0), &[0], "R", false, (1, 0, 0), false),
        (
            "backoffLimit 1 with restartCount 0 should have 1 pod active",
            (1, 1, 1),
            &[0],
            "R",
            false,
            (1, 0, 0),
            false,
        ),
        ("backoffLimit 1 with restartCount 1 and podRunning", (1, 1, 1), &[1], "R", false, (0, 0, 1), true),
        ("backoffLimit 1 with restartCount 1 and podPending", (1, 1, 1), &[1], "P", false, (0, 0, 1), true),
        ("too many job failures with podRunning - single pod", (1, 5, 2), &[2], "R", false, (0, 0, 1), true),
        ("too many job failures with podPending - single pod", (1, 5, 2), &[2], "P", false, (0, 0, 1), true),
        (
            "too many job failures with podRunning - multiple pods",
            (2, 5, 2),
            &[1, 1],
            "R",
            false,
            (0, 0, 2),
            true,
        ),
        (
            "too many job failures with podPending - multiple pods",
            (2, 5, 2),
            &[1, 1],
            "P",
            false,
            (0, 0, 2),
            true,
        ),
        ("not enough failures", (2, 5, 3), &[1, 1], "R", false, (2, 0, 0), false),
        ("suspending a job", (2, 4, 6), &[1, 1], "R", true, (0, 0, 0), false),
        ("finished job", (2, 4, 6), &[1, 1, 2, 0], "S", true, (0, 4, 0), false),
    ];
    for (name, (p, c, limit), restarts, phase, suspend, (active, succeeded, failed), fails) in rows {
        for version in KubernetesVersion::all() {
            let mut job = job(p, Some(c), false);
            job.spec.backoff_limit = limit;
            job.spec.suspend = suspend;
            let template = Arc::make_mut(&mut job.spec.template);
            Arc::make_mut(&mut template.spec).restart_policy = RestartPolicy::OnFailure;
            let mut made = pods(&format!("{phase}*{}", restarts.len()));
            for (pod, &restart_count) in made.iter_mut().zip(restarts) {
                let container = super::build::container("main", ContainerState::Running);
                pod.status.containers = vec![ContainerStatus { restart_count, ..container }];
            }
            let outcome = run(snapshot(version.minor(), job, made), &Api::default());
            let status = outcome.statuses.last().expect("a status");
            assert_eq!(
                (status.active, status.succeeded, status.failed),
                (active, succeeded, failed),
                "{name} in {version}"
            );
            let reason = status.conditions.first().map_or("", |condition| &*condition.reason);
            assert_eq!(reason == "BackoffLimitExceeded", fails, "{name} in {version}");
        }
    }
}
