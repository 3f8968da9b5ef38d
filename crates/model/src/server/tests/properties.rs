//! What holds of every sequence of writes, sensible or not.

use proptest::prelude::*;

use super::*;
use crate::objects::{
    ConditionStatus, JobCondition, JobConditionType, OwnerReference, PodFailureAction, PodFailureMatch,
    PodFailurePolicy, PodFailureRule, PodPhase, PodReplacementPolicy, SuccessPolicy, SuccessRule,
    UncountedPods,
};

/// A write with arguments that need not make sense.
#[derive(Clone, Debug)]
enum Op {
    CreateJob(u8, Box<JobManifest>),
    UpdateJob(u8, Box<JobManifest>),
    Status(u32, u64, Box<JobStatus>),
    DeleteJob(u8, Propagation),
    RemoveJobFinalizer(u32, &'static str),
    CreatePod(u32, Option<u32>),
    DeletePod(u32, Option<u32>),
    Evict(u32),
    Bind(u32),
    Phase(u32, PodPhase),
    Patch(u32, u8),
    Terminate,
}

/// Numbers around the limits of the rules.
fn number() -> impl Strategy<Value = i32> {
    prop_oneof![-2..12, Just(i32::MIN), Just(i32::MAX), 9_999..=10_001, 99_999..=100_001]
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-zA-Z0-9./ ä_-]{0,70}", "[0-9,-]{0,8}", Just("example.com/x".to_owned())]
        .prop_map(Into::into)
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = prop_oneof![text(), Just("job-name".into()), Just("controller-uid".into())];
    prop::collection::btree_map(name, text(), 0..3)
}

fn failure_policy() -> impl Strategy<Value = Arc<PodFailurePolicy>> {
    let action = prop::sample::select(vec![
        PodFailureAction::FailJob,
        PodFailureAction::FailIndex,
        PodFailureAction::Ignore,
        PodFailureAction::Count,
    ]);
    let exit_codes =
        (prop::option::of(text()), any::<bool>(), prop::collection::vec(number(), 0..4)).prop_map(
            |(container_name, is_in, values)| PodFailureMatch::ExitCodes { container_name, is_in, values },
        );
    let conditions = prop::collection::vec((text(), Just(ConditionStatus::True)), 0..3);
    let matches = prop_oneof![exit_codes, conditions.prop_map(PodFailureMatch::PodConditions)];
    let rule = (action, matches).prop_map(|(action, matches)| PodFailureRule { action, matches });
    prop::collection::vec(rule, 0..3).prop_map(|rules| Arc::new(PodFailurePolicy { rules }))
}

fn success_policy() -> impl Strategy<Value = Arc<SuccessPolicy>> {
    let rule = (prop::option::of(text()), prop::option::of(number()))
        .prop_map(|(succeeded_indexes, succeeded_count)| SuccessRule { succeeded_indexes, succeeded_count });
    prop::collection::vec(rule, 0..3).prop_map(|rules| Arc::new(SuccessPolicy { rules }))
}

fn pod_template() -> impl Strategy<Value = Arc<PodTemplate>> {
    let policy =
        prop::sample::select(vec![RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always]);
    (labels(), labels(), policy, 0..3_usize, prop::option::of(text())).prop_map(
        |(labels, annotations, restart_policy, containers, name)| {
            let template = template(&[]);
            let mut spec = PodSpec { restart_policy, ..PodSpec::clone(&template.spec) };
            spec.containers = vec![spec.containers[0].clone(); containers];
            if let (Some(container), Some(name)) = (spec.containers.first_mut(), name) {
                container.name = name;
            }
            let (labels, annotations) = (Arc::new(labels), Arc::new(annotations));
            Arc::new(PodTemplate {
                labels,
                annotations,
                spec: Arc::new(spec),
                ..PodTemplate::clone(&template)
            })
        },
    )
}

prop_compose! {
    fn manifest()(
        numbers in prop::collection::vec(prop::option::of(number()), 6),
        deadline in prop::option::of(any::<i64>()),
        mode in 0..4_u8,
        flags in prop::collection::vec(prop::option::of(any::<bool>()), 3),
        policies in (prop::option::weighted(0.2, failure_policy()), prop::option::weighted(0.2, success_policy())),
        texts in (labels(), prop::option::weighted(0.2, text()), prop::option::weighted(0.2, labels())),
        template in prop_oneof![3 => Just(Some(template(&[]))), 1 => prop::option::of(pod_template())],
    ) -> JobManifest {
        JobManifest {
            labels: texts.0,
            managed_by: texts.1,
            selector: texts.2,
            parallelism: numbers[0],
            completions: numbers[1],
            backoff_limit: numbers[2],
            backoff_limit_per_index: numbers[3],
            max_failed_indexes: numbers[4],
            ttl_seconds_after_finished: numbers[5],
            active_deadline_seconds: deadline,
            completion_mode: [None, Some(CompletionMode::NonIndexed), Some(CompletionMode::Indexed),
                Some(CompletionMode::Other("x".into()))][usize::from(mode)].clone(),
            suspend: flags[0],
            manual_selector: flags[1],
            pod_replacement_policy: flags[2].map(|failed| {
                if failed { PodReplacementPolicy::Failed } else { PodReplacementPolicy::TerminatingOrFailed }
            }),
            pod_failure_policy: policies.0,
            success_policy: policies.1,
            template,
            ..JobManifest::default()
        }
    }
}

/// Small manifests that are mostly accepted.
fn simple_manifest() -> impl Strategy<Value = JobManifest> {
    (0..5, any::<bool>(), any::<bool>()).prop_map(|(size, is_tandem, suspend)| JobManifest {
        completions: Some(size),
        parallelism: Some(if is_tandem { size } else { 2 }),
        suspend: Some(suspend),
        ..elastic(&[])
    })
}

prop_compose! {
    fn status()(
        counters in prop::collection::vec(-1..4_i32, 5),
        indexes in (prop_oneof!["", "0", "0,1", "1-3", "[0-9,x-]{0,6}"], prop::option::of("[0-9,-]{0,4}")),
        times in prop::collection::vec(prop::option::of(0..5_000_000_u64), 2),
        kinds in prop::collection::vec((prop::sample::select(vec![
            JobConditionType::Suspended, JobConditionType::Complete, JobConditionType::Failed,
            JobConditionType::FailureTarget, JobConditionType::SuccessCriteriaMet,
        ]), any::<bool>()), 0..4),
        uncounted in prop::option::of(prop::collection::vec((0..4_u32).prop_map(Uid), 0..3)),
    ) -> JobStatus {
        let condition = |(kind, is_true)| JobCondition {
            kind,
            status: if is_true { ConditionStatus::True } else { ConditionStatus::False },
            reason: "".into(),
            message: "".into(),
            last_transition_time: Time::from_millis(1_500),
        };
        JobStatus {
            conditions: kinds.into_iter().map(condition).collect(),
            start_time: times[0].map(Time::from_micros),
            completion_time: times[1].map(Time::from_micros),
            active: counters[0],
            ready: Some(counters[1]),
            terminating: Some(counters[2]),
            succeeded: counters[3],
            failed: counters[4],
            completed_indexes: indexes.0.into(),
            failed_indexes: indexes.1.map(Into::into),
            uncounted: uncounted.map(|uids| UncountedPods { succeeded: uids.clone(), failed: uids }),
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let manifest = prop_oneof![3 => simple_manifest(), 1 => manifest()].prop_map(Box::new);
    let manifest = manifest.boxed();
    let propagation =
        prop::sample::select(vec![Propagation::Background, Propagation::Foreground, Propagation::Orphan]);
    let phase = prop::sample::select(vec![PodPhase::Running, PodPhase::Failed, PodPhase::Succeeded]);
    let finalizer = prop::sample::select(vec![FOREGROUND_DELETION, ORPHAN_DEPENDENTS, "none"]);
    prop_oneof![
        4 => (0..3_u8, manifest.clone()).prop_map(|(name, manifest)| Op::CreateJob(name, manifest)),
        4 => (0..3_u8, manifest).prop_map(|(name, manifest)| Op::UpdateJob(name, manifest)),
        4 => (0..4_u32, 0..3_u64, status()).prop_map(|(uid, lag, status)| Op::Status(uid, lag, Box::new(status))),
        2 => (0..3_u8, propagation).prop_map(|(name, propagation)| Op::DeleteJob(name, propagation)),
        2 => (0..4_u32, finalizer).prop_map(|(uid, finalizer)| Op::RemoveJobFinalizer(uid, finalizer)),
        6 => (0..4_u32, prop::option::of(0..6_u32)).prop_map(|(uid, index)| Op::CreatePod(uid, index)),
        3 => (0..8_u32, prop::option::of(0..40_u32)).prop_map(|(uid, grace)| Op::DeletePod(uid, grace)),
        2 => (0..8_u32).prop_map(Op::Evict),
        3 => (0..8_u32).prop_map(Op::Bind),
        3 => (0..8_u32, phase).prop_map(|(uid, phase)| Op::Phase(uid, phase)),
        4 => (0..8_u32, 0..6_u8).prop_map(|(uid, kind)| Op::Patch(uid, kind)),
        1 => Just(Op::Terminate),
    ]
}

fn patch(kind: u8) -> PodPatch {
    let mut patch = PodPatch::default();
    match kind {
        0 => patch.remove_tracking_finalizer = true,
        1 => patch.release = true,
        2 => patch.adopt = Some(OwnerReference { is_job: true, name: "job0".into(), uid: Uid(0) }),
        3 => patch.labels = vec![("a".into(), Some("b".into()))],
        4 => patch.orphan = true,
        _ => patch.remove_finalizer = Some("example.com/hold".into()),
    }
    patch
}

/// Does it; whether it was accepted.
fn apply(server: &mut Server, now: Time, op: &Op, random: &mut RandomStreams) -> bool {
    let actor = Actor::User;
    let name = |name: u8| key(&format!("job{name}"));
    match op {
        Op::CreateJob(job, manifest) => server.create_job(now, actor, name(*job), manifest).is_ok(),
        Op::UpdateJob(job, manifest) => server.update_job(now, actor, &name(*job), manifest).is_ok(),
        Op::Status(uid, lag, status) => {
            let version = server.job(Uid(*uid)).map_or(0, |job| job.resource_version);
            let version = version.saturating_sub(lag / 2);
            server.update_job_status(now, actor, Uid(*uid), version, JobStatus::clone(status)).is_ok()
        }
        Op::DeleteJob(job, propagation) => server.delete_job(now, actor, &name(*job), *propagation).is_ok(),
        Op::RemoveJobFinalizer(uid, finalizer) => {
            server.remove_job_finalizer(now, actor, Uid(*uid), finalizer).is_ok()
        }
        Op::CreatePod(uid, index) => {
            let Some(job) = server.job(Uid(*uid)).cloned() else { return false };
            server.create_job_pod(now, actor, &job, PodDraft { index: *index, ..DRAFT }, random).is_ok()
        }
        Op::DeletePod(uid, grace_period_s) => {
            server.delete_pod(now, actor, Uid(*uid), *grace_period_s).is_ok()
        }
        Op::Evict(uid) => server.evict_pod(now, actor, Uid(*uid)).is_ok(),
        Op::Bind(uid) => server.bind_pod(now, actor, Uid(*uid), NodeId(0)).is_ok(),
        Op::Phase(uid, phase) => {
            server.update_pod_status(now, actor, Uid(*uid), |status| status.phase = *phase).is_ok()
        }
        Op::Patch(uid, kind) => server.patch_pod(now, actor, Uid(*uid), &patch(*kind)).is_ok(),
        Op::Terminate => {
            server.terminate_namespace("elsewhere");
            true
        }
    }
}

/// Everything that reads can see.
type State = (Vec<Arc<Job>>, Vec<Arc<Pod>>, ResourceVersion);

fn state(server: &Server) -> State {
    (server.jobs().cloned().collect(), server.pods().cloned().collect(), server.resource_version())
}

/// The version that a change left, if it left one, after checking that it follows on from what was there.
fn check_versions<T: PartialEq + std::fmt::Debug>(
    versions: &Versions<T>,
    rows: &mut Vec<Option<Arc<T>>>,
    id: impl Fn(&T) -> Uid,
    version: impl Fn(&T) -> ResourceVersion,
) -> Option<ResourceVersion> {
    let uid = versions.new.as_deref().or(versions.old.as_deref()).map(id).unwrap();
    if versions.old.is_none() {
        assert_eq!(rows.len(), uid.index(), "uids are dense");
        rows.push(None);
    }
    assert_eq!(rows[uid.index()], versions.old, "a change starts from what was there");
    rows[uid.index()].clone_from(&versions.new);
    versions.new.as_deref().map(version)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// No write panics; a refused one changes nothing; the changes tell exactly how the state came about, and versions
    /// only grow.
    #[test]
    fn any_sequence_of_writes(minor in 28..=37_u16, ops in prop::collection::vec(op(), 1..40), seed in any::<u64>()) {
        let mut server = server(minor);
        let mut random = RandomStreams::new(seed);
        let (mut jobs, mut pods) = (Vec::new(), Vec::new());
        let mut last_version = 0;
        for (step, op) in ops.iter().enumerate() {
            let before = state(&server);
            let is_accepted = apply(&mut server, Time::from_millis(step as u64 * 700), op, &mut random);
            let changes = server.take_changes();
            if !is_accepted {
                prop_assert!(changes.is_empty());
                prop_assert_eq!(&state(&server), &before);
            }
            for change in &changes {
                let version = match change {
                    Change::Job(versions) => {
                        check_versions(versions, &mut jobs, |job: &Job| job.uid, |job| job.resource_version)
                    }
                    Change::Pod(versions) => {
                        check_versions(versions, &mut pods, |pod: &Pod| pod.uid, |pod| pod.resource_version)
                    }
                    Change::Node(_) => None,
                };
                if let Some(version) = version {
                    prop_assert!(version > last_version);
                    last_version = version;
                }
            }
        }
        let (stored_jobs, stored_pods, version) = state(&server);
        prop_assert_eq!(jobs.into_iter().flatten().collect::<Vec<_>>(), stored_jobs);
        prop_assert_eq!(pods.into_iter().flatten().collect::<Vec<_>>(), stored_pods);
        prop_assert!(version >= last_version);
    }

    /// What is stored breaks no rule, whatever was asked for.
    #[test]
    fn stored_jobs_are_valid(minor in 28..=37_u16, create in manifest(), update in manifest()) {
        let mut server = server(minor);
        let mut stored = server.create_job(Time::ZERO, Actor::User, key("a"), &create).ok();
        if stored.is_none() {
            stored = Some(created(&mut server, "a"));
        }
        if let Ok(updated) = server.update_job(Time::ZERO, Actor::User, &key("a"), &update) {
            stored = Some(updated);
        }
        for job in stored.iter() {
            prop_assert_eq!(crate::admission::create::validate(job), vec![]);
        }
    }
}
