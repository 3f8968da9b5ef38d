//! The controller of `ttlSecondsAfterFinished` (spec section 5.11, upstream `ttlafterfinished`).
//!
//! It runs in the process of the Job controller, on the same cache of Jobs, with a queue and a client of its own. A Job
//! whose time is up is read once more from the server before it is deleted in the foreground.

use std::sync::Arc;
use std::time::Duration;

use super::QueueId;
use super::client::{Call, Payload, Reply, Ticket};
use super::informer::{JobCache, KeyId, slot};
use super::outbox::Outbox;
use super::pool::Pool;
use crate::objects::{ConditionStatus, Job, JobConditionType};
use crate::server::ApiError;
use crate::simulation::Context;
use crate::time::Time;

/// Keys worked on at the same time (`--concurrent-ttl-after-finished-syncs`).
const WORKERS: u32 = 5;

/// The controller of time to live.
#[derive(Debug)]
pub(super) struct TtlController {
    pub(super) pool: Pool,
    /// Key that each worker is at.
    running: Vec<Option<u32>>,
}

impl Default for TtlController {
    fn default() -> Self {
        Self { pool: Pool::new(QueueId::Ttl, WORKERS), running: Vec::new() }
    }
}

impl TtlController {
    /// A Job arrived in the cache.
    pub(super) fn handle_job(&mut self, key: KeyId, job: &Job, ctx: &mut Context<'_>) {
        if expiry(job).is_some() {
            self.pool.add_after(ctx.now, key.0, Duration::ZERO);
        }
    }

    /// A worker takes the next key, if there are both.
    pub(super) fn work(&mut self, jobs: &JobCache, outbox: &mut Outbox, ctx: &mut Context<'_>) -> bool {
        let Some((worker, key)) = self.pool.next() else { return false };
        let job = jobs.get(KeyId(key)).map(Arc::clone);
        match job.filter(|job| self.has_expired(key, job, ctx)) {
            Some(job) => self.call(worker, key, &job, Call::GetJob(job.key.clone()), outbox),
            None => self.pool.finish(ctx.now, worker, key, false),
        }
        true
    }

    fn call(&mut self, worker: u32, key: u32, job: &Job, call: Call, outbox: &mut Outbox) {
        outbox.push(Ticket { queue: QueueId::Ttl, worker, slot: 0 }, Some(job.uid), call);
        *slot(&mut self.running, worker as usize) = Some(key);
    }

    /// The answer to a worker's call.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        reply: &Reply,
        outbox: &mut Outbox,
        ctx: &mut Context<'_>,
    ) {
        let worker = ticket.worker;
        let Some(key) = self.running.get_mut(worker as usize).and_then(Option::take) else { return };
        match reply {
            // The live Job may have another uid or another time to live: it is judged by what it says itself.
            Ok(Payload::Job(job)) if self.has_expired(key, job, ctx) => {
                self.call(worker, key, job, Call::DeleteJob(job.key.clone(), job.uid), outbox);
            }
            Ok(_) => self.pool.finish(ctx.now, worker, key, false),
            Err(error) => {
                // A Job that went between the read and the deletion is an error upstream, whose retry finds nothing.
                let is_gone = matches!(error, ApiError::NotFound { .. });
                self.pool.finish(ctx.now, worker, key, !is_gone);
            }
        }
    }

    /// Whether the Job's time is up; if it will be, the key comes again then.
    fn has_expired(&mut self, key: u32, job: &Job, ctx: &mut Context<'_>) -> bool {
        let Some(expiry) = expiry(job) else { return false };
        if expiry > ctx.now {
            self.pool.add_after(ctx.now, key, expiry - ctx.now);
        }
        expiry <= ctx.now
    }
}

/// When the Job has to be deleted, if it is finished, has a time to live and is not being deleted already.
fn expiry(job: &Job) -> Option<Time> {
    let ttl = job.spec.ttl_seconds_after_finished.filter(|_| job.deletion_time.is_none())?;
    let is_final = |kind| matches!(kind, JobConditionType::Complete | JobConditionType::Failed);
    let mut conditions = job.status.conditions.iter();
    let finished =
        conditions.find(|condition| is_final(condition.kind) && condition.status == ConditionStatus::True)?;
    Some(finished.last_transition_time + Duration::from_secs(u64::try_from(ttl).unwrap_or(0)))
}
