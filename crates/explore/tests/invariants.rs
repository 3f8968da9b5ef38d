//! Every rule can be broken: for each of them a trace that breaks it and no other.

mod tampering;

use towtank_explore::invariants;

use tampering::Tampering;

#[test]
fn every_rule_has_a_trace_that_breaks_it_and_no_other() {
    for invariant in invariants::all() {
        let tampering = tampering::all().find(|tampering| tampering.breaks == invariant.name);
        let tampering = tampering.unwrap_or_else(|| panic!("nothing breaks `{}`", invariant.name));
        let broken: Vec<_> = tampering.play().into_iter().map(|violation| violation.invariant).collect();
        assert_eq!(broken, [invariant.name], "what the trace against this rule breaks");
    }
}

#[test]
fn every_tampering_is_against_a_rule() {
    for Tampering { breaks, .. } in tampering::all() {
        assert!(invariants::all().any(|invariant| invariant.name == breaks), "no rule `{breaks}`");
    }
}

#[test]
fn the_traces_break_nothing_before_they_are_tampered_with() {
    for tampering in tampering::all() {
        assert_eq!(tampering.untouched(), [], "before `{}`", tampering.breaks);
    }
}
