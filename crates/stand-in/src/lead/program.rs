//! What the lead runs inside of the instance: when it ends, the instance shuts down (flux-broker(1), initial program).

use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::remote::code_of;

/// How often it is looked whether it has ended.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// The program, before, while and after it runs.
#[derive(Default)]
pub(super) struct Program {
    /// Empty when there is none, or it was started.
    words: Vec<String>,
    child: Option<Child>,
    ended: Option<u8>,
}

impl Program {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words, ..Self::default() }
    }

    /// Starts it if it is there and has not been started.
    pub(super) fn start(&mut self, uri: &str) {
        let words = std::mem::take(&mut self.words);
        let Some((program, args)) = words.split_first() else { return };
        match Command::new(program).args(args).env("FLUX_URI", uri).spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                eprintln!("broker.err[0]: {program}: {error}");
                self.ended = Some(127);
            }
        }
    }

    /// Whether it has ended since this was last asked for.
    pub(super) fn has_ended(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.ended = Some(code_of(status));
            self.child = None;
        }
        self.ended.is_some()
    }

    /// Its exit code; success when it has not ended by itself.
    pub(super) fn code(&self) -> u8 {
        self.ended.unwrap_or(0)
    }

    /// It is asked to end, or never starts.
    pub(super) fn terminate(&mut self) {
        self.words.clear();
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            // It may have ended: until it is waited for, its id is nobody else's.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
