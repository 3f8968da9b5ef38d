//! Workers of the Job queue: from a key to a sync, call by call, to the verdict of the queue.

use std::sync::Arc;

use super::QueueId;
use super::claim::Claim;
use super::client::{Call, Payload, Reply, Ticket};
use super::controller::JobController;
use super::informer::{KeyId, slot};
use super::orphans::is_managed_elsewhere;
use super::sync::{Answer, Effect, Snapshot, Step, SyncPass, Write, Written};
use crate::engine::{Purpose, RandomStreams};
use crate::objects::{CompletionMode, Job, Pod, PodPhase, Uid};
use crate::server::{ApiError, EventDraft, PodPatch};
use crate::simulation::Context;

/// A sync that a worker is at.
#[derive(Debug)]
pub(super) struct Running {
    key: KeyId,
    /// The Job as the cache showed it when the sync began.
    job: Arc<Job>,
    stage: Stage,
    /// The calls of the present batch, in the order in which they were asked for.
    batch: Vec<Pending>,
    /// Those without an answer.
    unanswered: u32,
}

/// How far a sync has come.
#[derive(Debug)]
enum Stage {
    Claiming(Claim, bool),
    Syncing(Box<SyncPass>),
}

/// A call that was made and what follows its answer.
#[derive(Debug)]
enum Pending {
    /// The finalizer is being patched away; a deletion follows if that succeeds.
    Release(Uid),
    /// The finalizer is off, and the pod is being deleted.
    Released,
    /// The answer is all that is waited for.
    Last,
    /// The answer is there.
    Answered(Answer),
}

/// What becomes of a key before there is a sync.
enum Admission {
    /// There is nothing to do.
    Skip,
    /// Try again at the pace of the rate limiter.
    Retry,
    /// Sync the Job.
    Sync(Arc<Job>),
}

impl JobController {
    /// A worker takes the next key, if there are both.
    pub(super) fn work(&mut self, ctx: &mut Context<'_>) -> bool {
        let Some((worker, key)) = self.pool.next() else { return false };
        self.syncs += 1;
        match self.admit(KeyId(key)) {
            Admission::Skip => self.pool.finish(ctx.now, worker, key, false),
            Admission::Retry => self.pool.finish(ctx.now, worker, key, true),
            Admission::Sync(job) => {
                let key = KeyId(key);
                let expectations_satisfied = self.memory(key).expectations_satisfied(ctx.now);
                let claim = Claim::new(&job, &self.pods);
                let stage = Stage::Claiming(claim, expectations_satisfied);
                let running = Running { key, job, stage, batch: Vec::new(), unanswered: 0 };
                self.drive(worker, running, ctx);
            }
        }
        true
    }

    /// The answer to a worker's call.
    pub(super) fn resume_sync(&mut self, ticket: Ticket, reply: Reply, ctx: &mut Context<'_>) {
        let place = self.running.get_mut(ticket.worker as usize);
        let Some(mut running) = place.and_then(Option::take) else { return };
        match &mut running.stage {
            Stage::Claiming(claim, _) => {
                claim.take(&running.job, &reply);
                self.note_own_claim(&reply);
                running.unanswered = 0;
            }
            Stage::Syncing(_) => self.answered(&mut running, ticket, reply),
        }
        if running.unanswered > 0 {
            self.park(ticket.worker, running);
        } else {
            self.drive(ticket.worker, running, ctx);
        }
    }

    /// Reasons not to sync, in upstream's order (spec section 1.5).
    fn admit(&mut self, key: KeyId) -> Admission {
        let (jobs, pods) = (self.jobs.reached, self.pods.reached);
        if !self.memory(key).writes_are_visible(jobs, pods) {
            return Admission::Retry;
        }
        let Some(job) = self.jobs.get(key).map(Arc::clone) else {
            *self.memory(key) = Default::default();
            return Admission::Skip;
        };
        if self.features.managed_by && is_managed_elsewhere(&job) {
            return Admission::Skip;
        }
        if job.is_finished() {
            let memory = self.memory(key);
            memory.backoff = Default::default();
            memory.forget_writes_of(job.uid);
            self.finished_unseen.remove(&job.uid);
            return Admission::Skip;
        }
        if self.finished_unseen.contains(&job.uid) {
            return Admission::Skip;
        }
        if let CompletionMode::Other(_) = job.spec.completion_mode {
            let message = "Skipped Job sync because completion mode is unknown".to_owned();
            let reason = "UnknownCompletionMode";
            self.recorder.record(EventDraft {
                job: job.uid,
                is_warning: true,
                reason: reason.into(),
                message,
            });
            return Admission::Skip;
        }
        Admission::Sync(job)
    }

    /// Goes on with a sync until it waits for an answer or has ended.
    fn drive(&mut self, worker: u32, mut running: Running, ctx: &mut Context<'_>) {
        loop {
            running = match running.stage {
                Stage::Claiming(mut claim, satisfied) => {
                    if let Some(call) = claim.next_call(&running.job) {
                        self.call(worker, 0, &running.job, call);
                        let stage = Stage::Claiming(claim, satisfied);
                        return self.park(worker, Running { stage, unanswered: 1, ..running });
                    }
                    let Some(pods) = claim.finish() else {
                        return self.pool.finish(ctx.now, worker, running.key.0, true);
                    };
                    let pass = self.begin(running.key, &running.job, pods, satisfied, ctx.random);
                    Running { stage: Stage::Syncing(Box::new(pass)), ..running }
                }
                Stage::Syncing(mut pass) => {
                    let answers = running.batch.drain(..).map(Pending::into_answer).collect();
                    let step = pass.next(ctx.now, answers);
                    for finding in pass.take_findings() {
                        ctx.server.note(ctx.now, running.job.uid, finding);
                    }
                    match step {
                        Step::Done { effects, error } => {
                            self.apply(running.key, &running.job, effects, ctx);
                            return self.pool.finish(ctx.now, worker, running.key.0, error.is_some());
                        }
                        Step::Call { effects, writes } => {
                            self.apply(running.key, &running.job, effects, ctx);
                            let mut running = Running { stage: Stage::Syncing(pass), ..running };
                            self.send(worker, &mut running, writes);
                            if running.unanswered > 0 {
                                return self.park(worker, running);
                            }
                            running
                        }
                    }
                }
            };
        }
    }

    /// The worker waits for answers.
    fn park(&mut self, worker: u32, running: Running) {
        *slot(&mut self.running, worker as usize) = Some(running);
    }

    fn call(&mut self, worker: u32, slot: u32, job: &Job, call: Call) {
        self.outbox.push(Ticket { queue: QueueId::Jobs, worker, slot }, Some(job.uid), call);
    }

    /// The sync proper, on what is known now.
    fn begin(
        &mut self,
        key: KeyId,
        job: &Arc<Job>,
        mut pods: Vec<Arc<Pod>>,
        expectations_satisfied: bool,
        random: &mut RandomStreams,
    ) -> SyncPass {
        if self.config.has_random_map_order && has_surplus(job, &pods) {
            shuffle(&mut pods, random);
        }
        let (features, limits, explains) = (self.features, self.config.limits, self.explains);
        let memory = self.memory(key);
        let snapshot = Snapshot {
            features,
            limits,
            job: Arc::clone(job),
            pods,
            expectations_satisfied,
            finalizers_expected_gone: memory.finalizers_gone.clone(),
            backoff: memory.backoff,
        };
        SyncPass::new(snapshot, explains)
    }

    /// Makes the calls of a batch.
    fn send(&mut self, worker: u32, running: &mut Running, writes: Vec<Write>) {
        running.unanswered = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        for (slot, write) in (0..).zip(writes) {
            let (pending, call) = prepare(&running.job, write);
            running.batch.push(pending);
            self.call(worker, slot, &running.job, call);
        }
    }

    /// Takes the answer to one call of a batch; a pod whose finalizer is gone is deleted next.
    fn answered(&mut self, running: &mut Running, ticket: Ticket, reply: Reply) {
        self.note_own_write(&reply);
        let Some(pending) = running.batch.get_mut(ticket.slot as usize) else { return };
        if let (Pending::Release(uid), Ok(_)) = (&*pending, &reply) {
            let deletion = Call::DeletePod(*uid);
            *pending = Pending::Released;
            return self.call(ticket.worker, ticket.slot, &running.job, deletion);
        }
        let answer = match (&*pending, reply) {
            (_, Ok(Payload::Pod(pod))) => {
                Ok(Written { name: Some(Arc::clone(&pod.key.name)), ..pod.resource_version.into() })
            }
            (_, Ok(Payload::Job(job))) => Ok(job.resource_version.into()),
            (_, Ok(Payload::Nothing)) => Ok(Written::default()),
            (Pending::Released, Err(error)) => {
                Ok(Written { deletion_error: Some(error), ..Written::default() })
            }
            (_, Err(error)) => Err(error),
        };
        if let Stage::Syncing(pass) = &running.stage
            && let Some(draft) = pass.reported(ticket.slot as usize, &answer)
        {
            self.recorder.record(draft);
        }
        *pending = Pending::Answered(answer);
        running.unanswered -= 1;
    }

    /// Changes the controller's memory as a sync asks for.
    fn apply(&mut self, key: KeyId, job: &Job, effects: Vec<Effect>, ctx: &mut Context<'_>) {
        for effect in effects {
            match effect {
                Effect::ExpectCreations(count) => self.memory(key).expect_creations(ctx.now, count),
                Effect::ExpectDeletions(count) => self.memory(key).expect_deletions(ctx.now, count),
                Effect::CreationObserved => self.memory(key).creation_observed(),
                Effect::DeletionObserved => self.memory(key).deletion_observed(),
                Effect::ExpectFinalizersGone(uids) => self.memory(key).finalizers_gone.extend(uids),
                Effect::FinalizerStays(uid) => {
                    self.memory(key).finalizers_gone.remove(&uid);
                }
                Effect::StoreBackoff(record) => self.memory(key).backoff = record,
                Effect::RequeueAfter(delay) => self.enqueue_after(key, delay, ctx),
                Effect::Record(draft) => self.recorder.record(draft),
                Effect::Finished if self.features.skips_finished_unseen => {
                    self.finished_unseen.insert(job.uid);
                }
                Effect::Finished => {}
            }
        }
    }

    /// Of the calls that claim pods, patches are writes; the live look at the Job is none.
    fn note_own_claim(&mut self, reply: &Reply) {
        if !matches!(reply, Ok(Payload::Job(_))) {
            self.note_own_write(reply);
        }
    }

    /// Notes a write of this controller, under the owner of what was written (1.36 and later).
    pub(super) fn note_own_write(&mut self, reply: &Reply) {
        if !self.features.read_own_writes {
            return;
        }
        match reply {
            Ok(Payload::Pod(pod)) => {
                // A restarted process writes to pods of a Job that was gone before it could see it.
                let Some(owner) = &pod.owner else { return };
                let key = self.jobs.key_of_owner(&pod.key.namespace, owner);
                self.memory(key).wrote(owner.uid, 0, pod.resource_version);
            }
            Ok(Payload::Job(job)) => {
                let Some(key) = self.jobs.key_of(job.uid) else { return };
                self.memory(key).wrote(job.uid, job.resource_version, 0);
            }
            Ok(Payload::Nothing) | Err(_) => {}
        }
    }
}

impl Pending {
    fn into_answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            // Not reached: a batch is handed over when every call has its answer.
            Self::Release(_) | Self::Released | Self::Last => Err(ApiError::Unreachable),
        }
    }
}

/// The first call of a write.
fn prepare(job: &Arc<Job>, write: Write) -> (Pending, Call) {
    let strip = || PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
    match write {
        Write::CreatePod(draft) => (Pending::Last, Call::CreatePod(Arc::clone(job), draft)),
        Write::DeletePod(uid) => (Pending::Last, Call::DeletePod(uid)),
        Write::ReleaseAndDeletePod(uid) => (Pending::Release(uid), Call::PatchPod(uid, strip())),
        Write::RemoveFinalizer(uid) => (Pending::Last, Call::PatchPod(uid, strip())),
        Write::UpdateStatus { resource_version, status } => {
            (Pending::Last, Call::UpdateJobStatus(job.uid, resource_version, status))
        }
    }
}

/// Whether a sync may have to choose among interchangeable pods: only then does the order show in which the original
/// lists them from a hash map.
fn has_surplus(job: &Job, pods: &[Arc<Pod>]) -> bool {
    if job.spec.is_indexed() {
        return false;
    }
    let count = |is_counted: fn(&Pod) -> bool| {
        i32::try_from(pods.iter().filter(|pod| is_counted(pod)).count()).unwrap_or(i32::MAX)
    };
    let succeeded = count(|pod| pod.status.phase == PodPhase::Succeeded).saturating_add(job.status.succeeded);
    let missing = job.spec.completions.map_or(i32::MAX, |completions| completions.saturating_sub(succeeded));
    count(Pod::is_active) > job.spec.parallelism.min(missing.max(0))
}

/// Fisher-Yates.
fn shuffle(pods: &mut [Arc<Pod>], random: &mut RandomStreams) {
    for last in (1..pods.len()).rev() {
        let chosen = random.below(Purpose::MapOrder, last as u64 + 1);
        pods.swap(last, usize::try_from(chosen).unwrap_or(last));
    }
}
