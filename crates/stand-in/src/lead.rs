//! The lead: an instance of `towtank-flux` on the clock of the machine. Connections and signals tell it what happens to brokers; what it says of
//! their ends, the brokers do.

mod commands;
mod program;
mod workers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use towtank_flux::instance::{Instance, Setup};
use towtank_flux::latency::{Latencies, Place};
use towtank_flux::time::Draw;
use towtank_flux::{Idset, Scheduler};

use crate::broker::{Broker, Event, listen};
use crate::error::StandInError;
use crate::resources;
use crate::wire::{BEAT, ToWorker};
use commands::Running;
use program::Program;
use workers::{Link, Net};

/// Random latencies.
struct Random(fastrand::Rng);

impl Draw for Random {
    fn unit(&mut self) -> f64 {
        self.0.f64()
    }
}

struct Lead {
    broker: Broker,
    events: Sender<Event<Net>>,
    instance: Instance,
    random: Random,
    start: Instant,
    /// The workers that are connected, by rank.
    links: BTreeMap<u32, Link>,
    /// Commands that run on other ranks.
    running: BTreeMap<u64, Running>,
    number: u64,
    program: Program,
    /// Who was online when it was last said.
    online: Idset,
    beat: Instant,
}

/// Runs the lead to its end.
pub(crate) fn run(broker: Broker, socket: &Path) -> Result<u8, StandInError> {
    let mut setup = Setup::new(
        broker.version,
        Scheduler::Simple,
        broker.hosts.clone(),
        resources::cores(broker.config.resource.path.as_deref())?,
    );
    setup.quorum = broker.options.quorum(&setup.features)?;
    setup.topology = broker.options.topology()?;
    setup.latencies = Latencies::of(broker.version, Place::Pods);
    setup.wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (events, received) = mpsc::channel();
    listen(&broker, socket, &events)?;
    workers::listen(&broker, &events)?;
    let mut lead = Lead {
        program: Program::new(broker.options.program.clone()),
        broker,
        events,
        instance: Instance::new(setup),
        random: Random(fastrand::Rng::new()),
        start: Instant::now(),
        links: BTreeMap::new(),
        running: BTreeMap::new(),
        number: 0,
        online: Idset::new(),
        beat: Instant::now(),
    };
    lead.instance.broker_started(Duration::ZERO, 0, &mut lead.random)?;
    Ok(lead.serve(&received))
}

impl Lead {
    /// How late it is for the instance.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn serve(mut self, received: &Receiver<Event<Net>>) -> u8 {
        loop {
            let now = self.now();
            self.instance.advance(now, &mut self.random);
            if let Some(code) = self.end_brokers() {
                self.program.kill();
                let code = if code == 0 { self.program.code() } else { code };
                self.broker.log(format!("exiting with {code}"));
                return code;
            }
            self.tell_joined();
            self.log_online();
            self.forget_late_commands();
            if self.instance.runs() {
                self.program.start(&self.broker.uri);
            }
            if self.program.has_ended() {
                self.leave();
            }
            if self.beat.elapsed() >= BEAT {
                self.beat = Instant::now();
                self.say_to_all(&ToWorker::Beat);
            }
            let next = self.instance.next_time().map_or(BEAT, |next| next.saturating_sub(self.now()));
            // The program is looked after in between.
            let pause = next.clamp(Duration::from_millis(1), program::POLL);
            match received.recv_timeout(pause) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return 1,
            }
        }
    }

    fn handle(&mut self, event: Event<Net>) {
        let now = self.now();
        self.instance.advance(now, &mut self.random);
        match event {
            Event::Told => self.leave(),
            Event::Asked { words, reply } => self.ask(0, words, commands::Reply::Here(reply)),
            Event::Ran { id, answer } => self.done(id, 0, answer),
            Event::Net(net) => self.hear(net),
        }
    }

    /// The instance shuts down: SIGTERM at the lead, or its program has ended.
    fn leave(&mut self) {
        let now = self.now();
        // Refused when it leaves already.
        let _ = self.instance.broker_terminated(now, 0, &mut self.random);
        self.program.terminate();
    }

    /// Ends the brokers of which the instance says so. Returns the exit code of this one when it is among them.
    fn end_brokers(&mut self) -> Option<u8> {
        let mut own = None;
        for (_, rank, code) in self.instance.take_exits() {
            // One that was killed has no code, and nobody is there to be told.
            let Ok(code) = u8::try_from(code) else { continue };
            if rank == 0 {
                own = Some(code);
            } else if let Some(mut link) = self.links.remove(&rank) {
                self.broker.log(format!("rank {rank} ends with {code}"));
                link.say(&ToWorker::Exit { code });
            }
        }
        own
    }

    fn log_online(&mut self) {
        let online = self.instance.overlay().online();
        if *online != self.online {
            let (came, went) = (online.difference(&self.online), self.online.difference(online));
            for (what, ranks) in [("online", came), ("offline", went)] {
                if !ranks.is_empty() {
                    let hosts = self.broker.hosts.select(&ranks);
                    self.broker.log(format!("{what}: {hosts} (ranks {})", ranks.bare()));
                }
            }
            self.online = online.clone();
        }
    }
}
