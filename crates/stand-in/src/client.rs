//! Commands of users: the broker beside them is asked, and answers.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::error::StandInError;
use crate::wire::{Answer, messages, send};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Asks, prints, and returns the exit code.
pub(crate) fn run(words: &[&str]) -> Result<u8, StandInError> {
    let uri = std::env::var("FLUX_URI").map_err(|_| StandInError::NoUri)?;
    let path = uri.strip_prefix("local://").unwrap_or(&uri);
    let ask = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(LIMIT))?;
        send(&mut stream, &words)?;
        // The broker may end before it answers: then it was this that was asked of it.
        Ok(messages::<Answer>(stream).next())
    };
    let answer = ask().map_err(|source| StandInError::NoBroker { uri: uri.clone(), source })?;
    let answer = answer.unwrap_or_else(|| Answer::failed("the broker is gone"));
    print!("{}", answer.stdout);
    eprint!("{}", answer.stderr);
    Ok(answer.code)
}
