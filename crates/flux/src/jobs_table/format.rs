//! Format strings of `flux jobs -o`: Python's, with the extensions of Flux.
//!
//! `{field!conversion:spec}`. The conversion `F` prints seconds as a duration, `d` as a date. In the specification a final `h` prints `-`
//! for what is empty or zero, and `+` marks what was cut off (recordings 04 and 05).

use std::fmt;

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Field(Field),
}

/// A field with how it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) shown_as: ShownAs,
    align_right: bool,
    width: usize,
    precision: Option<usize>,
    dash_if_empty: bool,
    mark_cut: bool,
}

/// What a conversion makes of a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ShownAs {
    /// The number.
    #[default]
    Number,
    /// `!F`: a duration.
    Duration,
    /// `!d` with `%b%d %R`: month, day, hour and minute.
    Date,
}

/// Why a format cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A brace without partner, or a specification that Flux does not have.
    #[error("flux-jobs: ERROR: Invalid format: {0}")]
    Invalid(String),
    /// A field that this model does not have.
    #[error("flux-jobs: ERROR: Unknown format field: {0}")]
    UnknownField(String),
}

/// Reads a format.
pub(super) fn parse(format: &str) -> Result<Vec<Piece>, FormatError> {
    let invalid = || FormatError::Invalid(format.to_owned());
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some((text, behind)) = rest.split_once('{') {
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let (field, behind) = behind.split_once('}').ok_or_else(invalid)?;
        pieces.push(Piece::Field(Field::parse(field).ok_or_else(invalid)?));
        rest = behind;
    }
    if rest.contains('}') {
        return Err(invalid());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        let (name, spec) = text.split_once(':').unwrap_or((text, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        if name.is_empty() {
            return None;
        }
        // A date has its own format before that of the column.
        let (shown_as, spec) = match conversion {
            "" | "s" => (ShownAs::Number, spec),
            "F" => (ShownAs::Duration, spec),
            "d" => (ShownAs::Date, spec.strip_prefix("%b%d %R")?.strip_prefix("::").unwrap_or_default()),
            _ => return None,
        };
        let mut field = Self { name: name.to_owned(), shown_as, ..Self::default() };
        let spec = match spec.strip_suffix('h') {
            Some(spec) => {
                field.dash_if_empty = true;
                spec
            }
            None => spec,
        };
        let spec = match spec.strip_suffix('+') {
            Some(spec) => {
                field.mark_cut = true;
                spec
            }
            None => spec,
        };
        let spec = match (spec.strip_prefix('>'), spec.strip_prefix('<')) {
            (Some(spec), _) => {
                field.align_right = true;
                spec
            }
            (None, Some(spec)) => spec,
            (None, None) => spec,
        };
        let (width, precision) =
            spec.split_once('.').map_or((spec, None), |(width, precision)| (width, Some(precision)));
        if !width.is_empty() {
            field.width = width.parse().ok().filter(|width| *width <= WIDTH_MAX)?;
        }
        field.precision = precision.map(str::parse).transpose().ok()?;
        Some(field)
    }

    /// The text in its column.
    pub(super) fn put(&self, value: &str) -> String {
        let empty = matches!(value, "" | "0" | "0s" | "0.0");
        let text = if self.dash_if_empty && empty { "-".to_owned() } else { self.cut(value) };
        let padding = " ".repeat(self.width.saturating_sub(text.chars().count()));
        if self.align_right { padding + &text } else { text + &padding }
    }

    fn cut(&self, value: &str) -> String {
        match self.precision {
            Some(precision) if value.chars().count() > precision => {
                let kept = if self.mark_cut { precision.saturating_sub(1) } else { precision };
                let mut text: String = value.chars().take(kept).collect();
                if self.mark_cut {
                    text.push('+');
                }
                text
            }
            _ => value.to_owned(),
        }
    }

    /// A heading is never cut and never a dash.
    pub(super) fn put_heading(&self, heading: &str) -> String {
        Self { precision: None, dash_if_empty: false, ..self.clone() }.put(heading)
    }
}

/// Wider columns than this are a mistake; a limit of ours.
const WIDTH_MAX: usize = 1_000;

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
