//! What users type at the lead, and the signals that they send to brokers.

use std::time::Duration;

use towtank_flux::command::{self, Code};
use towtank_flux::instance::Instance;
use towtank_flux::time::Draw;
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::{Brokers, Lots, instant};

/// Why a command comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no Flux of this name.
    #[error("minicluster `{0}` not found")]
    NotFound(String),
    /// What Flux says is wrong, and what there is.
    #[error("{0}")]
    Flux(String),
    /// The model does not know the command, or not in this form.
    #[error("the model does not know `{0}`; of `flux …` it knows {known}, not all in every form", known = command::COMMANDS.join(", "))]
    Unknown(String),
}

impl Brokers {
    /// A command typed at the lead, such as `flux resource drain 2`. One that waits for something goes on by itself, as with `&`
    /// behind it.
    ///
    /// # Errors
    ///
    /// There is no such Flux, the model does not know the command, or Flux says that something is wrong: also, that no lead
    /// answers.
    pub fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), CommandError> {
        let flux = self.fluxes.get_mut(name).ok_or_else(|| CommandError::NotFound(name.to_owned()))?;
        let answer =
            command::run(&mut flux.instance, instant(ctx.now), Duration::ZERO, line, &mut Lots(ctx.random));
        let (answer, _) = answer.ok_or_else(|| CommandError::Unknown(line.to_owned()))?;
        let refusal = matches!(answer.code, Code::Exit(code) if code != 0)
            .then(|| CommandError::Flux(with_alternatives(&flux.instance, answer.stderr.trim())));
        self.settle(ctx.now);
        refusal.map_or(Ok(()), Err)
    }

    /// What a command that changes nothing would print at the lead now, such as `flux resource list`, which is nothing where no lead
    /// answers; `None`: there is no such Flux, or the model does not know the command.
    pub fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        struct Fixed;
        impl Draw for Fixed {
            fn unit(&mut self) -> f64 {
                0.5
            }
        }
        // Looking changes nothing: it is done to a copy.
        let mut instance = self.get(name)?.instance.clone();
        let (answer, _) = command::run(&mut instance, instant(now), Duration::ZERO, line, &mut Fixed)?;
        Some(answer.stdout)
    }

    /// SIGTERM or SIGKILL reaches the broker of a rank, and not the script around it.
    ///
    /// # Errors
    ///
    /// There is no such Flux or rank, or no broker runs there.
    pub fn signal(
        &mut self,
        name: &str,
        rank: u32,
        kills: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), CommandError> {
        let flux = self.fluxes.get_mut(name).ok_or_else(|| CommandError::NotFound(name.to_owned()))?;
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        flux.instance.advance(at, draw);
        let sent = match kills {
            true => flux.instance.broker_killed(at, rank, draw),
            false => flux.instance.broker_terminated(at, rank, draw),
        };
        let sent =
            sent.map_err(|error| CommandError::Flux(with_alternatives(&flux.instance, &error.to_string())));
        self.settle(ctx.now);
        sent
    }
}

/// What Flux says is wrong, and, if that is a name, which there are.
fn with_alternatives(instance: &Instance, message: &str) -> String {
    const JOBS_MAX: usize = 5;
    const NO_SUCH_RANK: [&str; 5] =
        ["invalid targets", "idset is out of range", "invalid hosts", "is neither a rank", "invalid rank"];
    const NO_SUCH_JOB: [&str; 3] = ["unknown job id", "not found", "No such job"];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let mut text = message.to_owned();
    if says(&NO_SUCH_RANK) {
        let overlay = instance.overlay();
        let last = overlay.size().saturating_sub(1);
        text.push_str(&format!(" (its ranks are 0-{last}, its hosts {})", overlay.hosts()));
    }
    if let Some(jobs) = instance.jobs().filter(|_| says(&NO_SUCH_JOB)) {
        let mut ids: Vec<String> = jobs.newest().take(JOBS_MAX + 1).map(|id| id.to_string()).collect();
        if let Some(rest) = ids.get_mut(JOBS_MAX) {
            *rest = "…".to_owned();
        }
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        text.push_str(&format!(" (its jobs: {ids})"));
    }
    text
}
