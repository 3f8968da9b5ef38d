//! What users ask of the instance.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use towtank_flux::Idset;
use towtank_flux::command::{self, Code};

use super::Lead;
use crate::broker::run_command;
use crate::remote;
use crate::wire::{Answer, ToWorker};

/// Commands that may run on other ranks at a time.
const RUNNING_MAX: usize = 256;
/// What `flux exec` waits beyond what a command may take.
const MARGIN: Duration = Duration::from_secs(5);
/// `EHOSTUNREACH`: what `flux exec` ends with when a rank cannot be reached.
const UNREACHABLE: u8 = 68;
const NO_ROUTE: &str = "No route to host";
/// What an instance without jobs can be asked.
const COMMANDS: [&str; 8] =
    ["drain", "getattr", "hostlist", "module", "overlay", "resource", "undrain", "uptime"];

/// Where an answer goes.
pub(crate) enum Reply {
    /// To a user beside the lead.
    Here(Sender<Answer>),
    /// To a user beside a worker.
    There { rank: u32, id: u64 },
}

/// A command that runs on ranks.
pub(crate) struct Running {
    reply: Reply,
    waits_for: Idset,
    answers: BTreeMap<u32, Answer>,
    since: Instant,
}

impl Lead {
    /// A user beside the broker of a rank asks something.
    pub(super) fn ask(&mut self, rank: u32, words: Vec<String>, reply: Reply) {
        let words_: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = match words_.as_slice() {
            ["exec", options @ ..] => match self.exec(rank, options) {
                Ok((ranks, command)) => return self.run_on(&ranks, command, reply),
                Err(answer) => answer,
            },
            ["ping", options @ ..] => self.ping(rank, options),
            ["shutdown"] => {
                self.leave();
                Answer::default()
            }
            [name, ..] if COMMANDS.contains(name) => self.run_line(rank, &words_),
            _ => {
                let command = words_.first().copied().unwrap_or_default();
                Answer::failed(format!("flux: `{command}' is nothing that this stand-in for Flux does"))
            }
        };
        self.reply(reply, answer);
    }

    /// What `towtank-flux` answers to a line.
    fn run_line(&mut self, rank: u32, words: &[&str]) -> Answer {
        let unknown =
            || Answer::failed(format!("flux-{}: the stand-in knows no such options", words.join(" ")));
        let Some(line) = line(words) else { return unknown() };
        let now = self.now();
        let asked = command::run_at(&mut self.instance, rank, now, Duration::ZERO, &line, &mut self.random);
        let Some((answer, _)) = asked else { return unknown() };
        let code = match answer.code {
            Code::Exit(code) => u8::try_from(code).unwrap_or(1),
            Code::Waits => return Answer::failed(format!("flux-{}: no answer", words.join(" "))),
        };
        Answer { code, stdout: answer.stdout, stderr: answer.stderr }
    }

    /// `flux ping [--count=N] RANK`: whoever asks and whoever answers must be online.
    fn ping(&mut self, rank: u32, options: &[&str]) -> Answer {
        let target = options
            .iter()
            .rev()
            .find(|word| !word.starts_with('-'))
            .and_then(|word| word.parse::<u32>().ok());
        let online = self.instance.overlay().online();
        match target {
            Some(target) if online.contains(rank) && online.contains(target) => Answer {
                stdout: format!("{target}: broker.ping pad=0 seq=0 time=0.000 ms\n"),
                ..Answer::default()
            },
            Some(target) => Answer::failed(format!("flux-ping: {target}!broker.ping: No route to host")),
            None => Answer::failed("flux-ping: a rank is missing"),
        }
    }

    /// `flux exec [-r RANKS] [-x RANKS] COMMAND…`: the ranks, and what runs there.
    fn exec(&self, rank: u32, words: &[&str]) -> Result<(Idset, Vec<String>), Answer> {
        let online = self.instance.overlay().online();
        if !online.contains(rank) {
            return Err(Answer::failed("flux-exec: ERROR: the broker is not online"));
        }
        let read = |text: &str| match text {
            "all" => Ok(online.clone()),
            text => text.parse::<Idset>().map_err(|error| Answer::failed(format!("flux-exec: {error}"))),
        };
        let (mut ranks, mut without, mut rest) = (online.clone(), Idset::new(), words);
        loop {
            rest = match rest {
                ["-r" | "--rank", text, rest @ ..] => {
                    ranks = read(text)?;
                    rest
                }
                ["-x" | "--exclude", text, rest @ ..] => {
                    without = read(text)?;
                    rest
                }
                [word, ..] if word.starts_with('-') => {
                    return Err(Answer::failed(format!(
                        "flux-exec: {word}: the stand-in does not know this option"
                    )));
                }
                [] => return Err(Answer::failed("flux-exec: a command is missing")),
                command => {
                    let command = command.iter().map(|word| (*word).to_owned()).collect();
                    return Ok((ranks.difference(&without), command));
                }
            }
        }
    }

    fn run_on(&mut self, ranks: &Idset, words: Vec<String>, reply: Reply) {
        if self.running.len() >= RUNNING_MAX {
            return self.reply(reply, Answer::failed("flux-exec: too many commands run already"));
        }
        self.number += 1;
        let id = self.number;
        let mut running =
            Running { reply, waits_for: Idset::new(), answers: BTreeMap::new(), since: Instant::now() };
        for rank in ranks.iter() {
            if rank == 0 {
                run_command(id, words.clone(), self.broker.uri.clone(), self.events.clone());
                running.waits_for.insert(rank);
            } else if let Some(link) = self.links.get_mut(&rank) {
                match link.try_to_say(&ToWorker::Run { id, words: words.clone() }) {
                    Ok(()) => _ = running.waits_for.insert(rank),
                    Err(error) => _ = running.answers.insert(rank, unreachable(rank, error)),
                }
            } else {
                running.answers.insert(rank, unreachable(rank, NO_ROUTE));
            }
        }
        self.running.insert(id, running);
        self.finish(id);
    }

    /// A rank has run its part.
    pub(super) fn done(&mut self, id: u64, rank: u32, answer: Answer) {
        if let Some(running) = self.running.get_mut(&id)
            && running.waits_for.remove(rank)
        {
            running.answers.insert(rank, answer);
            self.finish(id);
        }
    }

    /// Answers when all ranks have, or are gone.
    fn finish(&mut self, id: u64) {
        let Some(running) = self.running.get(&id).filter(|running| running.waits_for.is_empty()) else {
            return;
        };
        let mut answer = Answer::default();
        for part in running.answers.values() {
            answer.code = answer.code.max(part.code);
            answer.stdout.push_str(&part.stdout);
            answer.stderr.push_str(&part.stderr);
        }
        if let Some(running) = self.running.remove(&id) {
            self.reply(running.reply, answer);
        }
    }

    /// Ranks that are gone, or take too long, answer nothing any more.
    pub(super) fn forget_late_commands(&mut self) {
        let mut finished = Vec::new();
        for (id, running) in &mut self.running {
            let late = running.since.elapsed() > remote::LIMIT + MARGIN;
            let gone = |rank: &u32| *rank != 0 && !self.links.contains_key(rank);
            let given_up: Vec<u32> = running.waits_for.iter().filter(|rank| late || gone(rank)).collect();
            for rank in given_up {
                running.waits_for.remove(rank);
                running.answers.insert(rank, unreachable(rank, NO_ROUTE));
                finished.push(*id);
            }
        }
        for id in finished {
            self.finish(id);
        }
    }

    fn reply(&mut self, reply: Reply, answer: Answer) {
        match reply {
            // Whoever asked may be gone.
            Reply::Here(reply) => drop(reply.send(answer)),
            Reply::There { rank, id } => {
                if let Some(link) = self.links.get_mut(&rank) {
                    link.say(&ToWorker::Answer { id, answer });
                }
            }
        }
    }
}

fn unreachable(rank: u32, why: impl std::fmt::Display) -> Answer {
    Answer { code: UNREACHABLE, ..Answer::failed(format!("flux-exec: Error: rank {rank}: {why}")) }
}

/// A command line, as a shell would have to be given it to get these words; none when it cannot be written with one kind of quotes.
fn line(words: &[&str]) -> Option<String> {
    let mut line = "flux".to_owned();
    for word in words {
        let quote = if word.contains('\'') { '"' } else { '\'' };
        if word.contains(quote) {
            return None;
        }
        line.push_str(&format!(" {quote}{word}{quote}"));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_from_a_line() {
        let words = ["resource", "drain", "sample-2", "it's a \u{2713} | ; goodbye"];
        let back = command::words(&line(&words).expect("a line")).expect("words");
        assert_eq!(back, ["flux", "resource", "drain", "sample-2", "it's a \u{2713} | ; goodbye"]);
        assert_eq!(line(&["'\""]), None);
    }
}
