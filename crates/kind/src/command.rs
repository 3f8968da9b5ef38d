//! Commands with a limit of time, and an error that shows what they said last.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use towtank_control_plane::{kill_group, spawn_tied};

use crate::error::{KindError, at};

const POLL: Duration = Duration::from_millis(10);
/// So much of an output is read, at most; and so much of its end is shown.
const READ_BYTES: u64 = 16 << 20;
const SHOWN_LINES: usize = 15;
/// What most commands are given.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Whatever builds an image.
const MINUTES: Duration = Duration::from_mins(30);

/// A command of docker.
pub(crate) fn docker<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("docker");
    command.args(args);
    command
}

/// What is missing where a program is.
fn advice(program: &str) -> &'static str {
    match program {
        "docker" | "dockerd" => "install docker (Debian: apt-get install docker.io)",
        "debootstrap" => "apt-get install debootstrap",
        "iptables" | "ip6tables" => "apt-get install iptables",
        "ip" => "apt-get install iproute2",
        "rustup" => "install rustup",
        _ => "install it",
    }
}

/// Runs a command to its end and returns what it printed. At its limit it is killed, with all that it has started.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String, KindError> {
    // Files, not pipes: whatever a program leaves behind cannot keep this waiting.
    let (out, error) = (Scratch::create()?, Scratch::create()?);
    let child = start(command.stdout(out.writer()?).stderr(error.writer()?))?;
    finish(command, child, limit, &out, &error)
}

fn start(command: &mut Command) -> Result<process::Child, KindError> {
    command.stdin(Stdio::null()).process_group(0);
    command.spawn().map_err(|source| cannot_start(command, source))
}

/// The same for what builds images: it ends with this process, however that ends.
pub(crate) fn build(command: &Command) -> Result<String, KindError> {
    check_installed(command)?;
    let (out, error) = (Scratch::create()?, Scratch::create()?);
    let child = spawn_tied(command, out.writer()?, error.writer()?)?;
    finish(command, child, MINUTES, &out, &error)
}

/// Checks that a program is where programs are looked for.
pub(crate) fn check_installed(command: &Command) -> Result<(), KindError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|dir| dir.join(command.get_program()).is_file());
    if is_there { Ok(()) } else { Err(cannot_start(command, io::ErrorKind::NotFound.into())) }
}

fn finish(
    command: &Command,
    mut child: process::Child,
    limit: Duration,
    out: &Scratch,
    error: &Scratch,
) -> Result<String, KindError> {
    let name = name_of(command);
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => thread::sleep(POLL),
            Ok(None) | Err(_) => {
                kill_group(&mut child);
                return Err(KindError::Slow { command: name, limit });
            }
        }
    };
    let printed = out.read()?;
    if status.success() {
        return Ok(printed);
    }
    let said = last_lines(&format!("{printed}{}", error.read()?));
    Err(KindError::Failed { command: name, how: format!("ended with {status}"), said })
}

/// A program that could not be started is not installed, as a rule.
pub(crate) fn cannot_start(command: &Command, source: io::Error) -> KindError {
    let program = command.get_program().to_string_lossy().into_owned();
    if source.kind() == io::ErrorKind::NotFound {
        let advice = advice(&program);
        return KindError::Missing { program, advice };
    }
    KindError::File { path: PathBuf::from(program), source }
}

pub(crate) fn name_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The end of an output, as far as it helps.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(SHOWN_LINES);
    lines.get(skipped..).unwrap_or_default().join("\n")
}

/// A file that goes with this.
struct Scratch {
    file: File,
}

impl Scratch {
    fn create() -> Result<Self, KindError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("towtank-kind-{}-{number}", process::id()));
        let file = File::options().read(true).append(true).create_new(true).open(&path);
        let file = at(&path, file)?;
        // It has no name any more, and ends with the last process that has it open.
        at(&path, fs::remove_file(&path))?;
        Ok(Self { file })
    }

    fn writer(&self) -> Result<Stdio, KindError> {
        at(Path::new("a temporary file"), self.file.try_clone()).map(Stdio::from)
    }

    fn read(&self) -> Result<String, KindError> {
        let read = || -> io::Result<String> {
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::new();
            file.take(READ_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        at(Path::new("a temporary file"), read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_shows_what_it_said_last() {
        let error = run(Command::new("sh").args(["-c", "seq 40; echo why >&2; exit 3"]), SOON);
        let Err(KindError::Failed { command, how, said }) = error else { panic!("{error:?}") };
        assert_eq!(command, "sh -c seq 40; echo why >&2; exit 3");
        assert_eq!(how, "ended with exit status: 3");
        assert_eq!(said.lines().count(), SHOWN_LINES);
        assert!(said.starts_with("27\n") && said.ends_with("40\nwhy"), "{said}");
    }

    #[test]
    fn a_command_has_its_time_with_all_that_it_starts() {
        let note = std::env::temp_dir().join(format!("towtank-started-{}", process::id()));
        let script = format!("sleep 600 & echo $! >{}; wait", note.display());
        let mut command = Command::new("sh");
        let child = start(command.args(["-c", &script]).stdout(Stdio::null())).expect("a shell");
        let begin = Instant::now();
        while !fs::read_to_string(&note).is_ok_and(|text| text.ends_with('\n')) {
            assert!(begin.elapsed() < SOON, "it starts another");
            thread::sleep(POLL);
        }
        let (out, said) = (Scratch::create().expect("a file"), Scratch::create().expect("a file"));
        let error = finish(&command, child, Duration::ZERO, &out, &said);
        assert!(matches!(error, Err(KindError::Slow { .. })), "{error:?}");
        let started = fs::read_to_string(&note).expect("its id");
        fs::remove_file(&note).expect("it was there");
        let exe = format!("/proc/{}/exe", started.trim());
        while fs::read_link(&exe).is_ok() {
            assert!(begin.elapsed() < SOON, "it still runs");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let mut command = Command::new("towtank-has-no-such-program");
        for result in [run(&mut command, SOON), build(&command)] {
            let error = result.expect_err("there is none");
            assert_eq!(error.to_string(), "there is no `towtank-has-no-such-program` command: install it");
        }
    }
}
