//! Reading a hostlist: words between commas, blanks and tabs; at most one bracket of each word expands.

use super::{Hostlist, run::Run};

/// The most ranges within one bracket, as in Flux.
const RANGES_MAX: usize = 10_240;

pub(super) fn parse(text: &str) -> Option<Hostlist> {
    let mut list = Hostlist::new();
    let mut hosts = 0;
    for word in words(text) {
        let mut runs = Vec::new();
        match word.split_once('[') {
            Some((prefix, rest)) => bracketed(prefix, rest, &mut runs)?,
            None if word.contains(']') => return None,
            None => runs.push(Run::of(word)),
        }
        for run in runs {
            hosts += run.len();
            if hosts > Hostlist::HOSTS_MAX {
                return None;
            }
            list.push_run(run);
        }
    }
    Some(list)
}

/// The words of a list. Separators within brackets belong to the word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        depth <= 0 && matches!(c, ',' | ' ' | '\t')
    })
    .filter(|word| !word.is_empty())
}

fn bracketed(prefix: &str, rest: &str, runs: &mut Vec<Run>) -> Option<()> {
    let (ranges, suffix) = rest.split_once(']')?;
    if prefix.contains(']') || !balanced(suffix) {
        return None;
    }
    for (count, range) in ranges.split(',').enumerate() {
        if count >= RANGES_MAX {
            return None;
        }
        let (first, last, width) = numbers(range)?;
        if suffix.is_empty() {
            runs.push(Run::range(prefix, first, last, width));
        } else {
            // The second bracket of a word is part of the name (recording 08: `n[0-1][0-1]` has two hosts), and such a name
            // has no number of its own, even if it ends with one.
            runs.extend(
                (first..=last).map(|number| Run::plain(&format!("{prefix}{number:0width$}{suffix}"))),
            );
            if runs.len() > Hostlist::HOSTS_MAX {
                return None;
            }
        }
    }
    Some(())
}

fn balanced(suffix: &str) -> bool {
    let mut depth = 0_i32;
    for c in suffix.chars() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// `3`, `3-7`, `003-7`: first, last and the width of the first. Blanks around a number are allowed and count as width
/// (recording 08: `[ 1-2]` is `[01-02]`).
fn numbers(range: &str) -> Option<(u64, u64, usize)> {
    let (first_text, last_text) =
        range.split_once('-').map_or((range, None), |(first, last)| (first, Some(last)));
    let first = number(first_text)?;
    let last = last_text.map_or(Some(first), number)?;
    let count = last.checked_sub(first)?;
    (count < Hostlist::RANGE_MAX && first_text.len() <= WIDTH_MAX).then_some((first, last, first_text.len()))
}

/// More leading zeros than this are a mistake; a limit of ours.
const WIDTH_MAX: usize = 1_024;

/// A number that does not fit 64 bits is the largest one (recording 08).
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_matches(' ');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}
