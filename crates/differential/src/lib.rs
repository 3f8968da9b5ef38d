//! Random stories on the model and on the real Job controller: both must tell the same, write by write.
//!
//! A story comes from genes, and genes from proptest, so a story that the two tell differently shrinks to the few verbs
//! that matter. It is then written as a scenario file, which fails until the model is mended and stays afterwards.

pub mod choose;
pub mod clock;
pub mod defects;
mod draw;
pub mod hunt;
pub mod many;
#[cfg(feature = "mutants")]
pub mod mutants;
mod shorten;
mod telling;

use std::collections::BTreeMap;

use towtank_explore::story::{Broken, Story};
use towtank_lockstep::verdict::Judgement;
use towtank_model::simulation::{Simulation, SimulationError};
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::DriverError;
use towtank_reference::drivers::Drivers;

pub use draw::{Draw, Kinds};
pub use telling::Telling;

/// Why stories cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DifferentialError {
    /// The real controller is not there, or has failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// It failed in the middle of a story.
    #[error("{0}")]
    Reference(SimulationError),
    /// The generator of stories gave up.
    #[error("no story: {0}")]
    NoStory(String),
    /// A scenario could not be played.
    #[error("{0}")]
    Play(String),
    /// What was found cannot be written.
    #[error("cannot write {0}")]
    Output(String),
}

/// What one story came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The two tell the same, in so many writes.
    Same(usize),
    /// They do not.
    Different(Judgement),
}

/// A story that the two tell differently, in its shortest form.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The story.
    pub story: Story,
    /// Where they part.
    pub judgement: Judgement,
    /// Verbs before shrinking.
    pub verbs_before: usize,
}

/// Both sides of the comparison, with the drivers that are running.
#[derive(Default)]
pub struct Judge {
    drivers: Drivers,
}

impl Judge {
    /// Tells a story on both sides.
    ///
    /// # Errors
    ///
    /// The real controller is not there, or has failed: then nothing was compared.
    pub fn compare(&mut self, story: &Story) -> Result<Comparison, DifferentialError> {
        let real = self.tell(story)?;
        Ok(match Telling::of_model(story).compare(&real) {
            Judgement::Agrees { writes } => Comparison::Same(writes),
            judgement => Comparison::Different(judgement),
        })
    }

    /// What the real controller makes of a story.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`].
    pub fn tell(&mut self, story: &Story) -> Result<Telling, DifferentialError> {
        let driver = self.drivers.get(story.version)?;
        let config = story.configuration();
        let (controller, registry) =
            RemoteController::begin(&driver, &config.controller, story.seed, BTreeMap::new())?;
        let told = story.trace_on(Simulation::with_parts(config, controller, Some(registry)));
        if let Err(Broken::Livelock(error @ SimulationError::Outside(_))) = told {
            self.drivers.discard(story.version);
            return Err(DifferentialError::Reference(error));
        }
        Ok(Telling::new(told))
    }

    /// Tells the story of this number, and shrinks it when the two differ.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`].
    pub fn judge(&mut self, draw: &Draw) -> Result<Result<usize, Box<Difference>>, DifferentialError> {
        let first = draw.story()?;
        let judgement = match self.compare(&first)? {
            Comparison::Same(writes) => return Ok(Ok(writes)),
            Comparison::Different(judgement) => judgement,
        };
        let mut difference = Difference { verbs_before: first.verbs.len(), story: first, judgement };
        draw.shrink(|simpler| {
            Ok(match self.compare(simpler)? {
                Comparison::Different(judgement) => {
                    difference.story = simpler.clone();
                    difference.judgement = judgement;
                    true
                }
                Comparison::Same(_) => false,
            })
        })?;
        Ok(Err(Box::new(difference)))
    }
}
