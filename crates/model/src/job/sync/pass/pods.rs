//! The part of a sync that deletes and creates pods (steps 12 and 13; upstream `deleteActivePods`, `deleteJobPods` and
//! `manageJob`).

use super::{Phase, SyncPass};
use crate::job::sync::contract::{Answer, Effect, Step, Write};
use crate::job::sync::findings::{Rule, Subject};
use crate::job::sync::finish::about;
use crate::job::sync::manage::{Plan, SlowStart, Stock};
use crate::server::{ApiError, EventDraft};
use crate::time::Time;

impl SyncPass {
    /// Step 12: a decided Job needs no active pods. Their finalizers stay until they are counted.
    pub(super) fn delete_active(&mut self, now: Time) -> Step {
        let pods = &self.snapshot.pods;
        let writes: Vec<Write> =
            self.census.active.iter().map(|&position| Write::DeletePod(pods[position].uid)).collect();
        for &position in &self.census.active {
            self.notes.add(|| (Subject::Pod(pods[position].uid), Rule::DeletedDecided, String::new()));
        }
        if writes.is_empty() {
            self.deleted_active(now, Vec::new())
        } else {
            self.call(Phase::Finish, writes)
        }
    }

    pub(super) fn deleted_active(&mut self, now: Time, answers: Vec<Answer>) -> Step {
        let mut deleted = 0;
        for answer in answers {
            match answer {
                Ok(_) | Err(ApiError::NotFound { .. }) => deleted += 1,
                Err(error) => self.keep_error(error),
            }
        }
        if deleted != self.census.active.len() || !self.snapshot.expectations_satisfied {
            let left = self.census.active.len() - deleted;
            self.notes.add(|| (Subject::Job, Rule::DecisionDeferred, format!("{left} not deleted")));
            self.verdict = None;
        }
        self.active -= mutant!(57, deleted => 0);
        if self.snapshot.features.adjusts_counters_on_delete {
            self.terminating += deleted;
            self.ready = mutant!(59, 0 => self.ready);
        }
        self.account(now, false)
    }

    /// Step 13: delete or create pods so that as many are active as are wanted.
    pub(super) fn manage(&mut self, now: Time) -> Step {
        let stock = Stock {
            snapshot: &self.snapshot,
            census: &self.census,
            indexes: self.indexes.as_ref(),
            succeeded: self.succeeded,
            backoff: self.backoff,
            now,
        };
        let plan = stock.plan(&mut self.notes);
        self.effects.extend(plan.effects());
        match plan {
            Plan::Keep => self.settle(now, true),
            Plan::Wait(_) => {
                if self.snapshot.features.active_zero_in_backoff {
                    self.active = 0;
                }
                self.settle(now, true)
            }
            Plan::Delete(victims) => self.remove(now, victims),
            Plan::Create(drafts) => {
                self.active += drafts.len();
                self.create(now, SlowStart::new(drafts))
            }
        }
    }

    fn remove(&mut self, now: Time, victims: Vec<usize>) -> Step {
        if victims.is_empty() {
            return self.settle(now, true);
        }
        let pods = victims.iter().map(|&position| &self.snapshot.pods[position]);
        let writes = pods
            .map(|pod| {
                if mutant!(58, pod.tracked => false) {
                    Write::ReleaseAndDeletePod(pod.uid)
                } else {
                    Write::DeletePod(pod.uid)
                }
            })
            .collect();
        self.call(Phase::Remove(victims), writes)
    }

    pub(super) fn removed(&mut self, now: Time, victims: &[usize], answers: Vec<Answer>) -> Step {
        let mut removed = 0;
        for (&position, answer) in victims.iter().zip(answers) {
            let pod = &self.snapshot.pods[position];
            let deletion_sent = answer.is_ok() || !pod.tracked;
            if self.snapshot.features.adjusts_counters_on_delete && deletion_sent && pod.is_ready() {
                self.ready -= 1;
            }
            let error = answer.map_or_else(Some, |written| written.deletion_error);
            if error.is_some() {
                self.effects.push(Effect::DeletionObserved);
            }
            match error {
                None | Some(ApiError::NotFound { .. }) => removed += 1,
                Some(error) => self.keep_error(error),
            }
        }
        self.active -= removed;
        if self.snapshot.features.adjusts_counters_on_delete {
            self.terminating += removed;
        }
        self.settle(now, true)
    }

    fn create(&mut self, now: Time, slow_start: SlowStart) -> Step {
        let writes: Vec<Write> = slow_start.batch().iter().copied().map(Write::CreatePod).collect();
        if writes.is_empty() { self.settle(now, true) } else { self.call(Phase::Create(slow_start), writes) }
    }

    pub(super) fn created(&mut self, now: Time, mut slow_start: SlowStart, answers: Vec<Answer>) -> Step {
        let mut failed = 0;
        for answer in answers {
            match answer {
                Ok(_) => {}
                Err(ApiError::NamespaceTerminating(_)) => {
                    self.notes.add(|| (Subject::Job, Rule::NamespaceTerminating, String::new()));
                }
                Err(error) => {
                    self.effects.push(Effect::CreationObserved);
                    self.keep_error(error);
                    failed += 1;
                }
            }
        }
        let skipped = slow_start.left_after_batch();
        self.active -= failed;
        if failed > 0 && skipped > 0 {
            let all = slow_start.len();
            self.notes.add(|| (Subject::Job, Rule::SlowStart, format!("{skipped} of {all} not tried")));
            self.active -= skipped;
            self.effects.extend(std::iter::repeat_n(Effect::CreationObserved, skipped));
            return self.settle(now, true);
        }
        slow_start.advance();
        self.create(now, slow_start)
    }

    /// The Event that the answer to a creation or deletion calls for; it is recorded when that answer comes, not when
    /// the last of the batch is there. `slot` is the place of the write in its batch.
    pub fn reported(&self, slot: usize, answer: &Answer) -> Option<EventDraft> {
        let position = match &self.phase {
            Phase::Create(_) => return self.reported_creation(answer),
            Phase::Finish => *self.census.active.get(slot)?,
            Phase::Remove(victims) => *victims.get(slot)?,
            _ => return None,
        };
        let pod = self.snapshot.pods.get(position)?;
        let error = match (&self.phase, answer) {
            (_, Ok(written)) => written.deletion_error.as_ref(),
            // The finalizer could not be taken off: the deletion was not sent.
            (Phase::Remove(_), Err(_)) if pod.tracked => return None,
            (_, Err(error)) => Some(error),
        };
        match error {
            None => {
                let name = &pod.key.name;
                Some(about(&self.snapshot, false, "SuccessfulDelete", format!("Deleted pod: {name}")))
            }
            Some(ApiError::NotFound { .. }) => None,
            Some(error) => {
                Some(about(&self.snapshot, true, "FailedDelete", format!("Error deleting: {error}")))
            }
        }
    }

    fn reported_creation(&self, answer: &Answer) -> Option<EventDraft> {
        match answer {
            Ok(written) => {
                let name = written.name.as_deref().unwrap_or_default();
                Some(about(&self.snapshot, false, "SuccessfulCreate", format!("Created pod: {name}")))
            }
            Err(ApiError::NamespaceTerminating(_)) => None,
            Err(error) => {
                Some(about(&self.snapshot, true, "FailedCreate", format!("Error creating: {error}")))
            }
        }
    }
}
