//! `TestValidateJob` and the defaulting of `TestSetDefaultJob` and `TestJobStrategy_PrepareForCreate`.

use super::*;
use crate::objects::{
    PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule, PodReplacementPolicy, SuccessPolicy,
    SuccessRule,
};

fn exit_codes(container: Option<&str>, is_in: bool, values: &[i32]) -> PodFailureMatch {
    PodFailureMatch::ExitCodes { container_name: container.map(Into::into), is_in, values: values.to_vec() }
}

fn ready_conditions(count: usize) -> PodFailureMatch {
    PodFailureMatch::PodConditions(vec![("Ready".into(), ConditionStatus::False); count])
}

fn rule(action: PodFailureAction, matches: PodFailureMatch) -> PodFailureRule {
    PodFailureRule { action, matches }
}

fn with_rules(manifest: JobManifest, rules: Vec<PodFailureRule>) -> JobManifest {
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
fn numbers() {
    let none: &[&str] = &[];
    let negative = "|Invalid|must be greater than or equal to 0";
    let min = |field: &str| format!("spec.{field}{negative}");
    let per_index = |limit, max_failed| JobManifest {
        backoff_limit_per_index: limit,
        max_failed_indexes: max_failed,
        ..indexed(2)
    };
    let cases: [(JobManifest, Vec<String>); 15] = [
        (JobManifest { parallelism: Some(-1), ..plain() }, vec![min("parallelism")]),
        (JobManifest { parallelism: Some(0), ..plain() }, vec![]),
        (JobManifest { completions: Some(-1), ..plain() }, vec![min("completions")]),
        (JobManifest { completions: Some(0), ..plain() }, vec![]),
        (JobManifest { active_deadline_seconds: Some(-1), ..plain() }, vec![min("activeDeadlineSeconds")]),
        (JobManifest { active_deadline_seconds: Some(0), ..plain() }, vec![]),
        (JobManifest { backoff_limit: Some(-1), ..plain() }, vec![min("backoffLimit")]),
        (JobManifest { backoff_limit: Some(0), ..plain() }, vec![]),
        (
            JobManifest { ttl_seconds_after_finished: Some(-1), ..plain() },
            vec![min("ttlSecondsAfterFinished")],
        ),
        (JobManifest { ttl_seconds_after_finished: Some(0), ..plain() }, vec![]),
        (per_index(Some(-1), None), vec![min("backoffLimitPerIndex")]),
        (per_index(Some(0), None), vec![]),
        (per_index(Some(1), Some(-1)), vec![min("maxFailedIndexes")]),
        (per_index(Some(1), Some(0)), vec![]),
        (
            per_index(None, Some(1)),
            vec!["spec.backoffLimitPerIndex|Required|when maxFailedIndexes is specified".to_owned()],
        ),
    ];
    for (position, (manifest, expected)) in cases.into_iter().enumerate() {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_errors(&format!("case {position}"), &create_errors(&manifest, &features(36)), &expected);
    }
    assert_errors("plain", &create_errors(&plain(), &features(36)), none);
}

#[test]
fn limits_of_indexed_jobs() {
    let sized = |completions, parallelism, max_failed: Option<i32>| JobManifest {
        parallelism: Some(parallelism),
        max_failed_indexes: max_failed,
        backoff_limit_per_index: Some(1),
        ..indexed(completions)
    };
    let high = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index";
    let high = [format!("spec.parallelism|Invalid|{high}"), format!("spec.maxFailedIndexes|Invalid|{high}")];
    let no_limit = JobManifest {
        backoff_limit_per_index: None,
        max_failed_indexes: None,
        ..sized(200_000, 50_000, None)
    };
    let cases: [(&str, JobManifest, &[&str]); 14] = [
        ("valid Indexed completion mode", indexed(2), &[]),
        (
            "no limit of failed indexes is above no completions",
            indexed(-1),
            &["spec.completions|Invalid|must be greater than or equal to 0"],
        ),
        (
            "spec.completions: Required value: when completion mode is Indexed",
            JobManifest { completions: None, ..indexed(2) },
            &["spec.completions|Required|when completion mode is Indexed"],
        ),
        (
            "spec.parallelism: must be less than or equal to 100000 when completion mode is Indexed",
            JobManifest { parallelism: Some(100_001), ..indexed(2) },
            &[
                "spec.parallelism|Invalid|must be less than or equal to 100000 when completion mode is Indexed",
            ],
        ),
        ("parallelism at the limit", JobManifest { parallelism: Some(100_000), ..indexed(2) }, &[]),
        (
            "maxFailedIndexes above completions",
            sized(10, 1, Some(11)),
            &["spec.maxFailedIndexes|Invalid|must be less than or equal to completions"],
        ),
        ("maxFailedIndexes at completions", sized(10, 1, Some(10)), &[]),
        (
            "maxFailedIndexes above 100000",
            sized(100_000, 1, Some(100_001)),
            &[
                "spec.maxFailedIndexes|Invalid|must be less than or equal to completions",
                "spec.maxFailedIndexes|Invalid|must be less than or equal to 100000",
            ],
        ),
        (
            "high completions need maxFailedIndexes",
            sized(100_001, 1, None),
            &["spec.maxFailedIndexes|Required|must be specified when completions is above 100000"],
        ),
        ("completions at the soft limit", sized(100_000, 50_000, None), &[]),
        (
            "valid parallelism and maxFailedIndexes for high completions",
            sized(100_001, 10_000, Some(10_000)),
            &[],
        ),
        ("parallelism for high completions", sized(100_001, 10_001, Some(10_000)), &[&high[0]]),
        ("maxFailedIndexes for high completions", sized(100_001, 10_000, Some(10_001)), &[&high[1]]),
        ("high completions without backoffLimitPerIndex", no_limit, &[]),
    ];
    for (case, manifest, expected) in cases {
        assert_errors(case, &create_errors(&manifest, &features(36)), expected);
    }
}

#[test]
fn completion_modes() {
    let other = JobManifest { completion_mode: Some(CompletionMode::Other("Elastic".into())), ..plain() };
    assert_errors(
        "unknown mode",
        &create_errors(&other, &features(36)),
        &["spec.completionMode|NotSupported|supported values: \"NonIndexed\", \"Indexed\""],
    );
    let per_index = JobManifest { backoff_limit_per_index: Some(1), max_failed_indexes: Some(1), ..plain() };
    assert_errors(
        "NonIndexed",
        &create_errors(&per_index, &features(36)),
        &[
            "spec.backoffLimitPerIndex|Invalid|requires indexed completion mode",
            "spec.maxFailedIndexes|Invalid|requires indexed completion mode",
        ],
    );
    assert_errors("dropped where the gate is off", &create_errors(&per_index, &features(28)), &[]);
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

#[test]
fn managed_by() {
    let by = |text: &str| JobManifest { managed_by: Some(text.into()), ..plain() };
    let at_limit = format!("example.com/{}", "x".repeat(51));
    let cases: [(&str, JobManifest, &[&str]); 6] = [
        ("valid managedBy field", by("example.com/foo"), &[]),
        ("empty", by(""), &["spec.managedBy|Required|"]),
        (
            "no domain",
            by("foo"),
            &["spec.managedBy|Invalid|must be a domain-prefixed path (such as \"acme.io/foo\")"],
        ),
        ("bad domain", by("Example.com/foo"), &["spec.managedBy|Invalid|a lowercase RFC 1123 subdomain"]),
        ("63 bytes", by(&at_limit), &[]),
        ("64 bytes", by(&format!("{at_limit}x")), &["spec.managedBy|TooLong|may not be more than 63 bytes"]),
    ];
    for (case, manifest, expected) in cases {
        assert_errors(case, &create_errors(&manifest, &features(36)), expected);
        assert_eq!(admitted(&manifest, &features(31)).spec.managed_by, None, "{case}: dropped in 1.31");
    }
}

#[test]
fn selectors_and_labels() {
    let template_with = |pairs: &[(&str, &str)]| {
        Some(Arc::new(PodTemplate { labels: Arc::new(labels(pairs)), ..template() }))
    };
    let manual = |selector: Option<&[(&str, &str)]>| JobManifest {
        manual_selector: Some(true),
        selector: selector.map(labels),
        ..plain()
    };
    let wrong_uid = JobManifest { template: template_with(&[("controller-uid", "1a2b3c")]), ..plain() };
    let foreign = JobManifest { selector: Some(labels(&[("foo", "bar")])), ..plain() };
    let long = "x".repeat(64);
    let cases: [(&str, JobManifest, &[&str]); 6] = [
        ("valid manual selector", manual(Some(&[("foo", "bar")])), &[]),
        (
            "spec.selector:Required value",
            manual(None),
            &[
                "spec.selector|Required|",
                "spec.template.metadata.labels|Invalid|`selector` does not match template `labels`",
            ],
        ),
        (
            "manual selector that does not match",
            manual(Some(&[("foo", "baz")])),
            &["spec.template.metadata.labels|Invalid|`selector` does not match template `labels`"],
        ),
        (
            "labels[controller-uid]",
            wrong_uid,
            &["spec.template.metadata.labels[controller-uid]|Invalid|must be 'uid-7'"],
        ),
        (
            "selector of one's own without manualSelector",
            foreign,
            &["spec.selector|Invalid|`selector` not auto-generated"],
        ),
        (
            "label value",
            JobManifest { template: template_with(&[("a", &long)]), ..plain() },
            &[
                "metadata.labels|Invalid|must be no more than 63 characters",
                "spec.template.labels|Invalid|must be no more than 63 characters",
            ],
        ),
    ];
    for (case, manifest, expected) in cases {
        assert_errors(case, &create_errors(&manifest, &features(36)), expected);
    }
}

#[test]
fn pod_templates() {
    let with_spec = |change: fn(&mut PodSpec)| {
        let mut template = template();
        change(Arc::make_mut(&mut template.spec));
        JobManifest { template: Some(Arc::new(template)), ..plain() }
    };
    let spec = "spec.template.spec";
    let cases: [(&str, JobManifest, Vec<String>); 4] = [
        (
            "no template",
            JobManifest::default(),
            vec![format!("{spec}.containers|Required|"), format!("{spec}.restartPolicy|Required|")],
        ),
        (
            "two of a name",
            with_spec(|spec| spec.init_containers.push(container("abc"))),
            vec![format!("{spec}.initContainers[1].name|Duplicate|")],
        ),
        (
            "no name",
            with_spec(|spec| spec.containers.push(container(""))),
            vec![format!("{spec}.containers[1].name|Required|")],
        ),
        (
            "no DNS label",
            with_spec(|spec| spec.containers.push(container("a.b"))),
            vec![format!("{spec}.containers[1].name|Invalid|a lowercase RFC 1123 label")],
        ),
    ];
    for (case, manifest, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_errors(case, &create_errors(&manifest, &features(36)), &expected);
    }
}

#[test]
fn names() {
    let named = |name: &str, manifest: &JobManifest| {
        let key = ObjectKey::new("default", name);
        super::super::create::validate(&super::super::defaults::new_job(
            Time::ZERO,
            &key,
            Uid(0),
            manifest,
            &features(36),
        ))
    };
    let host = "metadata.name|Invalid|will not able to create pod with invalid DNS label: ";
    assert_errors("61 + -0", &named(&"a".repeat(61), &indexed(10)), &[]);
    assert_errors("61 + -10", &named(&"a".repeat(61), &indexed(11)), &[host]);
    assert_errors("dots", &named("a.b", &indexed(1)), &[host]);
    assert_errors("dots without indexes", &named("a.b", &plain()), &[]);
    assert_errors("no completions", &named("a.b", &indexed(0)), &[]);
    assert_errors(
        "no subdomain",
        &named("My_Job", &plain()),
        &["metadata.name|Invalid|a lowercase RFC 1123 subdomain"],
    );
}

/// `TestSetDefaultJob`.
#[test]
fn defaults() {
    let spec = |manifest: &JobManifest, minor| admitted(manifest, &features(minor)).spec;
    let sizes = |parallelism, completions| {
        let spec = spec(&JobManifest { parallelism, completions, ..plain() }, 36);
        (spec.parallelism, spec.completions)
    };
    assert_eq!(sizes(None, None), (1, Some(1)));
    assert_eq!(sizes(Some(5), None), (5, None));
    assert_eq!(sizes(None, Some(5)), (1, Some(5)));
    assert_eq!(sizes(Some(0), Some(0)), (0, Some(0)));

    assert_eq!(spec(&plain(), 36).backoff_limit, 6);
    let per_index = JobManifest { backoff_limit_per_index: Some(1), ..indexed(2) };
    for minor in [28, 36] {
        assert_eq!(spec(&per_index, minor).backoff_limit, i32::MAX, "before the field is dropped in 1.28");
    }
    assert_eq!(spec(&per_index, 28).backoff_limit_per_index, None);

    let policy = with_rules(plain(), vec![rule(PodFailureAction::Ignore, ready_conditions(1))]);
    assert_eq!(spec(&plain(), 28).pod_replacement_policy, None);
    assert_eq!(spec(&plain(), 29).pod_replacement_policy, Some(PodReplacementPolicy::TerminatingOrFailed));
    assert_eq!(spec(&policy, 29).pod_replacement_policy, Some(PodReplacementPolicy::Failed));
}

/// `TestJobStrategy_PrepareForCreate`: "generate selectors".
#[test]
fn generated_selector_and_labels() {
    let job = admitted(&plain(), &features(36));
    let generated = [
        ("job-name", "myjob"),
        ("batch.kubernetes.io/job-name", "myjob"),
        ("controller-uid", "uid-7"),
        ("batch.kubernetes.io/controller-uid", "uid-7"),
    ];
    let mut expected = labels(&generated);
    expected.insert("foo".into(), "bar".into());
    assert_eq!(*job.spec.template.labels, expected);
    assert_eq!(*job.labels, expected, "a Job without labels takes those of its template");
    assert_eq!(*job.spec.selector, labels(&[("batch.kubernetes.io/controller-uid", "uid-7")]));

    let own = JobManifest { labels: labels(&[("team", "a")]), ..plain() };
    assert_eq!(*admitted(&own, &features(36)).labels, labels(&[("team", "a")]));
}
