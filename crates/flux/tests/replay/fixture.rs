//! A fixture under `snapshots/flux/`: what happened, what was typed, what was answered.

use std::collections::BTreeMap;

/// One line of a fixture with its time in seconds.
pub(crate) struct Event {
    pub(crate) time: f64,
    pub(crate) what: What,
}

/// What happened.
pub(crate) enum What {
    /// A deed of the rig: `cluster …`, `start …`, `kill …`.
    Deed(String),
    /// A job that no recorded command submitted.
    Unseen { name: String, line: String },
    /// A command and its answer.
    Command(Command),
}

/// A recorded command.
pub(crate) struct Command {
    pub(crate) line: String,
    /// How long it took.
    pub(crate) seconds: f64,
    pub(crate) code: String,
    /// The job that it ran, if it is known.
    pub(crate) job: Option<String>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// A fixture.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) version: String,
    /// When it was recorded, in seconds since 1970.
    pub(crate) epoch: f64,
    pub(crate) events: Vec<Event>,
    /// When jobs were submitted, in seconds since the start, and how long those ran that completed.
    pub(crate) jobs: BTreeMap<String, (f64, Option<f64>)>,
}

impl Fixture {
    /// Reads the text of a fixture.
    pub(crate) fn read(name: &str, text: &str) -> Self {
        let mut lines = text.lines();
        let head = lines.next().expect("a fixture has a first line");
        let version = head.split([' ', ',']).nth(1).expect("flux-core VERSION").to_owned();
        let (_, date) = head.split_once("recorded ").expect("a date");
        let mut events: Vec<Event> = Vec::new();
        let mut jobs = BTreeMap::new();
        for line in lines {
            if let (true, Some((name, rest))) = (events.is_empty(), line.split_once(" submitted ")) {
                let (time, took) =
                    rest.split_once(" took ").map_or((rest, None), |(time, took)| (time, Some(took)));
                let took = took.map(|took| towtank_flux::duration::parse_fsd(took).expect("a duration"));
                jobs.insert(name.to_owned(), (time.parse().expect("a time"), took));
                continue;
            }
            if let Some(rest) = line.strip_prefix('@') {
                let (time, rest) = rest.split_once(' ').expect("@TIME WHAT");
                events.push(Event { time: time.parse().expect("a time"), what: what(rest) });
                continue;
            }
            let Some(Event { what: What::Command(command), .. }) = events.last_mut() else {
                panic!("{name}: nothing before {line:?}")
            };
            if let Some(code) = line.strip_prefix("= ") {
                let (code, job) =
                    code.split_once(' ').map_or((code, None), |(code, job)| (code, Some(job.to_owned())));
                (command.code, command.job) = (code.to_owned(), job);
            } else if let Some(class) = line.strip_prefix("! ") {
                command.stderr.push(class.to_owned());
            } else {
                command.stdout.push(line.trim_start().to_owned());
            }
        }
        Self { name: name.to_owned(), version, epoch: seconds(date), events, jobs }
    }

    /// How many commands were recorded.
    pub(crate) fn recorded(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.what, What::Command(_))).count()
    }
}

fn what(text: &str) -> What {
    let command = text.split_once(" $ ").and_then(|(seconds, line)| Some((seconds.parse().ok()?, line)));
    if let Some((seconds, line)) = command {
        return What::Command(Command {
            line: line.to_owned(),
            seconds,
            code: String::new(),
            job: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
        });
    }
    match text.strip_prefix("unseen ").and_then(|rest| rest.split_once(" = ")) {
        Some((name, line)) => What::Unseen { name: name.to_owned(), line: line.to_owned() },
        None => What::Deed(text.to_owned()),
    }
}

/// `2026-11-22T00:14:13Z` in seconds since 1970. All recordings are of two neighbouring days.
fn seconds(date: &str) -> f64 {
    let number =
        |from: usize, to: usize| -> f64 { date.get(from..to).and_then(|n| n.parse().ok()).expect("a date") };
    assert!(date.starts_with("2026-11-2"), "a new month of recordings needs its number of seconds here");
    let days = number(8, 10) - 22.0;
    let part: f64 = date.split_once('+').and_then(|(_, part)| part.parse().ok()).expect("a part of a second");
    1_795_305_600.0
        + days * 86_400.0
        + number(11, 13) * 3600.0
        + number(14, 16) * 60.0
        + number(17, 19)
        + part
}
