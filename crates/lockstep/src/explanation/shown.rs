//! What runs of the model have shown in each step, object by object: for what many pods on their way at once show together by chance.
//!
//! Everything is a count: at one instant a line is there so many times, and its object so many times (once, or not at all; pods without an index that
//! belong to one Job are one object, since nobody can tell them apart). What was to be seen is explained by the counts that were shown in the
//! step, and an object that is not to be seen is a state like every other: some run must show that it is not there.
//!
//! Steps that wait for nothing follow each other at once, so pods that go in one may linger beside those of the next, and so may pods that nobody can tell apart: their
//! counts add up. What else is to be seen has to be shown in the step itself.

use std::collections::{BTreeMap, BTreeSet};

use super::placement::Places;
use super::waits::Waits;
use crate::history;
use crate::run::Run;
use crate::sight::{ANY_OF_EQUALS, GOES, Sight};

/// All that runs have shown, step by step.
pub(super) struct Shown {
    waits: Waits,
    steps: Vec<Ranges>,
}

/// How often each line and each object was there: at least and at most, over the instants of a step.
#[derive(Clone, Default)]
struct Ranges {
    instants: usize,
    of: BTreeMap<String, (usize, usize)>,
}

impl Shown {
    /// Nothing yet.
    pub(super) fn new(waits: Waits) -> Self {
        Self { waits, steps: Vec::new() }
    }

    /// Takes what this run shows.
    pub(super) fn add(&mut self, run: &Run) {
        self.steps.resize_with(self.steps.len().max(run.sights.len()), Ranges::default);
        // What a step settles with at once may be what was there before its action had any effect.
        let mut before = None;
        for (ranges, step) in self.steps.iter_mut().zip(&run.sights) {
            step.all.iter().chain(before).for_each(|sight| ranges.add(sight));
            before = step.settled.as_ref();
        }
    }

    /// Whether each object by itself was to be seen so in the step of this number; `places` are those of the lines of the runs.
    pub(super) fn explains(&self, step_index: usize, seen: &Sight, places: &Places) -> bool {
        let at_once = self.waits.at_once_with(step_index);
        let goes = |object: &str| {
            let told = places.get(&format!("{object}: {}", history::TOLD_TO_GO)).into_iter().flatten();
            told.into_iter().any(|(first, last)| first <= at_once.end() && at_once.start() <= last)
        };
        let steps = self.steps.get(at_once.clone()).unwrap_or_default();
        let ranges = steps.iter().cloned().reduce(Ranges::and_then);
        ranges.is_some_and(|ranges| ranges.explain(seen, goes))
    }
}

impl Ranges {
    fn add(&mut self, sight: &Sight) {
        let mut now = counts(sight.lines().iter().map(String::as_str));
        for (key, (least, most)) in &mut self.of {
            let count = now.remove(key.as_str()).unwrap_or(0);
            (*least, *most) = ((*least).min(count), (*most).max(count));
        }
        for (key, count) in now {
            // It was not there at any instant before.
            let least = if self.instants == 0 { count } else { 0 };
            self.of.insert(key.to_owned(), (least, count));
        }
        self.instants += 1;
    }

    /// What is to be seen in the next step, when nobody waits for what goes in this one.
    fn and_then(self, mut next: Self) -> Self {
        let lingers = |line: &str| is_line(line) && (line.ends_with(GOES) || line.contains(ANY_OF_EQUALS));
        let objects: BTreeSet<String> =
            self.of.keys().filter(|key| lingers(key)).map(|line| object_of(line).to_owned()).collect();
        for (key, (_, most)) in self.of {
            if !lingers(&key) && !objects.contains(&key) {
                continue;
            }
            let (next_least, next_most) = next.of.remove(&key).unwrap_or_default();
            // Equal pods that are in the same state in both steps need not be the same; but there are no more pods than there were.
            let most = if is_line(&key) { most + next_most } else { most.max(next_most) };
            // Those of which there may be more in a state may be fewer in another.
            let least = if is_line(&key) { 0 } else { next_least };
            next.of.insert(key, (least, most));
        }
        for (key, (least, _)) in &mut next.of {
            if is_line(key) && objects.contains(object_of(key)) {
                *least = 0;
            }
        }
        next
    }

    /// `goes` tells of an object whether it is told to go in this step.
    fn explain(&self, seen: &Sight, goes: impl Fn(&str) -> bool) -> bool {
        let lines = || seen.lines().iter().map(String::as_str);
        // A pod that nothing holds back goes in two writes, which the model makes at one instant: in between it is neither as before nor gone.
        let is_between = |line: &&str| {
            line.starts_with("pod ")
                && line.ends_with(GOES)
                && !self.of.contains_key(*line)
                && line.split_once(": ").is_some_and(|(object, _)| goes(object))
        };
        let as_before = lines().map(|line| match is_between(&line) {
            true => line.strip_suffix(GOES).unwrap_or(line),
            false => line,
        });
        let as_after = lines().filter(|line| !is_between(line));
        self.have(&counts(as_before)) && self.have(&counts(as_after))
    }

    fn have(&self, seen: &BTreeMap<&str, usize>) -> bool {
        let keys: BTreeSet<&str> = seen.keys().copied().chain(self.of.keys().map(String::as_str)).collect();
        keys.into_iter().all(|key| {
            let (least, most) = self.of.get(key).copied().unwrap_or_default();
            (least..=most).contains(&seen.get(key).copied().unwrap_or(0))
        })
    }
}

/// Whether this is the line of an object, and not the object itself.
fn is_line(key: &str) -> bool {
    key.contains(": ")
}

/// The object of a line.
fn object_of(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(object, _)| object)
}

/// How often each line is there, and each object.
fn counts<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        for key in [line, object_of(line)] {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(lines: &[&str]) -> Sight {
        Sight::from(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    fn ranges(sights: &[&[&str]]) -> Ranges {
        let mut ranges = Ranges::default();
        sights.iter().for_each(|lines| ranges.add(&sight(lines)));
        ranges
    }

    /// Where nobody is told to go.
    fn explains(shown: &Ranges, seen: &Sight) -> bool {
        shown.explain(seen, |_| false)
    }

    #[test]
    fn that_an_object_is_not_there_must_have_been_shown() {
        let shown = ranges(&[
            &["job j: 2 of 2"],
            &["job j: 2 of 2", "pod j/0#1: Pending"],
            &["job j: 2 of 2", "pod j/0#1: Running"],
        ]);
        assert!(explains(&shown, &sight(&["job j: 2 of 2"])));
        assert!(explains(&shown, &sight(&["job j: 2 of 2", "pod j/0#1: Pending"])));
        assert!(!explains(&shown, &sight(&[])), "the Job is always there");
        assert!(!explains(&shown, &sight(&["pod j/0#1: Pending"])), "the Job is always there");
        assert!(!explains(&shown, &sight(&["job j: 2 of 2", "pod j/0#1: Failed"])));
        let stays = ranges(&[&["pod j/0#1: Pending"], &["pod j/0#1: Running"]]);
        assert!(!explains(&stays, &sight(&[])));
    }

    #[test]
    fn objects_may_be_seen_at_different_instants() {
        let shown = ranges(&[
            &["pod j/0#1: Pending", "pod j/1#1: Running"],
            &["pod j/0#1: Running", "pod j/1#1: Pending"],
        ]);
        assert!(explains(&shown, &sight(&["pod j/0#1: Running", "pod j/1#1: Running"])));
    }

    #[test]
    fn pods_without_an_index_are_counted() {
        let (waits, runs) = ("pod j/#: Pending", "pod j/#: Running");
        let shown = ranges(&[&[waits, waits, waits], &[waits, runs, runs]]);
        assert!(explains(&shown, &sight(&[waits, waits, runs])));
        assert!(!explains(&shown, &sight(&[waits, runs])), "there are three");
        assert!(!explains(&shown, &sight(&[runs, runs, runs])), "one of them never runs");
    }

    #[test]
    fn pods_of_a_step_that_waits_for_nothing_linger_in_the_next() {
        let (waits, ends) = ("pod j/#: Pending", "pod j/#: Failed, is to go");
        let one_ends = ranges(&[&[ends, waits, waits]]);
        let it_is_gone_and_others_end = ranges(&[&[waits, waits], &[ends, ends]]);
        let lingers = sight(&[ends, ends, ends]);
        assert!(!explains(&it_is_gone_and_others_end, &lingers));
        let both = one_ends.and_then(it_is_gone_and_others_end);
        assert!(explains(&both, &lingers));
        assert!(explains(&both, &sight(&[ends, ends])));
        assert!(!explains(&both, &sight(&[ends, ends, ends, ends])), "there are three");
        assert!(!explains(&both, &sight(&[ends])), "two stay");
        assert!(!explains(&both, &sight(&[ends, "pod j/#: Running"])), "none runs");
    }

    #[test]
    fn only_what_goes_lingers() {
        let (job, later) = ("job j: 2 of 2", "job j: 1 of 1");
        let (runs, goes) = ("pod j/1#1: Running", "pod j/1#1: Running, is to go");
        let before = ranges(&[&[job, "pod j/0#1: Pending", runs], &[job, "pod j/0#1: Pending", goes]]);
        let after = ranges(&[&[later, "pod j/0#1: Running"]]);
        let both = before.and_then(after);
        assert!(explains(&both, &sight(&[later, "pod j/0#1: Running"])));
        assert!(explains(&both, &sight(&[later, "pod j/0#1: Running", goes])));
        assert!(!explains(&both, &sight(&[job, "pod j/0#1: Running"])), "the Job has changed");
        assert!(!explains(&both, &sight(&[later, "pod j/0#1: Pending"])), "and so has the other pod");
        assert!(!explains(&both, &sight(&[later, "pod j/0#1: Running", runs])), "it is told to go");
    }

    #[test]
    fn a_pod_is_on_its_way_only_where_it_goes() {
        let line = format!("pod j/1#1: Running{GOES}");
        let shown = ranges(&[&["pod j/0#1: Running", "pod j/1#1: Running"], &["pod j/0#1: Running"]]);
        let on_its_way = sight(&["pod j/0#1: Running", &line]);
        assert!(shown.explain(&on_its_way, |object| object == "pod j/1#1"));
        assert!(!explains(&shown, &on_its_way), "it has come in this step, and not gone");
        let stays = ranges(&[&["pod j/0#1: Running", "pod j/1#1: Running"]]);
        assert!(!stays.explain(&on_its_way, |_| true), "it is there all the time");
    }
}
