//! Random Jobs and random changes of them.

use std::sync::Arc;

use towtank_model::objects::{
    CompletionMode, ConditionStatus, Container, Job, Labels, PodFailureAction, PodFailureMatch,
    PodFailurePolicy, PodFailureRule, PodReplacementPolicy, PodSpec, PodTemplate, RestartPolicy,
    SuccessPolicy, SuccessRule, TRACKING_FINALIZER, TaintEffect, Toleration,
};
use towtank_model::server::{ClearedField, JobManifest};

use crate::draw::Draw;

/// A new Job: often good, seldom simple.
pub(super) fn new_job(draw: &mut Draw) -> JobManifest {
    let is_indexed = draw.one_in(2);
    let mut manifest = JobManifest {
        labels: draw.maybe(3, Draw::labels).unwrap_or_default(),
        finalizers: draw.maybe(8, Draw::finalizers).unwrap_or_default(),
        completion_mode: is_indexed.then_some(CompletionMode::Indexed),
        completions: (is_indexed || draw.one_in(2)).then(|| draw.count()),
        parallelism: draw.maybe(2, Draw::count),
        template: Some(Arc::new(template(draw))),
        ..JobManifest::default()
    };
    if draw.one_in(3) {
        // The elastic rule wants both to be equal.
        manifest.parallelism = manifest.completions;
    }
    for _ in 0..draw.below(5) {
        set_field(draw, &mut manifest);
    }
    if draw.one_in(12) {
        manual_selector(draw, &mut manifest);
    }
    manifest
}

/// A selector by the user, that may or may not select what the template makes.
fn manual_selector(draw: &mut Draw, manifest: &mut JobManifest) {
    manifest.manual_selector = draw.one_of(&[None, Some(true), Some(true), Some(true), Some(false)]);
    let labels = draw.labels();
    manifest.selector = draw.one_of(&[None, Some(Labels::new()), Some(labels.clone()), Some(labels)]);
    if let (Some(selector), Some(template), true) =
        (&manifest.selector, &mut manifest.template, draw.one_in(2))
    {
        let labels = &mut Arc::make_mut(template).labels;
        Arc::make_mut(labels).extend(selector.clone());
    }
}

/// Sets one of the optional fields.
fn set_field(draw: &mut Draw, manifest: &mut JobManifest) {
    match draw.below(12) {
        0 => manifest.backoff_limit = Some(draw.count()),
        1 => manifest.backoff_limit_per_index = Some(draw.count()),
        2 => {
            manifest.max_failed_indexes = Some(draw.count());
            if !draw.one_in(4) {
                manifest.backoff_limit_per_index = Some(draw.count());
            }
        }
        3 => manifest.active_deadline_seconds = Some(draw.one_of(&[-1, 0, 1, 60, i64::MAX, i64::MIN])),
        4 => manifest.ttl_seconds_after_finished = Some(draw.count()),
        5 | 6 => manifest.suspend = Some(!draw.one_in(4)),
        7 => {
            let policies = [PodReplacementPolicy::Failed, PodReplacementPolicy::TerminatingOrFailed];
            manifest.pod_replacement_policy = Some(draw.one_of(&policies));
        }
        8 => manifest.pod_failure_policy = Some(failure_policy(draw)),
        9 => manifest.success_policy = Some(success_policy(draw)),
        10 => manifest.managed_by = Some(managed_by(draw).into()),
        _ => {
            let modes =
                [CompletionMode::NonIndexed, CompletionMode::Indexed, CompletionMode::Other("Odd".into())];
            manifest.completion_mode = Some(draw.one_of(&modes));
        }
    }
}

fn managed_by(draw: &mut Draw) -> String {
    const TEXTS: &[&str] = &[
        "kubernetes.io/job-controller",
        "acme.io/foo",
        "acme.io/foo/bar",
        "",
        "foo",
        "/foo",
        "acme.io/",
        "Acme.io/x",
        "acme.io/f oo",
        "acme.io/%20",
        "acme..io/x",
        "a/b\"c",
    ];
    match draw.below(8) {
        0 => format!("acme.io/{}", "x".repeat(53 + draw.below(5))),
        1 => format!("{}/x", "a".repeat(252 + draw.below(3))),
        _ => draw.one_of(TEXTS).to_owned(),
    }
}

fn failure_policy(draw: &mut Draw) -> Arc<PodFailurePolicy> {
    let count = if draw.one_in(20) { 19 + draw.below(4) } else { draw.below(4) };
    Arc::new(PodFailurePolicy { rules: (0..count).map(|_| failure_rule(draw)).collect() })
}

fn failure_rule(draw: &mut Draw) -> PodFailureRule {
    use PodFailureAction::{Count, FailIndex, FailJob, Ignore};
    let action = draw.one_of(&[FailJob, FailJob, Ignore, Count, FailIndex]);
    let matches = if draw.one_in(2) {
        let mut values = if draw.one_in(30) {
            (1..255 + i32::try_from(draw.below(4)).unwrap_or(0)).collect()
        } else {
            draw.list(4, |draw| draw.one_of(&[0, 1, 2, 3, 42, 137, -1, 256]))
        };
        if !draw.one_in(6) {
            values.sort_unstable();
            values.dedup();
        }
        let container_name = draw.maybe(2, |draw| draw.word(&["main", "main", "init", "other"]).into());
        PodFailureMatch::ExitCodes { container_name, is_in: draw.one_in(2), values }
    } else {
        let count = if draw.one_in(30) { 19 + draw.below(4) } else { draw.below(3) };
        PodFailureMatch::PodConditions((0..count).map(|_| condition_pattern(draw)).collect())
    };
    PodFailureRule { action, matches }
}

fn condition_pattern(draw: &mut Draw) -> (Arc<str>, ConditionStatus) {
    const TYPES: &[&str] = &["DisruptionTarget", "acme.io/Own", "", "a b", "/x", "x/", "A/b"];
    let kind = if draw.one_in(3) { draw.one_of(TYPES) } else { TYPES[0] };
    let statuses = [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown];
    (kind.into(), draw.one_of(&statuses))
}

fn success_policy(draw: &mut Draw) -> Arc<SuccessPolicy> {
    let count = if draw.one_in(20) { 19 + draw.below(4) } else { draw.below(4) };
    let rules = (0..count).map(|_| {
        if draw.one_in(80) {
            let indexes = format!("0,{}", "1".repeat(65_533 + draw.below(4)));
            return SuccessRule { succeeded_indexes: Some(indexes.into()), succeeded_count: None };
        }
        SuccessRule {
            succeeded_indexes: draw.maybe(2, |draw| draw.indexes().into()),
            succeeded_count: draw.maybe(2, Draw::count),
        }
    });
    Arc::new(SuccessPolicy { rules: rules.collect() })
}

fn template(draw: &mut Draw) -> PodTemplate {
    let mut template = PodTemplate {
        labels: Arc::new(draw.maybe(3, Draw::labels).unwrap_or_default()),
        annotations: Arc::new(draw.maybe(6, Draw::annotations).unwrap_or_default()),
        finalizers: [].into(),
        spec: Arc::new(PodSpec {
            restart_policy: RestartPolicy::Never,
            containers: vec![container(draw, &["main"])],
            ..PodSpec::default()
        }),
    };
    for _ in 0..draw.below(3) {
        change_template(draw, &mut template);
    }
    template
}

fn container(draw: &mut Draw, names: &[&str]) -> Container {
    Container {
        name: draw.word(names).into(),
        cpu_request_milli: draw.one_of(&[0, 0, 100, 1_000, 1_500, 2_000_000]),
        is_sidecar: false,
    }
}

/// Changes one thing of a template.
fn change_template(draw: &mut Draw, template: &mut PodTemplate) {
    match draw.below(14) {
        0 => {
            let labels = draw.labels();
            Arc::make_mut(&mut template.labels).extend(labels);
            return;
        }
        1 => {
            template.labels = Arc::default();
            return;
        }
        2 => {
            template.annotations = Arc::new(draw.annotations());
            return;
        }
        3 => {
            template.finalizers = draw.finalizers().into();
            if draw.one_in(4) {
                template.finalizers = [TRACKING_FINALIZER.into()].into();
            }
            return;
        }
        _ => {}
    }
    change_spec(draw, Arc::make_mut(&mut template.spec));
}

/// Changes one thing of a pod's spec.
pub(super) fn change_spec(draw: &mut Draw, spec: &mut PodSpec) {
    match draw.below(10) {
        0 => {
            let policies = [
                RestartPolicy::OnFailure,
                RestartPolicy::OnFailure,
                RestartPolicy::Never,
                RestartPolicy::Always,
            ];
            spec.restart_policy = draw.one_of(&policies);
        }
        1 => {
            if draw.one_in(6) {
                spec.containers.clear();
            }
            let more = draw.list(2, |draw| container(draw, &["main", "second", "third"]));
            spec.containers.extend(more);
        }
        2 | 3 => {
            for container in &mut spec.containers {
                container.cpu_request_milli = draw.one_of(&[0, 100, 250, 1_000]);
            }
        }
        4 => {
            let mut init = container(draw, &["init", "side", "main"]);
            init.is_sidecar = draw.one_in(2);
            spec.init_containers.push(init);
        }
        5 => {
            for container in &mut spec.init_containers {
                container.cpu_request_milli = draw.one_of(&[0, 100]);
                container.is_sidecar = draw.one_in(4) != container.is_sidecar;
            }
        }
        6 => spec.termination_grace_period_s = draw.one_of(&[0, 1, 30, 60]),
        7 => spec.node_selector = draw.labels(),
        8 => spec.tolerations = draw.list(3, toleration),
        _ => {
            const GATES: &[&str] = &["acme.io/gate", "acme.io/gate", "other", "", "a b", "x/y/z"];
            spec.scheduling_gates = draw.list(3, |draw| draw.one_of(GATES).into());
        }
    }
}

fn toleration(draw: &mut Draw) -> Toleration {
    const KEYS: &[&str] = &["k", "acme.io/k", "a b", "x/"];
    use TaintEffect::{NoExecute, NoSchedule, PreferNoSchedule};
    Toleration {
        key: draw
            .one_of(&[None, Some(0), Some(0), Some(1), Some(2), Some(3)])
            .map(|key: usize| KEYS[key].into()),
        value: draw.maybe(2, |draw| draw.one_of(&["", "v", "a b", "-"]).into()),
        effect: draw.one_of(&[
            None,
            Some(NoSchedule),
            Some(PreferNoSchedule),
            Some(NoExecute),
            Some(NoExecute),
        ]),
        toleration_seconds: draw.maybe(3, |draw| draw.one_of(&[-1, 0, 300])),
    }
}

/// A random change of a Job.
pub(super) fn change(draw: &mut Draw, job: &Job) -> JobManifest {
    let mut manifest = JobManifest::default();
    for _ in 0..=draw.below(3) {
        match draw.below(16) {
            0 | 1 => manifest.parallelism = Some(draw.count()),
            2 => manifest.completions = Some(draw.count()),
            3 | 4 => {
                manifest.completions = Some(draw.count());
                manifest.parallelism = manifest.completions;
            }
            5 | 6 => manifest.suspend = Some(draw.one_in(2)),
            7 | 8 => manifest.cleared.push(draw.one_of(&CLEARABLE)),
            9 => manifest.labels = draw.labels(),
            10 => manifest.finalizers = draw.finalizers(),
            11..14 => {
                let mut template =
                    PodTemplate::clone(manifest.template.as_ref().unwrap_or(&job.spec.template));
                change_template(draw, &mut template);
                manifest.template = Some(Arc::new(template));
            }
            14 if draw.one_in(6) => manual_selector(draw, &mut manifest),
            _ => set_field(draw, &mut manifest),
        }
    }
    manifest
}

const CLEARABLE: [ClearedField; 13] = [
    ClearedField::Parallelism,
    ClearedField::Completions,
    ClearedField::CompletionMode,
    ClearedField::BackoffLimit,
    ClearedField::BackoffLimitPerIndex,
    ClearedField::MaxFailedIndexes,
    ClearedField::ActiveDeadlineSeconds,
    ClearedField::TtlSecondsAfterFinished,
    ClearedField::Suspend,
    ClearedField::PodReplacementPolicy,
    ClearedField::PodFailurePolicy,
    ClearedField::SuccessPolicy,
    ClearedField::ManagedBy,
];
