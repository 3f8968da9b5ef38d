//! How long things take: distributions of durations, sampled by inverse transform.
//!
//! A sample is the quantile at one uniform random number. Each sample therefore costs exactly one draw, constants
//! included: replacing one distribution by another, or one table by a better one, changes the durations that it is about
//! and shifts no other draw of the same stream. Two runs with the same seed stay comparable event by event.

use std::time::Duration;

use super::{Purpose, RandomStreams};

/// A distribution of durations.
///
/// Tables are written in milliseconds, the unit of the measurements they come from, and results are rounded to the
/// microsecond, the tick of virtual time. Every table gives some duration: negative and undefined figures count as zero.
/// [`Distribution::is_well_formed`] tells whether a table means what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always this long.
    Constant(Duration),
    /// Anything from the first to the second, equally likely.
    Uniform(Duration, Duration),
    /// Points (probability, milliseconds) of the quantile function, both ascending, with straight lines in between.
    /// Below the first and above the last point the function is flat: `[(0.1, 5.0), (0.9, 20.0)]` gives exactly 5 ms in
    /// a tenth of the cases.
    Quantiles(&'static [(f64, f64)]),
    /// Measured values in milliseconds, ascending. The smallest is the quantile at 0, the largest at 1, the others lie evenly between
    /// them with straight lines in between (definition 7 of Hyndman and Fan, what most statistics packages do).
    Samples(&'static [f64]),
}

impl Distribution {
    /// Always `ms` milliseconds.
    pub const fn constant_ms(ms: u64) -> Self {
        Self::Constant(Duration::from_millis(ms))
    }

    /// Anything from `low_ms` to `high_ms` milliseconds, equally likely.
    pub const fn uniform_ms(low_ms: u64, high_ms: u64) -> Self {
        Self::Uniform(Duration::from_millis(low_ms), Duration::from_millis(high_ms))
    }

    /// The duration that belongs to `unit`, a uniform random number in `[0, 1)`: the quantile there.
    pub fn sample(&self, unit: f64) -> Duration {
        self.quantile(unit)
    }

    /// Draws a duration from the stream of `purpose`. Always one draw, also when the duration is constant.
    pub fn draw(&self, random: &mut RandomStreams, purpose: Purpose) -> Duration {
        self.sample(random.unit(purpose))
    }

    /// Nothing ever takes any time.
    pub const fn is_zero(&self) -> bool {
        matches!(self, Self::Constant(Duration::ZERO))
    }

    /// As many are shorter as are longer.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The duration that a share `p` of all samples does not exceed; `p` outside of 0 to 1 counts as the nearer of the two.
    pub fn quantile(&self, p: f64) -> Duration {
        let p = if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) };
        match *self {
            Self::Constant(duration) => duration,
            Self::Uniform(low, high) => from_ms(between(p, (0.0, to_ms(low)), (1.0, to_ms(high)))),
            Self::Quantiles(points) => from_ms(interpolate(points.len(), |index| points[index], p)),
            Self::Samples(samples) => {
                #[expect(clippy::cast_precision_loss, reason = "tables are short")]
                let share = |index: usize| index as f64 / samples.len().saturating_sub(1).max(1) as f64;
                from_ms(interpolate(samples.len(), |index| (share(index), samples[index]), p))
            }
        }
    }

    /// Whether the figures are in order: finite, not negative, ascending, not empty, probabilities from 0 to 1.
    pub fn is_well_formed(&self) -> bool {
        match *self {
            Self::Constant(_) => true,
            Self::Uniform(low, high) => low <= high,
            Self::Quantiles(points) => {
                !points.is_empty()
                    && points
                        .iter()
                        .all(|&(p, ms)| (0.0..=1.0).contains(&p) && (0.0..f64::INFINITY).contains(&ms))
                    && points.is_sorted_by(|low, high| low.0 < high.0 && low.1 <= high.1)
            }
            Self::Samples(samples) => {
                !samples.is_empty()
                    && samples.iter().all(|ms| (0.0..f64::INFINITY).contains(ms))
                    && samples.is_sorted()
            }
        }
    }
}

/// The value at `p` on the line through `count` points with ascending probabilities; 0 when there is no point.
fn interpolate(count: usize, point: impl Fn(usize) -> (f64, f64), p: f64) -> f64 {
    let mut low = 0;
    let mut high = count;
    while low < high {
        let middle = low.midpoint(high);
        if point(middle).0 < p { low = middle + 1 } else { high = middle }
    }
    match (low.checked_sub(1), low < count) {
        (Some(before), true) => between(p, point(before), point(low)),
        (None, true) => point(low).1,
        (Some(before), false) => point(before).1,
        (None, false) => 0.0,
    }
}

/// The value at `p` on the straight line through two points.
fn between(p: f64, (low_p, low): (f64, f64), (high_p, high): (f64, f64)) -> f64 {
    low + (high - low) * ((p - low_p) / (high_p - low_p))
}

fn to_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Rounded to the microsecond. What is negative or not a number becomes zero, what is infinite the longest instant.
fn from_ms(ms: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is meant"
    )]
    let micros = (ms * 1_000.0).round() as u64;
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Distribution =
        Distribution::Quantiles(&[(0.0, 100.0), (0.5, 200.0), (0.9, 600.0), (1.0, 5_000.0)]);
    const PULL: Distribution = Distribution::Samples(&[10.0, 20.0, 40.0, 80.0, 160.0]);
    const ALL: [Distribution; 6] = [
        Distribution::Constant(Duration::from_micros(1_234_567)),
        Distribution::uniform_ms(10, 30),
        START,
        PULL,
        Distribution::Quantiles(&[(0.1, 5.0), (0.9, 20.0)]),
        Distribution::Samples(&[7.0]),
    ];

    #[test]
    fn quantiles_lie_on_straight_lines() {
        let cases: [(Distribution, f64, u64); 20] = [
            (Distribution::constant_ms(3), 0.0, 3_000),
            (Distribution::constant_ms(3), 0.999, 3_000),
            (Distribution::uniform_ms(10, 30), 0.0, 10_000),
            (Distribution::uniform_ms(10, 30), 0.25, 15_000),
            (Distribution::uniform_ms(10, 30), 1.0, 30_000),
            (START, 0.0, 100_000),
            (START, 0.25, 150_000),
            (START, 0.7, 400_000),
            (START, 0.9, 600_000),
            (START, 0.95, 2_800_000),
            (START, 1.0, 5_000_000),
            (PULL, 0.0, 10_000),
            (PULL, 0.125, 15_000),
            (PULL, 0.75, 80_000),
            (PULL, 0.875, 120_000),
            (PULL, 1.0, 160_000),
            (Distribution::Quantiles(&[(0.1, 5.0), (0.9, 20.0)]), 0.05, 5_000),
            (Distribution::Quantiles(&[(0.1, 5.0), (0.9, 20.0)]), 0.95, 20_000),
            (Distribution::Samples(&[7.0]), 0.7, 7_000),
            (Distribution::Quantiles(&[(0.0, 0.000_5)]), 0.5, 1),
        ];
        for (distribution, p, micros) in cases {
            assert_eq!(distribution.quantile(p), Duration::from_micros(micros), "{distribution:?} at {p}");
        }
    }

    #[test]
    fn the_median_is_the_quantile_in_the_middle() {
        assert_eq!(
            ALL.map(|distribution| distribution.median().as_micros()),
            [1_234_567, 20_000, 200_000, 40_000, 12_500, 7_000]
        );
    }

    #[test]
    fn every_sample_costs_one_draw() {
        for distribution in ALL {
            let (mut sampled, mut reference) = (RandomStreams::new(1), RandomStreams::new(1));
            distribution.draw(&mut sampled, Purpose::Node);
            reference.next_u64(Purpose::Node);
            assert_eq!(
                sampled.next_u64(Purpose::Node),
                reference.next_u64(Purpose::Node),
                "{distribution:?}"
            );
        }
    }

    #[test]
    fn samples_follow_the_quantiles() {
        for distribution in ALL {
            let mut random = RandomStreams::new(11);
            let mut samples: Vec<Duration> =
                (0..20_000).map(|_| distribution.draw(&mut random, Purpose::Node)).collect();
            samples.sort_unstable();
            for (index, p) in [(2_000, 0.1), (10_000, 0.5), (16_000, 0.8)] {
                let (low, high) = (distribution.quantile(p - 0.02), distribution.quantile(p + 0.02));
                assert!(
                    (low..=high).contains(&samples[index]),
                    "{distribution:?} at {p}: {:?}",
                    samples[index]
                );
            }
        }
    }

    #[test]
    fn malformed_tables_are_recognised_and_still_give_a_duration() {
        let malformed = [
            Distribution::uniform_ms(2, 1),
            Distribution::Quantiles(&[]),
            Distribution::Quantiles(&[(0.0, 2.0), (1.0, 1.0)]),
            Distribution::Quantiles(&[(0.5, 1.0), (0.5, 2.0)]),
            Distribution::Quantiles(&[(0.0, f64::NAN), (1.0, 1.0)]),
            Distribution::Quantiles(&[(0.0, 1.0), (1.5, 2.0)]),
            Distribution::Quantiles(&[(0.0, -5.0), (1.0, -1.0)]),
            Distribution::Samples(&[]),
            Distribution::Samples(&[2.0, 1.0]),
            Distribution::Samples(&[1.0, f64::INFINITY]),
        ];
        for distribution in malformed {
            assert!(!distribution.is_well_formed(), "{distribution:?}");
            for p in [f64::NAN, -1.0, 0.0, 0.3, 0.5, 1.0, 2.0, f64::INFINITY] {
                let _ = distribution.quantile(p);
            }
        }
        assert!(ALL.iter().all(Distribution::is_well_formed));
        assert_eq!(Distribution::Samples(&[]).median(), Duration::ZERO);
        assert_eq!(Distribution::Quantiles(&[(0.0, -5.0), (1.0, -1.0)]).median(), Duration::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn quantiles_ascend_and_stay_inside(low in 0.0..=1.0_f64, high in 0.0..=1.0_f64, which in 0..ALL.len()) {
            let (low, high) = if low <= high { (low, high) } else { (high, low) };
            let distribution = ALL[which];
            prop_assert!(distribution.quantile(low) <= distribution.quantile(high));
            prop_assert!(distribution.quantile(0.0) <= distribution.quantile(low));
            prop_assert!(distribution.quantile(high) <= distribution.quantile(1.0));
        }
    }
}
