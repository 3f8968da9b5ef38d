//! The server on a port of this machine, in real or scaled time: for kubectl, and for clients in any language.
//!
//! There is one thread. Connections are tasks that send letters as programs on virtual time do, and one loop owns the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::{BoxError, Service as _};
use towtank_model::time::Time;

use super::mailbox::{ConnectionId, Inbox, Letter, Reply, WatchSender, Wire, WireBody};
use super::pump::{Clock, Site};
use crate::{Answer, Caller, WatchId, WatchPoll};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// How long the loop sleeps when nothing is due: a limit, so that the clock of the site never stands still for long.
const NAP: Duration = Duration::from_millis(500);

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A site in real or scaled time.
pub struct Loopback<S> {
    site: S,
    inbox: Inbox,
    /// Who each connection is at the server; the first is everybody who comes over the network.
    callers: Vec<Caller>,
    watches: BTreeMap<WatchId, WatchSender>,
    /// Seconds of the site in one second of the machine.
    speed: f64,
    /// When the loop began, here and there.
    origin: (Instant, Time),
    clock: Clock,
}

impl<S: Site> Loopback<S> {
    /// The site goes on from its present instant, `speed` times as fast as the machine's clock. Whoever comes over the network is `network`.
    pub fn new(site: S, network: Caller, speed: f64) -> Self {
        let origin = (Instant::now(), site.now());
        let (inbox, callers) = (Inbox::new(), vec![network]);
        Self { site, inbox, callers, watches: BTreeMap::new(), speed, origin, clock: Clock::default() }
    }

    /// The site's clock, for a program in this process.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// A way to the server for a program in this process.
    pub fn connect(&mut self, caller: Caller) -> Wire {
        self.callers.push(caller);
        self.inbox.wire(ConnectionId(self.callers.len() - 1))
    }

    /// Serves until `stop` is over.
    ///
    /// # Errors
    ///
    /// The site cannot go on.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let network = self.inbox.wire(ConnectionId(0));
        let accepting = tokio::spawn(accept(listener, network));
        let result = self.run(stop).await;
        accepting.abort();
        result
    }

    async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let now = self.time();
            self.site.run_until(now)?;
            self.tell();
            let limit = now + NAP.mul_f64(self.speed);
            let next = self.site.next_time(limit).unwrap_or(limit);
            let next = self.instant(next);
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                Some(letter) = self.inbox.receive() => {
                    let now = self.time();
                    self.site.run_until(now)?;
                    self.answer(letter);
                    // What has come meanwhile is answered before anything else happens.
                    while let Some(letter) = self.inbox.take() {
                        self.answer(letter);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// The site's time now.
    fn time(&self) -> Time {
        let (began, origin) = self.origin;
        let now = (origin + began.elapsed().mul_f64(self.speed)).max(self.site.now());
        self.clock.set(now);
        now
    }

    /// When the site's time will be `time`.
    fn instant(&self, time: Time) -> Instant {
        let (began, origin) = self.origin;
        began + (time - origin).div_f64(self.speed)
    }

    fn answer(&mut self, letter: Letter) {
        let Letter { from, request, reply } = letter;
        let Some(caller) = self.callers.get(from.0) else { return };
        let answer = match self.site.handle(caller, request) {
            Answer::Response(response) => Reply::Response(response),
            Answer::Watch(watch) => {
                let (sender, lines) = WatchSender::new();
                self.watches.insert(watch, sender);
                self.drain(watch);
                Reply::Watch(lines)
            }
        };
        // A client that is gone wants no answer; its watch ends with the next event.
        let _ = reply.send(answer);
        self.tell();
    }

    fn tell(&mut self) {
        for watch in self.site.ready_watches() {
            self.drain(watch);
        }
    }

    fn drain(&mut self, watch: WatchId) {
        let is_open = loop {
            let Some(sender) = self.watches.get(&watch).filter(|sender| sender.is_read()) else {
                break false;
            };
            match self.site.poll_watch(watch) {
                WatchPoll::Empty => break true,
                WatchPoll::Event(line) if sender.send(line.clone()) => {}
                WatchPoll::Event(_) | WatchPoll::Closed => break false,
            }
        };
        if !is_open {
            self.watches.remove(&watch);
            self.site.close_watch(watch);
        }
    }
}

async fn accept(listener: TcpListener, wire: Wire) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let wire = wire.clone();
                tokio::spawn(async move {
                    converse(stream, wire).await;
                    drop(place);
                });
            }
            // Out of file descriptors, say: others may close theirs meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse(stream: TcpStream, wire: Wire) {
    // An answer of a few bytes must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = service_fn(move |request| carry(wire.clone(), request));
    // A client that goes away in the middle is no concern of the server's.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn carry(mut wire: Wire, request: Request<Incoming>) -> Result<Response<WireBody>, BoxError> {
    wire.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BODY_BYTES_MAX;

    /// The client sends all of a body that is one byte too long, and hears why it was refused.
    #[test]
    fn a_body_that_is_too_long_is_413() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let answer = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a way");
            let (stream, _) = listener.accept().await.expect("the client");
            tokio::spawn(converse(stream, Inbox::new().wire(ConnectionId(0))));
            let length = BODY_BYTES_MAX + 1;
            let head = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            let sent = [head.as_bytes(), &vec![b' '; length]].concat();
            let mut rest = &sent[..];
            while !rest.is_empty() {
                client.writable().await.expect("an open connection");
                rest = &rest[client.try_write(rest).unwrap_or(0)..];
            }
            let (mut answer, mut part) = (Vec::new(), [0; 1024]);
            loop {
                client.readable().await.expect("an open connection");
                match client.try_read(&mut part) {
                    Ok(0) => break String::from_utf8_lossy(&answer).into_owned(),
                    Ok(len) => answer.extend_from_slice(&part[..len]),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
            }
        });
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":413"), "{answer}");
    }
}
