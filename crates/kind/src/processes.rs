//! The processes of a docker daemon, found by their programs and by what they were told. A record of ids could be too old, or not written yet.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use towtank_control_plane::Recorded;

/// How long a process may take to be gone that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// What runs of a daemon.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// `dockerd` itself.
    pub(crate) daemons: Vec<Recorded>,
    /// What it has started: `containerd`, and the containers with their shims.
    pub(crate) below: Vec<Recorded>,
    /// Another daemon uses the same directory: nothing there belongs to this one.
    pub(crate) is_others: bool,
    /// Another daemon runs, wherever.
    pub(crate) has_others: bool,
}

impl Processes {
    /// Those of the daemon that was told this file for its process id and this directory for what lives as long as it does.
    pub(crate) fn find(pid_file: &Path, exec_root: &Path) -> Self {
        let all = all();
        let mut found = Self::default();
        let mut shims = Vec::new();
        for process in &all {
            let has = |path: &Path| process.args.iter().any(|arg| arg == path);
            let is_below = process.args.iter().any(|arg| arg != exec_root && arg.starts_with(exec_root));
            match process.name.as_str() {
                "dockerd" if has(pid_file) => found.daemons.push(process.recorded.clone()),
                "dockerd" => {
                    found.has_others = true;
                    found.is_others |= has(exec_root);
                }
                "containerd" if is_below => found.below.push(process.recorded.clone()),
                name if name.starts_with("containerd-shim") && is_below => {
                    found.below.push(process.recorded.clone());
                    shims.push(process.id);
                }
                _ => {}
            }
        }
        // The first process of a container; the others end with it.
        let contained = all.into_iter().filter(|process| shims.contains(&process.parent));
        found.below.extend(contained.map(|process| process.recorded));
        found
    }

    /// Asks the daemon to end, which ends what is below it too. Whatever has not ended after `limit`, or was left by a daemon that was killed, is killed. `false`: something still runs.
    pub(crate) fn end(pid_file: &Path, exec_root: &Path, limit: Duration) -> bool {
        let Self { daemons, .. } = Self::find(pid_file, exec_root);
        signal(&daemons, Signal::TERM);
        wait_for(&daemons, limit);
        let left = Self::find(pid_file, exec_root);
        signal(&left.daemons, Signal::KILL);
        signal(&left.below, Signal::KILL);
        wait_for(&left.daemons, KILL_LIMIT) && wait_for(&left.below, KILL_LIMIT)
    }
}

fn signal(processes: &[Recorded], signal: Signal) {
    processes.iter().for_each(|process| process.signal(signal));
}

/// `false`: one of them still runs.
fn wait_for(processes: &[Recorded], limit: Duration) -> bool {
    let start = Instant::now();
    while processes.iter().any(Recorded::is_alive) {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

struct Process {
    recorded: Recorded,
    id: i32,
    parent: i32,
    /// The name of the program's file.
    name: String,
    args: Vec<PathBuf>,
}

/// All processes of which this user may know the program: proc_pid_exe(5), proc_pid_cmdline(5), proc_pid_stat(5). One that ends meanwhile is left out.
fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(process).collect()
}

fn process(id: i32) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{id}"));
    let program = fs::read_link(dir.join("exe")).ok()?;
    // The kernel marks a file that is gone or was replaced.
    let path = program.as_os_str().as_bytes();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let program = PathBuf::from(OsString::from_vec(path.to_vec()));
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    // The name in parentheses may hold anything; state and parent follow.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    let args = fs::read(dir.join("cmdline")).ok()?;
    let args = args.split(|byte| *byte == 0).map(|arg| OsString::from_vec(arg.to_vec()).into()).collect();
    let name = program.file_name()?.to_string_lossy().into_owned();
    let recorded = Recorded::new(Pid::from_raw(id)?, &program).ok()?;
    Some(Process { recorded, id, parent, name, args })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Programs that are called as those of a daemon, and end when they are told.
    struct Scene {
        dir: PathBuf,
        children: Vec<Child>,
    }

    impl Scene {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("towtank-{name}-{}", std::process::id()));
            fs::create_dir(&dir).expect("a directory");
            Self { dir: dir.canonicalize().expect("it exists"), children: Vec::new() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.join(name)
        }

        /// A shell under another name, with a script and what it does not look at.
        fn start(&mut self, name: &str, script: &str, args: &[&Path]) -> u32 {
            let program = self.path(name);
            if !program.exists() {
                // By another process: this one would have the file open while other threads start theirs.
                let copied = Command::new("cp").arg("/bin/sh").arg(&program).status().expect("cp");
                assert!(copied.success());
            }
            let mut command = Command::new(&program);
            command.args(["-c", script, "sh"]).args(args).stdin(Stdio::piped()).stdout(Stdio::null());
            let child = command.spawn().expect("a shell");
            let id = child.id();
            self.children.push(child);
            id
        }

        /// Whether a process runs: one that has ended is waited for.
        fn runs(&mut self, id: u32) -> bool {
            let child = self.children.iter_mut().find(|child| child.id() == id).expect("it was started");
            child.try_wait().expect("a child").is_none()
        }

        /// Whether a process has ended, or is about to: its program is gone a moment before it can be waited for.
        fn ends(&mut self, id: u32) -> bool {
            let start = Instant::now();
            while self.runs(id) && start.elapsed() < KILL_LIMIT {
                thread::sleep(Duration::from_millis(1));
            }
            !self.runs(id)
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            for child in &mut self.children {
                let _ = child.kill();
                let _ = child.wait();
            }
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    /// A script that runs until it is ended.
    const WAIT: &str = "read x";

    #[test]
    fn what_a_killed_daemon_has_left_is_ended_and_nothing_else() {
        let mut scene = Scene::new("killed-daemon");
        let (root, pid_file) = (scene.path("exec"), scene.path("pid"));
        let (config, socket) = (root.join("containerd.toml"), root.join("containerd.sock"));
        let containerd = scene.start("containerd", WAIT, &[Path::new("--config"), &config]);
        // The first process of a container, which is no child of this one.
        let contained = scene.path("contained");
        let script = format!("sleep 60 & echo $! >{}; read x", contained.display());
        let shim = scene.start("containerd-shim-runc-v2", &script, &[Path::new("-address"), &socket]);
        let exe = loop {
            let id = fs::read_to_string(&contained).unwrap_or_default();
            let exe = PathBuf::from(format!("/proc/{}/exe", id.trim()));
            // It has become another program.
            if fs::read_link(&exe).is_ok_and(|program| !program.starts_with(&scene.dir)) {
                break exe;
            }
            assert!(scene.runs(shim));
            thread::sleep(Duration::from_millis(1));
        };
        let reader = scene.start("tail", WAIT, &[&pid_file, &config]);
        let elsewhere = scene.path("elsewhere/containerd.toml");
        let stranger = scene.start("containerd", WAIT, &[&elsewhere]);
        assert_eq!(Processes::find(&pid_file, &root).below.len(), 3);

        assert!(Processes::end(&pid_file, &root, KILL_LIMIT));
        assert!(fs::read_link(exe).is_err(), "the container is killed");
        assert!(scene.ends(containerd) && scene.ends(shim), "they are killed");
        assert!(scene.runs(reader) && scene.runs(stranger), "others are left alone");
    }

    #[test]
    fn a_daemon_is_that_of_its_pid_file() {
        let mut scene = Scene::new("daemons");
        let (root, pid_file, other_file) = (scene.path("exec"), scene.path("pid"), scene.path("other"));
        let own = scene.start("dockerd", WAIT, &[&root, &pid_file]);
        let found = Processes::find(&pid_file, &root);
        assert!(found.daemons.len() == 1 && !found.is_others && found.below.is_empty(), "{found:?}");
        let found = Processes::find(&other_file, &root);
        assert!(found.daemons.is_empty() && found.is_others && found.has_others, "{found:?}");
        assert!(Processes::end(&other_file, &root, KILL_LIMIT) && scene.runs(own));
        assert!(Processes::end(&pid_file, &root, KILL_LIMIT) && scene.ends(own));
    }
}
