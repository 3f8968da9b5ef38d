//! Children: started on one thread, each with a log, and ended with whoever started them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::config::Program;
use crate::container::Contained;
use crate::error::{ControlPlaneError, at};
use crate::process::{Recorded, resident_bytes};
use crate::shim;

/// How often it is looked whether a child has ended.
const POLL: Duration = Duration::from_millis(5);
/// How much of the end of a log an error shows, at most.
const LAST_LINES: usize = 12;
const LAST_BYTES: u64 = 8 * 1024;

/// What is started, and how.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beside `PATH`: settings of the user's shell do not reach a child.
    pub envs: Vec<(OsString, OsString)>,
    /// The file that its output and its errors are added to. Its directory exists.
    pub log: PathBuf,
    /// The directory of the run that it belongs to, for [`crate::clean_up`]; containers see no other.
    pub(crate) run: Option<PathBuf>,
}

impl Launch {
    /// A program without arguments.
    pub fn new(program: impl Into<Program>, log: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), envs: Vec::new(), log: log.into(), run: None }
    }

    /// With these arguments after those that it has.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }
}

/// A running child: a process that is killed when this is dropped, and when this process ends in any way; or a container that is removed when this is dropped, and when
/// the next run begins beside this one's directory.
#[derive(Debug)]
pub struct Child {
    running: Running,
    name: String,
    log: PathBuf,
}

#[derive(Debug)]
enum Running {
    Process(process::Child),
    Container(Box<Contained>),
}

/// Starts a child that ends with this process, however that ends. A program that cannot be run is a child that ends with 127 and says so in its log.
///
/// # Errors
/// [`ControlPlaneError::NoShim`], or the operating system starts nothing, or the log cannot be written.
pub fn spawn_child(launch: &Launch) -> Result<Child, ControlPlaneError> {
    match &launch.program {
        Program::File(path) => spawn_process(launch, path),
        Program::Image(image) => {
            let outside = || ControlPlaneError::Machine(format!("{image} belongs to no run"));
            let run = launch.run.as_deref().ok_or_else(outside)?;
            let running = Running::Container(Box::new(Contained::start(launch, image, run)?));
            Ok(Child { running, name: launch.program.name(), log: launch.log.clone() })
        }
    }
}

fn spawn_process(launch: &Launch, program: &Path) -> Result<Child, ControlPlaneError> {
    let mut command = tied(program.as_os_str())?;
    let log = at(&launch.log, OpenOptions::new().create(true).append(true).open(&launch.log))?;
    let errors = at(&launch.log, log.try_clone())?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .args(&launch.args)
        .env_clear()
        .env("PATH", path)
        .envs(launch.envs.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    let process = start(command)
        .map_err(|source| ControlPlaneError::Spawn { program: launch.program.clone(), source })?;
    let name = launch.program.name();
    let pid = process.id();
    let child = Child { running: Running::Process(process), name, log: launch.log.clone() };
    if let Some(run) = &launch.run {
        record(pid, program, &run.join(RECORD))?;
    }
    Ok(child)
}

/// This executable again, which asks for the signal and becomes the program.
fn tied(program: &OsStr) -> Result<Command, ControlPlaneError> {
    if !shim::is_called() {
        return Err(ControlPlaneError::NoShim);
    }
    // Not the path of this executable: it may have been built anew since.
    let mut command = Command::new("/proc/self/exe");
    command.arg(shim::WORD).arg(process::id().to_string()).arg(program);
    // Ctrl-C at a terminal is for this process, which ends its children in order.
    command.process_group(0);
    Ok(command)
}

/// Starts a command in a process group of its own; it ends with this process, however that ends. Of `command` the program, the arguments, the changes of the environment
/// and the directory count; it reads nothing, and prints to `out` and `error`. A program that cannot be run ends with 127.
///
/// # Errors
/// [`ControlPlaneError::NoShim`], or the operating system starts nothing.
pub fn spawn_tied(
    command: &Command,
    out: impl Into<Stdio>,
    error: impl Into<Stdio>,
) -> Result<process::Child, ControlPlaneError> {
    let program = command.get_program();
    let mut child = tied(program)?;
    child.args(command.get_args()).stdin(Stdio::null()).stdout(out).stderr(error);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        child.current_dir(dir);
    }
    start(child).map_err(|source| ControlPlaneError::Spawn { program: PathBuf::from(program).into(), source })
}

/// Kills a process, and with it the group of its own in which it has started others, and waits for it. Nothing happens when it has ended.
pub fn kill_group(process: &mut process::Child) {
    // Until it is waited for, its id is nobody else's.
    if let Ok(None) = process.try_wait() {
        // The first fails too when it has no group of its own.
        let _ = kill_process_group(Pid::from_child(process), Signal::KILL);
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// What the thread that starts children is asked.
struct Order {
    command: Command,
    answer: mpsc::Sender<io::Result<process::Child>>,
}

/// Starts a process from a thread that lives as long as this process: the parent-death signal comes when the *thread* ends that has started the child (prctl(2)).
fn start(command: Command) -> io::Result<process::Child> {
    static STARTER: OnceLock<Option<mpsc::Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        let work = move || {
            for mut order in taken {
                // Who asked may be gone; then the child is ended by whoever drops it, here.
                if let Err(mpsc::SendError(Ok(mut child))) = order.answer.send(order.command.spawn()) {
                    let _ = child.kill().and_then(|()| child.wait());
                }
            }
        };
        thread::Builder::new().name("starter".to_owned()).spawn(work).ok().map(|_| orders)
    });
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts children is gone");
    let starter = starter.as_ref().ok_or_else(gone)?;
    starter.send(Order { command, answer }).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

impl Child {
    /// The id of the process; a container has none here.
    pub fn id(&self) -> Option<u32> {
        match &self.running {
            Running::Process(process) => Some(process.id()),
            Running::Container(_) => None,
        }
    }

    /// The file that has its output and its errors.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Bytes of memory that it has resident; none when it has ended, or is a container.
    pub fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(self.id()?)
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        match &mut self.running {
            // The only error is that there is no such child, and there is: it is waited for nowhere else.
            Running::Process(process) => process.try_wait().ok().flatten(),
            Running::Container(container) => container.has_ended(),
        }
    }

    /// An error when it has ended.
    ///
    /// # Errors
    /// [`ControlPlaneError::Ended`].
    pub fn check(&mut self) -> Result<(), ControlPlaneError> {
        let Some(status) = self.has_ended() else { return Ok(()) };
        let (name, log) = (self.name.clone(), self.log.clone());
        Err(ControlPlaneError::Ended { name, status: status.to_string(), last_lines: last_lines(&log), log })
    }

    /// Ends it at once, as a crash would, and what it has started.
    pub fn kill(&mut self) {
        match &mut self.running {
            Running::Process(process) => kill_group(process),
            Running::Container(container) => container.kill(),
        }
    }

    /// Asks it to end, and returns at once. A container is not asked: it is removed when it is killed.
    pub(crate) fn terminate(&mut self) {
        let pid = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // Until it is waited for, its id is nobody else's.
        if let (None, Some(pid)) = (self.has_ended(), pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Asks it to end, and kills it when it has not after `limit`. Returns how it ended.
    pub fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        if let Running::Container(container) = &mut self.running {
            return container.stop(limit);
        }
        self.terminate();
        self.wait(limit);
        self.kill();
        self.has_ended()
    }

    /// Waits until it ends, and says how; nothing when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let ended = self.has_ended();
            if ended.is_some() || start.elapsed() >= limit {
                return ended;
            }
            thread::sleep(POLL);
        }
    }
}

/// The file of a run that its child processes are recorded in.
pub(crate) const RECORD: &str = "children";

fn record(pid: u32, program: &Path, record: &Path) -> Result<(), ControlPlaneError> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let file = OpenOptions::new().create(true).append(true).open(record);
    let recorded = Recorded::new(pid, program);
    at(record, file.and_then(|mut file| file.write_all(&recorded?.line())))
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log, as far as it helps.
pub(crate) fn last_lines(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(not readable: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LAST_LINES);
    lines.get(skipped..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_become_a_child_starts_none() {
        let launch = Launch::new("/bin/true", "/nowhere/log");
        assert!(matches!(spawn_child(&launch), Err(ControlPlaneError::NoShim)));
    }

    #[test]
    fn an_error_shows_the_end_of_a_log() {
        let path = std::env::temp_dir().join(format!("towtank-log-{}", process::id()));
        let lines: Vec<String> = (1..=3000).map(|line| format!("line {line}")).collect();
        std::fs::write(&path, lines.join("\n")).expect("a log");
        let last = last_lines(&path);
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(last.lines().count(), LAST_LINES);
        assert!(last.ends_with("line 2999\nline 3000"), "{last}");
        assert!(last_lines(&path).starts_with("(not readable"));
    }
}
