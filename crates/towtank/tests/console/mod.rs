//! Documents whose output is real: every command in a `console` block, and what stands below it. A line `…` stands for any number of lines.

/// One command and what a document shows below it.
pub(crate) struct Shown {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
    /// Line of the command, from 0.
    pub(crate) line: usize,
}

/// The commands of a document.
pub(crate) fn shown(document: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut inside = false;
    for (line, text) in document.lines().enumerate() {
        match (inside, text) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, text) => match (text.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => {
                    found.push(Shown { command: command.to_owned(), output: Vec::new(), line })
                }
                (None, Some(last)) => last.output.push(text.to_owned()),
                (None, None) => panic!("line {line}: output before the first command"),
            },
            _ => {}
        }
    }
    found
}

/// Whether `lines` are `pattern`, where `…` stands for any number of lines.
fn matches(pattern: &[String], lines: &[String]) -> bool {
    match pattern.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=lines.len()).any(|skip| matches(rest, &lines[skip..]))
        }
        Some((first, rest)) => lines.first() == Some(first) && matches(rest, &lines[1..]),
    }
}

/// What was printed, with `…` where the page has it.
fn abridged(shown: &[String], printed: &[String]) -> Vec<String> {
    let is_gap = |line: &String| line.trim() == "…";
    let (Some(first), Some(last)) = (shown.iter().position(is_gap), shown.iter().rposition(is_gap)) else {
        return printed.to_vec();
    };
    let (head, tail) = (first.min(printed.len()), shown.len() - last - 1);
    let gap = [shown[first].clone()];
    let tail = &printed[printed.len().saturating_sub(tail)..];
    [&printed[..head], &gap, tail].concat()
}

/// The commands that printed something else than what the document shows, and the document with what they printed. Lines are compared as `masked`
/// shows them.
pub(crate) fn compare(
    document: &str,
    blocks: &[Shown],
    printed: &[Vec<String>],
    masked: &dyn Fn(&str) -> String,
) -> (Vec<String>, String) {
    let mask = |lines: &[String]| lines.iter().map(|line| masked(line)).collect::<Vec<String>>();
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    // Mended from the end, so that lines keep their numbers.
    for (shown, printed) in blocks.iter().zip(printed).rev() {
        if !matches(&mask(&shown.output), &mask(printed)) {
            wrong.insert(0, format!("$ {}\n{}", shown.command, printed.join("\n")));
            let place = shown.line + 1..shown.line + 1 + shown.output.len();
            lines.splice(place, abridged(&shown.output, printed));
        }
    }
    (wrong, lines.join("\n") + "\n")
}

#[test]
fn an_ellipsis_stands_for_lines_and_nothing_else_does() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n…\nd"), &lines("a\nb\nc\nd")));
    assert!(!matches(&lines("a\n…\nd"), &lines("a\nb\nc")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
}
