//! Commands that `flux exec` runs on a rank.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Answer, OUTPUT_BYTES};

/// How long a command may run; then it is killed.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long its output is waited for when it has ended: something that it started may still have it open.
const OUTPUT_LIMIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
/// What ended by a signal ends with this and the signal's number, as in a shell.
const SIGNALLED: i32 = 128;

/// Runs a command beside the broker of this socket, to its end.
pub(crate) fn run(words: &[String], uri: &str) -> Answer {
    let Some((program, args)) = words.split_first() else { return Answer::failed("flux-exec: no command") };
    let mut command = Command::new(program);
    command.args(args).env("FLUX_URI", uri);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        // As a shell: there is no such command.
        Err(error) => {
            return Answer { code: 127, ..Answer::failed(format!("flux-exec: {program}: {error}")) };
        }
    };
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let code = wait(&mut child);
    let text = |output: mpsc::Receiver<Vec<u8>>| {
        let bytes = output.recv_timeout(OUTPUT_LIMIT).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Answer { code, stdout: text(stdout), stderr: text(stderr) }
}

fn wait(child: &mut Child) -> u8 {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return code_of(status),
            Ok(None) if start.elapsed() < LIMIT => thread::sleep(POLL),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return 124;
            }
        }
    }
}

/// The exit code, as a shell has it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The beginning of an output; the rest is read and dropped.
fn collect(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    if let Some(mut from) = from {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = (&mut from).take(OUTPUT_BYTES).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
            let _ = send.send(bytes);
        });
    }
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_words(words: &[&str]) -> Answer {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        run(&words, "local:///nowhere")
    }

    #[test]
    fn a_command_is_beside_a_broker() {
        let answer = run_words(&["sh", "-c", "echo $FLUX_URI; echo no >&2; exit 3"]);
        assert_eq!(
            answer,
            Answer { code: 3, stdout: "local:///nowhere\n".to_owned(), stderr: "no\n".to_owned() }
        );
    }

    #[test]
    fn ends_are_those_of_a_shell() {
        assert_eq!(run_words(&["towtank-has-no-such-command"]).code, 127);
        assert_eq!(run_words(&["sh", "-c", "kill -9 $$"]).code, 137);
    }

    #[test]
    fn output_has_a_limit() {
        let answer = run_words(&["head", "--bytes=3000000", "/dev/zero"]);
        assert_eq!((answer.code, answer.stdout.len() as u64), (0, OUTPUT_BYTES));
    }
}
