//! Seeded randomness, split by purpose.
//!
//! Every [`Purpose`] draws from a stream of its own, so that one more draw for one purpose (a longer scenario, a newer
//! version of Kubernetes) shifts nothing for another. The streams are a function of the seed alone: the same on every
//! platform, in debug and release builds. Tests hold their first values.

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// What random numbers are drawn for. Each purpose has a stream of its own, which depends on the number given here: a new
/// purpose takes the next number, so that recorded runs stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Name suffixes that the API server appends to `generateName`.
    Names = 0,
    /// The scheduler's choice among equal nodes, and its latency.
    Scheduling = 1,
    /// Durations on nodes: image pull, start, readiness, stop.
    Node = 2,
    /// Durations of API calls and watch deliveries.
    Network = 3,
    /// Order in which the original walks its hash maps, where that order shows.
    MapOrder = 4,
    /// What the workload does.
    Workload = 5,
    /// What an application above the Job controller does.
    Application = 6,
}

impl Purpose {
    /// Every purpose, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Names,
        Self::Scheduling,
        Self::Node,
        Self::Network,
        Self::MapOrder,
        Self::Workload,
        Self::Application,
    ];
}

/// One stream of random numbers per [`Purpose`].
#[derive(Clone, Debug)]
pub struct RandomStreams {
    streams: [Pcg64Mcg; Purpose::ALL.len()],
}

impl RandomStreams {
    /// Streams that depend on nothing but `seed`. Neighbouring seeds, 0 among them, give unrelated streams.
    pub fn new(seed: u64) -> Self {
        Self { streams: Purpose::ALL.map(|purpose| stream(seed, purpose)) }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self, purpose: Purpose) -> u64 {
        self.streams[purpose as usize].next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0. Always one draw: values differ in probability by less than
    /// `bound` / 2^64, which no run can show, and the next draw never depends on this one's value.
    pub fn below(&mut self, purpose: Purpose, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64(purpose)) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// Uniform in `[0, 1)`. Always one draw.
    pub fn unit(&mut self, purpose: Purpose) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let mantissa = (self.next_u64(purpose) >> 11) as f64;
        mantissa / 9_007_199_254_740_992.0
    }
}

/// The stream of `purpose`. A multiplicative generator drops the lowest bit of its state (it must be odd) and mixes a
/// poor seed slowly: taken as it is, seeds 0 and 1 would be one stream. Hence 128 well mixed bits.
fn stream(seed: u64, purpose: Purpose) -> Pcg64Mcg {
    let mut state = mix(seed.wrapping_add(GOLDEN)) ^ purpose as u64;
    let mut bytes = [0; 16];
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(GOLDEN);
        word.copy_from_slice(&mix(state).to_le_bytes());
    }
    Pcg64Mcg::from_seed(bytes)
}

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first three values of every purpose: a change here changes every recorded run. Computed by an independent
    /// implementation of SplitMix64 and PCG XSL 128/64 (MCG).
    const FIRST_VALUES: [(u64, [[u64; 3]; 7]); 2] = [
        (
            0,
            [
                [0xed51_eff9_3e11_a9c0, 0xd52b_2568_ae27_d290, 0xffc6_f096_9872_0ace],
                [0x5f3d_b2ca_12f1_725f, 0xd13c_4c38_6ff3_0502, 0x9c9e_97a5_5b4e_46f2],
                [0x3b5f_da8f_e412_e4a9, 0xb407_ae32_3fc9_9878, 0x48cd_23b1_1b82_5dac],
                [0xf920_551c_3586_f0d4, 0x5b8f_abd9_912d_3cfc, 0xaac3_5a2b_9652_79a4],
                [0xe595_c0a9_b8b5_598e, 0xc240_dcab_c8ef_5bf8, 0xf5bd_94bb_4397_a3c7],
                [0xdbee_299c_0340_0150, 0x58ee_0b2d_e1ab_d6cc, 0xe56e_b66c_30a4_1a97],
                [0x993f_1d69_f972_d726, 0x2f60_0aed_3fce_eccf, 0x2cb6_f496_1179_0572],
            ],
        ),
        (
            42,
            [
                [0x4eb5_b2fc_3f86_21ff, 0xd53e_e900_ce48_7e7b, 0xaba6_638a_e5d2_7b52],
                [0x3c0c_91b3_8ab2_eaa5, 0x4084_906e_1ad6_16c6, 0x8ce7_bfe6_95aa_35d7],
                [0xf93e_c046_2eb6_af33, 0x7a9a_6caa_47d0_04db, 0xe97d_5b04_aabd_859d],
                [0xe5af_9466_b79b_b55c, 0x889c_9466_c805_a51a, 0x6649_77e4_4650_d087],
                [0x48c6_4052_f0cb_26dc, 0x1be0_5a7f_9fa6_1b36, 0x9985_e883_4777_f9e4],
                [0x8dd8_a2b8_da00_6985, 0xcf20_48a2_889e_f6be, 0x7293_d4b0_4f7b_60a5],
                [0x62d3_4744_0ffd_48c1, 0xb7f5_b2c4_8f7b_d8c9, 0xaf64_fe44_0450_e249],
            ],
        ),
    ];

    fn take<const N: usize>(random: &mut RandomStreams, purpose: Purpose) -> [u64; N] {
        std::array::from_fn(|_| random.next_u64(purpose))
    }

    #[test]
    fn purposes_are_numbered_in_order() {
        assert_eq!(Purpose::ALL.map(|purpose| purpose as usize), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_output_function_is_that_of_splitmix64() {
        // The published first outputs for the seed 1234567.
        let states = [1, 2, 3].map(|step| GOLDEN.wrapping_mul(step).wrapping_add(1_234_567));
        assert_eq!(
            states.map(mix),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn streams_never_change() {
        for (seed, expected) in FIRST_VALUES {
            let mut random = RandomStreams::new(seed);
            let actual = Purpose::ALL.map(|purpose| take::<3>(&mut random, purpose));
            assert_eq!(actual, expected, "seed {seed}: {actual:#x?}");
        }
    }

    #[test]
    fn one_more_draw_here_shifts_nothing_there() {
        for drawn in Purpose::ALL {
            let (mut touched, mut fresh) = (RandomStreams::new(7), RandomStreams::new(7));
            take::<5>(&mut touched, drawn);
            for other in Purpose::ALL.into_iter().filter(|&other| other != drawn) {
                assert_eq!(
                    take::<5>(&mut touched, other),
                    take::<5>(&mut fresh, other),
                    "{drawn:?} shifted {other:?}"
                );
            }
        }
    }

    #[test]
    fn every_way_to_draw_costs_one_draw() {
        let mut reference = RandomStreams::new(3);
        let values = take::<5>(&mut reference, Purpose::Node);
        let mut random = RandomStreams::new(3);
        for bound in [0, 1, u64::MAX] {
            random.below(Purpose::Node, bound);
        }
        random.unit(Purpose::Node);
        assert_eq!(random.next_u64(Purpose::Node), values[4]);
    }

    #[test]
    fn neighbouring_seeds_and_purposes_are_unrelated() {
        let mut firsts = std::collections::BTreeSet::new();
        let mut ones = [0_u32; 64];
        for seed in 0..5_000 {
            let mut random = RandomStreams::new(seed);
            for purpose in Purpose::ALL {
                let first = random.next_u64(purpose);
                assert!(firsts.insert(first), "seed {seed}, {purpose:?}: a stream begins like another one");
                (0..64).for_each(|bit| ones[bit] += u32::from(first >> bit & 1 == 1));
            }
        }
        // 35,000 coins per bit: the standard deviation is 94.
        assert!(ones.iter().all(|count| count.abs_diff(17_500) < 485), "{ones:?}");
    }

    #[test]
    fn below_and_unit_are_uniform() {
        for purpose in Purpose::ALL {
            let mut random = RandomStreams::new(0);
            let (mut tens, mut sum) = ([0_u32; 10], 0.0);
            for _ in 0..20_000 {
                tens[random.below(purpose, 10) as usize] += 1;
                let unit = random.unit(purpose);
                assert!((0.0..1.0).contains(&unit));
                sum += unit;
            }
            // 2,000 each with a standard deviation of 42; a mean of 0.5 with one of 0.002.
            assert!(tens.iter().all(|count| count.abs_diff(2_000) < 220), "{purpose:?}: {tens:?}");
            assert!((sum / 20_000.0 - 0.5).abs() < 0.01, "{purpose:?}: {sum}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = RandomStreams::new(0);
        for _ in 0..1_000 {
            assert_eq!(random.below(Purpose::Names, 0), 0);
            assert_eq!(random.below(Purpose::Names, 1), 0);
            assert!(random.below(Purpose::Names, 3) < 3);
            assert!(random.below(Purpose::Names, u64::MAX) < u64::MAX);
        }
    }
}
