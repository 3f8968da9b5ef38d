//! From a scenario's actions to the simulation's.

use std::sync::Arc;

use towtank_model::cluster::{ActionError, ContainerChoice, ManualStatus, Signal};
use towtank_model::objects::{ConditionStatus, ObjectKey, Pod, PodPhase, TRACKING_FINALIZER, Uid};
use towtank_model::server::{ApiError, JobManifest, PodPatch};
use towtank_model::simulation::{Controller, Simulation};
use towtank_scenario::ast::{Action, ControllerChange, Manifest, PodRef, Spanned};

use super::identity::Identities;
use super::template;
use super::upper::Upper;
use crate::world::{Refusal, RefusedField};

/// Takes an action at the present instant.
pub(super) fn perform<C: Controller, U: Upper>(
    simulation: &mut Simulation<C, U>,
    identities: &Identities,
    manual_pods: bool,
    action: &Action,
) -> Result<(), Refusal> {
    match action {
        Action::Apply(manifests) => apply(simulation, manifests),
        Action::Scale { job, completions, parallelism } => {
            let manifest = JobManifest {
                completions: *completions,
                parallelism: Some(*parallelism),
                ..JobManifest::default()
            };
            answer(simulation.update_job(&job_key(simulation, job), &manifest).map(drop))
        }
        Action::DeleteJob { job, propagation } => {
            answer(simulation.delete_job(&job_key(simulation, job), *propagation))
        }
        Action::DeletePods { pods, grace_period_s } => {
            each(simulation, identities, pods, |simulation, pod| simulation.delete_pod(pod, *grace_period_s))
        }
        Action::Evict { pods } => each(simulation, identities, pods, Simulation::evict_pod),
        Action::EditPod { pod, labels, remove_finalizer } => {
            let uid = stored(simulation, identities, pod)?;
            let patch = pod_patch(labels, remove_finalizer.as_deref());
            answer(simulation.patch_pod(uid, &patch).map(drop))
        }
        Action::Controller(change) => {
            match change {
                ControllerChange::Restart => simulation.restart_controller(),
                ControllerChange::Stop => simulation.stop_controller(),
                ControllerChange::Start => simulation.start_controller(),
            }
            Ok(())
        }
        Action::Cache { kind, hold } => {
            if *hold {
                simulation.hold_cache(*kind);
            } else {
                simulation.release_cache(*kind);
            }
            Ok(())
        }
        Action::TerminateNamespace(namespace) => {
            simulation.terminate_namespace(namespace);
            Ok(())
        }
        Action::PatchJob { job, spec, manifest } => {
            let key = job_key(simulation, job);
            let mut manifest = JobManifest::clone(manifest);
            if let (Some(given), Some(patch)) = (&manifest.template, spec.get("template"))
                && let Some(stored) = simulation.server().job_by_key(&key)
            {
                manifest.template = Some(Arc::new(template::merge(&stored.spec.template, given, patch)));
            }
            answer(simulation.update_job(&key, &manifest).map(drop))
        }
        Action::Signal { pods, signal } => {
            each(simulation, identities, pods, |simulation, pod| simulation.signal(pod, *signal))
        }
        Action::Succeed { pods } => {
            let manual = manual_status(PodPhase::Succeeded, None, None);
            each(simulation, identities, pods, |simulation, pod| {
                end(simulation, manual_pods, pod, ContainerChoice::All, &manual)
            })
        }
        Action::Fail { pods, exit_code, container, condition } => {
            let condition = condition.as_ref().map(|(kind, status)| (Arc::from(kind.as_str()), *status));
            let manual = manual_status(PodPhase::Failed, Some(*exit_code), condition);
            let choice = container.as_deref().map_or(ContainerChoice::First, ContainerChoice::Named);
            each(simulation, identities, pods, |simulation, pod| {
                end(simulation, manual_pods, pod, choice, &manual)
            })
        }
        Action::SetPhase { pods, phase, ready } => {
            let mut status = manual_status(*phase, None, None);
            status.ready = Some(ready.unwrap_or(*phase == PodPhase::Running));
            each(simulation, identities, pods, |simulation, pod| simulation.set_phase(pod, &status))
        }
        Action::Node { name, change } => act(simulation.set_node(name, *change)),
        Action::PatchMiniCluster { name, edit } => {
            simulation.apply_to(|upper, ctx| upper.edit(name, edit, ctx))
        }
        Action::DeleteMiniCluster { name } => simulation.apply_to(|upper, ctx| upper.delete(name, ctx)),
        Action::Flux { minicluster, command } => {
            simulation.apply_to(|upper, ctx| upper.run(minicluster, command, ctx))
        }
        Action::FluxExec { minicluster, rank, signal } => {
            let kills = *signal == Signal::Kill;
            simulation.apply_to(|upper, ctx| upper.signal(minicluster, *rank, kills, ctx))
        }
        // What happens to the operator is the engine's.
        Action::Operator(_) | Action::Wait(_) | Action::Observe => Ok(()),
    }
}

/// Creates what is not there and updates what is, as `kubectl apply` does: a refused object does not keep the others
/// from being applied.
fn apply<C: Controller, U: Upper>(
    simulation: &mut Simulation<C, U>,
    manifests: &[Manifest],
) -> Result<(), Refusal> {
    let mut first = Ok(());
    for manifest in manifests {
        let result = match manifest {
            Manifest::MiniCluster(key, manifest) => {
                let applied = simulation.apply_to(|upper, ctx| upper.apply(key, manifest, ctx));
                if first.is_ok() {
                    first = applied;
                }
                continue;
            }
            Manifest::Job(key, manifest) if simulation.server().job_by_key(key).is_some() => {
                simulation.update_job(key, manifest).map(drop)
            }
            Manifest::Job(key, manifest) => simulation.create_job(key.clone(), manifest).map(drop),
            Manifest::Pod(key, manifest) => simulation.create_pod(key.clone(), manifest).map(drop),
        };
        if first.is_ok() {
            first = answer(result);
        }
    }
    first
}

fn pod_patch(labels: &[(String, Option<String>)], finalizer: Option<&str>) -> PodPatch {
    let is_tracking = finalizer == Some(TRACKING_FINALIZER);
    PodPatch {
        remove_tracking_finalizer: is_tracking,
        remove_finalizer: finalizer.filter(|_| !is_tracking).map(Arc::from),
        labels: labels
            .iter()
            .map(|(key, value)| (Arc::from(key.as_str()), value.as_deref().map(Arc::from)))
            .collect(),
        ..PodPatch::default()
    }
}

/// The Job of this name, in whatever namespace it is.
fn job_key<C: Controller, U: Upper>(simulation: &Simulation<C, U>, name: &str) -> ObjectKey {
    let stored = simulation.server().jobs().find(|job| *job.key.name == *name);
    stored.map_or_else(|| ObjectKey::new("default", name), |job| job.key.clone())
}

/// Does something to each pod, one after the other; the first refusal ends it.
fn each<C: Controller, U: Upper, E>(
    simulation: &mut Simulation<C, U>,
    identities: &Identities,
    pods: &[Spanned<PodRef>],
    mut action: impl FnMut(&mut Simulation<C, U>, Uid) -> Result<(), E>,
) -> Result<(), Refusal>
where
    ActionError: From<E>,
{
    pods.iter().try_for_each(|pod| {
        let uid = stored(simulation, identities, &pod.value)?;
        act(action(simulation, uid).map_err(ActionError::from))
    })
}

/// The containers of a pod end: by hand where no kubelet runs them.
fn end<C: Controller, U: Upper>(
    simulation: &mut Simulation<C, U>,
    manual_pods: bool,
    pod: Uid,
    containers: ContainerChoice<'_>,
    status: &ManualStatus,
) -> Result<(), ActionError> {
    if manual_pods {
        simulation.set_phase(pod, status)
    } else {
        simulation.exit(pod, containers, status.exit_code.unwrap_or(0), status.condition.clone())
    }
}

const fn manual_status(
    phase: PodPhase,
    exit_code: Option<i32>,
    condition: Option<(Arc<str>, ConditionStatus)>,
) -> ManualStatus {
    ManualStatus { phase, exit_code, condition, ready: None }
}

fn act(result: Result<(), ActionError>) -> Result<(), Refusal> {
    match result {
        Ok(()) => Ok(()),
        Err(ActionError::Refused(error)) => answer(Err(error)),
        Err(error @ (ActionError::NoSuchContainer(_) | ActionError::NoSuchNode(_))) => {
            Err(Refusal::new("NotFound", error.to_string()))
        }
        Err(error @ ActionError::NotRunning) => Err(Refusal::new("NotRunning", error.to_string())),
    }
}

/// The pod that a scenario means, which must be stored.
fn stored<C: Controller, U: Upper>(
    simulation: &Simulation<C, U>,
    identities: &Identities,
    pod: &PodRef,
) -> Result<Uid, Refusal> {
    let server = simulation.server();
    let found: Option<&Arc<Pod>> = identities.resolve(server, pod).and_then(|uid| server.pod(uid));
    found.map(|pod| pod.uid).ok_or_else(|| {
        let mut there: Vec<String> = server
            .pods()
            .filter_map(|pod| identities.of(pod.uid))
            .map(|known| known.masked_name.clone())
            .collect();
        there.sort();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Refusal::new("NotFound", format!("there is no pod {} now; there are: {there}", pod_text(pod)))
    })
}

fn pod_text(pod: &PodRef) -> String {
    match pod {
        PodRef::Indexed { job, index, incarnation: None } => format!("{job}-{index}"),
        PodRef::Indexed { job, index, incarnation: Some(nth) } => format!("{job}-{index} (number {nth})"),
        PodRef::Numbered { job, number } => format!("number {number} of {job}"),
        PodRef::Named(name) => name.clone(),
    }
}

fn answer(result: Result<(), ApiError>) -> Result<(), Refusal> {
    result.map_err(|error| {
        let reason = match &error {
            ApiError::NotFound { .. } => "NotFound",
            ApiError::AlreadyExists { .. } => "AlreadyExists",
            ApiError::Conflict { .. } => "Conflict",
            ApiError::Invalid { .. } => "Invalid",
            ApiError::Forbidden(_) | ApiError::NamespaceTerminating(_) => "Forbidden",
            ApiError::Unreachable | ApiError::AnswerLost => "ServiceUnavailable",
        };
        let fields = match &error {
            ApiError::Invalid { errors, .. } => errors.iter().map(field).collect(),
            _ => Vec::new(),
        };
        Refusal { reason: reason.to_owned(), message: error.to_string(), fields }
    })
}

fn field(error: &towtank_model::admission::FieldError) -> RefusedField {
    RefusedField {
        field: error.field.clone(),
        kind: format!("{:?}", error.kind),
        detail: error.detail.clone(),
    }
}
