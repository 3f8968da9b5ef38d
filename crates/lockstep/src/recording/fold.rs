//! Lines that follow each other and differ in one number only share a line: `create pod work/{0-9}#1`.

use towtank_model::time::Time;

use crate::trace_text::{TraceLine, actor_named};
use crate::verdict::in_canonical_order;

/// Writes that one folded line may stand for; what claims more is no recording.
const FOLDED_MAX: u64 = 1_000_000;

/// The lines as text.
pub(super) fn fold(lines: &[TraceLine]) -> Vec<String> {
    let mut folded: Vec<Folded<'_>> = Vec::new();
    for line in in_natural_order(lines) {
        let next = Folded::of(line);
        match folded.last_mut() {
            Some(last) if last.is_followed_by(&next) => last.last = next.last,
            _ => folded.push(next),
        }
    }
    folded.iter().map(Folded::text).collect()
}

/// Events of an instant are sorted by their text, in which 10 comes before 2: here they go by number.
fn in_natural_order(lines: &[TraceLine]) -> Vec<&TraceLine> {
    let mut ordered: Vec<&TraceLine> = lines.iter().collect();
    ordered.sort_by_key(|line| {
        let event = line.is_event.then(|| match split(&line.text) {
            Some((before, number, after)) => (before, after, number),
            None => (&*line.text, "", 0),
        });
        (line.at, event)
    });
    ordered
}

/// Lines from the first number to the last.
struct Folded<'a> {
    line: &'a TraceLine,
    /// What stands before and after the number.
    parts: Option<(&'a str, &'a str)>,
    first: u64,
    last: u64,
}

impl<'a> Folded<'a> {
    fn of(line: &'a TraceLine) -> Self {
        match split(&line.text) {
            Some((before, number, after)) => {
                Self { line, parts: Some((before, after)), first: number, last: number }
            }
            None => Self { line, parts: None, first: 0, last: 0 },
        }
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        self.parts.is_some()
            && (self.line.at, self.line.actor, self.parts) == (next.line.at, next.line.actor, next.parts)
            && self.last + 1 == next.first
    }

    fn text(&self) -> String {
        let line = match self.parts {
            Some((before, after)) if self.first != self.last => {
                let text = format!("{before}{{{}-{}}}{after}", self.first, self.last);
                TraceLine { text, ..self.line.clone() }.to_string()
            }
            _ => self.line.to_string(),
        };
        line.replace('\\', "\\\\").replace('\n', "\\n")
    }
}

/// `text` around the index of the first pod that it names (`work/7#1`), or around its number when it has no index
/// (`work/#7`).
fn split(text: &str) -> Option<(&str, u64, &str)> {
    let hash = text.find('#')?;
    let slash = text[..hash].rfind('/')?;
    let digits = |from: usize| {
        let length = text[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - from);
        from..from + length
    };
    let number = if slash + 1 == hash { digits(hash + 1) } else { digits(slash + 1) };
    // A number that would be printed in another way cannot be folded.
    let value: u64 = text[number.clone()].parse().ok()?;
    let is_plain = value < FOLDED_MAX && value.to_string().len() == number.len();
    is_plain.then(|| (&text[..number.start], value, &text[number.end..]))
}

/// Whether a line names a pod of a Job.
pub(super) fn is_about_pod(line: &TraceLine) -> bool {
    split(&line.text).is_some()
}

/// The lines that were folded, in canonical order; the wrong line (from 0) and what is wrong with it otherwise.
pub(super) fn unfold<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<TraceLine>, (usize, String)> {
    let mut lines = Vec::new();
    for (position, text) in texts.enumerate() {
        unfold_line(text, &mut lines).map_err(|what| (position, what))?;
    }
    Ok(in_canonical_order(lines))
}

fn unfold_line(text: &str, lines: &mut Vec<TraceLine>) -> Result<(), String> {
    let wrong = || format!("`{text}` is no write: `t=SECONDS WHO WHAT` is meant");
    let (at, rest) = text.split_once(' ').ok_or_else(wrong)?;
    let at = parse_time(at.strip_prefix("t=").ok_or_else(wrong)?).ok_or_else(wrong)?;
    let (actor, what) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
    let actor = actor_named(actor).ok_or_else(|| format!("`{actor}` is no component"))?;
    let what = unescaped(what.trim_start());
    let is_event = what.starts_with("event ");
    let line = |text| TraceLine { at, actor, text, job: None, is_refused: false, is_event };
    match folded_range(&what) {
        Some((before, first, last, after)) => {
            lines.extend((first..=last).map(|number| line(format!("{before}{number}{after}"))));
        }
        None => lines.push(line(what)),
    }
    Ok(())
}

/// `work/{0-9}#1`, `work/#{1-5}`.
fn folded_range(text: &str) -> Option<(&str, u64, u64, &str)> {
    let (start, end) = (text.find('{')?, text.find('}')?);
    let before = &text[..start];
    let (first, last) = text.get(start + 1..end)?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let after = &text[end + 1..];
    let is_index = before.ends_with('/') && after.starts_with('#');
    let is_fold = (is_index || before.ends_with("/#")) && first < last && last < FOLDED_MAX;
    is_fold.then_some((before, first, last, after))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.clone().next() == Some('n') => {
                characters.next();
                out.push('\n');
            }
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// `12.125s`, as [`Time`] prints itself.
pub(super) fn parse_time(text: &str) -> Option<Time> {
    let (seconds, decimals) = text.strip_suffix('s')?.split_once('.')?;
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, format!("{decimals:0<6}").parse().ok()?);
    let is_exact = decimals.len() <= 6 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let micros = seconds.checked_mul(1_000_000)?.checked_add(micros)?;
    is_exact.then(|| Time::from_micros(micros))
}
