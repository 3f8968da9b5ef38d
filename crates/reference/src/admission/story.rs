//! One object's life on both sides: a write, the model's answer, the original's answer.

use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::admission::FieldError;
use towtank_model::objects::{Job, JobStatus, NodeId, ObjectKey, Pod, PodStatus, Uid};
use towtank_model::server::{Actor, ApiError, JobManifest, PodManifest, PodPatch, Propagation, Server};
use towtank_model::time::Time;
use towtank_model::version::Features;

use super::served::Served;
use super::{jobs, pods, status};
use crate::draw::Draw;
use towtank_wire as wire;

/// A write.
#[derive(Clone, Debug)]
pub(super) enum Step {
    CreateJob(JobManifest),
    UpdateJob(JobManifest),
    JobStatus(JobStatus),
    DeleteJob(Propagation),
    CreatePod(PodManifest),
    PatchPod(PodPatch),
    PodStatus(PodStatus),
    DeletePod(Option<u32>),
}

/// A stored object as the model has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Job(Arc<Job>),
    Pod(Arc<Pod>),
}

impl Row {
    fn resource_version(&self) -> u64 {
        match self {
            Self::Job(job) => job.resource_version,
            Self::Pod(pod) => pod.resource_version,
        }
    }

    /// The row with no version: the sides count them differently.
    fn unversioned(&self) -> Self {
        match self {
            Self::Job(job) => Self::Job(Arc::new(Job { resource_version: 0, ..Job::clone(job) })),
            Self::Pod(pod) => Self::Pod(Arc::new(Pod { resource_version: 0, ..Pod::clone(pod) })),
        }
    }
}

/// What came of a write.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It is stored so, and whether that is anything new.
    Stored { row: Row, is_new: bool },
    /// It is gone.
    Gone,
    /// Refused for these reasons, sorted.
    Invalid(Vec<FieldError>),
    /// Refused otherwise.
    Refused(String),
    /// The original's rules panicked.
    Panicked(String),
}

/// An object and what was done to it.
pub(super) struct Story {
    pub(super) key: ObjectKey,
    pub(super) draw: Draw,
    is_pod: bool,
    server: Server,
    pub(super) served: Served,
    row: Option<Row>,
    /// The object as the original has it.
    body: Value,
    /// The writes that were accepted.
    history: Vec<Step>,
}

impl Story {
    pub(super) fn new(seed: u64, number: u64, features: Features) -> Self {
        let mut draw = Draw::new(seed, number);
        Self {
            key: ObjectKey::new("default", draw.name()),
            is_pod: draw.one_in(5),
            draw,
            server: Server::new(features, false),
            served: Served::new(features),
            row: None,
            body: Value::Null,
            history: Vec::new(),
        }
    }

    /// What is done next; nothing when the object is gone or was never there.
    pub(super) fn draw_step(&mut self) -> Option<Step> {
        let draw = &mut self.draw;
        match &self.row {
            None if !self.history.is_empty() => None,
            None if self.is_pod => Some(Step::CreatePod(pods::new_pod(draw))),
            None => Some(Step::CreateJob(jobs::new_job(draw))),
            Some(Row::Job(job)) => Some(match draw.below(40) {
                0 => {
                    use Propagation::{Background, Foreground, Orphan};
                    Step::DeleteJob(draw.one_of(&[Background, Foreground, Foreground, Orphan]))
                }
                1..18 => Step::JobStatus(status::change(draw, job)),
                _ => Step::UpdateJob(jobs::change(draw, job)),
            }),
            Some(Row::Pod(pod)) => Some(match draw.below(8) {
                0 => Step::DeletePod(draw.one_of(&[None, None, Some(0), Some(1), Some(40)])),
                1..5 => Step::PodStatus(pods::status(draw, pod)),
                _ => Step::PatchPod(pods::patch(draw, pod)),
            }),
        }
    }

    /// The same write as a question to the driver.
    pub(super) fn question(&self, step: &Step) -> Value {
        let (resource, verb, new) = match (step, &self.row) {
            (Step::CreateJob(manifest), _) => ("jobs", "create", wire::job_object(&self.key, manifest)),
            (Step::UpdateJob(manifest), Some(Row::Job(job))) => {
                ("jobs", "update", self.merged(&wire::job_patch(job, manifest)))
            }
            (Step::JobStatus(status), _) => {
                let mut object = self.body.clone();
                object["status"] = wire::job_status(status);
                ("jobs", "updateStatus", object)
            }
            (Step::DeleteJob(propagation), _) => ("jobs", "delete", deletion(None, Some(*propagation))),
            (Step::CreatePod(manifest), _) => ("pods", "create", wire::pod_object(&self.key, manifest)),
            (Step::PatchPod(patch), Some(Row::Pod(pod))) => {
                ("pods", "update", self.merged(&wire::pod_patch(pod, patch)))
            }
            (Step::PodStatus(status), _) => ("pods", "updateStatus", self.merged(&wire::pod_status(status))),
            (Step::DeletePod(grace), _) => ("pods", "delete", deletion(*grace, None)),
            // A row of one kind is never written as the other.
            (Step::UpdateJob(_), _) => ("jobs", "update", Value::Null),
            (Step::PatchPod(_), _) => ("pods", "update", Value::Null),
        };
        json!({"resource": resource, "verb": verb, "old": self.body, "new": new})
    }

    fn merged(&self, patch: &Value) -> Value {
        let mut object = self.body.clone();
        wire::merge(&mut object, patch);
        object
    }

    /// The model's answer. It changes the model's store.
    pub(super) fn ours(&mut self, step: &Step) -> Answer {
        let old_version = self.row.as_ref().map(Row::resource_version);
        let uid = Uid(0);
        let (server, key, now, user) = (&mut self.server, &self.key, Time::ZERO, Actor::User);
        let answer = match step {
            Step::CreateJob(manifest) => server.create_job(now, user, key.clone(), manifest).map(|_| {
                // The driver begins with the object as it is shown. What is stored may lack labels that are shown, and gets
                // them with the first write, be it one of nothing.
                let _ = server.update_job(now, user, key, &JobManifest::default());
            }),
            Step::UpdateJob(manifest) => server.update_job(now, user, key, manifest).map(drop),
            Step::JobStatus(status) => {
                server.update_job_status(now, user, uid, old_version.unwrap_or(0), status.clone()).map(drop)
            }
            Step::DeleteJob(propagation) => server.delete_job(now, user, key, *propagation),
            Step::CreatePod(manifest) => server.create_pod(now, user, key.clone(), manifest).map(drop),
            Step::PatchPod(patch) => server.patch_pod(now, user, uid, patch).map(drop),
            Step::PodStatus(status) => {
                server.update_pod_status(now, user, uid, |stored| stored.clone_from(status)).map(drop)
            }
            Step::DeletePod(grace) => server.delete_pod(now, user, uid, *grace),
        };
        match answer {
            Ok(()) => {
                let row = if self.is_pod {
                    self.server.pod(uid).cloned().map(Row::Pod)
                } else {
                    self.server.job(uid).cloned().map(Row::Job)
                };
                match row {
                    None => Answer::Gone,
                    Some(row) => Answer::Stored {
                        is_new: Some(row.resource_version()) != old_version,
                        row: row.unversioned(),
                    },
                }
            }
            Err(error) => refusal(error, self.told_once()),
        }
    }

    /// The original's answer, read from the driver's.
    pub(super) fn theirs(&self, answer: &Value) -> Result<Answer, wire::WireError> {
        if let Some(error) = answer.get("error") {
            return Ok(Answer::Refused(error.to_string()));
        }
        let code = answer.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let code = code.ok_or_else(|| wire::WireError::new("code", format!("is no number in {answer}")))?;
        let body = answer.get("body").unwrap_or(&Value::Null);
        if code == 500 {
            return Ok(Answer::Panicked(body.to_string()));
        }
        if code >= 400 {
            return Ok(refusal(wire::api_error("objects", &self.key, code, body), self.told_once()));
        }
        if answer.get("deleted") == Some(&Value::Bool(true)) {
            return Ok(Answer::Gone);
        }
        let row = self.read(body)?;
        let old = self.body.pointer("/metadata/resourceVersion");
        let is_new = old.is_none() || body.pointer("/metadata/resourceVersion") != old;
        // The message of a condition is not in the model, so a status that comes back from it has none.
        let is_new = match (&row, &self.row) {
            (Row::Pod(_), Some(before)) if is_new && loses_message(&self.body, body) => {
                row != before.unversioned()
            }
            _ => is_new,
        };
        Ok(Answer::Stored { row, is_new })
    }

    fn told_once(&self) -> bool {
        self.server.features().version.minor() >= TOLD_ONCE_SINCE
    }

    fn read(&self, body: &Value) -> Result<Row, wire::WireError> {
        let row = if self.is_pod {
            Row::Pod(Arc::new(wire::pod_row(body, |_| None::<NodeId>)?))
        } else {
            Row::Job(Arc::new(wire::job_row(body)?))
        };
        Ok(row.unversioned())
    }

    /// Notes what both sides agree on.
    pub(super) fn go_on(&mut self, step: Step, question: Value, answer: &Answer, theirs: &Value) {
        if matches!(answer, Answer::Stored { .. } | Answer::Gone) {
            self.served.go_on(question);
        }
        match answer {
            Answer::Stored { .. } => {
                self.body = theirs.get("body").cloned().unwrap_or_default();
                // The driver's store begins anew with every question.
                if let Some(version) = self.body.pointer_mut("/metadata/resourceVersion") {
                    *version = "1".into();
                }
                self.history.push(step);
                self.row = if self.is_pod {
                    self.server.pod(Uid(0)).cloned().map(Row::Pod)
                } else {
                    self.server.job(Uid(0)).cloned().map(Row::Job)
                };
            }
            Answer::Gone => {
                self.row = None;
                self.history.push(step);
            }
            Answer::Invalid(_) | Answer::Refused(_) | Answer::Panicked(_) => {}
        }
    }

    /// The object as the model stores it.
    pub(super) fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    /// Whether there is anything left to do.
    pub(super) fn is_over(&self) -> bool {
        self.row.is_none()
    }

    /// The same object before its last write, for another try.
    pub(super) fn again(&self) -> Self {
        let mut story = Self {
            key: self.key.clone(),
            draw: Draw::new(0, 0),
            is_pod: self.is_pod,
            server: Server::new(*self.server.features(), false),
            served: self.served.again(),
            row: None,
            body: self.body.clone(),
            history: Vec::new(),
        };
        for step in &self.history {
            story.ours(step);
            story.row = if story.is_pod {
                story.server.pod(Uid(0)).cloned().map(Row::Pod)
            } else {
                story.server.job(Uid(0)).cloned().map(Row::Job)
            };
        }
        story
    }
}

/// Whether a condition has lost its message.
fn loses_message(old: &Value, new: &Value) -> bool {
    let messages = |object: &Value| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().filter(|condition| condition.get("message").is_some()).count()
    };
    messages(new) < messages(old)
}

fn deletion(grace_period_s: Option<u32>, propagation: Option<Propagation>) -> Value {
    wire::delete_options(grace_period_s, propagation, wire::pod::Preconditions::default())
}

/// From 1.37 on the original tells no error twice. It goes by the value too, which the model does not have: two bad labels
/// are compared as one error.
const TOLD_ONCE_SINCE: u16 = 37;

fn refusal(error: ApiError, told_once: bool) -> Answer {
    match error {
        ApiError::Invalid { mut errors, .. } => {
            errors.sort();
            if told_once {
                errors.dedup();
            }
            Answer::Invalid(errors)
        }
        other => Answer::Refused(other.to_string()),
    }
}
