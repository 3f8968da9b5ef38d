//! What moves a virtual world from instant to instant.

use towtank_model::simulation::{Application, Controller, Simulation};
use towtank_model::time::Time;

use crate::world::WorldError;

/// A simulation, and whoever else lives on its clock.
pub trait Engine {
    /// What reconciles Jobs.
    type Controller: Controller;
    /// What is above it.
    type Upper: Application;

    /// The simulation.
    fn simulation(&self) -> &Simulation<Self::Controller, Self::Upper>;
    /// The simulation.
    fn simulation_mut(&mut self) -> &mut Simulation<Self::Controller, Self::Upper>;
    /// A user is about to do something: what the present instant has to do with must have happened.
    ///
    /// # Errors
    ///
    /// The world cannot go on.
    fn prepare(&mut self) -> Result<(), WorldError> {
        Ok(())
    }
    /// A user has done something at the present instant.
    fn act(&mut self) {}
    /// See [`World::next_instant`](crate::world::World::next_instant).
    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError>;
    /// Whether nothing is going to happen without a further action.
    fn is_quiescent(&self) -> bool;
}

impl<C: Controller, A: Application> Engine for Simulation<C, A> {
    type Controller = C;
    type Upper = A;

    fn simulation(&self) -> &Self {
        self
    }

    fn simulation_mut(&mut self) -> &mut Self {
        self
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let instant = self.step_instant(limit).map_err(|error| WorldError(error.to_string()))?;
        Ok(instant.map(|instant| instant.at))
    }

    fn is_quiescent(&self) -> bool {
        Self::is_quiescent(self)
    }
}
