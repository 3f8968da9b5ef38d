//! `TestValidateJobUpdate`, `TestJobStrategy_PrepareForUpdate` and `TestJobStrategy_ValidateUpdate`.

use super::*;
use crate::objects::{
    PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule, PodReplacementPolicy, SuccessPolicy,
    SuccessRule, Toleration,
};
use crate::server::ClearedField;

/// The errors of one update, each once, whatever the version.
fn update_errors(old: &Job, change: &JobManifest, features: &Features) -> Vec<FieldError> {
    let new = super::super::defaults::merged_job(old, change, features);
    super::super::update::validate(&new, old, features)
}

/// Judged by 1.37, which names every error once.
fn once(old: &Job, change: &JobManifest) -> Vec<FieldError> {
    update_errors(old, change, &features(37))
}

fn scaled(completions: i32, parallelism: i32) -> JobManifest {
    JobManifest { completions: Some(completions), parallelism: Some(parallelism), ..JobManifest::default() }
}

#[test]
fn elastic_rule() {
    let elastic = admitted(&JobManifest { parallelism: Some(3), ..indexed(3) }, &features(37));
    let lopsided = admitted(&JobManifest { parallelism: Some(1), ..indexed(3) }, &features(37));
    let plain = admitted(&JobManifest { completions: Some(2), ..plain() }, &features(37));
    let tandem: &[&str] = &["spec.completions|Invalid|can only be modified in tandem with spec.parallelism"];
    let immutable: &[&str] = &["spec.completions|Invalid|field is immutable"];
    let parallelism = |parallelism| JobManifest { parallelism: Some(parallelism), ..JobManifest::default() };
    let cleared = JobManifest { cleared: vec![ClearedField::Completions], ..JobManifest::default() };
    let cases: [(&str, &Job, JobManifest, &[&str]); 10] = [
        ("update completions and parallelism to same value is valid", &elastic, scaled(4, 4), &[]),
        ("to 0", &elastic, scaled(0, 0), &[]),
        (
            "previous parallelism != previous completions, new parallelism == new completions",
            &lopsided,
            scaled(4, 4),
            &[],
        ),
        (
            "indexed job updating completions and parallelism to different values is invalid",
            &elastic,
            scaled(5, 4),
            tandem,
        ),
        (
            "completions alone, away from parallelism",
            &elastic,
            JobManifest { completions: Some(4), ..JobManifest::default() },
            tandem,
        ),
        (
            "completions alone, to parallelism",
            &lopsided,
            JobManifest { completions: Some(1), ..JobManifest::default() },
            &[],
        ),
        ("parallelism reduced to less than completions", &elastic, parallelism(1), &[]),
        ("parallelism increased higher than completions", &elastic, parallelism(9), &[]),
        ("immutable completions for non-indexed jobs", &plain, scaled(3, 3), immutable),
        (
            "indexed job with completions set updated to nil does not panic",
            &elastic,
            cleared,
            &["spec.completions|Required|when completion mode is Indexed"],
        ),
    ];
    for (case, old, change, expected) in cases {
        assert_errors(case, &once(old, &change), expected);
    }
    let mut without_gate = features(30);
    without_gate.elastic_indexed_job = false;
    assert_errors("feature flag off", &update_errors(&elastic, &scaled(4, 4), &without_gate), immutable);
}

#[test]
fn scaling_is_judged_by_the_rules_for_new_jobs_too() {
    let named = |name: &str, manifest: &JobManifest| {
        let key = ObjectKey::new("default", name);
        super::super::defaults::new_job(Time::ZERO, &key, Uid(7), manifest, &features(37))
    };
    let long = named(&"a".repeat(61), &JobManifest { parallelism: Some(10), ..indexed(10) });
    assert_errors("10 indexes of one digit", &once(&long, &scaled(9, 9)), &[]);
    assert_errors(
        "the host name gets too long",
        &once(&long, &scaled(11, 11)),
        &["metadata.name|Invalid|will not able"],
    );

    let rule = SuccessRule { succeeded_indexes: Some("0,2".into()), succeeded_count: None };
    let policy = Some(Arc::new(SuccessPolicy { rules: vec![rule] }));
    let judged = named("judged", &JobManifest { success_policy: policy, ..indexed(4) });
    assert_errors("down to its largest index", &once(&judged, &scaled(3, 3)), &[]);
    assert_errors(
        "below its largest index",
        &once(&judged, &scaled(2, 2)),
        &["spec.successPolicy.rules[0].succeededIndexes|Invalid|error parsing"],
    );
    let large = named("large", &JobManifest { parallelism: Some(10), ..indexed(10) });
    assert_errors("100000", &once(&large, &scaled(100_000, 100_000)), &[]);
    assert_errors(
        "100001",
        &once(&large, &scaled(100_001, 100_001)),
        &["spec.parallelism|Invalid|must be less"],
    );
}

#[test]
fn spec_errors_are_reported_twice_up_to_1_36() {
    let job = admitted(&indexed(3), &features(36));
    let change = JobManifest { parallelism: Some(-1), ..JobManifest::default() };
    assert_eq!(update_errors(&job, &change, &features(36)).len(), 2);
    assert_eq!(update_errors(&job, &change, &features(37)).len(), 1);
    let scaled = scaled(5, 4);
    assert_eq!(update_errors(&job, &scaled, &features(36)).len(), 1, "rules for updates are applied once");
}

#[test]
fn immutable_and_mutable_fields() {
    let rule = PodFailureRule {
        action: PodFailureAction::Ignore,
        matches: PodFailureMatch::PodConditions(vec![("Ready".into(), ConditionStatus::True)]),
    };
    let failure = Some(Arc::new(PodFailurePolicy { rules: vec![rule] }));
    let success_rule = SuccessRule { succeeded_indexes: None, succeeded_count: Some(1) };
    let success = Some(Arc::new(SuccessPolicy { rules: vec![success_rule] }));
    let full = JobManifest {
        backoff_limit_per_index: Some(1),
        pod_failure_policy: failure.clone(),
        success_policy: success.clone(),
        managed_by: Some("example.com/foo".into()),
        ..indexed(3)
    };
    let (full, bare) = (admitted(&full, &features(37)), admitted(&indexed(3), &features(37)));
    let given = JobManifest::default;
    let cleared = |field| JobManifest { cleared: vec![field], ..given() };
    let failed = Some(PodReplacementPolicy::Failed);
    let cases: [(&str, &Job, JobManifest, &str); 16] = [
        ("add success policy", &bare, JobManifest { success_policy: success, ..given() }, "successPolicy"),
        ("remove success policy", &full, cleared(ClearedField::SuccessPolicy), "successPolicy"),
        (
            "add pod failure policy",
            &bare,
            JobManifest { pod_failure_policy: failure, pod_replacement_policy: failed, ..given() },
            "podFailurePolicy",
        ),
        ("remove pod failure policy", &full, cleared(ClearedField::PodFailurePolicy), "podFailurePolicy"),
        (
            "set backoff limit per index",
            &bare,
            JobManifest { backoff_limit_per_index: Some(1), ..given() },
            "backoffLimitPerIndex",
        ),
        (
            "unset backoff limit per index",
            &full,
            cleared(ClearedField::BackoffLimitPerIndex),
            "backoffLimitPerIndex",
        ),
        (
            "update backoff limit per index",
            &full,
            JobManifest { backoff_limit_per_index: Some(2), ..given() },
            "backoffLimitPerIndex",
        ),
        ("set max failed indexes", &full, JobManifest { max_failed_indexes: Some(1), ..given() }, ""),
        ("pod replacement policy", &bare, JobManifest { pod_replacement_policy: failed, ..given() }, ""),
        ("suspend", &bare, JobManifest { suspend: Some(true), ..given() }, ""),
        ("backoff limit", &bare, JobManifest { backoff_limit: Some(0), ..given() }, ""),
        ("deadline", &bare, JobManifest { active_deadline_seconds: Some(5), ..given() }, ""),
        (
            "invalid attempt to set managedBy field",
            &bare,
            JobManifest { managed_by: Some("example.com/foo".into()), ..given() },
            "managedBy",
        ),
        (
            "invalid update of the managedBy field",
            &full,
            JobManifest { managed_by: Some("example.com/bar".into()), ..given() },
            "managedBy",
        ),
        ("unset managedBy", &full, cleared(ClearedField::ManagedBy), "managedBy"),
        (
            "same again",
            &full,
            JobManifest {
                template: Some(Arc::new(template())),
                managed_by: Some("example.com/foo".into()),
                ..given()
            },
            "",
        ),
    ];
    for (case, old, change, field) in cases {
        let expected = format!("spec.{field}|Invalid|field is immutable");
        let expected: &[&str] = if field.is_empty() { &[] } else { &[&expected] };
        assert_errors(case, &once(old, &change), expected);
    }
    let mode = JobManifest { completion_mode: Some(CompletionMode::NonIndexed), ..given() };
    assert_errors(
        "immutable completion mode",
        &once(&bare, &mode),
        &["spec.completionMode|Invalid|field is immutable"],
    );
    let manual =
        JobManifest { manual_selector: Some(true), selector: Some(labels(&[("foo", "bar")])), ..plain() };
    let selecting = admitted(&manual, &features(37));
    let more = JobManifest { selector: Some(labels(&[("foo", "bar"), ("job-name", "x")])), ..given() };
    assert_errors(
        "immutable selector",
        &once(&selecting, &more),
        &["spec.template.metadata.labels|Invalid", "spec.selector|Invalid|field is immutable"],
    );
}

/// What an update does to the template, and whether it counts as scheduling, resources, or neither.
fn template_changes() -> Vec<(&'static str, PodTemplate)> {
    let changed = |change: fn(&mut PodTemplate)| {
        let mut template = template();
        change(&mut template);
        template
    };
    vec![
        ("scheduling", changed(|it| Arc::make_mut(&mut it.spec).node_selector = labels(&[("zone", "a")]))),
        (
            "scheduling",
            changed(|it| {
                let any = Toleration { key: None, value: None, effect: None, toleration_seconds: None };
                Arc::make_mut(&mut it.spec).tolerations = vec![any];
            }),
        ),
        ("scheduling", changed(|it| Arc::make_mut(&mut it.spec).scheduling_gates = vec!["gate".into()])),
        ("scheduling", changed(|it| it.annotations = Arc::new(labels(&[("a", "b")])))),
        ("scheduling", changed(|it| it.labels = Arc::new(labels(&[("foo", "bar"), ("a", "b")])))),
        ("resources", changed(|it| Arc::make_mut(&mut it.spec).containers[0].cpu_request_milli = 5)),
        ("resources", changed(|it| Arc::make_mut(&mut it.spec).init_containers[0].cpu_request_milli = 5)),
        ("neither", changed(|it| Arc::make_mut(&mut it.spec).termination_grace_period_s = 5)),
        ("neither", changed(|it| Arc::make_mut(&mut it.spec).containers[0].name = "new".into())),
        ("neither", changed(|it| Arc::make_mut(&mut it.spec).containers.push(container("more")))),
    ]
}

/// Its name, manifest and status, and what may change in 1.35 and in 1.36.
type Premise<'a> = (&'a str, &'a JobManifest, JobStatus, &'a [&'a str], &'a [&'a str]);

/// `TestValidateJobUpdate` on templates with the premises of `TestJobStrategy_ValidateUpdate`.
#[test]
fn template_mutability() {
    let suspended = JobManifest { suspend: Some(true), ..plain() };
    let started = JobStatus { start_time: Some(Time::ZERO), ..JobStatus::default() };
    let at_rest =
        JobStatus { conditions: true_conditions(&[JobConditionType::Suspended]), ..started.clone() };
    let stopping = JobStatus { active: 1, ..at_rest.clone() };
    let premises: [Premise<'_>; 5] = [
        ("running", &plain(), started.clone(), &[], &[]),
        ("never started", &suspended, JobStatus::default(), &["scheduling"], &["scheduling", "resources"]),
        ("started once", &suspended, started, &[], &[]),
        ("suspended again", &suspended, at_rest, &[], &["scheduling", "resources"]),
        ("suspended, pods still there", &suspended, stopping, &[], &[]),
    ];
    for (premise, manifest, status, in_1_35, in_1_36) in premises {
        for (minor, allowed) in [(35, in_1_35), (36, in_1_36)] {
            let old = with_status(admitted(manifest, &features(minor)), status.clone());
            for (position, (kind, template)) in template_changes().into_iter().enumerate() {
                let change = JobManifest { template: Some(Arc::new(template)), ..JobManifest::default() };
                let errors = update_errors(&old, &change, &features(minor));
                let is_at_rest = !in_1_36.is_empty() && minor == 36;
                let field = if is_at_rest { "spec.template.spec" } else { "spec.template" };
                let expected = format!("{field}|Invalid|field is immutable");
                let expected: &[&str] = if allowed.contains(&kind) { &[] } else { &[&expected] };
                assert_errors(&format!("{premise}, 1.{minor}, {kind} ({position})"), &errors, expected);
            }
        }
    }
}

#[test]
fn finalizers_cannot_be_added_while_deleting() {
    let mut job = admitted(&plain(), &features(37));
    let change = JobManifest { finalizers: vec!["example.com/hold".into()], ..JobManifest::default() };
    assert_errors("alive", &once(&job, &change), &[]);
    job.deletion_time = Some(Time::ZERO);
    let detail = "no new finalizers can be added if the object is being deleted, found new finalizers \
                  []string{\"example.com/hold\"}";
    let expected = format!("metadata.finalizers|Forbidden|{detail}");
    assert_errors("deleting", &once(&job, &change), &[&expected, &expected]);
}

/// Metadata is judged by `BeforeUpdate` twice and by `ValidateJobUpdate`, and up to 1.36 by `ValidateJob` too.
#[test]
fn metadata_is_judged_again_and_again() {
    let change = JobManifest { labels: labels(&[("-", "")]), ..JobManifest::default() };
    for (minor, count) in [(36, 4), (37, 3)] {
        let job = admitted(&plain(), &features(minor));
        let new = super::super::defaults::merged_job(&job, &change, &features(minor));
        let errors = super::super::update::validate(&new, &job, &features(minor));
        assert_errors(
            &format!("1.{minor}"),
            &errors,
            &["metadata.labels|Invalid|name part must consist"].repeat(count),
        );
    }
}

/// `ValidateJobUpdate` with `RequirePrefixedLabels` off: the old template was without the newer labels.
#[test]
fn older_jobs_need_only_the_older_labels() {
    let mut old = admitted(&plain(), &features(36));
    old.spec.manual_selector = Some(true);
    let template = Arc::make_mut(&mut old.spec.template);
    Arc::make_mut(&mut template.labels).retain(|label, _| !label.starts_with("batch.kubernetes.io/"));
    old.spec.selector = Arc::default();
    let change = JobManifest { manual_selector: Some(false), ..JobManifest::default() };
    let new = super::super::defaults::merged_job(&old, &change, &features(36));
    assert_errors("older", &super::super::update::validate(&new, &old, &features(36)), &[]);
}

/// A null is defaulted again.
#[test]
fn cleared_fields_are_defaulted_again() {
    let old = admitted(
        &JobManifest {
            backoff_limit: Some(3),
            parallelism: Some(5),
            active_deadline_seconds: Some(9),
            ..plain()
        },
        &features(36),
    );
    let cleared =
        [ClearedField::BackoffLimit, ClearedField::Parallelism, ClearedField::ActiveDeadlineSeconds];
    let change = JobManifest { cleared: cleared.to_vec(), ..JobManifest::default() };
    let new = super::super::defaults::merged_job(&old, &change, &features(36)).spec;
    assert_eq!((new.backoff_limit, new.parallelism, new.active_deadline_seconds), (6, 1, None));
}

/// 1.28 and 1.29 have no such field; 1.30 and 1.31 have it with the gate off, and drop it from new Jobs only.
#[test]
fn managed_by_of_versions_without_the_gate() {
    let change = JobManifest { managed_by: Some("acme.io/foo".into()), ..JobManifest::default() };
    for (minor, is_refused) in [(28, false), (29, false), (30, true), (31, true)] {
        let features = features(minor);
        let job = admitted(&plain(), &features);
        let errors = update_errors(&job, &change, &features);
        let expected: &[&str] = if is_refused { &["spec.managedBy|Invalid|field is immutable"] } else { &[] };
        assert_errors(&format!("1.{minor}"), &errors, expected);
    }
}
