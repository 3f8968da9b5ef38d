//! Whether anything is left of runs on real clusters: some end by themselves, some are killed, and the next one cleans up.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "processes are killed in real time")]

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Failed, Outcome, beside, command, root};
use crate::control_plane;

/// How long one run may take.
const RUN_MAX: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);
const SIGKILL: i32 = 9;
/// A run is killed in this part of the time that one takes: some are faster than the first.
const KILLED_WITHIN: f64 = 0.8;

/// How the runs are made.
pub(crate) struct Leaks<'a> {
    pub(crate) provider: &'a str,
    pub(crate) kubernetes: &'a str,
    pub(crate) scenario: &'a str,
    pub(crate) runs: u32,
    pub(crate) killed: u32,
    pub(crate) seed: u64,
}

/// Plays a scenario again and again, kills some of the runs at random times, and counts before and after what could be left.
pub(crate) fn play(leaks: &Leaks<'_>) -> Outcome {
    if leaks.killed + 2 > leaks.runs {
        return Err(Failed::new(format!(
            "of {} runs {} can be killed at most: the first tells how long one takes, and the last cleans up",
            leaks.runs,
            leaks.runs.saturating_sub(2)
        )));
    }
    control_plane::build(&[leaks.kubernetes.to_owned()])?;
    let dir = root().join("target/leaks");
    let failed = |error: std::io::Error| Failed::new(format!("{}: {error}", dir.display()));
    // Nothing of this is ours to remove: a directory that only looks like a run, and a process in it.
    let foreign = dir.join("run-of-somebody-else");
    fs::create_dir_all(&foreign).map_err(failed)?;
    fs::write(foreign.join("precious"), "").map_err(failed)?;
    let mut bystander = Command::new("sleep")
        .arg("3600")
        .env("TOWTANK_LEAKS", &foreign)
        .current_dir(&foreign)
        .spawn()
        .map_err(failed)?;
    let outcome = play_beside(leaks, &dir, &mut bystander);
    // It may have ended, which is told already.
    let _ = bystander.kill();
    let _ = bystander.wait();
    let precious = foreign.join("precious").exists();
    fs::remove_dir_all(&foreign).map_err(failed)?;
    outcome?;
    if precious { Ok(()) } else { Err(Failed::new("a file of somebody else was removed")) }
}

fn play_beside(leaks: &Leaks<'_>, dir: &Path, bystander: &mut Child) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(leaks.seed);
    let mut numbers: Vec<u32> = (1..leaks.runs).collect();
    rng.shuffle(&mut numbers);
    // The first tells how long a run takes, and the last cleans up.
    let killed: BTreeSet<u32> =
        numbers.into_iter().filter(|number| *number + 1 < leaks.runs).take(leaks.killed as usize).collect();
    let before = Left::count(dir, bystander.id())?;
    println!("before: {before}");
    let mut length = Duration::from_secs(1);
    for number in 0..leaks.runs {
        let start = Instant::now();
        let mut run = start_run(leaks, dir)?;
        if killed.contains(&number) {
            let after = length.mul_f64(rng.f64() * KILLED_WITHIN);
            thread::sleep(after);
            // SIGKILL: nothing of it gets a chance to clean up.
            let _ = run.kill();
            let ended = run.wait();
            if !ended.as_ref().is_ok_and(|status| status.signal() == Some(SIGKILL)) {
                return Err(Failed::new(format!(
                    "run {} was to be killed, and ended before: {ended:?}",
                    number + 1
                )));
            }
            println!(
                "run {}: killed after {:.1} s; left: {}",
                number + 1,
                after.as_secs_f64(),
                Left::count(dir, bystander.id())?
            );
            continue;
        }
        let status = loop {
            match run.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if start.elapsed() < RUN_MAX => thread::sleep(POLL),
                waited => {
                    let _ = run.kill();
                    return Err(Failed::new(format!("run {}: {waited:?} after {RUN_MAX:?}", number + 1)));
                }
            }
        };
        if !status.success() {
            return Err(Failed::new(format!("run {} ended with {status}", number + 1)));
        }
        length = start.elapsed();
        println!("run {}: {:.1} s", number + 1, length.as_secs_f64());
    }
    let after = Left::count(dir, bystander.id())?;
    println!("after: {after}");
    if bystander.try_wait().is_ok_and(|ended| ended.is_some()) {
        return Err(Failed::new("a process of somebody else was ended"));
    }
    match before == after {
        true => Ok(()),
        false => Err(Failed::new(format!("something is left: {}", after.beyond(&before)))),
    }
}

fn start_run(leaks: &Leaks<'_>, dir: &Path) -> Result<Child, Failed> {
    let args = ["e2e", "--provider", leaks.provider, "--kubernetes", leaks.kubernetes, "--jobs", "1"];
    let mut command = command(beside("towtank")?, args);
    command.arg("--scenario").arg(leaks.scenario).arg("--dir").arg(dir).arg("scenarios");
    // What it prints is of no interest unless it fails, and then it is played again by hand.
    let run = command.stdout(Stdio::null()).spawn();
    run.map_err(|error| Failed::new(format!("{command:?}: {error}")))
}

/// What could be left of runs.
#[derive(PartialEq, Eq)]
struct Left {
    /// Processes that have to do with the directory of runs.
    processes: BTreeSet<String>,
    /// Containers, networks and volumes, `None` without an engine.
    containers: Option<BTreeSet<String>>,
    /// Ports of the loopback interface that somebody listens on.
    ports: BTreeSet<String>,
    /// In the directory of runs and among temporary files.
    directories: BTreeSet<PathBuf>,
}

impl Left {
    /// But for one process, which belongs to nobody's run.
    fn count(dir: &Path, bystander: u32) -> Result<Self, Failed> {
        let name = dir.to_string_lossy().into_owned();
        let runs = entries(dir).into_iter().filter(|path| starts_with(path, "run-"));
        let temporary = entries(&std::env::temp_dir()).into_iter();
        Ok(Self {
            processes: processes(&name, bystander),
            containers: containers(),
            ports: ports(),
            directories: runs.chain(temporary.filter(|path| starts_with(path, "towtank"))).collect(),
        })
    }

    fn beyond(&self, before: &Self) -> String {
        let none = BTreeSet::new();
        let containers = |left: &Self| left.containers.clone().unwrap_or_default();
        let mut left: Vec<String> = self.processes.difference(&before.processes).cloned().collect();
        left.extend(containers(self).difference(&before.containers.clone().unwrap_or(none)).cloned());
        left.extend(self.ports.difference(&before.ports).map(|port| format!("port {port}")));
        let directories = self.directories.difference(&before.directories);
        left.extend(directories.map(|path| path.display().to_string()));
        left.join(", ")
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let containers = match &self.containers {
            Some(containers) => format!("{} containers, networks and volumes", containers.len()),
            None => "no container engine".to_owned(),
        };
        let (processes, ports, directories) =
            (self.processes.len(), self.ports.len(), self.directories.len());
        write!(f, "{processes} processes, {containers}, {ports} listening ports, {directories} directories")
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// Those that were told of the directory, as an argument or in their environment, but for this process and the bystander; each as its id and its program.
fn processes(dir: &str, bystander: u32) -> BTreeSet<String> {
    let others = [std::process::id(), bystander].map(|id| id.to_string());
    let mut found = BTreeSet::new();
    for process in entries(Path::new("/proc")) {
        let id = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let says = |file: &str| {
            // A process may be gone by now.
            let text = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(dir)
        };
        if id.bytes().all(|byte| byte.is_ascii_digit())
            && !others.contains(&id)
            && (says("cmdline") || says("environ"))
        {
            let program = fs::read_link(process.join("exe")).unwrap_or_default();
            found.insert(format!("{id} {}", program.display()));
        }
    }
    found
}

/// Containers of ours, and networks and volumes of anybody but docker itself and kind, whose network all its clusters share; `None`: no engine answers.
fn containers() -> Option<BTreeSet<String>> {
    let list = |what: &str, args: &[&str]| {
        let listed = command("docker", args.iter().copied()).stderr(Stdio::null()).output();
        let listed = listed.ok().filter(|listed| listed.status.success())?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        Some(text.lines().map(|name| format!("{what} {name}")).collect::<Vec<_>>())
    };
    let mut found = list("container", &["ps", "--all", "--format", "{{.Names}}"])?;
    found.retain(|name| name.starts_with("container towtank-"));
    let mut networks = list("network", &["network", "ls", "--format", "{{.Name}}"])?;
    networks.retain(|name| {
        !["bridge", "host", "none", "kind"].iter().any(|own| name.ends_with(&format!(" {own}")))
    });
    found.append(&mut networks);
    found.append(&mut list("volume", &["volume", "ls", "--quiet"])?);
    Some(found.into_iter().collect())
}

/// As proc_net_tcp(5) has them, in hexadecimal digits: a listening socket is in state 0A.
fn ports() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (address, state) = (words.next()?, words.nth(1)?);
        (state == "0A" && address.starts_with("0100007F:")).then(|| address.to_owned())
    });
    local.collect()
}
