//! A process that holds a control plane, or a child, to be ended in every way: the tests' own program, with a private word.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use towtank_control_plane::{Component, ControlPlane, ControlPlaneError, Interrupt, Launch, spawn_child};

use crate::{config, ensure, eventually};

const WORD: &str = "--hold-a-control-plane";
const UP: &str = "up";

/// What the holder does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// Starts a control plane and waits for a signal.
    Wait,
    /// Starts a control plane and panics.
    Panic,
    /// Starts a child that sleeps, and waits for a signal.
    HoldSleeper,
}

impl Then {
    const ALL: [Self; 3] = [Self::Wait, Self::Panic, Self::HoldSleeper];

    fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Panic => "panic",
            Self::HoldSleeper => "hold-sleeper",
        }
    }
}

/// Holds a control plane if this process was started for it.
pub(crate) fn main() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [word, dir, then] = args.as_slice() else { return None };
    let then = Then::ALL.into_iter().find(|known| known.name() == then)?;
    (word == WORD).then(|| match hold(Path::new(dir), then) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn hold(dir: &Path, then: Then) -> Result<(), String> {
    let interrupt = Interrupt::install().map_err(|error| error.to_string())?;
    println!("listening to signals");
    if then == Then::HoldSleeper {
        let sleeper = Launch::new("/bin/sleep", dir.join("log")).args(["600"]);
        let sleeper = spawn_child(&sleeper).map_err(|error| error.to_string())?;
        println!("{}", sleeper.id().unwrap_or_default());
        wait_for(&interrupt);
        return Ok(());
    }
    let mut config = config(dir).map_err(|_| "no control plane")?;
    config.interrupt = Some(interrupt.clone());
    let plane = match ControlPlane::start(config) {
        Err(ControlPlaneError::Interrupted) => return Ok(()),
        plane => plane.map_err(|error| error.to_string())?,
    };
    for component in Component::ALL {
        println!("{}", plane.id(component).unwrap_or_default());
    }
    println!("{}", plane.dir().display());
    println!("{UP}");
    assert!(then != Then::Panic, "as it was told");
    wait_for(&interrupt);
    Ok(())
}

fn wait_for(interrupt: &Interrupt) {
    while !interrupt.is_raised() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The holder, seen from the test.
pub(crate) struct Holder {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    /// The components' processes, when they are up.
    pub(crate) ids: Vec<u32>,
    /// The directory of the run, when it is up.
    pub(crate) run: String,
}

impl Holder {
    /// Starts one, and returns when it listens to signals.
    pub(crate) fn start(dir: &Path, then: Then) -> Result<Self, Failed> {
        // A panic that was asked for is nothing to read.
        let errors = if then == Then::Panic { Stdio::null() } else { Stdio::inherit() };
        let mut process = Command::new(std::env::current_exe()?)
            .args([WORD.as_ref(), dir.as_os_str(), then.name().as_ref()])
            .stderr(errors)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut holder =
            Self { process, output: BufReader::new(output), ids: Vec::new(), run: String::new() };
        holder.line()?;
        Ok(holder)
    }

    /// Waits until everything is up.
    pub(crate) fn wait_until_up(&mut self) -> Result<(), Failed> {
        for _ in Component::ALL {
            let id = self.line()?.parse()?;
            self.ids.push(id);
        }
        self.run = self.line()?;
        let up = self.line()?;
        ensure(up == UP, format!("not up: {up}"))?;
        ensure(self.ids.iter().all(|id| is_running(*id)), "the components run")?;
        ensure(Path::new(&self.run).is_dir(), "the run has a directory")
    }

    /// Waits until its one child has become what it shall be.
    pub(crate) fn wait_for_child(&mut self) -> Result<(), Failed> {
        let id = self.line()?.parse()?;
        self.ids.push(id);
        eventually("the child sleeps", || {
            Ok(std::fs::read_link(format!("/proc/{id}/exe"))? != std::env::current_exe()?)
        })
    }

    /// The next line that it says; empty when it has ended.
    pub(crate) fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failed> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?).ok_or("no id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended and none of its children runs.
    pub(crate) fn wait_until_gone(&mut self) -> Result<ExitStatus, Failed> {
        let mut ended = None;
        eventually("the holder ends", || {
            ended = self.process.try_wait()?;
            Ok(ended.is_some())
        })?;
        let ids = &self.ids;
        eventually("its children end", || Ok(!ids.iter().any(|id| is_running(*id))))?;
        Ok(ended.unwrap_or_else(|| ExitStatus::from_raw(0)))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One that has ended and that nobody has waited for yet has no program any more.
pub(crate) fn is_running(id: u32) -> bool {
    std::fs::read_link(format!("/proc/{id}/exe")).is_ok()
}
