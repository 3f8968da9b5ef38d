//! Real clusters of kind: `cargo xtask docker` and `cargo xtask kind`. The program `towtank-kind` of crates/kind does the work.

use clap::Subcommand;

use towtank_reference::build::Program;

use crate::command::{Outcome, cargo, command, root, run};
use crate::control_plane::build_programs;
use crate::reference::versions;

/// The docker daemon of the repository.
#[derive(Subcommand)]
pub(crate) enum DockerChore {
    /// Starts a docker daemon that keeps everything under target/docker, unless one answers already. Wants root.
    Up,
    /// Ends the daemon that `up` has started, with all its containers, and removes what it has left on the machine. Its images stay.
    Down,
}

/// Clusters of kind.
#[derive(Subcommand)]
pub(crate) enum KindChore {
    /// Builds the image of a node of Debian packages and of Go programs, and kind itself; nothing is pulled. Wants root and debootstrap.
    BuildNodeImage {
        /// Minor version of Kubernetes, such as 1.36, which is the newest that works on cgroup v1.
        #[arg(long, value_name = "VERSION", default_value = "1.36")]
        kubernetes: String,
    },
    /// Builds kind and kubectl alone, which is all that clusters of other node images need. Wants Go.
    BuildPrograms {
        /// Minor version of Kubernetes.
        #[arg(long, value_name = "VERSION", default_value = "1.36")]
        kubernetes: String,
    },
    /// Builds the images of the operator and of the stand-in for Flux, around programs that are linked statically. Wants musl-tools.
    BuildImages,
    /// Makes a cluster and says how to reach it; deletes it with Ctrl-C or SIGTERM.
    Up {
        /// Passed on: `--kubernetes`, `--workers`, `--node-image`, `--load`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        args: Vec<String>,
    },
    /// Deletes the clusters that are up.
    Down,
    /// Runs the tests of crates/kind that need docker and a node image; builds the image.
    Test,
}

/// What is done about docker.
pub(crate) fn docker(chore: &DockerChore) -> Outcome {
    match chore {
        DockerChore::Up => towtank_kind(&["docker-up"]),
        DockerChore::Down => towtank_kind(&["docker-down"]),
    }
}

/// What is done about clusters.
pub(crate) fn kind(chore: &KindChore) -> Outcome {
    match chore {
        KindChore::BuildNodeImage { kubernetes } => node_image(kubernetes),
        KindChore::BuildPrograms { kubernetes } => versions(std::slice::from_ref(kubernetes))?
            .into_iter()
            .try_for_each(|version| build_programs(version, &[Program::Kind, Program::Kubectl])),
        KindChore::BuildImages => own_images(),
        KindChore::Up { args } => {
            let all: Vec<&str> = std::iter::once("up").chain(args.iter().map(String::as_str)).collect();
            towtank_kind(&all)
        }
        KindChore::Down => towtank_kind(&["down"]),
        KindChore::Test => {
            node_image(KUBERNETES)?;
            let args = ["test", "--release", "--workspace", "--test", "kind", "--", "--include-ignored"];
            run(&mut command("cargo", args))
        }
    }
}

/// The newest Kubernetes that works on cgroup v1.
pub(crate) const KUBERNETES: &str = "1.36";

/// All images that clusters of these versions need.
pub(crate) fn build_images(named: &[String]) -> Outcome {
    versions(named)?.iter().try_for_each(|version| node_image(&version.to_string()))?;
    own_images()
}

fn own_images() -> Outcome {
    towtank_kind(&["operator-image"])?;
    towtank_kind(&["stand-in-image"])
}

fn node_image(kubernetes: &str) -> Outcome {
    towtank_kind(&["node-image", "--kubernetes", kubernetes])
}

fn towtank_kind(args: &[&str]) -> Outcome {
    let (root, target) = (root(), root().join("target"));
    let (root, target) = (root.to_string_lossy(), target.to_string_lossy());
    let places = ["--root", &root, "--target-dir", &target];
    let run = ["run", "--quiet", "--release", "--package", "towtank-kind", "--"];
    cargo(run.into_iter().chain(places).chain(args.iter().copied()))
}
