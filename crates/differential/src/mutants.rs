//! Seeded mistakes in the model, and the random stories in which the real controller shows them.

use std::ops::ControlFlow;

use towtank_explore::story::Story;
use towtank_model::mutants::{MUTANTS, select};
use towtank_model::version::KubernetesVersion;

use crate::{DifferentialError, Draw, Kinds, Telling, many};

/// Stories that are told by the real controller before the mutants are tried on them: one telling serves all mutants,
/// and most are caught early.
const BATCH: u64 = 50;

/// Where a mutant was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The number of the story.
    pub story: u64,
    /// The version in which it was told.
    pub version: KubernetesVersion,
}

/// A mutant, and where it was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chased {
    /// Its number.
    pub mutant: u32,
    /// What is wrong with it.
    pub mistake: &'static str,
    /// `None`: nowhere.
    pub catch: Option<Catch>,
}

/// What came of a chase.
#[derive(Clone, Debug)]
pub struct Chase {
    /// Every mutant.
    pub mutants: Vec<Chased>,
    /// Stories that the model tells differently without a mutant; they catch nobody.
    pub stories_that_differ: u64,
}

/// Tries every mutant on stories `0..stories`; those that no story of the first version catches, on those of the next.
///
/// # Errors
///
/// The real controller is not there, or has failed.
pub fn chase(
    versions: &[KubernetesVersion],
    seed: u64,
    stories: u64,
    threads: usize,
) -> Result<Chase, DifferentialError> {
    let mut mutants: Vec<Chased> =
        MUTANTS.iter().map(|&(mutant, mistake)| Chased { mutant, mistake, catch: None }).collect();
    let mut stories_that_differ = 0;
    for &version in versions {
        for first in (0..stories).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            if mutants.iter().all(|chased| chased.catch.is_some()) {
                break;
            }
            // Which mutant runs is one switch of the process: only one is tried at a time.
            select(0);
            let told = many::visit(threads, first..stories.min(first + BATCH), |judge, number| {
                let story = Draw { version, seed, number, kinds: Kinds::All }.story()?;
                let real = judge.tell(&story)?;
                let is_sound = Telling::of_model(&story).agrees_with(&real);
                Ok(ControlFlow::Continue(is_sound.then_some((story, real))))
            })?;
            stories_that_differ += told.iter().map(|(_, story)| u64::from(story.is_none())).sum::<u64>();
            let sound: Vec<(u64, (Story, Telling))> =
                told.into_iter().filter_map(|(number, told)| Some((number, told?))).collect();
            for chased in mutants.iter_mut().filter(|chased| chased.catch.is_none()) {
                select(chased.mutant);
                let caught =
                    sound.iter().find(|(_, (story, real))| !Telling::of_model(story).agrees_with(real));
                chased.catch = caught.map(|(story, _)| Catch { story: *story, version });
            }
            select(0);
        }
    }
    Ok(Chase { mutants, stories_that_differ })
}
