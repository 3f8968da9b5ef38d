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

/// A lock that is held. It is given back when this is dropped, although a process that is just being started may still have the file open too.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// None: somebody else has it.
    fn try_new(path: &Path, file: File) -> Result<Option<Self>, ControlPlaneError> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => at(path, Err(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file gives it back too, if later.
        let _ = self.0.unlock();
    }
}

/// The directory of a run of this process, with a directory for `logs` in it. It is removed when this is dropped.
#[derive(Debug)]
pub struct RunDir {
    parent: PathBuf,
    path: PathBuf,
    /// The path again, as text.
    root: String,
    keep_logs: Option<PathBuf>,
    /// Something of the run is left, and the directory stays.
    stays: bool,
    _lock: Lock,
}

impl RunDir {
    /// Removes what killed runs have left in `parent`, and makes a directory for a new one.
    ///
    /// # Errors
    /// As [`clean_up`], or the directory cannot be made.
    pub fn create(parent: &Path, undo: Undo<'_>) -> Result<Self, ControlPlaneError> {
        at(parent, fs::create_dir_all(parent))?;
        let parent = at(parent, parent.canonicalize())?;
        let all = lock_all(&parent)?;
        let dead = claim(&parent)?;
        let path = parent.join(format!("{PREFIX}{}", random_hex(4)?));
        let root = path.to_str().ok_or_else(|| ControlPlaneError::NotText(path.clone()))?.to_owned();
        // Keys and tokens are in it.
        at(&path, DirBuilder::new().mode(0o700).create(&path))?;
        let lock_path = path.join(LOCK);
        let lock = at(&lock_path, File::create(&lock_path))?;
        let lock = Lock::try_new(&lock_path, lock)?.ok_or_else(|| ControlPlaneError::Busy(path.clone()))?;
        drop(all);
        let run = Self { parent, path, root, keep_logs: None, stays: false, _lock: lock };
        let program = std::env::current_exe().unwrap_or_default();
        let owner = at(&program, Recorded::new(rustix::process::getpid(), &program))?;
        run.write(&run.path.join(OWNER), &owner.line())?;
        let logs = run.layout().logs();
        at(&logs, fs::create_dir(&logs))?;
        remove_left(dead, undo)?;
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

    /// At the end, the logs are moved beside the directories of runs, unless somebody has said where to. Returns where they will be.
    pub fn keep_logs_of_failed(&mut self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let usual = self.parent.join(FAILED).join(name);
        self.keep_logs.get_or_insert(usual).clone()
    }

    /// Something of this run could not be undone: at the end its directory stays, so that the next start knows of it and tries again.
    pub fn leave(&mut self) {
        self.stays = true;
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Nobody is there to be told of an error, and the next run tries again.
        if let Some(to) = &self.keep_logs {
            let _ = keep(&self.layout().logs(), to);
            let _ = forget_oldest(&self.parent.join(FAILED));
        }
        // A container may have been made although its start has failed, or not be removed yet.
        if !self.stays && container::remove_left(&self.path).unwrap_or(false) {
            let _ = remove(&self.path);
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
/// in `dir`, are left alone. Returns how many killed runs were removed; those that another process is removing are not waited for.
///
/// # Errors
/// A file cannot be read or removed, another process holds the lock for too long, or `undo` fails: then the directory stays for the next.
pub fn clean_up(dir: &Path, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    if !dir.exists() {
        return Ok(0);
    }
    let all = lock_all(dir)?;
    let dead = claim(dir)?;
    drop(all);
    remove_left(dead, undo)
}

/// Ends the runs in `dir` that live, by asking the process of each to end, and removes what is left of them. Returns how many there were.
///
/// # Errors
/// As [`clean_up`], or a process does not end.
pub fn end_runs(dir: &Path, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    let mut ended = 0;
    for run in runs(dir)? {
        if let Left::Lives = left(&run)? {
            // One that is gone is being cleaned up after.
            for owner in Recorded::read(&run.join(OWNER)).into_iter().filter(Recorded::is_alive) {
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

/// Nobody else makes directories of runs, or claims dead ones, while this is held.
fn lock_all(dir: &Path) -> Result<Lock, ControlPlaneError> {
    let path = dir.join(LOCK);
    let start = Instant::now();
    loop {
        if let Some(lock) = Lock::try_new(&path, at(&path, File::create(&path))?)? {
            return Ok(lock);
        }
        if start.elapsed() > LOCK_LIMIT {
            return Err(ControlPlaneError::Busy(path));
        }
        thread::sleep(POLL);
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
    Dead(Lock),
    /// It ended before it had a lock, or has gone just now.
    Unfinished,
}

fn left(run: &Path) -> Result<Left, ControlPlaneError> {
    let path = run.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Unfinished),
        lock => at(&path, lock)?,
    };
    left_of(&path, lock)
}

/// What a run is whose lock was opened just now: it may have been removed since.
fn left_of(path: &Path, lock: File) -> Result<Left, ControlPlaneError> {
    Ok(match Lock::try_new(path, lock)? {
        Some(lock) if path.exists() => Left::Dead(lock),
        Some(_) => Left::Unfinished,
        None => Left::Lives,
    })
}

/// The runs whose processes are gone, each with its lock: while that is held, nobody else cleans up after it. Under the lock of all runs.
fn claim(dir: &Path) -> Result<Vec<(PathBuf, Lock)>, ControlPlaneError> {
    let mut dead = Vec::new();
    for run in runs(dir)? {
        match left(&run)? {
            Left::Lives => {}
            Left::Dead(lock) => dead.push((run, lock)),
            // Only an empty one: what has files and no lock is no directory of ours.
            Left::Unfinished => drop(fs::remove_dir(&run)),
        }
    }
    Ok(dead)
}

fn remove_left(dead: Vec<(PathBuf, Lock)>, undo: Undo<'_>) -> Result<usize, ControlPlaneError> {
    let mut removed = 0;
    for (run, _lock) in dead {
        end_children(&run)?;
        if !container::remove_left(&run)? {
            // The next start tries again.
            continue;
        }
        undo(&run)?;
        remove(&run)?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes the directory of a run, under its lock.
fn remove(run: &Path) -> Result<(), ControlPlaneError> {
    for path in in_order_of_removal(run)? {
        let is_dir = path.is_dir() && !path.is_symlink();
        at(&path, if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) })?;
    }
    match fs::remove_dir(run) {
        // Without its lock it is anybody's.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => at(run, result),
    }
}

/// What is in the directory of a run. The lock comes last: what has files and no lock is nobody's, and whoever removes may be killed at any time.
fn in_order_of_removal(run: &Path) -> Result<Vec<PathBuf>, ControlPlaneError> {
    let entries = at(run, fs::read_dir(run))?.map(|entry| at(run, entry).map(|entry| entry.path()));
    let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(|path| path.ends_with(LOCK));
    Ok(paths)
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
mod tests;
