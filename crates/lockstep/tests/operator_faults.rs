//! What the stories under `scenarios/operator-faults` say goes wrong does go wrong in the world `embedded`.

use std::path::Path;

use towtank_lockstep::runner::{self, Limits, Setting};
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_scenario::ast::{Action, OperatorChange, VersionRange};

/// A fault that meets nothing would leave a story that tells of nothing.
#[test]
fn every_fault_meets_its_request_or_event() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/operator-faults");
    let (mut faults, mut runs) = (0, 0);
    for file in std::fs::read_dir(stories).expect("the stories are there").flatten() {
        let scenario = towtank_scenario::load(&file.path()).unwrap_or_else(|error| panic!("{error}"));
        let planned = scenario.steps.iter().map(|step| match &step.action.value {
            Action::Operator(OperatorChange::Faults(faults)) => faults.len(),
            _ => 0,
        });
        faults += planned.sum::<usize>();
        for stack in scenario.stacks(VersionRange::ALL, VersionRange::ALL) {
            let mut world = EmbeddedWorld::new(&scenario, stack, 1).expect("it can be played");
            let run = runner::play(&scenario, &mut world, Setting { stack, seed: 1 }, Limits::default());
            assert!(run.passed(), "{}: {:?}", scenario.name, run.failure);
            assert_eq!(world.engine().planted(), 0, "{} ({stack})", scenario.name);
            runs += 1;
        }
    }
    assert!(faults >= 10 && runs >= 40, "{faults} faults, {runs} runs");
}
