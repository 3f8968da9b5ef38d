//! What users type at the lead, and the signals that they send to brokers.

use std::time::Duration;

use towtank_flux::command::{self, Answer, Code};
use towtank_flux::time::Draw;
use towtank_model::simulation::Context;
use towtank_model::time::Time;

use super::{Fleet, FleetError, Lots, instant};

impl Fleet {
    /// A command typed at the lead, such as `flux resource list`. `None`: the model does not know the command, or no lead answers.
    ///
    /// # Errors
    ///
    /// [`FleetError::NotFound`].
    pub fn run(
        &mut self,
        name: &str,
        line: &str,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Answer>, FleetError> {
        let cluster = self.clusters.get_mut(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let answer = command::run(
            &mut cluster.instance,
            instant(ctx.now),
            Duration::ZERO,
            line,
            &mut Lots(ctx.random),
        );
        self.settle(ctx.now);
        Ok(answer.map(|(answer, _)| answer))
    }

    /// What a command that changes nothing would print at the lead now, such as `flux resource list`; `None`: no lead answers.
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
    /// There is no such MiniCluster or rank, or no broker runs there.
    pub fn signal(
        &mut self,
        name: &str,
        rank: u32,
        kills: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), FleetError> {
        let cluster = self.clusters.get_mut(name).ok_or_else(|| FleetError::NotFound(name.to_owned()))?;
        let (at, draw) = (instant(ctx.now), &mut Lots(ctx.random));
        cluster.instance.advance(at, draw);
        let sent = match kills {
            true => cluster.instance.broker_killed(at, rank, draw),
            false => cluster.instance.broker_terminated(at, rank, draw),
        };
        self.settle(ctx.now);
        sent.map_err(|error| FleetError::Flux(error.to_string()))
    }
}

/// Whether a command has failed; one that waits has not.
pub fn has_failed(answer: &Answer) -> bool {
    matches!(answer.code, Code::Exit(code) if code != 0)
}
