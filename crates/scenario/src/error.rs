//! What can be wrong with a scenario file, and how it is said.
//!
//! One [`ScenarioError`] is one message: what is wrong (a [`Problem`]), one label at its place, and a help text that
//! says what would be right. It is a [`miette::Diagnostic`], so that a printer shows it as `rustc` would.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};
use towtank_model::index_set::IndexSetError;

use crate::ast::SourceFile;

/// Why a file is no scenario: one [`Problem`], its place, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.problem)]
pub struct ScenarioError(Box<Message>);

/// Kept behind a pointer, so that a `Result` that may carry it stays small.
#[derive(Debug)]
struct Message {
    problem: Problem,
    source: Arc<SourceFile>,
    span: Range<usize>,
    label: String,
    help: Option<String>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The text is no YAML.
    #[error("not valid YAML: {0}")]
    Yaml(String),
    /// The input is too large, too deep, or grows too much when its aliases are expanded.
    #[error("too much input: {0}")]
    Limit(String),
    /// A mapping has a key that means nothing.
    #[error("unknown field `{0}`")]
    UnknownField(String),
    /// A mapping has the same key twice.
    #[error("duplicate field `{0}`")]
    DuplicateField(String),
    /// A key is missing.
    #[error("missing field `{0}`")]
    MissingField(String),
    /// A value has another type than its key demands.
    #[error("wrong type: expected {expected}, found {found}")]
    WrongType {
        /// What the key demands.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value is not one of those that exist.
    #[error("unknown {what} `{text}`")]
    Unknown {
        /// What it should be: `Kubernetes version`, `feature gate`, `column`, ….
        what: &'static str,
        /// What is there.
        text: String,
    },
    /// A value of the right type that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A length of time without a unit.
    #[error("missing unit in the duration `{0}`")]
    MissingUnit(String),
    /// A text that is no length of time.
    #[error("`{0}` is no duration")]
    Duration(String),
    /// Two steps of one name, two Jobs of one file, ….
    #[error("duplicate {what} `{name}`")]
    Duplicate {
        /// What there are two of.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// A step or a claim names what no step makes.
    #[error("there is no {what} `{name}` in this scenario")]
    NoSuch {
        /// `Job`, `pod` or `node`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An index that no version of the Job can have.
    #[error("index {index} is out of range for Job `{job}`")]
    IndexOutOfRange {
        /// The Job.
        job: String,
        /// The index.
        index: u32,
    },
    /// An index set that cannot be read, or that the controller would write otherwise.
    #[error("invalid index set: {0}")]
    IndexSet(#[from] IndexSetError),
    /// A pasted table is not the output of its command.
    #[error("malformed table: {0}")]
    Table(String),
    /// A CEL expression that does not parse.
    #[error("the CEL expression does not parse: {0}")]
    CelSyntax(String),
    /// A CEL expression that has no meaning over an observation.
    #[error("the CEL expression is wrong: {0}")]
    CelType(String),
    /// A scenario that claims nothing.
    #[error("the scenario has no expectations")]
    NoExpectations,
    /// A scenario that does nothing.
    #[error("the scenario has no steps")]
    NoSteps,
}

impl ScenarioError {
    /// The message that `problem` stands at `span` of `source`. The span is cut to what lies inside the text.
    pub fn new(
        source: &Arc<SourceFile>,
        span: Range<usize>,
        problem: Problem,
        label: impl Into<String>,
    ) -> Self {
        let span = clamp(&source.text, span);
        Self(Box::new(Message { problem, source: Arc::clone(source), span, label: label.into(), help: None }))
    }

    /// Adds what would be right.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The file that it is wrong in: the scenario, or a manifest that the scenario applies.
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.0.source
    }

    /// Byte range in [`ScenarioError::file`].
    pub fn span(&self) -> Range<usize> {
        self.0.span.clone()
    }

    /// Line and column of the place, both from 1; the column counts characters.
    pub fn position(&self) -> (usize, usize) {
        let before = &self.0.source.text[..self.0.span.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// What would be right.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl Diagnostic for ScenarioError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.0.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.0.label.clone()), self.0.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let part = self.text.read_span(span, context_lines_before, context_lines_after)?;
        if part.data().len() > SHOWN_MAX {
            return Ok(Box::new(self.window(span)));
        }
        Ok(Box::new(MietteSpanContents::new_named(
            self.path.clone(),
            part.data(),
            *part.span(),
            part.line(),
            part.column(),
            part.line_count(),
        )))
    }
}

/// Bytes of a file that a message shows; of longer lines it shows what is around the place.
const SHOWN_MAX: usize = 4_096;
/// Bytes that a label marks at most, and that are shown on each side of it in a long line.
const MARKED_MAX: usize = 120;

impl SourceFile {
    /// What is around `span` in its line.
    fn window(&self, span: &SourceSpan) -> MietteSpanContents<'_> {
        let text = &self.text;
        let place = clamp(text, span.offset()..span.offset() + span.len());
        let line_start = text[..place.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[place.end..].find('\n').map_or(text.len(), |newline| place.end + newline);
        let start = boundary(text, place.start.saturating_sub(MARKED_MAX)).max(line_start);
        let end = boundary(text, (place.end + MARKED_MAX).min(line_end));
        let line = text[..line_start].matches('\n').count();
        let column = text[line_start..start].chars().count();
        let shown = SourceSpan::from(start..end);
        MietteSpanContents::new_named(self.path.clone(), &text.as_bytes()[start..end], shown, line, column, 1)
    }
}

/// The last character boundary up to `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Cuts a span to the text, to character boundaries, to its first line (a label over many lines hides what it is about)
/// and to a length that a person can take in.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let start = boundary(text, span.start);
    let end =
        boundary(text, span.end.clamp(start, (start + MARKED_MAX).min(text.len()).max(start))).max(start);
    let end = text[start..end].find(['\n', '\r']).map_or(end, |newline| start + newline);
    start..end.max(start)
}

/// `did you mean …?` for the candidate that is nearest to `given`, or the list of all candidates when none is near.
pub(crate) fn suggest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    const LISTED_MAX: usize = 24;
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let limit = (given.chars().count() / 3).max(2);
    let nearest = candidates
        .iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&given.to_lowercase(), &candidate.to_lowercase()), *candidate)
        })
        .min()
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count());
    match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => "nothing can be named here".to_owned(),
        None if candidates.len() > LISTED_MAX => {
            format!("known are {}, … ({} in all)", quoted(&candidates[..LISTED_MAX]), candidates.len())
        }
        None => {
            format!("known {}: {}", if candidates.len() == 1 { "is" } else { "are" }, quoted(&candidates))
        }
    }
}

/// The names in backquotes, with commas between.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_far_ones_are_listed() {
        assert_eq!(suggest("comand", ["command", "image"]), "did you mean `command`?");
        assert_eq!(suggest("Succed", ["succeed", "suspend"]), "did you mean `succeed`?");
        assert_eq!(suggest("xyz", ["command", "image"]), "known are: `command`, `image`");
        assert_eq!(suggest("x", []), "nothing can be named here");
    }

    #[test]
    fn spans_end_with_their_line_and_lie_inside_the_text() {
        assert_eq!(clamp("ab\ncd", 1..5), 1..2);
        assert_eq!(clamp("äb", 1..9), 0..3);
        assert_eq!(clamp("ab", 7..9), 2..2);
        assert_eq!(clamp("", 3..4), 0..0);
    }
}
