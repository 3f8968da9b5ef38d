//! Seeded mutants: mistakes of one line, of the kind that a reviewer misses, which a comparison with the real controller
//! must find.
//!
//! `mutant!(7, right => wrong)` is `right`. Only with the cargo feature `mutants`, and only when mutant 7 is selected, is
//! it `wrong`; without the feature nothing of `wrong` is compiled.

/// `right`, or `wrong` in the mutant of this number.
macro_rules! mutant {
    ($number:literal, $right:expr => $wrong:expr) => {{
        #[cfg(feature = "mutants")]
        let value = if $crate::mutants::is_selected($number) { $wrong } else { $right };
        #[cfg(not(feature = "mutants"))]
        let value = $right;
        value
    }};
}
