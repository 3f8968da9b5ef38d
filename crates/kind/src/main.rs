//! `towtank-kind`: what `cargo xtask docker` and `cargo xtask kind` run, and the OCI runtime of a docker daemon that it has started.

#![expect(clippy::disallowed_methods, reason = "a cluster is kept in real time")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Parser, Subcommand};
use towtank_control_plane::Interrupt;
use towtank_kind::{
    Config, Daemon, Kind, KindError, NEWEST_ON_CGROUP_V1, NodeImage, Started, become_runtime, end_clusters,
    operator_image, stand_in_image,
};
use towtank_model::version::KubernetesVersion;

/// How often it is looked whether the user has had enough.
const POLL: Duration = Duration::from_millis(100);

/// Real clusters of kind, without an image registry.
#[derive(Parser)]
#[command(name = "towtank-kind")]
struct Cli {
    /// Where programs, images and runs are kept.
    #[arg(long, value_name = "DIR", default_value = "target")]
    target_dir: PathBuf,
    /// The repository.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// A mirror of Debian, instead of that which apt uses.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a docker daemon, unless one answers.
    DockerUp,
    /// Ends the docker daemon that was started, and removes what it has left on the machine but its images.
    DockerDown,
    /// Builds the image of a node, and kind.
    NodeImage {
        #[arg(long, value_name = "VERSION", default_value_t = NEWEST_ON_CGROUP_V1)]
        kubernetes: KubernetesVersion,
    },
    /// Builds the operator's image.
    OperatorImage,
    /// Builds the image with the stand-in for Flux.
    StandInImage,
    /// Makes a cluster and says how to reach it; deletes it with Ctrl-C or SIGTERM.
    Up {
        #[arg(long, value_name = "VERSION", default_value_t = NEWEST_ON_CGROUP_V1)]
        kubernetes: KubernetesVersion,
        /// Nodes beside the control plane.
        #[arg(long, value_name = "NUMBER", default_value_t = 2)]
        workers: u32,
        /// The image of the nodes, instead of that which is built here.
        #[arg(long, value_name = "IMAGE")]
        node_image: Option<String>,
        /// Images that docker has, for all nodes; can be given several times.
        #[arg(long, value_name = "IMAGE")]
        load: Vec<String>,
    },
    /// Deletes the clusters that are up.
    Down,
}

fn main() -> ExitCode {
    if let Some(code) = become_runtime() {
        return code;
    }
    towtank_control_plane::shim();
    let cli = Cli::parse();
    match act(&cli) {
        // Whoever interrupts it gets what they want.
        Ok(()) | Err(KindError::Interrupted) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towtank-kind: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(cli: &Cli) -> Result<(), KindError> {
    let target = absolute(&cli.target_dir);
    let root = absolute(&cli.root);
    let mut say = |line: &str| eprintln!("towtank-kind: {line}");
    let daemon = Daemon::new(target.join("docker"));
    match &cli.action {
        Action::DockerUp => match daemon.up()? {
            Started::AlreadyThere => println!("docker answers already"),
            Started::Now => println!("docker answers; log in {}", daemon.log().display()),
        },
        Action::DockerDown => daemon.down()?,
        Action::NodeImage { kubernetes } => {
            println!("{}", NodeImage::new(&target, *kubernetes).mirror(cli.mirror.clone()).build(&mut say)?);
        }
        Action::OperatorImage => println!("{}", operator_image(&root, &target, &mut say)?),
        Action::StandInImage => {
            println!("{}", stand_in_image(&root, &target, cli.mirror.as_deref(), &mut say)?);
        }
        Action::Up { kubernetes, workers, node_image, load } => {
            let mut config = config(&target, *kubernetes);
            config.workers = *workers;
            config.node_image.clone_from(node_image);
            up(config, load)?;
        }
        Action::Down => println!("{} ended", end_clusters(&config(&target, KubernetesVersion::NEWEST))?),
    }
    Ok(())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn config(target: &Path, version: KubernetesVersion) -> Config {
    Config::new(target, target.join("kind-runs"), version)
}

/// Keeps a cluster until Ctrl-C or SIGTERM.
fn up(mut config: Config, images: &[String]) -> Result<(), KindError> {
    let interrupt = Interrupt::install()
        .map_err(|source| KindError::File { path: "the handlers of signals".into(), source })?;
    config.interrupt = Some(interrupt.clone());
    let kind = Kind::create(config)?;
    images.iter().try_for_each(|image| kind.load_image(image))?;
    println!("{} is up\nexport KUBECONFIG='{}'", kind.name(), kind.kubeconfig().display());
    while !interrupt.is_raised() {
        thread::sleep(POLL);
    }
    Ok(())
}
