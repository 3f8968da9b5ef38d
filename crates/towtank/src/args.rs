//! Arguments of the command line.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use towtank_lockstep::world::WorldKind;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{FluxVersion, Release, VersionRange};

/// Plays stories of elastic Kubernetes Jobs on virtual time and says what is true of them, version by version.
#[derive(Debug, Parser)]
#[command(name = "towtank", version, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play scenarios and judge what is to be seen
    Run(RunArguments),
    /// Validate scenario files without playing them
    Check(CheckArguments),
    /// Show what a step does to each pod and index, and by which rule
    Explain(ExplainArguments),
    /// Play scenarios in the reference and keep what it writes, for machines that cannot play it
    Record(RecordArguments),
    /// Play scenarios on real control planes, in real time, and have the model explain what happened there
    E2e(Box<E2eArguments>),
    /// Fit a timing profile of the model to what a real cluster took for changes of size
    Calibrate(LatencyArguments),
    /// How long things take on a real cluster, and what the model says
    Bench {
        #[command(subcommand)]
        what: BenchWhat,
    },
    /// A real control plane on this machine, for kubectl and any other client
    ControlPlane {
        #[command(subcommand)]
        action: ControlPlaneAction,
    },
    /// Print the JSON Schema of the scenario format
    Schema,
    /// Serve the API of a simulated cluster on a port of this machine, for kubectl and any other client
    Serve(ServeArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to write the kubeconfig; a file of this process in the directory for temporary files when absent
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Seconds of the cluster in one second
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = parse_speed)]
    pub(crate) speed: f64,
    /// The port; a free one when 0
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,
    /// The version of Kubernetes
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes: KubernetesVersion,
    /// The version of Flux in the pods of MiniClusters
    #[arg(long, value_name = "VERSION", default_value_t = FluxVersion::NEWEST)]
    pub(crate) flux: FluxVersion,
    /// Nodes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) nodes: u32,
    /// Cores of each node
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) cores: u32,
    /// Run no operator of MiniClusters: it is another process, and talks to the port
    #[arg(long)]
    pub(crate) no_operator: bool,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Reads a speed that a clock can have.
fn parse_speed(text: &str) -> Result<f64, String> {
    const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;
    let speed = text.parse().map_err(|_| "give a number such as 10".to_owned())?;
    if SPEEDS.contains(&speed) { Ok(speed) } else { Err("give a number from 0.01 to 1000".to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Scenario files, or directories of them
    #[arg(value_name = "PATH", default_value = "scenarios")]
    pub(crate) paths: Vec<PathBuf>,
    /// Only scenarios whose name contains this
    #[arg(long, short = 's', value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Where to play: model, embedded, reference or reference-open; can be repeated
    #[arg(long, value_name = "WORLD", default_value = "model")]
    pub(crate) world: Vec<WorldKind>,
    /// Versions to play, of those that a scenario is true of: 1.36, 1.28..1.37 or all
    #[arg(long, value_name = "VERSIONS", default_value = "all", value_parser = parse_versions::<KubernetesVersion>)]
    pub(crate) kubernetes: VersionRange,
    /// Versions of Flux to play MiniClusters with, of those that a scenario is true of: 0.61.2, 0.50.0..0.61.2 or all
    #[arg(long, value_name = "VERSIONS", default_value = "all", value_parser = parse_versions::<FluxVersion>)]
    pub(crate) flux: VersionRange<FluxVersion>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Write the report, and the traces of runs that failed or diverge, into this directory
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Runs at the same time; as many as there are cores when absent
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Show no progress bar
    #[arg(long)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ControlPlaneAction {
    /// Start one and keep it until it is interrupted
    Up(UpArguments),
    /// End those that are up, and remove what killed ones have left
    Down {
        /// Where they have their directories
        #[arg(long, value_name = "DIR", default_value = "target/control-plane")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The version of Kubernetes
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes: KubernetesVersion,
    /// Where its programs are, as `cargo xtask control-plane build` names them
    #[arg(long, value_name = "DIR", default_value = "target/reference")]
    pub(crate) programs: PathBuf,
    /// Where it has its directory
    #[arg(long, value_name = "DIR", default_value = "target/control-plane")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct E2eArguments {
    /// Scenario files, or directories of them
    #[arg(value_name = "PATH", default_values = ["scenarios/downsize", "scenarios/scaling", "scenarios/jobs"])]
    pub(crate) paths: Vec<PathBuf>,
    /// Only scenarios whose name contains this
    #[arg(long, short = 's', value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Versions to play, of those that a scenario is true of: 1.36, 1.29..1.36 or all; can be repeated. 1.37 when absent, 1.36 for kind; with `--provider kubeconfig` the cluster's, which must be among them
    #[arg(long, value_name = "VERSIONS", value_parser = parse_versions::<KubernetesVersion>)]
    pub(crate) kubernetes: Vec<VersionRange>,
    /// Versions of Flux to play MiniClusters with, of those that a scenario is true of: 0.61.2, 0.50.0..0.61.2 or all
    #[arg(long, value_name = "VERSIONS", default_value = "0.61.2", value_parser = parse_versions::<FluxVersion>)]
    pub(crate) flux: VersionRange<FluxVersion>,
    /// Clusters at the same time; 6 when absent, and 1 for kind, whose nodes keep a machine busy; with `--provider kubeconfig` there is one
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Scenarios that take longer are not played
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub(crate) length_max_s: u64,
    /// Runs of the model that are tried as an explanation, with each timing profile
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: u64,
    /// Keep what explained runs have shown, for `towtank run` to compare with where there is no cluster
    #[arg(long, conflicts_with_all = ["chaos", "alter_gate"])]
    pub(crate) record: bool,
    /// Play a scenario again, so many times at most, that fails or is not explained; the verdict says which attempt it was
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10))]
    pub(crate) retries: u32,
    /// Kill a component of the control plane, or the operator, at ten moments of each scenario, as this seed says, and start it again
    #[arg(long, value_name = "SEED")]
    pub(crate) chaos: Option<u64>,
    /// Set a feature gate of the control plane that the model knows nothing of, such as MutablePodResourcesForSuspendedJobs=false: a run that it changes is not explained
    #[arg(long, value_name = "GATE=BOOL", value_parser = parse_gate)]
    pub(crate) alter_gate: Vec<(String, bool)>,
    /// Show what was to be seen in each run too
    #[arg(long)]
    pub(crate) show: bool,
    /// What to print at the end; what is told meanwhile goes to stderr then
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Write the report into this directory
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

/// Reads `MutablePodResourcesForSuspendedJobs=false`.
fn parse_gate(text: &str) -> Result<(String, bool), String> {
    let parts = text.split_once('=').and_then(|(gate, value)| Some((gate.to_owned(), value.parse().ok()?)));
    parts.ok_or_else(|| {
        "give a feature gate and true or false, such as MutablePodResourcesForSuspendedJobs=false".to_owned()
    })
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// etcd and Kubernetes' own programs as child processes, with virtual nodes
    #[default]
    Process,
    /// The same programs in containers, with virtual nodes; a container engine must answer (`docker info`)
    Containers,
    /// Clusters of kind: real nodes, the operator from its image, and pods with a program that does what a Flux broker does
    Kind,
    /// A cluster that is there already: the same in fresh namespaces, which are removed again; needs `--kubeconfig` and `--change-this-cluster`
    Kubeconfig,
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchWhat {
    /// Changes of size, phase by phase: p50, p90 and p99 of the cluster and of the model
    Latency(LatencyArguments),
    /// Indexed Jobs whose pods succeed at once, from their creation to Complete: the cluster, the model, and what others have published
    LargeJob(LargeJobArguments),
}

#[derive(Debug, Args)]
pub(crate) struct LatencyArguments {
    /// Scenario files of changes of size, or directories of them; those of benches/latency when absent
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How often each scenario is played on the cluster
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) recording: RecordingArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LargeJobArguments {
    /// Indexes of the Jobs, of those of benches/large-job; with `--measure`, what was kept of others is lost
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [10_u32, 100, 1_000, 10_000])]
    pub(crate) completions: Vec<u32>,
    #[command(flatten)]
    pub(crate) recording: RecordingArguments,
}

/// What is measured, or was.
#[derive(Debug, Args)]
pub(crate) struct RecordingArguments {
    /// The version of Kubernetes [default: 1.37, and 1.36 for kind]
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes: Option<KubernetesVersion>,
    /// Play on a real cluster first, and keep what it took; without this, what was kept is used
    #[arg(long)]
    pub(crate) measure: bool,
    /// Where measurements and profiles are kept
    #[arg(long, value_name = "DIR", default_value = "snapshots/cluster")]
    pub(crate) snapshots: PathBuf,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

/// What a cluster is made of, and where it is.
#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// What clusters are made of
    #[arg(long, value_enum, default_value_t)]
    pub(crate) provider: Provider,
    /// Where the programs of control planes are, as `cargo xtask control-plane build` names them
    #[arg(long, value_name = "DIR", default_value = "target/reference")]
    pub(crate) programs: PathBuf,
    /// With `--provider containers`: images of the control plane, with {component} and {version} in their names; without it, they are built around the programs
    #[arg(long, value_name = "TEMPLATE", value_parser = parse_images)]
    pub(crate) images: Option<String>,
    /// With `--provider kind`: the image of the nodes, instead of that which `cargo xtask kind build-node-image` builds
    #[arg(long, value_name = "IMAGE")]
    pub(crate) node_image: Option<String>,
    /// With `--provider kubeconfig`: the file that names the cluster
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// With `--provider kubeconfig`: a context of the file, instead of its current one
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// With `--provider kubeconfig`: yes, make the definition of MiniClusters, an operator and namespaces in that cluster, and remove them afterwards
    #[arg(long)]
    pub(crate) change_this_cluster: bool,
    /// With real nodes (`kind`, `kubeconfig`): the operator's image [default: towtank-operator:latest]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) operator_image: Option<String>,
    /// With real nodes (`kind`, `kubeconfig`): the image that pods of MiniClusters run, with Flux or a stand-in for it [default: towtank/stand-in:local]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) broker_image: Option<String>,
    /// With real nodes (`kind`, `kubeconfig`): the image of the view, which brings Flux into the pods of MiniClusters; none: the image they run has it [default: the image they run]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) view_image: Option<String>,
    /// With virtual nodes (`process`, `containers`): the production operator [default: target/release/towtank-operator]
    #[arg(long, value_name = "FILE")]
    pub(crate) operator: Option<PathBuf>,
    /// Where clusters have their directories while they run; the logs of those stay there that did not do what they should
    #[arg(long, value_name = "DIR", default_value = "target/clusters")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArguments {
    /// Scenario files, or directories of them, in a directory `scenarios`
    #[arg(value_name = "PATH", default_value = "scenarios")]
    pub(crate) paths: Vec<PathBuf>,
    /// Versions to play: 1.36, 1.28..1.37 or all; can be repeated; others stay as they are recorded
    #[arg(long, value_name = "VERSIONS", default_value = "all", value_parser = parse_versions::<KubernetesVersion>)]
    pub(crate) kubernetes: Vec<VersionRange>,
    /// Write nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    pub(crate) check: bool,
    /// Runs at the same time; as many as there are cores when absent
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Scenario files, or directories of them
    #[arg(value_name = "PATH", default_value = "scenarios")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// A scenario file
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The step: its number, from 1, or its name
    #[arg(long, value_name = "STEP")]
    pub(crate) step: String,
    /// The version to play; the newest that the scenario is true of when absent
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes: Option<KubernetesVersion>,
    /// The version of Flux to play MiniClusters with; the oldest that the scenario is true of when absent
    #[arg(long, value_name = "VERSION")]
    pub(crate) flux: Option<FluxVersion>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs; stable, with a version
    Json,
    /// For build servers
    Junit,
}

/// The name of an image for each component.
fn parse_images(text: &str) -> Result<String, String> {
    let says = ["{component}", "{version}"].iter().all(|word| text.contains(word));
    match says && !text.contains(char::is_whitespace) {
        true => Ok(text.to_owned()),
        false => Err("it is to be like `registry.example/{component}:v{version}`".to_owned()),
    }
}

/// Reads `1.36`, `1.28..1.37` or `all`.
fn parse_versions<V: Release<Err: Display>>(text: &str) -> Result<VersionRange<V>, String> {
    if text == "all" {
        return Ok(VersionRange::ALL);
    }
    let version = |text: &str| {
        let range = format!("{}..{}", V::OLDEST, V::NEWEST);
        V::from_str(text).map_err(|error| format!("{error}; give one, a range such as {range}, or all"))
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let range = VersionRange { first: version(first)?, last: version(last)? };
    if range.first > range.last {
        return Err(format!("the range `{text}` is empty: {last}..{first} is meant"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    /// The workflow that users copy. `cargo xtask e2e` passes on what it is given.
    #[test]
    fn the_example_of_a_workflow_uses_what_there_is() {
        let workflow = include_str!("../../../examples/ci/github-actions.yml");
        let value = |word: &str| {
            let word = word.trim_matches('"');
            let Some(name) = word.strip_prefix('$') else { return word.to_owned() };
            let mut lines = workflow.lines().map(str::trim);
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("{name} has a value")).trim_matches('"').to_owned()
        };
        let mut commands = 0;
        for run in workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")) {
            let arguments = match (run.strip_prefix("cargo towtank "), run.strip_prefix("cargo xtask e2e ")) {
                (Some(all), _) => all.to_owned(),
                (_, Some(of_e2e)) => format!("e2e {of_e2e}"),
                _ => continue,
            };
            let words = std::iter::once("towtank".to_owned()).chain(arguments.split_whitespace().map(value));
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{run}: {error}");
            }
            commands += 1;
        }
        assert_eq!(commands, 3);
        let is_pinned = |action: &str| {
            action.rsplit_once("@v").is_some_and(|(_, version)| {
                let parts: Vec<&str> = version.split('.').collect();
                parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
            })
        };
        for action in workflow.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")) {
            assert!(is_pinned(action), "{action} has a whole version");
        }
    }

    #[test]
    fn versions_are_one_a_range_or_all() {
        let range = |text| {
            parse_versions::<KubernetesVersion>(text).map(|range| (range.first.minor(), range.last.minor()))
        };
        assert_eq!(range("1.36"), Ok((36, 36)));
        assert_eq!(range("1.28..1.30"), Ok((28, 30)));
        assert_eq!(range("all"), Ok((28, 37)));
        assert!(range("1.30..1.28").is_err_and(|message| message.contains("1.28..1.30")));
        assert!(range("1.99").is_err_and(|message| message.contains("1.28 to 1.37")));
    }
}
