//! A controller's client: what lies between a decision to call the API server and its answer.
//!
//! A call takes a token from the client's bucket, travels to the server, has its effect there, and travels back. A call
//! that was sent has its effect even if its sender is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::config::ControllerConfig;
use super::faults::{CallKind, Fault, FaultInjector, FaultPlan};
use super::outbox::Outgoing;
use super::{ControllerEvent, QueueId};
use crate::engine::{Distribution, Purpose};
use crate::objects::{Job, JobStatus, ObjectKey, Pod, ResourceVersion, Uid};
use crate::server::{Actor, ApiError, PodDraft, PodPatch, Propagation};
use crate::simulation::{Context, Event};
use crate::time::Time;

/// One request.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Read a Job.
    GetJob(ObjectKey),
    /// Create a pod from this version of its Job.
    CreatePod(Arc<Job>, PodDraft),
    /// Change a pod's metadata.
    PatchPod(Uid, PodPatch),
    /// Delete a pod with its own grace period.
    DeletePod(Uid),
    /// Write a Job's status, based on a version.
    UpdateJobStatus(Uid, ResourceVersion, Box<JobStatus>),
    /// Delete the Job of this name in the foreground, if it has this uid.
    DeleteJob(ObjectKey, Uid),
}

impl Call {
    fn kind(&self) -> CallKind {
        match self {
            Self::GetJob(_) => CallKind::GetJob,
            Self::CreatePod(..) => CallKind::CreatePod,
            Self::PatchPod(..) => CallKind::PatchPod,
            Self::DeletePod(_) => CallKind::DeletePod,
            Self::UpdateJobStatus(..) => CallKind::UpdateJobStatus,
            Self::DeleteJob(..) => CallKind::DeleteJob,
        }
    }

    /// The Conflict that a fault plan answers with.
    fn conflict(&self, ctx: &Context<'_>) -> ApiError {
        let kind = match self {
            Self::GetJob(_) | Self::DeleteJob(..) | Self::UpdateJobStatus(..) => "jobs",
            Self::CreatePod(..) | Self::PatchPod(..) | Self::DeletePod(_) => "pods",
        };
        let nowhere = || ObjectKey::new("", "");
        let key = match self {
            Self::GetJob(key) | Self::DeleteJob(key, _) => key.clone(),
            // It has no name yet.
            Self::CreatePod(job, _) => ObjectKey::new(Arc::clone(&job.key.namespace), ""),
            Self::PatchPod(uid, _) | Self::DeletePod(uid) => {
                ctx.server.pod(*uid).map_or_else(nowhere, |pod| pod.key.clone())
            }
            Self::UpdateJobStatus(uid, ..) => {
                ctx.server.job(*uid).map_or_else(nowhere, |job| job.key.clone())
            }
        };
        ApiError::Conflict { kind, key }
    }

    /// Has its effect at the server.
    fn execute(&self, actor: Actor, ctx: &mut Context<'_>) -> Reply {
        let (now, server) = (ctx.now, &mut *ctx.server);
        match self {
            Self::GetJob(key) => server
                .job_by_key(key)
                .map(|job| Payload::Job(Arc::clone(job)))
                .ok_or_else(|| ApiError::NotFound { kind: "jobs", key: key.clone() }),
            Self::CreatePod(job, draft) => {
                server.create_job_pod(now, actor, job, *draft, ctx.random).map(Payload::Pod)
            }
            Self::PatchPod(uid, patch) => server.patch_pod(now, actor, *uid, patch).map(Payload::Pod),
            Self::DeletePod(uid) => server.delete_pod(now, actor, *uid, None).map(|()| Payload::Nothing),
            Self::UpdateJobStatus(uid, version, status) => server
                .update_job_status(now, actor, *uid, *version, JobStatus::clone(status))
                .map(Payload::Job),
            Self::DeleteJob(key, uid) => match server.job_by_key(key) {
                Some(job) if job.uid == *uid => {
                    server.delete_job(now, actor, key, Propagation::Foreground).map(|()| Payload::Nothing)
                }
                Some(_) => Err(ApiError::Conflict { kind: "jobs", key: key.clone() }),
                None => Err(ApiError::NotFound { kind: "jobs", key: key.clone() }),
            },
        }
    }
}

/// What a successful call brings back.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    /// The pod as written.
    Pod(Arc<Pod>),
    /// The Job as written or read.
    Job(Arc<Job>),
    /// No object.
    Nothing,
}

/// The answer to a [`Call`].
pub(super) type Reply = Result<Payload, ApiError>;

/// Whose call it is: a worker, and which of the calls that this worker has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Whose workers.
    pub(super) queue: QueueId,
    /// The worker.
    pub(super) worker: u32,
    /// The call among the worker's.
    pub(super) slot: u32,
}

/// Which controller a client belongs to: each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientId {
    /// The Job controller, its orphan workers included.
    Jobs,
    /// The controller of `ttlSecondsAfterFinished`.
    Ttl,
}

/// A call on its way.
#[derive(Debug)]
struct InFlight {
    call: Call,
    /// Who gets the answer; nobody when the process is gone.
    ticket: Option<Ticket>,
    fault: Option<Fault>,
    /// Known once the server has seen the call.
    reply: Option<Reply>,
}

/// The client of one controller.
#[derive(Debug)]
pub(super) struct Client {
    id: ClientId,
    actor: Actor,
    bucket: Option<TokenBucket>,
    /// Calls that wait for a token, with the instants at which they have it; both in order.
    waiting: VecDeque<(Time, Outgoing)>,
    /// Of each way.
    latency: Distribution,
    faults: FaultInjector,
    /// Calls on their way, and free places.
    calls: Vec<Option<InFlight>>,
    free: Vec<u32>,
}

impl Client {
    pub(super) fn new(id: ClientId, actor: Actor, config: &ControllerConfig, faults: FaultPlan) -> Self {
        Self {
            id,
            actor,
            bucket: config.qps.map(|qps| TokenBucket::new(qps, config.burst)),
            waiting: VecDeque::new(),
            latency: config.call_latency,
            faults: FaultInjector::new(faults),
            calls: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a token for a call: the call comes back if it can be sent now.
    pub(super) fn admit(&mut self, call: Outgoing, now: Time) -> Option<Outgoing> {
        let sent_at = self.take_token(now);
        if sent_at <= now {
            return Some(call);
        }
        self.waiting.push_back((sent_at, call));
        None
    }

    /// When a waiting call has its token.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// A call that has its token now.
    pub(super) fn next_due(&mut self, now: Time) -> Option<Outgoing> {
        self.waiting.pop_front_if(|(at, _)| *at <= now).map(|(_, call)| call)
    }

    /// Sends a call. The answer is returned if there is nothing to wait for; otherwise it comes out of
    /// [`Client::handle`].
    pub(super) fn send(&mut self, outgoing: Outgoing, ctx: &mut Context<'_>) -> Option<(Ticket, Reply)> {
        let Outgoing { ticket, call, .. } = outgoing;
        let fault = self.faults.next(call.kind());
        let delay = if let Some(Fault::Delay(delay)) = fault { delay } else { Duration::ZERO };
        let due = ctx.now + self.draw_latency(ctx) + delay;
        let id = self.keep(InFlight { call, ticket: Some(ticket), fault, reply: None });
        if due == ctx.now {
            return self.handle(id, ctx);
        }
        self.schedule(id, due, ctx);
        None
    }

    /// A call reaches the server, or its answer the caller.
    pub(super) fn handle(&mut self, id: u32, ctx: &mut Context<'_>) -> Option<(Ticket, Reply)> {
        let mut in_flight = self.calls.get_mut(id as usize)?.take()?;
        if in_flight.reply.is_none() {
            let reply = self.execute(&in_flight.call, in_flight.fault, ctx);
            in_flight.reply = Some(reply);
            if in_flight.ticket.is_some() && !self.latency.is_zero() {
                self.calls[id as usize] = Some(in_flight);
                let answered_at = ctx.now + self.draw_latency(ctx);
                self.schedule(id, answered_at, ctx);
                return None;
            }
        }
        self.free.push(id);
        Some((in_flight.ticket?, in_flight.reply?))
    }

    /// The process is gone: calls that wait for a token are never sent, and nobody hears the answers to the others.
    pub(super) fn crash(&mut self) {
        self.waiting.clear();
        for in_flight in self.calls.iter_mut().flatten() {
            in_flight.ticket = None;
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.full_from = Time::ZERO;
        }
    }

    /// Takes a token for a request; returns when it can be used.
    pub(super) fn take_token(&mut self, now: Time) -> Time {
        self.bucket.as_mut().map_or(now, |bucket| bucket.take(now))
    }

    /// No number is drawn where nothing takes any time.
    fn draw_latency(&self, ctx: &mut Context<'_>) -> Duration {
        if self.latency.is_zero() { Duration::ZERO } else { self.latency.draw(ctx.random, Purpose::Network) }
    }

    fn schedule(&self, id: u32, at: Time, ctx: &mut Context<'_>) {
        ctx.events.schedule(at, Event::Controller(ControllerEvent::Call { client: self.id, id }));
    }

    fn execute(&self, call: &Call, fault: Option<Fault>, ctx: &mut Context<'_>) -> Reply {
        match fault {
            Some(Fault::Conflict) => Err(call.conflict(ctx)),
            Some(Fault::Unreachable) => Err(ApiError::Unreachable),
            Some(Fault::AnswerLost) => {
                // A refusal is lost as well: the caller cannot know either way.
                let _ = call.execute(self.actor, ctx);
                Err(ApiError::AnswerLost)
            }
            Some(Fault::Delay(_)) | None => call.execute(self.actor, ctx),
        }
    }

    fn keep(&mut self, in_flight: InFlight) -> u32 {
        if let Some(id) = self.free.pop() {
            self.calls[id as usize] = Some(in_flight);
            return id;
        }
        self.calls.push(Some(in_flight));
        u32::try_from(self.calls.len() - 1).unwrap_or(u32::MAX)
    }
}

/// A token bucket with reservations (client-go `flowcontrol`, golang.org/x/time/rate), kept as the instant at which it
/// will be full again.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    /// Time in which one token comes in.
    interval: Duration,
    /// How far before `full_from` a token can be had at once.
    depth: Duration,
    full_from: Time,
}

impl TokenBucket {
    fn new(qps: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / qps.max(1);
        Self { interval, depth: interval * burst.saturating_sub(1), full_from: Time::ZERO }
    }

    /// Reserves a token; returns when it can be used.
    fn take(&mut self, now: Time) -> Time {
        let at = now.max(self.full_from.saturating_sub(self.depth));
        self.full_from = now.max(self.full_from) + self.interval;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = TokenBucket::new(20, 30);
        let start = Time::from_secs(100);
        assert!((0..30).all(|_| bucket.take(start) == start));
        assert_eq!(bucket.take(start), start + Duration::from_millis(50));
        assert_eq!(bucket.take(start), start + Duration::from_millis(100));
        let later = start + Duration::from_millis(200);
        assert_eq!(bucket.take(later), later, "two of the four tokens since then are spent");
        assert_eq!(bucket.take(later), later);
        assert_eq!(bucket.take(later), later + Duration::from_millis(50));
    }
}
