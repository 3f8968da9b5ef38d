//! Choosing random stories that are worth keeping: few, short, and together showing as much as possible.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use towtank_explore::story::Story;
use towtank_explore::{Form, scenario_text};
use towtank_lockstep::recording;
use towtank_lockstep::session::{self, Task};
use towtank_lockstep::trace_text::{self, TraceLine};
use towtank_lockstep::verdict;
use towtank_lockstep::world::WorldKind;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::NoFiles;
use towtank_scenario::ast::Scenario;

use crate::{DifferentialError, Draw, Kinds, many};

/// Verbs, and lines in a version, of the longest story that is kept.
const VERBS_MAX: usize = 16;
const LINES_MAX: usize = 120;
/// Lines that a story costs however short it is.
const LINES_OF_ANY: usize = 40;

/// What is chosen from.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Seed of the stories.
    pub seed: u64,
    /// How many there are.
    pub stories: u64,
    /// Stories looked at at the same time.
    pub threads: usize,
}

/// A story that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its name, from its number.
    pub name: String,
    /// Its scenario file.
    pub text: String,
}

/// What was chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The stories, by number.
    pub stories: Vec<Chosen>,
    /// Stories of the pool that are true of all versions and not too long.
    pub candidates: usize,
    /// Stories that would have been chosen, but which model and original tell differently in some version.
    pub differing: Vec<String>,
    /// How much there is to be seen in the candidates, and how much of that in the stories chosen.
    pub sights: (usize, usize),
}

struct Candidate {
    name: String,
    text: String,
    scenario: Arc<Scenario>,
    /// What is to be seen in it.
    sights: BTreeSet<String>,
    lines: usize,
}

/// Chooses `count` stories that model and original tell alike in every version.
///
/// # Errors
///
/// The real controller of a version is not there, or has failed.
pub fn choose(pool: Pool, count: usize) -> Result<Choice, DifferentialError> {
    let visited = many::visit(pool.threads, 0..pool.stories, |_, number| {
        Ok(ControlFlow::Continue(candidate(pool.seed, number)?))
    })?;
    let mut candidates: Vec<Candidate> = visited.into_iter().filter_map(|(_, candidate)| candidate).collect();
    let candidates_before = candidates.len();
    let all: BTreeSet<String> = candidates.iter().flat_map(|candidate| candidate.sights.clone()).collect();
    let (mut seen, mut stories, mut differing) = (BTreeSet::new(), Vec::new(), Vec::new());
    while stories.len() < count {
        let picked = pick(&mut candidates, &mut seen.clone(), count - stories.len());
        if picked.is_empty() {
            break;
        }
        for (candidate, agrees) in confirm(picked, pool.threads)? {
            if agrees {
                seen.extend(candidate.sights);
                stories.push(Chosen { name: candidate.name, text: candidate.text });
            } else {
                differing.push(candidate.name);
            }
        }
    }
    stories.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Choice { stories, candidates: candidates_before, differing, sights: (all.len(), seen.len()) })
}

/// The story of this number, when all versions can be told it.
fn candidate(seed: u64, number: u64) -> Result<Option<Candidate>, DifferentialError> {
    let draw = Draw { version: KubernetesVersion::NEWEST, seed, number, kinds: Kinds::All };
    // Recordings are made with one seed.
    let mut story = Story { seed: recording::SEED, ..draw.story()? };
    if story.verbs.len() > VERBS_MAX {
        return Ok(None);
    }
    let name = format!("story-{number:05}");
    let verbs: Vec<String> = story.verbs.iter().map(|verb| verb.name()).collect();
    let about = format!("Random story {number} of seed {seed}: {}.", verbs.join(", "));
    let Ok(text) = scenario_text(&story, &name, &about, Form::OfAllVersions) else { return Ok(None) };
    let Ok(scenario) = towtank_scenario::parse(&name, &text, &NoFiles) else { return Ok(None) };
    let (mut tellings, mut sights) = (Vec::new(), verb_sights(&story));
    for version in KubernetesVersion::all() {
        story.version = version;
        // Told by the file, for what the file picks by name the story picks by position.
        match session::play_model(&scenario, version, recording::SEED) {
            Ok(run) if run.failure.is_none() => tellings.push(trace_text::lines(&run.trace)),
            _ => return Ok(None),
        }
    }
    sights.insert(alike(&tellings));
    sights.extend(tellings.iter().flatten().map(write_sight));
    let lines = tellings.iter().map(Vec::len).max().unwrap_or(0);
    let candidate = Candidate { name, text, scenario: Arc::new(scenario), sights, lines };
    Ok(Some(candidate).filter(|_| lines <= LINES_MAX))
}

/// Which verb follows which, and where.
fn verb_sights(story: &Story) -> BTreeSet<String> {
    let setting = &story.setting;
    let faults = setting.faults.iter().map(|(kind, _, fault)| format!("{kind:?} {fault:?}"));
    let place = format!("{:?} {}", setting.stage, setting.timing.name);
    let pairs = story.verbs.windows(2).filter_map(|pair| match pair {
        [one, other] => Some(format!("{} {}", one.name(), other.name())),
        _ => None,
    });
    pairs.chain(faults).chain([place]).collect()
}

/// Which versions tell the story alike: `aaabbbbccc`.
fn alike(tellings: &[Vec<TraceLine>]) -> String {
    let first = |telling| tellings.iter().position(|other| other == telling).unwrap_or(0);
    tellings.iter().map(|telling| char::from(b'a' + u8::try_from(first(telling)).unwrap_or(0))).collect()
}

/// A write without its numbers.
fn write_sight(line: &TraceLine) -> String {
    let text = line.text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
    format!("{} {}", line.actor, text.collect::<Vec<_>>().join("0"))
}

/// Takes out of the candidates up to `count`, each the one that shows most for its length beyond what was seen before.
fn pick(candidates: &mut Vec<Candidate>, seen: &mut BTreeSet<String>, count: usize) -> Vec<Candidate> {
    let mut picked = Vec::new();
    while picked.len() < count {
        let worth = |candidate: &Candidate| {
            1_000 * candidate.sights.difference(seen).count() / (LINES_OF_ANY + candidate.lines)
        };
        // The first of the best.
        let best = candidates.iter().enumerate().rev().max_by_key(|(_, candidate)| worth(candidate));
        let Some(position) = best.map(|(position, _)| position) else { break };
        let best = candidates.remove(position);
        seen.extend(best.sights.iter().cloned());
        picked.push(best);
    }
    picked
}

/// Whether model and original tell these stories alike in every version.
fn confirm(candidates: Vec<Candidate>, threads: usize) -> Result<Vec<(Candidate, bool)>, DifferentialError> {
    let task = |scenario: &Arc<Scenario>, world, version: KubernetesVersion| Task {
        scenario: Arc::clone(scenario),
        world,
        stack: version.into(),
        seed: recording::SEED,
    };
    let tasks: Vec<Task> = candidates
        .iter()
        .flat_map(|candidate| {
            KubernetesVersion::all().flat_map(|version| {
                [WorldKind::Model, WorldKind::Reference]
                    .map(|world| task(&candidate.scenario, world, version))
            })
        })
        .collect();
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let runs = session::play_tasks(&tasks, threads, |_| {})
        .map_err(|error| DifferentialError::Play(error.to_string()))?;
    let per_candidate = 2 * KubernetesVersion::all().count();
    let agrees = runs.chunks(per_candidate).map(|runs| {
        runs.chunks(2).all(|pair| match pair {
            [model, real] => real.failure.is_none() && verdict::compare(model, real).judgement.is_agreement(),
            _ => false,
        })
    });
    Ok(candidates.into_iter().zip(agrees).collect())
}
