//! `flux broker`: what a lead and a worker have in common.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use towtank_flux::Hostlist;
use towtank_flux::version::FluxVersion;

use crate::config::{Config, Options, host_name};
use crate::error::{StandInError, at};
use crate::wire::{Answer, SEND_LIMIT, messages, send};
use crate::{flux_version, lead, remote, worker};

/// So many connections a broker has at a time, of each kind.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// How long a user waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(80);

/// A broker that is about to start.
pub(crate) struct Broker {
    pub(crate) rank: u32,
    pub(crate) host: String,
    pub(crate) hosts: Hostlist,
    pub(crate) version: FluxVersion,
    pub(crate) options: Options,
    pub(crate) config: Config,
    /// Where users beside it reach it.
    pub(crate) uri: String,
}

impl Broker {
    /// A line of its log.
    pub(crate) fn log(&self, line: impl std::fmt::Display) {
        eprintln!("broker.info[{}]: {line}", self.rank);
    }
}

/// What happens to a broker; `N` is what its connections bring.
pub(crate) enum Event<N> {
    /// A user asks, beside it.
    Asked { words: Vec<String>, reply: Sender<Answer> },
    /// SIGTERM or SIGINT.
    Told,
    /// A command that `flux exec` had run here has ended.
    Ran { id: u64, answer: Answer },
    /// A connection says something.
    Net(N),
}

/// Runs a broker to its end and returns its exit code.
pub(crate) fn run(words: &[&str]) -> Result<u8, StandInError> {
    let options = Options::read(words)?;
    let config = options.config()?;
    let (host, hosts, version) = (host_name()?, config.hosts()?, flux_version()?);
    let rank = hosts.find(&host).and_then(|at| u32::try_from(at).ok());
    let rank = rank.ok_or_else(|| towtank_flux::instance::ConfigError::UnknownHost {
        host: host.clone(),
        hosts: hosts.to_string(),
    })?;
    // The name by which users look for it.
    let _ = fs::write("/proc/self/comm", "flux-broker");
    let socket = options.socket(rank);
    let uri = format!("local://{}", socket.display());
    let broker = Broker { rank, host, hosts, version, options, config, uri };
    let code = if rank == 0 { lead::run(broker, &socket) } else { worker::run(broker, &socket) };
    let _ = fs::remove_file(&socket);
    code
}

/// Listens to signals and to users.
pub(crate) fn listen<N: Send + 'static>(
    broker: &Broker,
    socket: &Path,
    events: &Sender<Event<N>>,
) -> Result<(), StandInError> {
    listen_to_signals(events.clone())?;
    if let Some(dir) = socket.parent() {
        at(dir, fs::create_dir_all(dir))?;
    }
    // That of a broker which was killed.
    let _ = fs::remove_file(socket);
    let listener = at(socket, UnixListener::bind(socket))?;
    let (rank, events) = (broker.rank, events.clone());
    let limit = Limit::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(place) = limit.enter() else { continue };
            let events = events.clone();
            thread::spawn(move || {
                // Whoever asked may be gone.
                let _ = answer_user(stream, rank, &events);
                drop(place);
            });
        }
    });
    Ok(())
}

fn answer_user<N>(mut stream: UnixStream, rank: u32, events: &Sender<Event<N>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SEND_LIMIT))?;
    stream.set_write_timeout(Some(SEND_LIMIT))?;
    let Some(words) = messages::<Vec<String>>(stream.try_clone()?).next() else { return Ok(()) };
    let words_: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match words_.as_slice() {
        // What only this process knows.
        ["getattr", "broker.pid"] => own(std::process::id()),
        ["getattr", "rank"] => own(rank),
        _ => {
            let (reply, answer) = mpsc::channel();
            let gone = || Answer::failed("the broker does not answer");
            match events.send(Event::Asked { words, reply }) {
                Ok(()) => answer.recv_timeout(ANSWER_LIMIT).unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
    };
    send(&mut stream, &answer)
}

fn own(value: u32) -> Answer {
    Answer { stdout: format!("{value}\n"), ..Answer::default() }
}

/// Runs a command beside this broker, and says what it came to.
pub(crate) fn run_command<N: Send + 'static>(
    id: u64,
    words: Vec<String>,
    uri: String,
    events: Sender<Event<N>>,
) {
    thread::spawn(move || {
        let answer = remote::run(&words, &uri);
        // The broker may have ended.
        let _ = events.send(Event::Ran { id, answer });
    });
}

fn listen_to_signals<N: Send + 'static>(events: Sender<Event<N>>) -> Result<(), StandInError> {
    let runtime =
        runtime::Builder::new_current_thread().enable_io().build().map_err(StandInError::Machine)?;
    let context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(StandInError::Machine)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StandInError::Machine)?;
    drop(context);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if events.send(Event::Told).is_err() {
                    break;
                }
            }
        });
    });
    Ok(())
}

/// How many connections there are.
#[derive(Clone, Default)]
pub(crate) struct Limit(Arc<AtomicUsize>);

/// One of them.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Limit {
    /// A place, while there is one.
    pub(crate) fn enter(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.0));
        (self.0.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let limit = Limit::default();
        let places: Vec<_> = (0..CONNECTIONS_MAX).map_while(|_| limit.enter()).collect();
        assert_eq!(places.len(), CONNECTIONS_MAX);
        assert!(limit.enter().is_none());
        drop(places);
        assert!(limit.enter().is_some());
    }
}
