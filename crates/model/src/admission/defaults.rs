//! From a manifest to a Job: defaulting (`SetDefaults_Job`), generated selector and labels (`generateSelector`), and
//! fields of features that are off, which are dropped (`PrepareForCreate`, `PrepareForUpdate`).

use std::sync::Arc;

use crate::objects::{
    CONTROLLER_UID_LABEL, CompletionMode, JOB_NAME_LABEL, Job, JobSpec, JobStatus,
    LEGACY_CONTROLLER_UID_LABEL, LEGACY_JOB_NAME_LABEL, ObjectKey, PodFailureAction, PodFailurePolicy,
    PodReplacementPolicy, PodSpec, PodTemplate, Uid,
};
use crate::server::{ClearedField, JobManifest};
use crate::time::Time;
use crate::version::Features;

/// `spec.backoffLimit` when the manifest gives none.
const BACKOFF_LIMIT: i32 = 6;
/// The minor version from which on `managedBy` is a field: earlier ones drop it like any other that they do not know. The
/// two whose gate is off drop it from new Jobs only, and an update that sets it is refused.
const MANAGED_BY_SINCE: u16 = 30;

/// The minor version from which on `manualSelector` has a default.
const MANUAL_SELECTOR_SINCE: u16 = 29;

/// The labels that are generated for the pods of this Job.
fn generated_labels(key: &ObjectKey, uid: Uid) -> [(&'static str, Arc<str>); 4] {
    let uid: Arc<str> = uid.to_string().into();
    [
        (LEGACY_JOB_NAME_LABEL, Arc::clone(&key.name)),
        (JOB_NAME_LABEL, Arc::clone(&key.name)),
        (LEGACY_CONTROLLER_UID_LABEL, Arc::clone(&uid)),
        (CONTROLLER_UID_LABEL, uid),
    ]
}

/// A new Job as `manifest` describes it, defaulted, not yet validated.
pub fn new_job(now: Time, key: &ObjectKey, uid: Uid, manifest: &JobManifest, features: &Features) -> Job {
    let mut spec = empty_spec();
    let blank = Blank { parallelism: true, completions: true, backoff_limit: true, replacement: true };
    apply(&mut spec, manifest, blank, features);
    drop_disabled(&mut spec, None, features);
    let mut template = prepared_template(manifest.template.as_deref().unwrap_or(&spec.template), features);
    let has_labels = !manifest.labels.is_empty() || !template.labels.is_empty();
    if !spec.is_selector_manual() {
        generate_selector(&mut spec, &mut template, key, uid);
    }
    let labels = match manifest.labels.is_empty() {
        // A Job without labels of its own takes those of its template, and is then looked at as if it shared them: those
        // that are generated are among them. Without either it has none yet.
        true if has_labels => Arc::clone(&template.labels),
        true => Arc::default(),
        false => Arc::new(manifest.labels.clone()),
    };
    spec.template = Arc::new(template);
    Job {
        key: key.clone(),
        uid,
        resource_version: 0,
        generation: 1,
        labels,
        creation_time: now.truncated_to_second(),
        deletion_time: None,
        finalizers: manifest.finalizers.clone(),
        spec,
        status: JobStatus::default(),
    }
}

/// What defaulting makes of a Job whenever it is read: one without labels takes those of its template, which may have
/// none before it is stored. Returns whether it did.
pub fn read_back(job: &mut Job) -> bool {
    let takes_labels = job.labels.is_empty() && !job.spec.template.labels.is_empty();
    if takes_labels {
        job.labels = Arc::clone(&job.spec.template.labels);
    }
    takes_labels
}

/// `old` with the changes of `manifest`, not yet validated; the generation is still the old one.
pub fn merged_job(old: &Job, manifest: &JobManifest, features: &Features) -> Job {
    let mut job = old.clone();
    let blank = clear(&mut job.spec, &manifest.cleared);
    apply(&mut job.spec, manifest, blank, features);
    drop_disabled(&mut job.spec, Some(&old.spec), features);
    if let Some(template) = &manifest.template {
        let template = keep_generated_labels(prepared_template(template, features), old);
        if template != *old.spec.template {
            job.spec.template = Arc::new(template);
        }
    }
    if !manifest.labels.is_empty() && manifest.labels != *old.labels {
        job.labels = Arc::new(manifest.labels.clone());
    }
    for finalizer in &manifest.finalizers {
        if !job.finalizers.contains(finalizer) {
            job.finalizers.push(Arc::clone(finalizer));
        }
    }
    read_back(&mut job);
    job
}

/// `old` with the metadata and the spec that `manifest` writes in their place: what it leaves out is empty or defaulted, as
/// a PUT has it. Not yet validated; the generation is still the old one.
pub fn replaced_job(old: &Job, manifest: &JobManifest, features: &Features) -> Job {
    let mut job = old.clone();
    let mut spec = empty_spec();
    let blank = Blank { parallelism: true, completions: true, backoff_limit: true, replacement: true };
    apply(&mut spec, manifest, blank, features);
    drop_disabled(&mut spec, Some(&old.spec), features);
    let template = prepared_template(manifest.template.as_deref().unwrap_or(&spec.template), features);
    spec.template =
        if template == *old.spec.template { Arc::clone(&old.spec.template) } else { Arc::new(template) };
    job.spec = spec;
    if manifest.labels != *old.labels {
        job.labels = Arc::new(manifest.labels.clone());
    }
    job.finalizers.clone_from(&manifest.finalizers);
    read_back(&mut job);
    job
}

/// Fields with a default that hold nothing yet.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one flag per field that the spec cannot hold as absent")]
struct Blank {
    parallelism: bool,
    completions: bool,
    backoff_limit: bool,
    replacement: bool,
}

/// A spec in which nothing was given.
fn empty_spec() -> JobSpec {
    JobSpec {
        parallelism: 1,
        completions: None,
        completion_mode: CompletionMode::NonIndexed,
        backoff_limit: BACKOFF_LIMIT,
        backoff_limit_per_index: None,
        max_failed_indexes: None,
        active_deadline_seconds: None,
        ttl_seconds_after_finished: None,
        suspend: false,
        pod_replacement_policy: None,
        pod_failure_policy: None,
        success_policy: None,
        managed_by: None,
        manual_selector: None,
        selector: Arc::default(),
        template: Arc::default(),
    }
}

/// Empties the fields that were set to null.
fn clear(spec: &mut JobSpec, fields: &[ClearedField]) -> Blank {
    let mut blank = Blank { completions: spec.completions.is_none(), ..Blank::default() };
    for field in fields {
        match field {
            ClearedField::Parallelism => blank.parallelism = true,
            ClearedField::Completions => (spec.completions, blank.completions) = (None, true),
            ClearedField::CompletionMode => spec.completion_mode = CompletionMode::NonIndexed,
            ClearedField::BackoffLimit => blank.backoff_limit = true,
            ClearedField::BackoffLimitPerIndex => spec.backoff_limit_per_index = None,
            ClearedField::MaxFailedIndexes => spec.max_failed_indexes = None,
            ClearedField::ActiveDeadlineSeconds => spec.active_deadline_seconds = None,
            ClearedField::TtlSecondsAfterFinished => spec.ttl_seconds_after_finished = None,
            ClearedField::Suspend => spec.suspend = false,
            ClearedField::PodReplacementPolicy => {
                (spec.pod_replacement_policy, blank.replacement) = (None, true)
            }
            ClearedField::PodFailurePolicy => spec.pod_failure_policy = None,
            ClearedField::SuccessPolicy => spec.success_policy = None,
            ClearedField::ManagedBy => spec.managed_by = None,
        }
    }
    blank
}

/// Writes into `spec` what `manifest` gives, and defaults into fields that are still blank.
fn apply(spec: &mut JobSpec, manifest: &JobManifest, blank: Blank, features: &Features) {
    let given_or = |given: Option<i32>, present: i32, is_blank: bool, default: i32| {
        given.unwrap_or(if is_blank { default } else { present })
    };
    let is_sized = manifest.parallelism.is_some() || !blank.parallelism;
    if manifest.completions.is_some() {
        spec.completions = manifest.completions;
    } else if blank.completions && !is_sized {
        spec.completions = Some(1);
    }
    spec.parallelism = given_or(manifest.parallelism, spec.parallelism, blank.parallelism, 1);
    replace_if_given(&mut spec.backoff_limit_per_index, &manifest.backoff_limit_per_index);
    let default = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { BACKOFF_LIMIT };
    spec.backoff_limit = given_or(manifest.backoff_limit, spec.backoff_limit, blank.backoff_limit, default);
    if let Some(mode) = &manifest.completion_mode {
        spec.completion_mode = mode.clone();
    }
    spec.suspend = manifest.suspend.unwrap_or(spec.suspend);
    spec.manual_selector = manifest.manual_selector.or(spec.manual_selector);
    if features.version.minor() >= MANUAL_SELECTOR_SINCE {
        spec.manual_selector.get_or_insert(false);
    }
    replace_if_given(&mut spec.max_failed_indexes, &manifest.max_failed_indexes);
    replace_if_given(&mut spec.active_deadline_seconds, &manifest.active_deadline_seconds);
    replace_if_given(&mut spec.ttl_seconds_after_finished, &manifest.ttl_seconds_after_finished);
    replace_if_given(&mut spec.pod_failure_policy, &manifest.pod_failure_policy);
    replace_if_given(&mut spec.success_policy, &manifest.success_policy);
    replace_if_given(&mut spec.managed_by, &manifest.managed_by);
    replace_if_given(&mut spec.pod_replacement_policy, &manifest.pod_replacement_policy);
    if spec.pod_replacement_policy.is_none() && blank.replacement && features.pod_replacement_policy {
        spec.pod_replacement_policy = Some(if spec.pod_failure_policy.is_some() {
            PodReplacementPolicy::Failed
        } else {
            PodReplacementPolicy::TerminatingOrFailed
        });
    }
    if let Some(selector) = &manifest.selector {
        let labels = Arc::make_mut(&mut spec.selector);
        labels.extend(selector.iter().map(|(label, value)| (Arc::clone(label), Arc::clone(value))));
    }
}

fn replace_if_given<T: Clone>(present: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        present.clone_from(given);
    }
}

/// Drops fields whose feature is off, unless the stored Job has them already.
fn drop_disabled(spec: &mut JobSpec, old: Option<&JobSpec>, features: &Features) {
    if !features.pod_failure_policy && old.is_none_or(|old| old.pod_failure_policy.is_none()) {
        spec.pod_failure_policy = None;
    }
    if !features.managed_by && (old.is_none() || features.version.minor() < MANAGED_BY_SINCE) {
        spec.managed_by = None;
    }
    if !features.success_policy && old.is_none_or(|old| old.success_policy.is_none()) {
        spec.success_policy = None;
    }
    if !features.backoff_limit_per_index {
        if old.is_none_or(|old| old.backoff_limit_per_index.is_none()) {
            spec.backoff_limit_per_index = None;
        }
        if old.is_none_or(|old| old.max_failed_indexes.is_none()) {
            spec.max_failed_indexes = None;
        }
        if old.is_none()
            && let Some(policy) = &mut spec.pod_failure_policy
        {
            let rules = policy.rules.iter().filter(|rule| rule.action != PodFailureAction::FailIndex);
            *policy = Arc::new(PodFailurePolicy { rules: rules.cloned().collect() });
        }
    }
    if !features.pod_replacement_policy && old.is_none_or(|old| old.pod_replacement_policy.is_none()) {
        spec.pod_replacement_policy = None;
    }
}

/// A template without what the version does not know.
fn prepared_template(template: &PodTemplate, features: &Features) -> PodTemplate {
    let mut template = template.clone();
    template.spec = prepared_spec(&template.spec, features);
    template
}

/// A pod's spec without what the version does not know.
pub(crate) fn prepared_spec(spec: &Arc<PodSpec>, features: &Features) -> Arc<PodSpec> {
    let mut spec = Arc::clone(spec);
    if !features.sidecar_containers && spec.init_containers.iter().any(|container| container.is_sidecar) {
        for container in &mut Arc::make_mut(&mut spec).init_containers {
            container.is_sidecar = false;
        }
    }
    spec
}

/// Adds the generated labels to the template and selects by the newer of the two labels with the uid. Labels that are
/// there stay: validation judges them.
fn generate_selector(spec: &mut JobSpec, template: &mut PodTemplate, key: &ObjectKey, uid: Uid) {
    let labels = Arc::make_mut(&mut template.labels);
    for (label, value) in generated_labels(key, uid) {
        labels.entry(label.into()).or_insert(value);
    }
    Arc::make_mut(&mut spec.selector)
        .entry(CONTROLLER_UID_LABEL.into())
        .or_insert_with(|| uid.to_string().into());
}

/// A user's template leaves the generated labels out: they stay as they are.
fn keep_generated_labels(mut template: PodTemplate, old: &Job) -> PodTemplate {
    let missing =
        generated_labels(&old.key, old.uid).map(|(label, _)| label).into_iter().filter_map(|label| {
            let (label, value) = old.spec.template.labels.get_key_value(label)?;
            (!template.labels.contains_key(label)).then(|| (Arc::clone(label), Arc::clone(value)))
        });
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        Arc::make_mut(&mut template.labels).extend(missing);
    }
    template
}
