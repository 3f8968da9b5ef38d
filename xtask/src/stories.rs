//! Chores that tell random stories.

use towtank_model::version::KubernetesVersion;

use crate::command::{Failed, Outcome, beside, cargo, command, run};
use crate::reference::{build_drivers, driver, versions};

/// Random stories on the model and on the real controllers of these versions.
pub(crate) fn differential(named: &[String], stories: u64, seed: u64, mutant: Option<u32>) -> Outcome {
    for version in versions(named)? {
        let mut args = comparison(version, stories, seed)?;
        args.extend(mutant.map(|number| format!("--mutant={number}")));
        random_stories(mutant.is_some(), args)?;
    }
    Ok(())
}

/// The same with the program that the tests of the workspace have built: `cargo run` would compile what it shares with them once more,
/// with other features.
pub(crate) fn differential_after_tests(named: &[String], stories: u64, seed: u64) -> Outcome {
    let program = beside("towtank-differential")?;
    for version in versions(named)? {
        run(&mut command(&program, comparison(version, stories, seed)?))?;
    }
    Ok(())
}

fn comparison(version: KubernetesVersion, stories: u64, seed: u64) -> Result<Vec<String>, Failed> {
    driver(version)?;
    Ok(vec![
        "compare".to_owned(),
        format!("--stories={stories}"),
        format!("--kubernetes={version}"),
        format!("--seed={seed}"),
    ])
}

/// Every seeded mistake, on the real controller of these versions.
pub(crate) fn mutants_on_reference(named: &[String], stories: u64) -> Outcome {
    let versions = versions(named)?;
    versions.iter().try_for_each(|version| driver(*version).map(drop))?;
    let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let versions = format!("--kubernetes={}", versions.join(","));
    let args = ["mutants", "--output=docs/mutants.md", &versions, &format!("--stories={stories}")];
    random_stories(true, args.map(String::from))
}

/// Known defects, on the real controllers that have them.
pub(crate) fn hunt(defects: &[String], minutes: u64, seed: u64, rehearses: bool) -> Outcome {
    let mut args = vec!["hunt".to_owned(), format!("--minutes={minutes}"), format!("--seed={seed}")];
    if rehearses {
        args.push("--world=model".to_owned());
    } else {
        build_drivers(&[], true)?;
    }
    if defects.is_empty() && !rehearses {
        args.push("--output=docs/hunts.md".to_owned());
    }
    args.extend_from_slice(defects);
    random_stories(false, args)
}

/// Random stories that are worth keeping, and what the real controllers make of them.
pub(crate) fn choose_stories(stories: usize) -> Outcome {
    build_drivers(&[], true)?;
    random_stories(false, ["choose".to_owned(), format!("--stories={stories}")])?;
    cargo(["towtank", "record", "scenarios/stories"])
}

/// The program that tells random stories.
fn random_stories(with_mutants: bool, args: impl IntoIterator<Item = String>) -> Outcome {
    let mut all: Vec<String> =
        ["run", "--release", "--quiet", "--package", "towtank-differential"].map(String::from).into();
    all.extend(with_mutants.then(|| "--features=mutants".to_owned()));
    all.push("--".to_owned());
    all.extend(args);
    cargo(all)
}
