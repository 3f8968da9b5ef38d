//! A docker daemon of this repository's own, for machines on which none runs.
//!
//! It listens where docker's own client looks, keeps its data in a directory of the repository, and changes as little of the machine as it can: it writes no
//! firewall rules, switches no forwarding on, and what it leaves behind (an interface, directories under `/run`) is removed when it is ended. Containers
//! get no way out of the machine: two rules reject what is forwarded from their networks to any other.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid};
use towtank_control_plane::Recorded;

use crate::command::{SOON, docker, last_lines, run};
use crate::error::{KindError, at};
use crate::oci;

/// Where it keeps what lives as long as it does. Sockets are in it, and their paths must be short.
const EXEC_ROOT: &str = "/run/towtank-docker";
/// Addresses of containers: the default network, and the pool of all others. Both are in [`NETWORKS`].
const BRIDGE: &str = "172.30.0.1/24";
const POOL: &str = "base=172.31.0.0/16,size=24";
/// What is rejected when it is forwarded from one of these to anything else: the firewall's command, and the networks. kind gives its network an address of
/// the second kind (RFC 4193).
const NETWORKS: [(&str, &str); 2] = [("iptables", "172.30.0.0/15"), ("ip6tables", "fc00::/7")];
/// What a daemon leaves behind, and this removes unless it was there before.
const LEFT: [&str; 3] = ["/sys/class/net/docker0", "/run/docker", EXEC_ROOT];

const START_LIMIT: Duration = Duration::from_secs(60);
/// It stops its containers first.
const END_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// Checks that a docker daemon answers.
///
/// # Errors
/// There is no docker command, or it reaches no daemon.
pub fn check_docker() -> Result<(), KindError> {
    match run(&mut docker(["info", "--format", "{{.ServerVersion}}"]), SOON) {
        Ok(_) => Ok(()),
        Err(KindError::Failed { said, .. }) => Err(KindError::NoDocker(said)),
        Err(error) => Err(error),
    }
}

/// What [`Daemon::up`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A daemon answers already, whoever has started it.
    AlreadyThere,
    /// It was started.
    Now,
}

/// The daemon of a directory.
#[derive(Clone, Debug)]
pub struct Daemon {
    dir: PathBuf,
}

impl Daemon {
    /// The daemon that keeps everything in this directory, whether it runs or not.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Starts it, unless one answers already, and returns when it answers.
    ///
    /// # Errors
    /// Docker or iptables is not installed, the user is not root, or the daemon does not answer: then the error has the end of its log.
    pub fn up(&self) -> Result<Started, KindError> {
        match check_docker() {
            Ok(()) => return Ok(Started::AlreadyThere),
            Err(KindError::NoDocker(_)) => {}
            Err(error) => return Err(error),
        }
        if !geteuid().is_root() {
            return Err(KindError::NotRoot("a docker daemon"));
        }
        // A daemon that has died has left something behind.
        self.down()?;
        at(&self.dir, fs::create_dir_all(&self.dir))?;
        let made: Vec<&str> = LEFT.into_iter().filter(|path| !Path::new(path).exists()).collect();
        let note = self.dir.join("made");
        at(&note, fs::write(&note, made.join("\n")))?;
        for (program, networks) in NETWORKS {
            run(Command::new(program).args(reject("--insert", networks)), SOON)?;
        }
        let started = self.install_runtime().and_then(|runtime| self.start(&runtime));
        if started.is_err() {
            // The first error is the one to be told.
            let _ = self.down();
        }
        started.map(|()| Started::Now)
    }

    /// This program under the name by which it is an OCI runtime: a copy, which stays when this program is built anew.
    fn install_runtime(&self) -> Result<PathBuf, KindError> {
        let own = at(Path::new("this program"), std::env::current_exe())?;
        let (runtime, unfinished) = (self.dir.join(oci::NAME), self.dir.join("unfinished"));
        at(&own, fs::copy(&own, &unfinished))?;
        at(&unfinished, fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755)))?;
        at(&runtime, fs::rename(&unfinished, &runtime))?;
        at(&runtime, runtime.canonicalize())
    }

    fn start(&self, runtime: &Path) -> Result<(), KindError> {
        let log_path = self.log();
        let log = at(&log_path, File::create(&log_path))?;
        let errors = at(&log_path, log.try_clone())?;
        let mut command = Command::new("setsid");
        // In a session of its own: it stays when the terminal is closed.
        command
            .args(["--fork", "dockerd", "--bip", BRIDGE, "--default-address-pool", POOL])
            .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
            // Names of the world outside: nobody there answers, and this says so at once. kind does not wait for nodes that wait for an answer.
            .args(["--dns", "127.0.0.1"])
            .args(["--exec-root", EXEC_ROOT, "--default-runtime", "bounded"])
            .arg(format!("--add-runtime=bounded={}", runtime.display()))
            .arg("--data-root")
            .arg(self.dir.join("data"))
            .arg("--pidfile")
            .arg(self.pid_file())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let mut child = command.spawn().map_err(|source| crate::command::cannot_start(&command, source))?;
        // It returns at once.
        at(&log_path, child.wait())?;
        let start = Instant::now();
        loop {
            let answer = check_docker();
            if answer.is_ok() {
                return self.record();
            }
            if start.elapsed() > START_LIMIT {
                let said = fs::read_to_string(&log_path).unwrap_or_default();
                let said = last_lines(&said);
                return Err(KindError::Daemon(format!(
                    "dockerd does not answer after {} s:\n{said}",
                    START_LIMIT.as_secs()
                )));
            }
            thread::sleep(POLL);
        }
    }

    /// Ends it with all its containers and networks, and removes what it has left on the machine. Images stay in its directory. Nothing happens when it
    /// is not there.
    ///
    /// # Errors
    /// It does not end, or something of it cannot be removed.
    pub fn down(&self) -> Result<(), KindError> {
        let daemons = Recorded::read(&self.dir.join("daemon"));
        let daemons: Vec<_> = daemons.into_iter().filter(Recorded::is_alive).collect();
        if !daemons.is_empty() {
            // A daemon that does not answer is ended all the same.
            let _ = remove_all(&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]);
            let _ = remove_all(&["network", "ls", "--filter=type=custom", "--quiet"], &["network", "rm"]);
        }
        for daemon in &daemons {
            daemon.signal(Signal::TERM);
        }
        let start = Instant::now();
        while daemons.iter().any(Recorded::is_alive) {
            if start.elapsed() > END_LIMIT {
                return Err(KindError::Daemon(format!("dockerd does not end: see {}", self.log().display())));
            }
            thread::sleep(POLL);
        }
        let note = self.dir.join("made");
        // Without the note there is nothing of it on the machine.
        let Ok(made) = fs::read_to_string(&note) else { return Ok(()) };
        for path in made.lines().filter(|path| Path::new(path).exists()) {
            match path.strip_prefix("/sys/class/net/") {
                Some(link) => run(Command::new("ip").args(["link", "delete", link]), SOON).map(drop)?,
                None => {
                    unmount_below(path)?;
                    at(Path::new(path), fs::remove_dir_all(path))?;
                }
            }
        }
        for (program, networks) in NETWORKS {
            if run(Command::new(program).args(reject("--check", networks)), SOON).is_ok() {
                run(Command::new(program).args(reject("--delete", networks)), SOON)?;
            }
        }
        at(&note, fs::remove_file(&note))
    }

    /// What it prints.
    pub fn log(&self) -> PathBuf {
        self.dir.join("dockerd.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("dockerd.pid")
    }

    /// Remembers which process it is, for [`Self::down`].
    fn record(&self) -> Result<(), KindError> {
        let path = self.pid_file();
        let pid = at(&path, fs::read_to_string(&path))?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| KindError::Daemon(format!("{} has no process id", path.display())))?;
        let program = at(&path, fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())))?;
        let recorded = at(&path, Recorded::new(pid, &program))?;
        let record = self.dir.join("daemon");
        at(&record, fs::write(&record, recorded.line()))
    }
}

/// A daemon leaves the network namespace of containers without a network mounted.
fn unmount_below(dir: &str) -> Result<(), KindError> {
    let table = Path::new("/proc/self/mounts");
    let mounts = at(table, fs::read_to_string(table))?;
    for mount in mounts_below(&mounts, dir) {
        run(Command::new("umount").arg(mount), SOON)?;
    }
    Ok(())
}

/// The second field of proc_mounts(5), the last mount first.
fn mounts_below<'a>(mounts: &'a str, dir: &str) -> Vec<&'a str> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below = points.filter(|point| point.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')));
    let mut below: Vec<&str> = below.collect();
    below.reverse();
    below
}

/// Removes everything that a command lists.
fn remove_all(list: &[&str], remove: &[&str]) -> Result<(), KindError> {
    let ids = run(&mut docker(list.iter().copied()), SOON)?;
    if !ids.trim().is_empty() {
        run(&mut docker(remove.iter().copied().chain(ids.split_whitespace())), END_LIMIT)?;
    }
    Ok(())
}

/// The rule that keeps containers on this machine.
fn reject<'a>(action: &'a str, networks: &'a str) -> [&'a str; 10] {
    ["--wait", action, "FORWARD", "--source", networks, "!", "--destination", networks, "--jump", "REJECT"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_is_unmounted() {
        let mounts = "nsfs /run/x/netns/default nsfs rw 0 0\ntmpfs /run/xy tmpfs rw 0 0\ntmpfs /run/x tmpfs rw 0 0\nnsfs /run/x/y nsfs rw 0 0\n";
        assert_eq!(mounts_below(mounts, "/run/x"), ["/run/x/y", "/run/x/netns/default"]);
    }

    #[test]
    fn what_was_never_started_need_not_be_ended() {
        let dir = std::env::temp_dir().join(format!("towtank-no-daemon-{}", std::process::id()));
        assert!(Daemon::new(&dir).down().is_ok());
        assert!(!dir.exists());
    }
}
