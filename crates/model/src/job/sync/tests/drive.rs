//! Plays the API server to a sync.

use std::sync::Arc;

use super::build::NOW;
use super::*;
use crate::objects::{JobStatus, Uid};

/// How the API server answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Api {
    /// Every call about a pod fails.
    pub(super) pods_fail: bool,
    /// Creations succeed so often.
    pub(super) create_limit: Option<usize>,
    /// Status writes fail with this.
    pub(super) status_error: Option<ApiError>,
    /// Calls about these pods find nothing.
    pub(super) missing: BTreeSet<Uid>,
}

/// All that a sync did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Every status that it tried to write.
    pub(super) statuses: Vec<JobStatus>,
    /// Pods created.
    pub(super) created: Vec<PodDraft>,
    /// Sizes of the batches of creations.
    pub(super) batches: Vec<usize>,
    /// Pods deleted without error.
    pub(super) deleted: Vec<Uid>,
    /// Pods whose finalizer it tried to patch away, those to be deleted included.
    pub(super) patched: Vec<Uid>,
    /// All effects, in order.
    pub(super) effects: Vec<Effect>,
    /// The error that it ended with.
    pub(super) error: Option<ApiError>,
    /// Why it did so.
    pub(super) findings: Vec<Finding>,
}

impl Outcome {
    /// The indexes of the created pods.
    pub(super) fn created_indexes(&self) -> Vec<u32> {
        self.created.iter().filter_map(|draft| draft.index).collect()
    }

    /// The Events recorded, as `reason: message`.
    pub(super) fn events(&self) -> Vec<String> {
        let event = |effect: &Effect| match effect {
            Effect::Record(event) => Some(format!("{}: {}", event.reason, event.message)),
            _ => None,
        };
        self.effects.iter().filter_map(event).collect()
    }

    /// The delays after which another sync is asked for, in milliseconds.
    pub(super) fn requeues_ms(&self) -> Vec<u128> {
        let delay = |effect: &Effect| match effect {
            Effect::RequeueAfter(delay) => Some(delay.as_millis()),
            _ => None,
        };
        self.effects.iter().filter_map(delay).collect()
    }

    /// The status at the end: the last one written, or the one that was there.
    pub(super) fn status<'a>(&'a self, before: &'a JobStatus) -> &'a JobStatus {
        self.statuses.last().unwrap_or(before)
    }
}

/// Runs a sync to its end at one instant, explaining.
pub(super) fn run(snapshot: Snapshot, api: &Api) -> Outcome {
    run_at(snapshot, api, NOW)
}

/// Runs a sync to its end at `now`.
pub(super) fn run_at(snapshot: Snapshot, api: &Api, now: Time) -> Outcome {
    let mut pass = SyncPass::new(snapshot, true);
    let mut outcome = Outcome::default();
    let mut answers = Vec::new();
    for _ in 0..100_000 {
        match pass.next(now, std::mem::take(&mut answers)) {
            Step::Call { effects, writes } => {
                assert!(!writes.is_empty(), "a call without writes");
                outcome.effects.extend(effects);
                let creations = writes.iter().filter(|write| matches!(write, Write::CreatePod(_))).count();
                if creations > 0 {
                    outcome.batches.push(creations);
                }
                answers = writes.into_iter().map(|write| answer(write, api, &mut outcome)).collect();
                let reports =
                    answers.iter().enumerate().filter_map(|(slot, answer)| pass.reported(slot, answer));
                outcome.effects.extend(reports.map(Effect::Record));
            }
            Step::Done { effects, error } => {
                outcome.effects.extend(effects);
                outcome.error = error;
                outcome.findings = pass.take_findings();
                return outcome;
            }
        }
    }
    panic!("the sync does not end");
}

fn answer(write: Write, api: &Api, outcome: &mut Outcome) -> Answer {
    let pod_answer = |uid: Uid| {
        let key = || crate::objects::ObjectKey::new("default", format!("pod-{}", uid.0));
        if api.missing.contains(&uid) {
            Err(ApiError::NotFound { kind: "pods", key: key() })
        } else if api.pods_fail {
            Err(ApiError::Unreachable)
        } else {
            Ok(Written::from(2))
        }
    };
    match write {
        Write::CreatePod(draft) => {
            if api.pods_fail || api.create_limit.is_some_and(|limit| outcome.created.len() >= limit) {
                return Err(ApiError::Forbidden("quota".to_owned()));
            }
            outcome.created.push(draft);
            let name: Arc<str> = format!("new-{}", outcome.created.len()).into();
            Ok(Written { name: Some(name), ..Written::from(2) })
        }
        Write::DeletePod(uid) => {
            let answer = pod_answer(uid);
            outcome.deleted.extend(answer.is_ok().then_some(uid));
            answer
        }
        Write::ReleaseAndDeletePod(uid) => {
            outcome.patched.push(uid);
            let answer = pod_answer(uid);
            outcome.deleted.extend(answer.is_ok().then_some(uid));
            answer
        }
        Write::RemoveFinalizer(uid) => {
            outcome.patched.push(uid);
            pod_answer(uid)
        }
        Write::UpdateStatus { resource_version, status } => {
            let expected = 1 + outcome.statuses.len() as u64;
            assert_eq!(
                resource_version, expected,
                "a status write is based on the version read or written last"
            );
            outcome.statuses.push(*status);
            api.status_error.clone().map_or(Ok(Written::from(expected + 1)), Err)
        }
    }
}
