//! The recorded figures.

use std::collections::BTreeMap;

/// A figure: milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) n: f64,
}

/// All of them, by series and operation, in the order of the file.
pub(crate) struct Facts(BTreeMap<(String, String), Vec<(String, Figure)>>);

impl Facts {
    /// Lines `series operation name median min max n`.
    pub(crate) fn read(text: &str) -> Self {
        let mut facts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let [series, operation, name, numbers @ ..] = words.as_slice() else { continue };
            let numbers: Vec<f64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let [median, min, max, n] = numbers[..] else { panic!("not four numbers: {line}") };
            let figure = Figure { median, min, max, n };
            let of = facts.entry(((*series).to_owned(), (*operation).to_owned())).or_default();
            of.push(((*name).to_owned(), figure));
        }
        Self(facts)
    }

    pub(crate) fn of(&self, series: &str, operation: &str) -> impl Iterator<Item = (&str, Figure)> {
        let of = self.0.get(&(series.to_owned(), operation.to_owned()));
        of.into_iter().flatten().map(|(name, figure)| (name.as_str(), *figure))
    }

    /// A figure as the operations say that the model is fitted on.
    pub(crate) fn fitted(&self, series: &str, name: &str) -> f64 {
        let all = ["3->4", "4->3"].map(|operation| self.of(series, operation).find(|(of, _)| *of == name));
        let known: Vec<f64> = all.into_iter().flatten().map(|(_, figure)| figure.median).collect();
        known.iter().sum::<f64>() / known.len() as f64
    }
}
