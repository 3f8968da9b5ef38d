//! The text of a recording: versions that wrote the same share a block, and a block that is much like an earlier one
//! shows what is different only.
//!
//! ```text
//! === Kubernetes 1.28..1.33, 1.35 (124 writes)
//! t=0.0s        user             create job work: parallelism 2, completions 2
//! ⋮
//! === Kubernetes 1.34 (125 writes), as 1.28 but for
//! @ 17
//! -t=1.0s        job-controller   status job work: succeeded 0→1
//! +t=2.0s        job-controller   status job work: succeeded 0→1
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;

use similar::{ChangeTag, TextDiff};
use towtank_model::version::KubernetesVersion;

use super::abridge::Entry;
use super::fold::{fold, parse_time, unfold};
use super::{Recording, SEED};
use crate::trace_text::TraceLine;

/// How lines that stand for many writes begin.
const DIGEST: &str = "… ";
/// What ends the heading of a block that shows differences only.
const BUT_FOR: &str = " but for";

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", head(&self.scenario, self.versions.keys().copied()))?;
        let mut blocks: Vec<(Vec<KubernetesVersion>, &[Entry])> = Vec::new();
        for (version, entries) in &self.versions {
            match blocks.iter_mut().find(|(_, known)| **known == **entries) {
                Some((versions, _)) => versions.push(*version),
                None => blocks.push((vec![*version], entries)),
            }
        }
        let mut earlier: Vec<(KubernetesVersion, Vec<String>)> = Vec::new();
        for (versions, entries) in blocks {
            let lines = block_lines(entries);
            let writes: usize = entries.iter().map(Entry::writes).sum();
            write!(f, "\n=== Kubernetes {} ({writes} writes)", ranges(&versions))?;
            let changes = earlier.iter().map(|(version, base)| (version, changes(base, &lines)));
            match changes.min_by_key(|(_, changes)| changes.len()) {
                Some((version, changes)) if changes.len() < lines.len() => {
                    writeln!(f, ", as {version}{BUT_FOR}")?;
                    changes.iter().try_for_each(|line| writeln!(f, "{line}"))?;
                }
                _ => {
                    writeln!(f)?;
                    lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
                }
            }
            earlier.extend(versions.first().map(|version| (*version, lines)));
        }
        Ok(())
    }
}

/// The first line: what was recorded, of which releases, so that nobody takes another release for it.
fn head(scenario: &str, versions: impl Iterator<Item = KubernetesVersion>) -> String {
    let releases: Vec<String> = versions.map(|version| version.full()).collect();
    format!("{scenario}, seed {SEED}, recorded from Kubernetes {}", releases.join(", "))
}

/// `1.28..1.30, 1.36`.
fn ranges(versions: &[KubernetesVersion]) -> String {
    let mut ranges: Vec<(KubernetesVersion, KubernetesVersion)> = Vec::new();
    for &version in versions {
        match ranges.last_mut() {
            Some((_, last)) if last.minor() + 1 == version.minor() => *last = version,
            _ => ranges.push((version, version)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}..{last}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn block_lines(entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut writes: Vec<TraceLine> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Write(line) => writes.push(line.clone()),
            Entry::Digest { writes: count, until, digest } => {
                lines.extend(fold(&std::mem::take(&mut writes)));
                lines.push(format!("{DIGEST}{count} writes to t={until}: {digest:016x}"));
            }
        }
    }
    lines.extend(fold(&writes));
    lines
}

/// What is different from `base`: `@ N` (after N of its lines), lines that are missing, lines that are there instead.
fn changes(base: &[String], lines: &[String]) -> Vec<String> {
    let (base, lines): (Vec<&str>, Vec<&str>) =
        (base.iter().map(String::as_str).collect(), lines.iter().map(String::as_str).collect());
    let diff = TextDiff::from_slices(&base, &lines);
    let mut changes = Vec::new();
    let (mut position, mut announced) = (0, false);
    for change in diff.iter_all_changes() {
        let mark = match change.tag() {
            ChangeTag::Equal => {
                position += 1;
                announced = false;
                continue;
            }
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        if !announced {
            changes.push(format!("@ {position}"));
            announced = true;
        }
        if change.tag() == ChangeTag::Delete {
            position += 1;
        }
        changes.push(format!("{mark}{}", change.value()));
    }
    changes
}

/// A line (from 1) and what is wrong there.
type Wrong = (usize, String);

type Lines<'a> = Peekable<std::iter::Enumerate<std::str::Lines<'a>>>;

/// Reads what [`Recording`] prints.
pub(super) fn parse(text: &str) -> Result<Recording, Wrong> {
    let mut lines = text.lines().enumerate().peekable();
    let first = lines.next().map_or("", |(_, line)| line);
    let scenario = first.split(", seed ").next().unwrap_or("");
    let mut recording = Recording::new(scenario);
    let mut blocks: BTreeMap<KubernetesVersion, Vec<String>> = BTreeMap::new();
    while let Some((position, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| (position + 1, format!("`{line}`: {what}"));
        let heading = Heading::parse(line).map_err(|what| wrong(&what))?;
        let content = match heading.base {
            None => take_block(&mut lines),
            Some(base) => {
                let base = blocks.get(&base).ok_or_else(|| wrong("there is no such block above"))?;
                apply(base, &mut lines)?
            }
        };
        let entries = entries(&content).map_err(|(line, what)| (position + 2 + line, what))?;
        if entries.iter().map(Entry::writes).sum::<usize>() != heading.writes || entries.is_empty() {
            return Err(wrong("the writes below are not as many"));
        }
        let first = heading.versions.first().copied();
        blocks.extend(first.map(|version| (version, content)));
        let entries: std::sync::Arc<[Entry]> = entries.into();
        for version in heading.versions {
            if recording.versions.insert(version, entries.clone()).is_some() {
                return Err(wrong("a version has two blocks"));
            }
        }
    }
    let expected = head(scenario, recording.versions.keys().copied());
    if recording.versions.is_empty() || first != expected {
        return Err((1, format!("`{expected}` is meant")));
    }
    Ok(recording)
}

/// `=== Kubernetes 1.28..1.33, 1.35 (124 writes), as 1.28 but for`.
struct Heading {
    versions: Vec<KubernetesVersion>,
    writes: usize,
    base: Option<KubernetesVersion>,
}

impl Heading {
    fn parse(line: &str) -> Result<Self, String> {
        let wrong = || "`=== Kubernetes VERSIONS (N writes)` is meant".to_owned();
        let version = |text: &str| text.parse::<KubernetesVersion>().map_err(|error| error.to_string());
        let line = line.strip_prefix("=== Kubernetes ").ok_or_else(wrong)?;
        let (names, rest) = line.split_once(" (").ok_or_else(wrong)?;
        let (writes, rest) = rest.split_once(" writes)").ok_or_else(wrong)?;
        let base = match rest.strip_prefix(", as ").and_then(|rest| rest.strip_suffix(BUT_FOR)) {
            Some(name) => Some(version(name)?),
            None if rest.is_empty() => None,
            None => return Err(wrong()),
        };
        let mut versions = Vec::new();
        for range in names.split(", ") {
            let (first, last) = range.split_once("..").unwrap_or((range, range));
            let (first, last) = (version(first)?, version(last)?);
            versions.extend(KubernetesVersion::all().filter(|version| (first..=last).contains(version)));
        }
        Ok(Self { versions, writes: writes.parse().map_err(|_| wrong())?, base })
    }
}

fn take_block(lines: &mut Lines<'_>) -> Vec<String> {
    let mut block = Vec::new();
    while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
        block.push(line.to_owned());
    }
    block
}

/// A block that shows what is different from `base`.
fn apply(base: &[String], lines: &mut Lines<'_>) -> Result<Vec<String>, Wrong> {
    let mut block: Vec<String> = Vec::new();
    let mut position = 0;
    while let Some((number, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
        let wrong = |what: &str| (number + 1, format!("`{line}`: {what}"));
        if let Some(text) = line.strip_prefix("@ ") {
            let next: usize = text.parse().map_err(|_| wrong("`@ NUMBER OF LINES` is meant"))?;
            let kept = base.get(position..next).ok_or_else(|| wrong("there are no such lines"))?;
            block.extend_from_slice(kept);
            position = next;
        } else if let Some(text) = line.strip_prefix('+') {
            block.push(text.to_owned());
        } else if let Some(text) = line.strip_prefix('-') {
            if base.get(position).is_none_or(|known| known != text) {
                return Err(wrong("the block above has no such line here"));
            }
            position += 1;
        } else {
            return Err(wrong("a line with `@ `, `-` or `+` is meant"));
        }
    }
    block.extend_from_slice(base.get(position..).unwrap_or_default());
    Ok(block)
}

fn entries(block: &[String]) -> Result<Vec<Entry>, Wrong> {
    let is_digest = |line: &String| line.starts_with(DIGEST);
    let mut entries: Vec<Entry> = Vec::new();
    let mut position = 0;
    for lines in block.chunk_by(|one, other| is_digest(one) == is_digest(other)) {
        if lines.first().is_some_and(is_digest) {
            for (offset, line) in lines.iter().enumerate() {
                let wrong = || format!("`{line}`: `… N writes to t=TIME: DIGEST` is meant");
                entries.push(parse_digest(line).ok_or_else(|| (position + offset, wrong()))?);
            }
        } else {
            let writes = unfold(lines.iter().map(String::as_str));
            let writes = writes.map_err(|(offset, what)| (position + offset, what))?;
            entries.extend(writes.into_iter().map(Entry::write));
        }
        position += lines.len();
    }
    Ok(entries)
}

fn parse_digest(line: &str) -> Option<Entry> {
    let (writes, rest) = line.strip_prefix(DIGEST)?.split_once(" writes to t=")?;
    let (until, digest) = rest.split_once(": ")?;
    Some(Entry::Digest {
        writes: writes.parse().ok()?,
        until: parse_time(until)?,
        digest: u64::from_str_radix(digest, 16).ok()?,
    })
}
