//! Processes of a real cluster that are killed and started again while a scenario is played.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use towtank_model::time::Time;

use crate::processes::Victim;

/// How often something is killed in one scenario.
const BLOWS: usize = 10;
/// How much longer than the model a scenario may take under it, for each thing that it waits for: Kubernetes' own clients try again up to a minute later
/// when the API server was away.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What has become of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was killed.
    Killed,
    /// It has ended by itself, as some do while others are away, and was started again.
    Ended,
}

/// Something that has happened to a program.
pub type Blow = (Time, Fate, Victim);

/// What is killed, and when; and what was.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    /// Latest first.
    planned: Vec<(Time, Victim)>,
    log: Rc<RefCell<Vec<Blow>>>,
}

impl Chaos {
    /// Ten blows at moments of the first `length`, as a seed and the name of the scenario say; each victim gets one at least.
    pub fn random(seed: u64, scenario: &str, length: Duration) -> Self {
        let name = scenario.bytes().fold(seed, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let mut rng = Rng::with_seed(name);
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut victims: Vec<Victim> = Victim::ALL.into();
        victims.resize_with(BLOWS, || Victim::ALL[rng.usize(..Victim::ALL.len())]);
        let mut blows: Vec<(Time, Victim)> =
            victims.into_iter().map(|victim| (Time::from_millis(rng.u64(..millis)), victim)).collect();
        blows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self { planned: blows, log: Rc::default() }
    }

    /// What has happened so far, first to last, for those who ask when it is over.
    pub(crate) fn log(&self) -> Rc<RefCell<Vec<Blow>>> {
        Rc::clone(&self.log)
    }

    pub(crate) fn note(&self, at: Time, fate: Fate, victim: Victim) {
        self.log.borrow_mut().push((at, fate, victim));
    }

    /// How often something has ended by itself.
    pub(crate) fn ended(&self) -> usize {
        self.log.borrow().iter().filter(|(_, fate, _)| *fate == Fate::Ended).count()
    }

    /// What is to be killed by now.
    pub(crate) fn due(&mut self, now: Time) -> Option<Victim> {
        self.planned.pop_if(|(at, _)| *at <= now).map(|(_, victim)| victim)
    }

    /// Whether anything has been killed.
    pub(crate) fn has_struck(&self) -> bool {
        !self.log.borrow().is_empty()
    }

    /// When the next is killed.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.planned.last().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blows_come_in_order_and_as_the_seed_says() {
        let deal = |seed| {
            let mut chaos = Chaos::random(seed, "downsize", Duration::from_secs(30));
            let mut dealt = Vec::new();
            while let Some(at) = chaos.next_time() {
                assert_eq!(chaos.due(at.saturating_sub(Duration::from_millis(1))), None);
                dealt.push((at, chaos.due(at)));
            }
            dealt
        };
        let dealt = deal(1);
        assert_eq!(dealt.len(), BLOWS);
        assert!(dealt.is_sorted_by_key(|(at, _)| *at));
        assert!(Victim::ALL.iter().all(|victim| dealt.iter().any(|(_, struck)| *struck == Some(*victim))));
        assert!(dealt.iter().all(|(at, victim)| *at < Time::from_secs(30) && victim.is_some()));
        assert_eq!(dealt, deal(1));
        assert_ne!(dealt, deal(2));
    }
}
