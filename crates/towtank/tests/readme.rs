//! README's output is real and current: every command in a `console` block is run, and prints what stands below it. A
//! line `…` stands for any number of lines. `UPDATE_README=1` writes what the commands print, as far as no `…` stands for it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One command and what README shows below it.
struct Shown {
    command: String,
    output: Vec<String>,
    /// Line of the command, from 0.
    line: usize,
}

fn shown(readme: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut inside = false;
    for (line, text) in readme.lines().enumerate() {
        match (inside, text) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, text) => match (text.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => {
                    found.push(Shown { command: command.to_owned(), output: Vec::new(), line })
                }
                (None, Some(last)) => last.output.push(text.to_owned()),
                (None, None) => panic!("README line {line}: output before the first command"),
            },
            _ => {}
        }
    }
    found
}

/// Runs a command as a reader would, with the binary of this build in the place of `cargo towtank`.
fn run(command: &str) -> Vec<String> {
    let command = command.replace("cargo towtank", &format!("'{}'", env!("CARGO_BIN_EXE_towtank")));
    let output = Command::new("sh").args(["-c", &format!("{command} 2>&1")]).current_dir(root()).output();
    let output = output.expect("sh runs");
    let text = String::from_utf8(output.stdout).expect("output is text");
    text.lines().map(|line| line.trim_end().to_owned()).collect()
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

#[test]
fn the_output_in_readme_is_what_the_commands_print() {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md is there");
    std::fs::create_dir_all(root().join("target")).expect("target can be made");
    let blocks = shown(&readme);
    assert!(blocks.len() >= 4, "only {} commands found", blocks.len());
    let mut lines: Vec<String> = readme.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    // In the order of the page: a command may use what one above it has made. Mended from the end, so that lines keep
    // their numbers.
    let printed: Vec<Vec<String>> = blocks.iter().map(|shown| run(&shown.command)).collect();
    for (shown, printed) in blocks.iter().zip(printed).rev() {
        if !matches(&shown.output, &printed) {
            wrong.push(format!("$ {}\n{}", shown.command, printed.join("\n")));
            let place = shown.line + 1..shown.line + 1 + shown.output.len();
            lines.splice(place, abridged(&shown.output, &printed));
        }
    }
    if std::env::var_os("UPDATE_README").is_some() && !wrong.is_empty() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("README.md can be written");
    }
    assert!(wrong.is_empty(), "README.md shows something else than:\n{}", wrong.join("\n\n"));
}

#[test]
fn an_ellipsis_stands_for_lines_and_nothing_else_does() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n…\nd"), &lines("a\nb\nc\nd")));
    assert!(!matches(&lines("a\n…\nd"), &lines("a\nb\nc")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
}
