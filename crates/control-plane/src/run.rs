//! The directories of runs. Each has a lock that is held while the run lives, so that whoever comes next knows what is left of killed ones.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::certificates::random_hex;
use crate::child;
use crate::container;
use crate::error::{ControlPlaneError, at};
use crate::flags::Layout;
use crate::process::Recorded;

/// Directories of runs are called so, with random digits after it. Others are nobody's business here.
const PREFIX: &str = "run-";
/// Held while a run lives.
const LOCK: &str = "lock";
/// The process that a run belongs to.
const OWNER: &str = "owner";
/// Where logs of failed runs are kept, one directory for each.
const FAILED: &str = "failed";
/// So many failed runs are kept; the oldest go first.
const FAILED_KEPT: usize = 10;
/// How long the lock of all runs is waited for. It is held for moments.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
/// How long a process may take to end after a signal.
const END_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// What is done about a run whose process was killed before its directory is removed: it is given the directory.
pub type Undo<'a> = &'a dyn Fn(&Path) -> Result<(), ControlPlaneError>;

/// The directory of a run of this process, with a directory for `logs` in it. It is removed when this is dropped.
#[derive(Debug)]
pub struct RunDir {
    parent: PathBuf,
    path: PathBuf,
    /// The path again, as text.
    root: String,
    keep_logs: Option<PathBuf>,
    stays: bool,
    _lock: File,
}

impl RunDir {
    /// Removes what killed runs have left in `parent`, and makes a directory for a new one.
    ///
    /// # Errors
    /// As [`clean_up`], or the directory cannot be made.
    pub fn create(parent: &Path, undo: Undo<'_>) -> Result<Self, ControlPlaneError> {
        at(parent, fs::create_dir_all(parent))?;
        let parent = at(parent, parent.canonicalize())?;
        let _all = lock_all(&parent)?;
        remove_left(&parent, undo)?;
        let path = parent.join(format!("{PREFIX}{}", random_hex(4)?));
        let root = path.to_str().ok_or_else(|| ControlPlaneError::NotText(path.clone()))?.to_owned();
        // Keys and tokens are in it.
        at(&path, DirBuilder::new().mode(0o700).create(&path))?;
        let lock_path = path.join(LOCK);
        let lock = at(&lock_path, File::create(&lock_path))?;
        at(&lock_path, lock.try_lock().map_err(io::Error::from))?;
        let run = Self { parent, path, root, keep_logs: None, stays: false, _lock: lock };
        let program = std::env::current_exe().unwrap_or_default();
        let owner = at(&program, Recorded::new(rustix::process::getpid(), &program))?;
        run.write(&run.path.join(OWNER), &owner.line())?;
        let logs = run.layout().logs();
        at(&logs, fs::create_dir(&logs))?;
        Ok(run)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.root)
    }

    /// Writes a file that only this user can read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), ControlPlaneError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        at(path, file.and_then(|mut file| file.write_all(bytes)))
    }

    /// At the end, the logs are moved to `to`, which does not exist yet.
    pub fn keep_logs(&mut self, to: PathBuf) {
        self.keep_logs = Some(to);
    }

    /// Something is left that only an [`Undo`] can remove: at the end the directory stays, as that of a killed process does, for the next start.
    pub fn leave(&mut self) {
        self.stays = true;
    }

    /// At the end, the logs are moved beside the directories of runs, unless somebody has said where to. Returns where they will be.
    pub fn keep_logs_of_failed(&mut self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let usual = self.parent.join(FAILED).join(name);
        self.keep_logs.get_or_insert(usual).clone()
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Nobody is there to be told of an error, and the next run tries again.
        if let Some(to) = &self.keep_logs {
            let _ = keep(&self.layout().logs(), to);
            let _ = forget_oldest(&self.parent.join(FAILED));
        }
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn keep(logs: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::rename(logs, to).is_ok() {
        return Ok(());
    }
    // On another file system.
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(logs)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn forget_oldest(failed: &Path) -> io::Result<()> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(failed)? {
        let entry = entry?;
        runs.push((entry.metadata()?.modified()?, entry.path()));
    }
    runs.sort();
    for (_, path) in runs.iter().take(runs.len().saturating_sub(FAILED_KEPT)) {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

/// Removes the directories in `dir` that killed runs have left, and ends children of theirs, if there are any. Runs that live, and whatever else is
/// in `dir`, are left alone. Returns how many directories were removed.
///
/// # Errors
/// A file cannot be read or removed, another process holds the lock for too long, or `undo` fails: then the directory stays for the next.
pub fn clean_up(dir: &Path, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    if !dir.exists() {
        return Ok(0);
    }
    let _all = lock_all(dir)?;
    remove_left(dir, undo)
}

/// Ends the runs in `dir` that live, by asking the process of each to end, and removes what is left of them. Returns how many there were.
///
/// # Errors
/// As [`clean_up`], or a process does not end.
pub fn end_runs(dir: &Path, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    let mut ended = 0;
    for run in runs(dir)? {
        if let Left::Lives = left(&run)? {
            for owner in Recorded::read(&run.join(OWNER)) {
                owner.signal(Signal::TERM);
                if !until(|| !owner.is_alive()) {
                    owner.signal(Signal::KILL);
                }
                if !until(|| !owner.is_alive()) {
                    return Err(ControlPlaneError::Busy(run));
                }
                ended += 1;
            }
        }
    }
    clean_up(dir, undo)?;
    Ok(ended)
}

/// Nobody else makes or removes directories of runs while this is held.
fn lock_all(dir: &Path) -> Result<File, ControlPlaneError> {
    let path = dir.join(LOCK);
    let file = at(&path, File::create(&path))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return at(&path, Err(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_LIMIT => {
                return Err(ControlPlaneError::Busy(path));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
}

fn runs(dir: &Path) -> Result<Vec<PathBuf>, ControlPlaneError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => at(dir, entries)?,
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = at(dir, entry)?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && entry.file_name().to_string_lossy().starts_with(PREFIX) {
            runs.push(entry.path());
        }
    }
    Ok(runs)
}

/// What the directory of a run is.
enum Left {
    /// Its process runs.
    Lives,
    /// Its process is gone, and the lock is ours.
    Dead(File),
    /// It ended before it had a lock, or has gone just now.
    Unfinished,
}

fn left(run: &Path) -> Result<Left, ControlPlaneError> {
    let path = run.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Unfinished),
        lock => at(&path, lock)?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(Left::Dead(lock)),
        Err(TryLockError::WouldBlock) => Ok(Left::Lives),
        Err(TryLockError::Error(error)) => at(&path, Err(error)),
    }
}

/// Under the lock of all runs.
fn remove_left(dir: &Path, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    let mut removed = 0;
    for run in runs(dir)? {
        match left(&run)? {
            Left::Lives => {}
            Left::Dead(_lock) => {
                end_children(&run)?;
                if !container::remove_left(&run)? {
                    // The next start tries again.
                    continue;
                }
                undo(&run)?;
                remove(&run, fs::remove_dir_all(&run))?;
                removed += 1;
            }
            // Only an empty one: what has files and no lock is no directory of ours.
            Left::Unfinished => removed += usize::from(fs::remove_dir(&run).is_ok()),
        }
    }
    Ok(removed)
}

/// A run that ends removes its directory itself.
fn remove(run: &Path, result: io::Result<()>) -> Result<(), ControlPlaneError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => at(run, result),
    }
}

fn end_children(run: &Path) -> Result<(), ControlPlaneError> {
    let children = Recorded::read(&run.join(child::RECORD));
    for child in &children {
        child.signal(Signal::KILL);
    }
    if until(|| !children.iter().any(Recorded::is_alive)) {
        Ok(())
    } else {
        Err(ControlPlaneError::Busy(run.to_owned()))
    }
}

/// Waits until it is so; not when it takes too long.
fn until(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > END_LIMIT {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use rustix::process::Pid;

    use super::*;

    /// An empty directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let dir = std::env::temp_dir().join(format!("towtank-runs-{}", random_hex(8).expect("random")));
            fs::create_dir(&dir).expect("a directory");
            Self(dir.canonicalize().expect("it exists"))
        }

        /// What a killed run has left, with a child.
        fn killed_run(&self, name: &str, child: &[u8]) -> PathBuf {
            let run = self.0.join(name);
            fs::create_dir(&run).expect("a directory");
            fs::write(run.join(LOCK), "").expect("a lock");
            fs::write(run.join("children"), child).expect("a record");
            run
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const NOTHING: Undo<'_> = &|_| Ok(());

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").spawn().expect("sleep"))
        }

        fn recorded(&self, program: &Path) -> Recorded {
            let pid = Pid::from_child(&self.0);
            Recorded::new(pid, program).expect("it runs")
        }

        /// Its program, which it is once it has become that.
        fn program(&self) -> PathBuf {
            let link = PathBuf::from(format!("/proc/{}/exe", self.0.id()));
            assert!(until(
                || fs::read_link(&link).is_ok_and(|path| path != std::env::current_exe().expect("a path"))
            ));
            fs::read_link(link).expect("it runs")
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn only_directories_of_dead_runs_are_removed() {
        let scratch = Scratch::new();
        let dead = scratch.killed_run("run-dead", b"");
        let others = [scratch.killed_run("walk-dead", b""), scratch.0.join("run-file")];
        fs::write(&others[1], "").expect("a file");
        let no_run = scratch.0.join("run-without-a-lock");
        fs::create_dir(&no_run).expect("a directory");
        fs::write(no_run.join("precious"), "").expect("a file");
        let living = RunDir::create(&scratch.0, NOTHING).expect("a run");
        assert!(!dead.exists(), "a start removes what is left");
        scratch.killed_run("run-dead-too", b"");
        fs::create_dir(scratch.0.join("run-empty")).expect("a directory");
        assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 2);
        assert!(living.path().join("logs").is_dir());
        assert!(others.iter().all(|other| other.exists()));
        assert!(no_run.join("precious").exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_undone_is_tried_again() {
        let scratch = Scratch::new();
        let (dead, living) = (scratch.killed_run("run-dead", b""), RunDir::create(&scratch.0, NOTHING));
        let dead_too = scratch.killed_run("run-dead-too", b"");
        assert!(!dead.exists() && living.is_ok());
        let refuse = |run: &Path| Err(ControlPlaneError::Busy(run.to_owned()));
        assert!(
            matches!(clean_up(&scratch.0, &refuse), Err(ControlPlaneError::Busy(run)) if run == dead_too),
            "only that of the dead run is undone"
        );
        assert!(dead_too.exists());
        assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1);
    }

    #[test]
    fn a_run_can_leave_its_directory_to_the_next() {
        let scratch = Scratch::new();
        let mut run = RunDir::create(&scratch.0, NOTHING).expect("a run");
        let path = run.path().to_owned();
        run.leave();
        assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 0, "it lives");
        drop(run);
        assert!(path.is_dir());
        assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1);
        assert!(!path.exists());
    }

    #[test]
    fn nothing_is_to_be_cleaned_up_where_nothing_is() {
        let scratch = Scratch::new();
        assert_eq!(clean_up(&scratch.0.join("absent"), NOTHING).expect("cleans up"), 0);
        assert_eq!(end_runs(&scratch.0.join("absent"), NOTHING).expect("ends"), 0);
    }

    #[test]
    fn children_that_are_left_end_if_they_are_the_recorded_ones() {
        let scratch = Scratch::new();
        let (mut recorded, mut other) = (Sleeper::start(), Sleeper::start());
        let program = recorded.program();
        let mut lines = recorded.recorded(&program).line();
        lines.extend(other.recorded(Path::new("/bin/true")).line());
        scratch.killed_run("run-dead", &lines);
        assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1);
        assert!(until(|| fs::read_link(format!("/proc/{}/exe", recorded.0.id())).is_err()), "it is killed");
        assert!(recorded.0.try_wait().is_ok_and(|ended| ended.is_some()));
        assert!(other.0.try_wait().is_ok_and(|ended| ended.is_none()), "another program is left alone");
    }

    #[test]
    fn logs_of_the_newest_failed_runs_are_kept() {
        let scratch = Scratch::new();
        for _ in 0..=FAILED_KEPT {
            let mut run = RunDir::create(&scratch.0, NOTHING).expect("a run");
            fs::write(run.layout().logs().join("etcd.log"), "why").expect("a log");
            let kept = run.keep_logs_of_failed();
            drop(run);
            assert_eq!(fs::read_to_string(kept.join("etcd.log")).expect("it is kept"), "why");
        }
        assert_eq!(fs::read_dir(scratch.0.join(FAILED)).expect("kept logs").count(), FAILED_KEPT);
    }
}
