//! Drawing stories by number.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use towtank_explore::story::Story;
use towtank_explore::verbs::VERB_KINDS;
use towtank_model::version::KubernetesVersion;

use crate::{DifferentialError, shorten};

/// Verbs of the longest story.
pub(crate) const VERBS_MAX: usize = 24;
/// Tries that shrinking may take.
const SHRINKING_MAX: usize = 1_000;

/// Which verbs a story is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// All there are.
    All,
    /// A few, others in every story, so that those which are seldom chosen come together and again and again.
    Few,
}

/// A story to be drawn. It depends on nothing else, so stories can be told in any order.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// The version in which it happens.
    pub version: KubernetesVersion,
    /// Another seed, other stories.
    pub seed: u64,
    /// The number of the story.
    pub number: u64,
    /// What it is made of.
    pub kinds: Kinds,
}

impl Draw {
    /// The story.
    ///
    /// # Errors
    ///
    /// The generator gave up.
    pub fn story(&self) -> Result<Story, DifferentialError> {
        Ok(self.decode(&self.genes()?.current()))
    }

    /// Shows simpler and simpler forms of the story to `still`, which says whether that one still has what it is about;
    /// the last one that has is the simplest.
    pub(crate) fn shrink(
        &self,
        mut still: impl FnMut(&Story) -> Result<bool, DifferentialError>,
    ) -> Result<(), DifferentialError> {
        let mut tree = self.genes()?;
        let mut simplest = self.decode(&tree.current());
        let mut goes_on = tree.simplify();
        for _ in 0..SHRINKING_MAX {
            if !goes_on {
                break;
            }
            let simpler = self.decode(&tree.current());
            goes_on = if still(&simpler)? {
                simplest = simpler;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        shorten::shorten(&mut simplest, still)
    }

    fn decode(&self, genes: &Genes) -> Story {
        Story::from_genes(self.version, genes.seed, genes.setting, genes.job, &genes.verbs)
    }

    fn genes(&self) -> Result<Box<dyn ValueTree<Value = Genes>>, DifferentialError> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        let verbs = prop::collection::vec(any::<u64>(), 1..=VERBS_MAX);
        let rest = (0_u64..1_000, any::<u64>(), any::<u128>());
        let tree = match self.kinds {
            Kinds::All => (rest, verbs)
                .prop_map(|((seed, setting, job), verbs)| Genes { seed, setting, job, verbs })
                .boxed()
                .new_tree(&mut runner),
            Kinds::Few => (rest, prop::collection::vec(0..VERB_KINDS, 3..=10), verbs)
                .prop_map(|((seed, setting, job), kinds, mut verbs)| {
                    verbs.iter_mut().for_each(|gene| *gene = one_of(&kinds, *gene));
                    Genes { seed, setting, job, verbs }
                })
                .boxed()
                .new_tree(&mut runner),
        };
        tree.map_err(|reason| DifferentialError::NoStory(reason.to_string()))
    }
}

/// What a story is decoded from.
#[derive(Clone, Debug)]
struct Genes {
    seed: u64,
    setting: u64,
    job: u128,
    verbs: Vec<u64>,
}

/// A gene like this one, with a verb of one of these kinds.
fn one_of(kinds: &[u64], gene: u64) -> u64 {
    let (kind, rest) = (gene % VERB_KINDS, gene / VERB_KINDS);
    let place = usize::try_from(kind).unwrap_or(0) % kinds.len().max(1);
    // The largest genes have no room for a larger kind.
    kinds.get(place).map_or(gene, |kind| (rest * VERB_KINDS).saturating_add(*kind))
}
