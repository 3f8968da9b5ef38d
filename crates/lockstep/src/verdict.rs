//! Comparing two runs of one scenario: the verdict of a pair of worlds, or of two versions in one world.
//!
//! Worlds on virtual time are deterministic, so they are compared write by write and time by time, on the lines of
//! [`crate::trace_text`], in which generated names and uids have been replaced by what a pod is known as.

use towtank_model::time::Time;
use towtank_scenario::ast::Stack;

use crate::explanation::{Compared, Explanation};
use crate::history;
use crate::observed;
use crate::recording;
use crate::run::Run;
use crate::trace_text::{self, TraceLine};
use crate::world::WorldKind;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The world.
    pub world: WorldKind,
    /// The versions that it played.
    pub stack: Stack,
    /// Not played now: recorded once, see [`crate::recording`].
    pub is_recorded: bool,
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { world, stack, is_recorded } = self;
        match is_recorded {
            true if !world.is_virtual() => {
                write!(f, "what a real cluster of Kubernetes {} has shown", stack.kubernetes.full())
            }
            true => write!(f, "the recording of Kubernetes {}", stack.kubernetes.full()),
            false => write!(f, "{world} {stack}"),
        }
    }
}

impl Party {
    /// The party that `run` speaks for.
    pub const fn of(run: &Run) -> Self {
        Self { world: run.world, stack: run.stack, is_recorded: false }
    }

    /// The command that records it again, if it was recorded.
    pub const fn remake(&self) -> Option<&'static str> {
        match (self.is_recorded, self.world.is_virtual()) {
            (false, _) => None,
            (true, true) => Some(recording::REMAKE),
            (true, false) => Some(observed::REMAKE),
        }
    }

    /// A real cluster, as it was observed.
    pub(crate) const fn observed(stack: Stack) -> Self {
        Self { world: WorldKind::Cluster, stack, is_recorded: true }
    }

    /// The reference, as it was recorded.
    pub(crate) const fn recorded(stack: Stack) -> Self {
        Self { world: WorldKind::Reference, stack, is_recorded: true }
    }
}

/// What the comparison of two runs comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairVerdict {
    /// The one.
    pub left: Party,
    /// The other.
    pub right: Party,
    /// Whether they tell the same story.
    pub judgement: Judgement,
}

/// Whether two runs tell the same story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Write by write.
    Agrees {
        /// Writes compared.
        writes: usize,
    },
    /// But for an order, or for times, that are left open.
    Explained {
        /// Writes compared.
        writes: usize,
        /// The rule that leaves it open.
        rule: &'static str,
    },
    /// By a run of the model that does not have to be equal: [`explanation`](mod@crate::explanation).
    ExplainedBy(Box<ByRun>),
    /// They differ.
    Diverges(Box<Divergence>),
}

/// The run of the model that explains what a real cluster has shown, and what it explains of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByRun {
    /// Its seed.
    pub seed: u64,
    /// Its timing profile.
    pub profile: String,
    /// The steps in which only each object by itself was explained.
    pub apart: Vec<String>,
    /// What was compared, and what was not.
    pub compared: Compared,
}

impl ByRun {
    /// What is told of an explanation.
    pub fn of(explanation: &Explanation) -> Self {
        Self {
            seed: explanation.seed,
            profile: explanation.profile.clone(),
            apart: explanation.apart_steps().into_iter().map(str::to_owned).collect(),
            compared: explanation.compared,
        }
    }
}

impl std::fmt::Display for ByRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, profile, apart, compared } = self;
        write!(f, "with seed {seed} and the timing `{profile}`")?;
        if !apart.is_empty() {
            write!(f, ", object by object after `{}`", apart.join("`, `"))?;
        }
        write!(f, "; {compared}")
    }
}

impl Judgement {
    /// How many writes are the same, if they tell the same story.
    pub const fn writes_agreed(&self) -> Option<usize> {
        match self {
            Self::Agrees { writes } | Self::Explained { writes, .. } => Some(*writes),
            Self::ExplainedBy(by) => Some(by.compared.lines),
            Self::Diverges(_) => None,
        }
    }

    /// Whether they tell the same story.
    pub const fn is_agreement(&self) -> bool {
        self.writes_agreed().is_some()
    }
}

/// Events of one instant, and the other writes of it.
const EVENTS_ARE_FREE: &str = "a recorder posts Events beside the writes of an instant, in no order";
/// Writes of one instant about different Jobs.
const JOBS_ARE_FREE: &str = "workers sync different Jobs of one instant in no order";
/// The model's operator beside the production operator.
const OPERATORS_HAVE_TIMES_OF_THEIR_OWN: &str =
    "another operator writes at other times: what became of each Job and pod is compared, not when";

/// The first write that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Writes before it, the same in both.
    pub writes_before: usize,
    /// The one's write; `None`: it has ended.
    pub left: Option<TraceLine>,
    /// The other's write; `None`: it has ended.
    pub right: Option<TraceLine>,
}

/// Compares two runs write by write. An empty trace diverges: a world that shows nothing agrees with nobody.
///
/// Two orders mean nothing, and a verdict that rests on one names it ([`Judgement::Explained`]). A recorder posts Events in
/// a goroutine of its own, so an Event may come before or after the writes of its instant, and those about parallel calls
/// in any order: they are compared after the writes, by their text. And Jobs are synced by workers that know nothing of
/// each other, so writes of an instant about different Jobs may come in any order: they are sorted by the name of the Job;
/// those about one Job keep their order.
///
/// Where one world has the production operator and the other a model of it, what became of each object is compared
/// (module `history`).
pub fn compare(left: &Run, right: &Run) -> PairVerdict {
    let judgement = if has_other_operator(left, right) {
        compare_histories(history::lines(&left.trace), history::lines(&right.trace))
    } else {
        compare_lines(trace_text::lines(&left.trace), trace_text::lines(&right.trace))
    };
    PairVerdict { left: Party::of(left), right: Party::of(right), judgement }
}

fn has_other_operator(left: &Run, right: &Run) -> bool {
    let has_operator =
        |run: &Run| run.trace.iter().any(|entry| entry.actor == towtank_model::server::Actor::Operator);
    left.world.has_production_operator() != right.world.has_production_operator()
        && (has_operator(left) || has_operator(right))
}

fn compare_histories(left: Vec<TraceLine>, right: Vec<TraceLine>) -> Judgement {
    let tells_the_same = |(one, other): &(&TraceLine, &TraceLine)| one.text == other.text;
    let same = left.iter().zip(&right).take_while(tells_the_same).count();
    if same == left.len() && same == right.len() && same > 0 {
        return Judgement::Explained { writes: same, rule: OPERATORS_HAVE_TIMES_OF_THEIR_OWN };
    }
    diverges(left, right, same)
}

fn diverges(left: Vec<TraceLine>, right: Vec<TraceLine>, same: usize) -> Judgement {
    let (left, right) = (left.into_iter().nth(same), right.into_iter().nth(same));
    Judgement::Diverges(Box::new(Divergence { writes_before: same, left, right }))
}

/// The lines of a run that are compared, in the order in which they are.
pub(crate) fn canonical_lines(run: &Run) -> Vec<TraceLine> {
    in_canonical_order(trace_text::lines(&run.trace))
}

/// Puts the Events of an instant behind its writes, sorted, and the writes about one Job together.
pub(crate) fn in_canonical_order(mut lines: Vec<TraceLine>) -> Vec<TraceLine> {
    fn place(line: &TraceLine) -> (Time, Option<&str>, Option<&str>) {
        (line.at, line.is_event.then_some(&*line.text), line.job.as_deref())
    }
    lines.sort_by(|one, other| place(one).cmp(&place(other)));
    lines
}

/// Compares two traces line by line, as [`compare`] does.
pub fn compare_lines(left: Vec<TraceLine>, right: Vec<TraceLine>) -> Judgement {
    if left == right && !left.is_empty() {
        return Judgement::Agrees { writes: left.len() };
    }
    let writes = |lines: &[TraceLine]| -> Vec<TraceLine> {
        lines.iter().filter(|line| !line.is_event).cloned().collect()
    };
    let rule = if writes(&left) == writes(&right) { EVENTS_ARE_FREE } else { JOBS_ARE_FREE };
    let (left, right) = (in_canonical_order(left), in_canonical_order(right));
    let same = left.iter().zip(&right).take_while(|(one, other)| one == other).count();
    if same == left.len() && same == right.len() && same > 0 {
        return Judgement::Explained { writes: same, rule };
    }
    diverges(left, right, same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<TraceLine> {
        (0..).zip(texts).map(|(second, text)| line(second, text, None, false)).collect()
    }

    fn line(second: u64, text: &str, job: Option<&str>, is_event: bool) -> TraceLine {
        let (at, text, job) = (Time::from_secs(second), text.to_owned(), job.map(Into::into));
        TraceLine { at, actor: "job-controller", text, job, is_refused: false, is_event }
    }

    #[test]
    fn an_order_that_is_left_open_is_named() {
        let (a, b) = (line(1, "write", Some("a"), false), line(1, "write", Some("b"), false));
        let event = line(1, "event", Some("a"), true);
        let both = |one: [&TraceLine; 3], other: [&TraceLine; 3]| {
            compare_lines(one.map(Clone::clone).into(), other.map(Clone::clone).into())
        };
        let explained = |rule| Judgement::Explained { writes: 3, rule };
        assert_eq!(both([&a, &b, &event], [&a, &event, &b]), explained(EVENTS_ARE_FREE));
        assert_eq!(both([&a, &b, &event], [&b, &a, &event]), explained(JOBS_ARE_FREE));
        let other = line(1, "other write", Some("a"), false);
        assert!(!both([&a, &other, &event], [&other, &a, &event]).is_agreement(), "one Job has one order");
        let later = line(2, "write", Some("b"), false);
        assert!(!both([&a, &b, &event], [&a, &later, &event]).is_agreement(), "times are compared");
    }

    #[test]
    fn histories_have_no_times() {
        let (early, late) = (line(1, "pod a: created", None, false), line(2, "pod a: created", None, false));
        let gone = line(3, "pod a: gone", None, false);
        let rule = OPERATORS_HAVE_TIMES_OF_THEIR_OWN;
        let both = |one: &[&TraceLine], other: &[&TraceLine]| {
            let owned = |lines: &[&TraceLine]| lines.iter().copied().cloned().collect();
            compare_histories(owned(one), owned(other))
        };
        assert_eq!(both(&[&early, &gone], &[&late, &gone]), Judgement::Explained { writes: 2, rule });
        let Judgement::Diverges(divergence) = both(&[&early, &gone], &[&late]) else {
            panic!("one is never gone");
        };
        assert_eq!((divergence.writes_before, divergence.left, divergence.right), (1, Some(gone), None));
        assert!(!both(&[], &[]).is_agreement(), "nobody agrees with one that shows nothing");
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(compare_lines(lines(&["a", "b"]), lines(&["a", "b"])), Judgement::Agrees { writes: 2 });
        for (left, right, before) in
            [(&["a", "b"][..], &["a", "c"][..], 1), (&["a"], &["a", "b"], 1), (&[], &[], 0)]
        {
            let Judgement::Diverges(divergence) = compare_lines(lines(left), lines(right)) else {
                panic!("{left:?} and {right:?} differ");
            };
            assert_eq!(divergence.writes_before, before, "{left:?} and {right:?}");
        }
    }
}
