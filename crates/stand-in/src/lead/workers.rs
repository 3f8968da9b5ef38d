//! The lead's connections.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::thread;

use towtank_flux::overlay::BrokerState;

use super::Lead;
use super::commands::Reply;
use crate::broker::{Broker, Event, Limit};
use crate::error::StandInError;
use crate::wire::{ToLead, ToWorker, messages, send};
use crate::worker::prepare;

/// What connections bring, each with its number.
pub(crate) enum Net {
    /// Somebody has said hello.
    Hello {
        connection: u64,
        stream: TcpStream,
        rank: u32,
        host: String,
        version: String,
        joined: bool,
    },
    Said {
        connection: u64,
        said: ToLead,
    },
    Gone {
        connection: u64,
    },
}

/// A worker that is connected.
pub(crate) struct Link {
    connection: u64,
    stream: TcpStream,
    /// It was told that it is taken in.
    joined: bool,
}

impl Link {
    pub(crate) fn say(&mut self, message: &ToWorker) {
        // The reading end of the connection notices when it is down.
        let _ = self.try_to_say(message);
    }

    pub(crate) fn try_to_say(&mut self, message: &ToWorker) -> std::io::Result<()> {
        send(&mut self.stream, message)
    }
}

/// Listens to workers.
pub(crate) fn listen(broker: &Broker, events: &Sender<Event<Net>>) -> Result<(), StandInError> {
    let listener = TcpListener::bind(broker.config.bind()?).map_err(StandInError::Machine)?;
    let events = events.clone();
    let limit = Limit::default();
    thread::spawn(move || {
        for (connection, stream) in (0..).zip(listener.incoming()) {
            let Ok(stream) = stream else { continue };
            let Some(place) = limit.enter() else { continue };
            let events = events.clone();
            thread::spawn(move || {
                read(connection, stream, &events);
                drop(place);
            });
        }
    });
    Ok(())
}

/// Hands on what a connection says, until it is down or silent for too long.
fn read(connection: u64, stream: TcpStream, events: &Sender<Event<Net>>) {
    let Ok(reader) = prepare(&stream).and_then(|()| stream.try_clone()) else { return };
    let mut said = messages(reader);
    let Some(ToLead::Hello { rank, host, version, joined }) = said.next() else { return };
    let hello = Net::Hello { connection, stream, rank, host, version, joined };
    if events.send(Event::Net(hello)).is_err() {
        return;
    }
    for said in said {
        if events.send(Event::Net(Net::Said { connection, said })).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Net(Net::Gone { connection }));
}

impl Lead {
    pub(super) fn hear(&mut self, net: Net) {
        match net {
            Net::Hello { connection, stream, rank, host, version, joined } => {
                let link = Link { connection, stream, joined: false };
                self.take_in(link, rank, &host, &version, joined);
            }
            Net::Said { connection, said } => {
                if let Some(rank) = self.rank_of(connection) {
                    self.hear_worker(rank, said);
                }
            }
            Net::Gone { connection } => {
                if let Some(rank) = self.rank_of(connection) {
                    self.links.remove(&rank);
                    let now = self.now();
                    // Refused when it has ended in the meantime.
                    let _ = self.instance.broker_killed(now, rank, &mut self.random);
                }
            }
        }
    }

    fn rank_of(&self, connection: u64) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.connection == connection).map(|(rank, _)| *rank)
    }

    fn take_in(&mut self, mut link: Link, rank: u32, host: &str, version: &str, joined: bool) {
        if joined {
            // It belonged to a lead that is gone, or was given up: nobody knows it (Flux spec B.4).
            link.say(&ToWorker::Exit { code: 1 });
            return;
        }
        let now = self.now();
        let taken = match version.parse() {
            Err(error) => Err(StandInError::Version(error)),
            Ok(version) => self.instance.stranger(rank, host, version).map_err(StandInError::from),
        };
        let taken = taken.and_then(|()| Ok(self.instance.broker_started(now, rank, &mut self.random)?));
        match taken {
            Ok(()) => {
                // One that was connected in its place hears nothing more, and its end is none of this one's.
                self.links.insert(rank, link);
            }
            Err(error) => link.say(&ToWorker::Refused { why: error.to_string() }),
        }
    }

    fn hear_worker(&mut self, rank: u32, said: ToLead) {
        match said {
            ToLead::Told => {
                let now = self.now();
                // Refused when it leaves already.
                let _ = self.instance.broker_terminated(now, rank, &mut self.random);
            }
            ToLead::Ask { id, words } => self.ask(rank, words, Reply::There { rank, id }),
            ToLead::Done { id, answer } => self.done(id, rank, answer),
            // A hello comes once.
            ToLead::Beat | ToLead::Hello { .. } => {}
        }
    }

    /// Tells workers that they are taken in, as soon as they are.
    pub(super) fn tell_joined(&mut self) {
        for (rank, link) in &mut self.links {
            let state = self.instance.overlay().state(*rank);
            if !link.joined && state.is_some_and(|(state, _)| state > BrokerState::Join) {
                link.joined = true;
                link.say(&ToWorker::Joined);
            }
        }
    }

    pub(super) fn say_to_all(&mut self, message: &ToWorker) {
        for link in self.links.values_mut() {
            link.say(message);
        }
    }
}
