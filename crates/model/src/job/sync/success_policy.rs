//! `successPolicy`: success before all indexes are done (KEP-3998; upstream `TestMatchSuccessPolicy`).

use crate::index_set::IndexSet;
use crate::objects::SuccessPolicy;

/// The position of the first rule that the succeeded indexes fulfil. Nothing is fulfilled while no index has
/// succeeded, and a rule whose list has no index below `completions` is passed over.
pub(super) fn first_match(policy: &SuccessPolicy, completions: u32, succeeded: &IndexSet) -> Option<usize> {
    if succeeded.is_empty() {
        return None;
    }
    let reaches = |found: usize, count: Option<i32>| {
        count.is_some_and(|count| {
            usize::try_from(count).map_or(true, |count| mutant!(22, found >= count => found > count))
        })
    };
    policy.rules.iter().position(|rule| match &rule.succeeded_indexes {
        None => reaches(succeeded.len(), rule.succeeded_count),
        Some(text) => {
            let required = IndexSet::parse_below(text, completions);
            let found = required.overlap_len(succeeded);
            !required.is_empty()
                && (mutant!(21, found == required.len() => found > 0) || reaches(found, rule.succeeded_count))
        }
    })
}
