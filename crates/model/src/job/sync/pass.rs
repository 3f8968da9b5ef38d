//! The sync as a state machine: one phase between every two calls to the API server.

mod pods;

use super::account::{Account, Accounted, announce};
use super::census::Census;
use super::contract::{Answer, BackoffRecord, Effect, Snapshot, Step, Write};
use super::decide::{self, Case, Verdict};
use super::findings::{Finding, Notes, Rule, Subject};
use super::finish;
use super::indexed::Indexes;
use super::manage::SlowStart;
use super::uncounted::{Recorded, count_released, tracked_pods};
use crate::objects::{JobStatus, ResourceVersion, Uid};
use crate::server::ApiError;
use crate::time::Time;

/// A sync in progress.
#[derive(Debug)]
pub struct SyncPass {
    snapshot: Snapshot,
    notes: Notes,
    phase: Phase,
    /// Effects that go out with the next step.
    effects: Vec<Effect>,
    /// How many answers the next call of [`SyncPass::next`] has to bring.
    answers_due: usize,
    /// The status as it will be written; times in full resolution.
    status: JobStatus,
    /// The version of the Job that the next status write is based on.
    resource_version: ResourceVersion,
    verdict: Option<Verdict>,
    /// Pods that the status named as uncounted at the beginning.
    recorded: Recorded,
    census: Census,
    indexes: Option<Indexes>,
    /// Successes, those of this sync included.
    succeeded: i32,
    backoff: BackoffRecord,
    /// What will be reported, adjusted while pods are created and deleted.
    active: usize,
    ready: usize,
    terminating: usize,
    accounted: Accounted,
    /// First error of creating or deleting pods: told at the end, it stops nothing.
    manage_error: Option<ApiError>,
    /// First error of removing finalizers: the sync ends with it.
    release_error: Option<ApiError>,
}

/// What the answers that come next are answers to.
#[derive(Debug)]
enum Phase {
    /// Nothing was sent yet.
    Begin,
    /// Deletions of the active pods of a decided Job.
    Finish,
    /// Releases and deletions of pods that are not wanted.
    Remove(Vec<usize>),
    /// A batch of creations.
    Create(SlowStart),
    /// The status write that records what has ended.
    Record,
    /// Removals of finalizers.
    Release,
    /// The status write that saves the progress of removals of which some failed.
    Salvage,
    /// The status write that counts what was released, and may finish the Job.
    Conclude {
        /// It does.
        finished: bool,
    },
    /// Nothing is left to do.
    Ended,
}

impl SyncPass {
    /// Starts a sync. With `explain`, every decision is noted with the rule behind it.
    pub fn new(snapshot: Snapshot, explain: bool) -> Self {
        Self {
            notes: Notes::new(explain),
            phase: Phase::Begin,
            effects: Vec::new(),
            answers_due: 0,
            status: snapshot.job.status.clone(),
            resource_version: snapshot.job.resource_version,
            verdict: None,
            recorded: Recorded::of(&snapshot.job.status),
            census: Census::default(),
            indexes: None,
            succeeded: 0,
            backoff: snapshot.backoff,
            active: 0,
            ready: 0,
            terminating: 0,
            accounted: Accounted::default(),
            manage_error: None,
            release_error: None,
            snapshot,
        }
    }

    /// Continues at `now` with the answers to the writes of the last step (none at first). An answer that is missing
    /// counts as lost; after [`Step::Done`] there is nothing more.
    pub fn next(&mut self, now: Time, mut answers: Vec<Answer>) -> Step {
        answers.resize(self.answers_due, Err(ApiError::AnswerLost));
        self.answers_due = 0;
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Begin => self.begin(now),
            Phase::Finish => self.deleted_active(now, answers),
            Phase::Remove(victims) => self.removed(now, &victims, answers),
            Phase::Create(slow_start) => self.created(now, slow_start, answers),
            Phase::Record => self.recorded(now, answers),
            Phase::Release => self.released(now, answers),
            Phase::Salvage => {
                let error = answers.into_iter().find_map(Result::err).or_else(|| self.release_error.take());
                self.done(error)
            }
            Phase::Conclude { finished } => self.concluded(finished, answers),
            Phase::Ended => self.done(None),
        }
    }

    /// The decisions taken so far, in order; empty unless explaining.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        self.notes.take()
    }

    /// Steps 3 to 13: look at the pods, decide, and begin to delete or create.
    fn begin(&mut self, now: Time) -> Step {
        self.take_stock(now);
        let failed = add(self.snapshot.job.status.failed, self.census.counted_failures(&self.snapshot));
        let case = Case {
            snapshot: &self.snapshot,
            indexes: self.indexes.as_ref(),
            status: &self.status,
            failed: add(failed, self.recorded.len().1),
            now,
        };
        self.verdict = case.verdict(&mut self.effects, &mut self.notes);
        if self.verdict.is_some() {
            return self.delete_active(now);
        }
        if mutant!(52, self.snapshot.job.deletion_time.is_some() => false) {
            self.notes.add(|| (Subject::Job, Rule::JobBeingDeleted, String::new()));
            return self.settle(now, false);
        }
        if mutant!(51, !self.snapshot.expectations_satisfied => false) {
            self.notes.add(|| (Subject::Job, Rule::ExpectationsUnmet, String::new()));
            return self.settle(now, false);
        }
        self.manage(now)
    }

    /// Steps 3 to 7 and 9: the pods, the indexes, the counters, the start time and the back-off record.
    fn take_stock(&mut self, now: Time) {
        let snapshot = &self.snapshot;
        self.census = Census::take(snapshot, &self.recorded, &mut self.notes);
        self.active = self.census.active.len();
        self.ready = self.census.ready;
        self.terminating = self.census.terminating;
        self.indexes = Indexes::of(snapshot, &self.census, &mut self.notes);
        self.succeeded = match &self.indexes {
            Some(indexes) => add(0, indexes.succeeded.len()),
            None => {
                let new = self.census.new_succeeded.len() + self.recorded.len().0;
                add(snapshot.job.status.succeeded, new)
            }
        };
        if self.status.start_time.is_none() && mutant!(47, !snapshot.job.spec.suspend => true) {
            self.status.start_time = Some(now);
            self.notes.add(|| (Subject::Job, Rule::StartTimeSet, String::new()));
        }
        let end =
            |&position: &usize| super::backoff::finish_time(&snapshot.pods[position], &snapshot.features);
        let successes = self.census.new_succeeded.iter().map(end);
        self.backoff = snapshot.backoff.after(successes, self.census.new_failed.iter().map(end));
        if !snapshot.features.late_failure_is_newest {
            let newest = self.backoff.last_failure_time.max(snapshot.backoff.last_failure_time);
            self.backoff.last_failure_time = newest;
        }
    }

    /// The end of step 13: enough successes, or else the condition Suspended.
    fn settle(&mut self, now: Time, managed: bool) -> Step {
        let completions = self.snapshot.job.spec.completions;
        let enough = completions.map_or(self.succeeded > 0, |completions| self.succeeded >= completions);
        if enough && mutant!(53, self.active == 0 => true) {
            let succeeded = self.succeeded;
            self.notes.add(|| (Subject::Job, Rule::CompletionsReached, format!("{succeeded} succeeded")));
            self.verdict = Some(decide::success(&self.snapshot, now));
            return self.account(now, false);
        }
        let event = if managed {
            finish::follow_suspension(&self.snapshot, &mut self.status, now, &mut self.notes)
        } else {
            None
        };
        let changed = event.is_some();
        self.effects.extend(event);
        self.account(now, changed)
    }

    /// Steps 14 to 16, then the first status write if anything changed, be it only the condition Suspended.
    fn account(&mut self, now: Time, changed: bool) -> Step {
        let needs_write = self.report_pods() || changed;
        let account = Account {
            snapshot: &self.snapshot,
            census: &self.census,
            recorded: &self.recorded,
            indexes: self.indexes.as_ref(),
            verdict: self.verdict.as_ref(),
        };
        self.accounted = account.settle(&mut self.status, &mut self.notes);
        let announced = self.verdict.as_mut().is_some_and(|verdict| announce(verdict, &mut self.status, now));
        if needs_write || announced || self.accounted.changed {
            let write = self.status_write();
            return self.call(Phase::Record, vec![write]);
        }
        self.release(now)
    }

    /// Step 14: copies the numbers of pods into the status. Returns whether they differ from those stored.
    fn report_pods(&mut self) -> bool {
        let features = &self.snapshot.features;
        let (status, count) = (&mut self.status, |pods: usize| add(0, pods));
        let ready = features.status_ready.then(|| count(self.ready));
        let terminating = features.status_terminating.then(|| count(self.terminating));
        let terminating_differs =
            mutant!(56, features.compares_terminating => false) && terminating != status.terminating;
        let differs = count(self.active) != status.active || ready != status.ready || terminating_differs;
        (status.active, status.ready, status.terminating) = (count(self.active), ready, terminating);
        differs
    }

    fn recorded(&mut self, now: Time, answers: Vec<Answer>) -> Step {
        for answer in answers {
            match answer {
                Ok(written) => self.resource_version = written.resource_version,
                Err(error) => {
                    self.notes.add(|| (Subject::Job, Rule::StatusRefused, error.to_string()));
                    return self.done(Some(error));
                }
            }
        }
        self.effects.push(Effect::StoreBackoff(mutant!(54, self.backoff => self.snapshot.backoff)));
        self.release(now)
    }

    /// Step 18: removes finalizers.
    fn release(&mut self, now: Time) -> Step {
        let uids = self.uids_to_release();
        if uids.is_empty() {
            return self.released(now, Vec::new());
        }
        let writes = uids.iter().copied().map(Write::RemoveFinalizer).collect();
        self.effects.push(Effect::ExpectFinalizersGone(uids));
        self.call(Phase::Release, writes)
    }

    fn uids_to_release(&self) -> Vec<Uid> {
        self.accounted.releases.iter().map(|&position| self.snapshot.pods[position].uid).collect()
    }

    /// Step 19: what was released is counted.
    fn released(&mut self, now: Time, answers: Vec<Answer>) -> Step {
        let mut kept = Vec::new();
        for (&position, answer) in self.accounted.releases.iter().zip(answers) {
            let Err(error) = answer else { continue };
            let uid = self.snapshot.pods[position].uid;
            self.effects.push(Effect::FinalizerStays(uid));
            if !matches!(error, ApiError::NotFound { .. }) {
                kept.push(uid);
                self.release_error.get_or_insert(error);
            }
        }
        kept.sort_unstable();
        let counted = self.count_released(&kept);
        if self.release_error.is_none() {
            return self.conclude(now, counted);
        }
        if counted {
            let write = self.status_write();
            return self.call(Phase::Salvage, vec![write]);
        }
        let error = self.release_error.take();
        self.done(error)
    }

    /// Moves the released pods from the lists to the counters; `kept` (ascending) are those whose removal failed.
    fn count_released(&mut self, kept: &[Uid]) -> bool {
        if self.status.uncounted.as_ref().is_none_or(|uncounted| uncounted.is_empty()) {
            return false;
        }
        let mut gone = self.uids_to_release();
        gone.retain(|uid| kept.binary_search(uid).is_err());
        gone.sort_unstable();
        let mut tracked = tracked_pods(&self.snapshot, &self.census);
        tracked.retain(|uid| gone.binary_search(uid).is_err());
        count_released(&mut self.status, &tracked)
    }

    /// Step 20, then the second status write if anything changed.
    fn conclude(&mut self, now: Time, counted: bool) -> Step {
        let finished = match &self.verdict {
            Some(verdict) if !self.accounted.capped => {
                let may = finish::may_finish(&self.snapshot, &self.status, self.terminating, &mut self.notes);
                if may {
                    finish::enact(verdict, &mut self.status, now, &mut self.notes);
                }
                may
            }
            _ => false,
        };
        if counted || finished {
            let write = self.status_write();
            return self.call(Phase::Conclude { finished }, vec![write]);
        }
        let error = self.manage_error.take();
        self.done(error)
    }

    fn concluded(&mut self, finished: bool, answers: Vec<Answer>) -> Step {
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            self.notes.add(|| (Subject::Job, Rule::StatusRefused, error.to_string()));
            return self.done(Some(error));
        }
        if let Some(verdict) = self.verdict.as_ref().filter(|_| finished) {
            finish::events(&self.snapshot, verdict, &self.status, &mut self.effects);
            if self.snapshot.features.skips_finished_unseen {
                self.effects.push(Effect::Finished);
            }
        }
        let error = self.manage_error.take();
        self.done(error)
    }

    /// The write of the status as it is now; stored times have whole seconds.
    fn status_write(&self) -> Write {
        let mut status = Box::new(self.status.clone());
        status.start_time = status.start_time.map(Time::truncated_to_second);
        Write::UpdateStatus { resource_version: self.resource_version, status }
    }

    fn keep_error(&mut self, error: ApiError) {
        self.manage_error.get_or_insert(error);
    }

    fn call(&mut self, phase: Phase, writes: Vec<Write>) -> Step {
        self.phase = phase;
        self.answers_due = writes.len();
        Step::Call { effects: std::mem::take(&mut self.effects), writes }
    }

    fn done(&mut self, error: Option<ApiError>) -> Step {
        self.phase = Phase::Ended;
        Step::Done { effects: std::mem::take(&mut self.effects), error }
    }
}

/// `count` more, as far as the status can tell.
fn add(number: i32, count: usize) -> i32 {
    number.saturating_add(i32::try_from(count).unwrap_or(i32::MAX))
}
