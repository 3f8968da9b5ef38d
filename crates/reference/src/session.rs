//! One run in a driver: what is asked of it, and what it answers, in the model's terms.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use towtank_model::job::{ControllerConfig, WatchKind};
use towtank_model::objects::{NodeId, ObjectKey, Pod, PodSpec};
use towtank_model::server::{ApiError, Replica, Verb};
use towtank_model::time::Time;

use crate::driver::{Driver, DriverError};
use crate::open::Shown;
use towtank_wire as wire;

/// A run in a driver, shared by the two parts of a simulation that live there. It ends with its last owner.
#[derive(Clone)]
pub(crate) struct Link(Rc<RefCell<Session>>);

struct Session {
    driver: Rc<RefCell<Driver>>,
    failure: Option<String>,
    /// Where the driver's clock stands.
    now: Time,
    /// Sequence numbers of the changes that the simulation has not been shown yet, by kind.
    unseen: [VecDeque<u64>; 2],
    /// What the controllers' process wants next.
    calls: VecDeque<RemoteCall>,
    /// What its recorders have written.
    events: VecDeque<RemoteEvent>,
    /// Specs of pods that were seen lately.
    specs: VecDeque<Arc<PodSpec>>,
    /// Changes that an API server elsewhere has shown so far.
    shown: u64,
    /// Those of them that the driver has not been told of.
    untold: Vec<Value>,
}

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The driver's.
    Closed,
    /// That of an API server elsewhere.
    Open,
}

const SPECS_MAX: usize = 32;

/// A call that the controllers' process has made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RemoteCall {
    pub(crate) id: u32,
    pub(crate) controller: String,
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(rename = "contentType")]
    pub(crate) content_type: String,
    pub(crate) body: Option<Value>,
}

/// An Event that a recorder has written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RemoteEvent {
    pub(crate) name: String,
    pub(crate) event: Value,
}

/// The answer to what has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {}

#[derive(Deserialize)]
struct Progress {
    #[serde(rename = "nowMicros")]
    now_micros: u64,
    calls: Vec<RemoteCall>,
    events: Vec<RemoteEvent>,
}

/// What a write or read came to; of `execute`, without progress.
#[derive(Deserialize)]
struct Outcome {
    code: u16,
    body: Option<Refusal>,
    changes: Vec<RemoteChange>,
    #[serde(rename = "nowMicros")]
    now_micros: Option<u64>,
    #[serde(default)]
    calls: Vec<RemoteCall>,
    #[serde(default)]
    events: Vec<RemoteEvent>,
}

/// What counts of a `metav1.Status`; objects have none of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    reason: Value,
    message: Value,
    details: Value,
}

#[derive(Deserialize)]
struct RemoteChange {
    seq: u64,
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Link {
    /// Begins a run: with these settings of the controllers' process, a seed for generated names, and the feature gates
    /// that differ from what the version has.
    pub(crate) fn begin(
        driver: &Rc<RefCell<Driver>>,
        mode: Mode,
        config: &ControllerConfig,
        seed: u64,
        feature_gates: &BTreeMap<String, bool>,
    ) -> Result<Self, DriverError> {
        let begin = json!({
            "do": "begin",
            "mode": match mode {
                Mode::Closed => "closed",
                Mode::Open => "open",
            },
            "seed": seed,
            "featureGates": feature_gates,
            "workers": config.workers,
            "qps": config.qps,
            "burst": config.burst,
        });
        let Done {} = driver.borrow_mut().ask(&begin)?;
        let session = Session {
            driver: Rc::clone(driver),
            failure: None,
            now: Time::ZERO,
            unseen: Default::default(),
            calls: VecDeque::new(),
            events: VecDeque::new(),
            specs: VecDeque::new(),
            shown: 0,
            untold: Vec::new(),
        };
        Ok(Self(Rc::new(RefCell::new(session))))
    }

    /// Why the run cannot go on, when it cannot.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.borrow().failure.clone()
    }

    /// Where the driver's clock stands.
    pub(crate) fn now(&self) -> Time {
        self.0.borrow().now
    }

    /// Tells the driver something that has no answer.
    pub(crate) fn tell(&self, request: &Value) {
        self.0.borrow_mut().exchange::<Done>(request);
    }

    /// Asks for something that the controllers' process may have an answer to.
    pub(crate) fn ask(&self, request: &Value) {
        self.0.borrow_mut().progress(request);
    }

    /// Lets the driver's clock run up to `until`, or until the controllers' process wants something.
    pub(crate) fn advance(&self, until: Time) {
        let mut session = self.0.borrow_mut();
        if until > session.now {
            session.progress(&json!({"do": "advance", "toMicros": until.as_micros()}));
        }
    }

    /// Whether the controllers' process waits for anything but time.
    pub(crate) fn wants_something(&self) -> bool {
        let session = self.0.borrow();
        !session.calls.is_empty() || !session.events.is_empty()
    }

    /// The next call of the controllers' process.
    pub(crate) fn next_call(&self) -> Option<RemoteCall> {
        self.0.borrow_mut().calls.pop_front()
    }

    /// The next Event that was written.
    pub(crate) fn next_event(&self) -> Option<RemoteEvent> {
        self.0.borrow_mut().events.pop_front()
    }

    /// The sequence number of the change of this kind that the simulation sees next.
    pub(crate) fn next_change(&self, kind: WatchKind) -> Option<u64> {
        self.0.borrow_mut().unseen[kind as usize].pop_front()
    }

    /// An API server elsewhere has shown a change; the driver hears of it with the next request.
    pub(crate) fn take_over(&self, shown: Shown) {
        let mut session = self.0.borrow_mut();
        let Shown { kind, mut event } = shown;
        event["resource"] = resource_of(kind).into();
        session.shown += 1;
        let number = session.shown;
        session.unseen[kind as usize].push_back(number);
        session.untold.push(event);
    }

    /// The run cannot go on.
    pub(crate) fn fail(&self, failure: String) {
        self.0.borrow_mut().fail(failure);
    }

    /// Has a request of somebody else carried out.
    pub(crate) fn request(
        &self,
        object: (&'static str, &ObjectKey),
        (method, path, content_type): (&str, &str, &str),
        body: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let request = json!({
            "do": "request", "method": method, "path": path, "contentType": content_type, "body": body,
        });
        self.0.borrow_mut().outcome(object, &request)
    }

    /// Has a call carried out, and gives the caller the answer if it is to have it.
    pub(crate) fn execute(
        &self,
        object: (&'static str, &ObjectKey),
        id: u32,
        answers: bool,
    ) -> Result<Vec<Replica>, ApiError> {
        let what = if answers { "answer" } else { "execute" };
        self.0.borrow_mut().outcome(object, &json!({"do": what, "id": id}))
    }
}

impl Session {
    /// One exchange with the driver; a fault of its ends the run.
    fn exchange<T: DeserializeOwned>(&mut self, request: &Value) -> Option<T> {
        if self.failure.is_some() {
            return None;
        }
        let answer = if self.untold.is_empty() {
            self.driver.borrow_mut().ask(request)
        } else {
            let mut request = request.clone();
            request["changes"] = std::mem::take(&mut self.untold).into();
            self.driver.borrow_mut().ask(&request)
        };
        answer.map_err(|error| self.fail(error.to_string())).ok()
    }

    fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }

    fn progress(&mut self, request: &Value) {
        if let Some(progress) = self.exchange(request) {
            self.note(progress);
        }
    }

    fn note(&mut self, progress: Progress) {
        self.now = Time::from_micros(progress.now_micros);
        // What follows from an answer comes before what was asked for in parallel with it.
        for call in progress.calls.into_iter().rev() {
            self.calls.push_front(call);
        }
        self.events.extend(progress.events);
    }

    fn outcome(
        &mut self,
        (resource, key): (&'static str, &ObjectKey),
        request: &Value,
    ) -> Result<Vec<Replica>, ApiError> {
        let Some(outcome) = self.exchange::<Outcome>(request) else { return Err(ApiError::Unreachable) };
        if let Some(now_micros) = outcome.now_micros {
            self.note(Progress { now_micros, calls: outcome.calls, events: outcome.events });
        }
        let mut replicas = Vec::with_capacity(outcome.changes.len());
        for change in outcome.changes {
            match replica(&change.kind, &change.object) {
                Ok(mut replica) => {
                    if let Replica::Pod(pod) | Replica::PodGone(pod) = &mut replica {
                        self.share_spec(pod);
                    }
                    let kind = match replica {
                        Replica::Job(_) | Replica::JobGone(_) => WatchKind::Jobs,
                        Replica::Pod(_) | Replica::PodGone(_) => WatchKind::Pods,
                    };
                    self.unseen[kind as usize].push_back(change.seq);
                    replicas.push(replica);
                }
                Err(error) => {
                    self.fail(format!("the driver shows an object that the model cannot hold: {error}"));
                }
            }
        }
        if outcome.code >= 400 {
            if !replicas.is_empty() {
                self.fail("the driver refused a write that had an effect".to_owned());
            }
            let Refusal { reason, message, details } = outcome.body.unwrap_or_default();
            let status = json!({"reason": reason, "message": message, "details": details});
            return Err(wire::api_error(resource, key, outcome.code, &status));
        }
        Ok(replicas)
    }

    /// Pods of one template have one spec: the scheduler knows them by it.
    fn share_spec(&mut self, pod: &mut Pod) {
        if let Some(known) = self.specs.iter().find(|known| **known == pod.spec) {
            pod.spec = Arc::clone(known);
        } else {
            if self.specs.len() == SPECS_MAX {
                self.specs.pop_front();
            }
            self.specs.push_back(Arc::clone(&pod.spec));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.failure.is_none() {
            // A driver that fails here fails again at the next run's beginning, where it is heard.
            let _ = self.driver.borrow_mut().ask::<Done>(&json!({"do": "end"}));
        }
    }
}

/// What a watch is of.
pub(crate) const fn resource_of(kind: WatchKind) -> &'static str {
    match kind {
        WatchKind::Pods => "pods",
        WatchKind::Jobs => "jobs",
    }
}

/// A change as the simulation's copy takes it over.
fn replica(kind: &str, object: &Value) -> Result<Replica, wire::WireError> {
    let is_gone = kind == "DELETED";
    if object.get("kind").and_then(Value::as_str) == Some("Job") {
        let job = wire::job_row(object)?;
        return Ok(if is_gone { Replica::JobGone(job) } else { Replica::Job(job) });
    }
    let pod = wire::pod_row(object, node_id)?;
    Ok(if is_gone { Replica::PodGone(pod) } else { Replica::Pod(pod) })
}

const NODE_PREFIX: &str = "id-";

/// What a node is called in the driver: nodes are the simulation's, and a node that comes back under its name is another
/// one there.
pub(crate) fn node_name(node: NodeId) -> String {
    format!("{NODE_PREFIX}{}", node.0)
}

fn node_id(name: &str) -> Option<NodeId> {
    name.strip_prefix(NODE_PREFIX)?.parse().ok().map(NodeId)
}

/// What kind of write a call is; `None` for reads.
pub(crate) fn verb(method: &str, path: &str) -> Option<Verb> {
    match method {
        "POST" => Some(Verb::Create),
        "PUT" if path.ends_with("/status") => Some(Verb::UpdateStatus),
        "PUT" | "PATCH" => Some(Verb::Update),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    }
}
