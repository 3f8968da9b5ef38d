//! Whatever the bytes: a scenario, or a message with a place inside the file; never a panic.

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use proptest::sample::Index;
use towtank_scenario::{NoFiles, parse};

const SEED: &str = include_str!("good.yaml");

/// Words that mean something to YAML, to the format, or to CEL.
const TOKENS: &[&str] = &[
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "|",
    ">",
    "!!int ",
    "'",
    "\"",
    "#",
    "---\n",
    "...",
    "%",
    "?",
    "~",
    "null",
    "true",
    "-1",
    "1e999",
    "99999999999999999999",
    ".inf",
    "10s",
    "1m",
    "1.36",
    ">=1.31",
    "0-2",
    "3,1",
    "name",
    "steps",
    "expect",
    "apply",
    "job",
    "pod",
    "work-0",
    "work",
    "never",
    "that",
    "pods",
    "pods.exists(p, ",
    "p.index",
    "&&",
    "==",
    "ü",
    "\u{feff}",
    "\u{0}",
    "\r",
    "\t",
    "\n",
    "      ",
    "kubectl get pods",
    "NAME  READY",
    "containers",
    "spec",
    "metadata",
];

/// Holds for every text.
fn is_scenario_or_message(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse("some.yaml", text, &NoFiles) else { return Ok(()) };
    let (span, file) = (error.span(), error.file());
    prop_assert!(
        span.start <= span.end && span.end <= file.text.len(),
        "{span:?} in {} bytes",
        file.text.len()
    );
    prop_assert!(file.text.get(span).is_some(), "the place cuts a character");
    let (line, column) = error.position();
    prop_assert!(line >= 1 && line <= file.text.matches('\n').count() + 1 && column >= 1);
    prop_assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'), "{error}");
    prop_assert!(error.help_text().is_some(), "no help for: {error}");
    let mut printed = String::new();
    let printer = GraphicalReportHandler::new_themed(GraphicalTheme::none());
    prop_assert!(printer.render_report(&mut printed, &error).is_ok());
    Ok(())
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(Index, usize),
    Duplicate(Index, usize),
    Replace(Index, u8),
    Insert(Index, &'static str),
    SwapLines(Index, Index),
    DeleteLine(Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |at: &Index, length: usize| {
            let start = at.index(bytes.len());
            start..(start + length).min(bytes.len())
        };
        match self {
            Self::Delete(at, length) => drop(bytes.drain(range(at, *length))),
            Self::Duplicate(at, length) => {
                let range = range(at, *length);
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
            }
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Insert(at, token) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, token.bytes());
            }
            Self::SwapLines(..) | Self::DeleteLine(_) => {
                let mut lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                match self {
                    Self::SwapLines(a, b) => {
                        let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                        lines.swap(a, b);
                    }
                    Self::DeleteLine(at) => drop(lines.remove(at.index(lines.len()))),
                    _ => {}
                }
                *bytes = lines.concat();
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, length)| Mutation::Duplicate(at, length)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        // Letters and digits leave the YAML whole and reach the checks behind it.
        (any::<Index>(), prop::sample::select(&b"aeou0159-\"'<."[..]))
            .prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<Index>(), prop::sample::select(TOKENS)).prop_map(|(at, token)| Mutation::Insert(at, token)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Mutation::SwapLines(a, b)),
        any::<Index>().prop_map(Mutation::DeleteLine),
    ]
}

#[test]
fn the_seed_is_a_scenario() {
    parse("good.yaml", SEED, &NoFiles).unwrap_or_else(|error| panic!("{error} at {:?}", error.position()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        is_scenario_or_message(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn arbitrary_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..80)) {
        is_scenario_or_message(&tokens.concat())?;
    }

    #[test]
    fn mutated_scenarios(mutations in prop::collection::vec(mutation(), 1..4)) {
        let mut bytes = SEED.as_bytes().to_vec();
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        is_scenario_or_message(&String::from_utf8_lossy(&bytes))?;
    }
}
