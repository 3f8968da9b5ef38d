//! Writes to Jobs.

use std::sync::Arc;

use super::store::{Write, not_found};
use super::{Actor, ApiError, JobManifest, Propagation, Request, Server, Verb};
use crate::admission;
use crate::objects::{Job, JobStatus, ObjectKey, ResourceVersion, Uid};
use crate::time::Time;

const KIND: &str = "jobs";

/// The minor version from which on an update of an object that is gone is answered with NotFound, uid or not.
const MISSED_FIRST_SINCE: u16 = 34;

/// The finalizer of foreground deletion: the garbage collector takes it off when the dependents are gone.
pub const FOREGROUND_DELETION: &str = "foregroundDeletion";
/// The finalizer of deletion that leaves orphans: the garbage collector takes it off when they are on their own.
pub const ORPHAN_DEPENDENTS: &str = "orphan";

impl Server {
    /// Creates a Job: defaulting, generated selector and labels, validation (spec sections 3.6, 4.1, 5).
    pub fn create_job(
        &mut self,
        now: Time,
        actor: Actor,
        key: ObjectKey,
        manifest: &JobManifest,
    ) -> Result<Arc<Job>, ApiError> {
        let write = Write { now, actor, verb: Verb::Create };
        if self.defers() {
            self.relay(write, &key, &Request::CreateJob(&key, manifest))?;
            return self.job_to_write(write, &key);
        }
        let admitted = self.admit_new_job(now, &key, manifest);
        let mut job = self.refuse(write, || key, admitted)?;
        if admission::defaults::read_back(&mut job) && !self.rehearses {
            self.unstored_labels.insert(job.uid);
        }
        Ok(self.create(write, job))
    }

    fn admit_new_job(&self, now: Time, key: &ObjectKey, manifest: &JobManifest) -> Result<Job, ApiError> {
        self.check_namespace(&key.namespace)?;
        let uid = Uid(self.jobs.next_id());
        let job = admission::defaults::new_job(now, key, uid, manifest, &self.features);
        let mut errors = manifest.unreadable.clone();
        errors.extend(admission::create::validate_new(&job, manifest));
        admission::check(key, errors, &self.features)?;
        if self.jobs.has_name(key) {
            return Err(ApiError::AlreadyExists { kind: KIND, key: key.clone() });
        }
        Ok(job)
    }

    /// Changes the fields of a Job that `manifest` gives; a changed spec raises `generation`; validation of updates
    /// (section 4.1). A write that changes nothing leaves no change and the same resource version.
    pub fn update_job(
        &mut self,
        now: Time,
        actor: Actor,
        key: &ObjectKey,
        manifest: &JobManifest,
    ) -> Result<Arc<Job>, ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.job_to_write(write, key)?;
        if self.defers() {
            self.relay(write, key, &Request::UpdateJob(&old, manifest))?;
            return self.job_to_write(write, key);
        }
        let mut new = admission::defaults::merged_job(&old, manifest, &self.features);
        if new.spec != old.spec {
            new.generation += 1;
        }
        let mut errors = manifest.unreadable.clone();
        errors.extend(admission::update::validate(&new, &old, &self.features));
        self.refuse(write, || key.clone(), admission::check(key, errors, &self.features))?;
        Ok(self.store_job(write, old, new))
    }

    /// Writes a Job's status if the stored version is still `resource_version` and the uid is the same; validation of
    /// status updates where the version has it (section 2.2). Times in the status are truncated to seconds.
    pub fn update_job_status(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        resource_version: ResourceVersion,
        status: JobStatus,
    ) -> Result<Arc<Job>, ApiError> {
        let write = Write { now, actor, verb: Verb::UpdateStatus };
        let old = self.stored_job(write, uid)?;
        if old.resource_version != resource_version {
            let conflict = Err(ApiError::Conflict { kind: KIND, key: old.key.clone() });
            return self.refuse(write, || old.key.clone(), conflict);
        }
        let mut new = Job::clone(&old);
        new.status = status;
        truncate_times(&mut new.status);
        let errors = admission::status::validate(&new, &old, &self.features);
        self.refuse(write, || old.key.clone(), admission::check(&old.key, errors, &self.features))?;
        Ok(self.store_job(write, old, new))
    }

    /// Deletes a Job; with finalizers (those of the propagation included) it stays with a deletion time, which raises
    /// its generation. Deleting again replaces the finalizers of the propagation.
    pub fn delete_job(
        &mut self,
        now: Time,
        actor: Actor,
        key: &ObjectKey,
        propagation: Propagation,
    ) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Delete };
        let old = self.job_to_write(write, key)?;
        if self.defers() {
            return self.relay(write, key, &Request::DeleteJob(key, propagation));
        }
        let mut new = Job::clone(&old);
        let propagates =
            |finalizer: &Arc<str>| **finalizer == *FOREGROUND_DELETION || **finalizer == *ORPHAN_DEPENDENTS;
        let wanted = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(FOREGROUND_DELETION),
            Propagation::Orphan => Some(ORPHAN_DEPENDENTS),
        };
        let present: Vec<&str> =
            old.finalizers.iter().filter(|one| propagates(one)).map(|one| &**one).collect();
        // Finalizers that say the right thing already keep their place.
        if present != wanted.as_slice() {
            new.finalizers.retain(|finalizer| !propagates(finalizer));
            new.finalizers.extend(wanted.map(Arc::from));
        }
        if new.finalizers.is_empty() {
            self.remove_job(write, old);
            return Ok(());
        }
        if new.deletion_time.is_none() {
            new.deletion_time = Some(now.truncated_to_second());
            new.generation += 1;
        }
        self.store_job(write, old, new);
        Ok(())
    }

    /// Takes a finalizer off a Job; the last one lets go of an object that is being deleted.
    pub fn remove_job_finalizer(
        &mut self,
        now: Time,
        actor: Actor,
        uid: Uid,
        finalizer: &str,
    ) -> Result<(), ApiError> {
        let write = Write { now, actor, verb: Verb::Update };
        let old = self.stored_job(write, uid)?;
        if !old.finalizers.iter().any(|present| **present == *finalizer) {
            return Ok(());
        }
        if self.defers() {
            return self.relay(write, &old.key, &Request::RemoveJobFinalizer(&old, finalizer));
        }
        let mut new = Job::clone(&old);
        new.finalizers.retain(|present| **present != *finalizer);
        if new.finalizers.is_empty() && new.deletion_time.is_some() {
            self.remove_job(write, old);
        } else {
            self.store_job(write, old, new);
        }
        Ok(())
    }

    /// Stores the next version of a Job. Where it is the same, nothing is written, unless the labels that defaulting gave
    /// the Job when it was read have never been stored: the first write brings them along, whatever it is about.
    pub(super) fn store_job(&mut self, write: Write, old: Arc<Job>, new: Job) -> Arc<Job> {
        let brings_labels = !self.rehearses && self.unstored_labels.remove(&old.uid);
        if new == *old && !brings_labels {
            return old;
        }
        self.replace(write, old, new)
    }

    pub(super) fn remove_job(&mut self, write: Write, job: Arc<Job>) {
        if self.rehearses {
            return;
        }
        self.unstored_labels.remove(&job.uid);
        self.gone_jobs.insert(job.uid, job.key.clone());
        self.remove(write, job);
    }

    /// The Job of this name, for a write.
    fn job_to_write(&mut self, write: Write, key: &ObjectKey) -> Result<Arc<Job>, ApiError> {
        match self.jobs.by_name(key) {
            Some(job) => Ok(Arc::clone(job)),
            None => {
                self.refuse(write, || key.clone(), Err(ApiError::NotFound { kind: KIND, key: key.clone() }))
            }
        }
    }

    /// Up to 1.33 the uid in an update was compared before the object was missed: a Conflict, not a NotFound.
    pub fn compares_uids_with_nothing(&self) -> bool {
        self.features.version.minor() < MISSED_FIRST_SINCE
    }

    fn takes_gone_for_changed(&self, write: Write) -> bool {
        write.verb == Verb::UpdateStatus && self.compares_uids_with_nothing()
    }

    /// The Job with this uid, for a write: a conflict when another Job has its name by now.
    pub(super) fn stored_job(&mut self, write: Write, uid: Uid) -> Result<Arc<Job>, ApiError> {
        if let Some(job) = self.jobs.get(uid.0) {
            return Ok(Arc::clone(job));
        }
        let error = match self.gone_jobs.get(&uid) {
            Some(key) if self.jobs.has_name(key) || self.takes_gone_for_changed(write) => {
                ApiError::Conflict { kind: KIND, key: key.clone() }
            }
            Some(key) => ApiError::NotFound { kind: KIND, key: key.clone() },
            None => not_found(KIND, uid),
        };
        let key = self.gone_jobs.get(&uid).cloned();
        self.refuse(write, || key.unwrap_or_else(|| ObjectKey::new("", uid.to_string())), Err(error))
    }
}

/// Takes every time in a status through `metav1.Time`.
fn truncate_times(status: &mut JobStatus) {
    for condition in &mut status.conditions {
        condition.last_transition_time = condition.last_transition_time.truncated_to_second();
    }
    status.start_time = status.start_time.map(Time::truncated_to_second);
    status.completion_time = status.completion_time.map(Time::truncated_to_second);
}
