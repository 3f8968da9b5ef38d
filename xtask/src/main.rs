//! Every chore of the repository: `cargo xtask --help`.

mod ci;
mod command;
mod control_plane;
mod kind;
mod kubectl;
mod leaks;
mod operator;
mod reference;
mod stories;
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::{Failed, cargo};

/// Chores of the Towtank repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// All that continuous integration runs.
    Ci,
    /// All tests: the workspace in release, then the same traces from the debug and the release build.
    Test {
        /// Passed on to `cargo test`: a filter, or `-- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The benchmarks under benches/: ratios measured side by side in one run.
    Bench {
        /// Passed on to `cargo bench`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The reference driver: Kubernetes' own Job controller in a Go program, see reference/README.md.
    Reference {
        #[command(subcommand)]
        chore: ReferenceChore,
    },
    /// A real control plane: etcd, API server, controllers and scheduler, built from the sources of Kubernetes.
    ControlPlane {
        #[command(subcommand)]
        chore: ControlPlaneChore,
    },
    /// A docker daemon, where none runs.
    Docker {
        #[command(subcommand)]
        chore: kind::DockerChore,
    },
    /// A real cluster of containers: kind, with real kubelets, without any image registry.
    Kind {
        #[command(subcommand)]
        chore: kind::KindChore,
    },
    /// Plays scenarios on real control planes, in real time, and has the model explain what happened there. Builds what is missing.
    E2e {
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.29..1.36; can be given several times. 1.37 when none is given, 1.36 for kind, and with a kubeconfig the cluster's.
        #[arg(long, value_name = "VERSION")]
        kubernetes: Vec<String>,
        /// Passed on to `towtank e2e`: paths, `--provider`, `--jobs`, …; see `cargo towtank e2e --help`. With `--provider kind`, `--build-node-image` has the images built before.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Plays a scenario on real clusters again and again, kills some of the runs with SIGKILL at random times, and counts what is left: processes, containers, ports and directories.
    Leaks {
        /// What the clusters are made of, as for `e2e`.
        #[arg(long, default_value = "process")]
        provider: String,
        /// Minor version of Kubernetes.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: String,
        /// A part of the names of those that are played.
        #[arg(long, default_value = "minicluster-disconnect-and-complete")]
        scenario: String,
        /// How often it is played.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1_000))]
        runs: u32,
        /// How many of these runs are killed.
        #[arg(long, default_value_t = 5)]
        killed: u32,
        /// Another seed, other times.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Seeded mistakes in the model: each must show in a random story. Builds the model and the stories once more, and
    /// nothing else.
    Mutants {
        /// Not against the model without the mistake, but against the real Job controller, which must find nearly all of
        /// them; writes docs/mutants.md.
        #[arg(long)]
        reference: bool,
        /// With `--reference`: versions of Kubernetes, the next for the mistakes that the one before it has not found.
        #[arg(long, value_name = "VERSION", default_values = ["1.36", "1.28"], requires = "reference")]
        kubernetes: Vec<String>,
        /// With `--reference`: stories within which a mistake must show.
        #[arg(long, default_value_t = 500, requires = "reference")]
        stories: u64,
        /// Not mistakes in the model, but in the production operator, which a campaign must find; writes docs/operator-mutants.md.
        #[arg(long, conflicts_with = "reference")]
        operator: bool,
        /// With `--operator`: this one alone, by its number, and no document.
        #[arg(long, value_name = "NUMBER", requires = "operator")]
        only: Option<usize>,
    },
    /// Lets random stories find the known defects of the real Job controller again, and writes docs/hunts.md.
    Hunt {
        /// Names of defects, as docs/hunts.md has them; all when none is given. The document is written for all only.
        #[arg(value_name = "DEFECT")]
        defects: Vec<String>,
        /// Minutes after which a defect counts as not found.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// Another seed, other stories.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Tells the stories on the model in the place of the real controller, to see how rare a defect is.
        #[arg(long)]
        rehearse: bool,
    },
    /// Chooses the random stories under scenarios/stories/ anew, and records them.
    Stories {
        /// How many are kept.
        #[arg(long, default_value_t = 200)]
        stories: usize,
    },
    /// Writes docs/track-record.md and docs/kubernetes-versions.md from runs: of the model, and of every reference driver
    /// that is built.
    Docs,
    /// Prints where a kubectl is that is new enough for the tests; builds one from the sources of Kubernetes when there is none.
    Kubectl,
    /// Puts random objects and writes to the model's admission, to the embedded API server and to Kubernetes' own admission, and
    /// random texts to the controller's small languages, and compares.
    Admission {
        /// Updates that are compared, for each version.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        updates: u64,
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.28..1.31; can be given several times. All when none is given.
        #[arg(long, value_name = "VERSION")]
        kubernetes: Vec<String>,
        /// Another seed, other objects.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Lists every kind of refusal that both sides agreed on, and how often.
        #[arg(long)]
        refusals: bool,
    },
    /// Tells random stories on the model and on the real Job controller; every difference becomes a scenario file.
    Differential {
        /// How many stories.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        stories: u64,
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.28..1.31; can be given several times.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: Vec<String>,
        /// Another seed, other stories.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A seeded mistake in the model, by its number.
        #[arg(long)]
        mutant: Option<u32>,
    },
    /// Writes deploy/crds from the types of crates/api.
    Crds,
    /// Licences, sources and advisories of what we depend on (installs cargo-deny when it is missing).
    Deny,
}

#[derive(Subcommand)]
enum ControlPlaneChore {
    /// Builds the programs that are missing.
    Build {
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.28..1.31; can be given several times.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: Vec<String>,
    },
    /// Builds the programs that are missing, starts a control plane and says how to reach it; ends it and removes everything with Ctrl-C or SIGTERM.
    Up {
        /// Minor version of Kubernetes, such as 1.36.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: String,
    },
    /// Ends the control planes that are up.
    Down,
    /// Builds the programs that are missing and runs the tests of crates/control-plane with them.
    Test {
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.36..1.37; can be given several times.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: Vec<String>,
    },
}

#[derive(Subcommand)]
enum ReferenceChore {
    /// Builds drivers that are missing or older than their sources.
    Build {
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.28..1.31; can be given several times. The newest when none is given.
        #[arg(long, value_name = "VERSION", conflicts_with = "all")]
        kubernetes: Vec<String>,
        /// All versions.
        #[arg(long)]
        all: bool,
    },
    /// Makes the recordings under snapshots/reference/ anew: what the real controller writes in every scenario.
    Record {
        /// Minor version of Kubernetes, such as 1.36, or a range, such as 1.28..1.31; can be given several times. All when none is given.
        #[arg(long, value_name = "VERSION")]
        kubernetes: Vec<String>,
        /// Writes nothing, and fails with the difference when a recording would change.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Ci => ci::ci(),
        Chore::Test { args } => tests::test(&args),
        Chore::Bench { args } => {
            cargo(["bench", "--package", "towtank-benches"].into_iter().map(String::from).chain(args))
        }
        Chore::Reference { chore } => match chore {
            ReferenceChore::Build { kubernetes, all } => reference::build_drivers(&kubernetes, all),
            ReferenceChore::Record { kubernetes, check } => reference::record(&kubernetes, check),
        },
        Chore::ControlPlane { chore } => match chore {
            ControlPlaneChore::Build { kubernetes } => control_plane::build(&kubernetes),
            ControlPlaneChore::Up { kubernetes } => control_plane::up(&kubernetes),
            ControlPlaneChore::Down => control_plane::down(),
            ControlPlaneChore::Test { kubernetes } => control_plane::test(&kubernetes),
        },
        Chore::Leaks { provider, kubernetes, scenario, runs, killed, seed } => leaks::play(&leaks::Leaks {
            provider: &provider,
            kubernetes: &kubernetes,
            scenario: &scenario,
            runs,
            killed,
            seed,
        }),
        Chore::Docker { chore } => kind::docker(&chore),
        Chore::Kind { chore } => kind::kind(&chore),
        Chore::E2e { kubernetes, args } => control_plane::e2e(&kubernetes, &args),
        Chore::Mutants { operator: true, only, .. } => operator::mutants(only),
        Chore::Mutants { reference: false, .. } => tests::mutants(),
        Chore::Mutants { kubernetes, stories, .. } => stories::mutants_on_reference(&kubernetes, stories),
        Chore::Hunt { defects, minutes, seed, rehearse } => stories::hunt(&defects, minutes, seed, rehearse),
        Chore::Stories { stories } => stories::choose_stories(stories),
        Chore::Docs => tests::docs(),
        Chore::Admission { updates, kubernetes, seed, refusals } => {
            reference::random_writes(&kubernetes, updates, seed, refusals)
        }
        Chore::Differential { stories, kubernetes, seed, mutant } => {
            stories::differential(&kubernetes, stories, seed, mutant)
        }
        Chore::Kubectl => kubectl::kubectl().map(|path| println!("{}", path.display())),
        Chore::Crds => tests::crds(),
        Chore::Deny => tests::deny(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { what, code }) => {
            eprintln!("xtask: failed: {what}");
            ExitCode::from(code)
        }
    }
}
