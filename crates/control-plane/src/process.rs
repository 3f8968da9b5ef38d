//! Processes as they are recorded on disk: by id, by when they were started, and by their program, so that an id that was given again is never taken for the old process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that ran when this was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pid: Pid,
    /// In ticks since the machine was started: field 22 of proc_pid_stat(5).
    started: u64,
    program: PathBuf,
}

impl Recorded {
    /// A process and the program that it is, or is about to become.
    ///
    /// # Errors
    /// There is no such process.
    pub fn new(pid: Pid, program: &Path) -> io::Result<Self> {
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        Ok(Self { pid, started: started(pid)?, program })
    }

    /// One line of a file of records.
    pub fn line(&self) -> Vec<u8> {
        let mut line = format!("{} {} ", self.pid.as_raw_nonzero(), self.started).into_bytes();
        line.extend(self.program.as_os_str().as_bytes());
        line.push(b'\n');
        line
    }

    /// All that are recorded in a file. What is no record is left out: it was not written to its end.
    pub fn read(path: &Path) -> Vec<Self> {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.split(|byte| *byte == b'\n').filter_map(Self::parse).collect()
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        let (pid, started) = (number()?, number()?);
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let program = PathBuf::from(OsString::from_vec(words.next()?.to_vec()));
        Some(Self { pid, started, program })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        let same_start = started(self.pid).is_ok_and(|started| started == self.started);
        let program = fs::read_link(format!("/proc/{}/exe", self.pid.as_raw_nonzero()));
        same_start && program.is_ok_and(|program| is_same_program(&program, &self.program))
    }

    /// Sends a signal to this very process, and to none that has got its id since. A process that is gone gets none.
    pub fn signal(&self, signal: Signal) {
        // From here on the handle stands for one process, whoever gets its id.
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else { return };
        if self.is_alive() {
            // It may have ended just now.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// The kernel marks a program whose file is gone or was replaced.
fn is_same_program(running: &Path, recorded: &Path) -> bool {
    let running = running.as_os_str().as_bytes();
    running.strip_suffix(b" (deleted)").unwrap_or(running) == recorded.as_os_str().as_bytes()
}

/// When a process was started. An error when it is gone.
fn started(pid: Pid) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The second field is the name in parentheses, which may hold anything; the third follows the last of them.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let started = fields.split_whitespace().nth(22 - 3).and_then(|field| field.parse().ok());
    started.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "proc_pid_stat(5) has no start time"))
}

/// Bytes of memory that a process has resident; none when it is gone.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim();
    Some(kilobytes.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this() -> Recorded {
        let pid = rustix::process::getpid();
        Recorded::new(pid, &std::env::current_exe().expect("the test's program")).expect("this process runs")
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let this = this();
        assert_eq!(Recorded::parse(this.line().trim_ascii_end()), Some(this));
    }

    #[test]
    fn what_was_not_written_to_its_end_is_no_record() {
        assert_eq!(Recorded::parse(b"12"), None);
        assert_eq!(Recorded::parse(b"12 34"), None);
        assert_eq!(Recorded::parse(b"0 34 /bin/true"), None);
    }

    #[test]
    fn another_process_with_the_same_id_is_not_the_recorded_one() {
        let this = this();
        assert!(this.is_alive());
        let older = Recorded { started: this.started - 1, ..this.clone() };
        assert!(!older.is_alive());
        let other = Recorded { program: PathBuf::from("/bin/other"), ..this };
        assert!(!other.is_alive());
    }

    #[test]
    fn a_program_that_was_built_anew_is_still_the_same() {
        assert!(is_same_program(Path::new("/x/etcd (deleted)"), Path::new("/x/etcd")));
        assert!(!is_same_program(Path::new("/x/etcd (deleted)"), Path::new("/x/etc")));
    }
}
