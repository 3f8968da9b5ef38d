//! What one side makes of a story.

use towtank_explore::story::{Broken, Story};
use towtank_lockstep::trace_text::{self, TraceLine};
use towtank_lockstep::verdict::{self, Judgement};
use towtank_model::server::TraceEntry;
use towtank_model::simulation::{Simulation, SimulationError};
use towtank_model::version::Features;

/// The writes of a story.
#[derive(Clone, Debug)]
pub struct Telling(Vec<TraceLine>);

impl Telling {
    /// A story that does not come to rest ends with a line that says so, in the place of the instant that has no end: how
    /// much was written in it says nothing.
    pub(crate) fn new((trace, told): (Vec<TraceEntry>, Result<(), Broken>)) -> Self {
        let mut lines = trace_text::lines(&trace);
        if let Err(broken) = told {
            let at = match broken {
                Broken::Livelock(SimulationError::Livelock { at, .. }) | Broken::Violation(at, _) => Some(at),
                Broken::Livelock(SimulationError::Outside(_)) => lines.last().map(|line| line.at),
            };
            let at = at.unwrap_or_default();
            lines.retain(|line| line.at < at);
            let text = "the story does not come to rest".to_owned();
            let end = TraceLine { at, actor: "nobody", text, job: None, is_refused: false, is_event: false };
            lines.push(end);
        }
        Self(lines)
    }

    /// What the model makes of it.
    pub fn of_model(story: &Story) -> Self {
        Self::new(story.trace_on(Simulation::new(story.configuration())))
    }

    /// What a model makes of it that behaves like this.
    pub fn of_model_with(story: &Story, features: Features) -> Self {
        let mut config = story.configuration();
        config.features = features;
        Self::new(story.trace_on(Simulation::new(config)))
    }

    /// Its writes.
    pub fn lines(&self) -> &[TraceLine] {
        &self.0
    }

    /// Whether another tells the same.
    pub fn compare(&self, other: &Self) -> Judgement {
        verdict::compare_lines(self.0.clone(), other.0.clone())
    }

    /// The same, when nobody asks where they part.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.compare(other).is_agreement()
    }
}
