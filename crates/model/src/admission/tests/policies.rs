//! `TestValidateJob` on `spec.podFailurePolicy`, `spec.podReplacementPolicy` and `spec.successPolicy`.

use super::*;
use crate::objects::{
    PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule, PodReplacementPolicy, SuccessPolicy,
    SuccessRule,
};

fn exit_codes(container: Option<&str>, is_in: bool, values: &[i32]) -> PodFailureMatch {
    PodFailureMatch::ExitCodes { container_name: container.map(Into::into), is_in, values: values.to_vec() }
}

pub(super) fn ready_conditions(count: usize) -> PodFailureMatch {
    PodFailureMatch::PodConditions(vec![("Ready".into(), ConditionStatus::False); count])
}

pub(super) fn rule(action: PodFailureAction, matches: PodFailureMatch) -> PodFailureRule {
    PodFailureRule { action, matches }
}

pub(super) fn with_rules(manifest: JobManifest, rules: Vec<PodFailureRule>) -> JobManifest {
    JobManifest { pod_failure_policy: Some(Arc::new(PodFailurePolicy { rules })), ..manifest }
}

fn with_success(completions: i32, rules: &[(Option<&str>, Option<i32>)]) -> JobManifest {
    let rule = |&(indexes, succeeded_count): &(Option<&str>, Option<i32>)| SuccessRule {
        succeeded_indexes: indexes.map(Into::into),
        succeeded_count,
    };
    let policy = SuccessPolicy { rules: rules.iter().map(rule).collect() };
    JobManifest { success_policy: Some(Arc::new(policy)), ..indexed(completions) }
}

fn restarting(manifest: JobManifest, restart_policy: RestartPolicy) -> JobManifest {
    let mut template = template();
    Arc::make_mut(&mut template.spec).restart_policy = restart_policy;
    JobManifest { template: Some(Arc::new(template)), ..manifest }
}

#[test]
fn pod_failure_policies() {
    use PodFailureAction::{Count, FailIndex, FailJob, Ignore};
    let rules = "spec.podFailurePolicy.rules";
    let field = |tail: &str| format!("{rules}{tail}");
    let ascending: Vec<i32> = (1..=256).collect();
    let cases: Vec<(&str, Vec<PodFailureRule>, Vec<String>)> = vec![
        (
            "valid pod failure policy",
            vec![
                rule(Ignore, ready_conditions(1)),
                rule(Count, exit_codes(Some("abc"), true, &[1, 2, 3])),
                rule(FailJob, exit_codes(Some("def"), false, &[0, 4])),
            ],
            vec![],
        ),
        ("valid with negative exitCodes", vec![rule(FailJob, exit_codes(None, true, &[-1, 1]))], vec![]),
        ("20 rules", vec![rule(Ignore, ready_conditions(1)); 20], vec![]),
        ("too many rules", vec![rule(Ignore, ready_conditions(1)); 21], vec![field("|TooMany|21")]),
        ("255 values", vec![rule(Count, exit_codes(None, true, &ascending[..255]))], vec![]),
        (
            "too many values",
            vec![rule(Count, exit_codes(None, true, &ascending))],
            vec![field("[0].onExitCodes.values|TooMany")],
        ),
        ("20 patterns", vec![rule(Ignore, ready_conditions(20))], vec![]),
        (
            "too many patterns",
            vec![rule(Ignore, ready_conditions(21))],
            vec![field("[0].onPodConditions|TooMany")],
        ),
        (
            "no requirement",
            vec![rule(Ignore, ready_conditions(0))],
            vec![field("[0]|Invalid|specifying one of")],
        ),
        (
            "no values",
            vec![rule(Count, exit_codes(None, true, &[]))],
            vec![field("[0].onExitCodes.values|Invalid|at least one value")],
        ),
        (
            "duplicate value",
            vec![rule(Count, exit_codes(None, true, &[11, 11]))],
            vec![field("[0].onExitCodes.values[1]|Duplicate")],
        ),
        (
            "not ordered",
            vec![rule(Count, exit_codes(None, true, &[12, 13, 10]))],
            vec![field("[0].onExitCodes.values|Invalid|must be ordered")],
        ),
        (
            "0 with In",
            vec![rule(Count, exit_codes(None, true, &[0]))],
            vec![field("[0].onExitCodes.values[0]|Invalid|must not be 0")],
        ),
        ("0 with NotIn", vec![rule(Count, exit_codes(None, false, &[0]))], vec![]),
        (
            "unknown container",
            vec![rule(Count, exit_codes(Some("xyz"), true, &[1]))],
            vec![field("[0].onExitCodes.containerName|Invalid")],
        ),
        (
            "FailIndex without limit",
            vec![rule(FailIndex, ready_conditions(1))],
            vec![field("[0].action|Invalid|requires the backoffLimitPerIndex")],
        ),
        (
            "bad condition type",
            vec![rule(
                Ignore,
                PodFailureMatch::PodConditions(vec![("Invalid Condition".into(), ConditionStatus::True)]),
            )],
            vec![field("[0].onPodConditions[0].type|Invalid|name part")],
        ),
    ];
    for (case, rules, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_errors(case, &create_errors(&with_rules(indexed(2), rules), &features(36)), &expected);
    }
    let per_index = JobManifest { backoff_limit_per_index: Some(1), ..indexed(2) };
    let fail_index = with_rules(per_index, vec![rule(FailIndex, ready_conditions(1))]);
    assert_errors("valid pod failure policy with FailIndex", &create_errors(&fail_index, &features(36)), &[]);
    let in_1_28 = admitted(&fail_index, &features(28)).spec;
    assert_eq!(
        in_1_28.pod_failure_policy.map(|policy| policy.rules.len()),
        Some(0),
        "the rule goes with the gate"
    );
}

#[test]
fn pod_replacement_and_restart_policies() {
    let ignore = vec![rule(PodFailureAction::Ignore, ready_conditions(1))];
    let with_policy = |policy| JobManifest { pod_replacement_policy: Some(policy), ..plain() };
    let both = |policy| with_rules(with_policy(policy), ignore.clone());
    let unsupported = ["spec.podReplacementPolicy|NotSupported|supported values: \"Failed\""];
    let required = ["spec.template.spec.restartPolicy|Required|valid values: \"OnFailure\", \"Never\""];
    let only_never = ["spec.template.spec.restartPolicy|Invalid|only \"Never\" is supported"];
    let cases: [(&str, JobManifest, &[&str]); 7] = [
        ("valid pod replacement", with_policy(PodReplacementPolicy::TerminatingOrFailed), &[]),
        ("valid pod replacement with failed", both(PodReplacementPolicy::Failed), &[]),
        (
            "TerminatingOrFailed with podFailurePolicy",
            both(PodReplacementPolicy::TerminatingOrFailed),
            &unsupported,
        ),
        (
            "spec.template.spec.restartPolicy: Required value",
            restarting(plain(), RestartPolicy::Always),
            &required,
        ),
        ("OnFailure", restarting(plain(), RestartPolicy::OnFailure), &[]),
        (
            "OnFailure with podFailurePolicy",
            restarting(with_rules(plain(), ignore.clone()), RestartPolicy::OnFailure),
            &only_never,
        ),
        ("Never with podFailurePolicy", with_rules(plain(), ignore.clone()), &[]),
    ];
    for (case, manifest, expected) in cases {
        assert_errors(case, &create_errors(&manifest, &features(36)), expected);
    }
}

#[test]
fn success_policies() {
    let rules = "spec.successPolicy.rules";
    let many = vec![(Some("0"), None); 21];
    let long = "0,".repeat(32 * 1024 + 1);
    let cases: Vec<(&str, JobManifest, Vec<String>)> = vec![
        (
            "valid success policy",
            with_success(5, &[(Some("0,2,4"), Some(2)), (Some("1,3"), None), (None, Some(5))]),
            vec![],
        ),
        ("no rules", with_success(5, &[]), vec![format!("{rules}|Required|at least one rules")]),
        ("20 rules", with_success(5, &many[..20]), vec![]),
        ("too many rules", with_success(5, &many), vec![format!("{rules}|TooMany|21")]),
        ("neither", with_success(5, &[(None, None)]), vec![format!("{rules}[0]|Required|at least one of")]),
        (
            "index out of range",
            with_success(5, &[(Some("0-5"), None)]),
            vec![format!(
                "{rules}[0].succeededIndexes|Invalid|error parsing succeededIndexes: too large index: \"5\""
            )],
        ),
        (
            "index text",
            with_success(5, &[(Some("invalid-format"), None)]),
            vec![format!(
                "{rules}[0].succeededIndexes|Invalid|error parsing succeededIndexes: cannot convert string to integer for index: \"invalid\""
            )],
        ),
        (
            "too long",
            with_success(5, &[(Some(&long), None)]),
            vec![
                format!("{rules}[0].succeededIndexes|TooLong"),
                format!("{rules}[0].succeededIndexes|Invalid"),
            ],
        ),
        (
            "negative count",
            with_success(5, &[(None, Some(-1))]),
            vec![format!("{rules}[0].succeededCount|Invalid|must be greater than or equal to 0")],
        ),
        (
            "count above completions",
            with_success(5, &[(None, Some(6))]),
            vec![format!(
                "{rules}[0].succeededCount|Invalid|must be less than or equal to 5 (the number of specified completions)"
            )],
        ),
        (
            "count above listed",
            with_success(5, &[(Some("0,4"), Some(3))]),
            vec![format!(
                "{rules}[0].succeededCount|Invalid|must be less than or equal to 2 (the number of indexes"
            )],
        ),
        ("count at listed", with_success(5, &[(Some("0,4"), Some(2))]), vec![]),
        (
            "NonIndexed",
            JobManifest { completion_mode: None, ..with_success(5, &[(None, Some(1))]) },
            vec!["spec.successPolicy|Invalid|requires indexed".to_owned()],
        ),
    ];
    for (case, manifest, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_errors(case, &create_errors(&manifest, &features(36)), &expected);
        assert_errors("dropped in 1.30", &create_errors(&manifest, &features(30)), &[]);
    }
}
