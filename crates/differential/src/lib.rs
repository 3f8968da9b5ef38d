//! Random stories on the model and on the real Job controller: both must tell the same, write by write.
//!
//! A story comes from genes, and genes from proptest, so a story that the two tell differently shrinks to the few verbs
//! that matter. It is then written as a scenario file as the real controller tells it, with its recording: so it fails until
//! the model is mended, on a machine without Go too, and stays afterwards.

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
use std::path::Path;

use towtank_explore::story::{Broken, Story};
use towtank_explore::{Form, scenario_text_on};
use towtank_lockstep::recording::{self, Recording};
use towtank_lockstep::session;
use towtank_lockstep::verdict::{Divergence, Judgement};
use towtank_model::simulation::{Simulation, SimulationError};
use towtank_model::version::KubernetesVersion;
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::DriverError;
use towtank_reference::drivers::Drivers;
use towtank_scenario::ast::Scenario;

pub use draw::{Draw, Kinds};
pub use telling::Telling;

/// Why stories cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DifferentialError {
    /// There is no driver of a version.
    #[error(transparent)]
    NoDriver(DriverError),
    /// The real controller has failed.
    #[error("the real controller of Kubernetes {version} failed: {why}")]
    Reference {
        /// Which.
        version: KubernetesVersion,
        /// What it, or its driver, said.
        why: String,
    },
    /// Something failed in a story.
    #[error("story {number}: {error}")]
    Story {
        /// Its number.
        number: u64,
        /// What.
        error: Box<DifferentialError>,
    },
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

/// A story that the two tell differently, in its shortest form.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The story.
    pub story: Story,
    /// Where they part.
    pub divergence: Box<Divergence>,
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
    pub fn compare(&mut self, story: &Story) -> Result<Judgement, DifferentialError> {
        let real = self.tell(story)?;
        Ok(Telling::of_model(story).compare(&real))
    }

    /// What the real controller makes of a story.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`].
    pub fn tell(&mut self, story: &Story) -> Result<Telling, DifferentialError> {
        let told = story.trace_on(self.simulation(story)?);
        if let (_, Err(broken)) = &told {
            self.heed(story.version, broken)?;
        }
        Ok(Telling::new(told))
    }

    /// A story as a scenario file, which ends as it does with the real controller; or why it has no end.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`].
    pub fn scenario_text(
        &mut self,
        story: &Story,
        name: &str,
        about: &str,
    ) -> Result<Result<String, Broken>, DifferentialError> {
        let text = scenario_text_on(story, self.simulation(story)?, name, about, Form::OfVersion);
        if let Err(broken) = &text {
            self.heed(story.version, broken)?;
        }
        Ok(text)
    }

    /// The simulation of a story, with the real controller.
    fn simulation(&mut self, story: &Story) -> Result<Simulation<RemoteController>, DifferentialError> {
        let version = story.version;
        let failed = |error: DriverError| DifferentialError::Reference { version, why: error.to_string() };
        let driver = self.drivers.get(version).map_err(|error| match error.is_of_the_build() {
            true => DifferentialError::NoDriver(error),
            false => failed(error),
        })?;
        let config = story.configuration();
        let (controller, registry) =
            RemoteController::begin(&driver, &config.controller, story.seed, BTreeMap::new())
                .map_err(failed)?;
        Ok(Simulation::with_parts(config, controller, Some(registry)))
    }

    /// Tells a driver that failed from a story that has no end.
    fn heed(&mut self, version: KubernetesVersion, broken: &Broken) -> Result<(), DifferentialError> {
        let Broken::Livelock(SimulationError::Outside(why)) = broken else { return Ok(()) };
        self.drivers.discard(version);
        Err(DifferentialError::Reference { version, why: why.clone() })
    }

    /// What the real controller writes in a scenario, as its recording.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`]; the scenario cannot be played to its end.
    pub fn record(
        &mut self,
        scenario: &Scenario,
        version: KubernetesVersion,
    ) -> Result<Recording, DifferentialError> {
        let run = session::play_reference(scenario, version, recording::SEED, &mut self.drivers)
            .map_err(|error| DifferentialError::Play(error.to_string()))?;
        if let Some(failure) = &run.failure {
            return Err(DifferentialError::Play(format!("step `{}`: {}", failure.step, failure.cause)));
        }
        let mut recording = Recording::new(&scenario.name);
        recording.take(&run);
        Ok(recording)
    }

    /// Tells the story of this number, and shrinks it when the two differ.
    ///
    /// # Errors
    ///
    /// As for [`Judge::compare`].
    pub fn judge(&mut self, draw: &Draw) -> Result<Result<usize, Box<Difference>>, DifferentialError> {
        let first = draw.story()?;
        let judgement = self.compare(&first)?;
        let mut difference = match judgement {
            Judgement::Diverges(divergence) => {
                Difference { verbs_before: first.verbs.len(), story: first, divergence }
            }
            agreed => return Ok(Ok(agreed.writes_agreed().unwrap_or(0))),
        };
        draw.shrink(|simpler| {
            let Judgement::Diverges(divergence) = self.compare(simpler)? else { return Ok(false) };
            (difference.story, difference.divergence) = (simpler.clone(), divergence);
            Ok(true)
        })?;
        Ok(Err(Box::new(difference)))
    }
}

/// Writes a file, and makes the directories that it lies in.
///
/// # Errors
///
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), DifferentialError> {
    let directory = path.parent().unwrap_or(path);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| DifferentialError::Output(format!("{}: {error}", path.display())))
}
