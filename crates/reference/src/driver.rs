//! A driver process and the frames that go to it and come back (`reference/PROTOCOL.md`).
//!
//! This is real input and output, outside the model: the only place that waits in real time, and it never waits longer
//! than the watchdog allows. A driver that dies, hangs or talks nonsense is an error, and so is everything that is
//! asked of it afterwards.

mod frames;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use towtank_model::version::KubernetesVersion;

pub use frames::FRAME_LEN_MAX;
use frames::Pipes;

/// The version of the protocol that is spoken here.
pub const PROTOCOL: u64 = 1;
/// How long a driver may take for one answer.
pub const WATCHDOG: Duration = Duration::from_secs(60);
/// How many of the last lines on its standard error are kept.
const STDERR_LINES_MAX: usize = 20;
/// How many bytes of such a line are kept.
const STDERR_LINE_LEN_MAX: usize = 1_000;
/// How long a process that is gone may keep its standard error open (a child of it may hold it).
const STDERR_WAIT: Duration = Duration::from_secs(1);
/// What makes a Go test binary serve as a driver.
const ARGUMENTS: [&str; 2] = ["-test.run=^TestDriver$", "-test.timeout=0"];

/// What keeps a driver from answering.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no such program.
    #[error("no driver for Kubernetes {0} is built here: run `cargo xtask reference build --kubernetes {0}`")]
    Missing(KubernetesVersion),
    /// There is one, of other sources than those that lie here.
    #[error(
        "the driver for Kubernetes {0} is older than its sources: run `cargo xtask reference build --kubernetes {0}`"
    )]
    Stale(KubernetesVersion),
    /// The program could not be started.
    #[error("the driver `{}` cannot be started: {error}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The process ended.
    #[error("the driver died{}", last_lines(stderr))]
    Died {
        /// The last lines that it wrote on its standard error.
        stderr: Vec<String>,
    },
    /// No answer came in time.
    #[error("the driver hung: no answer within {after:?}{}", last_lines(stderr))]
    Hung {
        /// How long was waited.
        after: Duration,
        /// The last lines that it wrote on its standard error.
        stderr: Vec<String>,
    },
    /// The answer is not what the protocol allows.
    #[error("the driver answered nonsense: {what}{}", last_lines(stderr))]
    Nonsense {
        /// What came.
        what: String,
        /// The last lines that it wrote on its standard error.
        stderr: Vec<String>,
    },
    /// It speaks another version of the protocol.
    #[error(
        "the driver `{}` speaks version {theirs} of the protocol, not {ours}: remove it and run `cargo xtask reference build --kubernetes {version}`",
        path.display()
    )]
    Protocol {
        /// The program.
        path: PathBuf,
        /// The version of Kubernetes that was wanted.
        version: KubernetesVersion,
        /// Our version.
        ours: u64,
        /// The driver's.
        theirs: u64,
    },
    /// It carries another version of Kubernetes.
    #[error(
        "the driver `{}` carries Kubernetes {theirs} instead of {ours}: remove it and run `cargo xtask reference build --kubernetes {version}`",
        path.display()
    )]
    Version {
        /// The program.
        path: PathBuf,
        /// The version that was wanted.
        version: KubernetesVersion,
        /// The version that was wanted, with its patch level.
        ours: String,
        /// The driver's.
        theirs: String,
    },
    /// The driver could not do what it was asked for; it goes on.
    #[error("the driver could not do it: {0}")]
    Refused(String),
}

impl DriverError {
    /// The driver has to be built, or built again; nothing that was asked of it matters.
    pub const fn is_of_the_build(&self) -> bool {
        matches!(
            self,
            Self::Missing(_)
                | Self::Stale(_)
                | Self::Start { .. }
                | Self::Protocol { .. }
                | Self::Version { .. }
        )
    }
}

fn last_lines(stderr: &[String]) -> String {
    if stderr.is_empty() {
        return String::new();
    }
    format!("; its last words:\n  {}", stderr.join("\n  "))
}

/// A running driver. Its process ends with this value.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    /// None when the driver has failed.
    pipes: Option<Pipes>,
    stderr: Stderr,
    watchdog: Duration,
}

impl Driver {
    /// Starts the driver at `path` and makes sure that it carries `version`.
    pub fn start(path: &Path, version: KubernetesVersion) -> Result<Self, DriverError> {
        Self::start_with_watchdog(path, version, WATCHDOG)
    }

    /// Like [`Driver::start`], with another time in which every answer must come.
    pub fn start_with_watchdog(
        path: &Path,
        version: KubernetesVersion,
        watchdog: Duration,
    ) -> Result<Self, DriverError> {
        let mut driver = Self::spawn(path, version, watchdog)?;
        driver.shake_hands(path, version)?;
        Ok(driver)
    }

    fn spawn(path: &Path, version: KubernetesVersion, watchdog: Duration) -> Result<Self, DriverError> {
        let mut command = Command::new(path);
        command.args(ARGUMENTS);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let start = |error| DriverError::Start { path: path.to_owned(), error };
        let mut child = spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DriverError::Missing(version),
            _ => start(error),
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(start(io::Error::other("a pipe is missing")));
        };
        let pipes = Some(Pipes::new(stdin, stdout));
        Ok(Self { child, pipes, stderr: Stderr::follow(stderr), watchdog })
    }

    fn shake_hands(&mut self, path: &Path, version: KubernetesVersion) -> Result<(), DriverError> {
        #[derive(serde::Deserialize)]
        struct Hello {
            protocol: u64,
            kubernetes: String,
        }
        let hello: Hello = self.ask(&json!({"do": "hello", "protocol": PROTOCOL}))?;
        let path = path.to_owned();
        if hello.protocol != PROTOCOL {
            return Err(DriverError::Protocol { path, version, ours: PROTOCOL, theirs: hello.protocol });
        }
        let (ours, theirs) = (version.full(), hello.kubernetes);
        if theirs != ours {
            return Err(DriverError::Version { path, version, ours, theirs });
        }
        Ok(())
    }

    /// Sends a request and waits for its answer, of which the form is known: it must not read `{"error": "…"}` too.
    ///
    /// # Errors
    ///
    /// The driver is gone or could not do it, or the answer is of another form.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<T, DriverError> {
        let answer = self.exchange(request)?;
        serde_json::from_slice(&answer).map_err(|error| self.not_this(&answer, &error))
    }

    fn exchange(&mut self, request: &impl Serialize) -> Result<Vec<u8>, DriverError> {
        let request = match serde_json::to_vec(request) {
            Ok(request) => request,
            Err(error) => return Err(DriverError::Refused(format!("the request is no JSON: {error}"))),
        };
        let Some(pipes) = &mut self.pipes else { return Err(self.died()) };
        pipes.exchange(&request, self.watchdog).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => self.nonsense(error.to_string()),
            io::ErrorKind::TimedOut => DriverError::Hung { after: self.watchdog, stderr: self.end() },
            _ => self.died(),
        })
    }

    /// What an answer of another form means: the driver could not do it, or talks nonsense.
    fn not_this(&mut self, answer: &[u8], why: &serde_json::Error) -> DriverError {
        #[derive(serde::Deserialize)]
        struct Failure {
            error: String,
        }
        match serde_json::from_slice(answer) {
            Ok(Failure { error }) => DriverError::Refused(error),
            Err(_) => self.nonsense(format!("{why}: {}", excerpt(answer))),
        }
    }

    fn died(&mut self) -> DriverError {
        DriverError::Died { stderr: self.end() }
    }

    /// A driver that talks nonsense is not asked again.
    fn nonsense(&mut self, what: String) -> DriverError {
        DriverError::Nonsense { what, stderr: self.end() }
    }

    /// Ends the process, by its id, and answers with its last words.
    fn end(&mut self) -> Vec<String> {
        self.pipes = None;
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.last_lines()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The beginning of an answer, for a message.
fn excerpt(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).chars().take(200).collect()
}

/// The last lines of a driver's standard error.
#[derive(Debug)]
struct Stderr {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Is cut when there is nothing more to read.
    end: Receiver<()>,
}

impl Stderr {
    fn follow(pipe: ChildStderr) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(STDERR_LINES_MAX)));
        let (ends, end) = channel::<()>();
        let kept = Arc::clone(&lines);
        on_a_thread(move || {
            let _ends = ends;
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = &line[..line.len().min(STDERR_LINE_LEN_MAX)];
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == STDERR_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
            }
        });
        Self { lines, end }
    }

    /// What a process that has ended wrote last.
    fn last_lines(&self) -> Vec<String> {
        // Either answer will do: the end of the text, or enough waited for it.
        let _ = self.end.recv_timeout(STDERR_WAIT);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Real reading, beside what the driver does.
#[expect(clippy::disallowed_methods, reason = "a pipe of a real process is read; no run sees it")]
fn on_a_thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// Real time, for the watchdog.
mod clock {
    #![expect(clippy::disallowed_types, reason = "the watchdog waits for a real process; no run sees it")]

    use std::time::{Duration, Instant};

    /// When a wait is over.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Deadline(Instant);

    impl Deadline {
        pub(super) fn after(wait: Duration) -> Self {
            Self(Instant::now() + wait)
        }

        pub(super) fn left(self) -> Duration {
            self.0.saturating_duration_since(Instant::now())
        }
    }
}
