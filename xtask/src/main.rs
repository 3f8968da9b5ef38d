//! Every chore of the repository: `cargo xtask --help`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, Subcommand};
use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{build, check_go};

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
    /// Puts random objects and writes to the model's admission and to Kubernetes' own, and compares.
    Admission {
        /// Updates that are compared, for each version.
        #[arg(long, default_value_t = 100_000)]
        updates: u64,
        /// Minor version of Kubernetes, such as 1.36; can be given several times. All when none is given.
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
        #[arg(long, default_value_t = 1_000)]
        stories: u64,
        /// Minor version of Kubernetes, such as 1.36; can be given several times.
        #[arg(long, value_name = "VERSION", default_value = "1.37")]
        kubernetes: Vec<String>,
        /// Another seed, other stories.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A seeded mistake in the model, by its number.
        #[arg(long)]
        mutant: Option<u32>,
    },
    /// Licences, sources and advisories of what we depend on (installs cargo-deny when it is missing).
    Deny,
}

#[derive(Subcommand)]
enum ReferenceChore {
    /// Builds drivers that are missing or older than their sources.
    Build {
        /// Minor version of Kubernetes, such as 1.36; can be given several times. The newest when none is given.
        #[arg(long, value_name = "VERSION", conflicts_with = "all")]
        kubernetes: Vec<String>,
        /// All versions.
        #[arg(long)]
        all: bool,
    },
    /// Makes the recordings under snapshots/reference/ anew: what the real controller writes in every scenario.
    Record {
        /// Minor version of Kubernetes, such as 1.36; can be given several times. All when none is given.
        #[arg(long, value_name = "VERSION")]
        kubernetes: Vec<String>,
        /// Writes nothing, and fails with the difference when a recording would change.
        #[arg(long)]
        check: bool,
    },
}

/// A chore that did not succeed: what was run.
struct Failed(String);

type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Ci => ci(),
        Chore::Test { args } => test(&args),
        Chore::Bench { args } => {
            cargo(["bench", "--package", "towtank-benches"].into_iter().map(String::from).chain(args))
        }
        Chore::Reference { chore } => match chore {
            ReferenceChore::Build { kubernetes, all } => reference(&kubernetes, all),
            ReferenceChore::Record { kubernetes, check } => record(&kubernetes, check),
        },
        Chore::Mutants { reference: false, .. } => mutants(),
        Chore::Mutants { kubernetes, stories, .. } => mutants_on_reference(&kubernetes, stories),
        Chore::Hunt { defects, minutes, seed, rehearse } => hunt(&defects, minutes, seed, rehearse),
        Chore::Stories { stories } => choose_stories(stories),
        Chore::Docs => docs(),
        Chore::Admission { updates, kubernetes, seed, refusals } => {
            admission(&kubernetes, updates, seed, refusals)
        }
        Chore::Differential { stories, kubernetes, seed, mutant } => {
            versions(&kubernetes).and_then(|versions| {
                versions.into_iter().try_for_each(|version| differential(version, stories, seed, mutant))
            })
        }
        Chore::Deny => deny(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(what)) => {
            eprintln!("xtask: failed: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Random stories for each of these.
const STORIES_IN_CI: u64 = 300;

/// The versions that continuous integration plays the reference of: the newest, and one as old as can be.
const PLAYED_IN_CI: [&str; 2] = ["1.37", "1.28"];

fn ci() -> Outcome {
    let go = check_go();
    // A thread builds with Go what is not built yet, while cargo checks and compiles.
    std::thread::scope(|scope| {
        let build = || reference(&PLAYED_IN_CI.map(String::from), false);
        let drivers = go.is_ok().then(|| scope.spawn(build));
        step("format", || cargo(["fmt", "--all", "--check"]))?;
        step("clippy", || {
            cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
        })?;
        step("documentation", || {
            run(command("cargo", ["doc", "--workspace", "--no-deps", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"))
        })?;
        step("dependencies", deny)?;
        // README's two commands, exactly as it shows them.
        step("scenarios", || cargo(["towtank", "run"]))?;
        step("tests", || cargo(["xtask", "test"]))?;
        let Some(drivers) = drivers else {
            let why = go.err().map(|error| format!(": {error}")).unwrap_or_default();
            eprintln!("xtask: the real controller was not played, only its recordings compared with{why}");
            return Ok(());
        };
        step("drivers of the reference", || {
            drivers.join().unwrap_or_else(|_| Err(Failed("building the drivers".to_owned())))
        })?;
        play_the_reference()
    })
}

/// The real controller, played now: beside the model, against its own recordings, and in random stories.
fn play_the_reference() -> Outcome {
    for version in PLAYED_IN_CI {
        step(&format!("the real controller of Kubernetes {version} beside the model"), || {
            quietly(["towtank", "run", "--world", "model", "--world", "reference", "--kubernetes", version])
        })?;
    }
    step("recordings", || record(&PLAYED_IN_CI.map(String::from), true))?;
    step("random stories", || {
        let versions = versions(&PLAYED_IN_CI.map(String::from))?;
        versions.into_iter().try_for_each(|version| differential(version, STORIES_IN_CI, 1, None))
    })
}

/// Random stories on the model and on the real controller of one version.
fn differential(version: KubernetesVersion, stories: u64, seed: u64, mutant: Option<u32>) -> Outcome {
    driver(version)?;
    let mut args = vec![
        "compare".to_owned(),
        format!("--stories={stories}"),
        format!("--kubernetes={version}"),
        format!("--seed={seed}"),
    ];
    args.extend(mutant.map(|number| format!("--mutant={number}")));
    random_stories(mutant.is_some(), args)
}

/// Every seeded mistake, on the real controller of these versions.
fn mutants_on_reference(named: &[String], stories: u64) -> Outcome {
    reference(named, false)?;
    let versions = format!("--kubernetes={}", named.join(","));
    let args = ["mutants", "--output=docs/mutants.md", &versions, &format!("--stories={stories}")];
    random_stories(true, args.map(String::from))
}

/// Known defects, on the real controllers that have them.
fn hunt(defects: &[String], minutes: u64, seed: u64, rehearses: bool) -> Outcome {
    let mut args = vec!["hunt".to_owned(), format!("--minutes={minutes}"), format!("--seed={seed}")];
    if rehearses {
        args.push("--world=model".to_owned());
    } else {
        reference(&[], true)?;
    }
    if defects.is_empty() && !rehearses {
        args.push("--output=docs/hunts.md".to_owned());
    }
    args.extend_from_slice(defects);
    random_stories(false, args)
}

/// Random stories that are worth keeping, and what the real controllers make of them.
fn choose_stories(stories: usize) -> Outcome {
    reference(&[], true)?;
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

/// Announces a part of a chore, so that a log shows where it stands.
fn step(name: &str, chore: impl FnOnce() -> Outcome) -> Outcome {
    eprintln!("xtask: {name}");
    chore()
}

fn test(args: &[String]) -> Outcome {
    let mut tests = command("cargo", ["test", "--workspace", "--release", "--quiet"]);
    // The same cases every time, so that a build does not fail by lot; plain `cargo test` draws new ones.
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        tests.env("PROPTEST_RNG_SEED", "1");
    }
    run(tests.args(args))?;
    if args.is_empty() { same_bytes_in_debug_and_release() } else { Ok(()) }
}

/// Not part of `ci`: the feature would have the model, and all that is built on it, compiled twice.
fn mutants() -> Outcome {
    const STORIES: [&str; 8] = [
        "test",
        "--release",
        "--quiet",
        "--package",
        "towtank-explore",
        "--features",
        "mutants",
        "--test=mutants",
    ];
    cargo(STORIES)
}

/// The tests that compare the documents with runs write them, when they are told to.
fn docs() -> Outcome {
    let tests = ["test", "--release", "--quiet", "--package", "towtank", "--test=documents"];
    run(command("cargo", tests).env("UPDATE_DOCS", "1"))
}

/// Invariant 5 of ARCHITECTURE.md: one seed, one trace, whatever the build.
fn same_bytes_in_debug_and_release() -> Outcome {
    let traces = |profile: &[&str]| {
        let mut command =
            command("cargo", ["run", "--quiet", "--package", "towtank-explore", "--example", "traces"]);
        let output = command.args(profile).stderr(Stdio::inherit()).output();
        match output {
            Ok(output) if output.status.success() && !output.stdout.is_empty() => Ok(output.stdout),
            _ => Err(Failed(format!("{command:?}"))),
        }
    };
    let (debug, release) = (traces(&[])?, traces(&["--release"])?);
    if debug != release {
        return Err(Failed(
            "the debug and the release build print different traces for the same seeds".to_owned(),
        ));
    }
    eprintln!(
        "xtask: {} seeds: same bytes in debug and release",
        debug.iter().filter(|&&byte| byte == b'\n').count()
    );
    Ok(())
}

/// Builds drivers one after the other: one Go build has work for all cores.
fn reference(named: &[String], all: bool) -> Outcome {
    let versions = match named {
        [] if !all => vec![KubernetesVersion::NEWEST],
        named => versions(named)?,
    };
    for version in versions {
        eprintln!("xtask: Kubernetes {version}: {}", driver(version)?.display());
    }
    Ok(())
}

/// The versions of these names; all when none is named.
fn versions(named: &[String]) -> Result<Vec<KubernetesVersion>, Failed> {
    if named.is_empty() {
        return Ok(KubernetesVersion::all().collect());
    }
    let unknown = |text: &String| {
        Failed(format!("no driver can be built for Kubernetes {text}: choose one from 1.28 to 1.37"))
    };
    named.iter().map(|text| text.parse().map_err(|_| unknown(text))).collect()
}

/// Where the driver of a version is, built if need be.
fn driver(version: KubernetesVersion) -> Result<PathBuf, Failed> {
    let mut say = |line: &str| eprintln!("xtask: {line}");
    build(&root().join("target"), version, &mut say).map_err(|error| Failed(error.to_string()))
}

/// Builds the drivers that are missing and plays every scenario in them.
fn record(named: &[String], check: bool) -> Outcome {
    reference(named, named.is_empty())?;
    let mut args: Vec<String> = ["towtank", "record"].map(String::from).into();
    args.extend(named.iter().flat_map(|version| ["--kubernetes".to_owned(), version.clone()]));
    args.extend(check.then(|| "--check".to_owned()));
    cargo(args)
}

/// Compares the admission of versions one after the other: the driver has work for one core, the model for the other.
fn admission(named: &[String], updates: u64, seed: u64, refusals: bool) -> Outcome {
    let mut differing = Vec::new();
    for version in versions(named)? {
        let report = towtank_reference::admission::run(&driver(version)?, version, updates, seed)
            .map_err(|error| Failed(format!("admission of {version}: {error}")))?;
        for difference in &report.differences {
            println!("{version}: the sides differ: {difference}");
        }
        if refusals {
            for (refusal, count) in &report.refusals {
                println!("{version}: {count} times {refusal}");
            }
        }
        println!(
            "{version}: {} creations, {} updates, {} accepted, {} kinds of refusals, {} panics of the original, {} differences",
            report.creations,
            report.updates,
            report.accepted,
            report.refusals.len(),
            report.panics,
            report.differences.len()
        );
        if !report.differences.is_empty() {
            differing.push(version.to_string());
        }
    }
    if differing.is_empty() {
        Ok(())
    } else {
        Err(Failed(format!("admission differs in {}", differing.join(", "))))
    }
}

/// Version of cargo-deny that is installed when none is there.
const CARGO_DENY: &str = "0.20.2";

fn deny() -> Outcome {
    let tools = root().join("target/tools");
    let local = tools.join("bin/cargo-deny");
    let has = |program: &Path| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let program = if has(Path::new("cargo-deny")) {
        PathBuf::from("cargo-deny")
    } else {
        if !has(&local) {
            cargo([
                "install",
                "cargo-deny",
                "--locked",
                "--quiet",
                "--version",
                CARGO_DENY,
                "--root",
                &tools.to_string_lossy(),
            ])?;
        }
        local
    };
    let check = |what: &[&str]| run(command(&program, ["--log-level", "error", "check"]).args(what));
    check(&["licenses", "bans", "sources"])?;
    // The advisory database is a git repository elsewhere; a machine without a way to it says so and goes on.
    let fetched = command(&program, ["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        check(&["advisories"])
    } else {
        eprintln!("xtask: advisories not checked: their database cannot be reached from here");
        Ok(())
    }
}

/// Runs cargo and shows what it printed only when it did not succeed.
fn quietly(args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Outcome {
    let mut command = command("cargo", args);
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            Err(Failed(format!("{command:?} ended with {}", output.status)))
        }
        Err(error) => Err(Failed(format!("{command:?}: {error}"))),
    }
}

fn cargo(args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Outcome {
    run(&mut command("cargo", args))
}

fn command(
    program: impl AsRef<std::ffi::OsStr>,
    args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

fn run(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed(format!("{command:?} ended with {status}"))),
        Err(error) => Err(Failed(format!("{command:?}: {error}"))),
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
