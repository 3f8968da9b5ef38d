//! What moves a virtual world from instant to instant.

use towtank_minicluster::fleet::Fleet;
use towtank_model::simulation::{Application, Controller, Simulation};
use towtank_model::time::Time;
use towtank_scenario::ast::{OperatorChange, Replicas};

use crate::world::{Refusal, WorldError};

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
    /// Something happens to the operator.
    fn operate(&mut self, change: &OperatorChange) -> Result<(), Refusal>;
    /// See [`World::next_instant`](crate::world::World::next_instant).
    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError>;
    /// Whether nothing is going to happen without a further action.
    fn is_quiescent(&self) -> bool;
}

impl<C: Controller> Engine for Simulation<C, Fleet> {
    type Controller = C;
    type Upper = Fleet;

    fn simulation(&self) -> &Self {
        self
    }

    fn simulation_mut(&mut self) -> &mut Self {
        self
    }

    /// The model's operator decides and writes at one instant, and nothing comes between: its requests and watches cannot go wrong, and another
    /// process of it knows all that the one before it knew.
    fn operate(&mut self, change: &OperatorChange) -> Result<(), Refusal> {
        self.apply_to(|fleet, ctx| match change {
            OperatorChange::Restart(Replicas::All) => {
                fleet.stop_operator(true);
                fleet.start_operator(ctx.now);
            }
            OperatorChange::Start => fleet.start_operator(ctx.now),
            OperatorChange::Stop(who) => fleet.stop_operator(*who == Replicas::All),
            OperatorChange::Hold => fleet.hold_operator(true, ctx.now),
            OperatorChange::Release => fleet.hold_operator(false, ctx.now),
            OperatorChange::Restart(Replicas::Leader) | OperatorChange::Faults(_) => {}
        });
        Ok(())
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let instant = self.step_instant(limit).map_err(|error| WorldError(error.to_string()))?;
        Ok(instant.map(|instant| instant.at))
    }

    fn is_quiescent(&self) -> bool {
        Self::is_quiescent(self)
    }
}
