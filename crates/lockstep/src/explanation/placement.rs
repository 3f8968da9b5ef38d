//! In which step each line of a history belongs.
//!
//! A step has settled when the next one begins. What has happened until then in a real cluster must have happened in the model before its step ended, and
//! what has not must not have happened there before its step began: so a line belongs to the step in which the model has it, or to the next one, when it was still
//! on its way while the step settled. Steps that wait for nothing (module `waits`) do not end that.

use std::collections::BTreeMap;

use crate::history;
use crate::observed::Observed;
use crate::run::Run;
use crate::trace_text::TraceLine;

use super::waits::Waits;

/// The steps of all lines of a history, for each text in the order in which its lines happened: the first and the last step that a line may belong to.
pub(super) type Places = BTreeMap<String, Vec<(usize, usize)>>;

/// Where the lines of a run of the model are.
pub(super) fn of_model(run: &Run) -> Places {
    let mut places = Places::new();
    for (line, position) in history::lines_by_chance(&run.trace) {
        let begun = run.steps.iter().take_while(|step| step.at.is_some() && step.trace_before <= position);
        let step = begun.count().saturating_sub(1);
        places.entry(line.text).or_default().push((step, step));
    }
    places.values_mut().for_each(|steps| steps.sort_unstable());
    places
}

/// Lets a line be where it is in either.
pub(super) fn merge(places: &mut Places, others: Places) {
    for (text, others) in others {
        let known = places.entry(text).or_default();
        known.resize(known.len().max(others.len()), (usize::MAX, 0));
        for ((first, last), (other_first, other_last)) in known.iter_mut().zip(others) {
            (*first, *last) = ((*first).min(other_first), (*last).max(other_last));
        }
    }
}

/// A line that is in the wrong step.
#[derive(Clone, Debug)]
pub struct Misplaced {
    /// The line.
    pub line: TraceLine,
    /// Number of the step in which it happened really.
    pub real: usize,
    /// Number of the step in which it happens in the model, the nearest of those that runs have shown.
    pub model: usize,
}

/// The lines that are not where the model has them; none where nobody noted when steps began.
pub(super) fn misplaced(real: &Observed, waits: &Waits, places: &Places) -> Vec<Misplaced> {
    let Some(asked) = real.begun() else { return Vec::new() };
    let mut lines: Vec<&TraceLine> = real.history.iter().collect();
    lines.sort_by(|one, other| (&one.text, one.at).cmp(&(&other.text, other.at)));
    let mut wrong = Vec::new();
    for of_text in lines.chunk_by(|one, other| one.text == other.text) {
        let Some(places) = of_text.first().and_then(|line| places.get(&line.text)) else { continue };
        for (line, &(first, last)) in of_text.iter().zip(places) {
            // What happens at the instant of an action may come before it, or be its effect.
            let latest = asked.partition_point(|asked| *asked <= line.at).saturating_sub(1);
            let earliest = asked.partition_point(|asked| *asked < line.at).saturating_sub(1);
            let until = waits.until(last + 1);
            if latest < first {
                wrong.push(Misplaced { line: (*line).clone(), real: latest, model: first });
            } else if earliest > until {
                wrong.push(Misplaced { line: (*line).clone(), real: earliest, model: last });
            }
        }
    }
    wrong
}
