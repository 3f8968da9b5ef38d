//! `flux jobs`: the table of jobs.
//!
//! Order (recordings 04 and 05): jobs that wait by priority, then by id; jobs with cores, the one that got them last first;
//! jobs that are over, the one that ended last first.

use std::cmp::Reverse;

use crate::jobs::{Job, JobManager, Outcome, State};
use crate::time::Instant;

mod fields;
mod format;
mod options;

pub use format::FormatError;

use format::{Field, Piece};
use options::Options;

/// What a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

impl Answer {
    fn error(text: &str, code: i32) -> Self {
        Self { stdout: String::new(), stderr: format!("{text}\n"), code }
    }
}

/// The columns of `flux jobs -o long` (recording 05).
const LONG: &str = "{id.f58:>12} {username:<8.8+} {name:<10.10+} {status:>9.9} {ntasks:>6} {nnodes:>6h} \
                    {t_submit!d:%b%d %R::>12} {t_remaining!F:>12h} {contextual_time!F:>8h} {contextual_info}";

/// Runs `flux jobs` with these arguments.
pub fn run(manager: &JobManager, now: Instant, args: &[&str]) -> Answer {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => return Answer::error(&format!("flux-jobs: error: {error}"), 2),
    };
    if options.statistics_only {
        let active = manager.jobs().iter().any(|job| job.state() != State::Inactive);
        return Answer { stdout: statistics(manager), code: i32::from(!active), ..Answer::default() };
    }
    match table(manager, now, &options) {
        Ok(answer) => answer,
        Err(error) => Answer::error(&error.to_string(), 1),
    }
}

fn table(manager: &JobManager, now: Instant, options: &Options) -> Result<Answer, FormatError> {
    let pieces = format::parse(if options.format == "long" { LONG } else { &options.format })?;
    let unknown = pieces.iter().find_map(|piece| match piece {
        Piece::Field(field) if fields::heading(&field.name).is_none() => Some(field.name.clone()),
        _ => None,
    });
    if let Some(unknown) = unknown {
        return Err(FormatError::UnknownField(unknown));
    }
    let mut answer = Answer::default();
    if options.statistics {
        answer.stdout += &statistics(manager);
    }
    if options.header {
        answer.stdout +=
            &line(&pieces, |field| field.put_heading(fields::heading(&field.name).unwrap_or_default()));
    }
    let (jobs, left_out) = listed(manager, options, &mut answer);
    for job in jobs {
        let put = |field: &Field| field.put(&fields::value(manager, job, &field.name, field.shown_as, now));
        answer.stdout += &line(&pieces, put);
    }
    if left_out && manager.setup().features.tells_truncation {
        answer.stderr += &format!(
            "warning: output truncated at {} jobs.\nUse --count to increase returned results or use filters to alter \
             results.\n",
            options.count
        );
    }
    Ok(answer)
}

/// The jobs in their order, and whether some were left out. Named jobs are shown whatever they are.
fn listed<'a>(manager: &'a JobManager, options: &Options, answer: &mut Answer) -> (Vec<&'a Job>, bool) {
    if !options.ids.is_empty() {
        let mut jobs = Vec::new();
        for id in &options.ids {
            match manager.job(*id) {
                Some(job) => jobs.push(job),
                None => {
                    answer.stderr += &format!("flux-jobs: ERROR: JobID {id} unknown\n");
                    answer.code = 1;
                }
            }
        }
        return (jobs, false);
    }
    let shown = |job: &&Job| options.filter.iter().any(|filter| filter.holds(job));
    let mut jobs: Vec<&Job> = manager.jobs().iter().filter(shown).collect();
    jobs.sort_by_cached_key(|job| place(job));
    let left_out = jobs.len() > options.count;
    jobs.truncate(options.count);
    (jobs, left_out)
}

/// Where a job stands in the table.
fn place(job: &Job) -> (u8, Reverse<u32>, Reverse<Instant>, u64) {
    let id = job.id().0;
    match job.state() {
        // Without dependencies met there is no priority yet.
        State::Depend => (0, Reverse(0), Reverse(Instant::ZERO), id),
        State::Sched => (0, Reverse(job.priority()), Reverse(Instant::ZERO), id),
        State::Run | State::Cleanup => {
            (1, Reverse(0), Reverse(job.allocated_at().unwrap_or_default()), u64::MAX - id)
        }
        State::Inactive => (2, Reverse(0), Reverse(job.inactive_at().unwrap_or_default()), u64::MAX - id),
    }
}

fn line(pieces: &[Piece], put: impl Fn(&Field) -> String) -> String {
    let mut line: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(field) => put(field),
        })
        .collect();
    line.push('\n');
    line
}

/// The line of `flux jobs --stats` (recording 05): what did not complete counts as failed.
fn statistics(manager: &JobManager) -> String {
    let count = |wanted: &dyn Fn(&Job) -> bool| manager.jobs().iter().filter(|job| wanted(job)).count();
    format!(
        "{} running, {} completed, {} failed, {} pending, 0 inactive purged\n",
        count(&|job| matches!(job.state(), State::Run | State::Cleanup)),
        count(&|job| job.outcome() == Some(Outcome::Completed)),
        count(&|job| job.outcome().is_some_and(|outcome| outcome != Outcome::Completed)),
        count(&|job| job.state() <= State::Sched),
    )
}
