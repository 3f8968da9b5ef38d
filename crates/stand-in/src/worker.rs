//! A worker: it finds the lead, and does what the lead says. It decides by itself only where there is no lead to decide.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Event, listen, run_command};
use crate::error::StandInError;
use crate::wire::{Answer, BEAT, SEND_LIMIT, SILENCE, ToLead, ToWorker, messages, send};

/// How long between two tries to reach the lead (Flux spec B.3).
const RETRY: Duration = Duration::from_millis(100);
/// How long one try may take: `tbon.connect_timeout`, where it is not set.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a worker that was told to leave waits for the lead's leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);
/// Users that ask at a time.
const QUESTIONS_MAX: usize = 1024;

/// What the connection brings.
enum Net {
    Up(TcpStream),
    Said(ToWorker),
    Down,
}

struct Worker {
    broker: Broker,
    events: Sender<Event<Net>>,
    lead: Option<TcpStream>,
    /// It has been with a lead.
    joined: bool,
    /// When it was told to leave.
    told: Option<Instant>,
    questions: BTreeMap<u64, Sender<Answer>>,
    number: u64,
}

/// Runs a worker to its end.
pub(crate) fn run(broker: Broker, socket: &Path) -> Result<u8, StandInError> {
    let (events, received) = mpsc::channel();
    listen(&broker, socket, &events)?;
    let worker = Worker {
        broker,
        events,
        lead: None,
        joined: false,
        told: None,
        questions: BTreeMap::new(),
        number: 0,
    };
    worker.connect();
    Ok(worker.serve(&received))
}

impl Worker {
    fn serve(mut self, received: &Receiver<Event<Net>>) -> u8 {
        loop {
            let code = match received.recv_timeout(BEAT) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {
                    self.say(&ToLead::Beat);
                    None
                }
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => Some(1),
            };
            let late = self.told.is_some_and(|told| told.elapsed() > LEAVE_LIMIT);
            if let Some(code) = code.or_else(|| late.then_some(1)) {
                self.broker.log(format!("exiting with {code}"));
                return code;
            }
        }
    }

    /// Something happens; perhaps it is the end, with this exit code.
    fn handle(&mut self, event: Event<Net>) -> Option<u8> {
        match event {
            Event::Told => return self.leave(),
            Event::Asked { words, reply } => self.ask(words, reply),
            Event::Ran { id, answer } => self.say(&ToLead::Done { id, answer }),
            Event::Net(Net::Up(stream)) => self.greet(stream),
            Event::Net(Net::Down) => {
                self.lead = None;
                self.broker.log("lost the lead");
                // There is nobody to say goodbye to.
                if self.told.is_some() {
                    return Some(0);
                }
                self.connect();
            }
            Event::Net(Net::Said(said)) => match said {
                ToWorker::Exit { code } => return Some(code),
                ToWorker::Joined => self.joined = true,
                ToWorker::Refused { why } => {
                    self.broker.log(why);
                    return Some(1);
                }
                ToWorker::Answer { id, answer } => {
                    if let Some(reply) = self.questions.remove(&id) {
                        // Whoever asked may be gone.
                        let _ = reply.send(answer);
                    }
                }
                ToWorker::Run { id, words } => {
                    run_command(id, words, self.broker.uri.clone(), self.events.clone());
                }
                ToWorker::Beat => {}
            },
        }
        None
    }

    /// SIGTERM: the lead decides how long it takes and what it ends with. Without one: who never joined ends with 1, who did with 0.
    fn leave(&mut self) -> Option<u8> {
        if self.lead.is_none() {
            return Some(u8::from(!self.joined));
        }
        self.told.get_or_insert_with(Instant::now);
        self.say(&ToLead::Told);
        None
    }

    fn ask(&mut self, words: Vec<String>, reply: Sender<Answer>) {
        if self.lead.is_none() || self.questions.len() >= QUESTIONS_MAX {
            // Whoever asked may be gone.
            let _ = reply.send(Answer::failed("flux: ERROR: the broker has no lead"));
            return;
        }
        self.number += 1;
        match self.try_to_say(&ToLead::Ask { id: self.number, words }) {
            Ok(()) => _ = self.questions.insert(self.number, reply),
            // Whoever asked may be gone.
            Err(error) => _ = reply.send(Answer::failed(format!("flux: ERROR: {error}"))),
        }
    }

    fn say(&mut self, message: &ToLead) {
        // The reading end of the connection notices when it is down.
        let _ = self.try_to_say(message);
    }

    fn try_to_say(&mut self, message: &ToLead) -> std::io::Result<()> {
        self.lead.as_mut().map_or(Ok(()), |lead| send(lead, message))
    }

    /// A connection to the lead: from here on somebody reads from it.
    fn greet(&mut self, stream: TcpStream) {
        let Ok(reader) = stream.try_clone() else { return self.connect() };
        self.lead = Some(stream);
        let hello = ToLead::Hello {
            rank: self.broker.rank,
            host: self.broker.host.clone(),
            version: self.broker.version.full().to_owned(),
            joined: self.joined,
        };
        self.say(&hello);
        self.broker.log("connected to the lead");
        let events = self.events.clone();
        thread::spawn(move || {
            for said in messages(reader) {
                if events.send(Event::Net(Net::Said(said))).is_err() {
                    return;
                }
            }
            let _ = events.send(Event::Net(Net::Down));
        });
    }

    /// Tries until the lead is there; then [`Net::Up`] comes.
    fn connect(&self) {
        let limit =
            self.broker.options.attribute("tbon.connect_timeout").and_then(seconds).unwrap_or(CONNECT_LIMIT);
        let (config, events) = (self.broker.config.clone(), self.events.clone());
        thread::spawn(move || {
            loop {
                // A name may be there only once the lead's pod is.
                let addresses = config.connect().unwrap_or_default();
                let stream =
                    addresses.iter().find_map(|address| TcpStream::connect_timeout(address, limit).ok());
                if let Some(stream) = stream.filter(|stream| prepare(stream).is_ok()) {
                    let _ = events.send(Event::Net(Net::Up(stream)));
                    return;
                }
                thread::sleep(RETRY);
            }
        });
    }
}

/// Limits for both directions.
pub(crate) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SEND_LIMIT))
}

/// `5s`, as far as it is needed: Flux Standard Duration (RFC 23) without days.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = towtank_flux::duration::parse_fsd(text).ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_limit_of_a_try() {
        assert_eq!(seconds("5s"), Some(Duration::from_secs(5)));
        assert_eq!(seconds("0s"), None);
        assert_eq!(seconds("no"), None);
    }
}
