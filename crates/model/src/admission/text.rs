//! The shapes of names and label values (`k8s.io/apimachinery/pkg/util/validation`).

/// Longest DNS label, label value, and name part of a qualified name.
const LABEL_LEN_MAX: usize = 63;
/// Longest DNS subdomain.
const SUBDOMAIN_LEN_MAX: usize = 253;

const LABEL_SHAPE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                           must start and end with an alphanumeric character";
const SUBDOMAIN_SHAPE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                               or '.', and must start and end with an alphanumeric character";
const VALUE_SHAPE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character";
const NAME_PART_SHAPE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                               end with an alphanumeric character";

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn has_label_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&first| is_lower_alphanumeric(first))
        && bytes.last().is_some_and(|&last| is_lower_alphanumeric(last))
        && bytes.iter().all(|&byte| is_lower_alphanumeric(byte) || byte == b'-')
}

fn has_value_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn judge(text: &str, len_max: usize, has_shape: bool, shape: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > len_max {
        faults.push(format!("must be no more than {len_max} characters"));
    }
    if !has_shape {
        faults.push(shape.to_owned());
    }
    faults
}

/// What keeps a text from being a DNS label.
pub(super) fn label_faults(text: &str) -> Vec<String> {
    judge(text, LABEL_LEN_MAX, has_label_shape(text), LABEL_SHAPE)
}

/// What keeps a text from being a DNS subdomain.
pub(super) fn subdomain_faults(text: &str) -> Vec<String> {
    judge(text, SUBDOMAIN_LEN_MAX, text.split('.').all(has_label_shape), SUBDOMAIN_SHAPE)
}

/// What keeps a text from being the value of a label.
pub(super) fn label_value_faults(text: &str) -> Vec<String> {
    judge(text, LABEL_LEN_MAX, text.is_empty() || has_value_shape(text), VALUE_SHAPE)
}

/// What keeps a text from being a qualified name: a name, or a DNS subdomain, a slash and a name.
pub(super) fn qualified_name_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {NAME_PART_SHAPE} with an optional DNS subdomain prefix and '/'"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain_faults(prefix).iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    }
    faults.extend(judge(name, LABEL_LEN_MAX, has_value_shape(name), NAME_PART_SHAPE));
    faults
}

/// What keeps a text that is not empty from being a domain-prefixed path such as `acme.io/foo`.
pub(super) fn domain_prefixed_path_faults(text: &str) -> Vec<String> {
    let Some((domain, path)) =
        text.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
    else {
        return vec!["must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned()];
    };
    let mut faults = subdomain_faults(domain);
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)) {
        faults.push(
            "Invalid path (e.g. 'foo', regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
                .to_owned(),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let long = |len: usize| "a".repeat(len);
        type Judge = fn(&str) -> Vec<String>;
        let cases: [(Judge, &[&str], &[&str]); 5] = [
            (
                label_faults,
                &["a", "0", "my-name", &long(63)],
                &["", "-a", "a-", "A", "a.b", "a_b", &long(64)],
            ),
            (subdomain_faults, &["a", "a.b-c.0", &long(253)], &["", ".a", "a..b", "a.-b", "A.b", &long(254)]),
            (label_value_faults, &["", "A_b.c-1", &long(63)], &["-a", "a_", "a b", "ä", &long(64)]),
            (qualified_name_faults, &["Ready", "a.b/C_d"], &["", "/a", "a/", "A/b", "a/b/c", " x"]),
            (
                domain_prefixed_path_faults,
                &["acme.io/foo", "acme.io/foo/bar%20"],
                &["", "foo", "/foo", "acme.io/", "Acme.io/foo", "acme.io/f oo"],
            ),
        ];
        for (judge, good, bad) in cases {
            for text in good {
                assert_eq!(judge(text), Vec::<String>::new(), "{text}");
            }
            for text in bad {
                assert_ne!(judge(text), Vec::<String>::new(), "{text}");
            }
        }
    }
}
