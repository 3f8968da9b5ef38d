//! `flux hostlist …` (recording 08).

use super::Answer;
use crate::instance::Instance;
use crate::{Hostlist, Idset};

const PROGRAM: &str = "flux-hostlist";

/// What to do with all the lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    Concatenate,
    Intersect,
    Minus,
    Xor,
}

/// What to print.
enum Show<'a> {
    Encode,
    Expand,
    Count,
    Nth(&'a str),
    Find(&'a str),
}

struct Options<'a> {
    fold: Fold,
    show: Show<'a>,
    sort: bool,
    unique: bool,
    quiet: bool,
    delimiter: &'a str,
    exclude: Option<&'a str>,
    limit: Option<i64>,
    sources: Vec<String>,
}

/// Works without an instance, unless a source is the instance itself.
pub(super) fn run(instance: &Instance, words: &[&str], stdin: Option<String>) -> Answer {
    let newer = instance.setup().features.hostlist_finds;
    let Some(mut options) = parse(words, newer) else { return Answer::usage(2, PROGRAM) };
    if options.sources.is_empty() {
        options.sources = match stdin.filter(|_| newer) {
            Some(text) => text.split_whitespace().map(str::to_owned).collect(),
            None => vec!["instance".to_owned()],
        };
    }
    let mut lists = Vec::new();
    for source in &options.sources {
        match read(instance, source) {
            Ok(list) => lists.push(list),
            Err(message) => return Answer::error(PROGRAM, message),
        }
    }
    let mut lists = lists.into_iter();
    let mut list = lists.next().unwrap_or_default();
    for next in lists {
        list = match options.fold {
            Fold::Concatenate => {
                list.append(&next);
                list
            }
            Fold::Intersect => list.intersection(&next),
            Fold::Minus => list.difference(&next),
            Fold::Xor => list.symmetric_difference(&next),
        };
    }
    if let Some(exclude) = options.exclude {
        list = without(&list, exclude, newer);
    }
    if options.sort {
        list.sort();
    }
    if options.unique {
        list.unique();
    }
    if let Some(limit) = options.limit {
        list = limited(&list, limit);
    }
    show(&list, &options)
}

fn parse<'a>(words: &[&'a str], newer: bool) -> Option<Options<'a>> {
    let mut options = Options {
        fold: Fold::Concatenate,
        show: Show::Encode,
        sort: false,
        unique: false,
        quiet: false,
        delimiter: " ",
        exclude: None,
        limit: None,
        sources: Vec::new(),
    };
    let mut words = words.iter().copied();
    let mut rest = false;
    while let Some(word) = words.next() {
        match word {
            _ if rest || !word.starts_with('-') => options.sources.push(word.to_owned()),
            "--" => rest = true,
            "-e" => options.show = Show::Expand,
            "-c" => options.show = Show::Count,
            "-n" => options.show = Show::Nth(words.next()?),
            "-F" if newer => options.show = Show::Find(words.next()?),
            "-d" => options.delimiter = words.next()?,
            "-x" => options.exclude = Some(words.next()?),
            "-L" => options.limit = Some(words.next()?.parse().ok()?),
            "-S" => options.sort = true,
            "-u" => (options.sort, options.unique) = (true, true),
            "-i" => options.fold = Fold::Intersect,
            "-m" => options.fold = Fold::Minus,
            "-X" => options.fold = Fold::Xor,
            "-q" => options.quiet = true,
            // Allow jobs that are not there.
            "-f" | "-l" => {}
            _ => return None,
        }
    }
    Some(options)
}

/// A source is a list of hosts, or a job id or word that only a running instance knows.
fn read(instance: &Instance, source: &str) -> Result<Hostlist, String> {
    let lost = || "Unable to connect to Flux: broker socket /run/flux/local was not found".to_owned();
    let job = source.parse::<crate::JobId>().is_ok() && source.starts_with(['f', 'ƒ']);
    match source {
        "instance" | "avail" if instance.lead().is_none() => Err(lost()),
        "instance" => Ok(instance.setup().hosts.clone()),
        "avail" => {
            let up = instance.resources().map(crate::resource::Resources::up).unwrap_or_default();
            Ok(instance.setup().hosts.select(&up))
        }
        _ if job && instance.lead().is_none() => Err(lost()),
        _ => source.parse().map_err(|_| format!("Invalid jobid or hostlist {source}")),
    }
}

/// `-x`: hosts, and in later versions positions.
fn without(list: &Hostlist, exclude: &str, newer: bool) -> Hostlist {
    if let (Ok(positions), true) = (exclude.parse::<Idset>(), newer) {
        let all = Idset::below(u32::try_from(list.len()).unwrap_or(Idset::MAX));
        return list.select(&all.difference(&positions));
    }
    let mut list = list.clone();
    if let Ok(hosts) = exclude.parse::<Hostlist>() {
        list = list.iter().filter(|host| !hosts.contains(host)).fold(Hostlist::new(), |mut kept, host| {
            kept.push(&host);
            kept
        });
    }
    list
}

/// `-L N`: the first N, or the last if N is negative.
fn limited(list: &Hostlist, limit: i64) -> Hostlist {
    let size = list.len();
    let count = usize::try_from(limit.unsigned_abs()).unwrap_or(usize::MAX).min(size);
    let first = if limit < 0 { size - count } else { 0 };
    let ids = |at: usize| u32::try_from(at).unwrap_or(Idset::MAX);
    if count == 0 { Hostlist::new() } else { list.select(&Idset::range(ids(first), ids(first + count - 1))) }
}

fn show(list: &Hostlist, options: &Options<'_>) -> Answer {
    if options.quiet {
        return if list.is_empty() {
            Answer { code: super::Code::Exit(1), ..Answer::ok("") }
        } else {
            Answer::ok("")
        };
    }
    match options.show {
        Show::Encode => Answer::ok(format!("{list}\n")),
        Show::Expand => Answer::ok(format!("{}\n", list.iter().collect::<Vec<_>>().join(options.delimiter))),
        Show::Count => Answer::ok(format!("{}\n", list.len())),
        Show::Nth(position) => {
            let Ok(at) = position.parse::<i64>() else { return Answer::usage(2, PROGRAM) };
            let at = if at < 0 { i64::try_from(list.len()).unwrap_or(i64::MAX) + at } else { at };
            match usize::try_from(at).ok().and_then(|at| list.get(at)) {
                Some(host) => Answer::ok(format!("{host}\n")),
                None => Answer::error(PROGRAM, "Hostlist index out of range"),
            }
        }
        Show::Find(host) => match list.find(host) {
            Some(at) => Answer::ok(format!("{at}\n")),
            None => Answer::error(PROGRAM, format!("host '{host}' not found")),
        },
    }
}
