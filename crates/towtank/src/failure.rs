//! What keeps a command from doing its work: bad usage or bad files (exit code 2), a world that cannot be had (3).

use std::io::{self, Write as _};
use std::process::ExitCode;

use miette::{GraphicalReportHandler, GraphicalTheme};
use towtank_lockstep::explanation::ExplainError;
use towtank_lockstep::observed::ObservationError;
use towtank_lockstep::recording::RecordingError;
use towtank_lockstep::virtual_world::SetupError;
use towtank_lockstep::world::WorldKind;
use towtank_scenario::ScenarioError;

/// All expectations hold.
pub(crate) const AGREE: u8 = 0;
/// An expectation failed or worlds diverge.
pub(crate) const DISAGREE: u8 = 1;
/// Bad usage or a bad file.
const BAD_INPUT: u8 = 2;
/// A world could not be had.
pub(crate) const NO_WORLD: u8 = 3;

/// Columns that messages are wrapped to, whatever the terminal.
const WIDTH: usize = 120;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Files that are no scenarios.
    #[error("{} invalid", plural(.0.len(), "file"))]
    Scenarios(Vec<ScenarioError>),
    /// Anything else that the user can put right.
    #[error("{0}")]
    Usage(String),
    /// A world that another command plays in.
    #[error("the world `{0}` takes real time: `towtank e2e` plays in it")]
    NoWorld(WorldKind),
    /// A real control plane cannot be had.
    #[error("{0}")]
    NoCluster(String),
    /// The model does not play a scenario in a version, or the reference cannot be had.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A recording is of no use.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// What was observed of real clusters is of no use.
    #[error(transparent)]
    Observation(#[from] ObservationError),
    /// It is of another story than the scenario, or the model cannot explain this one.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Output cannot be written.
    #[error("cannot write {what}: {error}")]
    Output {
        /// What was to be written.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}

impl Failure {
    const fn code(&self) -> u8 {
        match self {
            Self::NoWorld(_) | Self::NoCluster(_) | Self::Setup(SetupError::Driver(_)) => NO_WORLD,
            Self::Scenarios(_)
            | Self::Usage(_)
            | Self::Setup(_)
            | Self::Recording(_)
            | Self::Observation(_)
            | Self::Explain(_)
            | Self::Output { .. } => BAD_INPUT,
        }
    }

    /// Tells the user and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut stderr = anstream::stderr().lock();
        if let Self::Scenarios(errors) = self {
            for error in errors {
                let _ = write!(stderr, "{}", rendered(error));
            }
        }
        // When stderr is closed there is nobody to tell.
        let _ = writeln!(stderr, "error: {self}");
        ExitCode::from(self.code())
    }
}

/// A message at its place in the file, as `rustc` would print it.
pub(crate) fn rendered(error: &ScenarioError) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(WIDTH).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, error) {
        Ok(()) => text,
        // Only a broken span could bring this about; the message itself is never lost.
        Err(_) => format!("{error}\n"),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
