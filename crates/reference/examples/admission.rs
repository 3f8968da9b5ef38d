//! Searches for a write on which the model's rules and Kubernetes' own do not agree. `cargo xtask admission` runs this.

use std::path::Path;
use std::process::ExitCode;

use towtank_model::version::KubernetesVersion;
use towtank_reference::admission;
use towtank_reference::driver::Driver;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [driver, version, updates, seed] = arguments.as_slice() else {
        eprintln!("usage: admission DRIVER VERSION UPDATES SEED");
        return ExitCode::from(2);
    };
    match run(driver, version, updates, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("admission: {version}: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(driver: &str, version: &str, updates: &str, seed: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let version: KubernetesVersion = version.parse()?;
    let mut driver = Driver::start(Path::new(driver), version)?;
    let report = admission::search(&mut driver, version, updates.parse()?, seed.parse()?)?;
    for difference in &report.differences {
        println!("{version}: the sides differ: {difference}");
    }
    println!(
        "{version}: {} creations, {} updates, {} accepted, {} panics of the original, {} differences",
        report.creations,
        report.updates,
        report.accepted,
        report.panics,
        report.differences.len()
    );
    if report.updates == 0 || report.accepted == 0 {
        return Err("nothing was compared".into());
    }
    Ok(report.differences.is_empty())
}
