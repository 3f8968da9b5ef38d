//! Events, as a component's recorder and the API server keep them (client-go `EventCorrelator`).
//!
//! Equal Events of one object count up. From the tenth different message of one kind on, within ten minutes, they are
//! combined into one Event that counts. What is left is limited per component, object and type: 25 at once, then one
//! in five minutes. So a Job that creates a hundred pods in a second leaves ten Events, not a hundred.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::trace::trace_event;
use super::{Actor, EventDraft, EventRecord, Server};
use crate::objects::Uid;
use crate::time::Time;

/// So many Events are kept; the oldest are dropped.
pub const EVENTS_MAX: usize = 10_000;
/// From so many different messages on, similar Events are combined (`defaultAggregateMaxEvents`).
const SIMILAR_MAX: usize = 10;
/// Events further apart than this are not similar (`defaultAggregateIntervalInSeconds`).
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// Events at once (`defaultSpamBurst`).
const BURST: u64 = 25;
/// One more Event may be written after so long (`defaultSpamQPS`).
const REFILL_MICROS: u64 = 300_000_000;
/// The minor version from which on Normal and Warning Events have a budget each (`getSpamKey`).
const EVENT_BUDGET_PER_TYPE_SINCE: u16 = 32;
/// In front of the message of a combined Event.
const COMBINED: &str = "(combined from similar events): ";

/// What makes Events of one component and object similar: type and reason.
type Kind = (Actor, Uid, bool, Cow<'static, str>);

/// All Events, and what the recorders remember.
#[derive(Default)]
pub(super) struct EventLog {
    /// At most [`EVENTS_MAX`] of these, from `first` on, are kept.
    records: Vec<EventRecord>,
    /// Position in `records` of the oldest that is kept.
    first: usize,
    /// How many were cut off the front of `records`.
    cut: usize,
    similar: BTreeMap<Kind, Similar>,
    budgets: BTreeMap<(Actor, Uid, bool), Budget>,
}

/// An Event that a recorder has made ready to be posted.
#[derive(Debug)]
pub struct PendingEvent {
    record: EventRecord,
    /// That of its last version, if there was one.
    number: Option<usize>,
    kind: Kind,
    single: Option<String>,
}

/// What a recorder remembers of similar Events.
#[derive(Default)]
struct Similar {
    /// Different messages in the present window, fewer than [`SIMILAR_MAX`].
    messages: BTreeSet<String>,
    last_time: Time,
    /// By message; the combined Event has none.
    seen: BTreeMap<Option<String>, Seen>,
}

/// What a recorder remembers of one Event.
struct Seen {
    count: u32,
    first_time: Time,
    /// Its number among all Events ever written; absent while it has been held back.
    number: Option<usize>,
}

/// A token bucket, in microseconds of refilling.
struct Budget {
    micros: u64,
    filled_at: Time,
}

impl Budget {
    fn full(now: Time) -> Self {
        Self { micros: BURST * REFILL_MICROS, filled_at: now }
    }

    fn micros_at(&self, now: Time) -> u64 {
        let gained = now.as_micros().saturating_sub(self.filled_at.as_micros());
        self.micros.saturating_add(gained).min(BURST * REFILL_MICROS)
    }

    /// A full budget need not be remembered.
    fn is_full_at(&self, now: Time) -> bool {
        self.micros_at(now) == BURST * REFILL_MICROS
    }

    /// Spends one Event, if there is one to spend.
    fn spend(&mut self, now: Time) -> bool {
        self.micros = self.micros_at(now);
        self.filled_at = now;
        let may = self.micros >= REFILL_MICROS;
        if may {
            self.micros -= REFILL_MICROS;
        }
        may
    }
}

impl EventLog {
    fn kept(&self) -> &[EventRecord] {
        self.records.get(self.first..).unwrap_or_default()
    }

    fn correlate(
        &mut self,
        now: Time,
        actor: Actor,
        draft: EventDraft,
        has_budget_per_type: bool,
    ) -> Option<PendingEvent> {
        let budget_key = (actor, draft.job, has_budget_per_type && draft.is_warning);
        let has_budget = self.budgets.entry(budget_key).or_insert_with(|| Budget::full(now)).spend(now);
        let kind = (actor, draft.job, draft.is_warning, draft.reason.clone());
        let similar = self.similar.entry(kind.clone()).or_default();
        let is_single = similar.is_single(now, &draft.message);
        let single = is_single.then(|| draft.message.clone());
        let seen =
            similar.seen.entry(single.clone()).or_insert(Seen { count: 0, first_time: now, number: None });
        seen.count += 1;
        if !has_budget {
            return None;
        }
        let message = if is_single { draft.message } else { format!("{COMBINED}{}", draft.message) };
        let draft = EventDraft { message, ..draft };
        let (count, first_time) = (seen.count, seen.first_time);
        let record = EventRecord { draft, actor, count, first_time, last_time: now };
        Some(PendingEvent { record, number: seen.number, kind, single })
    }

    /// Keeps an Event: in the place of its last version, if that is still kept.
    fn keep(&mut self, now: Time, event: PendingEvent) {
        let position = event.number.and_then(|number| number.checked_sub(self.cut));
        let kept = position.filter(|&position| position >= self.first && position < self.records.len());
        if let Some(position) = kept {
            self.records[position] = event.record;
            return;
        }
        let similar = self.similar.get_mut(&event.kind);
        if let Some(seen) = similar.and_then(|similar| similar.seen.get_mut(&event.single)) {
            seen.number = Some(self.cut + self.records.len());
        }
        self.records.push(event.record);
        self.drop_oldest(now);
    }

    /// Keeps to [`EVENTS_MAX`]; what is dropped is cut off in one go now and then.
    fn drop_oldest(&mut self, now: Time) {
        self.first = self.records.len().saturating_sub(EVENTS_MAX);
        if self.first < EVENTS_MAX {
            return;
        }
        self.records.drain(..self.first);
        self.cut += self.first;
        self.first = 0;
        let cut = self.cut;
        for similar in self.similar.values_mut() {
            similar.seen.retain(|_, seen| seen.number.is_some_and(|number| number >= cut));
        }
        self.similar.retain(|_, similar| !similar.seen.is_empty());
        self.budgets.retain(|_, budget| !budget.is_full_at(now));
    }
}

impl Similar {
    /// Whether this message still makes an Event of its own.
    fn is_single(&mut self, now: Time, message: &str) -> bool {
        if now.since(self.last_time) > SIMILAR_WITHIN {
            self.messages.clear();
        }
        self.last_time = now;
        if self.messages.contains(message) {
            return true;
        }
        // The original adds the message and, when there are too many, forgets an arbitrary one: here the newest.
        let is_single = self.messages.len() + 1 < SIMILAR_MAX;
        if is_single {
            self.messages.insert(message.to_owned());
        }
        is_single
    }
}

impl Server {
    /// The Events that are kept, at most [`EVENTS_MAX`], in order of their first occurrence.
    pub fn events(&self) -> &[EventRecord] {
        self.events.kept()
    }

    /// Records and posts an Event at once: see [`Server::correlate`].
    pub fn record(&mut self, now: Time, actor: Actor, draft: EventDraft) {
        if let Some(event) = self.correlate(now, actor, draft) {
            self.post(now, event);
        }
    }

    /// What a component's recorder makes of an Event: equal ones are counted, similar ones combined, and too many held
    /// back, as client-go does. What it answers has to be posted, which costs a request.
    pub fn correlate(&mut self, now: Time, actor: Actor, draft: EventDraft) -> Option<PendingEvent> {
        let has_budget_per_type = self.features.version.minor() >= EVENT_BUDGET_PER_TYPE_SINCE;
        let namespace =
            self.jobs.get(draft.job.0).map(|job| &job.key).or_else(|| self.gone_jobs.get(&draft.job));
        if namespace.is_some_and(|key| self.terminating_namespaces.contains(&key.namespace)) {
            // An Event is an object too: none can be created there.
            return None;
        }
        self.events.correlate(now, actor, draft, has_budget_per_type)
    }

    /// Stores an Event; it goes into the trace.
    pub fn post(&mut self, now: Time, event: PendingEvent) {
        trace_event(&mut self.trace, now, event.record.actor, &event.record.draft);
        if let Some(journal) = &mut self.event_journal {
            journal.push(event.record.clone());
        }
        self.events.keep(now, event);
    }

    /// A component's process has ended: what its recorder remembered is gone.
    pub fn end_recorder(&mut self, actor: Actor) {
        self.events.similar.retain(|(other, ..), _| *other != actor);
        self.events.budgets.retain(|(other, ..), _| *other != actor);
    }

    /// Takes over an Event that a real recorder has written: a new one, or the next count of the one with this number.
    /// Returns its number.
    pub fn replicate_event(&mut self, number: Option<usize>, record: EventRecord) -> usize {
        trace_event(&mut self.trace, record.last_time, record.actor, &record.draft);
        if let Some(journal) = &mut self.event_journal {
            journal.push(record.clone());
        }
        let records = &mut self.events.records;
        if let Some((number, place)) = number.and_then(|number| Some((number, records.get_mut(number)?))) {
            *place = record;
            return number;
        }
        records.push(record);
        records.len() - 1
    }
}
