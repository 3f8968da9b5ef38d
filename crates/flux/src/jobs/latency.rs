//! How long the steps of a job take.

use crate::version::FluxVersion;

pub use crate::latency::Spread;

/// The steps of a job, from one event to the next (part I, table of latencies; `constants.json`: `job_event_ms`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLatencies {
    /// submit → validate.
    pub validate: Spread,
    /// validate → depend.
    pub depend: Spread,
    /// depend → priority.
    pub priority: Spread,
    /// From what makes the scheduler look at its queue to what it decides.
    pub schedule: Spread,
    /// alloc → start.
    pub start: Spread,
    /// What start → finish takes beyond the run time of the program itself.
    pub shell: Spread,
    /// From a severe exception to the end of what runs.
    pub kill: Spread,
    /// finish → release.
    pub release: Spread,
    /// release → free.
    pub free: Spread,
    /// free → clean.
    pub clean: Spread,
}

impl JobLatencies {
    /// What was recorded of a version; 0.50 is taken to be as fast as 0.61.
    pub const fn of(version: FluxVersion) -> Self {
        let shared = Self {
            validate: Spread::micros(11_320, 12_100, 13_370),
            depend: Spread::micros(11_200, 12_000, 12_800),
            priority: Spread::micros(30, 50, 140),
            schedule: Spread::micros(400, 2_100, 7_400),
            start: Spread::micros(3_800, 5_800, 7_730),
            shell: Spread::micros(11_980, 19_500, 25_900),
            kill: Spread::micros(16_000, 70_000, 90_000),
            release: Spread::micros(1_480, 1_900, 4_800),
            free: Spread::micros(30, 90, 190),
            clean: Spread::micros(14, 22, 60),
        };
        match version {
            FluxVersion::V0_50 | FluxVersion::V0_61 => shared,
            FluxVersion::V0_88 => Self {
                validate: Spread::micros(12_010, 12_700, 15_680),
                schedule: Spread::micros(3_000, 5_700, 10_000),
                start: Spread::micros(5_610, 9_200, 29_770),
                shell: Spread::micros(22_530, 31_200, 53_930),
                release: Spread::micros(2_330, 4_400, 9_700),
                ..shared
            },
        }
    }

    /// All medians, so that nothing is drawn.
    #[must_use]
    pub fn fixed(&self) -> Self {
        let fixed = |spread: &Spread| Spread::fixed(spread.median);
        Self {
            validate: fixed(&self.validate),
            depend: fixed(&self.depend),
            priority: fixed(&self.priority),
            schedule: fixed(&self.schedule),
            start: fixed(&self.start),
            shell: fixed(&self.shell),
            kill: fixed(&self.kill),
            release: fixed(&self.release),
            free: fixed(&self.free),
            clean: fixed(&self.clean),
        }
    }
}
