//! What is noticed by sending, and by not hearing (Flux spec B.5, part I 7).
//!
//! A dead child is lost at the next send, at the latest the next heartbeat. Behind a cut network a send fails
//! after the tcp user timeout. A child that is silent for `torpid_max` is torpid; living children say
//! something every five seconds, and parents look as often.

use std::time::Duration;

use super::broker::{LinkState, Process};
use super::{BrokerState, Fact, Overlay, Reason, Refused, Timer};
use crate::time::{Draw, Instant};

impl Overlay {
    /// SIGSTOP: alive, and silent.
    pub fn freeze(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        self.process_mut(rank).ok_or(Refused::NotRunning(rank))?.frozen = true;
        self.suspect(now, rank, draw);
        Ok(())
    }

    /// SIGCONT: heard again, and it hears again what waits for it.
    pub fn thaw(&mut self, now: Instant, rank: u32) -> Result<(), Refused> {
        self.known(rank)?;
        let process = self.process_mut(rank).ok_or(Refused::NotRunning(rank))?;
        if !std::mem::take(&mut process.frozen) {
            return Ok(());
        }
        self.heard(now, rank);
        // No heartbeat passed through here in the meantime.
        for suspect in &self.suspects {
            if let Some(link) = self.links.get_mut(*suspect as usize) {
                link.silent = link.silent.map(|_| now);
            }
        }
        for child in self.children(rank) {
            if self.process(child).is_some_and(|process| process.state == BrokerState::Join) {
                self.schedule(now, child, Timer::Hello);
            }
        }
        Ok(())
    }

    /// The network between the rank and its parent drops everything.
    pub fn cut(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        self.process_mut(rank).ok_or(Refused::NotRunning(rank))?.cut = true;
        self.suspect(now, rank, draw);
        Ok(())
    }

    /// The network works again. A child that was given up meanwhile is told so and leaves with exit code 1.
    pub fn heal(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> Result<(), Refused> {
        self.known(rank)?;
        self.process_mut(rank).ok_or(Refused::NotRunning(rank))?.cut = false;
        if self.link(rank).is_some_and(|link| link.state == LinkState::Lost) {
            let orphan = self.latencies.orphan.draw(draw);
            self.schedule(now + orphan, rank, Timer::Orphan);
        } else {
            self.heard(now, rank);
        }
        Ok(())
    }

    /// A message for this rank: if it is dead, that is noticed now. Whether it arrives.
    pub fn send(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) -> bool {
        let dead = self.accepted(rank).is_none();
        if dead && rank > 0 && self.suspects.contains(&rank) {
            self.lose(now, rank, Reason::Lost, draw);
        }
        self.process(rank).is_some() && self.online.contains(rank)
    }

    /// The parent has not noticed anything yet.
    pub(super) fn suspect(&mut self, now: Instant, rank: u32, draw: &mut dyn Draw) {
        if !matches!(self.link(rank).map(|link| link.state), Some(LinkState::Up(_))) {
            return;
        }
        self.suspects.insert(rank);
        let heard = now.saturating_sub(self.latencies.idle.draw(draw).min(self.latencies.torpid_max / 2));
        if let Some(link) = self.links.get_mut(rank as usize) {
            link.silent = Some(now);
            link.heard = Some(heard);
        }
        self.schedule(heard + self.latencies.torpid_max, rank, Timer::Silence);
    }

    fn heard(&mut self, now: Instant, rank: u32) {
        if self.accepted(rank).is_none() {
            // Whoever speaks here is not the one that the parent waits for.
            return;
        }
        self.suspects.remove(&rank);
        if let Some(link) = self.links.get_mut(rank as usize) {
            (link.silent, link.heard, link.unanswered) = (None, None, None);
        }
        if self.torpid.remove(rank) {
            self.tell(now, Fact::Responsive(rank));
        }
    }

    /// Looks whether a silent rank has become torpid.
    pub(super) fn look(&mut self, now: Instant, rank: u32) {
        let Some(heard) = self.link(rank).and_then(|link| link.heard) else { return };
        let due = heard + self.latencies.torpid_max;
        if self.suspects.contains(&rank)
            && self.online.contains(rank)
            && now >= due
            && self.torpid.insert(rank)
        {
            self.tell(now, Fact::Torpid(rank));
        }
    }

    /// The first multiple of `period` since the heart began to beat that is not before `from`.
    fn grid(&self, from: Instant, period: Duration) -> Instant {
        let since = from.saturating_sub(self.heart).as_nanos();
        let periods = since.div_ceil(period.as_nanos().max(1));
        let nanos = u64::try_from(periods * period.as_nanos()).unwrap_or(u64::MAX);
        self.heart + Duration::from_nanos(nanos)
    }

    /// The next heartbeat that tells anything: one that is sent to a child that does not answer.
    pub(super) fn next_pulse(&self) -> Option<Instant> {
        self.suspects.iter().filter_map(|rank| self.pulse_for(*rank)).min()
    }

    fn pulse_for(&self, rank: u32) -> Option<Instant> {
        let link = self.link(rank)?;
        // Heartbeats before its death reached it: the next one does not. They come from the lead, through the
        // parent.
        let silent = link.silent? + Duration::from_nanos(1);
        let awake = |rank| self.process(rank).is_some_and(|process| !process.frozen);
        if !awake(0) || !awake(self.topology.parent(rank)?) {
            return None;
        }
        let period = self.latencies.heartbeat;
        match (self.accepted(rank), link.unanswered) {
            (Some(process), _) if !process.cut => None,
            (Some(_), Some(first)) => {
                Some(self.grid(first + self.latencies.tcp_timeout + Duration::from_nanos(1), period))
            }
            _ => Some(self.grid(silent, period)),
        }
    }

    /// The process that the parent believes in, if it is still there.
    pub(super) fn accepted(&self, rank: u32) -> Option<&Process> {
        let link = self.link(rank)?.state;
        self.process(rank).filter(|process| link == LinkState::Up(process.incarnation))
    }

    /// A heartbeat goes down the tree.
    pub(super) fn pulse(&mut self, now: Instant, draw: &mut dyn Draw) {
        let suspects: Vec<u32> =
            self.suspects.iter().copied().filter(|rank| self.pulse_for(*rank) == Some(now)).collect();
        for rank in suspects {
            let cut = self.accepted(rank).is_some_and(|process| process.cut);
            let first = self.link(rank).and_then(|link| link.unanswered);
            match (cut, first) {
                (true, None) => {
                    if let Some(link) = self.links.get_mut(rank as usize) {
                        link.unanswered = Some(now);
                    }
                }
                _ => self.lose(now, rank, Reason::Lost, draw),
            }
        }
    }
}
