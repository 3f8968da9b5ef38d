//! `cargo xtask mutants --operator`: mistakes of developers of operators, seeded into a copy of the production operator, which a campaign
//! must find. The operator itself knows nothing of them.

mod build;
mod graft;
mod mutants;

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use self::build::{build, cannot};
use self::mutants::MUTANTS;
use crate::command::{Failed, Outcome, root};

/// The stories, those that cost least first.
const STORIES: [&str; 12] = [
    "crates/campaign/stories/finished.yaml",
    "crates/campaign/stories/over-ask.yaml",
    "crates/campaign/stories/among-others.yaml",
    "scenarios/scaling/by-hand.yaml",
    "scenarios/scaling/expand.yaml",
    "scenarios/scaling/lead-restarts-after-a-shrink.yaml",
    "scenarios/contract/a-command-that-fails-is-a-failed-job.yaml",
    "scenarios/contract/a-shrink-is-over-in-two-seconds.yaml",
    "scenarios/contract/a-lost-lead-retires-nobody.yaml",
    "scenarios/downsize/delete-pod.yaml",
    "scenarios/downsize/downsize.yaml",
    "scenarios/workload/tasks-ask-for-nodes-or-for-cores.yaml",
];
/// Random plans for each story.
const PLANS: u32 = 30;
/// One that has not ended by then goes round in circles; without a mistake it takes a small part of it.
const PATIENCE: Duration = Duration::from_mins(10);
/// How much of what a campaign prints is read, in bytes.
const PRINTED_MAX: u64 = 1 << 16;

/// What became of a campaign.
enum Fate {
    /// It found something: story, plan, and what is wrong.
    Caught(String, String, String),
    /// It did not come to its end.
    Endless,
    /// It found nothing: what it says.
    Survived(String),
}

/// Plays the campaign over every mutant, or over one, and writes the document when it was all.
pub(crate) fn mutants(only: Option<usize>) -> Outcome {
    let program = build()?;
    if only.is_none() {
        match campaign(&program, 0)? {
            Fate::Survived(says) => eprintln!("xtask: without a mistake: {says}"),
            found => return Err(Failed::new(format!("without a mistake: {}", text(&found)))),
        }
    }
    let numbers = (1..=MUTANTS.len()).filter(|number| only.is_none_or(|only| only == *number));
    let fates = campaigns(&program, numbers)?;
    let caught = fates.iter().filter(|(_, fate)| !matches!(fate, Fate::Survived(_))).count();
    println!("{caught} of {} mutants caught", fates.len());
    if only.is_some() {
        return Ok(());
    }
    let path = root().join("docs/operator-mutants.md");
    fs::write(&path, document(&fates, caught)).map_err(|error| cannot("write", &path, &error))?;
    // Who gets away is in the list with the reason.
    let is_wrong = |(number, fate): &&(usize, Fate)| {
        MUTANTS[number - 1].escapes.is_empty() == matches!(fate, Fate::Survived(_))
    };
    match fates.iter().find(is_wrong) {
        Some((number, _)) => Err(Failed::new(format!(
            "`escaping` must say of those that get away why, and of no other: mutant {number}"
        ))),
        None => Ok(()),
    }
}

fn text(fate: &Fate) -> String {
    match fate {
        Fate::Caught(story, plan, what) => format!("caught by {story} ({plan}): {what}"),
        Fate::Endless => format!("caught: no end within {PATIENCE:?}"),
        Fate::Survived(says) => format!("NOT caught: {says}"),
    }
}

/// Plays as many campaigns at a time as there are processors; what became of each mutant, in order.
fn campaigns(
    program: &Path,
    numbers: impl Iterator<Item = usize> + Send,
) -> Result<Vec<(usize, Fate)>, Failed> {
    let (numbers, fates) = (Mutex::new(numbers), Mutex::new(Vec::new()));
    let next = || numbers.lock().ok().and_then(|mut numbers| numbers.next());
    let work = || {
        while let Some(number) = next() {
            let fate = campaign(program, number)?;
            println!("mutant {number:<3} {}: {}", MUTANTS[number - 1].mistake, text(&fate));
            if let Ok(mut fates) = fates.lock() {
                fates.push((number, fate));
            }
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let broke = |_| Err(Failed::new("a campaign"));
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(broke))
    })?;
    let mut fates = fates.into_inner().unwrap_or_default();
    fates.sort_by_key(|(number, _)| *number);
    Ok(fates)
}

/// Plays the campaign over a mutant; 0 is none.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a real process is waited for; no run sees it"
)]
fn campaign(program: &Path, mutant: usize) -> Result<Fate, Failed> {
    let mut command = Command::new(program);
    command.current_dir(root()).env("TOWTANK_MUTANT", mutant.to_string());
    command.args(["first", "--plans", &PLANS.to_string()]).args(STORIES);
    let failed = |error: std::io::Error| Failed::new(format!("mutant {mutant}: {error}"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let start = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if start.elapsed() >= PATIENCE {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Ok(Fate::Endless);
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut printed = String::new();
    if let Some(out) = child.stdout.take() {
        out.take(PRINTED_MAX).read_to_string(&mut printed).map_err(failed)?;
    }
    let line = printed.lines().next().unwrap_or_default();
    let parts: Vec<&str> = line.split('\t').collect();
    match (status.code(), parts.as_slice()) {
        (Some(0), _) => Ok(Fate::Survived(line.to_owned())),
        (Some(1), [story, plan, what]) => {
            Ok(Fate::Caught((*story).to_owned(), (*plan).to_owned(), (*what).to_owned()))
        }
        _ => Err(Failed::new(format!("mutant {mutant} ended with {status}: {line}"))),
    }
}

fn document(fates: &[(usize, Fate)], caught: usize) -> String {
    let all = fates.len();
    let mut text = format!(
        "\
# Mistakes in an operator that a campaign finds

Written by `cargo xtask mutants --operator`. Each mistake is one that developers of operators make, seeded into a copy of the production operator, which knows nothing of it. A campaign plays {stories} stories
with it: without faults, then with {PLANS} random plans of faults each, then with a crash at each request, and stops at the first thing that is wrong: a rule of `crates/campaign/src/audit.rs`, an
expectation of the story, or another end than without faults. Of the {all} mistakes, {caught} are caught; without a mistake the same campaign finds nothing.

| mutant | mistake | caught by | in story | with |
| -: | --- | --- | --- | --- |
",
        stories = STORIES.len(),
    );
    for (number, fate) in fates {
        let mistake = MUTANTS[number - 1].mistake;
        let row = match fate {
            Fate::Caught(story, plan, what) => format!("{} | {story} | {plan}", cell(what)),
            Fate::Endless => "no end of it | | ".to_owned(),
            Fate::Survived(_) => "nothing | | ".to_owned(),
        };
        let _ = writeln!(text, "| {number} | {mistake} | {row} |");
    }
    let survivors: Vec<_> = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Survived(_))).collect();
    if !survivors.is_empty() {
        text.push_str("\n## What gets away\n\n");
    }
    for (number, _) in survivors {
        let mutant = &MUTANTS[number - 1];
        let _ = writeln!(text, "* {number}, {}: {}", mutant.mistake, mutant.escapes);
    }
    text
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
