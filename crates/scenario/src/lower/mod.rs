//! From what is written to what it means: every value is judged, every name is looked up.
//!
//! First the objects that steps apply are read, because they decide which names and indexes exist ([`scope`]); then
//! cluster, steps and expectations in the order of the file, so that the first message is the first mistake.

mod cluster;
mod expect;
mod operator;
mod scope;
mod steps;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::FileLoader;
use crate::ast::{Scenario, SourceFile, Spanned, VersionRange};
use crate::error::{Problem, ScenarioError, suggest};
use crate::text::TextError;
use crate::yaml::de::{Strictness, Verbatim, from_node};
use crate::yaml::{Kind, Node};
use crate::{manifest, raw, text, yaml};

/// Steps that a scenario may have.
const STEPS_MAX: usize = 1_000;
/// Faults that a scenario may plan at one place.
const FAULTS_MAX: usize = 1_000;
/// The only version of the format.
const API_VERSION: &str = "towtank.dev/v1alpha1";

/// Reads a scenario from its text.
pub(crate) fn scenario(source: &Arc<SourceFile>, loader: &dyn FileLoader) -> Result<Scenario, ScenarioError> {
    let file = Source { source };
    let documents = yaml::documents(source)?;
    let root = match documents.as_slice() {
        [root] => root,
        [] => {
            let problem = Problem::MissingField("apiVersion".to_owned());
            return Err(file
                .error(0..0, problem, "the file is empty")
                .with_help(format!("begin with `apiVersion: {API_VERSION}` and `kind: Scenario`")));
        }
        [_, second, ..] => {
            let problem = Problem::Invalid("a file holds one scenario".to_owned());
            return Err(file
                .error(second.span.clone(), problem, "a second document")
                .with_help("move it to a file of its own"));
        }
    };
    check_kind(&file, root)?;
    let raw: raw::Scenario =
        from_node(source, root, Strictness::Scenario).map_err(|mismatch| mismatch.into_error(source))?;
    let name = &raw.metadata.name;
    if !manifest::is_name(&name.value) {
        let problem = Problem::Invalid(format!("`{}` is no name of a scenario", name.value));
        return Err(file
            .error(name.span.clone(), problem, "here")
            .with_help("write lower-case letters, digits, `-` and `.`, for example the name of the file"));
    }
    let versions = match &raw.spec.kubernetes {
        Some(written) => file.read(written, text::versions)?,
        None => VersionRange::ALL,
    };
    check_steps(&file, &raw.spec.steps)?;
    let cluster = cluster::spec(&file, root, raw.spec.cluster.unwrap_or_default(), versions)?;
    let applied = steps::manifests(&file, root, &raw.spec.steps.value, loader)?;
    let scope = scope::Scope::new(&file, root, &cluster, &raw.spec.steps.value, &applied)?;
    let workloads = cluster::workloads(&file, &scope, raw.spec.workloads.unwrap_or_default())?;
    let steps = steps::steps(&file, root, &scope, versions, cluster.flux.versions, raw.spec.steps, applied)?;
    Ok(Scenario {
        name: raw.metadata.name.value,
        source: Arc::clone(source),
        about: raw.spec.about.unwrap_or_default(),
        origin: raw.spec.source.unwrap_or_default(),
        versions,
        cluster,
        workloads,
        steps,
    })
}

/// Says early that a file is something else, before its fields are looked at.
fn check_kind(file: &Source<'_>, root: &Node) -> Result<(), ScenarioError> {
    if !matches!(root.kind, Kind::Map(_)) {
        let problem = Problem::WrongType { expected: "a mapping".to_owned(), found: root.in_words() };
        return Err(file
            .error(root.span.clone(), problem, "a scenario is a mapping")
            .with_help(format!("begin with `apiVersion: {API_VERSION}` and `kind: Scenario`")));
    }
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", "Scenario")] {
        if let Some(Node { kind: Kind::Text(found), span }) = root.get(field)
            && found != expected
        {
            let what = if field == "kind" { "kind" } else { "API version" };
            let problem = Problem::Unknown { what, text: found.clone() };
            return Err(file
                .error(span.clone(), problem, "not a scenario of this version")
                .with_help(format!("write `{field}: {expected}`")));
        }
    }
    Ok(())
}

/// There are steps, not too many, with different names, and one of them expects something.
fn check_steps(file: &Source<'_>, steps: &Spanned<Vec<Spanned<raw::Step>>>) -> Result<(), ScenarioError> {
    if steps.value.is_empty() {
        return Err(file
            .error(steps.span.clone(), Problem::NoSteps, "an empty list")
            .with_help("add a step: `- {name: create, apply: job.yaml}`"));
    }
    if let Some(step) = steps.value.get(STEPS_MAX) {
        let problem = Problem::Limit(format!("a scenario may have {STEPS_MAX} steps"));
        return Err(file
            .error(step.value.name.span.clone(), problem, "one too many")
            .with_help("split the story"));
    }
    let mut names = std::collections::BTreeMap::new();
    for step in &steps.value {
        let name = &step.value.name;
        if let Some(first) = names.insert(name.value.0.as_str(), name.span.start) {
            let problem = Problem::Duplicate { what: "step name", name: name.value.0.clone() };
            let line = file.source.text[..first].matches('\n').count() + 1;
            return Err(file.error(name.span.clone(), problem, "used before").with_help(format!(
                "the step of line {line} has this name: results name steps, so each needs its own"
            )));
        }
    }
    let is_expecting =
        |step: &Spanned<raw::Step>| step.value.expect.as_ref().is_some_and(|expect| !expect.value.is_empty());
    if steps.value.iter().any(is_expecting) {
        return Ok(());
    }
    let last = steps.value.last().map_or(&steps.span, |step| &step.value.name.span);
    Err(file
        .error(last.clone(), Problem::NoExpectations, "not even the last step expects anything")
        .with_help("say what must be seen: `expect: [{within: 60s, job: {active: 4}}]`"))
}

/// The scenario file, for messages.
pub(crate) struct Source<'a> {
    pub(crate) source: &'a Arc<SourceFile>,
}

impl Source<'_> {
    fn error(&self, span: Range<usize>, problem: Problem, label: &str) -> ScenarioError {
        ScenarioError::new(self.source, span, problem, label)
    }

    /// Reads a value in one of the small languages.
    fn read<T>(
        &self,
        written: &Spanned<Verbatim>,
        read: impl FnOnce(&str) -> Result<T, TextError>,
    ) -> Result<T, ScenarioError> {
        read(&written.value.0)
            .map_err(|(problem, help)| self.error(written.span.clone(), problem, "here").with_help(help))
    }

    /// One of a set of words.
    fn word<T: Copy>(
        &self,
        written: &Spanned<String>,
        what: &'static str,
        words: &[(&str, T)],
    ) -> Result<T, ScenarioError> {
        words.iter().find(|(word, _)| *word == written.value).map(|(_, value)| *value).ok_or_else(|| {
            let problem = Problem::Unknown { what, text: written.value.clone() };
            self.error(written.span.clone(), problem, "not one of the values")
                .with_help(suggest(&written.value, words.iter().map(|(word, _)| *word)))
        })
    }

    /// The path of another file that the scenario names: from the scenario's own directory on.
    fn beside(&self, path: &str) -> String {
        let directory = Path::new(&self.source.path).parent().unwrap_or(Path::new(""));
        directory.join(path).to_string_lossy().into_owned()
    }

    /// A number that counts from 1.
    fn positive(&self, written: &Spanned<u32>, what: &str) -> Result<u32, ScenarioError> {
        if written.value > 0 {
            return Ok(written.value);
        }
        let problem = Problem::Invalid(format!("{what} count from 1"));
        Err(self.error(written.span.clone(), problem, "here").with_help("write 1 for the first"))
    }

    /// The place of a part of a text in the file: texts may be quoted, or stand in an indented block. The whole text's
    /// place when the part cannot be found.
    fn within(&self, whole: &Range<usize>, text: &str, part: &Range<usize>) -> Range<usize> {
        self.find_part(whole, text, part).unwrap_or_else(|| whole.clone())
    }

    fn find_part(&self, whole: &Range<usize>, text: &str, part: &Range<usize>) -> Option<Range<usize>> {
        let file = &self.source.text;
        let mut cursor = whole.start;
        let mut line_start = 0;
        for line in text.split('\n') {
            let trimmed = line.trim();
            let found = cursor + file.get(cursor..)?.find(trimmed)?;
            cursor = found + trimmed.len();
            let line_end = line_start + line.len();
            if part.start <= line_end {
                let lead = line.len() - line.trim_start().len();
                let start = found + (part.start - line_start).saturating_sub(lead).min(trimmed.len());
                let end =
                    found + (part.end.min(line_end).saturating_sub(line_start + lead)).min(trimmed.len());
                return Some(start..end.max(start));
            }
            line_start = line_end + 1;
        }
        None
    }
}
