//! Job ids: 64 bits that ascend with the time of submission and need no coordination (RFC 19).
//!
//! 40 bits of milliseconds since the instance started, 14 bits of the broker that made the id (its rank), 10 bits of a
//! sequence within the millisecond. Printed as F58: base 58 behind a `ƒ`.

use std::fmt;
use std::str::FromStr;

/// The id of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// The text is no job id (recording 05).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a valid Flux jobid")]
pub struct InvalidJobId {
    /// What was given.
    pub text: String,
}

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const SEQUENCE_BITS: u32 = 10;
const GENERATOR_BITS: u32 = 14;

impl JobId {
    /// The first id of millisecond `millis` made by `generator`; what does not fit its field is cut off, as in Flux.
    pub const fn new(millis: u64, generator: u32, sequence: u32) -> Self {
        let generator = (generator & ((1 << GENERATOR_BITS) - 1)) as u64;
        let sequence = (sequence & ((1 << SEQUENCE_BITS) - 1)) as u64;
        Self((millis << (GENERATOR_BITS + SEQUENCE_BITS)) | (generator << SEQUENCE_BITS) | sequence)
    }

    /// Milliseconds between the start of the instance and the submission.
    pub const fn millis(self) -> u64 {
        self.0 >> (GENERATOR_BITS + SEQUENCE_BITS)
    }

    /// The rank that made the id.
    pub const fn generator(self) -> u32 {
        (self.0 >> SEQUENCE_BITS) as u32 & ((1 << GENERATOR_BITS) - 1)
    }

    /// The number within the millisecond.
    pub const fn sequence(self) -> u32 {
        self.0 as u32 & ((1 << SEQUENCE_BITS) - 1)
    }

    /// The id that the same generator makes next if the clock still shows `millis` or less; the sequence runs over into
    /// the next millisecond.
    pub const fn next(self, millis: u64) -> Self {
        if millis > self.millis() {
            Self::new(millis, self.generator(), 0)
        } else if self.sequence() + 1 < 1 << SEQUENCE_BITS {
            Self::new(self.millis(), self.generator(), self.sequence() + 1)
        } else {
            Self::new(self.millis() + 1, self.generator(), 0)
        }
    }

    /// Base 58 without the leading letter.
    fn base58(self) -> String {
        let mut digits: Vec<u8> = Vec::new();
        let mut rest = self.0;
        loop {
            digits.extend(ALPHABET.get((rest % 58) as usize));
            rest /= 58;
            if rest == 0 {
                break;
            }
        }
        digits.iter().rev().map(|digit| char::from(*digit)).collect()
    }

    /// F58 in ASCII: `f2SP4cFq`.
    pub fn f58_plain(self) -> String {
        format!("f{}", self.base58())
    }

    /// Hexadecimal: `0xcbe000000`.
    pub fn hex(self) -> String {
        format!("{:#x}", self.0)
    }

    /// Four groups of hexadecimal digits: `0000.000c.be00.0000`.
    pub fn dothex(self) -> String {
        let group = |shift: u32| (self.0 >> shift) & 0xffff;
        format!("{:04x}.{:04x}.{:04x}.{:04x}", group(48), group(32), group(16), group(0))
    }

    /// The directory of the job in the key-value store: `job.0000.000c.be00.0000`.
    pub fn kvs(self) -> String {
        format!("job.{}", self.dothex())
    }
}

impl fmt::Display for JobId {
    /// F58: `ƒ2SP4cFq`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("ƒ{}", self.base58()))
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    /// Reads decimal, `0x…`, dothex, `job.…` and F58 with `ƒ` or `f`.
    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let word = text.trim();
        let value = if let Some(digits) = word.strip_prefix("0x") {
            hex(digits)
        } else if let Some(digits) = word.strip_prefix('ƒ').or_else(|| word.strip_prefix('f')) {
            base58(digits)
        } else if word.contains('.') {
            dothex(word.strip_prefix("job.").unwrap_or(word))
        } else {
            decimal(word)
        };
        value.map(Self).ok_or_else(|| InvalidJobId { text: text.to_owned() })
    }
}

fn decimal(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn hex(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

fn dothex(word: &str) -> Option<u64> {
    let mut value = 0;
    let mut groups = 0;
    for group in word.split('.') {
        groups += 1;
        if group.len() != 4 || groups > 4 {
            return None;
        }
        value = (value << 16) | hex(group)?;
    }
    (groups == 4).then_some(value)
}

fn base58(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_u64, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        value.checked_mul(58)?.checked_add(digit as u64)
    })
}
