//! Making a story shorter than proptest can: it tries to drop each gene once, and a story's genes say more than matters.

use std::time::Duration;

use towtank_explore::story::Story;
use towtank_explore::verbs::Verb;
use towtank_lockstep::recording;
use towtank_model::job::FaultPlan;

use crate::DifferentialError;

/// Rounds through all that can be left out.
const ROUNDS_MAX: usize = 8;

/// What a Job can do without.
const PLAINER: [fn(&mut Story); 13] = [
    |story| story.job.ttl_seconds_after_finished = None,
    |story| story.job.active_deadline_seconds = None,
    |story| story.job.backoff_limit = None,
    |story| story.job.max_failed_indexes = None,
    |story| story.job.backoff_limit_per_index = None,
    |story| story.job.success_policy = None,
    |story| story.job.pod_failure_policy = None,
    |story| story.job.pod_replacement_policy = None,
    |story| story.job.managed_by = None,
    |story| story.job.suspend = None,
    |story| story.job.completion_mode = None,
    |story| (story.job.manual_selector, story.job.selector) = (None, None),
    // The seed of recordings: with one, the story fails on a machine without Go too.
    |story| story.seed = recording::SEED,
];

/// Leaves out of a story whatever `still` can do without.
pub(crate) fn shorten(
    story: &mut Story,
    mut still: impl FnMut(&Story) -> Result<bool, DifferentialError>,
) -> Result<(), DifferentialError> {
    for _ in 0..ROUNDS_MAX {
        let before = format!("{story:?}");
        let mut attempt = |change: &dyn Fn(&mut Story)| -> Result<bool, DifferentialError> {
            let mut shorter = story.clone();
            change(&mut shorter);
            let is_new = format!("{shorter:?}") != format!("{story:?}");
            let succeeds = is_new && still(&shorter)?;
            if succeeds {
                *story = shorter;
            }
            Ok(succeeds)
        };
        for change in PLAINER {
            attempt(&change)?;
        }
        // From the last to the first, so that what is left keeps its place.
        for nth in (0..FAULTS_MAX).rev() {
            attempt(&|story| leave_out_fault(story, nth))?;
        }
        for place in (0..VERBS_MAX).rev() {
            let drop = |story: &mut Story| {
                if place < story.verbs.len() {
                    story.verbs.remove(place);
                }
            };
            // When it is the time that matters, time passes without the verb too.
            let idle = |story: &mut Story| {
                if let Some(verb) = story.verbs.get_mut(place).filter(|verb| !matches!(verb, Verb::Wait(_))) {
                    *verb = Verb::Wait(Duration::ZERO);
                }
            };
            if !attempt(&drop)? {
                attempt(&idle)?;
            }
        }
        if before == format!("{story:?}") {
            break;
        }
    }
    Ok(())
}

/// Bounds of what a story has of each.
const FAULTS_MAX: usize = 4;
const VERBS_MAX: usize = crate::draw::VERBS_MAX;

fn leave_out_fault(story: &mut Story, left_out: usize) {
    let faults = story.setting.faults.iter().enumerate().filter(|(nth, _)| *nth != left_out);
    story.setting.faults =
        faults.fold(FaultPlan::default(), |plan, (_, (kind, nth, fault))| plan.with(kind, nth, fault));
}
