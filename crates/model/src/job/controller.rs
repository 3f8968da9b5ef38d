//! The component itself: its state, its life, and the events that it answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::client::{Client, ClientId, Reply, Ticket};
use super::config::ControllerConfig;
use super::faults::CallKind;
use super::informer::{JobCache, KeyId, PodCache, Watch, WatchKind, slot};
use super::memory::Memory;
use super::orphans::Orphans;
use super::outbox::{Outbox, Recorder};
use super::pool::Pool;
use super::ttl::TtlController;
use super::worker::Running;
use super::{ControllerEvent, QueueId};
use crate::engine::Purpose;
use crate::objects::{Job, Pod, Uid};
use crate::server::{Actor, Change, Versions};
use crate::simulation::{Context, Controller, Event};
use crate::time::Time;
use crate::version::Features;

/// The Job controller's process.
#[derive(Debug)]
pub struct JobController {
    pub(super) config: ControllerConfig,
    pub(super) features: Features,
    /// Decisions go into the trace.
    pub(super) explains: bool,
    /// Number of the process; events of earlier ones are void.
    incarnation: u32,
    is_up: bool,
    /// When the process looks at its caches again, which are complete by then.
    caches_synced_at: Option<Time>,

    // Caches. The watches belong to the network between process and server: a hold outlives the process.
    pub(super) jobs: JobCache,
    pub(super) pods: PodCache,
    job_watch: Watch<Versions<Job>>,
    pod_watch: Watch<Versions<Pod>>,

    // Memory, by key of the Job, and the Jobs that were declared finished though the cache does not show it.
    memory: Vec<Memory>,
    pub(super) finished_unseen: BTreeSet<Uid>,

    // Work.
    pub(super) pool: Pool,
    /// By worker.
    pub(super) running: Vec<Option<Running>>,
    pub(super) orphans: Orphans,
    ttl: TtlController,

    // Requests.
    pub(super) outbox: Outbox,
    pub(super) recorder: Recorder,
    client: Client,
    ttl_client: Client,
    /// Syncs begun, skipped ones included.
    pub(super) syncs: u64,
}

impl JobController {
    /// A process that has not started.
    pub fn new(config: ControllerConfig, features: Features, explains: bool) -> Self {
        let client = Client::new(ClientId::Jobs, Actor::JobController, &config, config.faults.clone());
        let ttl_client = {
            let faults = config.faults.of_kind(CallKind::DeleteJob);
            Client::new(ClientId::Ttl, Actor::TtlController, &config, faults)
        };
        Self {
            features,
            explains,
            incarnation: 0,
            is_up: false,
            caches_synced_at: None,
            jobs: JobCache::default(),
            pods: PodCache::default(),
            job_watch: Watch::default(),
            pod_watch: Watch::default(),
            memory: Vec::new(),
            finished_unseen: BTreeSet::new(),
            pool: Pool::new(QueueId::Jobs, config.workers),
            running: Vec::new(),
            orphans: Orphans::new(&config, &features),
            ttl: TtlController::default(),
            outbox: Outbox::default(),
            recorder: Recorder::default(),
            client,
            ttl_client,
            syncs: 0,
            config,
        }
    }

    /// Whether the process runs.
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// Syncs begun so far, those included that were skipped.
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Whether a watch is held.
    pub const fn is_held(&self, kind: WatchKind) -> bool {
        match kind {
            WatchKind::Pods => self.pod_watch.is_held(),
            WatchKind::Jobs => self.job_watch.is_held(),
        }
    }

    /// What is remembered of a Job.
    pub(super) fn memory(&mut self, key: KeyId) -> &mut Memory {
        slot(&mut self.memory, key.index())
    }

    fn resume(&mut self, ticket: Ticket, reply: Reply, ctx: &mut Context<'_>) {
        match ticket.queue {
            QueueId::Jobs => self.resume_sync(ticket, reply, ctx),
            QueueId::Orphans => self.resume_orphans(ticket, &reply, ctx),
            QueueId::Ttl => self.ttl.resume(ticket, &reply, &mut self.outbox, ctx),
        }
    }

    /// Idle workers take all keys that are ready, and what they want is sent, before anything else happens at this
    /// instant.
    fn work_on(&mut self, ctx: &mut Context<'_>) {
        loop {
            while self.work_on_orphans(ctx)
                || self.work(ctx)
                || self.ttl.work(&self.jobs, &mut self.outbox, ctx)
            {}
            self.admit_requests(ctx);
            let Some(call) = self.outbox.next(ctx.server) else { return };
            let answered = self.client(call.client()).send(call, ctx);
            if let Some((ticket, reply)) = answered {
                self.resume(ticket, reply, ctx);
            }
        }
    }

    /// Hands out the tokens of this instant. An Event comes before the calls: a worker records it before it goes on.
    fn admit_requests(&mut self, ctx: &mut Context<'_>) {
        loop {
            self.recorder.admit(&mut self.client, ctx);
            for call in self.outbox.take_arrivals(ctx.server) {
                if let Some(call) = self.client(call.client()).admit(call, ctx.now) {
                    self.outbox.push_ready(call);
                }
            }
            if !self.recorder.post(ctx) {
                return;
            }
        }
    }

    fn client(&mut self, id: ClientId) -> &mut Client {
        match id {
            ClientId::Jobs => &mut self.client,
            ClientId::Ttl => &mut self.ttl_client,
        }
    }

    /// What is due of both kinds arrives in the caches; then the handlers are called. Informers run beside each other
    /// and ahead of their handlers, so a handler may find more in the caches than its own change: here, always all of
    /// an instant.
    fn deliver(&mut self, ctx: &mut Context<'_>) {
        let (mut pods, mut jobs) = (Vec::new(), Vec::new());
        while let Some(change) = self.pod_watch.next_due(ctx.now) {
            self.pods.apply(&change);
            pods.push(change);
        }
        while let Some(change) = self.job_watch.next_due(ctx.now) {
            if let Some(key) = self.jobs.apply(&change) {
                jobs.push((key, change));
            }
        }
        for change in &pods {
            self.handle_pod(change, ctx);
        }
        for (key, change) in &jobs {
            self.handle_job_change(*key, change, ctx);
        }
    }

    /// The two controllers share the cache of Jobs.
    fn handle_job_change(&mut self, key: KeyId, change: &Versions<Job>, ctx: &mut Context<'_>) {
        self.handle_job(key, change, ctx);
        if let Some(job) = &change.new {
            self.ttl.handle_job(key, job, ctx);
        }
    }

    /// When a change that sets out now gets here.
    fn arrival(&self, ctx: &mut Context<'_>) -> Time {
        let latency = &self.config.watch_latency;
        if latency.is_zero() { ctx.now } else { ctx.now + latency.draw(ctx.random, Purpose::Network) }
    }

    fn schedule_delivery(&self, kind: WatchKind, at: Time, ctx: &mut Context<'_>) {
        let event = ControllerEvent::Deliver { kind, incarnation: self.incarnation };
        ctx.events.schedule(at, Event::Controller(event));
    }
}

impl Controller for JobController {
    /// Starts the process: it lists Jobs and pods into its caches at once and begins to work when it notices that they
    /// are complete. Does nothing when it runs already.
    fn start(&mut self, ctx: &mut Context<'_>) {
        if std::mem::replace(&mut self.is_up, true) {
            return;
        }
        let jobs: Vec<_> = ctx.server.jobs().map(Arc::clone).collect();
        let pods: Vec<_> = ctx.server.pods().map(Arc::clone).collect();
        for job in jobs {
            let change = Versions { old: None, new: Some(job) };
            if let Some(key) = self.jobs.apply(&change) {
                self.handle_job_change(key, &change, ctx);
            }
        }
        for pod in pods {
            let change = Versions { old: None, new: Some(pod) };
            self.pods.apply(&change);
            self.handle_pod(&change, ctx);
        }
        self.caches_synced_at = Some(ctx.now + self.config.cache_sync_delay);
    }

    /// Ends the process. Everything that it remembers is gone (spec section 0.3); calls that were sent have
    /// their effect.
    fn stop(&mut self, ctx: &mut Context<'_>) {
        self.is_up = false;
        self.incarnation += 1;
        self.caches_synced_at = None;
        self.jobs = JobCache::default();
        self.pods = PodCache::default();
        self.job_watch.reset();
        self.pod_watch.reset();
        self.memory.clear();
        self.finished_unseen.clear();
        self.pool = Pool::new(QueueId::Jobs, self.config.workers);
        self.running.clear();
        self.orphans = Orphans::new(&self.config, &self.features);
        self.ttl = TtlController::default();
        self.outbox = Outbox::default();
        self.recorder = Recorder::default();
        self.client.crash();
        self.ttl_client.crash();
        ctx.server.end_recorder(Actor::JobController);
    }

    /// Stops the deliveries of a watch; changes queue up.
    fn hold(&mut self, kind: WatchKind) {
        match kind {
            WatchKind::Pods => self.pod_watch.hold(),
            WatchKind::Jobs => self.job_watch.hold(),
        }
    }

    /// Resumes the deliveries of a watch: what has queued up arrives now, in order.
    fn release(&mut self, kind: WatchKind, ctx: &mut Context<'_>) {
        let was_held = match kind {
            WatchKind::Pods => self.pod_watch.release(ctx.now),
            WatchKind::Jobs => self.job_watch.release(ctx.now),
        };
        if was_held {
            self.schedule_delivery(kind, ctx.now, ctx);
        }
    }

    /// A change of the store: it sets out for the cache.
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        if !self.is_up {
            return;
        }
        match change {
            Change::Job(change) => {
                let due = self.arrival(ctx);
                if let Some(at) = self.job_watch.offer(due, change.clone()) {
                    self.schedule_delivery(WatchKind::Jobs, at, ctx);
                }
            }
            Change::Pod(change) => {
                let due = self.arrival(ctx);
                if let Some(at) = self.pod_watch.offer(due, change.clone()) {
                    self.schedule_delivery(WatchKind::Pods, at, ctx);
                }
            }
            Change::Node(_) => {}
        }
    }

    /// Answers an event.
    fn handle(&mut self, event: ControllerEvent, ctx: &mut Context<'_>) {
        match event {
            ControllerEvent::Call { client, id } => {
                if let Some((ticket, reply)) = self.client(client).handle(id, ctx) {
                    self.resume(ticket, reply, ctx);
                }
            }
            ControllerEvent::Deliver { incarnation, .. } if incarnation == self.incarnation => {
                self.deliver(ctx);
            }
            ControllerEvent::Deliver { .. } => {}
        }
        self.work_on(ctx);
    }

    fn next_time(&self) -> Option<Time> {
        let pools = [&self.pool, &self.orphans.pool, &self.ttl.pool].map(Pool::next_time);
        let clients = [&self.client, &self.ttl_client].map(Client::next_time);
        let others = [self.caches_synced_at, self.recorder.next_time()];
        pools.into_iter().chain(clients).chain(others).flatten().min()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        let is_synced = self.caches_synced_at.take_if(|at| *at <= ctx.now).is_some();
        for pool in [&mut self.pool, &mut self.orphans.pool, &mut self.ttl.pool] {
            pool.fire(ctx.now);
            if is_synced {
                pool.start();
            }
        }
        for client in [&mut self.client, &mut self.ttl_client] {
            while let Some(call) = client.next_due(ctx.now) {
                self.outbox.push_ready(call);
            }
        }
        self.work_on(ctx);
    }
}
