//! The step between starting a child and the program that it becomes: it ties the child's life to that of its parent.
//!
//! The kernel's parent-death signal stays through `exec`, and it is only for the process itself to ask for it. So a child is first our own executable again, with a private word
//! as its first argument; it asks, and then becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The first argument of an executable that shall become another program.
pub(crate) const WORD: &str = "--towtank-become-child";

/// The exit code of shells for a program that cannot be run.
const CANNOT_RUN: i32 = 127;

/// Without this in `main`, a child would run the whole program again.
static CALLED: AtomicBool = AtomicBool::new(false);

/// Must be the first thing in `main` of every program that starts a control plane or a child. It returns at once, unless this process
/// was started to become a child: then it becomes that, and does not return.
pub fn shim() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == WORD) {
        let why = become_child(args);
        eprintln!("cannot become a child: {why}");
        exit(CANNOT_RUN);
    }
    CALLED.store(true, Ordering::Relaxed);
}

pub(crate) fn is_called() -> bool {
    CALLED.load(Ordering::Relaxed)
}

/// Arguments: the id of the parent, the program, its arguments. Returns only what went wrong.
fn become_child(mut args: impl Iterator<Item = OsString>) -> String {
    let parent = args.next().and_then(|id| Pid::from_raw(id.to_str()?.parse().ok()?));
    let (Some(parent), Some(program)) = (parent, args.next()) else {
        return "wants the id of the parent and a program".to_owned();
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("no signal when the parent dies: {error}");
    }
    // The parent may have died before the signal was asked for.
    if getppid() != Some(parent) {
        return "the parent is gone".to_owned();
    }
    let error = Command::new(&program).args(args).exec();
    format!("{}: {error}", program.display())
}
