//! What users do to a simulated cluster.

use std::sync::Arc;

use super::{Application, Controller, Simulation};
use crate::cluster::{ActionError, ContainerChoice, ManualStatus, NodeChange, Signal};
use crate::job::WatchKind;
use crate::objects::{ConditionStatus, Job, NodeId, ObjectKey, Pod, PodStatus, Uid};
use crate::server::{Actor, ApiError, JobManifest, PodManifest, PodPatch, Propagation};

/// What a user does. Every action takes effect at the present instant and returns the API server's answer; an object
/// that is not stored is [`ApiError::NotFound`].
impl<C: Controller, A: Application> Simulation<C, A> {
    /// Creates a Job.
    pub fn create_job(&mut self, key: ObjectKey, manifest: &JobManifest) -> Result<Arc<Job>, ApiError> {
        self.act(|ctx| ctx.server.create_job(ctx.now, Actor::User, key, manifest))
    }

    /// Changes the fields of a Job that the manifest gives.
    pub fn update_job(&mut self, key: &ObjectKey, manifest: &JobManifest) -> Result<Arc<Job>, ApiError> {
        self.act(|ctx| ctx.server.update_job(ctx.now, Actor::User, key, manifest))
    }

    /// Deletes a Job.
    pub fn delete_job(&mut self, key: &ObjectKey, propagation: Propagation) -> Result<(), ApiError> {
        self.act(|ctx| ctx.server.delete_job(ctx.now, Actor::User, key, propagation))
    }

    /// Creates a bare pod.
    pub fn create_pod(&mut self, key: ObjectKey, manifest: &PodManifest) -> Result<Arc<Pod>, ApiError> {
        self.act(|ctx| ctx.server.create_pod(ctx.now, Actor::User, key, manifest))
    }

    /// Deletes a pod; 0 seconds of grace is `kubectl delete --force`.
    pub fn delete_pod(&mut self, uid: Uid, grace_period_s: Option<u32>) -> Result<(), ApiError> {
        self.act(|ctx| ctx.server.delete_pod(ctx.now, Actor::User, uid, grace_period_s))
    }

    /// Evicts a pod through the eviction API.
    pub fn evict_pod(&mut self, uid: Uid) -> Result<(), ApiError> {
        self.act(|ctx| ctx.server.evict_pod(ctx.now, Actor::User, uid))
    }

    /// Edits a pod's labels or finalizers.
    pub fn patch_pod(&mut self, uid: Uid, patch: &PodPatch) -> Result<Arc<Pod>, ApiError> {
        self.act(|ctx| ctx.server.patch_pod(ctx.now, Actor::User, uid, patch))
    }

    /// Binds a pod to a node by hand, where no scheduler does it.
    pub fn bind_pod(&mut self, uid: Uid, node: NodeId) -> Result<(), ApiError> {
        self.act(|ctx| ctx.server.bind_pod(ctx.now, Actor::Scheduler, uid, node))
    }

    /// Reports a pod's status by hand, where no kubelet does it.
    pub fn update_pod_status(
        &mut self,
        uid: Uid,
        change: impl FnOnce(&mut PodStatus),
    ) -> Result<Arc<Pod>, ApiError> {
        self.act(|ctx| ctx.server.update_pod_status(ctx.now, Actor::Kubelet, uid, change))
    }

    /// From now on nothing can be created in this namespace.
    pub fn terminate_namespace(&mut self, namespace: &str) {
        self.server.terminate_namespace(namespace);
        self.spread();
    }

    /// Sends a signal to the main process of a pod's first container.
    pub fn signal(&mut self, pod: Uid, signal: Signal) -> Result<(), ActionError> {
        self.act_on(|cluster, ctx| cluster.signal(pod, signal, ctx))
    }

    /// Containers of a pod end with a code; the kubelet sets `condition` (type and status) with its next report.
    pub fn exit(
        &mut self,
        pod: Uid,
        containers: ContainerChoice<'_>,
        exit_code: i32,
        condition: Option<(Arc<str>, ConditionStatus)>,
    ) -> Result<(), ActionError> {
        self.act_on(|cluster, ctx| cluster.exit(pod, containers, exit_code, condition, ctx))
    }

    /// Writes a pod's status by hand; meant for clusters with [`manual_pods`](crate::cluster::ClusterConfig::manual_pods).
    pub fn set_phase(&mut self, pod: Uid, wanted: &ManualStatus) -> Result<(), ActionError> {
        self.act_on(|cluster, ctx| cluster.set_phase(pod, wanted, ctx))
    }

    /// Does something to the node of this name.
    pub fn set_node(&mut self, name: &str, change: NodeChange) -> Result<(), ActionError> {
        self.act_on(|cluster, ctx| cluster.set_node(name, change, ctx))
    }

    /// Ends the Job controller's process.
    pub fn stop_controller(&mut self) {
        let (mut ctx, controller, _) = self.parts();
        controller.stop(&mut ctx);
    }

    /// Starts the Job controller's process; does nothing when it runs.
    pub fn start_controller(&mut self) {
        let (mut ctx, controller, _) = self.parts();
        controller.start(&mut ctx);
        self.spread();
    }

    /// Ends the Job controller's process and starts it again at once.
    pub fn restart_controller(&mut self) {
        self.stop_controller();
        self.start_controller();
    }

    /// Holds a watch of the Job controller: its cache stands still.
    pub fn hold_cache(&mut self, kind: WatchKind) {
        self.controller.hold(kind);
    }

    /// Releases a watch of the Job controller: its cache catches up at this instant.
    pub fn release_cache(&mut self, kind: WatchKind) {
        let (mut ctx, controller, _) = self.parts();
        controller.release(kind, &mut ctx);
        self.spread();
    }
}
