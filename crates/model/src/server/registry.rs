//! Another judge of writes than the rules of this crate: a real API server.
//!
//! A server that defers to a [`Registry`] keeps a copy of what is stored there: every write to a Job or a pod goes to the
//! registry as a [`Request`], and what comes of it is taken over. Nodes stay the model's own. The components of the
//! simulation notice nothing.

use super::store::Write;
use super::{Actor, ApiError, JobManifest, PodManifest, PodPatch, Propagation, Server, Verb};
use crate::objects::{Job, NodeId, ObjectKey, Pod, PodStatus};
use crate::time::Time;

/// A write to a Job or a pod, by anybody but the Job controller.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// See [`Server::create_job`].
    CreateJob(&'a ObjectKey, &'a JobManifest),
    /// See [`Server::update_job`].
    UpdateJob(&'a Job, &'a JobManifest),
    /// See [`Server::delete_job`].
    DeleteJob(&'a ObjectKey, Propagation),
    /// See [`Server::remove_job_finalizer`].
    RemoveJobFinalizer(&'a Job, &'a str),
    /// See [`Server::create_pod`].
    CreatePod(&'a ObjectKey, &'a PodManifest),
    /// See [`Server::delete_pod`].
    DeletePod(&'a Pod, Option<u32>),
    /// See [`Server::evict_pod`].
    EvictPod(&'a Pod),
    /// See [`Server::patch_pod`].
    PatchPod(&'a Pod, &'a PodPatch),
    /// See [`Server::bind_pod`].
    BindPod(&'a Pod, NodeId),
    /// See [`Server::update_pod_status`].
    UpdatePodStatus(&'a Pod, &'a PodStatus),
}

/// A version of an object in the registry, or its end. The resource version is the copy's own.
#[derive(Clone, Debug)]
pub enum Replica {
    /// A Job.
    Job(Job),
    /// A Job that is gone.
    JobGone(Job),
    /// A pod.
    Pod(Pod),
    /// A pod that is gone.
    PodGone(Pod),
}

/// A store that decides what becomes of a write.
pub trait Registry {
    /// Carries out a write; returns what it changed, in order.
    ///
    /// # Errors
    ///
    /// The refusal.
    fn write(&mut self, now: Time, request: &Request<'_>) -> Result<Vec<Replica>, ApiError>;

    /// From now on nothing can be created in this namespace.
    fn terminate_namespace(&mut self, namespace: &str);
}

impl Server {
    /// Lets this registry judge all writes to Jobs and pods from now on; the store must be empty.
    pub fn defer_to(&mut self, registry: Box<dyn Registry>) {
        self.registry = Some(registry);
    }

    /// Takes over a change that `actor` has made in the registry.
    pub fn replicate(&mut self, now: Time, actor: Actor, verb: Verb, replica: Replica) {
        let write = Write { now, actor, verb };
        match replica {
            Replica::Job(job) => match self.jobs.get(job.uid.0).cloned() {
                Some(old) => drop(self.replace(write, old, job)),
                None => drop(self.create(write, job)),
            },
            Replica::JobGone(job) => {
                if let Some(old) = self.jobs.get(job.uid.0).cloned() {
                    self.remove_job(write, old);
                }
            }
            Replica::Pod(pod) => match self.pods.get(pod.uid.0).cloned() {
                Some(old) => drop(self.replace(write, old, pod)),
                None => drop(self.create(write, pod)),
            },
            Replica::PodGone(pod) => {
                if let Some(old) = self.pods.get(pod.uid.0).cloned() {
                    self.remove(write, old);
                }
            }
        }
    }

    /// Notes that the registry has refused `actor` a write.
    pub fn note_refusal(&mut self, now: Time, actor: Actor, verb: Verb, key: ObjectKey, error: &ApiError) {
        self.trace_refusal(Write { now, actor, verb }, || key, error);
    }

    /// Whether writes are the registry's business.
    pub(super) fn defers(&self) -> bool {
        self.registry.is_some()
    }

    /// Has the registry carry out a write to the object of this name.
    pub(super) fn relay(
        &mut self,
        write: Write,
        key: &ObjectKey,
        request: &Request<'_>,
    ) -> Result<(), ApiError> {
        let Some(registry) = &mut self.registry else { return Ok(()) };
        let result = registry.write(write.now, request);
        for replica in self.refuse(write, || key.clone(), result)? {
            self.replicate(write.now, write.actor, write.verb, replica);
        }
        Ok(())
    }
}
