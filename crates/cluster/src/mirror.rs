//! The real cluster's Jobs and pods as the rows of a simulation; its nodes are the simulation's own.
//!
//! The rows are a copy: what is written to them goes to the real API server ([`Writer`]), and what anybody has written there
//! comes back through watches ([`Mirror`]). Both know which version of an object the copy has, so that a watch which
//! is late does not take anything back.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Request as HttpMessage;
use serde_json::Value;
use towtank_lockstep::virtual_world::embedded::Api;
use towtank_model::job::{ControllerEvent, WatchKind};
use towtank_model::objects::{Deletion, NodeId, Pod, Uid};
use towtank_model::server::{
    Actor, ApiError, Change, EventDraft, EventRecord, Registry, Replica, Request, Server, Verb,
};
use towtank_model::simulation::{Context, Controller};
use towtank_model::time::Time;
use towtank_wire::{
    self as wire, Kind,
    request::{HttpRequest, http_request},
};

use crate::clock::Clock;
use crate::connection::Connection;
use crate::translate::Translation;
use crate::watch::{Message, Shown, Watched};
use crate::workloads::{RealPods, with_real_pods};

/// What the copy and those who write to the original know together.
pub(crate) struct Copy {
    pub(crate) clock: Clock,
    /// Names of the nodes, in the order of the simulation's.
    nodes: Vec<String>,
    translation: Translation,
    /// The version of each object that the copy has; of those that are gone, the largest number.
    versions: BTreeMap<(bool, Uid), u64>,
    /// MiniClusters by namespace and name.
    miniclusters: BTreeMap<(String, String), Arc<Value>>,
    /// Real uids of what the copy has of a kind.
    present: BTreeMap<Watched, BTreeMap<String, Value>>,
    /// What has been shown and is not in the rows yet, with the time of its arrival.
    inbox: VecDeque<(Time, Message)>,
    /// Why the run cannot go on.
    failure: Option<String>,
}

/// The copy, shared by the parts of one world.
pub(crate) type Shared = Rc<RefCell<Copy>>;

const GONE: u64 = u64::MAX;

impl Copy {
    pub(crate) fn new(clock: Clock, nodes: Vec<String>) -> Self {
        Self {
            clock,
            nodes,
            translation: Translation::new(clock.began_s()),
            versions: BTreeMap::new(),
            miniclusters: BTreeMap::new(),
            present: BTreeMap::new(),
            inbox: VecDeque::new(),
            failure: None,
        }
    }

    /// What an object is as a row, unless the copy has this version or a later one.
    fn replica(&mut self, kind: Kind, mut object: Value, is_gone: bool) -> Option<Replica> {
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version: u64 = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        self.translation.inward(kind, &mut object);
        let row = match kind {
            Kind::Job => wire::job_row(&object)
                .map(|job| (job.uid, if is_gone { Replica::JobGone(job) } else { Replica::Job(job) })),
            _ => wire::pod_row(&object, |name| self.node_id(name))
                .map(|pod| (pod.uid, if is_gone { Replica::PodGone(pod) } else { Replica::Pod(pod) })),
        };
        let (uid, replica) = match row {
            Ok(row) => row,
            Err(error) => {
                self.fail(format!("the cluster shows an object that the model cannot hold: {error}"));
                return None;
            }
        };
        let known = self.versions.entry((kind == Kind::Job, uid)).or_insert(0);
        let version = if is_gone { GONE } else { version };
        if *known >= version {
            return None;
        }
        *known = version;
        Some(replica)
    }

    /// The last version that a watch has shown of the object of this name.
    fn present_of(&self, watched: Watched, namespace: &str, name: &str) -> Option<Value> {
        let mut present = self.present.get(&watched)?.values();
        present
            .find(|object| {
                object["metadata"]["name"] == *name && object["metadata"]["namespace"] == *namespace
            })
            .cloned()
    }

    fn node_id(&self, name: &str) -> Option<NodeId> {
        let position = self.nodes.iter().position(|node| node == name)?;
        u32::try_from(position).ok().map(NodeId)
    }

    /// What a node is called.
    fn node_name(&self, node: NodeId) -> String {
        self.nodes.get(node.0 as usize).cloned().unwrap_or_default()
    }

    /// The run begins now; nothing has been copied yet.
    pub(crate) fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        self.translation = Translation::new(clock.began_s());
    }

    /// Something has arrived.
    pub(crate) fn receive(&mut self, at: Time, message: Message) {
        self.inbox.push_back((at, message));
    }

    /// The next message that has arrived by now.
    fn due(&mut self, now: Time) -> Option<Message> {
        self.inbox.pop_front_if(|(at, _)| *at <= now).map(|(_, message)| message)
    }

    /// The run cannot go on.
    pub(crate) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }
}

// ---- to the cluster ----

/// Carries out at the real API server what is written to the rows.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) copy: Shared,
}

impl Registry for Writer {
    fn write(&mut self, _now: Time, request: &Request<'_>) -> Result<Vec<Replica>, ApiError> {
        let mut sent = http_request(request, |node| self.copy.borrow().node_name(node));
        self.copy.borrow().translation.outward(&mut sent.body);
        if let Request::UpdatePodStatus(pod, _) = request
            && pod.node.is_some()
        {
            // Lists are replaced whole, so nobody may have written to them since. Where there is no kubelet, a user does, who overwrites what the scheduler says.
            let version = self.copy.borrow().versions.get(&(false, pod.uid)).copied();
            sent.body["metadata"]["resourceVersion"] = version.unwrap_or(0).to_string().into();
        }
        let method = sent.method.parse().unwrap_or_default();
        let answer = self
            .connection
            .ask(method, &sent.path, sent.content_type, &sent.body)
            .map_err(|_| ApiError::Unreachable)?;
        if !answer.is_success() {
            return Err(wire::api_error(sent.kind.plural(), sent.key, answer.code, &answer.body));
        }
        let is_object = answer.body["kind"] == if sent.kind == Kind::Job { "Job" } else { "Pod" };
        let replica = if is_object && sent.method != "DELETE" {
            self.copy.borrow_mut().replica(sent.kind, answer.body, false)
        } else {
            self.read_back(&sent)
        };
        Ok(replica.into_iter().collect())
    }

    fn terminate_namespace(&mut self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}");
        if let Err(error) = self.connection.ask(http::Method::DELETE, &path, "application/json", &Value::Null)
        {
            self.copy.borrow_mut().fail(error.to_string());
        }
    }
}

impl Writer {
    /// What has become of an object that the answer does not show, or not as it is now: who writes sees it at once.
    fn read_back(&self, sent: &HttpRequest<'_>) -> Option<Replica> {
        let path = sent.path.trim_end_matches("/eviction").trim_end_matches("/binding");
        let watched = if sent.kind == Kind::Job { Watched::Jobs } else { Watched::Pods };
        let known = self.copy.borrow().present_of(watched, &sent.key.namespace, &sent.key.name)?;
        // When there is no answer, the watch tells.
        let stored = self.connection.get(path).ok()?;
        let mut copy = self.copy.borrow_mut();
        match stored.filter(|stored| stored["metadata"]["uid"] == known["metadata"]["uid"]) {
            Some(stored) => copy.replica(sent.kind, stored, false),
            None => copy.replica(sent.kind, known, true),
        }
    }
}

/// The real API server for what is above the Job controller.
pub(crate) struct RealApi {
    pub(crate) connection: Connection,
    pub(crate) copy: Shared,
    /// What pods of MiniClusters run where nodes are real; `None`: what the scenario says, which nobody runs.
    pub(crate) pods: Option<RealPods>,
}

impl Api for RealApi {
    fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let root = match group {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        };
        match self.connection.get(&format!("{root}/namespaces/{namespace}/{plural}/{name}")) {
            Ok(object) => object.map(Arc::new),
            Err(error) => {
                self.copy.borrow_mut().fail(error.to_string());
                None
            }
        }
    }

    fn objects(&self, _group: &str, plural: &str) -> Vec<Arc<Value>> {
        debug_assert_eq!(plural, "miniclusters", "nothing else is listed");
        self.copy.borrow().miniclusters.values().cloned().collect()
    }

    fn send(
        &mut self,
        request: HttpMessage<Bytes>,
        _ctx: &mut Context<'_>,
    ) -> Result<http::Response<Bytes>, String> {
        let request = match &self.pods {
            Some(pods) if request.uri().path().contains("/miniclusters") => request.map(|body| {
                let object = serde_json::from_slice::<Value>(&body).ok();
                object.map_or(body, |object| Bytes::from(with_real_pods(object, pods).to_string()))
            }),
            _ => request,
        };
        let response = self.connection.send(request).map_err(|error| error.to_string())?;
        // The user sees at once what they have done, before the watch tells of it.
        if response.status().is_success()
            && let Ok(object) = serde_json::from_slice::<Value>(response.body())
            && object["kind"] == "MiniCluster"
            && object["metadata"]["deletionTimestamp"].is_null()
        {
            let mut copy = self.copy.borrow_mut();
            copy.miniclusters.insert(place(&object), Arc::new(object));
        }
        Ok(response)
    }
}

fn place(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

// ---- from the cluster ----

/// The part of the simulation that the real cluster speaks through: its controllers, its scheduler, its users.
pub(crate) struct Mirror {
    copy: Shared,
    /// Numbers of Events by their names.
    events: BTreeMap<String, usize>,
    /// Starts and stops the real controllers.
    switch: Box<dyn FnMut(bool) -> Result<(), String>>,
}

impl Mirror {
    pub(crate) fn new(copy: Shared, switch: Box<dyn FnMut(bool) -> Result<(), String>>) -> Self {
        Self { copy, events: BTreeMap::new(), switch }
    }

    fn take_over(&mut self, Message { watched, shown, .. }: Message, ctx: &mut Context<'_>) {
        match (watched, shown) {
            // The watch begins again by itself; a server that is gone is noticed by those who write.
            (_, Shown::Failed(_)) => {}
            (Watched::Events, Shown::Stored(object)) => self.record(&object, ctx),
            (Watched::Events, _) => {}
            (Watched::MiniClusters, Shown::Stored(object)) => {
                self.copy.borrow_mut().miniclusters.insert(place(&object), Arc::new(object));
            }
            (Watched::MiniClusters, Shown::Gone(object)) => {
                self.copy.borrow_mut().miniclusters.remove(&place(&object));
            }
            (Watched::MiniClusters, Shown::Listed(namespace, uids)) => {
                let is_listed =
                    |object: &Value| object["metadata"]["uid"].as_str().is_some_and(|uid| uids.contains(uid));
                let mut copy = self.copy.borrow_mut();
                copy.miniclusters.retain(|(of, _), object| *of != namespace || is_listed(object));
            }
            (Watched::Jobs, shown) => self.show(Kind::Job, watched, shown, ctx),
            (Watched::Pods, shown) => self.show(Kind::Pod, watched, shown, ctx),
        }
    }

    fn show(&mut self, kind: Kind, watched: Watched, shown: Shown, ctx: &mut Context<'_>) {
        match shown {
            Shown::Stored(object) => self.replicate(kind, watched, object, false, ctx),
            Shown::Gone(object) => self.replicate(kind, watched, object, true, ctx),
            Shown::Listed(namespace, uids) => {
                // What has gone while the watch was down, with what must have come before.
                for object in self.missing(watched, &namespace, &uids) {
                    let uid = self.copy.borrow().translation.known_pod(&object);
                    if let (Kind::Pod, Some(uid)) = (kind, uid)
                        && let Some(told) = ctx.server.pod(uid).and_then(|pod| told_to_go(pod, ctx.now))
                    {
                        ctx.server.replicate(ctx.now, Actor::JobController, Verb::Delete, Replica::Pod(told));
                    }
                    self.replicate(kind, watched, object, true, ctx);
                }
            }
            Shown::Failed(_) => {}
        }
    }

    fn missing(&self, watched: Watched, namespace: &str, listed: &BTreeSet<String>) -> Vec<Value> {
        let copy = self.copy.borrow();
        let present = copy.present.get(&watched).into_iter().flatten();
        let is_missing = |(uid, object): &(&String, &Value)| {
            object["metadata"]["namespace"] == *namespace && !listed.contains(*uid)
        };
        present.filter(is_missing).map(|(_, object)| object.clone()).collect()
    }

    fn replicate(
        &mut self,
        kind: Kind,
        watched: Watched,
        object: Value,
        is_gone: bool,
        ctx: &mut Context<'_>,
    ) {
        let mut copy = self.copy.borrow_mut();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let present = copy.present.entry(watched).or_default();
        match is_gone {
            true => drop(present.remove(&uid)),
            false => drop(present.insert(uid, object.clone())),
        }
        let Some(replica) = copy.replica(kind, object, is_gone) else { return };
        drop(copy);
        let (actor, verb) = author(&replica, ctx.server);
        ctx.server.replicate(ctx.now, actor, verb, replica);
    }

    /// An Event about a Job of this run.
    fn record(&mut self, object: &Value, ctx: &mut Context<'_>) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Some(job) = self.copy.borrow().translation.known_job(text("/involvedObject/uid")) else { return };
        let draft = EventDraft {
            job,
            is_warning: text("/type") == "Warning",
            reason: Cow::Owned(text("/reason").to_owned()),
            message: text("/message").to_owned(),
        };
        let count = object["count"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
        let record = EventRecord {
            draft,
            actor: Actor::JobController,
            count,
            first_time: ctx.now,
            last_time: ctx.now,
        };
        let name = text("/metadata/name").to_owned();
        let number = ctx.server.replicate_event(self.events.get(&name).copied(), record);
        self.events.insert(name, number);
    }
}

/// The version of a pod that was told to go, which was stored before it went though nobody has seen it; `None`: there need not have been one. The API server marks what a finalizer or
/// a kubelet still holds before it removes it (`rest.BeforeDelete`, and `CheckGracefulDelete` of pods).
fn told_to_go(last: &Pod, now: Time) -> Option<Pod> {
    let is_held = last.tracked || last.node.is_some();
    let must_have_been = last.deletion.is_none() && !last.status.phase.is_terminal() && is_held;
    let deletion = Deletion { timestamp: now, grace_period_s: last.spec.termination_grace_period_s };
    must_have_been.then(|| Pod { deletion: Some(deletion), ..last.clone() })
}

/// Who must have written this: watches do not tell.
fn author(replica: &Replica, server: &Server) -> (Actor, Verb) {
    match replica {
        Replica::Job(job) => match server.job(job.uid) {
            None => (Actor::Operator, Verb::Create),
            Some(old) if old.status != job.status => (Actor::JobController, Verb::UpdateStatus),
            Some(old) if old.deletion_time != job.deletion_time => (Actor::Operator, Verb::Delete),
            Some(_) => (Actor::Operator, Verb::Update),
        },
        Replica::JobGone(_) => (Actor::GarbageCollector, Verb::Delete),
        Replica::Pod(pod) => match server.pod(pod.uid) {
            None => (Actor::JobController, Verb::Create),
            Some(old) if old.node != pod.node => (Actor::Scheduler, Verb::Bind),
            Some(old) if old.deletion != pod.deletion => (Actor::JobController, Verb::Delete),
            Some(old) if old.status != pod.status => (Actor::Kubelet, Verb::UpdateStatus),
            Some(_) => (Actor::JobController, Verb::Update),
        },
        Replica::PodGone(_) => (Actor::Kubelet, Verb::Delete),
    }
}

impl Controller for Mirror {
    fn start(&mut self, _ctx: &mut Context<'_>) {
        self.turn(true);
    }

    fn stop(&mut self, _ctx: &mut Context<'_>) {
        self.turn(false);
    }

    fn observe(&mut self, _change: &Change, _ctx: &mut Context<'_>) {}

    fn handle(&mut self, _event: ControllerEvent, _ctx: &mut Context<'_>) {}

    /// A scenario that holds caches is not played here.
    fn hold(&mut self, _kind: WatchKind) {}

    fn release(&mut self, _kind: WatchKind, _ctx: &mut Context<'_>) {}

    fn next_time(&self) -> Option<Time> {
        self.copy.borrow().inbox.front().map(|(at, _)| *at)
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        loop {
            let due = self.copy.borrow_mut().due(ctx.now);
            let Some(message) = due else { return };
            self.take_over(message, ctx);
        }
    }

    fn failure(&self) -> Option<String> {
        self.copy.borrow().failure.clone()
    }
}

impl Mirror {
    fn turn(&mut self, on: bool) {
        if let Err(why) = (self.switch)(on) {
            self.copy.borrow_mut().fail(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use towtank_model::objects::{ContainerState, PodPhase, PodStatus};

    use super::*;
    use crate::workloads::tests::pod;

    #[test]
    fn what_was_held_has_been_told_to_go_before_it_went() {
        let now = Time::ZERO;
        let status = PodStatus::default();
        let free = Pod { tracked: false, node: None, status, ..pod(ContainerState::Running, 0) };
        // Nothing holds it: it goes at once.
        assert!(told_to_go(&free, now).is_none());
        let waits = Pod { tracked: true, ..free.clone() };
        let told = told_to_go(&waits, now);
        assert_eq!(
            told.as_ref().and_then(|pod| pod.deletion).map(|deletion| deletion.grace_period_s),
            Some(30)
        );
        // It was seen already.
        assert!(told.is_some_and(|told| told_to_go(&told, now).is_none()));
        let runs = Pod { node: Some(NodeId(0)), ..free };
        assert!(told_to_go(&runs, now).is_some());
        // What has ended goes at once when its finalizer has been taken away.
        let status = PodStatus { phase: PodPhase::Succeeded, ..PodStatus::default() };
        assert!(told_to_go(&Pod { status, ..waits }, now).is_none());
    }
}
