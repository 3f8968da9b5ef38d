//! Scenarios on real clusters.

use crate::command::{Failed, Outcome, beside, cargo, command, run};
use crate::control_plane;
use crate::kind;

/// Has the images built that a cluster of kind needs, and is no option of `towtank e2e`.
const BUILD_NODE_IMAGE: &str = "--build-node-image";
/// The version that is played when none is named.
const NEWEST: &str = "1.37";

/// Plays scenarios on real clusters; what is missing is built before.
pub(crate) fn e2e(args: &[String]) -> Outcome {
    let asked = Asked::of(args);
    if asked.builds_images && asked.provider != Some("kind") {
        return Err(Failed::new(format!("`{BUILD_NODE_IMAGE}` is for `--provider kind`")));
    }
    // First: a machine that cannot have them says so before anything is built that takes long.
    if asked.builds_images {
        kind::build_images(&asked.versions())?;
    }
    std::thread::scope(|scope| {
        // Each has times when it keeps one core busy only, so Go compiles beside cargo. What goes wrong there is told at once, not when cargo has ended.
        let programs = scope
            .spawn(|| control_plane_of(&asked).inspect_err(|failed| eprintln!("xtask: {}", failed.what)));
        // The production operator is a program of its own.
        let own =
            cargo(["build", "--quiet", "--release", "--package", "towtank", "--package", "towtank-operator"]);
        if own.is_err() && !programs.is_finished() {
            eprintln!("xtask: waiting for what is built with Go");
        }
        let programs =
            programs.join().unwrap_or_else(|_| Err(Failed::new("the thread that builds with Go panicked")));
        own.and(programs)
    })?;
    play(&asked)
}

/// The same with the programs of this workspace that stand beside this one; those of Kubernetes are built if they are missing.
pub(crate) fn e2e_after_build(args: &[String]) -> Outcome {
    let asked = Asked::of(args);
    if asked.builds_images {
        return Err(Failed::new(format!("`{BUILD_NODE_IMAGE}` is for `cargo xtask e2e`")));
    }
    control_plane_of(&asked)?;
    play(&asked)
}

/// Builds the programs of Kubernetes that the provider starts; the others bring theirs.
fn control_plane_of(asked: &Asked<'_>) -> Outcome {
    match asked.provider {
        Some("kind" | "kubeconfig") => Ok(()),
        _ => control_plane::build(&asked.versions()),
    }
}

fn play(asked: &Asked<'_>) -> Outcome {
    run(&mut command(beside("towtank")?, std::iter::once("e2e").chain(asked.rest.iter().copied())))
}

/// What has to be known of the arguments of `towtank e2e` before it is run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'a> {
    kubernetes: Vec<&'a str>,
    provider: Option<&'a str>,
    builds_images: bool,
    /// All but [`BUILD_NODE_IMAGE`].
    rest: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(args: &'a [String]) -> Self {
        let mut asked = Self::default();
        let mut option = "";
        for word in args.iter().map(String::as_str) {
            if word == BUILD_NODE_IMAGE {
                asked.builds_images = true;
                continue;
            }
            asked.rest.push(word);
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None if word.starts_with('-') => (word, None),
                None => (option, Some(word)),
            };
            match (name, value) {
                ("--kubernetes", Some(value)) => asked.kubernetes.push(value),
                ("--provider", Some(value)) => asked.provider = Some(value),
                _ => {}
            }
            option = if value.is_none() { name } else { "" };
        }
        asked
    }

    fn versions(&self) -> Vec<String> {
        let default = if self.provider == Some("kind") { kind::KUBERNETES } else { NEWEST };
        let named = if self.kubernetes.is_empty() { &[default][..] } else { &self.kubernetes };
        named.iter().map(|version| (*version).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> (Vec<String>, Option<String>, bool, String) {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let asked = Asked::of(&args);
        (asked.versions(), asked.provider.map(str::to_owned), asked.builds_images, asked.rest.join(" "))
    }

    #[test]
    fn options_are_heard_wherever_they_stand() {
        let versions = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (line, wanted, provider) in [
            ("", &["1.37"][..], None),
            ("--provider process --kubernetes 1.36", &["1.36"], Some("process")),
            ("scenarios/jobs --jobs 2 --kubernetes 1.29 --kubernetes=1.36", &["1.29", "1.36"], None),
            ("--provider=kind scenarios/downsize", &["1.36"], Some("kind")),
            ("--scenario kubernetes 1.36", &["1.37"], None),
        ] {
            let (heard, of, builds, rest) = asked(line);
            assert_eq!((heard, of.as_deref(), builds, &*rest), (versions(wanted), provider, false, line));
        }
        let (_, _, builds, rest) = asked("--provider kind --build-node-image -j 1");
        assert!(builds);
        assert_eq!(rest, "--provider kind -j 1");
    }
}
