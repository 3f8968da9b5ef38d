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
    assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1);
    assert!(!scratch.0.join("run-empty").exists());
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
fn nobody_waits_for_what_another_cleans_up() {
    let scratch = Scratch::new();
    let dead = scratch.killed_run("run-dead", b"");
    let slow = |run: &Path| {
        let other = RunDir::create(&scratch.0, NOTHING)?;
        assert!(run.is_dir() && other.path().is_dir(), "it is nobody else's");
        Ok(())
    };
    assert_eq!(clean_up(&scratch.0, &slow).expect("cleans up"), 1);
    assert!(!dead.exists());
}

#[test]
fn the_lock_of_a_run_is_removed_last() {
    let scratch = Scratch::new();
    let run = scratch.killed_run("run-dead", b"");
    for name in ["a", "locks", "z"] {
        fs::create_dir(run.join(name)).expect("a directory");
    }
    let order = in_order_of_removal(&run).expect("it is there");
    assert_eq!((order.len(), order.last()), (5, Some(&run.join(LOCK))));
}

#[test]
fn a_run_that_goes_just_now_is_not_dead() {
    let scratch = Scratch::new();
    let path = scratch.killed_run("run-gone", b"").join(LOCK);
    let (first, second) = (File::open(&path).expect("a lock"), File::open(&path).expect("a lock"));
    assert!(matches!(left_of(&path, first), Ok(Left::Dead(_))));
    fs::remove_file(&path).expect("it was there");
    assert!(matches!(left_of(&path, second), Ok(Left::Unfinished)));
}

#[test]
fn what_could_not_be_undone_stays_for_the_next() {
    let scratch = Scratch::new();
    let mut run = RunDir::create(&scratch.0, NOTHING).expect("a run");
    run.leave();
    let left = run.path().to_owned();
    drop(run);
    assert!(left.is_dir());
    assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1, "its lock is free");
    assert!(!left.exists());
}

#[test]
fn a_run_stays_while_nobody_knows_of_its_containers() {
    let scratch = Scratch::new();
    let run = RunDir::create(&scratch.0, NOTHING).expect("a run");
    let (left, record) = (run.path().to_owned(), run.path().join(container::RECORD));
    fs::write(&record, "no such engine\nno-such-container\n").expect("a record");
    drop(run);
    assert!(left.is_dir());
    assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 0);
    fs::remove_file(&record).expect("it was there");
    assert_eq!(clean_up(&scratch.0, NOTHING).expect("cleans up"), 1);
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
