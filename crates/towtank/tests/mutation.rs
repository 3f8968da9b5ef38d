//! The mutation score: expectations that cannot fail test nothing.
//!
//! Every digit of every claim of every scenario is edited, one at a time, and the edited file must fail: when it is
//! read, or when it is played in the oldest or the newest version that the claim speaks of. Digits of a bound
//! (`within`) are judged otherwise: with the bound at the observed latency the scenario passes, with a millisecond less
//! it fails.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use towtank_lockstep::run::Outcome;
use towtank_lockstep::{session, table};
use towtank_scenario::Directory;
use towtank_scenario::ast::{Claim, Expectation, Scenario, Stack, Table, TableCommand, VersionRange, When};

/// Share of the edits that must be noticed.
const SCORE_MIN: f64 = 0.98;
/// Seed of all runs.
const SEED: u64 = 1;

#[test]
fn nearly_every_edited_digit_is_noticed() {
    let files = files();
    assert!(!files.is_empty(), "there are no scenarios");
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = Subject::new(file).tally();
                    total.lock().expect("no thread panics while it holds the lock").add(tally);
                }
            });
        }
    });
    let mut total = total.into_inner().expect("no thread panics while it holds the lock");
    total.survivors.sort();
    let score = total.score();
    println!("{} of {} edits noticed: {:.2} %", total.noticed, total.edits, 100.0 * score);
    for survivor in &total.survivors {
        println!("survived: {survivor}");
    }
    assert!(score >= SCORE_MIN, "mutation score {:.2} %", 100.0 * score);
}

#[derive(Default)]
struct Tally {
    edits: usize,
    noticed: usize,
    survivors: Vec<String>,
}

impl Tally {
    fn count(&mut self, is_noticed: bool, survivor: impl FnOnce() -> String) {
        self.edits += 1;
        if is_noticed {
            self.noticed += 1;
        } else {
            self.survivors.push(survivor());
        }
    }

    fn add(&mut self, other: Self) {
        self.edits += other.edits;
        self.noticed += other.noticed;
        self.survivors.extend(other.survivors);
    }

    fn score(&self) -> f64 {
        if self.edits == 0 { 0.0 } else { self.noticed as f64 / self.edits as f64 }
    }
}

/// One scenario file under test.
struct Subject {
    path: PathBuf,
    text: String,
    scenario: Scenario,
}

impl Subject {
    fn new(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the file was found");
        let scenario =
            towtank_scenario::load(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path: path.to_owned(), text, scenario }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let expectations = (0..)
            .zip(&self.scenario.steps)
            .flat_map(|(step, it)| (0..).zip(&it.expect).map(move |e| (step, e)));
        for (step, (position, expectation)) in expectations {
            let stacks = self.ends_of(expectation);
            for digit in self.digits_of(expectation) {
                let edited = self.with_digit_edited(digit);
                let is_noticed = stacks.iter().any(|stack| !self.passes(&edited, *stack));
                tally.count(is_noticed, || self.place(digit));
            }
            if let When::Within(_) = expectation.when {
                for stack in stacks {
                    self.try_bound(step, position, expectation, stack, &mut tally);
                }
            }
        }
        tally
    }

    /// The first and the last versions that an expectation speaks of.
    fn ends_of(&self, expectation: &Expectation) -> Vec<Stack> {
        let kubernetes = expectation.versions.unwrap_or(VersionRange::ALL);
        let stacks = self.scenario.stacks(kubernetes, expectation.flux.unwrap_or(VersionRange::ALL));
        let mut ends: Vec<Stack> = stacks.first().into_iter().chain(stacks.last()).copied().collect();
        ends.dedup();
        ends
    }

    fn passes(&self, text: &str, stack: Stack) -> bool {
        let directory = self.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let name = self.path.display().to_string();
        let Ok(scenario) = towtank_scenario::parse(&name, text, &Directory(directory)) else { return false };
        session::play_model(&scenario, stack, SEED).is_ok_and(|run| run.passed())
    }

    /// Checks that a bound is one: what was observed passes, a millisecond less does not.
    fn try_bound(
        &self,
        step: usize,
        position: usize,
        expectation: &Expectation,
        stack: Stack,
        tally: &mut Tally,
    ) {
        const LESS: Duration = Duration::from_millis(1);
        let run = session::play_model(&self.scenario, stack, SEED).expect("the scenario can be set up");
        let outcome = run.steps[step].expectations[position].outcome;
        let Outcome::Held { latency: Some(latency), .. } = outcome else {
            tally.count(false, || {
                format!("{}: does not pass unedited in {stack}", self.place(expectation.span.start))
            });
            return;
        };
        if latency < LESS {
            return;
        }
        let Some(bound) = self.value_of("within:", &expectation.span) else {
            tally.count(false, || format!("{}: no bound found", self.place(expectation.span.start)));
            return;
        };
        let with_bound = |bound_now: Duration| {
            let mut text = self.text.clone();
            text.replace_range(bound.clone(), &format!("{:.6}s", bound_now.as_secs_f64()));
            text
        };
        let is_exact =
            self.passes(&with_bound(latency), stack) && !self.passes(&with_bound(latency - LESS), stack);
        tally.count(is_exact, || format!("{}: bound is not {latency:?} in {stack}", self.place(bound.start)));
    }

    /// The value after `key` within `span`, a plain scalar.
    fn value_of(&self, key: &str, span: &Range<usize>) -> Option<Range<usize>> {
        let text = self.text.get(span.clone())?;
        let after = text.find(key)? + key.len();
        let start = after + text[after..].find(|c: char| !c.is_whitespace())?;
        let length = text[start..].find([',', '}', '\n', '#', ' ']).unwrap_or(text.len() - start);
        Some(span.start + start..span.start + start + length)
    }

    /// Places of the digits that claim something.
    fn digits_of(&self, expectation: &Expectation) -> Vec<usize> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for clause in &expectation.clauses {
            match &clause.claim {
                Claim::Job { fields, .. } => ranges.extend(fields.iter().map(|field| field.span.clone())),
                Claim::Cel(_) | Claim::Refused(_) => ranges.push(clause.span.clone()),
                Claim::Table(table) => ranges.extend(self.cells_of(table)),
            }
        }
        if let When::At(_) = expectation.when {
            ranges.extend(self.value_of("at:", &expectation.span));
        }
        let is_digit = |at: &usize| self.text.as_bytes().get(*at).is_some_and(u8::is_ascii_digit);
        let mut digits: Vec<usize> = ranges.into_iter().flatten().filter(is_digit).collect();
        digits.sort_unstable();
        digits.dedup();
        digits
    }

    /// Places of the cells that are compared, without generated suffixes.
    fn cells_of(&self, table: &Table) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for row in &table.rows {
            let mut at = row.span.start;
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let Some(offset) = self.text.get(at..row.span.end).and_then(|rest| rest.find(cell.as_str()))
                else {
                    continue;
                };
                let start = at + offset;
                at = start + cell.len();
                if table::is_compared(column) {
                    ranges.extend(
                        claimed_parts(table.command, column, cell)
                            .map(|part| start + part.start..start + part.end),
                    );
                }
            }
        }
        ranges
    }

    fn with_digit_edited(&self, at: usize) -> String {
        let digit = self.text.as_bytes()[at] - b'0';
        let mut text = self.text.clone();
        text.replace_range(at..=at, &((digit + 1) % 10).to_string());
        text
    }

    /// File, line, column and the line itself.
    fn place(&self, at: usize) -> String {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or("");
        let mut place = String::new();
        let number = before.matches('\n').count() + 1;
        write!(place, "{}:{number}:{}: {}", self.path.display(), at - start + 1, line.trim())
            .expect("writing to a string cannot fail");
        place
    }
}

/// The parts of a cell that are compared.
fn claimed_parts(command: TableCommand, column: &str, cell: &str) -> impl Iterator<Item = Range<usize>> {
    let words: Vec<Range<usize>> = match column {
        "RESTARTS" => std::iter::once(0..cell.find(' ').unwrap_or(cell.len())).collect(),
        _ => {
            let mut at = 0;
            let word = |word: &str| {
                let start = at;
                at += word.len();
                start..start + word.trim_end_matches([' ', '/']).len()
            };
            cell.split_inclusive([' ', '/']).map(word).collect()
        }
    };
    let has_names =
        (column == "NAME" && command == TableCommand::Pods) || ["OBJECT", "MESSAGE"].contains(&column);
    let without_suffix = move |word: Range<usize>, cell: &str| {
        let text = &cell[word.clone()];
        let masked = if has_names { table::masked_name(text, &[]) } else { text.to_owned() };
        if masked == text { word } else { word.start..word.start + masked.len() - 1 }
    };
    words.into_iter().map(|word| without_suffix(word, cell)).collect::<Vec<_>>().into_iter()
}

fn files() -> Vec<PathBuf> {
    fn find(directory: &Path, files: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                find(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                && std::fs::read_to_string(&path)
                    .is_ok_and(|text| text.lines().any(|line| line == "kind: Scenario"))
            {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"), &mut files);
    files.sort();
    files
}
