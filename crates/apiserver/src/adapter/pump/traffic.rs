//! Requests and events on their way, and what becomes of them there.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use tokio::sync::mpsc;
use towtank_model::engine::{Distribution, Purpose};
use towtank_model::time::Time;

use super::{LOG_MAX, Latencies, LoggedRequest, OpenWatch, ProgramId, Pump, Site, Step};
use crate::adapter::faults::{self, Moment, RequestFault, WatchFault};
use crate::adapter::mailbox::{ConnectionId, Letter, Reply, WatchSender};
use crate::error::ApiError;
use crate::{Answer, WatchId, WatchPoll};

impl<S: Site> Pump<S> {
    // ---- requests ----

    fn draw(&mut self, latency: impl Fn(&Latencies) -> &Distribution) -> Duration {
        let latency = latency(&self.latencies);
        if latency.is_zero() { Duration::ZERO } else { latency.draw(&mut self.random, Purpose::Network) }
    }

    /// A request sets out. As many numbers are drawn for each, whatever becomes of it.
    pub(super) fn receive(&mut self, letter: Letter) {
        let Some(id) = self.owner(letter.from) else { return };
        let running = &mut self.programs[id.0];
        let number = running.requests;
        running.requests += 1;
        let (method, uri) = (letter.request.method(), letter.request.uri());
        let planted = self.planted.next_request(method, uri);
        let fault = running.program.faults.requests.get(&number).copied().or(planted);
        let there = self.draw(|latencies| &latencies.request);
        let back = self.draw(|latencies| &latencies.request);
        let at = self.site.now() + there + fault.map_or(Duration::ZERO, RequestFault::delay);
        let step = Step::Arrive { letter, number, fault, back };
        if at == self.site.now() { self.take(step) } else { self.schedule(at, step) }
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Arrive { letter, number, fault, back } => self.arrive(letter, number, fault, back),
            Step::Answer { to, reply, with } => {
                if self.owner(to).is_some() {
                    self.is_restless |= reply.send(with).is_ok();
                }
            }
            Step::Line { watch, line } => self.line_arrives(watch, line),
            Step::Start(id) => self.start(id),
        }
    }

    fn arrive(&mut self, letter: Letter, number: u64, fault: Option<RequestFault>, back: Duration) {
        let Letter { from, request, reply } = letter;
        let Some(id) = self.connections.get(from.0).copied() else { return };
        // What a process has sent before its end arrives all the same.
        let fault = fault.filter(|fault| fault.concerns(request.method()));
        if fault == Some(RequestFault::Crash(Moment::Before)) {
            return self.crash(id);
        }
        let line = self.log.as_ref().map(|_| format!("{} {}", request.method(), request.uri()));
        let uri = request.uri().clone();
        let is_executed = fault.is_none_or(RequestFault::is_executed);
        let answer = is_executed.then(|| {
            let caller = &self.programs[id.0].program.caller;
            self.site.handle(caller, request)
        });
        let status = match &answer {
            Some(Answer::Response(response)) => response.status().as_u16(),
            Some(Answer::Watch(_)) | None => 0,
        };
        let at = self.site.now();
        if let (Some(log), Some(line)) = (&mut self.log, line)
            && log.len() < LOG_MAX
        {
            log.push(LoggedRequest { at, program: id, number, line, status });
        }
        if fault == Some(RequestFault::Crash(Moment::After)) {
            self.discard(answer);
            return self.crash(id);
        }
        let with = match (fault, answer) {
            (Some(RequestFault::Broken(_)), answer) => {
                self.discard(answer);
                Reply::Broken
            }
            (fault, answer) => match (fault.and_then(|fault| fault.error(&uri)), answer) {
                (Some(error), answer) => {
                    self.discard(answer);
                    Reply::Response(response(&error))
                }
                (None, Some(Answer::Response(response))) => Reply::Response(response),
                (None, Some(Answer::Watch(watch))) => Reply::Watch(self.open_watch(watch, from, uri)),
                (None, None) => Reply::Broken,
            },
        };
        let (at, step) = (self.site.now() + back, Step::Answer { to: from, reply, with });
        if back.is_zero() { self.take(step) } else { self.schedule(at, step) }
    }

    /// Nobody will read the answer.
    fn discard(&mut self, answer: Option<Answer>) {
        if let Some(Answer::Watch(watch)) = answer {
            self.site.close_watch(watch);
        }
    }

    fn crash(&mut self, id: ProgramId) {
        self.stop(id);
        let running = &mut self.programs[id.0];
        running.crashes += 1;
        let at = self.site.now() + running.program.restart_delay;
        self.schedule(at, Step::Start(id));
    }

    /// The program at the other end, if its process lives.
    pub(super) fn owner(&self, connection: ConnectionId) -> Option<ProgramId> {
        let id = *self.connections.get(connection.0)?;
        let (.., present) = self.programs.get(id.0)?.life.as_ref()?;
        (*present == connection).then_some(id)
    }

    // ---- watches ----

    fn open_watch(&mut self, watch: WatchId, reader: ConnectionId, uri: Uri) -> mpsc::Receiver<Bytes> {
        let (sender, lines) = WatchSender::new();
        self.watches.insert(watch, OpenWatch { reader, uri, sender, last: self.site.now() });
        self.drain(watch);
        lines
    }

    /// Sends what a watch has to tell on its way.
    pub(super) fn drain(&mut self, watch: WatchId) {
        loop {
            // Others have watches too, within the site.
            let Some(open) = self.watches.get(&watch) else { return };
            if !open.sender.is_read() {
                return self.end_watch(watch);
            }
            let reader = open.reader;
            let line = match self.site.poll_watch(watch) {
                WatchPoll::Empty => return,
                WatchPoll::Event(line) => Some(line),
                WatchPoll::Closed => None,
            };
            let is_last = line.is_none();
            let Some(id) = self.owner(reader) else { return self.end_watch(watch) };
            let running = &mut self.programs[id.0];
            let by_number = running.program.faults.events.get(&running.events).copied();
            running.events += 1;
            let uri = self.watches.get(&watch).map(|open| &open.uri);
            let fault = by_number.or(uri.and_then(|uri| self.planted.next_event(uri)));
            let latency = self.draw(|latencies| &latencies.watch);
            let delay = if let Some(WatchFault::Delay(delay)) = fault { delay } else { Duration::ZERO };
            let Some(open) = self.watches.get_mut(&watch) else { return };
            open.last = open.last.max(self.site.now() + latency + delay);
            let at = open.last;
            match fault {
                Some(WatchFault::Broken) => return self.send(at, watch, None),
                Some(WatchFault::Expired) => {
                    self.send(at, watch, Some(faults::expired()));
                    return self.send(at, watch, None);
                }
                Some(WatchFault::Delay(_)) | None => self.send(at, watch, line),
            }
            if is_last {
                return;
            }
        }
    }

    fn send(&mut self, at: Time, watch: WatchId, line: Option<Bytes>) {
        if at <= self.site.now() {
            self.line_arrives(watch, line);
        } else {
            self.schedule(at, Step::Line { watch, line });
        }
    }

    pub(super) fn line_arrives(&mut self, watch: WatchId, line: Option<Bytes>) {
        let Some(open) = self.watches.get(&watch) else { return };
        let owner = self.owner(open.reader);
        if let Some(held) = owner.and_then(|id| self.held.get_mut(&id)) {
            return held.push((watch, line));
        }
        self.is_restless = true;
        if !line.is_some_and(|line| open.sender.send(line)) {
            self.end_watch(watch);
        }
    }

    pub(super) fn end_watch(&mut self, watch: WatchId) {
        if self.watches.remove(&watch).is_some() {
            self.site.close_watch(watch);
        }
    }
}

fn response(error: &ApiError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.to_status().to_string()));
    *response.status_mut() = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
