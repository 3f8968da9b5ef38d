//! Real clusters, where docker and a node image are: `cargo xtask kind test`.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real clusters take real time")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use towtank_kind::{Config, Kind, NEWEST_ON_CGROUP_V1, clean_up};

/// The first argument of this program when it shall hold a cluster until it is killed; the directory of runs follows.
const HOLD: &str = "--hold";
/// How long a cluster may take that another process makes.
const PATIENCE: Duration = Duration::from_mins(10);

fn main() -> ExitCode {
    towtank_control_plane::shim();
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, runs] = args.as_slice()
        && word == HOLD
    {
        return hold(Path::new(runs));
    }
    let trials = vec![
        Trial::test("a_cluster_goes_with_its_value", a_cluster_goes_with_its_value).with_ignored_flag(true),
        Trial::test(
            "the_next_start_deletes_what_a_killed_process_left",
            the_next_start_deletes_what_a_killed_process_left,
        )
        .with_ignored_flag(true),
    ];
    let mut arguments = Arguments::from_args();
    // Each of them is a machine or two.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One node, which is enough to be left behind.
fn config(runs: &Path) -> Config {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    Config { workers: 0, ..Config::new(target, runs, NEWEST_ON_CGROUP_V1) }
}

/// A directory of runs that goes with the test.
struct Runs(PathBuf);

impl Runs {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("towtank-kind-{name}-{}", std::process::id())))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // Of a test that has failed there may be a cluster.
        let _ = clean_up(&config(&self.0));
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The containers of a cluster.
fn containers(name: &str) -> Result<usize, Failed> {
    let filter = format!("--filter=label=io.x-k8s.kind.cluster={name}");
    let listed = Command::new("docker").args(["ps", "--all", "--quiet", &filter]).output()?;
    ensure(listed.status.success(), "docker answers")?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().count())
}

fn ensure(is_so: bool, what: &str) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(what.into()) }
}

fn a_cluster_goes_with_its_value() -> Result<(), Failed> {
    let runs = Runs::new("value");
    let kind = Kind::create(config(&runs.0))?;
    let (name, dir) = (kind.name().to_owned(), kind.dir().to_owned());
    ensure(containers(&name)? == 1, "one node is one container")?;
    let nodes = kind.kubectl_command().args(["get", "nodes", "--no-headers"]).output()?;
    let nodes = String::from_utf8_lossy(&nodes.stdout).into_owned();
    ensure(nodes.contains(" Ready ") && nodes.contains("v1.36."), &nodes)?;
    let absent = kind.load_image("towtank/no-such-image:none").expect_err("there is none");
    ensure(absent.to_string().contains("docker has no image"), &absent.to_string())?;
    drop(kind);
    ensure(containers(&name)? == 0, "the node is gone")?;
    ensure(!dir.exists(), "its directory is gone")
}

fn the_next_start_deletes_what_a_killed_process_left() -> Result<(), Failed> {
    let runs = Runs::new("killed");
    let (mut killed, mut living) = (Holder::start(&runs.0)?, Holder::start(&runs.0)?);
    let (left, other) = (killed.cluster()?, living.cluster()?);
    killed.child.kill()?;
    killed.child.wait()?;
    ensure(containers(&left)? == 1, "a killed process deletes nothing")?;
    let next = Kind::create(config(&runs.0))?;
    ensure(containers(&left)? == 0, "the next start deletes the cluster of the killed one")?;
    ensure(containers(&other)? == 1, "the cluster of a process that lives is left alone")?;
    drop(next);
    ensure(containers(&other)? == 1, "and so is it by the end of another")?;
    living.child.kill()?;
    living.child.wait()?;
    ensure(clean_up(&config(&runs.0))? == 1, "one is left")?;
    ensure(containers(&other)? == 0, "it is deleted")
}

/// A process that holds a cluster.
struct Holder {
    child: Child,
}

impl Holder {
    fn start(runs: &Path) -> Result<Self, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self { child: command.arg(HOLD).arg(runs).stdout(Stdio::piped()).spawn()? })
    }

    /// The name of its cluster, once it is there.
    fn cluster(&mut self) -> Result<String, Failed> {
        let out = self.child.stdout.take().ok_or("it prints")?;
        let mut name = String::new();
        // It ends by itself when the cluster does not come up.
        BufReader::new(out).read_line(&mut name)?;
        ensure(!name.trim().is_empty(), "there is a cluster")?;
        Ok(name.trim().to_owned())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a holder does: it never ends in order.
fn hold(runs: &Path) -> ExitCode {
    let kind = match Kind::create(config(runs)) {
        Ok(kind) => kind,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", kind.name());
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
    }
    ExitCode::FAILURE
}
