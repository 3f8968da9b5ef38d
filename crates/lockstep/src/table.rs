//! Tables as `kubectl get` prints them, and how a pasted one is compared with what is to be seen.
//!
//! A pasted table holds when its rows and the actual ones are the same as multisets, over the columns that were pasted.
//! What changes from run to run is left out: AGE and DURATION, the suffixes of generated names, the time in
//! `1 (5s ago)`. The order of rows and columns does not count; a missing or an extra row does.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};
use towtank_scenario::ast::{Table, TableCommand};

/// Columns that are different in every run and therefore not compared.
const VOLATILE: [&str; 7] = ["AGE", "DURATION", "LAST SEEN", "FIRST SEEN", "VERSION", "JOBID", "TIME"];
/// Length of the suffix that the API server appends to generated names.
const SUFFIX_LENGTH: usize = 5;

/// A table: column heads and rows of as many cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Column heads, upper case.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// Whose line it is.
    pub side: Side,
    /// The line, columns aligned.
    pub text: String,
}

/// Whose line a [`DiffLine`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Expected and there.
    Both,
    /// Expected and not there.
    Expected,
    /// There and not expected.
    Actual,
}

impl Side {
    /// The mark before the line, as in a unified diff.
    pub const fn mark(self) -> char {
        match self {
            Self::Both => ' ',
            Self::Expected => '-',
            Self::Actual => '+',
        }
    }
}

/// A table that Flux has printed; without a single column when no lead has answered, so that it agrees with no table that
/// is pasted.
pub(crate) fn of_flux(command: TableCommand, text: &str) -> Grid {
    match Table::parse(command, text) {
        Ok(table) => {
            let rows = table.rows.into_iter().map(|row| row.cells).collect();
            Grid { columns: table.columns, rows }
        }
        Err(_) => Grid { columns: Vec::new(), rows: Vec::new() },
    }
}

/// Whether `column` is compared.
pub fn is_compared(column: &str) -> bool {
    !VOLATILE.contains(&column)
}

/// Whether the pasted table shows what `actual` shows. Names in `actual` have been masked already.
pub fn agrees(expected: &Table, actual: &Grid) -> bool {
    let (expected, actual) = (masked(expected, actual), projected(expected, actual));
    expected == actual
}

/// Both tables as aligned lines, with what only one of them has marked.
pub fn diff(expected: &Table, actual: &Grid) -> Vec<DiffLine> {
    let (expected, actual) = (masked(expected, actual), projected(expected, actual));
    let widths = widths(&[&expected, &actual]);
    let (expected, actual) = (text(&expected, &widths), text(&actual, &widths));
    let diff = TextDiff::from_lines(expected.as_str(), actual.as_str());
    diff.iter_all_changes()
        .map(|change| DiffLine {
            side: match change.tag() {
                ChangeTag::Equal => Side::Both,
                ChangeTag::Delete => Side::Expected,
                ChangeTag::Insert => Side::Actual,
            },
            text: change.value().trim_end().to_owned(),
        })
        .collect()
}

/// The pasted table as it is compared: volatile columns gone, generated names masked, rows sorted.
fn masked(expected: &Table, actual: &Grid) -> Grid {
    let compared: Vec<usize> =
        (0..expected.columns.len()).filter(|&column| is_compared(&expected.columns[column])).collect();
    let known = known_words(actual);
    let mut rows: Vec<Vec<String>> = expected
        .rows
        .iter()
        .map(|row| {
            let cell = |column: usize| row.cells.get(column).map_or("", String::as_str);
            compared
                .iter()
                .map(|&column| masked_cell(&expected.columns[column], cell(column), expected.command, &known))
                .collect()
        })
        .collect();
    sort(expected.command, &mut rows);
    Grid { columns: compared.into_iter().map(|column| expected.columns[column].clone()).collect(), rows }
}

/// The actual table cut down to the columns that were pasted, in their order; a column that this version does not have
/// is empty in every row and its head says so, unless it is one that is hidden when it says nothing.
fn projected(expected: &Table, actual: &Grid) -> Grid {
    let columns: Vec<&String> = expected.columns.iter().filter(|column| is_compared(column)).collect();
    let position = |column: &String| actual.columns.iter().position(|known| known == column);
    let mut rows: Vec<Vec<String>> = actual
        .rows
        .iter()
        .map(|row| {
            let cell = |column: &String| match position(column) {
                Some(at) => row.get(at).cloned().unwrap_or_default(),
                None => hidden(column).unwrap_or_default().to_owned(),
            };
            columns.iter().map(|column| cell(column)).collect()
        })
        .collect();
    sort(expected.command, &mut rows);
    let head = |column: &String| match position(column) {
        None if hidden(column).is_none() => format!("(no {column})"),
        _ => column.clone(),
    };
    Grid { columns: columns.into_iter().map(head).collect(), rows }
}

/// What a column says in every row when it is not printed: Flux up to 0.50 leaves out what is zero everywhere.
fn hidden(column: &str) -> Option<&'static str> {
    (column == "NGPUS").then_some("0")
}

/// Every word of the actual table: what a masked word of the pasted one may stand for.
fn known_words(actual: &Grid) -> Vec<&str> {
    let mut words: Vec<&str> = actual.rows.iter().flatten().flat_map(|cell| cell.split([' ', '/'])).collect();
    words.sort_unstable();
    words.dedup();
    words
}

fn masked_cell(column: &str, cell: &str, command: TableCommand, known: &[&str]) -> String {
    match column {
        "NAME" if command == TableCommand::Pods => masked_name(cell, known),
        "RESTARTS" => cell.split_whitespace().next().unwrap_or("").to_owned(),
        "OBJECT" | "MESSAGE" => {
            let mut text = String::new();
            for (separator, word) in words(cell) {
                let masked = masked_name(word, known);
                text.push_str(if known.binary_search(&masked.as_str()).is_ok() { &masked } else { word });
                text.push_str(separator);
            }
            text
        }
        _ => cell.to_owned(),
    }
}

/// Words of `text`, each with the separator after it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_inclusive([' ', '/']).map(|piece| {
        let word = piece.trim_end_matches([' ', '/']);
        (&piece[word.len()..], word)
    })
}

/// A name as it was pasted, with a generated suffix replaced by `*`, unless an object of exactly this name is there.
pub fn masked_name(name: &str, known: &[&str]) -> String {
    let generated = |suffix: &str| {
        suffix == "*"
            || suffix == "xxxxx"
            || (suffix.len() == SUFFIX_LENGTH
                && suffix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
    };
    match name.rsplit_once('-') {
        Some((stem, suffix)) if generated(suffix) && known.binary_search(&name).is_err() => {
            format!("{stem}-*")
        }
        _ => name.to_owned(),
    }
}

/// The order of rows says nothing, but where they are lines of a text, or jobs, which Flux sorts by their states.
fn sort(command: TableCommand, rows: &mut [Vec<String>]) {
    if !command.is_text() && command != TableCommand::FluxJobs {
        rows.sort_by(|a, b| natural_order(a, b));
    }
}

/// Orders rows as a reader expects: numbers within names by value, so that index 10 comes after 9.
fn natural_order(a: &[String], b: &[String]) -> std::cmp::Ordering {
    let key = |row: &[String]| row.iter().flat_map(|cell| natural_key(cell)).collect::<Vec<_>>();
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

/// `flux-10-*` as its text and number parts.
fn natural_key(cell: &str) -> Vec<(u64, String)> {
    cell.split('-').map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
}

fn widths(grids: &[&Grid]) -> Vec<usize> {
    let columns = grids.iter().map(|grid| grid.columns.len()).max().unwrap_or(0);
    let cells = |column: usize| {
        grids.iter().flat_map(move |grid| {
            grid.columns
                .get(column)
                .into_iter()
                .chain(grid.rows.iter().filter_map(move |row| row.get(column)))
        })
    };
    (0..columns).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect()
}

fn text(grid: &Grid, widths: &[usize]) -> String {
    let mut out = String::new();
    for row in std::iter::once(&grid.columns).chain(&grid.rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}   ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

impl std::fmt::Display for Grid {
    /// As kubectl prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text(self, &widths(&[self])))
    }
}

#[cfg(test)]
mod tests {
    use towtank_scenario::ast::TableRow;

    use super::*;

    fn pasted(command: TableCommand, text: &str) -> Table {
        let mut lines =
            text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let columns = lines.next().unwrap_or_default();
        Table {
            command,
            minicluster: None,
            columns,
            rows: lines.map(|cells| TableRow { cells, span: 0..0 }).collect(),
        }
    }

    fn grid(text: &str) -> Grid {
        let table = pasted(TableCommand::Pods, text);
        Grid { columns: table.columns, rows: table.rows.into_iter().map(|row| row.cells).collect() }
    }

    const ACTUAL: &str = "NAME READY STATUS RESTARTS AGE\n\
                          flux-0-* 1/1 Running 0 3s\n\
                          flux-10-* 0/1 Completed 2 3s\n\
                          flux-9-* 1/1 Running 0 3s";

    #[test]
    fn suffixes_ages_and_orders_do_not_count() {
        for text in [
            "NAME READY STATUS RESTARTS AGE\nflux-10-rm4ks 0/1 Completed 2 9m\nflux-9-zsjw2 1/1 Running 0 9m\nflux-0-aaaaa 1/1 Running 0 9m",
            "STATUS NAME\nCompleted flux-10-rm4ks\nRunning flux-9-zsjw2\nRunning flux-0-*",
        ] {
            assert!(agrees(&pasted(TableCommand::Pods, text), &grid(ACTUAL)), "{text}");
        }
    }

    #[test]
    fn rows_cells_and_unknown_columns_do() {
        for text in [
            "STATUS NAME\nCompleted flux-10-rm4ks\nRunning flux-9-zsjw2",
            "STATUS NAME\nCompleted flux-10-rm4ks\nRunning flux-9-zsjw2\nRunning flux-9-zsjw2\nRunning flux-0-*",
            "STATUS NAME\nCompleted flux-11-rm4ks\nRunning flux-9-zsjw2\nRunning flux-0-*",
            "STATUS NAME\nRunning flux-10-rm4ks\nRunning flux-9-zsjw2\nRunning flux-0-*",
            "NODE NAME\nx flux-10-rm4ks\nx flux-9-zsjw2\nx flux-0-*",
        ] {
            assert!(!agrees(&pasted(TableCommand::Pods, text), &grid(ACTUAL)), "{text}");
        }
    }

    #[test]
    fn a_pod_with_a_name_of_its_own_keeps_it() {
        let actual = grid("NAME\nmy-debug");
        assert!(agrees(&pasted(TableCommand::Pods, "NAME\nmy-debug"), &actual));
        assert!(!agrees(&pasted(TableCommand::Pods, "NAME\nmy-other"), &actual));
    }

    #[test]
    fn a_lead_that_does_not_answer_shows_no_table() {
        let heads = "JOBID USER NAME ST NTASKS NNODES TIME INFO";
        let pasted = Table::parse(TableCommand::FluxJobs, heads).expect("headings are a table");
        assert!(agrees(&pasted, &of_flux(TableCommand::FluxJobs, heads)), "no job is a table without rows");
        assert!(!agrees(&pasted, &of_flux(TableCommand::FluxJobs, "")));
    }

    #[test]
    fn a_diff_aligns_what_is_the_same() {
        let table = pasted(TableCommand::Pods, "NAME STATUS\nflux-9-aaaaa Running\nflux-10-aaaaa Running");
        let lines: Vec<String> = diff(&table, &grid(ACTUAL))
            .into_iter()
            .map(|line| format!("{}{}", line.side.mark(), line.text))
            .collect();
        assert_eq!(
            lines,
            [
                " NAME        STATUS",
                "+flux-0-*    Running",
                " flux-9-*    Running",
                "-flux-10-*   Running",
                "+flux-10-*   Completed",
            ]
        );
    }

    #[test]
    fn a_column_of_zeros_may_be_hidden() {
        let text = "STATE NNODES NCORES NODELIST\nfree 3 30 a-[0-2]";
        let seen = of_flux(TableCommand::FluxResourceList, text);
        let with = |gpus: &str| {
            let text = format!("STATE NNODES NCORES NGPUS NODELIST\nfree 3 30 {gpus} a-[0-2]");
            Table::parse(TableCommand::FluxResourceList, &text).expect("a table")
        };
        assert!(agrees(&with("0"), &seen));
        assert!(!agrees(&with("1"), &seen));
    }

    #[test]
    fn the_order_of_lines_counts_where_they_are_a_text() {
        let pasted = |text: &str| Table::parse(TableCommand::FluxOverlayStatus, text).expect("a tree");
        let seen = of_flux(TableCommand::FluxOverlayStatus, "0 a-0: full\n└─ 1 a-1: full\n");
        assert!(agrees(&pasted("0 a-0: full\n└─ 1 a-1: full"), &seen));
        assert!(!agrees(&pasted("└─ 1 a-1: full\n0 a-0: full"), &seen));
    }
}
