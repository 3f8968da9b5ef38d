//! What brokers, and the commands of users, say to each other: a line of JSON for each message.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No message is longer.
const LINE_BYTES: u64 = 4 << 20;
/// So much of what a command prints is passed on.
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

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn failed(why: impl std::fmt::Display) -> Self {
        Self { code: 1, stdout: String::new(), stderr: format!("{why}\n") }
    }
}

/// Sends a message.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
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
    fn what_is_no_message_ends_a_connection() {
        let read: Vec<ToLead> = messages("\"Beat\"\nGET / HTTP/1.1\n\"Beat\"\n".as_bytes()).collect();
        assert_eq!(read.len(), 1);
        let unfinished: Vec<ToLead> = messages("\"Beat\"".as_bytes()).collect();
        assert_eq!(unfinished.len(), 0);
    }
}
