//! The part of docs/latency.md about real clusters.

use crate::command::{Failed, Outcome, beside, cargo, command, run};
use crate::control_plane;

/// The version that is measured.
const KUBERNETES: &str = "1.37";

/// Makes it of what was measured; with `--measure`, measures anew before, on control planes of processes.
pub(crate) fn bench(args: &[String]) -> Outcome {
    match args {
        [] => {}
        [measure] if measure == "--measure" => self::measure()?,
        _ => return Err(Failed::new("`cargo xtask bench latency` takes nothing but `--measure`")),
    }
    let tests = ["test", "--release", "--quiet", "--package", "towtank", "--test=documents", "latency"];
    run(command("cargo", tests).env("UPDATE_DOCS", "1"))
}

fn measure() -> Outcome {
    control_plane::build(&[KUBERNETES.to_owned()])?;
    cargo(["build", "--quiet", "--release", "--package", "towtank", "--package", "towtank-operator"])?;
    let towtank = beside("towtank")?;
    for what in [&["calibrate"][..], &["bench", "latency"], &["bench", "large-job"]] {
        let args = what.iter().chain(&["--measure", "--kubernetes", KUBERNETES]);
        match run(&mut command(&towtank, args)) {
            // The model is not near everywhere: the document tells where.
            Err(Failed { code: DISAGREE, .. }) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// What `towtank` ends with when the model and the cluster differ.
const DISAGREE: u8 = 1;
