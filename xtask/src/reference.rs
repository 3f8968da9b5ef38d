//! Chores with the drivers of the real controllers.

use std::fmt::Display;
use std::path::PathBuf;

use towtank_model::version::KubernetesVersion;
use towtank_reference::build::build;
use towtank_reference::driver::Driver;
use towtank_reference::{admission, text};

use crate::command::{Failed, Outcome, cargo, root};

/// Builds drivers one after the other: one Go build has work for all cores.
pub(crate) fn build_drivers(named: &[String], all: bool) -> Outcome {
    let versions = match named {
        [] if !all => vec![KubernetesVersion::NEWEST],
        named => versions(named)?,
    };
    for version in versions {
        eprintln!("xtask: Kubernetes {version}: {}", driver(version)?.display());
    }
    Ok(())
}

/// The versions of these names, each a version or a range of versions; all when none is named.
pub(crate) fn versions(named: &[String]) -> Result<Vec<KubernetesVersion>, Failed> {
    if named.is_empty() {
        return Ok(KubernetesVersion::all().collect());
    }
    let mut versions = Vec::new();
    for text in named {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let bounds = (first.parse::<KubernetesVersion>(), last.parse::<KubernetesVersion>());
        let (Ok(first), Ok(last)) = bounds else {
            let message = format!("no driver can be built for Kubernetes {text}: choose from 1.28 to 1.37");
            return Err(Failed { what: message, code: BAD_USAGE });
        };
        let before = versions.len();
        versions.extend(KubernetesVersion::all().filter(|version| (first..=last).contains(version)));
        if versions.len() == before {
            let message = format!("there is no version in {text}: write the older one first");
            return Err(Failed { what: message, code: BAD_USAGE });
        }
    }
    Ok(versions)
}

/// Exit code for what cannot be meant.
const BAD_USAGE: u8 = 2;

/// Where the driver of a version is, built if need be.
pub(crate) fn driver(version: KubernetesVersion) -> Result<PathBuf, Failed> {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    build(&root().join("target"), version, &mut say).map_err(|error| Failed::new(error.to_string()))
}

/// Builds the drivers that are missing and plays every scenario in them.
pub(crate) fn record(named: &[String], check: bool) -> Outcome {
    build_drivers(named, named.is_empty())?;
    let mut args: Vec<String> = ["towtank", "record"].map(String::from).into();
    args.extend(named.iter().flat_map(|version| ["--kubernetes".to_owned(), version.clone()]));
    args.extend(check.then(|| "--check".to_owned()));
    cargo(args)
}

/// Of so many updates, there is one list of indexes and one ranking.
const UPDATES_PER_QUESTION: u64 = 50;
/// Exit code when a driver cannot be had.
const NO_DRIVER: u8 = 3;

/// Compares the admission of versions one after the other: the driver has work for one core, the model for the other.
pub(crate) fn random_writes(named: &[String], updates: u64, seed: u64, refusals: bool) -> Outcome {
    let mut differing = Vec::new();
    for version in versions(named)? {
        let failed = |error: &dyn Display| Failed {
            what: format!("admission of {version}: {error}"),
            code: NO_DRIVER,
        };
        let mut driver = Driver::start(&driver(version)?, version).map_err(|error| failed(&error))?;
        let report =
            admission::search(&mut driver, version, updates, seed).map_err(|error| failed(&error))?;
        let questions = updates.div_ceil(UPDATES_PER_QUESTION);
        let texts = text::search(&mut driver, version, questions, seed).map_err(|error| failed(&error))?;
        for difference in &texts {
            println!("{version}: the sides differ: {difference}");
        }
        for difference in &report.differences {
            println!("{version}: the sides differ: {difference}");
        }
        if refusals {
            for (refusal, count) in &report.refusals {
                println!("{version}: {count} times {refusal}");
            }
        }
        println!(
            "{version}: {} creations, {} updates, {} accepted, {} kinds of refusals, {} panics of the original, {questions} lists of indexes and rankings, {} differences",
            report.creations,
            report.updates,
            report.accepted,
            report.refusals.len(),
            report.panics,
            report.differences.len() + texts.len()
        );
        if !report.differences.is_empty() || !texts.is_empty() {
            differing.push(version.to_string());
        }
    }
    if differing.is_empty() {
        Ok(())
    } else {
        Err(Failed::new(format!("admission differs in {}", differing.join(", "))))
    }
}
