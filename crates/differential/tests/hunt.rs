//! Hunts for known defects, with the model in the place of the real controller.

use std::time::Duration;

use towtank_differential::defects::DEFECTS;
use towtank_differential::hunt::{Truth, hunt};

/// Of these, every thousandth story at least is one.
const FREQUENT: [&str; 4] =
    ["completed-index-again", "active-reads-0", "active-0-is-refused", "deadline-passes-while-suspended"];

#[test]
fn frequent_defects_are_found_in_a_few_steps() {
    for name in FREQUENT {
        let defect = DEFECTS.iter().find(|defect| defect.name == name).expect("a defect of this name");
        let (told, found) =
            hunt(defect, Truth::Model, 1, Duration::from_mins(5), 1).expect("the model needs no driver");
        let found = found.unwrap_or_else(|| panic!("{name} is not among {told} stories"));
        assert!(found.steps <= 6, "{name}: {} steps: {:?}", found.steps, found.story.verbs);
    }
}

#[test]
fn defects_have_names_of_their_own() {
    let mut names: Vec<&str> = DEFECTS.iter().map(|defect| defect.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DEFECTS.len());
}
