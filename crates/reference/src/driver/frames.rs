//! Frames: a length of four bytes, big-endian, and so many bytes.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::clock::Deadline;

/// Longest frame.
pub const FRAME_LEN_MAX: usize = 64 << 20;
/// So much goes into a pipe at once when it takes anything at all (`PIPE_BUF`).
const PIPE_ROOM: usize = 4 << 10;
/// So much is in a pipe at most.
const PIPE_LEN: usize = 64 << 10;

/// The pipes to and from a driver.
#[derive(Debug)]
pub(super) struct Pipes {
    to: Patient<ChildStdin>,
    from: BufReader<Patient<ChildStdout>>,
}

impl Pipes {
    pub(super) fn new(to: ChildStdin, from: ChildStdout) -> Self {
        let deadline = Deadline::after(Duration::ZERO);
        let to = Patient { pipe: to, ready: PollFlags::OUT, deadline };
        let from = Patient { pipe: from, ready: PollFlags::IN, deadline };
        Self { to, from: BufReader::with_capacity(PIPE_LEN, from) }
    }

    /// Writes a request and reads its answer. When both together take longer than `watchdog`, it fails with
    /// [`io::ErrorKind::TimedOut`].
    pub(super) fn exchange(&mut self, request: &[u8], watchdog: Duration) -> io::Result<Vec<u8>> {
        let deadline = Deadline::after(watchdog);
        self.to.deadline = deadline;
        self.from.get_mut().deadline = deadline;
        write(&mut self.to, request)?;
        read(&mut self.from)
    }
}

/// A pipe that is waited for until the deadline.
#[derive(Debug)]
struct Patient<P> {
    pipe: P,
    ready: PollFlags,
    deadline: Deadline,
}

impl<P: AsFd> Patient<P> {
    /// Returns when the pipe takes or has something, or when its other end is closed.
    fn wait(&self) -> io::Result<()> {
        loop {
            let left = Timespec::try_from(self.deadline.left()).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.pipe, self.ready)], Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<P: AsFd + Write> Write for Patient<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait()?;
        self.pipe.write(bytes.get(..PIPE_ROOM).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

impl<P: AsFd + Read> Read for Patient<P> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.pipe.read(bytes)
    }
}

fn write(to: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let len = u32::try_from(content.len()).ok().filter(|&len| len as usize <= FRAME_LEN_MAX);
    let len =
        len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "our request is too long for a frame"))?;
    // In one piece, so that the other side wakes up once.
    to.write_all(&[&len.to_be_bytes(), content].concat())
}

fn read(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    if len as usize > FRAME_LEN_MAX {
        let text = String::from_utf8_lossy(&len.to_be_bytes()).into_owned();
        let what = format!("a frame of {len} bytes (as text, it begins with {text:?})");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // Room is made as the bytes come, not as they are announced.
    let mut content = Vec::new();
    from.take(len.into()).read_to_end(&mut content)?;
    if content.len() < len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut pipe = Vec::new();
        write(&mut pipe, b"{}").unwrap();
        assert_eq!(pipe, b"\0\0\0\x02{}");
        assert_eq!(read(&mut pipe.as_slice()).unwrap(), b"{}");
    }

    #[test]
    fn a_broken_frame_is_an_error() {
        for (bytes, kind) in [
            (&b"\0\0"[..], io::ErrorKind::UnexpectedEof),
            (b"\0\0\0\x05{}", io::ErrorKind::UnexpectedEof),
            (b"PASS\n", io::ErrorKind::InvalidData),
        ] {
            assert_eq!(read(&mut &*bytes).unwrap_err().kind(), kind, "{bytes:?}");
        }
    }
}
