//! Whether an answer agrees with the recorded one: every line, every column.
//!
//! Columns that are times agree if they are close: the rig's clock is not the model's. The rig's own name
//! (`vm`), process ids and the order in which tasks print are nobody's promise.

/// Seconds by which two times may differ: one period of the heartbeat, and what a Python program takes to start.
const SLACK: f64 = 2.6;

/// The lines that differ, as `recorded | model`.
pub(crate) fn differences(line: &str, recorded: &[String], model: &[String]) -> Vec<String> {
    if line.ends_with("getattr broker.pid") {
        return Vec::new();
    }
    let (recorded, model) = (prepared(line, recorded), prepared(line, model));
    let mut differences = Vec::new();
    for at in 0..recorded.len().max(model.len()) {
        let empty = String::new();
        let (left, right) = (recorded.get(at).unwrap_or(&empty), model.get(at).unwrap_or(&empty));
        if !same_line(left, right) {
            differences.push(format!("{left}  |  {right}"));
        }
    }
    differences
}

/// Lines in an order that both sides can have.
fn prepared(line: &str, lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().filter(|line| !line.is_empty()).cloned().collect();
    if line.starts_with("flux run") || line.starts_with("flux job attach") {
        lines.sort();
    }
    if line.contains("eventlog") && line.contains("resource") {
        lines = merged(&lines);
    }
    lines
}

/// In which groups ranks came online within moments is chance: neighbours of one kind are one line.
fn merged(lines: &[String]) -> Vec<String> {
    let mut merged: Vec<(String, Vec<u32>, String)> = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(time), Some(kind @ (&"online" | &"offline")), Some(ranks)) =
            (words.first(), words.get(1), words.get(2))
        else {
            merged.push((line.clone(), Vec::new(), String::new()));
            continue;
        };
        let ranks = ranks
            .trim_start_matches("idset=")
            .trim_matches('"')
            .parse::<towtank_flux::Idset>()
            .unwrap_or_default();
        match merged.last_mut() {
            Some((_, all, known)) if known == *kind => all.extend(ranks.iter()),
            _ => merged.push(((*time).to_owned(), ranks.iter().collect(), (*kind).to_owned())),
        }
    }
    let text = |(line, mut ranks, kind): (String, Vec<u32>, String)| {
        ranks.sort_unstable();
        if kind.is_empty() { line } else { format!("{kind} {ranks:?}") }
    };
    merged.into_iter().map(text).collect()
}

fn same_line(left: &str, right: &str) -> bool {
    let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
    left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| same_word(left, right))
}

fn same_word(left: &str, right: &str) -> bool {
    if left == right || left == "vm" {
        return true;
    }
    // "(0.555 ms)": how long a question took.
    if left.starts_with('(') && right.starts_with('(') {
        return true;
    }
    let close = |a: f64, b: f64| (a - b).abs() <= SLACK + 0.02 * a.abs();
    match (moment(left), moment(right)) {
        (Some((a, kind)), Some((b, other))) if kind == other => close(a, b),
        _ => clock(left).zip(clock(right)).is_some_and(|(a, b)| (a - b).abs() <= 60.0),
    }
}

/// `@12.345`, `2.757s`, `1.034m`, `16.63324475288391`: a time and its kind.
fn moment(word: &str) -> Option<(f64, char)> {
    let word = word.trim_end_matches(',');
    if let Some(at) = word.strip_prefix('@') {
        return Some((at.parse().ok()?, '@'));
    }
    let unit = word.chars().last()?;
    let scale = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86400.0,
        _ if word.contains('.') && unit.is_ascii_digit() => return Some((word.parse().ok()?, '.')),
        _ => return None,
    };
    let number = word.get(..word.len() - 1)?;
    Some((number.parse::<f64>().ok()? * scale, 's'))
}

/// `00:14` and `00:14:35` in seconds.
fn clock(word: &str) -> Option<f64> {
    let word = word.strip_prefix("depends:begin@").unwrap_or(word);
    let parts: Option<Vec<f64>> = word.split(':').map(|part| part.parse().ok()).collect();
    match parts?.as_slice() {
        [hours, minutes] => Some(hours * 3600.0 + minutes * 60.0),
        [hours, minutes, seconds] => Some(hours * 3600.0 + minutes * 60.0 + seconds),
        _ => None,
    }
}
