//! Frames: a length of four bytes, big-endian, and so many bytes.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender};

/// Longest frame.
pub const FRAME_LEN_MAX: usize = 64 << 20;

/// Writes each request and reads its answer, until either side is gone or something fails.
pub(super) fn serve(
    mut to: impl Write,
    mut from: impl Read,
    requests: &Receiver<Vec<u8>>,
    answers: &Sender<io::Result<Vec<u8>>>,
) {
    for request in requests {
        let answer = write(&mut to, &request).and_then(|()| read(&mut from));
        let is_over = answer.is_err();
        if answers.send(answer).is_err() || is_over {
            return;
        }
    }
}

fn write(to: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let len = u32::try_from(content.len()).ok().filter(|&len| len as usize <= FRAME_LEN_MAX);
    let len =
        len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "our request is too long for a frame"))?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(content)?;
    to.flush()
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
