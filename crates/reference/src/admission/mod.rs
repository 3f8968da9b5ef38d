//! The admission differential: random objects and random writes, judged by the model's rules, by the embedded API server, and
//! by Kubernetes' own.
//!
//! A story is one object: it is created, then updated, its status too, until it is gone. Every write is put to all
//! sides, and everything is compared: whether it is accepted; the stored object, row by row, with what was filled in;
//! whether the write changed anything; and of a refusal every field, kind of error, and text. The API server is sent the
//! same requests as the original (`served.rs` says what is compared). A difference is made smaller by leaving out what it
//! does not need.

mod jobs;
mod pods;
mod served;
mod shrink;
mod status;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};
use towtank_model::version::{Features, KubernetesVersion};

use self::served::Alone;
use self::story::{Answer, Step, Story};
use crate::driver::{Driver, DriverError};
use towtank_wire::{self as wire, WireError};

/// Stories that are played side by side: the driver answers one write of each at a time.
const STORIES: usize = 400;
/// Writes of one story.
const STEPS_MAX: usize = 24;
/// Differences after which the search ends.
const DIFFERENCES_MAX: usize = 12;

/// What keeps the two sides from being compared.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// A search without writes shows nothing.
    #[error("no update was compared")]
    Empty,
    /// The driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The driver answered another number of questions than it was asked.
    #[error("the driver gave {len} verdicts on {count} writes")]
    Shape {
        /// Writes it was asked about.
        count: usize,
        /// Verdicts.
        len: usize,
    },
    /// An object of the driver's that the model has no row for.
    #[error("the driver stores what the model has no row for: {0}")]
    Wire(#[from] WireError),
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Objects that were created, or were to be.
    pub creations: u64,
    /// Updates of objects and their status, and deletions.
    pub updates: u64,
    /// Writes of either kind that were accepted.
    pub accepted: u64,
    /// Writes at which the original's rules panicked, and the model refused.
    pub panics: u64,
    /// How often each kind of refusal was agreed on: field, kind of error and text, without numbers and values.
    pub refusals: BTreeMap<String, u64>,
    /// Different differences, smallest form each.
    pub differences: Vec<Difference>,
}

/// Whose answer is compared with the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The model's server.
    Model,
    /// The embedded API server.
    ApiServer,
}

/// A write on which the sides do not agree.
#[derive(Debug)]
pub struct Difference {
    /// Who does not answer as the original does.
    pub side: Side,
    /// The stored object, as the original has it.
    pub old: Value,
    /// What was asked of the original.
    pub question: Value,
    /// The lines that only that side's answer has.
    pub ours: Vec<String>,
    /// The lines that only the original's answer has.
    pub theirs: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |field: &str| self.question.get(field).and_then(Value::as_str).unwrap_or_default();
        writeln!(f, "{} {}", text("verb"), text("resource"))?;
        let side = match self.side {
            Side::Model => "model",
            Side::ApiServer => "API server",
        };
        for (side, lines) in [(side, &self.ours), ("original", &self.theirs)] {
            for line in lines {
                writeln!(f, "  {side} alone: {line}")?;
            }
        }
        let new = self.question.get("new").unwrap_or(&Value::Null);
        match text("verb") {
            "update" | "updateStatus" => writeln!(f, "  change: {}", wire::patch_between(&self.old, new))?,
            _ => writeln!(f, "  new: {new}")?,
        }
        writeln!(f, "  old: {}", self.old)
    }
}

/// Plays random stories until so many updates were compared, or enough differences were found.
///
/// # Errors
///
/// The driver fails, or nothing was compared.
pub fn search(
    driver: &mut Driver,
    version: KubernetesVersion,
    updates: u64,
    seed: u64,
) -> Result<Report, AdmissionError> {
    let features = Features::of(version);
    let mut report = Report::default();
    let (mut signatures, mut smallest_forms) = (BTreeSet::new(), BTreeSet::new());
    let mut number = 0;
    while report.updates < updates && report.differences.len() < DIFFERENCES_MAX {
        let mut stories: Vec<Story> = (0..STORIES)
            .map(|_| {
                number += 1;
                Story::new(seed, number, features)
            })
            .collect();
        for round in 0..STEPS_MAX {
            let steps: Vec<(Story, Step)> = stories
                .drain(..)
                .filter_map(|mut story| story.draw_step().map(|step| (story, step)))
                .collect();
            let asked = if round == 0 { &mut report.creations } else { &mut report.updates };
            *asked += steps.len() as u64;
            let questions: Vec<Value> = steps.iter().map(|(story, step)| story.question(step)).collect();
            let answers = ask(driver, questions.clone())?;
            for (((mut story, step), question), answer) in steps.into_iter().zip(questions).zip(answers) {
                let (ours, theirs) = (story.ours(&step), story.theirs(&answer)?);
                let found = match alone(&ours, &theirs) {
                    Some(lines) => Some((Side::Model, lines)),
                    None => story.served.differs(&question, &answer).map(|lines| (Side::ApiServer, lines)),
                };
                if let Some((side, lines)) = found {
                    if signatures.insert(signature(&lines)) {
                        let smallest = shrink::smallest(driver, &story, step, side)?;
                        // Different writes may come down to the same one.
                        if smallest_forms.insert(smallest.signature()) {
                            report.differences.push(smallest);
                        }
                        if report.differences.len() == DIFFERENCES_MAX {
                            return Ok(report);
                        }
                    }
                    continue;
                }
                report.accepted += u64::from(matches!(ours, Answer::Stored { .. } | Answer::Gone));
                if let Answer::Invalid(errors) = &ours {
                    for error in errors {
                        *report.refusals.entry(plain(&error.to_string())).or_default() += 1;
                    }
                }
                report.panics += u64::from(matches!(theirs, Answer::Panicked(_)));
                story.go_on(step, question, &ours, &answer);
                if !story.is_over() {
                    stories.push(story);
                }
            }
        }
    }
    if report.updates == 0 || (report.accepted == 0 && report.differences.is_empty()) {
        return Err(AdmissionError::Empty);
    }
    Ok(report)
}

/// The driver's verdicts on all of these.
fn ask(driver: &mut Driver, questions: Vec<Value>) -> Result<Vec<Value>, AdmissionError> {
    #[derive(serde::Deserialize)]
    struct Verdicts {
        results: Vec<Value>,
    }
    let count = questions.len();
    let verdicts: Verdicts = driver.ask(&json!({"do": "admit-many", "items": questions}))?;
    match verdicts.results.len() {
        len if len == count => Ok(verdicts.results),
        len => Err(AdmissionError::Shape { count, len }),
    }
}

/// What two answers have alone, line by line; nothing when they are the same. A panic of the original's rules is an answer
/// of 500 to the user; the model refuses such an object.
fn alone(ours: &Answer, theirs: &Answer) -> Option<Alone> {
    if ours == theirs || matches!((ours, theirs), (Answer::Invalid(_), Answer::Panicked(_))) {
        return None;
    }
    let is_stored = |answer: &Answer| matches!(answer, Answer::Stored { .. });
    let (ours, theirs) = (text(ours, !is_stored(theirs)), text(theirs, !is_stored(ours)));
    let alone = |lines: &[String], others: &[String]| {
        let mut others: Vec<&String> = others.iter().collect();
        let mut alone = Vec::new();
        for line in lines {
            match others.iter().position(|other| *other == line) {
                Some(position) => drop(others.swap_remove(position)),
                None => alone.push(line.clone()),
            }
        }
        alone
    };
    Some((alone(&ours, &theirs), alone(&theirs, &ours)))
}

/// An object is told in short when the other side has none.
fn text(answer: &Answer, is_short: bool) -> Vec<String> {
    match answer {
        Answer::Invalid(errors) => {
            let lines = errors.iter().map(ToString::to_string);
            std::iter::once("refused".to_owned()).chain(lines).collect()
        }
        Answer::Stored { .. } if is_short => vec!["stored".to_owned()],
        Answer::Stored { row, is_new } => {
            let lines = format!("{row:#?}");
            let outcome = if *is_new { "stored" } else { "nothing changed" };
            std::iter::once(outcome.to_owned())
                .chain(lines.lines().map(|line| line.trim().to_owned()))
                .collect()
        }
        Answer::Gone => vec!["gone".to_owned()],
        Answer::Refused(why) => vec![format!("refused: {why}")],
        Answer::Panicked(why) => vec![format!("panicked: {why}")],
    }
}

/// By what two differences are the same one: their lines without numbers and quoted texts.
fn signature((ours, theirs): &Alone) -> String {
    let first = |lines: &[String]| lines.iter().take(2).cloned().collect::<String>();
    plain(&format!("{} | {}", first(ours), first(theirs)))
}

impl Difference {
    fn signature(&self) -> String {
        signature(&(self.ours.clone(), self.theirs.clone()))
    }
}

/// A text without numbers and quoted values.
fn plain(text: &str) -> String {
    let mut is_quoted = false;
    let is_plain = |character: &char| {
        if *character == '"' {
            is_quoted = !is_quoted;
        }
        !is_quoted && !character.is_ascii_digit()
    };
    text.chars().filter(is_plain).collect()
}
