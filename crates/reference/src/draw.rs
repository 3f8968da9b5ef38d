//! Random values: most of them good, some of them broken, many of them on the edge of a rule.

use std::sync::Arc;

use towtank_model::engine::{Purpose, RandomStreams};
use towtank_model::objects::Labels;

/// A stream of random choices.
pub(crate) struct Draw(RandomStreams);

impl Draw {
    /// The stream of this story of this run.
    pub(crate) fn new(seed: u64, story: u64) -> Self {
        Self(RandomStreams::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(story)))
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(Purpose::Workload, bound as u64)).unwrap_or(0)
    }

    /// True one time in so many.
    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// One of these.
    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// One time in so many, a value.
    pub(crate) fn maybe<T>(&mut self, one_in: usize, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| value(self))
    }

    /// A list of fewer than `bound` values.
    pub(crate) fn list<T>(&mut self, bound: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(bound)).map(|_| value(self)).collect()
    }

    /// A number for a field that counts.
    pub(crate) fn count(&mut self) -> i32 {
        if self.one_in(40) {
            return self.one_of(&[-1, i32::MIN, i32::MAX, 9_999, 10_000, 10_001, 99_999, 100_000, 100_001]);
        }
        self.one_of(&[0, 1, 1, 2, 2, 3, 3, 4, 5, 10])
    }

    /// A text that stands for indexes.
    pub(crate) fn indexes(&mut self) -> &'static str {
        const GOOD: &[&str] = &[
            "", "0", "1", "0,1", "0-2", "1-3", "0,2", "1,3", "2,3", "0-1,3", "0,2-3", "4", "3-4", "0-99999",
        ];
        const BAD: &[&str] = &[
            "a",
            "1-",
            "-1",
            "-",
            ",",
            "1,",
            ",1",
            "2,1",
            "1,1",
            "0-0",
            "3-1",
            "1-2,2",
            "1-2-3",
            "0,1-2-3",
            " 1",
            "1 ",
            "01",
            "+1",
            "1.0",
            "0x1",
            "0-2,1",
            "0-1-",
            "--",
            "4294967296",
            "2147483648",
            "-2147483649",
            "99999999999999999999",
            "0-4294967296",
            "9223372036854775808",
            "0-9,8",
            "1_0",
            "٣",
            "0-+1",
            "00-1",
        ];
        if self.one_in(4) { self.one_of(BAD) } else { self.one_of(GOOD) }
    }

    /// The name of an object.
    pub(crate) fn name(&mut self) -> String {
        const ODD: &[&str] = &["A", "-a", "a-", "a.b", "a..b", "a_b", "a.b-", "ä", "0", "a b", "job-1"];
        match self.below(30) {
            0 | 1 => self.one_of(ODD).to_owned(),
            2 | 3 => "n".repeat(56 + self.below(10)),
            4 => "n".repeat(252 + self.below(4)),
            5 => format!("{}.{}", "n".repeat(58 + self.below(8)), "m".repeat(60)),
            _ => "job".to_owned(),
        }
    }

    /// The name of a label or an annotation.
    fn label(&mut self) -> String {
        const GOOD: &[&str] = &["a", "b", "app", "acme.io/a", "x_Y.z", "job-name", "controller-uid"];
        const BAD: &[&str] =
            &["", "/a", "a/", "a/b/c", "A.io/a", "-a", "a-", "a b", ".x/a", "ä", "acme..io/a", "Acme/_"];
        match self.below(60) {
            0..3 => self.one_of(BAD).to_owned(),
            3 => "l".repeat(62 + self.below(4)),
            4 => format!("{}/{}", "p".repeat(250 + self.below(6)), self.one_of(&["a", "-", ""])),
            5 => self
                .one_of(&["batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"])
                .to_owned(),
            _ => self.one_of(&GOOD[..5]).to_owned(),
        }
    }

    fn label_value(&mut self) -> String {
        const BAD: &[&str] = &["-a", "a-", "a b", "ä", "a/b", "_"];
        match self.below(40) {
            0 => self.one_of(BAD).to_owned(),
            1 => "v".repeat(62 + self.below(4)),
            _ => self.one_of(&["", "1", "2", "A_b.c"]).to_owned(),
        }
    }

    /// Labels.
    pub(crate) fn labels(&mut self) -> Labels {
        (0..self.below(3)).map(|_| (self.label().into(), self.label_value().into())).collect()
    }

    /// Annotations: any value will do.
    pub(crate) fn annotations(&mut self) -> Labels {
        let value = |draw: &mut Self| draw.one_of(&["", "x", "not a label"]);
        (0..self.below(2)).map(|_| (self.label().into(), value(self).into())).collect()
    }

    /// Finalizers.
    pub(crate) fn finalizers(&mut self) -> Vec<Arc<str>> {
        const GOOD: &[&str] = &["acme.io/keep", "acme.io/other"];
        const ODD: &[&str] = &["keep", "", "acme.io/", "Acme.io/x", "a/b/c", "foregroundDeletion", "orphan"];
        self.list(2, |draw| if draw.one_in(6) { draw.one_of(ODD) } else { draw.one_of(GOOD) }.into())
    }

    /// The name of a container, a gate or another small thing.
    pub(crate) fn word<'a>(&mut self, good: &[&'a str]) -> &'a str {
        const BAD: &[&str] = &["", "A", "-a", "a.b", "a_b", "a b"];
        if self.one_in(40) { self.one_of(BAD) } else { self.one_of(good) }
    }
}
