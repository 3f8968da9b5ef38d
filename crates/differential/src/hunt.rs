//! Whether random stories find a known defect again: the real controller of a version that has it, against a model of
//! the same version that does not know of it.

use std::ops::ControlFlow;
use std::time::Duration;

use towtank_explore::story::Story;

use crate::defects::Defect;
use crate::{DifferentialError, Draw, Judge, Kinds, Telling, many};

/// Numbers of stories, of which only the time makes an end.
const STORIES_MAX: u64 = 10_000_000;

/// Who tells a story as it is in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Truth {
    /// The real controller.
    Reference,
    /// The model, which knows of the defect: in much less time and without Go.
    Model,
}

/// A story that has found a defect.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// When it was found, without the time for shrinking.
    pub after: Duration,
    /// Its shortest form.
    pub story: Story,
    /// Steps of the shortest form: the creation of the Job, and all that then happens to it and its pods. Waits are
    /// not counted.
    pub steps: usize,
}

/// Whether this story shows the defect: with it the model tells what is true, without it something else.
fn is_found(
    defect: &Defect,
    truth: Truth,
    judge: &mut Judge,
    story: &Story,
) -> Result<bool, DifferentialError> {
    let (aware, unaware) = (Telling::of_model(story), Telling::of_model_with(story, defect.unaware()));
    let real = match truth {
        Truth::Reference => judge.tell(story)?,
        Truth::Model => aware.clone(),
    };
    Ok(!unaware.agrees_with(&real)
        && defect.shows(story, real.lines(), unaware.lines())
        && aware.agrees_with(&real))
}

/// Tells random stories until one finds the defect, or the time is over.
///
/// # Errors
///
/// The real controller is not there, or has failed.
pub fn hunt(
    defect: &Defect,
    truth: Truth,
    seed: u64,
    limit: Duration,
    threads: usize,
) -> Result<(u64, Option<Found>), DifferentialError> {
    let started = crate::clock::now();
    let draw = |number: u64| {
        // Some defects take many kinds of verbs, and some the same few again and again.
        let kinds = if number % 4 == 3 { Kinds::Few } else { Kinds::All };
        Draw { version: defect.version(), seed, number, kinds }
    };
    let visited = many::visit(threads, 0..STORIES_MAX, |judge, number| {
        let found = is_found(defect, truth, judge, &draw(number).story()?)?;
        let after = started.elapsed();
        let is_over = found || after > limit;
        let gave = found.then_some(after);
        Ok(if is_over { ControlFlow::Break(gave) } else { ControlFlow::Continue(gave) })
    })?;
    let Some((number, after)) = visited.iter().find_map(|(number, after)| Some((*number, (*after)?))) else {
        return Ok((visited.len() as u64, None));
    };
    let mut judge = Judge::default();
    let mut story = draw(number).story()?;
    draw(number).shrink(|simpler| {
        let still = is_found(defect, truth, &mut judge, simpler)?;
        if still {
            story = simpler.clone();
        }
        Ok(still)
    })?;
    let steps = 1 + story.actions();
    Ok((number + 1, Some(Found { number, after, story, steps })))
}
