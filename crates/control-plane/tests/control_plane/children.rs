//! Children that are any program, as the operator of a cluster is one.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use rustix::process::Signal;
use towtank_control_plane::{Child, Launch, spawn_child, spawn_tied};

use crate::holder::{Holder, Then, is_running};
use crate::{ensure, eventually};

pub(crate) fn a_child_ends_with_its_parent(dir: &Path) -> Result<(), Failed> {
    for signal in [Signal::KILL, Signal::ABORT, Signal::TERM] {
        let mut holder = Holder::start(dir, Then::HoldSleeper)?;
        holder.wait_for_child()?;
        holder.signal(signal)?;
        holder.wait_until_gone()?;
    }
    Ok(())
}

pub(crate) fn a_child_lives_on_when_the_thread_is_gone(dir: &Path) -> Result<(), Failed> {
    let launch = Launch::new("/bin/sleep", dir.join("log")).args(["600"]);
    let spawn = move || -> Result<Child, String> {
        let child = spawn_child(&launch).map_err(|error| error.to_string())?;
        // Before that it has not asked for the signal.
        become_itself(&child).map_err(|_| "it is nothing else yet")?;
        Ok(child)
    };
    let mut child = std::thread::spawn(spawn).join().map_err(|_| "panicked")??;
    // The signal comes as soon as the kernel has ended the thread, and there is nothing to see but that it does not come.
    ensure(child.wait(Duration::from_millis(200)).is_none(), "it lives on")?;
    let id = child.id().ok_or("it is a process")?;
    drop(child);
    ensure(!is_running(id), "until nobody holds it")
}

pub(crate) fn a_child_knows_nothing_of_the_shell(dir: &Path) -> Result<(), Failed> {
    let log = dir.join("log");
    let launch = Launch::new("/usr/bin/env", &log).env("KUBECONFIG", "/a/file");
    let status = spawn_child(&launch)?.wait(Duration::from_secs(60));
    ensure(status.is_some_and(|status| status.success()), "env prints and ends")?;
    let text = std::fs::read_to_string(&log)?;
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    ensure(names == ["KUBECONFIG", "PATH"], text)
}

pub(crate) fn a_program_that_cannot_be_run_says_so(dir: &Path) -> Result<(), Failed> {
    let mut child = spawn_child(&Launch::new("/no/such/program", dir.join("log")))?;
    let status = child.wait(Duration::from_secs(60)).ok_or("it has ended")?;
    ensure(status.code() == Some(127), format!("as a shell does it: {status}"))?;
    let error = child.check().err().map(|error| error.to_string()).unwrap_or_default();
    ensure(error.contains("/no/such/program: No such file"), error)
}

pub(crate) fn a_child_that_does_not_listen_is_killed(dir: &Path) -> Result<(), Failed> {
    let log = dir.join("log");
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 1; done";
    let mut child = spawn_child(&Launch::new("/bin/sh", &log).args(["-c", deaf]))?;
    eventually("it does not listen", || Ok(std::fs::read_to_string(&log)?.contains("deaf")))?;
    let status = child.stop(Duration::from_millis(100)).ok_or("it has ended")?;
    ensure(status.to_string().contains("signal: 9"), status.to_string())?;

    let mut listens = spawn_child(&Launch::new("/bin/sleep", &log).args(["600"]))?;
    become_itself(&listens)?;
    let status = listens.stop(Duration::from_secs(60)).ok_or("it has ended")?;
    ensure(status.to_string().contains("signal: 15"), status.to_string())
}

pub(crate) fn what_a_child_has_started_ends_with_it(dir: &Path) -> Result<(), Failed> {
    let log = dir.join("log");
    let script = "sleep 600 & echo $!; wait";
    let mut child = spawn_child(&Launch::new("/bin/sh", &log).args(["-c", script]))?;
    eventually("it has started another", || Ok(std::fs::read_to_string(&log)?.ends_with('\n')))?;
    let started = std::fs::read_to_string(&log)?.trim().parse()?;
    ensure(is_running(started), "it runs")?;
    child.kill();
    eventually("it ends", || Ok(!is_running(started)))
}

pub(crate) fn a_command_is_tied_as_it_is(dir: &Path) -> Result<(), Failed> {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $GIVEN $0; pwd; echo ${HOME-none} >&2; exit 3", "a word"]);
    command.env("GIVEN", "given").env_remove("HOME").current_dir(dir);
    let (out, error) = (dir.join("out"), dir.join("error"));
    let mut child = spawn_tied(&command, File::create(&out)?, File::create(&error)?)?;
    ensure(child.wait()?.code() == Some(3), "it ends as it wants")?;
    let printed = std::fs::read_to_string(&out)?;
    ensure(printed == format!("given a word\n{}\n", dir.canonicalize()?.display()), printed)?;
    ensure(std::fs::read_to_string(&error)? == "none\n", "its environment is what was said")
}

/// Waits until a child is its program, and no longer this one.
fn become_itself(child: &Child) -> Result<(), Failed> {
    let running = format!("/proc/{}/exe", child.id().unwrap_or_default());
    eventually("the child is its program", || Ok(std::fs::read_link(&running)? != std::env::current_exe()?))
}
