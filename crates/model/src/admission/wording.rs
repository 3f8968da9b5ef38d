//! Texts that Kubernetes has reworded: rules speak the newest version's words, and here they become those of older ones.

use std::collections::BTreeSet;

use super::{FieldError, FieldErrorType};
use crate::version::KubernetesVersion;

/// The minor version from which on labels are measured in bytes and called so.
const LABEL_KEYS_SINCE: u16 = 35;
/// The minor version from which on all that is too long is told in the same words.
const TOO_LONG_SINCE: u16 = 32;

/// The minor version from which on no error is told twice.
const TOLD_ONCE_SINCE: u16 = 37;

/// Puts the errors into the words of this version.
///
/// Where the original tells no error twice, it goes by the value too, which errors do not have here: two bad labels may
/// be one error where the original has two.
pub(super) fn apply(errors: &mut Vec<FieldError>, version: KubernetesVersion) {
    if version.minor() >= TOLD_ONCE_SINCE {
        let mut told = BTreeSet::new();
        errors.retain(|error| told.insert(error.clone()));
    }
    for error in errors {
        if version.minor() < LABEL_KEYS_SINCE && error.kind == FieldErrorType::Invalid {
            before_label_keys(&mut error.detail);
        }
        if version.minor() < TOO_LONG_SINCE && error.kind == FieldErrorType::TooLong {
            before_one_too_long(error);
        }
    }
}

fn before_label_keys(detail: &mut String) {
    let is_length = detail.contains("must be no more than ");
    if let Some(rest) = detail.strip_suffix(" bytes").filter(|_| is_length) {
        *detail = format!("{rest} characters");
    }
    if let Some(rest) = detail.strip_prefix("a valid label key ") {
        *detail = format!("a qualified name {rest}");
    }
}

/// There were two kinds of texts, and each rule chose one (`TooLong`, `TooLongMaxLength`).
fn before_one_too_long(error: &mut FieldError) {
    let len_max: String = error.detail.chars().filter(char::is_ascii_digit).collect();
    error.detail = if error.field == "spec.managedBy" {
        format!("may not be longer than {len_max}")
    } else {
        format!("must have at most {len_max} bytes")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::text::{label_value_faults, qualified_name_faults};

    fn worded(error: FieldError, minor: u16) -> String {
        let mut errors = vec![error];
        apply(&mut errors, KubernetesVersion::from_minor(minor).expect("a known version"));
        errors.remove(0).detail
    }

    /// Upstream `MaxLenError` of `util/validation` and of `api/validate/content`, `TooLong` and `TooLongMaxLength`.
    #[test]
    fn older_versions_have_older_words() {
        let label = || FieldError::invalid("metadata.labels", label_value_faults(&"v".repeat(64)).remove(0));
        assert_eq!(worded(label(), 34), "must be no more than 63 characters");
        assert_eq!(worded(label(), 35), "must be no more than 63 bytes");
        let key = || FieldError::invalid("metadata.labels", qualified_name_faults("a/b/c").remove(0));
        assert!(worded(key(), 34).starts_with("a qualified name must"), "{}", worded(key(), 34));
        assert!(worded(key(), 35).starts_with("a valid label key must"), "{}", worded(key(), 35));
        let long = |field: &str| FieldError::too_long(field, 63);
        assert_eq!(worded(long("spec.managedBy"), 31), "may not be longer than 63");
        assert_eq!(
            worded(long("spec.successPolicy.rules[0].succeededIndexes"), 31),
            "must have at most 63 bytes"
        );
        assert_eq!(worded(long("spec.managedBy"), 32), "may not be more than 63 bytes");
    }
}
