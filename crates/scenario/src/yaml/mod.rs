//! YAML as a tree in which every key and every value knows its place.
//!
//! The parser is `serde-saphyr`; this module puts limits on it and keeps the text of plain scalars as written, because
//! `1.30` is a version and not the number 1.3. [`de`] turns a tree into typed values.

pub(crate) mod de;
mod mismatch;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::ast::SourceFile;
use crate::error::{Problem, ScenarioError};

/// Bytes that a file may have.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// Mappings and lists in one another.
const DEPTH_MAX: usize = 48;
/// Scalars, mappings and lists of a file, before aliases are expanded.
const NODES_MAX: usize = 200_000;
/// Scalars, mappings and lists that all aliases of a file may expand to.
const ALIAS_NODES_MAX: usize = 50_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Byte range in the file; for mappings and lists, from their first to their last part.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A negative whole number.
    Int(i64),
    /// A whole number.
    UInt(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Any other scalar.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Byte range in the file.
    pub(crate) span: Range<usize>,
    /// Its text.
    pub(crate) text: String,
}

impl Node {
    /// The value under `key`, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of `key`, when this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Key, Self)> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(found, _)| found.text == key),
            _ => None,
        }
    }

    /// The element at `position`, when this is a list that has it.
    pub(crate) fn at(&self, position: usize) -> Option<&Self> {
        match &self.kind {
            Kind::Seq(items) => items.get(position),
            _ => None,
        }
    }

    /// The place of the deepest node on `path` that exists, with list positions as numbers: `rules.0.action`.
    pub(crate) fn place(&self, path: &str) -> Range<usize> {
        let mut node = self;
        for part in path.split('.') {
            let next = node.get(part).or_else(|| part.parse().ok().and_then(|position| node.at(position)));
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.span.clone()
    }

    /// Lets the place of everything in `{…}` and `[…]` end with its bracket; the parser only says where it begins.
    fn close(&mut self, text: &str) {
        match &mut self.kind {
            Kind::Seq(items) => items.iter_mut().for_each(|item| item.close(text)),
            Kind::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.close(text)),
            _ => return,
        }
        let last = match &self.kind {
            Kind::Seq(items) => items.last(),
            Kind::Map(entries) => entries.last().map(|(_, value)| value),
            _ => None,
        };
        self.span.end = last.map_or(self.span.end, |last| last.span.end.max(self.span.end));
        let is_flow = text.get(self.span.start..).is_some_and(|rest| rest.starts_with(['{', '[']));
        let rest = text.get(self.span.end..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
        if is_flow && rest[blanks..].starts_with(['}', ']']) {
            self.span.end += blanks + 1;
        }
    }

    /// The value in words, for messages.
    pub(crate) fn in_words(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("the boolean `{value}`"),
            Kind::Int(value) => format!("the number `{value}`"),
            Kind::UInt(value) => format!("the number `{value}`"),
            Kind::Float(value) => format!("the number `{value}`"),
            Kind::Text(value) if value.len() <= 40 && !value.contains('\n') => format!("the text `{value}`"),
            Kind::Text(_) => "a text".to_owned(),
            Kind::Seq(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The same value as JSON. Numbers that JSON cannot write become null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(value) => (*value).into(),
            Kind::Int(value) => (*value).into(),
            Kind::UInt(value) => (*value).into(),
            Kind::Float(value) => (*value).into(),
            Kind::Text(value) => value.clone().into(),
            Kind::Seq(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|(key, value)| (key.text.clone(), value.to_json())).collect()
            }
        }
    }
}

/// Reads all documents of a file. Empty documents are left out.
pub(crate) fn documents(source: &Arc<SourceFile>) -> Result<Vec<Node>, ScenarioError> {
    if source.text.len() > FILE_BYTES_MAX {
        let limit = format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", source.text.len());
        return Err(ScenarioError::new(source, 0..0, Problem::Limit(limit), "this file is too long")
            .with_help("split the story into several scenarios"));
    }
    let nodes: Vec<Located> = serde_saphyr::from_multiple_with_options(&source.text, options())
        .map_err(|error| refusal(source, error.without_snippet()))?;
    let mut nodes: Vec<Node> = nodes.into_iter().map(|node| node.0).collect();
    nodes.retain(|node| !matches!(node.kind, Kind::Null));
    nodes.iter_mut().for_each(|node| node.close(&source.text));
    Ok(nodes)
}

/// How the parser is bounded.
fn options() -> serde_saphyr::Options {
    let mut aliases = serde_saphyr::options::AliasLimits::default();
    aliases.max_total_replayed_events = ALIAS_NODES_MAX;
    aliases.max_replay_stack_depth = 16;
    aliases.max_alias_expansions_per_anchor = 1_000;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_documents: 1_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_buffered_comment_events: 10_000,
        },
        alias_limits: aliases,
        strict_booleans: true,
        reject_unsupported_tags: true,
        emit_comments: false,
    }
}

/// Turns the parser's message into ours.
fn refusal(source: &Arc<SourceFile>, error: &serde_saphyr::Error) -> ScenarioError {
    use serde_saphyr::Error;
    let at = error.location().map_or(0..0, |location| bytes_or_column(&source.text, &location));
    let text = sentence(error);
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.clone().unwrap_or_default();
            let help = "a mapping can say only one thing about a field: remove one of the two";
            ScenarioError::new(source, at, Problem::DuplicateField(key), "given a second time")
                .with_help(help)
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. } => limit(source, at, text),
        // Limits of the scanner, and those hit while an alias is expanded, come as plain messages.
        _ if text.contains("limit exceeded") => limit(source, at, text),
        Error::UnsupportedTag { tag, .. } => {
            ScenarioError::new(source, before(source, at, tag), Problem::Yaml(text), "here")
                .with_help("a text that begins with `!` is a tag in YAML: quote it with `'…'`")
        }
        _ => ScenarioError::new(source, at, Problem::Yaml(text), "here")
            .with_help(
                "quote texts that contain `: `, ` #`, or begin with one of `{[*&!|>'\"%@`; a table whose first line \
                 is further in than the others begins with `|2`",
            ),
    }
}

/// The message that a limit is exceeded.
fn limit(source: &Arc<SourceFile>, at: Range<usize>, text: String) -> ScenarioError {
    let text =
        if text.contains("recursive references") { "a value contains itself".to_owned() } else { text };
    ScenarioError::new(source, at, Problem::Limit(text), "the limit is exceeded here").with_help(format!(
        "a file may have {NODES_MAX} values, {DEPTH_MAX} levels, and aliases that stand for {ALIAS_NODES_MAX} values \
         in all, none of which contains itself"
    ))
}

/// The last `word` before `at`: the parser tells where a tagged value begins, behind its tag.
fn before(source: &SourceFile, at: Range<usize>, word: &str) -> Range<usize> {
    let found = source.text.get(..at.start).and_then(|text| text.rfind(word));
    found.map_or(at, |start| start..start + word.len())
}

/// The parser's message in one line, without the place that our label shows.
fn sentence(error: &serde_saphyr::Error) -> String {
    let rendered = error.render();
    let first = rendered.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let cut = [" at line ", " at byte ", " (line "].iter().filter_map(|mark| first.find(mark)).min();
    cut.map_or(first, |cut| &first[..cut]).trim().to_owned()
}

/// The byte range of a location. The scanner's own errors have a line and a column only, both from 1.
fn bytes_or_column(text: &str, location: &serde_saphyr::Location) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return bytes(location);
    }
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(number(location.line())).map(str::len).sum();
    let line = text.get(line_start..).unwrap_or_default();
    let column = line.char_indices().nth(number(location.column())).map_or(line.len(), |(at, _)| at);
    line_start + column..line_start + column + 1
}

/// The byte range of a location.
fn bytes(location: &serde_saphyr::Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    let len = span.byte_len().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
    start..start.saturating_add(len)
}

/// [`Node`] as `serde-saphyr` fills it.
struct Located(Node);

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<Body>::deserialize(deserializer)?;
        Ok(Self(Node { span: bytes(&spanned.defined), kind: spanned.value.0 }))
    }
}

/// [`Kind`] as `serde-saphyr` fills it.
struct Body(Kind);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body(Kind::Null))
    }

    fn visit_none<E>(self) -> Result<Body, E> {
        Ok(Body(Kind::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
        Ok(Body(Kind::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
        Ok(Body(u64::try_from(value).map_or(Kind::Int(value), Kind::UInt)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
        Ok(Body(Kind::UInt(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Body, E> {
        Ok(Body(Kind::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Body, E> {
        Ok(Body(Kind::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Body, E> {
        Ok(Body(Kind::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(Located(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Body(Kind::Seq(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut entries = Vec::new();
        while let Some(Located(key)) = map.next_key()? {
            let text = match key.kind {
                Kind::Text(text) => text,
                Kind::Null => "null".to_owned(),
                Kind::Bool(value) => value.to_string(),
                Kind::Int(value) => value.to_string(),
                Kind::UInt(value) => value.to_string(),
                Kind::Float(value) => value.to_string(),
                Kind::Seq(_) | Kind::Map(_) => {
                    return Err(A::Error::custom("a key must be a text, not a list or a mapping"));
                }
            };
            let Located(value) = map.next_value()?;
            entries.push((Key { span: key.span, text }, value));
        }
        Ok(Body(Kind::Map(entries)))
    }
}
