//! What one side makes of a story.

use towtank_explore::story::{Broken, Story};
use towtank_lockstep::trace_text::{self, TraceLine};
use towtank_lockstep::verdict::{self, Judgement};
use towtank_model::server::TraceEntry;
use towtank_model::simulation::Simulation;
use towtank_model::version::Features;

/// The writes of a story, or why it does not come to rest.
#[derive(Clone, Debug)]
pub struct Telling(Result<Vec<TraceLine>, String>);

impl Telling {
    pub(crate) fn new(told: Result<Vec<TraceEntry>, Broken>) -> Self {
        Self(told.map(|trace| trace_text::lines(&trace)).map_err(|broken| broken.to_string()))
    }

    /// What the model makes of it.
    pub fn of_model(story: &Story) -> Self {
        Self::new(story.trace())
    }

    /// What a model makes of it that behaves like this.
    pub fn of_model_with(story: &Story, features: Features) -> Self {
        let mut config = story.configuration();
        config.features = features;
        Self::new(story.trace_on(Simulation::new(config)))
    }

    /// Its writes; none when it does not come to rest.
    pub fn lines(&self) -> &[TraceLine] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether another tells the same.
    pub fn compare(&self, other: &Self) -> Judgement {
        match (&self.0, &other.0) {
            // Neither comes to rest: then both have said so at the same instant, or one of them is wrong.
            (Err(one), Err(other)) if one == other => Judgement::Agrees { writes: 1 },
            _ => verdict::compare_lines(self.lines().to_vec(), other.lines().to_vec()),
        }
    }

    /// The same, when nobody asks where they part.
    pub fn agrees_with(&self, other: &Self) -> bool {
        matches!(self.compare(other), Judgement::Agrees { .. })
    }
}
