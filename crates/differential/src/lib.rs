//! Random stories on the model and on the real Job controller: both must tell the same, write by write.
//!
//! A story comes from genes, and genes from proptest, so a story that the two tell differently shrinks to the few verbs
//! that matter. It is then written as a scenario file, which fails until the model is mended and stays afterwards.

pub mod clock;
pub mod defects;
pub mod hunt;
pub mod many;
#[cfg(feature = "mutants")]
pub mod mutants;
mod shorten;
mod telling;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use towtank_explore::story::{Broken, Story};
use towtank_lockstep::verdict::Judgement;
use towtank_model::simulation::{Simulation, SimulationError};
use towtank_model::version::KubernetesVersion;
use towtank_reference::controller::RemoteController;
use towtank_reference::driver::DriverError;
use towtank_reference::drivers::Drivers;

pub use telling::Telling;

/// Verbs of the longest story.
const VERBS_MAX: usize = 24;
/// Tries that shrinking may take.
const SHRINKING_MAX: usize = 1_000;

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
    pub fn judge(
        &mut self,
        version: KubernetesVersion,
        seed: u64,
        number: u64,
    ) -> Result<Result<usize, Box<Difference>>, DifferentialError> {
        let first = story_of(version, seed, number)?;
        let judgement = match self.compare(&first)? {
            Comparison::Same(writes) => return Ok(Ok(writes)),
            Comparison::Different(judgement) => judgement,
        };
        let mut difference = Difference { verbs_before: first.verbs.len(), story: first, judgement };
        shrink(version, seed, number, |simpler| {
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

/// The story of this number.
///
/// # Errors
///
/// The generator gave up.
pub fn story_of(version: KubernetesVersion, seed: u64, number: u64) -> Result<Story, DifferentialError> {
    Ok(decode(version, &genes(seed, number)?.current()))
}

/// Shows simpler and simpler forms of a story to `still`, which says whether that one still has what it is about; the
/// last one that has is the simplest.
fn shrink(
    version: KubernetesVersion,
    seed: u64,
    number: u64,
    mut still: impl FnMut(&Story) -> Result<bool, DifferentialError>,
) -> Result<(), DifferentialError> {
    let mut tree = genes(seed, number)?;
    let mut simplest = decode(version, &tree.current());
    let mut goes_on = tree.simplify();
    for _ in 0..SHRINKING_MAX {
        if !goes_on {
            break;
        }
        let simpler = decode(version, &tree.current());
        goes_on = if still(&simpler)? {
            simplest = simpler;
            tree.simplify()
        } else {
            tree.complicate()
        };
    }
    shorten::shorten(&mut simplest, still)
}

fn decode(version: KubernetesVersion, genes: &Genes) -> Story {
    Story::from_genes(version, genes.seed, genes.setting, genes.job, &genes.verbs)
}

/// What a story is decoded from.
#[derive(Clone, Debug)]
struct Genes {
    seed: u64,
    setting: u64,
    job: u128,
    verbs: Vec<u64>,
}

/// The genes of a story depend on the seed and its number alone, so that stories can be told in any order.
fn genes(seed: u64, number: u64) -> Result<impl ValueTree<Value = Genes>, DifferentialError> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let verbs = prop::collection::vec(any::<u64>(), 1..=VERBS_MAX);
    let strategy = (0_u64..1_000, any::<u64>(), any::<u128>(), verbs)
        .prop_map(|(seed, setting, job, verbs)| Genes { seed, setting, job, verbs });
    strategy.new_tree(&mut runner).map_err(|reason| DifferentialError::NoStory(reason.to_string()))
}
