//! Requests that the process has made and that have not left it: calls of workers, and Events.
//!
//! Workers run beside each other, so calls of one instant are concurrent, and their order is nobody's promise. One is
//! chosen here that depends on what the calls are about alone, the same that the reference driver chooses
//! (`reference/PROTOCOL.md`): so two worlds whose workers want the same things do them in the same order, and draw the
//! same latencies for them. What follows from an answer is sent before what was asked for in parallel with it.

use std::collections::VecDeque;

use super::QueueId;
use super::client::{Call, Client, ClientId, Ticket};
use crate::objects::{Pod, Uid};
use crate::server::{Actor, EventDraft, PendingEvent, Server};
use crate::simulation::Context;
use crate::time::Time;

/// A call of a worker.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ticket: Ticket,
    /// The Job that the worker is at; none for a pod without one.
    pub(super) job: Option<Uid>,
    pub(super) call: Call,
}

impl Outgoing {
    pub(super) const fn client(&self) -> ClientId {
        match self.ticket.queue {
            QueueId::Jobs | QueueId::Orphans => ClientId::Jobs,
            QueueId::Ttl => ClientId::Ttl,
        }
    }
}

/// Calls of the present instant.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// They have no token yet.
    arrivals: Vec<Outgoing>,
    /// They may be sent.
    ready: Vec<Outgoing>,
    /// They are sent next, the first one first.
    line: VecDeque<Outgoing>,
}

impl Outbox {
    /// A worker makes a call.
    pub(super) fn push(&mut self, ticket: Ticket, job: Option<Uid>, call: Call) {
        self.arrivals.push(Outgoing { ticket, job, call });
    }

    /// A call has its token.
    pub(super) fn push_ready(&mut self, call: Outgoing) {
        self.ready.push(call);
    }

    /// Calls that want a token, in the order in which they get it.
    pub(super) fn take_arrivals(&mut self, server: &Server) -> Vec<Outgoing> {
        sort(&mut self.arrivals, server);
        std::mem::take(&mut self.arrivals)
    }

    /// The next call to send.
    pub(super) fn next(&mut self, server: &Server) -> Option<Outgoing> {
        sort(&mut self.ready, server);
        for call in self.ready.drain(..).rev() {
            self.line.push_front(call);
        }
        self.line.pop_front()
    }
}

fn sort(calls: &mut [Outgoing], server: &Server) {
    if calls.len() > 1 {
        calls.sort_by_cached_key(|call| Place::of(call, server));
    }
}

/// What calls of one instant are ordered by. Of equal ones, the order does not show.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    client: ClientId,
    /// Jobs by age; pods without a Job come first.
    job: Option<Uid>,
    verb: HttpMethod,
    is_about_pod: bool,
    /// Pods by age, those to be by completion index.
    pod: Option<u32>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum HttpMethod {
    Delete,
    Get,
    Patch,
    Post,
    Put,
}

impl Place {
    fn of(outgoing: &Outgoing, server: &Server) -> Self {
        let by_name = |key| server.job_by_key(key).map(|job| job.uid).or(outgoing.job);
        let owner = |pod: Uid| match server.pod(pod) {
            Some(pod) => job_of(pod),
            None => outgoing.job,
        };
        let (job, verb, pod) = match &outgoing.call {
            Call::GetJob(key) => (by_name(key), HttpMethod::Get, None),
            Call::DeleteJob(key, _) => (by_name(key), HttpMethod::Delete, None),
            Call::UpdateJobStatus(uid, ..) => (Some(*uid), HttpMethod::Put, None),
            Call::PatchPod(uid, _) => (owner(*uid), HttpMethod::Patch, Some(Some(uid.0))),
            Call::DeletePod(uid) => (owner(*uid), HttpMethod::Delete, Some(Some(uid.0))),
            Call::CreatePod(job, draft) => (Some(job.uid), HttpMethod::Post, Some(draft.index)),
        };
        Self { client: outgoing.client(), job, verb, is_about_pod: pod.is_some(), pod: pod.flatten() }
    }
}

/// The Job that owns a pod.
pub(super) fn job_of(pod: &Pod) -> Option<Uid> {
    pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.uid)
}

/// The Job controller's recorder: Events are posted one after the other, by the client of the controller.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    recorded: VecDeque<EventDraft>,
    /// The Event that waits for its token, and when it has it.
    posting: Option<(Time, PendingEvent)>,
}

impl Recorder {
    pub(super) fn record(&mut self, draft: EventDraft) {
        self.recorded.push_back(draft);
    }

    /// When the next Event can be posted.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.posting.as_ref().map(|(at, _)| *at)
    }

    /// The next Event that is worth it takes a token, unless one has done so.
    pub(super) fn admit(&mut self, client: &mut Client, ctx: &mut Context<'_>) {
        while self.posting.is_none() {
            let Some(draft) = self.recorded.pop_front() else { return };
            let worthy = ctx.server.correlate(ctx.now, Actor::JobController, draft);
            self.posting = worthy.map(|event| (client.take_token(ctx.now), event));
        }
    }

    /// Posts the Event that has its token; returns whether there was one.
    pub(super) fn post(&mut self, ctx: &mut Context<'_>) -> bool {
        let Some((_, event)) = self.posting.take_if(|(at, _)| *at <= ctx.now) else { return false };
        ctx.server.post(ctx.now, event);
        true
    }
}
