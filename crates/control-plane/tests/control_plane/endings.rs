//! However the process of a control plane ends, nothing of it is left.

use std::path::Path;

use libtest_mimic::Failed;
use rustix::process::Signal;
use towtank_control_plane::{Undo, clean_up, end_runs};

use crate::holder::{Holder, Then, is_running};
use crate::{ensure, eventually};

/// A control plane leaves nothing but its children and its directory.
const NOTHING: Undo<'_> = &|_| Ok(());

/// Of two runs in one directory one is killed: its children end, and the next clean-up removes its directory and only that.
pub(crate) fn nothing_outlives_a_killed_process(dir: &Path) -> Result<(), Failed> {
    let mut killed = Holder::start(dir, Then::Wait)?;
    killed.wait_until_up()?;
    let mut other = Holder::start(dir, Then::Wait)?;
    other.wait_until_up()?;
    std::fs::create_dir(dir.join("somebody-elses"))?;
    killed.signal(Signal::KILL)?;
    killed.wait_until_gone()?;
    ensure(Path::new(&killed.run).is_dir(), "a killed process removes nothing")?;

    // The next start cleans up.
    let mut next = Holder::start(dir, Then::Wait)?;
    next.wait_until_up()?;
    ensure(!Path::new(&killed.run).exists(), "the directory of the killed run is removed")?;
    ensure(Path::new(&other.run).is_dir(), "the directory of the other run is there")?;
    ensure(other.ids.iter().all(|id| is_running(*id)), "the other run goes on")?;
    ensure(dir.join("somebody-elses").is_dir(), "what is no run is left alone")?;
    for holder in [&mut other, &mut next] {
        holder.signal(Signal::TERM)?;
        holder.wait_until_gone()?;
    }
    ensure(clean_up(dir, NOTHING)? == 0, "nothing is left to be removed")
}

pub(crate) fn nothing_outlives_a_terminated_process(dir: &Path) -> Result<(), Failed> {
    for signal in [Signal::TERM, Signal::INT] {
        let mut holder = Holder::start(dir, Then::Wait)?;
        holder.wait_until_up()?;
        holder.signal(signal)?;
        ensure(holder.wait_until_gone()?.success(), "it ends in order")?;
        ensure(runs(dir)? == 0, "its directory is removed")?;
    }
    Ok(())
}

/// While it starts.
pub(crate) fn nothing_outlives_an_interrupted_start(dir: &Path) -> Result<(), Failed> {
    let mut holder = Holder::start(dir, Then::Wait)?;
    eventually("a run begins", || Ok(runs(dir)? == 1))?;
    holder.signal(Signal::TERM)?;
    ensure(holder.wait_until_gone()?.success(), "it ends in order")?;
    ensure(holder.line()?.is_empty(), "it does not wait until everything is up")?;
    ensure(runs(dir)? == 0, "its directory is removed")
}

pub(crate) fn nothing_outlives_a_panic(dir: &Path) -> Result<(), Failed> {
    let mut holder = Holder::start(dir, Then::Panic)?;
    holder.wait_until_up()?;
    ensure(!holder.wait_until_gone()?.success(), "it panicked")?;
    ensure(runs(dir)? == 0, "its directory is removed")?;
    let name = Path::new(&holder.run).file_name().ok_or("the run has a name")?;
    ensure(dir.join("failed").join(name).join("kube-apiserver.log").is_file(), "its logs are kept")
}

pub(crate) fn runs_are_ended_from_outside(dir: &Path) -> Result<(), Failed> {
    ensure(end_runs(dir, NOTHING)? == 0, "there is none yet")?;
    let mut holder = Holder::start(dir, Then::Wait)?;
    holder.wait_until_up()?;
    ensure(end_runs(dir, NOTHING)? == 1, "one was up")?;
    ensure(holder.wait_until_gone()?.success(), "it ended in order")?;
    ensure(runs(dir)? == 0, "its directory is removed")
}

/// Directories of runs.
fn runs(dir: &Path) -> Result<usize, Failed> {
    let mut count = 0;
    for entry in std::fs::read_dir(dir)? {
        count += usize::from(entry?.file_name().to_string_lossy().starts_with("run-"));
    }
    Ok(count)
}
