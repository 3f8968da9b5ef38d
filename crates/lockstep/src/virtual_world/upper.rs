//! What is above the Job controller in a virtual world: the model of an operator, or a real one behind an API server.

use towtank_flux::instance::Instance;
use towtank_minicluster::brokers::CommandError;
use towtank_minicluster::fleet::{Fleet, FleetError, MiniCluster};
use towtank_minicluster::spec::{Fault, MiniClusterSpec};
use towtank_model::objects::ObjectKey;
use towtank_model::server::Server;
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;
use towtank_scenario::ast::{MiniClusterEdit, MiniClusterManifest};
use towtank_scenario::observation::{FluxView, MiniClusterSpecView, MiniClusterStatusView, MiniClusterView};

use crate::world::{Refusal, RefusedField};

/// Carries out the steps that are about MiniClusters and their Flux, and shows them.
pub trait Upper: Application {
    /// A user applies a MiniCluster: it is created, or takes this spec.
    fn apply(
        &mut self,
        key: &ObjectKey,
        manifest: &MiniClusterManifest,
        ctx: &mut Context<'_>,
    ) -> Result<(), Refusal>;
    /// A user patches its spec.
    fn edit(&mut self, name: &str, edit: &MiniClusterEdit, ctx: &mut Context<'_>) -> Result<(), Refusal>;
    /// A user deletes it.
    fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), Refusal>;
    /// A command typed at its lead.
    fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), Refusal>;
    /// A signal for the broker of a rank.
    fn signal(&mut self, name: &str, rank: u32, kills: bool, ctx: &mut Context<'_>) -> Result<(), Refusal>;
    /// What a command would print at the lead now.
    fn print(&self, name: &str, line: &str, now: Time) -> Option<String>;
    /// All MiniClusters that there are.
    fn views(&self, server: &Server) -> Vec<MiniClusterView>;
}

impl Upper for Fleet {
    fn apply(
        &mut self,
        key: &ObjectKey,
        manifest: &MiniClusterManifest,
        ctx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        Self::apply(self, key, manifest.spec.clone(), ctx).map_err(refusal)
    }

    fn edit(&mut self, name: &str, edit: &MiniClusterEdit, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        let change = |spec: &mut MiniClusterSpec| {
            spec.size = edit.size.unwrap_or(spec.size);
            spec.max_size = edit.max_size.unwrap_or(spec.max_size);
            spec.min_size = edit.min_size.unwrap_or(spec.min_size);
        };
        Self::edit(self, name, change, ctx).map_err(refusal)
    }

    fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        Self::delete(self, name, ctx).map_err(refusal)
    }

    fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        Self::run(self, name, line, ctx).map_err(refusal)
    }

    fn signal(&mut self, name: &str, rank: u32, kills: bool, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        Self::signal(self, name, rank, kills, ctx).map_err(refusal)
    }

    fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        Self::print(self, name, line, now)
    }

    fn views(&self, server: &Server) -> Vec<MiniClusterView> {
        self.iter().map(|(name, minicluster)| view(name, minicluster, server)).collect()
    }
}

fn view(name: &str, minicluster: MiniCluster<'_>, server: &Server) -> MiniClusterView {
    let status = minicluster.status(server);
    MiniClusterView {
        name: name.to_owned(),
        exists: true,
        spec: MiniClusterSpecView { size: minicluster.spec().size.into() },
        status: MiniClusterStatusView {
            size: status.size.into(),
            ready: status.ready.into(),
            online: status.online.into(),
            completed_indexes: status.completed_indexes,
            maximum_size: status.maximum_size.into(),
            conditions: status.conditions.into_iter().map(str::to_owned).collect(),
        },
        refusal: minicluster.refusal().unwrap_or_default().to_owned(),
        flux: flux_view(minicluster.instance()),
    }
}

/// A Flux instance as its lead tells it.
pub(super) fn flux_view(instance: &Instance) -> FluxView {
    let count = |ranks: usize| i64::try_from(ranks).unwrap_or(i64::MAX);
    FluxView {
        up: instance.jobs().is_some(),
        running: instance.runs(),
        online: count(instance.overlay().online().len()),
        drained: count(instance.resources().map_or(0, |resources| resources.drained().len())),
        jobs: count(instance.jobs().map_or(0, |jobs| jobs.unfinished())),
    }
}

/// What a MiniCluster's rules say, as the API server would.
fn refusal(error: FleetError) -> Refusal {
    let message = error.to_string();
    match error {
        FleetError::NotFound(_) => Refusal::new("NotFound", message),
        FleetError::Command(error) => command_refusal(&error),
        FleetError::Invalid { faults, .. } => {
            let field = |fault: Fault| RefusedField {
                field: fault.field,
                kind: "Invalid".to_owned(),
                detail: fault.why,
            };
            let fields = faults.into_iter().map(field).collect();
            Refusal { reason: "Invalid".to_owned(), message, fields }
        }
    }
}

/// What Flux says, or that the model does not know the command.
pub(super) fn command_refusal(error: &CommandError) -> Refusal {
    let message = error.to_string();
    match error {
        CommandError::NotFound(_) => Refusal::new("NotFound", message),
        CommandError::Flux(_) => Refusal::new("Flux", message),
        CommandError::Unknown(_) => Refusal::not_modelled(message),
    }
}
