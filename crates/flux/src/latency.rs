//! How long things of the overlay and of the resource module take.

use std::time::Duration;

use crate::time::Draw;
use crate::version::FluxVersion;

/// A span of time between two extremes, with a known median: half of the draws fall on either side of it, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The shortest.
    pub min: Duration,
    /// Half are shorter.
    pub median: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// A spread in milliseconds.
    pub const fn ms(min: u64, median: u64, max: u64) -> Self {
        Self {
            min: Duration::from_millis(min),
            median: Duration::from_millis(median),
            max: Duration::from_millis(max),
        }
    }

    /// A spread in microseconds.
    pub const fn micros(min: u64, median: u64, max: u64) -> Self {
        Self {
            min: Duration::from_micros(min),
            median: Duration::from_micros(median),
            max: Duration::from_micros(max),
        }
    }

    /// Always the same.
    pub const fn fixed(length: Duration) -> Self {
        Self { min: length, median: length, max: length }
    }

    /// One length. A spread without width asks for no random number.
    pub fn draw(&self, draw: &mut dyn Draw) -> Duration {
        if self.min == self.max {
            return self.median;
        }
        let unit = draw.unit().clamp(0.0, 1.0);
        // In nanoseconds: this is drawn for every step of every job, and arithmetic of `Duration` is slow.
        let (low, high, part) = if unit < 0.5 {
            (self.min, self.median, unit * 2.0)
        } else {
            (self.median, self.max, unit * 2.0 - 1.0)
        };
        let width = high.saturating_sub(low);
        let nanos = width.as_secs() as f64 * 1e9 + f64::from(width.subsec_nanos());
        low + Duration::from_nanos((nanos * part) as u64)
    }
}

/// Where brokers run, which decides how fast they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Processes beside each other on one machine, with all modules that a package of Flux brings.
    #[default]
    Rig,
    /// Pods on a small kind cluster, with few modules: rc1 and rc3 are three to four times as fast.
    Pods,
}

/// The latencies of brokers, their overlay network and the resource module.
///
/// Those of a version on the rig are what was recorded of it on one machine (recordings 02, 03, 09, 11, 15;
/// `constants.json`); those in pods are of `recordings/kind`.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    /// Broker start to hello.
    pub connect: Spread,
    /// A child that waits asks its parent again after this time.
    pub retry: Spread,
    /// rc1 of the lead.
    pub lead_rc1: Spread,
    /// rc1 of any other rank; then it is online.
    pub rc1: Spread,
    /// rc3 of a rank without children; then it says goodbye.
    pub rc3: Spread,
    /// How far into rc3 the shells of running jobs are gone, as a part of it.
    pub shells_part: f64,
    /// The cleanup of the lead: stop the queue, cancel running jobs, wait until it is idle.
    pub lead_cleanup: Spread,
    /// `flux overlay disconnect` until the parent has dropped the child.
    pub disconnect: Spread,
    /// A rank that left the overlay goes to the scheduler's `down` after this time.
    pub down: Spread,
    /// A drain, or its end, reaches the scheduler after this time.
    pub drain: Spread,
    /// See [`Latencies::drain`].
    pub undrain: Spread,
    /// A child of a lead that came back, or that it gave up, notices that nobody knows it.
    pub orphan: Spread,
    /// How long ago a broker was last heard: it says something at the latest after `torpid_min`, and when its
    /// parent looks adds to that.
    pub idle: Spread,
    /// Period of the heartbeat.
    pub heartbeat: Duration,
    /// The tcp user timeout: how long a send to a host that does not answer may take.
    pub tcp_timeout: Duration,
    /// A child that was silent for so long is torpid.
    pub torpid_max: Duration,
}

impl Latencies {
    /// What was recorded of a version in a place; 0.50 is taken to be as fast as 0.61.
    pub const fn of(version: FluxVersion, place: Place) -> Self {
        match place {
            Place::Rig => Self::on_the_rig(version),
            Place::Pods => Self::in_pods(version),
        }
    }

    const fn on_the_rig(version: FluxVersion) -> Self {
        let older = Self {
            connect: Spread::ms(32, 57, 99),
            retry: Spread::ms(0, 50, 100),
            lead_rc1: Spread::ms(421, 549, 810),
            rc1: Spread::ms(700, 870, 1_250),
            rc3: Spread::ms(510, 580, 775),
            shells_part: 0.6,
            lead_cleanup: Spread::ms(2_100, 2_600, 3_500),
            disconnect: Spread::ms(10, 16, 50),
            down: Spread::ms(90, 98, 120),
            drain: Spread::micros(2_000, 2_600, 3_100),
            undrain: Spread::micros(1_800, 2_300, 3_800),
            orphan: Spread::ms(3_000, 5_000, 9_400),
            idle: Spread::ms(0, 2_500, 5_000),
            heartbeat: Duration::from_secs(2),
            tcp_timeout: Duration::from_secs(20),
            torpid_max: Duration::from_secs(30),
        };
        match version {
            FluxVersion::V0_50 | FluxVersion::V0_61 => older,
            FluxVersion::V0_88 => Self {
                connect: Spread::ms(35, 76, 180),
                lead_rc1: Spread::ms(789, 829, 1_444),
                rc1: Spread::ms(1_230, 1_650, 1_940),
                rc3: Spread::ms(960, 1_170, 1_620),
                lead_cleanup: Spread::ms(2_600, 3_200, 3_900),
                disconnect: Spread::ms(17, 28, 95),
                drain: Spread::micros(3_200, 6_200, 11_600),
                undrain: Spread::micros(3_900, 8_900, 18_100),
                orphan: Spread::ms(50, 200, 500),
                ..older
            },
        }
    }

    /// Fitted on the series U and E of `recordings/kind`, operations 3→4 and 4→3 (`snapshots/kind/latency.txt`), and on
    /// the brokers' logs of its stories. What was not recorded there is as on the rig.
    const fn in_pods(version: FluxVersion) -> Self {
        let rig = Self::on_the_rig(version);
        match version {
            FluxVersion::V0_50 | FluxVersion::V0_61 => Self {
                // Script to overlay, n = 5.
                connect: Spread::ms(38, 41, 52),
                // Overlay to scheduler, n = 5.
                rc1: Spread::ms(298, 300, 331),
                // Deletion to offline took 118 [115-154], n = 5, less 30 until SIGTERM.
                rc3: Spread::ms(85, 88, 124),
                ..rig
            },
            FluxVersion::V0_88 => Self {
                // Script to overlay, n = 22.
                connect: Spread::ms(35, 54, 114),
                // Logs of 12 leads; three stories ran at a time.
                lead_rc1: Spread::ms(500, 750, 1_510),
                // Overlay to scheduler, n = 22.
                rc1: Spread::ms(375, 458, 642),
                // Deletion to offline took 291 [161-432], n = 11, less 30 until SIGTERM.
                rc3: Spread::ms(131, 260, 402),
                // From the old lead's SIGKILL, or from the start of a pod that has its rank, to the disconnect: 3.7, 3.8 and
                // some 4 s.
                orphan: Spread::ms(3_500, 3_750, 4_000),
                // A lead with one running job, n = 1.
                lead_cleanup: Spread::fixed(Duration::from_millis(950)),
                ..rig
            },
        }
    }
}
