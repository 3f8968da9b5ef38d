//! Upstream `TestMatchPodFailurePolicy`, `TestSyncJobWithJobPodFailurePolicy` and `TestMatchSuccessPolicy`.

use std::sync::Arc;

use super::build::{Change, NOW, container, job, pod, snapshot, version};
use super::drive::{Api, Outcome, run};
use super::*;
use crate::index_set::IndexSet;
use crate::job::sync::{failure_policy, success_policy};
use crate::objects::PodFailureAction::{Count, FailIndex, FailJob, Ignore};
use crate::objects::*;

fn rule(action: PodFailureAction, container: Option<&str>, is_in: bool, values: &[i32]) -> PodFailureRule {
    let container_name = container.map(Into::into);
    PodFailureRule {
        action,
        matches: PodFailureMatch::ExitCodes { container_name, is_in, values: values.to_vec() },
    }
}

pub(super) fn on_condition(action: PodFailureAction, kind: &str) -> PodFailureRule {
    let pattern = (kind.into(), ConditionStatus::True);
    PodFailureRule { action, matches: PodFailureMatch::PodConditions(vec![pattern]) }
}

/// A policy of exit codes of any container, by the names of the actions.
pub(super) fn exit_codes(rules: &[(&str, &[i32])]) -> PodFailurePolicy {
    let action = |name: &str| match name {
        "FailJob" => FailJob,
        "FailIndex" => FailIndex,
        "Ignore" => Ignore,
        _ => Count,
    };
    PodFailurePolicy {
        rules: rules.iter().map(|(name, values)| rule(action(name), None, true, values)).collect(),
    }
}

/// A failed pod whose containers ended with these codes.
fn ended(containers: &[(&str, i32)]) -> Pod {
    let mut failed = pod(0, PodPhase::Failed);
    failed.key.name = "mypod-0".into();
    for &(name, exit_code) in containers {
        let end = Termination { exit_code, finished_at: Some(Time::ZERO) };
        failed.status.containers.push(container(name, ContainerState::Terminated(end)));
    }
    failed
}

type Matched = Option<(usize, PodFailureAction)>;

fn matched(rules: Vec<PodFailureRule>, pod: &Pod, minor: u16) -> Matched {
    let features = Features::of(version(minor));
    failure_policy::first_match(&PodFailurePolicy { rules }, pod, &features)
        .map(|found| (found.rule, found.action))
}

#[test]
fn match_pod_failure_policy() {
    let mut with_init = ended(&[("main", 143)]);
    with_init.status.init_containers = ended(&[("init", 5)]).status.containers;
    let mut running = ended(&[]);
    running.status.containers = vec![container("main", ContainerState::Running)];
    let disrupted = || ended(&[]).condition(DISRUPTION_TARGET);
    let unknown = {
        let mut pod = disrupted();
        pod.status.conditions[0].status = ConditionStatus::Unknown;
        pod
    };
    let two = |a, b| vec![rule(a, None, true, &[1, 2]), rule(b, None, true, &[2, 3])];
    let rows: Vec<(&str, Vec<PodFailureRule>, Pod, Matched)> = vec![
        ("unknown action for rule matching by exit codes / no rule", vec![], ended(&[("main", 2)]), None),
        (
            "ignore rule matched for exit codes",
            two(Ignore, FailJob),
            ended(&[("main", 1)]),
            Some((0, Ignore)),
        ),
        ("the first rule wins", two(Count, Ignore), ended(&[("main", 2)]), Some((0, Count))),
        (
            "FailJob rule matched for exit codes",
            two(Ignore, FailJob),
            ended(&[("main", 3)]),
            Some((1, FailJob)),
        ),
        (
            "an earlier container wins within a rule",
            two(Ignore, FailJob),
            ended(&[("a", 3), ("b", 1)]),
            Some((0, Ignore)),
        ),
        (
            "exit code 0 never matches, even with NotIn",
            vec![rule(FailJob, None, false, &[5])],
            ended(&[("main", 0)]),
            None,
        ),
        ("NotIn", vec![rule(FailJob, None, false, &[5, 6])], ended(&[("main", 42)]), Some((0, FailJob))),
        (
            "NotIn does not match a listed code",
            vec![rule(FailJob, None, false, &[5, 6])],
            ended(&[("main", 5)]),
            None,
        ),
        (
            "containerName restriction",
            vec![rule(FailJob, Some("main"), true, &[5])],
            ended(&[("monitoring", 5), ("main", 42)]),
            None,
        ),
        ("init container", vec![rule(FailJob, None, true, &[5])], with_init, Some((0, FailJob))),
        ("a running container does not match", vec![rule(FailJob, None, false, &[5])], running, None),
        ("pod condition", vec![on_condition(Ignore, DISRUPTION_TARGET)], disrupted(), Some((0, Ignore))),
        ("pod condition with another status", vec![on_condition(Ignore, DISRUPTION_TARGET)], unknown, None),
        ("pod condition of another type", vec![on_condition(Ignore, "Other")], disrupted(), None),
    ];
    for (name, rules, pod, expected) in rows {
        for version in KubernetesVersion::all() {
            assert_eq!(matched(rules.clone(), &pod, version.minor()), expected, "{name} in {version}");
        }
    }
    let fail_index = || vec![rule(FailIndex, None, true, &[3]), rule(Ignore, None, true, &[3])];
    assert_eq!(matched(fail_index(), &ended(&[("main", 3)]), 29), Some((0, FailIndex)));
    assert_eq!(matched(fail_index(), &ended(&[("main", 3)]), 28), Some((1, Ignore)), "passed over in 1.28");
}

pub(super) fn last(outcome: &Outcome) -> &JobStatus {
    outcome.statuses.last().expect("a status")
}

pub(super) fn kinds(status: &JobStatus) -> Vec<JobConditionType> {
    status.conditions.iter().map(|condition| condition.kind).collect()
}

pub(super) const INTERIM_AND_FAILED: &[JobConditionType] =
    &[JobConditionType::FailureTarget, JobConditionType::Failed];

/// The messages, and that the failure is declared in every version in two steps.
#[test]
fn a_fail_job_rule_fails_the_job() {
    let rules = || vec![rule(Ignore, None, true, &[1, 2, 3]), rule(FailJob, None, true, &[5, 6, 7])];
    let mut with_init = ended(&[("main-container", 143)]);
    with_init.status.init_containers = ended(&[("init-container", 5)]).status.containers;
    let rows = [
        (
            "fail job based on OnExitCodes",
            rules(),
            ended(&[("main-container", 5)]),
            "Container main-container for pod default/mypod-0 failed with exit code 5 matching FailJob rule at index 1",
        ),
        (
            "fail job based on OnExitCodes for InitContainer",
            rules(),
            with_init,
            "Container init-container for pod default/mypod-0 failed with exit code 5 matching FailJob rule at index 1",
        ),
        (
            "fail job based on OnPodConditions",
            vec![on_condition(FailJob, DISRUPTION_TARGET)],
            ended(&[]).condition(DISRUPTION_TARGET),
            "Pod default/mypod-0 has condition DisruptionTarget matching FailJob rule at index 0",
        ),
    ];
    for (name, rules, pod, message) in rows {
        for version in KubernetesVersion::all() {
            let mut job = job(1, Some(1), false);
            job.spec.pod_failure_policy = Some(Arc::new(PodFailurePolicy { rules: rules.clone() }));
            let outcome = run(snapshot(version.minor(), job, vec![pod.clone()]), &Api::default());
            let status = last(&outcome);
            assert_eq!(kinds(status), INTERIM_AND_FAILED, "{name} in {version}");
            assert!(
                status.conditions.iter().all(|condition| &*condition.message == message),
                "{name} in {version}"
            );
            assert_eq!((status.active, status.failed), (0, 1), "{name} in {version}");
            let first = outcome.statuses.first().expect("a status");
            assert_eq!(kinds(first), [JobConditionType::FailureTarget], "before any finalizer is removed");
            assert_eq!(outcome.events().last(), Some(&format!("PodFailurePolicy: {message}")));
        }
    }
}

#[test]
fn a_matched_rule_decides_whether_a_failure_counts() {
    let rows = [
        (
            "ignore pod failure based on OnExitCodes",
            0,
            exit_codes(&[("Ignore", &[1])]),
            ended(&[("main", 1)]),
            (1, 0),
            "",
        ),
        (
            "ignore pod failure; both rules are matching, the first is executed only",
            0,
            exit_codes(&[("Ignore", &[1, 2, 3]), ("FailJob", &[5, 6, 7])]),
            ended(&[("container1", 2), ("container2", 6)]),
            (1, 0),
            "",
        ),
        (
            "default job based on OnExitCodes",
            0,
            exit_codes(&[("Ignore", &[1])]),
            ended(&[("main", 10)]),
            (0, 1),
            "BackoffLimitExceeded",
        ),
        (
            "count pod failure based on OnExitCodes; both rules are matching, the first is executed only",
            6,
            exit_codes(&[("Count", &[1, 2]), ("Ignore", &[2, 3])]),
            ended(&[("main", 2)]),
            (1, 1),
            "",
        ),
        (
            "terminating Pod not considered failed when JobPodFailurePolicy is enabled and used",
            0,
            exit_codes(&[("Count", &[1])]),
            pod(0, PodPhase::Running).deleting_since(NOW),
            (0, 0),
            "",
        ),
    ];
    for (name, limit, policy, pod, counts, reason) in rows {
        for version in KubernetesVersion::all() {
            let mut job = job(1, Some(1), false);
            job.spec.backoff_limit = limit;
            job.spec.pod_failure_policy = Some(Arc::new(policy.clone()));
            job.spec.pod_replacement_policy = Some(PodReplacementPolicy::Failed);
            let outcome = run(snapshot(version.minor(), job, vec![pod.clone()]), &Api::default());
            let status = last(&outcome);
            assert_eq!((status.active, status.failed), counts, "{name} in {version}");
            assert_eq!(status.conditions.last().map_or("", |c| &*c.reason), reason, "{name} in {version}");
        }
    }
}

/// "ignore pod failure based on OnPodConditions, ignored failures delays pod recreation".
#[test]
fn ignored_failures_delay_all_the_same() {
    let mut job = job(1, Some(1), false);
    job.spec.pod_failure_policy =
        Some(Arc::new(PodFailurePolicy { rules: vec![on_condition(Ignore, DISRUPTION_TARGET)] }));
    let pod = ended(&[]).condition(DISRUPTION_TARGET).deleting_since(NOW);
    let outcome = run(snapshot(36, job, vec![pod]), &Api::default());
    assert_eq!((outcome.created.len(), outcome.requeues_ms()), (0, vec![10_000]));
}

/// A pod stripped of its finalizer that fails afterwards still fails the Job.
#[test]
fn a_fail_job_rule_sees_every_pod() {
    let mut job = job(2, Some(2), true);
    job.spec.pod_failure_policy = Some(Arc::new(exit_codes(&[("FailJob", &[5])])));
    let out_of_range = pod(1, PodPhase::Failed).index(7).untracked().exited(5, NOW);
    let outcome = run(snapshot(36, job, vec![out_of_range]), &Api::default());
    assert_eq!(kinds(last(&outcome)), INTERIM_AND_FAILED);
}

#[test]
fn match_success_policy() {
    // The succeeded indexes, the rules as (indexes, count), and which one matches.
    type Row = (&'static str, &'static [(Option<&'static str>, Option<i32>)], Option<usize>);
    let rows: [Row; 20] = [
        ("0", &[], None),
        ("0", &[(Some("invalid-form"), None)], None),
        ("0-2,4-7", &[(Some("0-2"), None)], Some(0)),
        ("0-2", &[(Some("3"), None)], None),
        ("0-2", &[(None, Some(2))], Some(0)),
        ("0-2", &[(None, Some(4))], None),
        ("0-2,4-7", &[(Some("9"), None), (Some("4,6"), None)], Some(1)),
        ("0-2,4-7", &[(Some("0,1"), None), (Some("5"), None)], Some(0)),
        ("0-2,4-7", &[(Some("3-6"), Some(2))], Some(0)),
        ("0-2,6,7", &[(Some("3-6"), Some(2))], None),
        ("", &[(None, Some(0))], None),
        ("1-9", &[(Some("2-4,6-8"), None)], Some(0)),
        ("2-4,6-9", &[(Some("2-4,6-9"), None)], Some(0)),
        ("2-5,7-9", &[(Some("2-4,8-12"), None)], Some(0)),
        ("1-3", &[(Some(""), None)], None),
        ("", &[(Some(""), None)], None),
        ("1-3,5-7", &[(Some("10-12,14-16"), None)], None),
        ("2-4,6-8", &[(Some("1-3,5-7"), None)], None),
        ("2-4,6-8", &[(Some("1-3,5-7"), Some(4))], Some(0)),
        ("1-3,5-9", &[(Some("0-6,8-9"), Some(7))], Some(0)),
    ];
    for (succeeded, rules, expected) in rows {
        let rule = |&(indexes, succeeded_count): &(Option<&str>, Option<i32>)| SuccessRule {
            succeeded_indexes: indexes.map(Into::into),
            succeeded_count,
        };
        let policy = SuccessPolicy { rules: rules.iter().map(rule).collect() };
        let found = success_policy::first_match(&policy, 10, &IndexSet::parse_below(succeeded, 10));
        assert_eq!(found, expected, "{succeeded} with {rules:?}");
    }
}
