//! The production operator under faults. `towtank-campaign` plays the same with larger numbers.

use std::path::{Path, PathBuf};

use towtank_campaign::{Finding, Plan, calm, play, shrink, sweep, try_out};
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{Scenario, Stack, VersionRange};

/// Seed of the cluster.
const SEED: u64 = 1;
/// Random plans for each of their stories.
const PLANS: u64 = 60;
/// Plans that are played twice.
const TWICE: u64 = 15;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn scenarios(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(directory)).expect("the scenarios are there");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

fn load(path: &Path) -> Option<(Scenario, Stack)> {
    // Beside scenarios lie the manifests that they apply.
    let scenario = towtank_scenario::load(path).ok()?;
    let newest = VersionRange { first: KubernetesVersion::NEWEST, last: KubernetesVersion::NEWEST };
    let stack = scenario.stacks(newest, VersionRange::ALL).into_iter().next_back()?;
    (scenario.has_miniclusters() && scenario.is_of_the_production_operator()).then_some((scenario, stack))
}

fn text(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{}\n  {}\n", finding.plan, finding.fault)).collect()
}

#[test]
fn a_crash_at_any_request_changes_nothing() {
    let mut runs = 0;
    // A MiniCluster that is applied again as soon as its pods have gone: what belongs to the first must not stand in the way.
    let again = root().join("workload/tasks-ask-for-nodes-or-for-cores.yaml");
    let own = scenarios("../crates/campaign/stories");
    for path in scenarios("downsize").into_iter().chain(scenarios("scaling")).chain(own).chain([again]) {
        let Some((scenario, stack)) = load(&path) else { continue };
        let (played, findings) = sweep(&scenario, stack, SEED).expect("it can be played");
        assert!(findings.is_empty(), "{}:\n{}", scenario.name, text(&findings));
        runs += played;
    }
    // Twelve stories of twenty requests at the least: nothing was left out.
    assert!(runs >= 12 * 40, "{runs}");
}

#[test]
fn no_random_plan_changes_anything() {
    for name in ["scaling/expand.yaml", "downsize/downsize.yaml"] {
        let path = root().join(name);
        let (scenario, stack) = load(&path).expect("a story of the production operator");
        let calm = calm(&scenario, stack, SEED).expect("it can be played");
        for number in 1..=PLANS {
            let plan = Plan::random(number, calm.extent);
            if let Some(found) = try_out(&scenario, stack, SEED, plan, &calm).expect("it can be played") {
                let found = shrink(&scenario, stack, SEED, found, &calm).expect("it can be played");
                panic!("{name}, plan {number}:\n{}", text(&[found]));
            }
        }
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let path = root().join("scaling/expand.yaml");
    let (scenario, stack) = load(&path).expect("a story of the production operator");
    let calm = calm(&scenario, stack, SEED).expect("it can be played");
    for number in 1..=TWICE {
        let plan = Plan::random(number, calm.extent);
        let trace = || play(&scenario, stack, number, &plan).expect("it can be played").trace();
        let first = trace();
        assert!(first.lines().count() > 50, "{first}");
        assert!(first == trace(), "two runs of plan {number} are not equal");
    }
}
