//! Makes the fixtures under `snapshots/flux/` from recordings of real Flux.
//!
//! ```text
//! cargo run -p towtank-flux --example fixtures -- RECORDINGS snapshots/flux
//! ```
//!
//! A recording says which commands were typed and what they printed. It does not always say what the rig did
//! in between (which broker was killed, which jobs were submitted unseen): `snapshots/flux/stories.txt` says
//! so, by section of the recording. The fixture holds both in the order of their times, and of the answers
//! only the facts: columns, exit codes, classes of messages.

#[path = "../tests/replay/normal.rs"]
mod normal;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use towtank_flux::Idset;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Nothing in a recording takes longer than this before the next thing that the rig does.
const MOMENT: f64 = 0.01;

/// Commands of which no answer is kept: help, files of the rig, settings and modules of Flux.
const NOT_KEPT: [&str; 12] = [
    "--help",
    "--dry-run",
    "lsattr",
    "flux module stats",
    "flux module list",
    "startlog",
    "jobspec",
    "tar tzf",
    "ls -l",
    "cat ",
    "script ",
    "dump -v",
];

/// How long a job takes from its end to being inactive.
const CLEANING: f64 = 0.004;

/// A step of a recording.
enum Step {
    Note(String),
    Command { line: String, code: String, stdout: String, stderr: String, seconds: f64 },
}

/// What the rig did beside the commands: in which section, after how many of its commands, how much later.
struct Deed {
    section: String,
    place: Place,
    text: String,
}

/// Where in its section a deed belongs.
enum Place {
    /// So many seconds after the end of the command of this number; 0 is the heading.
    After(usize, f64),
    /// So many seconds before the beginning of that command.
    Before(usize, f64),
}

/// One section of the stories file.
#[derive(Default)]
struct Story {
    deeds: Vec<Deed>,
    /// Command lines of jobs that the rig submitted unseen, by job name.
    unseen: Vec<(String, String)>,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(recordings), Some(fixtures)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fixtures RECORDINGS FIXTURES".into());
    };
    let fixtures = PathBuf::from(fixtures);
    let stories = read_stories(&fs::read_to_string(fixtures.join("stories.txt"))?)?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(recordings)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if file.extension().is_none_or(|extension| extension != "json") || !name.starts_with("core-") {
            continue;
        }
        let (version, experiment) = name
            .trim_start_matches("core-")
            .split_once('-')
            .ok_or("a recording is called core-VERSION-NAME")?;
        let story = stories.get(&format!("{version}/{experiment}")).or_else(|| stories.get(experiment));
        let story = story.ok_or_else(|| format!("stories.txt says nothing of {experiment}"))?;
        let text = fixture(&file, version, experiment, story)?;
        fs::create_dir_all(fixtures.join(version))?;
        fs::write(fixtures.join(version).join(format!("{experiment}.txt")), text)?;
    }
    Ok(())
}

/// The stories by experiment. A line is `[experiment …]`, `@ section`, `+N[~SECONDS] deed`,
/// `-N~SECONDS deed`, or `unseen NAME = COMMAND`.
fn read_stories(text: &str) -> Result<BTreeMap<String, Story>> {
    let mut stories: BTreeMap<String, Story> = BTreeMap::new();
    let (mut current, mut section): (Vec<String>, String) = (Vec::new(), String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")) {
        if let Some(names) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = names.split_whitespace().map(str::to_owned).collect();
            section = String::new();
            for name in &current {
                stories.entry(name.clone()).or_default();
            }
            continue;
        }
        if let Some(heading) = line.strip_prefix("@ ") {
            section = heading.to_owned();
            continue;
        }
        for name in &current {
            let story = stories.entry(name.clone()).or_default();
            if let Some(rest) = line.strip_prefix("unseen ") {
                let (job, command) = rest.split_once(" = ").ok_or("unseen NAME = COMMAND")?;
                story.unseen.push((job.to_owned(), command.to_owned()));
                continue;
            }
            let (place, deed) = line.split_once(' ').ok_or_else(|| format!("no deed in {line:?}"))?;
            let (number, seconds) = place.split_once('~').unwrap_or((place, "0"));
            let seconds: f64 = seconds.parse()?;
            let place = match number.strip_prefix('-') {
                Some(number) => Place::Before(number.parse()?, seconds),
                None => Place::After(number.trim_start_matches('+').parse()?, seconds),
            };
            // `{experiment}` stands for what is different between experiments of one family: the scheduler.
            let scheduler = name
                .split_once("placement-")
                .or_else(|| name.split_once("sched-"))
                .map_or("", |(_, scheduler)| scheduler);
            story.deeds.push(Deed {
                section: section.clone(),
                place,
                text: deed.replace("{scheduler}", scheduler),
            });
        }
    }
    Ok(stories)
}

/// The text of one fixture.
fn fixture(file: &Path, version: &str, experiment: &str, story: &Story) -> Result<String> {
    // Python writes an infinite number as a word that JSON does not have.
    let recording: Value = serde_json::from_str(&fs::read_to_string(file)?.replace("Infinity", "null"))?;
    let started = fs::read_to_string(file.with_extension("md"))?
        .split_once("started ")
        .map(|(_, rest)| rest.chars().take(20).collect::<String>())
        .ok_or("the recording does not say when it was started")?;
    let steps = steps(&recording)?;
    let whole = seconds_of(&started)?;
    let epoch = beginning(&steps, whole);
    let texts: Vec<(f64, String)> = steps
        .iter()
        .filter_map(|(time, step)| match step {
            Step::Command { line, stdout, stderr, .. } => {
                Some((*time, format!("{line}\n{stdout}\n{stderr}")))
            }
            Step::Note(_) => None,
        })
        .collect();
    let online = online(&texts, epoch)?;
    let ends: Vec<f64> = deeds(&steps, story)?
        .into_iter()
        .filter(|deed| deed.1.starts_with("cluster"))
        .map(|deed| deed.0)
        .collect();
    let leads = starts_of_the_lead(&steps, story);
    let jobs = jobs(&steps, &texts, &leads);
    let names: normal::Names = jobs.iter().map(|job| (job.id.clone(), job.name.clone())).collect();

    let mut lines: Vec<(f64, usize, String)> = Vec::new();
    for deed in deeds(&steps, story)? {
        lines.push((deed.0, 3, format!("@{:.3} {}\n", deed.0, deed.1)));
    }
    for job in jobs.iter().filter(|job| !job.seen) {
        let Some((_, command)) = story.unseen.iter().find(|(name, _)| *name == job.title || name == "*")
        else {
            continue;
        };
        lines.push((
            job.time,
            4,
            format!("@{:.3} unseen {} = {}\n", job.time, job.name, command.replace("NAME", &job.title)),
        ));
    }
    for (time, step) in &steps {
        match step {
            Step::Note(note) => {
                if let Some((rank, line)) = start(note) {
                    // Before the rank is started again, and before the instance has ended.
                    let again = steps.iter().filter(|(later, step)| {
                        later > time && matches!(step, Step::Note(note) if starts(note, rank))
                    });
                    let end = ends
                        .iter()
                        .copied()
                        .chain(again.map(|step| step.0))
                        .filter(|end| end > time)
                        .fold(f64::MAX, f64::min);
                    let line = match online
                        .iter()
                        .find(|(at, ranks)| at > time && *at < end && ranks.contains(rank))
                    {
                        Some((at, _)) => format!("{line} online={at:.3}"),
                        None => line,
                    };
                    lines.push((*time, 4, format!("@{time:.3} {line}\n")));
                }
            }
            Step::Command { line, code, stdout, stderr, seconds } => {
                // How an id is spelled is not a matter of which job it is.
                let nobody = normal::Names::new();
                let names = if line.starts_with("flux job id") { &nobody } else { &names };
                let mut text = format!(
                    "@{time:.3} {seconds:.3} $ {}\n= {code}",
                    normal::named(&line.replace('\n', " "), names)
                );
                let submitted = jobs.iter().find(|job| job.run_by.is_some_and(|by| (by - time).abs() < 1e-9));
                if let Some(job) = submitted {
                    write!(text, " {}", job.name)?;
                }
                text.push('\n');
                // Of what says nothing of the model's the fixture keeps that it was asked.
                if !NOT_KEPT.iter().any(|part| line.contains(part)) {
                    for answer in normal::stdout(&normal::named(stdout, names), epoch) {
                        writeln!(text, "  {answer}")?;
                    }
                }
                for class in normal::stderr(&normal::named(stderr, names), epoch) {
                    writeln!(text, "! {class}")?;
                }
                lines.push((*time, 2, text));
            }
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut text = format!("flux-core {version}, {experiment}, recorded {started} +{:.3}\n", epoch - whole);
    for job in &jobs {
        write!(text, "{} submitted {:.3}", job.name, job.time)?;
        match took(&texts, &job.id) {
            Some(took) => writeln!(text, " took {took}")?,
            None => text.push('\n'),
        }
    }
    lines.iter().for_each(|(_, _, line)| text.push_str(line));
    Ok(text)
}

/// The steps of a recording with their times.
fn steps(recording: &Value) -> Result<Vec<(f64, Step)>> {
    let mut steps = Vec::new();
    for step in recording.get("steps").and_then(Value::as_array).ok_or("a recording has steps")? {
        let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = step.get("t").and_then(Value::as_f64).ok_or("a step has a time")?;
        if step.get("note").is_some() {
            steps.push((time, Step::Note(text("note"))));
            continue;
        }
        let code = match step.get("rc") {
            Some(Value::String(code)) => code.clone(),
            Some(code) => code.to_string(),
            None => "?".to_owned(),
        };
        let seconds = step.get("ms").and_then(Value::as_f64).unwrap_or_default() / 1000.0;
        steps.push((
            time,
            Step::Command {
                line: text("cmd"),
                code,
                stdout: text("stdout"),
                stderr: text("stderr"),
                seconds,
            },
        ));
    }
    Ok(steps)
}

/// The deeds of a story with their times: sections begin at their headings, deeds follow commands.
fn deeds(steps: &[(f64, Step)], story: &Story) -> Result<Vec<(f64, String)>> {
    let mut placed = Vec::new();
    for deed in &story.deeds {
        let first = if deed.section.is_empty() {
            Some(0)
        } else {
            steps
                .iter()
                .position(|(_, step)| matches!(step, Step::Note(note) if note.starts_with(&deed.section)))
        };
        let Some(first) = first else { continue };
        let heading = if deed.section.is_empty() { 0.0 } else { steps.get(first).map_or(0.0, |step| step.0) };
        // Beginnings and ends of the commands of the section.
        let mut commands = vec![(heading, heading)];
        for (index, (end, step)) in steps.iter().enumerate().skip(first) {
            match step {
                Step::Note(note) if index > first && note.starts_with("##") => break,
                Step::Command { seconds, .. } => commands.push((end - seconds, *end + MOMENT)),
                Step::Note(_) => {}
            }
        }
        let time = match deed.place {
            Place::After(number, seconds) => commands.get(number).map(|(_, end)| end + seconds),
            Place::Before(number, seconds) => commands.get(number).map(|(begin, _)| begin - seconds),
        };
        if let Some(time) = time {
            placed.push((time, deed.text.clone()));
        }
    }
    Ok(placed)
}

/// The recording says to the second when it began. Nothing is printed before it happens, so that it began at
/// the latest so much after that second that everything printed was true.
fn beginning(steps: &[(f64, Step)], whole: f64) -> f64 {
    let mut beginning = whole;
    for (time, step) in steps {
        let Step::Command { line, stdout, .. } = step else { continue };
        if line.contains("eventlog") {
            let shown = stdout.lines().filter_map(|line| line.split(' ').next()?.parse::<f64>().ok());
            beginning = shown.fold(beginning, |beginning, shown| beginning.max(shown - time));
        }
        // The event of a submission is shown later, but was there when the id was printed.
        let id = normal::ids(stdout).first().cloned().filter(|_| line.starts_with("flux submit"));
        let shown = id.and_then(|id| submitted(steps, &id));
        beginning = shown.map_or(beginning, |shown| beginning.max(shown - time));
    }
    // A drain was noted before its command ended.
    let commands = steps.iter().filter_map(|(time, step)| match step {
        Step::Command { line, code, .. } if line.starts_with("flux resource drain ") && code == "0" => {
            Some(*time)
        }
        _ => None,
    });
    let mut notes = steps.iter().rev().filter_map(|(_, step)| match step {
        Step::Command { line, stdout, .. } if line.contains("resource.eventlog") => Some(stdout),
        _ => None,
    });
    let drains = notes
        .next()
        .into_iter()
        .flat_map(|log| log.lines())
        .filter(|line| line.contains(" drain ") && !line.contains("unresponsive"));
    let drains: Vec<f64> = drains.filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    let commands: Vec<f64> = commands.collect();
    if drains.len() == commands.len() {
        beginning = drains
            .iter()
            .zip(&commands)
            .fold(beginning, |beginning, (shown, time)| beginning.max(shown - time));
    }
    // What the first second after that holds is known; anything else is a mistake of the recording.
    beginning.min(whole + 1.0)
}

/// When a job was submitted, from the first eventlog that shows it.
fn submitted(steps: &[(f64, Step)], id: &str) -> Option<f64> {
    steps.iter().find_map(|(_, step)| match step {
        Step::Command { line, stdout, .. } if *line == format!("flux job eventlog ƒ{id}") => {
            stdout.lines().find(|line| line.contains(" submit "))?.split(' ').next()?.parse().ok()
        }
        _ => None,
    })
}

/// What a note says about a broker that was started.
fn start(note: &str) -> Option<(u32, String)> {
    let (rank, options) = note.strip_prefix("start rank ")?.split_once(": ")?;
    let mut line = format!("start {rank}");
    for (option, key) in [
        ("-Sbroker.quorum=", "quorum"),
        ("-Stbon.topo=", "topo"),
        ("-Stbon.torpid_max=", "torpid"),
        ("-Scontent.restore=", "restore"),
    ] {
        if let Some((_, value)) = options.split_once(option) {
            let value = value.split([' ', '`']).next().unwrap_or_default();
            let value = value.rsplit('/').next().unwrap_or(value);
            if value != "kary:256" {
                line += &format!(" {key}={value}");
            }
        }
    }
    Some((rank.parse().ok()?, line))
}

/// Whether a note says that this rank was started.
fn starts(note: &str, rank: u32) -> bool {
    start(note).is_some_and(|(started, _)| started == rank)
}

/// When which ranks were online, as the eventlogs of resources say.
fn online(texts: &[(f64, String)], epoch: f64) -> Result<Vec<(f64, Idset)>> {
    let mut online = Vec::new();
    for line in texts.iter().flat_map(|(_, text)| text.lines()) {
        let Some((time, ranks)) = line.split_once(" online idset=") else { continue };
        online.push((time.parse::<f64>()? - epoch, ranks.trim_matches('"').parse()?));
    }
    online.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(online)
}

/// A job id of a recording.
struct Job {
    id: String,
    /// `j1`, `j2`, …
    name: String,
    /// The NAME column of the first table that shows it.
    title: String,
    /// When it was submitted, in seconds since the start of the recording.
    time: f64,
    /// Whether a recorded command printed the id as its answer, or ran the job.
    seen: bool,
    /// The time of the `flux run` that submitted it.
    run_by: Option<f64>,
}

/// How long a job ran that completed: how long a program takes is not Flux's doing. Some tables say it to the
/// microsecond, others when it ran and was inactive, most in four digits.
fn took(texts: &[(f64, String)], id: &str) -> Option<String> {
    let lines: Vec<&str> = texts
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter(|line| line.trim_start().starts_with(&format!("ƒ{id} ")))
        .collect();
    let after = |line: &str, status: &str| -> Vec<String> {
        line.split_whitespace().skip_while(|word| *word != status).skip(1).map(str::to_owned).collect()
    };
    let numbers =
        |words: &[String]| -> Vec<f64> { words.iter().filter_map(|word| word.parse().ok()).collect() };
    let exact = lines.iter().find_map(|line| match numbers(&after(line, "COMPLETED")).as_slice() {
        [runtime, ..] if runtime.fract() != 0.0 => Some(format!("{runtime:.6}s")),
        _ => None,
    });
    let moments = lines.iter().find_map(|line| {
        let moments: Vec<f64> =
            numbers(&after(line, "CD")).into_iter().filter(|time| *time > 1.7e9).collect();
        match moments.as_slice() {
            [_, ran, inactive] => Some(format!("{:.6}s", inactive - ran - CLEANING)),
            _ => None,
        }
    });
    let time = |word: &String| word.ends_with(['s', 'm']) && word.starts_with(|c: char| c.is_ascii_digit());
    let short = || lines.iter().find_map(|line| after(line, "CD").into_iter().find(time));
    exact.or(moments).or_else(short)
}

/// When a lead was started: the ids of an instance count from there.
fn starts_of_the_lead(steps: &[(f64, Step)], story: &Story) -> Vec<f64> {
    let mut starts: Vec<f64> = steps
        .iter()
        .filter(|(_, step)| matches!(step, Step::Note(note) if note.starts_with("start rank 0:")))
        .map(|step| step.0)
        .collect();
    if let Ok(deeds) = deeds(steps, story) {
        starts.extend(deeds.iter().filter(|deed| deed.1.starts_with("start 0")).map(|deed| deed.0));
    }
    starts.sort_by(f64::total_cmp);
    starts
}

/// All jobs of a recording, in the order in which they were submitted.
fn jobs(steps: &[(f64, Step)], texts: &[(f64, String)], leads: &[f64]) -> Vec<Job> {
    let instance = |time: f64| leads.iter().filter(|start| **start <= time).count();
    let mut jobs: Vec<Job> = Vec::new();
    for (time, text) in texts {
        for id in normal::ids(text) {
            if id.len() >= 6 && !jobs.iter().any(|job| job.id == id) {
                jobs.push(Job {
                    id,
                    name: String::new(),
                    title: String::new(),
                    time: *time,
                    seen: false,
                    run_by: None,
                });
            }
        }
    }
    // The milliseconds of an id count from the start of the instance: how much later that is than the
    // recording, every submission says.
    let mut offsets: BTreeMap<usize, f64> = BTreeMap::new();
    for (time, step) in steps {
        let Step::Command { line, stdout, seconds, .. } = step else { continue };
        for job in &mut jobs {
            let answered = stdout.trim() == format!("ƒ{}", job.id);
            if answered && (line.starts_with("flux submit") || line.starts_with("flux batch")) {
                job.seen = true;
                job.time = time - seconds.min(0.03);
                let offset = time - 0.03 - milliseconds(&job.id) / 1000.0;
                let known = offsets.entry(instance(*time)).or_insert(offset);
                *known = known.min(offset);
            }
            for table in stdout.lines().filter(|table| table.contains(&format!("ƒ{} ", job.id))) {
                let mut columns = table.split_whitespace().skip(1);
                // The second column is the user, or the name if the table was asked for without users.
                let (second, third) =
                    (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
                let title = if second == "root" { third } else { second };
                if job.title.is_empty()
                    && line.starts_with("flux jobs")
                    && (second == "root" || line.contains("{name"))
                {
                    job.title = title.to_owned();
                }
            }
        }
    }
    for job in &mut jobs {
        if let Some(offset) = offsets.get(&instance(job.time)) {
            job.time = offset + milliseconds(&job.id) / 1000.0;
        }
    }
    for (time, step) in steps {
        let Step::Command { line, seconds, .. } = step else { continue };
        if line.starts_with("flux run") {
            let by = jobs
                .iter_mut()
                .find(|job| !job.seen && job.time > time - seconds - 0.1 && job.time < *time + 0.05);
            if let Some(job) = by {
                job.seen = true;
                job.run_by = Some(*time);
            }
        }
    }
    jobs.sort_by(|a, b| a.time.total_cmp(&b.time).then(milliseconds(&a.id).total_cmp(&milliseconds(&b.id))));
    for (index, job) in jobs.iter_mut().enumerate() {
        job.name = format!("j{}", index + 1);
    }
    jobs
}

/// The milliseconds of a job id (RFC 19: 40 bits of time, 14 of generator, 10 of sequence).
fn milliseconds(id: &str) -> f64 {
    let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut value: u64 = 0;
    for c in id.chars() {
        let digit = alphabet.find(c).unwrap_or_default() as u64;
        value = value.wrapping_mul(58).wrapping_add(digit);
    }
    (value >> 24) as f64
}

/// `2026-11-22T00:14:13Z` in seconds since 1970.
fn seconds_of(time: &str) -> Result<f64> {
    let number =
        |from: usize, to: usize| -> Result<i64> { Ok(time.get(from..to).ok_or("no time")?.parse()?) };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days since 1970 of the Gregorian calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok((days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?) as f64)
}
