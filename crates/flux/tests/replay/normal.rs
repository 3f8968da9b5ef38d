//! One spelling for what real Flux printed and for what the model prints, so that both can be compared and kept.
//!
//! Columns instead of bytes (blanks are one blank), job ids by their number in the recording (`j1`, `j2`, …),
//! points in time relative to the start of the recording (`@12.345`), an allocation by its ranks and cores, a
//! usage text by the word `usage`.

use std::collections::BTreeMap;

/// The letter before a job id in F58.
const HOOK: char = 'ƒ';
/// The alphabet of F58 (RFC 19).
const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Job ids in F58 without the hook, by the name that stands for them.
pub(crate) type Names = BTreeMap<String, String>;

/// All job ids of a text, without the hook, in the order of appearance.
pub(crate) fn ids(text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for part in text.split(HOOK).skip(1) {
        let id: String = part.chars().take_while(|c| BASE58.contains(*c)).collect();
        if !id.is_empty() {
            ids.push(id);
        }
    }
    ids
}

/// The text with every known job id replaced by its name, with and without the hook.
pub(crate) fn named(text: &str, names: &Names) -> String {
    let mut text = text.to_owned();
    // Longer ids first: one id may be the beginning of another.
    let mut known: Vec<_> = names.iter().collect();
    known.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
    for (id, name) in known {
        text = text.replace(&format!("{HOOK}{id}"), name);
        if id.len() >= 6 {
            text = text.replace(&format!("f{id}"), name);
        }
    }
    text
}

/// Lines of standard output as lists of columns, joined by one blank.
pub(crate) fn stdout(text: &str, epoch: f64) -> Vec<String> {
    let mut lines: Vec<String> = without_colour(text)
        .lines()
        .map(|line| match allocation(line) {
            Some(allocation) => allocation,
            None => line.split_whitespace().map(|word| relative(word, epoch)).collect::<Vec<_>>().join(" "),
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    // Jobs print their lines in no particular order.
    lines.iter_mut().for_each(|line| *line = line.trim().to_owned());
    lines
}

/// The classes of the messages on standard error: programs, clocks and usage texts removed.
pub(crate) fn stderr(text: &str, epoch: f64) -> Vec<String> {
    let mut classes: Vec<String> = Vec::new();
    let lower = text.to_lowercase();
    if lower.contains("usage:") {
        return vec!["usage".to_owned()];
    }
    for line in text.lines() {
        let line = line.trim();
        let line = line
            .strip_prefix("flux-")
            .map_or(line, |rest| rest.split_once(": ").map_or(rest, |(_, message)| message));
        let line = line.strip_prefix("ERROR: ").or_else(|| line.strip_prefix("INFO: ")).unwrap_or(line);
        // "[Errno 17] rank 2 already drained" and "0.031s: job.exception …"
        let line = match line.strip_prefix("[Errno").and_then(|rest| rest.split_once("] ")) {
            Some((_, message)) => message,
            None => line,
        };
        let line = match line.split_once(": ") {
            Some((clock, message))
                if clock.ends_with('s') && clock.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                message
            }
            _ => line,
        };
        let line = line.split_whitespace().map(|word| relative(word, epoch)).collect::<Vec<_>>().join(" ");
        if is_noise(&line) || line.is_empty() || classes.contains(&line) {
            continue;
        }
        classes.push(line);
    }
    classes
}

/// What the rig or the progress display printed, not the command.
fn is_noise(line: &str) -> bool {
    ["archived ", "broker.info", "Use --count", "attach_send_shell", "flux-shell[", "shell[", "broker: "]
        .iter()
        .any(|noise| line.contains(noise))
}

/// The text without the escape sequences of colours.
fn without_colour(text: &str) -> String {
    let mut plain = String::new();
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => escaped = true,
            'm' if escaped => escaped = false,
            _ if !escaped => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Seconds since 1970 become seconds since the start of the recording.
fn relative(word: &str, epoch: f64) -> String {
    match word.parse::<f64>() {
        Ok(time) if (1.7e9..2.0e9).contains(&time) => format!("@{:.3}", time - epoch),
        _ => word.to_owned(),
    }
}

/// An allocation (RFC 20) in short: `R 0-1:0-3 2:0 flux-sample-[0-2]`.
fn allocation(line: &str) -> Option<String> {
    let execution = serde_json::from_str::<serde_json::Value>(line).ok()?.get("execution")?.clone();
    let mut short = "R".to_owned();
    for set in execution.get("R_lite")?.as_array()? {
        let cores = set.get("children").and_then(|children| children.get("core"));
        let text =
            |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).unwrap_or("?").to_owned();
        short += &format!(" {}:{}", text(set.get("rank")), text(cores));
    }
    for hosts in execution.get("nodelist")?.as_array()? {
        short += &format!(" {}", hosts.as_str()?);
    }
    Some(short)
}
