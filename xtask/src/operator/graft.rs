//! Puts all mistakes into one copy of the operator's sources: each behind a question that is asked at run time, so that one build has them all.

use std::collections::BTreeMap;
use std::ops::Range;

use super::mutants::{Edit, Mutant};

/// What the copy asks whether a mistake is made: a module of its own.
pub(super) const SWITCH: &str = "\
//! Which mistake is made.

use std::sync::LazyLock;

static SELECTED: LazyLock<Option<usize>> =
    LazyLock::new(|| std::env::var(\"TOWTANK_MUTANT\").ok().and_then(|number| number.parse().ok()));

pub(crate) fn is(number: usize) -> bool {
    *SELECTED == Some(number)
}
";

/// Where something changes, and what it changes to, by the mutant's number.
type Places = BTreeMap<(usize, usize), Vec<(usize, &'static str)>>;

/// A file with the mistakes that are made in it; the first mutant is number 1.
///
/// # Errors
///
/// The place of a mistake is not there, or is there more than once, or one lies within another: says of which mutant.
pub(super) fn graft(name: &str, source: &str, mutants: &[Mutant]) -> Result<String, String> {
    let mut places = Places::new();
    for (number, mutant) in (1..).zip(mutants) {
        for edit in mutant.edits.iter().filter(|edit| edit.file == name) {
            let range = find(source, edit)
                .map_err(|why| format!("mutant {number} ({}): {name}: {why}", mutant.mistake))?;
            places.entry((range.start, range.end)).or_default().push((number, edit.wrong));
        }
    }
    let (mut text, mut end) = (String::new(), 0);
    for ((start, until), wrongs) in places {
        let numbers = || wrongs.iter().map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(", ");
        let unchanged = source
            .get(end..start)
            .ok_or_else(|| format!("mutants {} change something within another's place", numbers()))?;
        text.push_str(unchanged);
        text.push_str(&choice(&source[start..until], &wrongs));
        end = until;
    }
    text.push_str(&source[end..]);
    Ok(text)
}

/// Where what changes is.
fn find(source: &str, edit: &Edit) -> Result<Range<usize>, String> {
    let parts = edit.place.split_once('⟦').and_then(|(before, rest)| Some((before, rest.split_once('⟧')?)));
    let (before, (piece, after)) = parts.ok_or("its place has no ⟦ and ⟧")?;
    let place = [before, piece, after].concat();
    let mut found = source.match_indices(&place).map(|(start, _)| start + before.len());
    match (found.next(), found.next()) {
        (Some(start), None) => Ok(start..start + piece.len()),
        (None, _) => Err(format!("`{place}` is not there")),
        (Some(_), Some(_)) => Err(format!("`{place}` is there more than once")),
    }
}

/// The piece, or what a mutant has there.
fn choice(piece: &str, wrongs: &[(usize, &str)]) -> String {
    let mut text: String = wrongs
        .iter()
        .map(|(number, wrong)| format!("if crate::mutants::is({number}) {{ {wrong} }} else "))
        .collect();
    text.push_str(&format!("{{ {piece} }}"));
    // An expression can be part of another; statements and blocks stand for themselves.
    if piece.is_empty() || piece.ends_with(['}', ';']) { text } else { format!("({text})") }
}

#[cfg(test)]
mod tests {
    use super::super::mutants::MUTANTS;
    use super::*;

    const fn mutant(edits: &'static [Edit]) -> Mutant {
        Mutant { mistake: "m", edits, escapes: "" }
    }

    const fn edit(place: &'static str, wrong: &'static str) -> Edit {
        Edit { file: "a.rs", place, wrong }
    }

    #[test]
    fn mistakes_of_one_place_and_of_several_are_in_one_text() {
        const EDITS: [Mutant; 3] = [
            mutant(&[edit("(⟦a⟧)", "b")]),
            mutant(&[edit("(⟦a⟧)", "c"), edit("(a);⟦⟧", "stop();")]),
            mutant(&[Edit { file: "b.rs", ..edit("⟦elsewhere⟧", "") }]),
        ];
        let is = "crate::mutants::is";
        let expected = format!(
            "f((if {is}(1) {{ b }} else if {is}(2) {{ c }} else {{ a }}));if {is}(2) {{ stop(); }} else {{  }} g();"
        );
        assert_eq!(graft("a.rs", "f(a); g();", &EDITS), Ok(expected));
    }

    #[test]
    fn a_place_that_is_not_there_once_is_named() {
        const GONE: [Mutant; 1] = [mutant(&[edit("f(⟦b⟧)", "")])];
        assert_eq!(graft("a.rs", "f(a)", &GONE), Err("mutant 1 (m): a.rs: `f(b)` is not there".to_owned()));
        const TWICE: [Mutant; 1] = [mutant(&[edit("⟦a⟧", "")])];
        let fault = graft("a.rs", "a a", &TWICE);
        assert_eq!(fault, Err("mutant 1 (m): a.rs: `a` is there more than once".to_owned()));
        const WITHIN: [Mutant; 2] = [mutant(&[edit("⟦f(a)⟧", "")]), mutant(&[edit("f(⟦a⟧)", "")])];
        let fault = graft("a.rs", "f(a)", &WITHIN);
        assert_eq!(fault, Err("mutants 2 change something within another's place".to_owned()));
    }

    /// Who changes the operator hears of it at once.
    #[test]
    fn every_mistake_has_its_place_in_the_operator() {
        let files: std::collections::BTreeSet<&str> =
            MUTANTS.iter().flat_map(|mutant| mutant.edits).map(|edit| edit.file).collect();
        for file in files {
            let path = crate::command::root().join("crates/operator/src").join(file);
            let source =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if let Err(fault) = graft(file, &source, MUTANTS) {
                panic!("{fault}");
            }
        }
    }

    #[test]
    fn there_are_enough_of_them_each_once() {
        let mistakes: std::collections::BTreeSet<&str> =
            MUTANTS.iter().map(|mutant| mutant.mistake).collect();
        assert_eq!(mistakes.len(), MUTANTS.len());
        assert!(MUTANTS.len() >= 25 && MUTANTS.iter().all(|mutant| !mutant.edits.is_empty()));
    }
}
