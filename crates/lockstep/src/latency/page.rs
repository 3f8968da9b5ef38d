//! The tables of `towtank bench latency` and of `docs/latency.md`.

use std::fmt::Write as _;

use super::compare::Row;
use super::large_job;

/// One table for each change of size.
pub fn tables(rows: &[Row]) -> String {
    let mut out = String::new();
    for rows in rows.chunk_by(|one, other| one.operation == other.operation) {
        let Some(first) = rows.first() else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "### {}\n\n| phase, n = {} | measured p50 | p90 | p99 | model p50 | p90 | p99 | off at p50 | at p90 | |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            first.operation, first.count
        );
        for row in rows {
            let [measured, model] =
                [row.measured, row.model].map(|[p50, p90, p99]| format!("{p50:.1} | {p90:.1} | {p99:.1}"));
            let off = |quantile| percent(row.error(quantile));
            let verdict = if row.is_near() { "ok" } else { "**not near**" };
            let _ = writeln!(
                out,
                "| {} | {measured} | {model} | {} | {} | {verdict} |",
                row.phase,
                off(0),
                off(1)
            );
        }
        out.push('\n');
    }
    out
}

/// How many rows are near, and how many could be.
pub fn summary(rows: &[Row], at_best: f64) -> String {
    let near = rows.iter().filter(|row| row.is_near()).count();
    format!(
        "{near} of {} rows are ok; with a model that says exactly what was measured, {at_best:.0} of them would be if it were measured again.",
        rows.len()
    )
}

/// The table of large Jobs.
pub fn large_jobs(rows: &[large_job::Row]) -> String {
    let mut out = "| indexes | requests/s | n | measured | model | off | | published |\n| ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |\n".to_owned();
    for row in rows {
        let published = row.published_s.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"));
        let verdict = if row.is_near() { "ok" } else { "**not near**" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.1} s | {:.1} s | {} | {verdict} | {published} |",
            row.indexes,
            row.qps,
            row.count,
            row.measured_s,
            row.model_s,
            percent(row.error()),
        );
    }
    out
}

/// A part of something, as tables show it; a dash where there is nothing to be a part of.
fn percent(part: f64) -> String {
    let percent = (part * 100.0).round();
    if !percent.is_finite() {
        return "–".to_owned();
    }
    // Without a sign, where it is none.
    if percent == 0.0 { "0 %".to_owned() } else { format!("{percent:+.0} %") }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_rounded() {
        let shown = [0.124, -0.001, 0.0, -0.5, f64::INFINITY].map(percent);
        assert_eq!(shown, ["+12 %", "0 %", "0 %", "-50 %", "–"]);
    }
}
