//! What brokers, and the commands of users, say to each other: a line of JSON for each message.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

/// No message is longer: one that would be is not sent.
const LINE_BYTES: u64 = 4 << 20;
/// So much of what a command prints is passed on, of each of its outputs, as it is written in a message: there a byte may take six.
pub(crate) const OUTPUT_BYTES: u64 = 1 << 20;
/// Both ends of a connection say something at least so often,
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// and who is silent for so long is taken to be gone, as by TCP's own user timeout in real Flux.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);
/// How long a message may take to be sent.
pub(crate) const SEND_LIMIT: Duration = Duration::from_secs(5);

/// From a worker to the lead.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToLead {
    /// The first message. `joined`: this process has been with a lead before.
    Hello { rank: u32, host: String, version: String, joined: bool },
    /// It got SIGTERM.
    Told,
    /// A user asks here, and the lead answers.
    Ask { id: u64, words: Vec<String> },
    /// What a command came to that the lead had run.
    Done { id: u64, answer: Answer },
    /// Nothing new.
    Beat,
}

/// From the lead to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The broker ends with this code.
    Exit { code: u8 },
    /// It is taken in: from here on no other lead knows it.
    Joined,
    /// It is not taken in.
    Refused { why: String },
    /// What a question came to.
    Answer { id: u64, answer: Answer },
    /// It shall run a command.
    Run { id: u64, words: Vec<String> },
    /// Nothing new.
    Beat,
}

/// What a command came to. Of its outputs the beginning is sent, so that every answer is a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    #[serde(serialize_with = "beginning")]
    pub(crate) stdout: String,
    #[serde(serialize_with = "beginning")]
    pub(crate) stderr: String,
}

fn beginning<S: Serializer>(output: &str, to: S) -> Result<S::Ok, S::Error> {
    let mut bytes = 0;
    let end = output.char_indices().find_map(|(at, letter)| {
        bytes += written_bytes(letter);
        (bytes > OUTPUT_BYTES).then_some(at)
    });
    to.serialize_str(end.and_then(|end| output.get(..end)).unwrap_or(output))
}

/// How long a character is in JSON, as `serde_json` writes it (RFC 8259, section 7).
fn written_bytes(letter: char) -> u64 {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => letter.len_utf8() as u64,
    }
}

impl Answer {
    pub(crate) fn failed(why: impl std::fmt::Display) -> Self {
        Self { code: 1, stdout: String::new(), stderr: format!("{why}\n") }
    }
}

/// Sends a message. One that is too long is an error, and nothing of it is sent.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() as u64 > LINE_BYTES {
        let why = format!("a message of {} bytes, and {LINE_BYTES} are the most", line.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    to.write_all(&line)
}

/// The messages of a connection; none after its end, or after one that is none.
pub(crate) fn messages<M: DeserializeOwned>(from: impl Read) -> impl Iterator<Item = M> {
    let mut reader = BufReader::new(from);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line).ok()?;
        serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let mut bytes = Vec::new();
        send(&mut bytes, &ToWorker::Exit { code: 7 }).expect("a vector");
        send(&mut bytes, &ToWorker::Refused { why: "two\nlines".to_owned() }).expect("a vector");
        let read: Vec<ToWorker> = messages(bytes.as_slice()).collect();
        assert!(
            matches!(read.as_slice(), [ToWorker::Exit { code: 7 }, ToWorker::Refused { why }] if why == "two\nlines")
        );
    }

    #[test]
    fn a_character_is_as_long_as_it_is_written() {
        for letter in (0..=0xff).chain([0x7ff, 0x2028, 0xffff, 0x1_f600]).filter_map(char::from_u32) {
            let written = serde_json::to_string(&letter).expect("text").len() - 2;
            assert_eq!(written_bytes(letter), written as u64, "{letter:?}");
        }
    }

    #[test]
    fn any_output_is_a_message() {
        for letter in ["\0", "\u{fffd}", "x"] {
            let output = letter.repeat(9 << 20);
            let answer = Answer { code: 7, stdout: output.clone(), stderr: output };
            let mut bytes = Vec::new();
            send(&mut bytes, &ToLead::Done { id: 1, answer }).expect("it is no longer than a message");
            let mut read = messages(bytes.as_slice());
            let Some(ToLead::Done { answer, .. }) = read.next() else { panic!("{letter:?}: no message") };
            assert_eq!(answer.code, 7);
            let written = serde_json::to_string(&answer.stdout).expect("text").len() as u64 - 2;
            assert!((OUTPUT_BYTES - 6..=OUTPUT_BYTES).contains(&written), "{letter:?}: {written}");
            assert_eq!(answer.stdout, answer.stderr);
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent() {
        let mut bytes = Vec::new();
        let words = vec!["x".repeat(5 << 20)];
        let error = send(&mut bytes, &ToWorker::Run { id: 1, words }).expect_err("it is too long");
        assert!(bytes.is_empty() && error.to_string().starts_with("a message of 52429"), "{error}");
    }

    #[test]
    fn what_is_no_message_ends_a_connection() {
        let read: Vec<ToLead> = messages("\"Beat\"\nGET / HTTP/1.1\n\"Beat\"\n".as_bytes()).collect();
        assert_eq!(read.len(), 1);
        let unfinished: Vec<ToLead> = messages("\"Beat\"".as_bytes()).collect();
        assert_eq!(unfinished.len(), 0);
    }
}
