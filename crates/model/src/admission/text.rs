//! The shapes of names and label values (`k8s.io/apimachinery/pkg/util/validation`), in the words of the newest version;
//! [`super::wording`] has the older ones.

/// Longest DNS label, label value, and name part of a qualified name.
const LABEL_LEN_MAX: usize = 63;
/// Longest DNS subdomain.
const SUBDOMAIN_LEN_MAX: usize = 253;

const LABEL_SHAPE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                           must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex \
                           used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_SHAPE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                               or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
                               regex used for validation is \
                               '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_SHAPE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
                           'my_value',  or '12345', regex used for validation is \
                           '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART_SHAPE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
                               an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                               validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

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

fn too_long(text: &str, len_max: usize, unit: &str) -> Option<String> {
    (text.len() > len_max).then(|| format!("must be no more than {len_max} {unit}"))
}

fn misshapen(has_shape: bool, shape: &str) -> Option<String> {
    (!has_shape).then(|| shape.to_owned())
}

/// What keeps a text from being a DNS label.
pub(super) fn label_faults(text: &str) -> Vec<String> {
    let shape = if has_subdomain_shape(text) { "must not contain dots" } else { LABEL_SHAPE };
    let length = too_long(text, LABEL_LEN_MAX, "characters");
    length.into_iter().chain(misshapen(has_label_shape(text), shape)).collect()
}

/// What keeps a text from being a DNS subdomain.
pub(super) fn subdomain_faults(text: &str) -> Vec<String> {
    subdomain_faults_in(text, "characters")
}

fn subdomain_faults_in(text: &str, unit: &str) -> Vec<String> {
    let length = too_long(text, SUBDOMAIN_LEN_MAX, unit);
    length.into_iter().chain(misshapen(has_subdomain_shape(text), SUBDOMAIN_SHAPE)).collect()
}

fn has_subdomain_shape(text: &str) -> bool {
    text.split('.').all(has_label_shape)
}

/// What keeps a text from being the value of a label.
pub(super) fn label_value_faults(text: &str) -> Vec<String> {
    let has_shape = text.is_empty() || has_value_shape(text);
    too_long(text, LABEL_LEN_MAX, "bytes").into_iter().chain(misshapen(has_shape, VALUE_SHAPE)).collect()
}

/// What keeps a text from being a qualified name: a name, or a DNS subdomain, a slash and a name.
pub(super) fn qualified_name_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {NAME_PART_SHAPE} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                let prefix = subdomain_faults_in(prefix, "bytes");
                faults.extend(prefix.iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    let length = if name.is_empty() {
        Some("must be non-empty".to_owned())
    } else {
        too_long(name, LABEL_LEN_MAX, "bytes")
    };
    let part = length.into_iter().chain(misshapen(has_value_shape(name), NAME_PART_SHAPE));
    faults.extend(part.map(|fault| format!("name part {fault}")));
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
            "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')".to_owned(),
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
