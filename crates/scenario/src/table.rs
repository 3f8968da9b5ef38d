//! Tables as `kubectl get` prints them, pasted into a scenario.
//!
//! kubectl separates columns by three blanks and pads them; what people paste has been moved, trimmed and edited. So a
//! row is cut at runs of two or more blanks first. Only if that does not give one cell per column, it is cut at the
//! places where the headings begin, which lets a cell be empty or hold single blanks next to the following column.

use std::ops::Range;

use crate::ast::{Table, TableCommand, TableRow};
use crate::error::{Problem, suggest};

/// The only column of what has no headings.
const LINE: &str = "LINE";

/// A table that cannot be read: the place, what is wrong, what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct TableError {
    /// Byte range within the text of the table.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: Problem,
    /// What would be right.
    pub help: String,
}

impl TableCommand {
    /// The command as typed, which is also the key of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "kubectl get pods",
            Self::Jobs => "kubectl get jobs",
            Self::Nodes => "kubectl get nodes",
            Self::Events => "kubectl get events",
            Self::FluxResourceList => "flux resource list",
            Self::FluxResourceStatus => "flux resource status",
            Self::FluxResourceDrain => "flux resource drain",
            Self::FluxJobs => "flux jobs -a",
            Self::FluxOverlayStatus => "flux overlay status",
            Self::FluxHostlist => "flux hostlist",
        }
    }

    /// The columns that its tables may have. Those of older versions may lack some.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Pods => &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "INDEX", "NODE"],
            Self::Jobs => &["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"],
            Self::Nodes => &["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
            Self::Events => &["REASON", "TYPE", "OBJECT", "MESSAGE", "COUNT"],
            Self::FluxResourceList => &["STATE", "NNODES", "NCORES", "NGPUS", "NODELIST"],
            Self::FluxResourceStatus => &["STATE", "UP", "NNODES", "NODELIST"],
            Self::FluxResourceDrain => &["TIME", "STATE", "REASON", "NODELIST"],
            Self::FluxOverlayStatus | Self::FluxHostlist => &[LINE],
            Self::FluxJobs => &["JOBID", "USER", "NAME", "ST", "NTASKS", "NNODES", "TIME", "INFO"],
        }
    }

    /// The column without which a row is about nothing.
    pub const fn key_column(self) -> &'static str {
        match self {
            Self::Events => "REASON",
            Self::Pods | Self::Jobs | Self::Nodes => "NAME",
            Self::FluxResourceList | Self::FluxResourceStatus | Self::FluxResourceDrain => "STATE",
            Self::FluxJobs => "ST",
            Self::FluxOverlayStatus | Self::FluxHostlist => LINE,
        }
    }

    /// Whether Flux prints it, and not kubectl.
    pub const fn is_of_flux(self) -> bool {
        !matches!(self, Self::Pods | Self::Jobs | Self::Nodes | Self::Events)
    }

    /// Whether it prints lines without headings, whose order counts.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::FluxOverlayStatus | Self::FluxHostlist)
    }

    /// Whether its columns are padded to the left; the last one may be empty, and no cell has blanks.
    const fn is_padded_left(self) -> bool {
        matches!(self, Self::FluxResourceList | Self::FluxResourceStatus | Self::FluxJobs)
    }

    /// Whether a cell of this column may be empty.
    fn may_be_empty(self, column: &str) -> bool {
        // kubectl leaves the duration of a Job that has not started empty; people leave out ages. Nodes are drained without a reason.
        matches!(column, "AGE" | "DURATION") || (self == Self::FluxResourceDrain && column == "REASON")
    }
}

impl Table {
    /// Reads what was pasted for `command`. Spans of rows are byte ranges within `text`; empty lines mean nothing; a
    /// table of the headings alone claims that there are no rows.
    ///
    /// # Errors
    /// There are no headings, a heading is unknown or repeated, the key column is missing, or a row does not have one
    /// cell per column.
    pub fn parse(command: TableCommand, text: &str) -> Result<Self, TableError> {
        let mut lines = lines(text).peekable();
        if command.is_text() && lines.peek().is_some() {
            return Ok(Self::of_lines(command, lines));
        }
        let Some((at, heading)) = lines.next() else {
            return Err(TableError {
                span: 0..text.len(),
                problem: Problem::Table("there are no headings".to_owned()),
                help: format!("begin with `{}`", command.columns().join("   ")),
            });
        };
        let heads = headings(command, heading, at)?;
        let columns: Vec<String> = heads.iter().map(|(_, name)| (*name).to_owned()).collect();
        let starts: Vec<usize> =
            heads.iter().map(|(start, _)| heading.get(..*start).unwrap_or(heading).chars().count()).collect();
        let mut rows = Vec::new();
        for (at, line) in lines {
            let span = at..at + line.len();
            let trimmed = at + (line.len() - line.trim_start().len())..at + line.len();
            let cells = match command.is_padded_left() {
                true => flux_cells(line, columns.len()),
                false => cells(command, line, &starts, &columns),
            };
            let cells = cells.ok_or_else(|| ragged(trimmed.clone(), line, &columns))?;
            rows.push(TableRow { cells, span: trimmed.start..span.end });
        }
        Ok(Self { command, minicluster: None, columns, rows })
    }

    fn of_lines<'a>(command: TableCommand, lines: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let row = |(at, line): (usize, &str)| {
            let start = at + (line.len() - line.trim_start().len());
            TableRow { cells: vec![line.trim_end().to_owned()], span: start..at + line.len() }
        };
        Self { command, minicluster: None, columns: vec![LINE.to_owned()], rows: lines.map(row).collect() }
    }

    /// Position of a column, when the table has it.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// The lines that say something, with the place where each begins. Blanks at their end are cut off.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('\n').filter_map(move |line| {
        let start = at;
        at += line.len() + 1;
        let line = line.trim_end();
        (!line.is_empty()).then_some((start, line))
    })
}

/// The headings and where each begins in the line.
fn headings(
    command: TableCommand,
    line: &str,
    line_start: usize,
) -> Result<Vec<(usize, &'static str)>, TableError> {
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    // Flux 0.88 prints two headings without a blank between.
    let joined = (command == TableCommand::FluxResourceStatus).then(|| line.replace("STATEUP", "STATE UP"));
    let joined = joined.as_deref().unwrap_or(line);
    for word in joined.split_whitespace() {
        // `split_whitespace` hands out parts of the line, so the difference of the addresses is the offset.
        let mut start = word.as_ptr() as usize - joined.as_ptr() as usize;
        // Behind the blank that was put in, places are one further.
        if joined.len() > line.len() && line.find("STATEUP").is_some_and(|at| start > at) {
            start -= 1;
        }
        let span = line_start + start..line_start + start + word.len();
        let Some(name) = command.columns().iter().find(|name| **name == word.to_uppercase()) else {
            let problem = Problem::Unknown { what: "column", text: word.to_owned() };
            return Err(TableError { span, problem, help: suggest(word, command.columns().iter().copied()) });
        };
        if found.iter().any(|(_, other)| other == name) {
            let problem = Problem::Duplicate { what: "column", name: (*name).to_owned() };
            return Err(TableError { span, problem, help: "remove one of the two".to_owned() });
        }
        found.push((start, name));
    }
    if found.iter().any(|(_, name)| *name == command.key_column()) {
        Ok(found)
    } else {
        Err(TableError {
            span: line_start..line_start + line.len(),
            problem: Problem::Table(format!("the column {} is missing", command.key_column())),
            help: format!("`{}` prints {}", command.as_str(), command.columns().join(", ")),
        })
    }
}

/// One word per column; the last may be missing.
fn flux_cells(line: &str, columns: usize) -> Option<Vec<String>> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if words.len() + 1 == columns {
        words.push(String::new());
    }
    (words.len() == columns).then_some(words)
}

/// One cell per column, or nothing.
fn cells(command: TableCommand, line: &str, starts: &[usize], columns: &[String]) -> Option<Vec<String>> {
    let parts: Vec<String> =
        line.split("  ").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if parts.len() == starts.len() {
        return Some(parts);
    }
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    // A time of Flux is two words, and a reason any number.
    if words.len() == starts.len() && command != TableCommand::FluxResourceDrain {
        return Some(words);
    }
    // By position: every cut must fall on a blank or on the line's end.
    let characters: Vec<char> = line.chars().collect();
    let is_cut = |start: usize| {
        start == 0 || characters.get(start - 1).is_none_or(|c| c.is_whitespace()) || start >= characters.len()
    };
    if !starts.iter().all(|start| is_cut(*start)) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([characters.len()]);
    let cut = |(start, end): (&usize, usize)| {
        let end = end.min(characters.len());
        characters
            .get(*start..end.max(*start))
            .unwrap_or_default()
            .iter()
            .collect::<String>()
            .trim()
            .to_owned()
    };
    let lead: String = characters.iter().take(*starts.first()?).collect();
    let cells: Vec<String> = starts.iter().zip(ends).map(cut).collect();
    let is_filled = |(cell, column): (&String, &String)| !cell.is_empty() || command.may_be_empty(column);
    (lead.trim().is_empty() && cells.iter().zip(columns).all(is_filled)).then_some(cells)
}

fn ragged(span: Range<usize>, line: &str, columns: &[String]) -> TableError {
    let count = line.split("  ").filter(|part| !part.trim().is_empty()).count();
    TableError {
        span,
        problem: Problem::Table(format!("this row has {count} cells, the headings are {}", columns.len())),
        help: format!(
            "give each of {} a cell, with at least two blanks between cells, or in line with the headings",
            columns.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_separated_by_blanks_or_by_the_headings() {
        let text = "NAME    READY   STATUS    RESTARTS   AGE\n\
                    work-0-abcde   1/1   Running   2 (5s ago)   40s\n\
                    work-1 0/1 Pending 0 1s\n\
                    \n\
                    work-2  0/1     Init:0/1  0          \n";
        let table = Table::parse(TableCommand::Pods, text)
            .map(|table| table.rows.iter().map(|row| row.cells.join("|")).collect::<Vec<_>>());
        let expected =
            ["work-0-abcde|1/1|Running|2 (5s ago)|40s", "work-1|0/1|Pending|0|1s", "work-2|0/1|Init:0/1|0|"];
        assert_eq!(table, Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn spans_are_those_of_the_rows() {
        let text = "  NAME  STATUS\n  node-0  Ready\n";
        let table = Table::parse(TableCommand::Nodes, text).expect("a table");
        assert_eq!(&text[table.rows[0].span.clone()], "node-0  Ready");
    }

    #[test]
    fn what_is_no_table_is_refused_at_its_place() {
        let problem = |text: &str| {
            let error = Table::parse(TableCommand::Pods, text).expect_err("no table");
            (text[error.span].to_owned(), error.problem.to_string())
        };
        assert_eq!(problem("NAME  REDY\n").0, "REDY");
        assert_eq!(problem("NAME  NAME\n").1, "duplicate column `NAME`");
        assert_eq!(problem("READY  STATUS\n").1, "malformed table: the column NAME is missing");
        assert_eq!(problem("").1, "malformed table: there are no headings");
        let ragged = problem("NAME  READY  STATUS\nwork-0  1/1\nwork-1\n");
        assert_eq!(ragged.0, "work-0  1/1");
    }

    #[test]
    fn tables_of_flux_are_read_as_it_prints_them() {
        let rows = |command, text: &str| {
            let table = Table::parse(command, text).expect("a table");
            table.rows.iter().map(|row| row.cells.join("|")).collect::<Vec<_>>()
        };
        // 0.88 prints two headings as one word.
        let status =
            "       STATEUP NNODES NODELIST\n       avail ✔      3 a-[0-2]\n     drained ✗      0 \n";
        assert_eq!(rows(TableCommand::FluxResourceStatus, status), ["avail|✔|3|a-[0-2]", "drained|✗|0|"]);
        let drain = "TIME         STATE    REASON                         NODELIST\n\
                     Nov22 00:14  drained  Goodbye rank 2                 a-2\n\
                     Nov22 00:14  drained*                                a-7\n";
        let expected = ["Nov22 00:14|drained|Goodbye rank 2|a-2", "Nov22 00:14|drained*||a-7"];
        assert_eq!(rows(TableCommand::FluxResourceDrain, drain), expected);
        let tree = "0 a-0: partial\n├─ 1 a-1: full\n└─ 2 a-2: lost\n";
        assert_eq!(
            rows(TableCommand::FluxOverlayStatus, tree),
            ["0 a-0: partial", "├─ 1 a-1: full", "└─ 2 a-2: lost"]
        );
        assert!(Table::parse(TableCommand::FluxHostlist, "\n").is_err(), "no line at all");
    }
}
