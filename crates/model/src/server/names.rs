//! Names that the API server makes up: `generateName` plus five random characters (Job spec section 3.6).

use std::fmt::Write as _;

use crate::engine::{Purpose, RandomStreams};

/// The alphabet of generated suffixes: no vowels and nothing that looks like something else
/// (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of a generated suffix.
const SUFFIX_LEN: u32 = 5;
/// Longest prefix that survives: with the suffix it makes a DNS label of 63 characters.
const PREFIX_LEN_MAX: usize = 58;

/// How often the API server tries a generated name where it tries again at all (`maxNameGenerationCreateAttempts`).
pub(super) const ATTEMPTS_MAX: u32 = 8;

/// `generateName` of a Job's pods: `<job>-<index>-` cut so that the index survives (`TestPodGenerateNameWithIndex`), or
/// `<job>-` without an index, which the API server cuts at the end.
pub(super) fn pod_prefix(job: &str, index: Option<u32>) -> String {
    let mut tail = String::with_capacity(12);
    if let Some(index) = index {
        // Writing to a string cannot fail.
        let _ = write!(tail, "-{index}-");
    } else {
        tail.push('-');
    }
    let room = if index.is_some() { PREFIX_LEN_MAX.saturating_sub(tail.len()) } else { PREFIX_LEN_MAX };
    let mut prefix = String::with_capacity(PREFIX_LEN_MAX + SUFFIX_LEN as usize);
    prefix.push_str(&job[..job.floor_char_boundary(room)]);
    prefix.push_str(&tail);
    prefix.truncate(prefix.floor_char_boundary(PREFIX_LEN_MAX));
    prefix
}

/// Puts a random suffix behind the first `prefix_len` bytes of `name`.
pub(super) fn randomize(name: &mut String, prefix_len: usize, random: &mut RandomStreams) {
    name.truncate(prefix_len);
    let base = ALPHABET.len() as u64;
    let mut number = random.below(Purpose::Names, base.pow(SUFFIX_LEN));
    for _ in 0..SUFFIX_LEN {
        name.push(char::from(ALPHABET[usize::try_from(number % base).unwrap_or(0)]));
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream `TestPodGenerateNameWithIndex`.
    #[test]
    fn pod_generate_name_with_index() {
        let sixty_four = "a".repeat(64);
        let cases = [
            ("indexed", Some(1), "indexed-1-".to_owned()),
            ("indexed", Some(0), "indexed-0-".to_owned()),
            ("indexed", None, "indexed-".to_owned()),
            (&sixty_four, Some(1), format!("{}-1-", "a".repeat(55))),
            (&sixty_four, Some(99_999), format!("{}-99999-", "a".repeat(51))),
            (&sixty_four, None, "a".repeat(58)),
            (&sixty_four[..57], None, format!("{}-", "a".repeat(57))),
            (&sixty_four[..58], None, "a".repeat(58)),
        ];
        for (job, index, expected) in cases {
            assert_eq!(pod_prefix(job, index), expected, "{job} {index:?}");
        }
    }

    #[test]
    fn a_prefix_of_any_text_is_cut_between_characters() {
        assert_eq!(pod_prefix(&"ä".repeat(60), Some(0)).len(), 57);
        assert_eq!(pod_prefix("", None), "-");
    }

    #[test]
    fn suffixes_use_the_whole_alphabet_and_nothing_else() {
        let mut random = RandomStreams::new(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut name = "job-0-stale".to_owned();
            randomize(&mut name, 6, &mut random);
            assert_eq!((&name[..6], name.len()), ("job-0-", 11));
            seen.extend(name[6..].bytes());
        }
        assert_eq!(seen, ALPHABET.iter().copied().collect());
    }
}
