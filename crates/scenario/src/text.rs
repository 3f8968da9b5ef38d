//! The small languages within a scenario: lengths of time, version ranges, index sets.

use std::time::Duration;

use towtank_model::index_set::{IndexSet, IndexSetError};

use crate::ast::{Release, VersionRange};
use crate::error::Problem;

/// Longer than anything that a scenario waits for.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// What is wrong with a text, and what would be right.
pub(crate) type TextError = (Problem, String);

/// Reads `10s`, `1m30s`, `500ms`, `1.5h`: numbers with units, from the largest to the smallest, at most a year.
pub(crate) fn duration(text: &str) -> Result<Duration, TextError> {
    const UNITS: [(&str, f64); 6] =
        [("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)];
    let wrong = || {
        let help = "write numbers with units, the largest first: `10s`, `1m30s`, `500ms`, `2h`".to_owned();
        (Problem::Duration(text.to_owned()), help)
    };
    if let Ok(number) = text.parse::<f64>() {
        let help = if number == 0.0 {
            "write `0s`".to_owned()
        } else {
            format!("write `{text}s` for seconds, `{text}m` for minutes or `{text}ms` for milliseconds")
        };
        return Err((Problem::MissingUnit(text.to_owned()), help));
    }
    let (mut rest, mut seconds, mut units) = (text, 0.0, UNITS.as_slice());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let position = units.iter().position(|(unit, _)| *unit == &after[..letters]).ok_or_else(wrong)?;
        seconds += number * units[position].1;
        units = &units[position + 1..];
        rest = &after[letters..];
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let exact = Duration::try_from_secs_f64(seconds).ok().filter(|exact| *exact <= DURATION_MAX);
    let too_long = || {
        let hours = DURATION_MAX.as_secs() / 3_600;
        let limit = format!("a duration may be {hours} h long");
        (Problem::Limit(limit), format!("write at most `{hours}h`"))
    };
    // The model's clock has ticks of a microsecond.
    exact.map(|exact| Duration::from_micros((exact.as_secs_f64() * 1e6).round() as u64)).ok_or_else(too_long)
}

/// Reads `>=1.31`, `<1.31`, `>1.30`, `<=1.33`, `1.28..1.30` (both included), `1.36`, `all`, or several with blanks between.
pub(crate) fn versions<V: Release>(text: &str) -> Result<VersionRange<V>, TextError> {
    let mut range = VersionRange::<V>::ALL;
    let empty = || {
        let known = format!("known are {}", VersionRange::<V>::ALL);
        (Problem::Invalid(format!("no {} satisfies `{text}`", V::WHAT)), known)
    };
    if text.trim().is_empty() {
        return Err(empty());
    }
    for word in text.split_whitespace() {
        let (first, last) = bounds::<V>(word)?.ok_or_else(empty)?;
        range.first = range.first.max(first);
        range.last = range.last.min(last);
    }
    if range.first > range.last { Err(empty()) } else { Ok(range) }
}

/// The bounds that one word sets; nothing when no version lies within them.
fn bounds<V: Release>(word: &str) -> Result<Option<(V, V)>, TextError> {
    if word == "all" {
        return Ok(Some((V::OLDEST, V::NEWEST)));
    }
    if let Some((first, last)) = word.split_once("..") {
        return Ok(Some((version(first)?, version(last.trim_start_matches('='))?)));
    }
    let digits = word.find(|c: char| !matches!(c, '<' | '>' | '=')).unwrap_or(word.len());
    let (operator, number) = word.split_at(digits);
    let version: V = version(number)?;
    let all = V::all();
    Ok(match operator {
        ">=" => Some((version, V::NEWEST)),
        "<=" => Some((V::OLDEST, version)),
        ">" => all.into_iter().find(|other| *other > version).map(|next| (next, V::NEWEST)),
        "<" => all.into_iter().rfind(|other| *other < version).map(|last| (V::OLDEST, last)),
        "" | "=" | "==" => Some((version, version)),
        _ => {
            let help = "known are `>=`, `<=`, `>`, `<`, and `..` between two versions".to_owned();
            return Err((Problem::Unknown { what: "comparison", text: operator.to_owned() }, help));
        }
    })
}

fn version<V: Release>(text: &str) -> Result<V, TextError> {
    text.parse().map_err(|_| {
        let all = V::all();
        let example = |position: usize| all.get(position).copied().unwrap_or(V::NEWEST);
        let (some, other) = (example(1), example(2));
        let help = format!(
            "known are {}; write `>={some}`, `<{some}`, `{some}..{other}`, `{other}` or `all`",
            VersionRange::<V>::ALL
        );
        (Problem::Unknown { what: V::WHAT, text: text.to_owned() }, help)
    })
}

/// Reads an index set that somebody wrote to select indexes.
pub(crate) fn index_set(text: &str) -> Result<IndexSet, TextError> {
    IndexSet::validate(text, u32::MAX).map_err(|error: IndexSetError| {
        (Problem::IndexSet(error), "write ascending indexes and intervals: `0,2-4,7`".to_owned())
    })
}

/// Reads an index set that is compared with what the controller writes: it must be written in the same way.
pub(crate) fn canonical_index_set(text: &str) -> Result<String, TextError> {
    let canonical = index_set(text)?.to_string();
    if canonical == text {
        Ok(canonical)
    } else {
        let problem = Problem::Invalid(format!("the controller never writes the index set `{text}`"));
        Err((
            problem,
            format!("it writes `{canonical}`: two neighbours with a comma, three or more with a dash"),
        ))
    }
}

/// The largest index of a canonical index set: its last number.
pub(crate) fn last_index(text: &str) -> Option<u32> {
    text.rsplit([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use towtank_model::version::KubernetesVersion;

    use super::*;

    #[test]
    fn durations_need_units() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0s", 0),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["10", "1.5", "0", "1e3"] {
            assert!(matches!(duration(text), Err((Problem::MissingUnit(_), _))), "{text}");
        }
        for text in ["", "s", "10 s", "30s1m", "1s1s", "10sec", "-1s", "1..5s", "inf s", "1ä"] {
            assert!(matches!(duration(text), Err((Problem::Duration(_), _))), "{text}");
        }
        for text in ["9999999d", "8785h"] {
            assert!(matches!(duration(text), Err((Problem::Limit(_), _))), "{text}");
        }
    }

    #[test]
    fn versions_combine() {
        for (text, expected) in [
            (">=1.31", "1.31..1.37"),
            ("<1.31", "1.28..1.30"),
            (">1.30 <=1.33", "1.31..1.33"),
            ("1.28..1.30", "1.28..1.30"),
            ("1.36", "1.36..1.36"),
            (">=1.29 <1.33", "1.29..1.32"),
        ] {
            let range =
                versions::<KubernetesVersion>(text).map(|range| format!("{}..{}", range.first, range.last));
            assert_eq!(range, Ok(expected.to_owned()), "{text}");
        }
        for text in
            ["", "1.27", "1.38", ">1.37", "<1.28", "1.33..1.30", "v1.30", "~1.30", "1.3", ">=1.31 <1.30"]
        {
            assert!(versions::<KubernetesVersion>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn index_sets_of_claims_are_written_as_the_controller_writes_them() {
        assert_eq!(canonical_index_set("0,1,3-5"), Ok("0,1,3-5".to_owned()));
        assert!(canonical_index_set("0-1").is_err());
        assert!(matches!(canonical_index_set("1,0"), Err((Problem::IndexSet(_), _))));
    }
}
