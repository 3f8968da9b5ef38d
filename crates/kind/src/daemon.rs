//! A docker daemon of this repository's own, for machines on which none runs.
//!
//! It listens where docker's own client looks, keeps its data in a directory of the repository, and changes as little of the machine as it can: it writes no
//! firewall rules, switches no forwarding on, and what it leaves behind (an interface, directories under `/run`) is removed when it is ended. Containers
//! get no way out of the machine: two rules reject what is forwarded from their networks to any other.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use crate::command::{SOON, docker, last_lines, run};
use crate::error::{KindError, at};
use crate::oci;
use crate::processes::Processes;

/// Where docker's own client looks for a daemon of this machine.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// What of the user's environment says where docker is and how to speak to it: nothing that is done to our own daemon may meet another.
const SETTINGS: [&str; 7] = [
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
];
/// Where it keeps what lives as long as it does. Sockets are in it, and their paths must be short.
const EXEC_ROOT: &str = "/run/towtank-docker";
/// Addresses of containers: the default network, and the pool of all others. Both are in [`NETWORKS`].
const BRIDGE: &str = "172.30.0.1/24";
const POOL: &str = "base=172.31.0.0/16,size=24";
/// How the address of a bridge begins and ends whose network is of this pool. Docker's own pool has 172.31.0.0/16 too, but undivided.
const OF_POOL: (&str, &str) = ("172.31.", "/24");
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
    answers(&mut docker(INFO))
}

const INFO: [&str; 3] = ["info", "--format", "{{.ServerVersion}}"];

fn answers(info: &mut Command) -> Result<(), KindError> {
    match run(info, SOON) {
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
        if answers(&mut local(INFO)).is_ok() {
            return Err(KindError::Daemon(format!(
                "a docker daemon answers at {SOCKET}, but the docker command asks another: look at DOCKER_HOST and `docker context`"
            )));
        }
        if !geteuid().is_root() {
            return Err(KindError::NotRoot("a docker daemon"));
        }
        at(&self.dir, fs::create_dir_all(&self.dir))?;
        let _lock = self.lock()?;
        // A daemon that has died has left something behind.
        self.end()?;
        let made: Vec<&str> = LEFT.into_iter().filter(|path| !Path::new(path).exists()).collect();
        let note = self.dir.join("made");
        at(&note, fs::write(&note, made.join("\n")))?;
        for (program, networks) in NETWORKS {
            run(Command::new(program).args(reject("--insert", networks)), SOON)?;
        }
        let started = self.install_runtime().and_then(|runtime| self.start(&runtime));
        if started.is_err() {
            // The first error is the one to be told.
            let _ = self.end();
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
            .arg(self.data())
            .arg("--pidfile")
            .arg(self.pid_file())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        without_settings(&mut command);
        let mut child = command.spawn().map_err(|source| crate::command::cannot_start(&command, source))?;
        // It returns at once.
        at(&log_path, child.wait())?;
        let start = Instant::now();
        loop {
            if answers(&mut local(INFO)).is_ok() {
                return Ok(());
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
    /// It does not end, something of it cannot be removed, or another process starts or ends it.
    pub fn down(&self) -> Result<(), KindError> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.end()
    }

    /// Under the lock.
    fn end(&self) -> Result<(), KindError> {
        let note = self.dir.join("made");
        // Without the note there is nothing of it on the machine.
        let Ok(made) = fs::read_to_string(&note) else { return Ok(()) };
        let (pid_file, exec_root) = (self.pid_file(), Path::new(EXEC_ROOT));
        if Processes::find(&pid_file, exec_root).is_others {
            return Err(KindError::Daemon(format!(
                "another dockerd uses {EXEC_ROOT}: end it where it was started"
            )));
        }
        if self.is_what_answers() {
            // A daemon that does not do it is ended all the same.
            let _ = remove_all(&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]);
            let _ = remove_all(&["network", "ls", "--filter=type=custom", "--quiet"], &["network", "rm"]);
        }
        if !Processes::end(&pid_file, exec_root, END_LIMIT) {
            return Err(KindError::Daemon(format!("dockerd does not end: see {}", self.log().display())));
        }
        if Processes::find(&pid_file, exec_root).has_others {
            return Err(KindError::Daemon(format!(
                "another dockerd runs, and may use what this one has left ({}): end it first",
                LEFT.join(", ")
            )));
        }
        // Of a daemon that was killed.
        let addresses = run(Command::new("ip").args(["-4", "-oneline", "address", "show"]), SOON)?;
        for link in bridges(&addresses) {
            run(Command::new("ip").args(["link", "delete", link]), SOON)?;
        }
        let dir = at(&self.dir, self.dir.canonicalize())?;
        unmount_below(&dir.to_string_lossy())?;
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

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Nobody else starts or ends it while this is held.
    fn lock(&self) -> Result<File, KindError> {
        let path = self.dir.join("lock");
        let lock = at(&path, File::create(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::Error(error)) => at(&path, Err(error)),
            Err(TryLockError::WouldBlock) => Err(KindError::Daemon(format!(
                "{} is locked: another process starts or ends the docker daemon",
                path.display()
            ))),
        }
    }

    /// Whether it is this daemon that answers, and not somebody else's.
    fn is_what_answers(&self) -> bool {
        let root = run(&mut local(["info", "--format", "{{.DockerRootDir}}"]), SOON);
        root.is_ok_and(|root| {
            let (root, data) = (Path::new(root.trim()).canonicalize(), self.data().canonicalize());
            root.is_ok_and(|root| data.is_ok_and(|data| root == data))
        })
    }
}

/// A command of docker for the daemon of this machine, whatever the user has chosen.
fn local<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = docker(["--host", SOCKET].into_iter().chain(args));
    without_settings(&mut command);
    command
}

fn without_settings(command: &mut Command) {
    for name in SETTINGS {
        command.env_remove(name);
    }
}

/// The bridges of docker's networks that are of our pool, in what `ip` lists: a line for each address, with number, name, family and address.
fn bridges(addresses: &str) -> Vec<&str> {
    let listed = addresses.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (name, address) = (words.next()?, words.nth(1)?);
        let is_ours = address.starts_with(OF_POOL.0) && address.ends_with(OF_POOL.1);
        (name.starts_with("br-") && is_ours).then_some(name)
    });
    listed.collect()
}

/// A daemon leaves the network namespace of containers without a network mounted; one that was killed, the files of its containers.
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
    let ids = run(&mut local(list.iter().copied()), SOON)?;
    if !ids.trim().is_empty() {
        run(&mut local(remove.iter().copied().chain(ids.split_whitespace())), END_LIMIT)?;
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
    fn our_own_daemon_is_asked_whatever_the_user_has_chosen() {
        let command = local(["ps"]);
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--host", SOCKET, "ps"]);
        let removed: Vec<_> = command.get_envs().collect();
        for name in ["DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY"] {
            assert!(removed.contains(&(name.as_ref(), None)), "{name}");
        }
    }

    #[test]
    fn only_bridges_of_our_networks_are_removed() {
        let listed = "1: lo    inet 127.0.0.1/8 scope host lo\\  valid_lft forever\n\
            20: br-c226b568ec71    inet 172.31.0.1/24 brd 172.31.0.255 scope global br-c226b568ec71\\  valid_lft forever\n\
            21: br-0123456789ab    inet 172.31.0.1/16 brd 172.31.255.255 scope global br-0123456789ab\n\
            22: br-ba9876543210    inet 172.18.0.1/24 scope global br-ba9876543210\n\
            23: eth0    inet 172.31.7.2/24 brd 172.31.7.255 scope global eth0\n";
        assert_eq!(bridges(listed), ["br-c226b568ec71"]);
    }

    #[test]
    fn only_one_starts_or_ends_it_at_a_time() {
        let dir = std::env::temp_dir().join(format!("towtank-locked-daemon-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        let daemon = Daemon::new(&dir);
        let lock = daemon.lock().expect("it is free");
        let refused = daemon.down();
        // Processes that other tests start may have it open for a moment.
        lock.unlock().expect("it is held");
        let ended = daemon.down();
        fs::remove_dir_all(&dir).expect("it was there");
        assert!(matches!(&refused, Err(KindError::Daemon(why)) if why.contains("is locked")), "{refused:?}");
        assert!(ended.is_ok(), "{ended:?}");
    }

    #[test]
    fn what_was_never_started_need_not_be_ended() {
        let dir = std::env::temp_dir().join(format!("towtank-no-daemon-{}", std::process::id()));
        assert!(Daemon::new(&dir).down().is_ok());
        assert!(!dir.exists());
    }
}
