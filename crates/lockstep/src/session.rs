//! Many runs at once: scenarios times versions, on as many threads as are wanted, in an order that does not depend on
//! them.

use std::cell::RefCell;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use towtank_reference::driver::Driver;
use towtank_reference::drivers::Drivers;
use towtank_scenario::ast::{Scenario, Stack};

use crate::run::Run;
use crate::runner::{self, Limits, Setting};
use crate::virtual_world::{
    EmbeddedWorld, Engine, ModelWorld, OpenWorld, ReferenceWorld, SetupError, Upper, VirtualWorld,
};
use crate::world::WorldKind;

/// Plays `scenario` once on the model.
///
/// # Errors
///
/// The model cannot be set up as the scenario wants it in this version.
pub fn play_model(scenario: &Scenario, stack: impl Into<Stack>, seed: u64) -> Result<Run, SetupError> {
    let stack = stack.into();
    let mut world = ModelWorld::new(scenario, stack, seed)?;
    Ok(runner::play(scenario, &mut world, Setting { stack, seed }, Limits::default()))
}

/// Plays `scenario` once in the world `embedded`.
///
/// # Errors
///
/// It cannot be set up as the scenario wants it in this version.
pub fn play_embedded(scenario: &Scenario, stack: impl Into<Stack>, seed: u64) -> Result<Run, SetupError> {
    let stack = stack.into();
    let mut world = EmbeddedWorld::new(scenario, stack, seed)?;
    Ok(runner::play(scenario, &mut world, Setting { stack, seed }, Limits::default()))
}

/// Plays `scenario` once in the reference.
///
/// # Errors
///
/// There is no driver of this version, it cannot be set up as the scenario wants it, or it fails on the way.
pub fn play_reference(
    scenario: &Scenario,
    stack: impl Into<Stack>,
    seed: u64,
    drivers: &mut Drivers,
) -> Result<Run, SetupError> {
    play_in_driver(scenario, stack.into(), seed, drivers, ReferenceWorld::begin)
}

/// Plays `scenario` once in the world `reference-open`.
///
/// # Errors
///
/// As for the reference.
pub fn play_reference_open(
    scenario: &Scenario,
    stack: impl Into<Stack>,
    seed: u64,
    drivers: &mut Drivers,
) -> Result<Run, SetupError> {
    play_in_driver(scenario, stack.into(), seed, drivers, OpenWorld::begin)
}

fn play_in_driver<E: Engine<Upper: Upper>>(
    scenario: &Scenario,
    stack: Stack,
    seed: u64,
    drivers: &mut Drivers,
    begin: impl FnOnce(&Scenario, Stack, u64, &Rc<RefCell<Driver>>) -> Result<VirtualWorld<E>, SetupError>,
) -> Result<Run, SetupError> {
    let failed = |why: &dyn Display| {
        let name = &scenario.name;
        SetupError::Driver(format!(
            "the reference failed in `{name}` (Kubernetes {stack}, seed {seed}): {why}"
        ))
    };
    let driver = drivers.get(stack.kubernetes).map_err(|error| match error.is_of_the_build() {
        true => SetupError::Driver(error.to_string()),
        false => failed(&error),
    })?;
    let mut world = begin(scenario, stack, seed, &driver).map_err(|error| match error {
        SetupError::Driver(why) => failed(&why),
        error => error,
    })?;
    let run = runner::play(scenario, &mut world, Setting { stack, seed }, Limits::default());
    // Whatever the run has come to: it was not the real controller that brought it there.
    if let Some(why) = world.simulation().failure() {
        drivers.discard(stack.kubernetes);
        return Err(failed(&why));
    }
    Ok(run)
}

/// One run that is to be made.
#[derive(Clone, Debug)]
pub struct Task {
    /// What is played.
    pub scenario: Arc<Scenario>,
    /// Where.
    pub world: WorldKind,
    /// As which versions.
    pub stack: Stack,
    /// With which random numbers.
    pub seed: u64,
}

/// Plays all tasks on up to `threads` threads; `progress` hears of each run that has ended, from one thread. The runs
/// come back in the order of the tasks.
///
/// # Errors
///
/// The first task, in their order, whose world could not be set up.
pub fn play_tasks(
    tasks: &[Task],
    threads: NonZeroUsize,
    mut progress: impl FnMut(&Task),
) -> Result<Vec<Run>, SetupError> {
    let mut results: Vec<Option<Result<Run, SetupError>>> = Vec::new();
    results.resize_with(tasks.len(), || None);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(tasks.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                let mut drivers = Drivers::default();
                while let Some((position, task)) = take(tasks, next) {
                    let result = play(task, &mut drivers);
                    if result.is_err() {
                        // What is not there for one task is not there for the others: each would wait for it again.
                        next.fetch_max(tasks.len(), Ordering::Relaxed);
                    }
                    if sender.send((position, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (position, result) in receiver {
            progress(&tasks[position]);
            results[position] = Some(result);
        }
    });
    results.into_iter().flatten().collect()
}

fn play(task: &Task, drivers: &mut Drivers) -> Result<Run, SetupError> {
    match task.world {
        WorldKind::Reference => play_reference(&task.scenario, task.stack, task.seed, drivers),
        WorldKind::ReferenceOpen => play_reference_open(&task.scenario, task.stack, task.seed, drivers),
        WorldKind::Embedded => play_embedded(&task.scenario, task.stack, task.seed),
        WorldKind::Model | WorldKind::Cluster => play_model(&task.scenario, task.stack, task.seed),
    }
}

fn take<'a>(tasks: &'a [Task], next: &AtomicUsize) -> Option<(usize, &'a Task)> {
    let position = next.fetch_add(1, Ordering::Relaxed);
    tasks.get(position).map(|task| (position, task))
}
