//! The real controllers in the place of the model's.
//!
//! The driver's process decides; *when* its watches hear of a change, when its calls have their effect, and what goes
//! wrong with them is decided here, by the same settings and with the same random numbers as in the model.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use towtank_model::engine::{Distribution, Purpose};
use towtank_model::job::{
    CallKind, ClientId, ControllerConfig, ControllerEvent, Fault, FaultInjector, Watch, WatchKind,
};
use towtank_model::objects::ObjectKey;
use towtank_model::server::{Actor, Change, EventDraft, EventRecord, Registry};
use towtank_model::simulation::{Context, Controller, Event};
use towtank_model::time::Time;

use crate::driver::{Driver, DriverError};
use crate::open::{Answer, Request, Upstream};
use crate::registry::RemoteRegistry;
use crate::session::{Link, Mode, RemoteCall, RemoteEvent, resource_of, verb};
use towtank_wire as wire;

/// The Job controller and the controller of `ttlSecondsAfterFinished` in a driver.
pub struct RemoteController {
    link: Link,
    watch_latency: Distribution,
    call_latency: Distribution,
    faults: FaultInjector,
    incarnation: u32,
    is_up: bool,
    /// Sequence numbers in the driver of the changes that the process has not heard of, by kind.
    watches: [Watch<u64>; 2],
    calls: BTreeMap<u32, InFlight>,
    /// Numbers of Events by their names.
    events: BTreeMap<String, usize>,
    /// The API server, when it is not the driver's own.
    upstream: Option<Box<dyn Upstream>>,
}

/// A call that waits for its effect or its answer.
struct InFlight {
    call: RemoteCall,
    fault: Option<Fault>,
    is_executed: bool,
    /// What an API server elsewhere has answered.
    answer: Option<Answer>,
    /// Its process runs.
    has_caller: bool,
}

impl RemoteController {
    /// Begins a run in `driver`: its controllers, not yet started, and its store.
    ///
    /// # Errors
    ///
    /// The driver cannot do it.
    pub fn begin(
        driver: &Rc<RefCell<Driver>>,
        config: &ControllerConfig,
        seed: u64,
        feature_gates: BTreeMap<String, bool>,
    ) -> Result<(Self, Box<dyn Registry>), DriverError> {
        let link = Link::begin(driver, Mode::Closed, config, seed, &feature_gates)?;
        Ok((Self::around(link.clone(), config, None), Box::new(RemoteRegistry(link))))
    }

    /// Begins a run in `driver` with nothing but the controllers in it: `upstream` is their API server.
    ///
    /// # Errors
    ///
    /// The driver cannot do it.
    pub fn begin_open(
        driver: &Rc<RefCell<Driver>>,
        config: &ControllerConfig,
        seed: u64,
        feature_gates: BTreeMap<String, bool>,
        upstream: Box<dyn Upstream>,
    ) -> Result<Self, DriverError> {
        let link = Link::begin(driver, Mode::Open, config, seed, &feature_gates)?;
        Ok(Self::around(link, config, Some(upstream)))
    }

    fn around(link: Link, config: &ControllerConfig, upstream: Option<Box<dyn Upstream>>) -> Self {
        Self {
            link,
            watch_latency: config.watch_latency,
            call_latency: config.call_latency,
            faults: FaultInjector::new(config.faults.clone()),
            incarnation: 0,
            is_up: false,
            watches: Default::default(),
            calls: BTreeMap::new(),
            events: BTreeMap::new(),
            upstream,
        }
    }

    /// Takes note of what the watches of an API server elsewhere have shown.
    fn hear(&mut self, ctx: &mut Context<'_>) {
        let Some(upstream) = &mut self.upstream else { return };
        match upstream.changes(ctx) {
            Ok(changes) => changes.into_iter().for_each(|shown| self.link.take_over(shown)),
            Err(error) => self.link.fail(error),
        }
    }

    // ---- watches ----

    /// Hands the process what is due of both kinds.
    fn deliver(&mut self, ctx: &mut Context<'_>) {
        let mut up_to = Map::new();
        for (watch, kind) in self.watches.iter_mut().zip([WatchKind::Pods, WatchKind::Jobs]) {
            while let Some(last) = watch.next_due(ctx.now) {
                up_to.insert(resource_of(kind).to_owned(), last.into());
            }
        }
        if !up_to.is_empty() {
            self.link.ask(&json!({"do": "deliver", "upTo": up_to}));
            self.serve(ctx);
        }
    }

    fn schedule_delivery(&self, kind: WatchKind, at: Time, ctx: &mut Context<'_>) {
        let event = ControllerEvent::Deliver { kind, incarnation: self.incarnation };
        ctx.events.schedule(at, Event::Controller(event));
    }

    // ---- calls ----

    /// Takes up what the process wants at this instant, until it wants nothing more.
    fn serve(&mut self, ctx: &mut Context<'_>) {
        loop {
            self.take_events(ctx);
            let Some(call) = self.link.next_call() else { return };
            let id = call.id;
            let client = if call.controller == "ttl" { ClientId::Ttl } else { ClientId::Jobs };
            // Of the calls of the other controller, the deletions are in the plan.
            let kind =
                call_kind(&call).filter(|kind| client == ClientId::Jobs || *kind == CallKind::DeleteJob);
            let fault = kind.and_then(|kind| self.faults.next(kind));
            let delay = if let Some(Fault::Delay(delay)) = fault { delay } else { Duration::ZERO };
            self.calls
                .insert(id, InFlight { call, fault, is_executed: false, answer: None, has_caller: true });
            let due = self.link.now() + drawn(&self.call_latency, ctx) + delay;
            if due == ctx.now {
                self.handle_call(client, id, ctx);
            } else {
                ctx.events.schedule(due, Event::Controller(ControllerEvent::Call { client, id }));
            }
        }
    }

    /// A call reaches the server, or its answer the caller.
    fn handle_call(&mut self, client: ClientId, id: u32, ctx: &mut Context<'_>) {
        let Some(mut in_flight) = self.calls.remove(&id) else { return };
        if !in_flight.is_executed {
            let is_answered_later = in_flight.has_caller && !self.call_latency.is_zero();
            match in_flight.fault {
                Some(Fault::Conflict | Fault::Unreachable) => {}
                Some(Fault::Delay(_)) | None if !is_answered_later => {
                    return self.execute(&mut in_flight, true, ctx);
                }
                _ => self.execute(&mut in_flight, false, ctx),
            }
            if is_answered_later {
                in_flight.is_executed = true;
                self.calls.insert(id, in_flight);
                let event = ControllerEvent::Call { client, id };
                let answered_at = ctx.now + drawn(&self.call_latency, ctx);
                ctx.events.schedule(answered_at, Event::Controller(event));
                return;
            }
        }
        let answer = match in_flight.fault {
            Some(Fault::Conflict) => "conflict",
            Some(Fault::Unreachable) => "unreachable",
            Some(Fault::AnswerLost) => "lost",
            Some(Fault::Delay(_)) | None => "result",
        };
        self.reply(&mut in_flight, answer);
    }

    /// The caller hears what became of its call.
    fn reply(&self, in_flight: &mut InFlight, how: &str) {
        let mut reply = json!({"do": "reply", "id": in_flight.call.id, "as": how});
        if let Some(Answer { code, body }) = in_flight.answer.take().filter(|_| how == "result") {
            reply["code"] = code.into();
            reply["body"] = body;
        }
        self.link.ask(&reply);
    }

    /// A call has its effect at the server, and the caller hears of it if it is to be answered at once.
    fn execute(&mut self, in_flight: &mut InFlight, answers: bool, ctx: &mut Context<'_>) {
        let call = &in_flight.call;
        let actor = if call.controller == "ttl" { Actor::TtlController } else { Actor::JobController };
        let (resource, key) = object_of(call);
        if let Some(upstream) = &mut self.upstream {
            let (method, path, content_type) = (&*call.method, &*call.path, &*call.content_type);
            let request = Request { actor, method, path, content_type, body: call.body.as_ref() };
            let told = ctx.server.trace_len();
            let answer = upstream.handle(request, ctx);
            self.hear(ctx);
            if answer.code >= 400
                && let Some(verb) = verb(method, path)
            {
                // It is told as the caller hears of it, whoever has refused it.
                ctx.server.shorten_trace(told);
                let error = wire::api_error(resource, &key, answer.code, &answer.body);
                ctx.server.note_refusal(ctx.now, actor, verb, key, &error);
            }
            in_flight.answer = Some(answer);
            if answers {
                self.reply(in_flight, "result");
            }
            return;
        }
        let result = self.link.execute((resource, &key), call.id, answers);
        let Some(verb) = verb(&call.method, &call.path) else { return };
        match result {
            Ok(replicas) => {
                for replica in replicas {
                    ctx.server.replicate(ctx.now, actor, verb, replica);
                }
            }
            Err(error) => ctx.server.note_refusal(ctx.now, actor, verb, key, &error),
        }
    }

    // ---- Events ----

    fn take_events(&mut self, ctx: &mut Context<'_>) {
        while let Some(event) = self.link.next_event() {
            // The driver refuses Events in such a namespace itself, if it knows of it.
            let namespace = event.event.pointer("/metadata/namespace").and_then(Value::as_str);
            if self.upstream.is_some() && namespace.is_some_and(|name| ctx.server.is_terminating(name)) {
                continue;
            }
            if let Some(record) = record_of(&event, self.link.now()) {
                let known = self.events.get(&event.name).copied();
                let number = ctx.server.replicate_event(known, record);
                self.events.insert(event.name, number);
            }
        }
    }
}

impl Controller for RemoteController {
    fn start(&mut self, ctx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.is_up, true) {
            self.link.ask(&json!({"do": "start"}));
            self.serve(ctx);
        }
    }

    fn stop(&mut self, _ctx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        self.incarnation += 1;
        for watch in &mut self.watches {
            watch.reset();
        }
        for in_flight in self.calls.values_mut() {
            in_flight.has_caller = false;
        }
        self.link.ask(&json!({"do": "stop"}));
    }

    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        let kind = match change {
            Change::Job(_) => WatchKind::Jobs,
            Change::Pod(_) => WatchKind::Pods,
            Change::Node(_) => return,
        };
        self.hear(ctx);
        let Some(seq) = self.link.next_change(kind) else { return };
        if !self.is_up {
            return;
        }
        let due = ctx.now + drawn(&self.watch_latency, ctx);
        if let Some(at) = self.watches[kind as usize].offer(due, seq) {
            self.schedule_delivery(kind, at, ctx);
        }
    }

    fn handle(&mut self, event: ControllerEvent, ctx: &mut Context<'_>) {
        match event {
            ControllerEvent::Deliver { incarnation, .. } if incarnation == self.incarnation => {
                self.deliver(ctx);
            }
            ControllerEvent::Call { client, id } => {
                self.handle_call(client, id, ctx);
                self.serve(ctx);
            }
            _ => {}
        }
    }

    fn hold(&mut self, kind: WatchKind) {
        self.watches[kind as usize].hold();
    }

    fn release(&mut self, kind: WatchKind, ctx: &mut Context<'_>) {
        if self.watches[kind as usize].release(ctx.now) {
            self.schedule_delivery(kind, ctx.now, ctx);
        }
    }

    fn next_time(&self) -> Option<Time> {
        self.link.wants_something().then(|| self.link.now())
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        self.serve(ctx);
    }

    fn advance(&mut self, until: Time) {
        self.link.advance(until);
    }

    fn is_transparent(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<String> {
        self.link.failure()
    }
}

/// How long something takes; no number is drawn where nothing takes any time.
fn drawn(latency: &Distribution, ctx: &mut Context<'_>) -> Duration {
    if latency.is_zero() { Duration::ZERO } else { latency.draw(ctx.random, Purpose::Network) }
}

/// What a call is in a fault plan.
fn call_kind(call: &RemoteCall) -> Option<CallKind> {
    let is_job = call.path.starts_with("/apis/batch/");
    match (call.method.as_str(), is_job) {
        ("GET", true) => Some(CallKind::GetJob),
        ("POST", false) => Some(CallKind::CreatePod),
        ("PATCH", false) => Some(CallKind::PatchPod),
        ("DELETE", false) => Some(CallKind::DeletePod),
        ("PUT" | "PATCH", true) => Some(CallKind::UpdateJobStatus),
        ("DELETE", true) => Some(CallKind::DeleteJob),
        _ => None,
    }
}

/// The object that a call is about; the Job, when it is a pod to be.
fn object_of(call: &RemoteCall) -> (&'static str, ObjectKey) {
    let mut parts = call.path.split('/').skip_while(|part| *part != "namespaces").skip(1);
    let namespace = parts.next().unwrap_or_default();
    let resource = if parts.next() == Some("jobs") { "jobs" } else { "pods" };
    let owner = || call.body.as_ref()?.pointer("/metadata/ownerReferences/0/name")?.as_str();
    let name = parts.next().or_else(owner).unwrap_or_default();
    (resource, ObjectKey::new(namespace, name))
}

/// The message of a call that failed on the network, without the method and address that Go puts into it.
fn without_address(message: &str) -> String {
    const ADDRESS: &str = " \"http://towtank";
    let around = || {
        let (before, rest) = message.split_once(ADDRESS)?;
        let (before, _method) = before.rsplit_once(' ')?;
        let (_path, after) = rest.split_once("\": ")?;
        Some(format!("{before} {after}"))
    };
    around().unwrap_or_else(|| message.to_owned())
}

/// An Event as the simulation keeps it; `None` when it is not about a Job that is known.
fn record_of(event: &RemoteEvent, now: Time) -> Option<EventRecord> {
    let text = |pointer: &str| event.event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let job = wire::Kind::Job.uid(text("/involvedObject/uid"))?;
    let count = event.event.get("count").and_then(Value::as_u64).unwrap_or(1);
    let draft = EventDraft {
        job,
        is_warning: text("/type") == "Warning",
        reason: Cow::Owned(text("/reason").to_owned()),
        message: without_address(text("/message")),
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Some(EventRecord { draft, actor: Actor::JobController, count, first_time: now, last_time: now })
}
