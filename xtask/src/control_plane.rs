//! Chores with a real control plane.

use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{Program, build_program};

use crate::command::{Failed, Outcome, beside, cargo, command, root, run};
use crate::kind;
use crate::reference::versions;

/// Builds etcd, the API server, the controllers and the scheduler of these versions, one after the other: one Go build has work for all cores.
pub(crate) fn build(named: &[String]) -> Outcome {
    for version in versions(named)? {
        build_version(version)?;
    }
    Ok(())
}

fn build_version(version: KubernetesVersion) -> Outcome {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    for program in Program::CONTROL_PLANE {
        let path = build_program(&root().join("target"), version, program, &mut say)
            .map_err(|error| Failed::new(error.to_string()))?;
        eprintln!("xtask: Kubernetes {version}: {}", path.display());
    }
    Ok(())
}

/// Builds what is missing, starts a control plane and keeps it until Ctrl-C or SIGTERM.
pub(crate) fn up(kubernetes: &str) -> Outcome {
    build(&[kubernetes.to_owned()])?;
    cargo(["towtank", "control-plane", "up", "--kubernetes", kubernetes])
}

/// Ends what [`up`] has started, whichever terminal it is in, and removes what killed ones have left.
pub(crate) fn down() -> Outcome {
    cargo(["towtank", "control-plane", "down"])
}

/// Has the images built that a cluster of kind needs, and is no option of `towtank e2e`.
const BUILD_NODE_IMAGE: &str = "--build-node-image";

/// Plays scenarios on real clusters; what is missing is built before.
pub(crate) fn e2e(named: &[String], args: &[String]) -> Outcome {
    // The production operator is a program of its own there.
    cargo(["build", "--quiet", "--release", "--package", "towtank", "--package", "towtank-operator"])?;
    let is_of = |provider: &str| {
        args.windows(2).any(|words| words == ["--provider", provider])
            || args.contains(&format!("--provider={provider}"))
    };
    let (builds, args): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|word| *word == BUILD_NODE_IMAGE);
    if !is_of("kind") && !builds.is_empty() {
        return Err(Failed::new(format!("`{BUILD_NODE_IMAGE}` is for `--provider kind`")));
    }
    if is_of("kubeconfig") {
        // Nothing of it is built here, and its version is what it is.
        return play(named, args);
    }
    let default = [if is_of("kind") { kind::KUBERNETES } else { NEWEST }.to_owned()];
    let named = if named.is_empty() { &default } else { named };
    match (is_of("kind"), builds.is_empty()) {
        (false, _) => build(named)?,
        (true, true) => {}
        (true, false) => kind::build_images(named)?,
    }
    play(named, args)
}

/// The same with a control plane, and with the programs that stand beside this one.
pub(crate) fn e2e_after_build(named: &[String], args: &[String]) -> Outcome {
    build(named)?;
    play(named, args)
}

/// The version that is played when none is named.
const NEWEST: &str = "1.37";

fn play<'a>(named: &'a [String], args: impl IntoIterator<Item = &'a String>) -> Outcome {
    let versions = named.iter().flat_map(|version| ["--kubernetes", version.as_str()]);
    let args = ["e2e"].into_iter().chain(versions).chain(args.into_iter().map(String::as_str));
    run(&mut command(beside("towtank")?, args))
}

/// Runs the tests that need a control plane, with one version after the other.
pub(crate) fn test(named: &[String]) -> Outcome {
    for version in versions(named)? {
        build_version(version)?;
        let args = ["test", "--release", "--workspace", "--test", "control_plane", "--", "--include-ignored"];
        run(command("cargo", args).env("TOWTANK_KUBERNETES", version.full()))?;
    }
    Ok(())
}
