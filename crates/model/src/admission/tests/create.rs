//! `TestValidateJob` and the defaulting of `TestSetDefaultJob` and `TestJobStrategy_PrepareForCreate`.

use super::policies::{ready_conditions, rule, with_rules};
use super::*;
use crate::objects::{PodFailureAction, PodReplacementPolicy};

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
    let cases: [(&str, JobManifest, &[&str]); 8] = [
        ("valid manual selector", manual(Some(&[("foo", "bar")])), &[]),
        ("an empty selector, which is not a missing one", manual(Some(&[])), &[]),
        (
            "a selector that cannot be compared (`LabelSelectorAsSelector` fails)",
            manual(Some(&[("foo", "-")])),
            &["spec.selector.matchLabels|Invalid|a valid label must be"],
        ),
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
                "metadata.labels|Invalid|must be no more than 63 bytes",
                "spec.template.labels|Invalid|must be no more than 63 bytes",
            ],
        ),
    ];
    for (case, manifest, expected) in cases {
        assert_errors(case, &create_errors(&manifest, &features(36)), expected);
    }
}

/// A Job without labels gets the generated ones only when it is read again (`SetDefaults_Job` runs before
/// `generateSelector`), so those are judged in the template alone.
#[test]
fn a_new_job_without_labels_has_none_to_judge() {
    let key = ObjectKey::new("default", "n".repeat(64));
    let unlabelled = PodTemplate { labels: Arc::default(), ..template() };
    let manifest = JobManifest { template: Some(Arc::new(unlabelled)), ..plain() };
    let mut job = super::super::defaults::new_job(Time::ZERO, &key, Uid(7), &manifest, &features(36));
    let too_long = "spec.template.labels|Invalid|must be no more than 63 bytes";
    assert_errors("judged", &super::super::create::validate_new(&job, &manifest), &[too_long, too_long]);
    super::super::defaults::read_back(&mut job);
    assert_eq!(job.labels, job.spec.template.labels);
}

/// `ValidateFinalizers` and `validateKubeFinalizerName`.
#[test]
fn finalizers() {
    let with = |finalizers: &[&str]| JobManifest {
        finalizers: finalizers.iter().map(|&finalizer| finalizer.into()).collect(),
        ..plain()
    };
    for (case, manifest, expected) in [
        ("owned", with(&["example.com/hold", "orphan", "kubernetes"]), &[][..]),
        (
            "shape",
            with(&["-/x"]),
            &["metadata.finalizers|Invalid|prefix part a lowercase RFC 1123 subdomain"],
        ),
        (
            "nobody's",
            with(&["hold"]),
            &["metadata.finalizers[0]|Invalid|name is neither a standard finalizer name"],
        ),
        (
            "both",
            with(&["orphan", "foregroundDeletion"]),
            &["metadata.finalizers|Invalid|finalizer orphan and foregroundDeletion cannot be both set"],
        ),
    ] {
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
    let cases: [(&str, JobManifest, Vec<String>); 5] = [
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
            with_spec(|spec| spec.containers.push(container("a_b"))),
            vec![format!("{spec}.containers[1].name|Invalid|a lowercase RFC 1123 label")],
        ),
        (
            "a subdomain is no label",
            with_spec(|spec| spec.containers.push(container("a.b"))),
            vec![format!("{spec}.containers[1].name|Invalid|must not contain dots")],
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
