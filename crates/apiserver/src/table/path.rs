//! The few words of JSONPath that printer columns use: `.a.b`, `['a']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.

use serde_json::Value;

/// The first value that a path leads to.
pub(super) fn first<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    const STEPS_MAX: usize = 64;
    let (mut place, mut rest) = (value, path.trim());
    for _ in 0..STEPS_MAX {
        if rest.is_empty() {
            return (!place.is_null()).then_some(place);
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']')?;
            place = indexed(place, &inside[..end])?;
            rest = &inside[end + 1..];
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            // A dot within a name is written with a backslash.
            let mut end = name.len();
            let mut is_escaped = false;
            for (position, c) in name.char_indices() {
                if !is_escaped && matches!(c, '.' | '[') {
                    end = position;
                    break;
                }
                is_escaped = c == '\\' && !is_escaped;
            }
            let field = name[..end].replace('\\', "");
            if !field.is_empty() {
                place = place.get(&field)?;
            } else if end == 0 && rest.len() == name.len() {
                return None;
            }
            rest = &name[end..];
        }
    }
    None
}

fn indexed<'a>(place: &'a Value, inside: &str) -> Option<&'a Value> {
    let unquoted = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
    if let Some(filter) = inside.strip_prefix("?(@.").and_then(|filter| filter.strip_suffix(')')) {
        let (field, wanted) = filter.split_once("==")?;
        let wanted = unquoted(wanted);
        let found = place.as_array()?.iter().find(|one| match one.get(field.trim()) {
            Some(Value::String(text)) => *text == wanted,
            Some(other) => *other == wanted,
            None => false,
        });
        return found;
    }
    if inside == "*" {
        return place.as_array()?.first();
    }
    match inside.parse::<i64>() {
        Ok(index) if index < 0 => {
            let list = place.as_array()?;
            list.get(list.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?)
        }
        Ok(index) => place.as_array()?.get(usize::try_from(index).ok()?),
        Err(_) => place.get(unquoted(inside)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns() {
        let value = json!({"spec": {"size": 4, "a.b": 1}, "status": {"conditions": [
            {"type": "Done", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        for (path, expected) in [
            (".spec.size", Some(json!(4))),
            (".spec['size']", Some(json!(4))),
            (".spec.a\\.b", Some(json!(1))),
            (".status.conditions[?(@.type==\"Ready\")].status", Some(json!("True"))),
            (".status.conditions[?(@.type=='Gone')].status", None),
            (".status.conditions[0].type", Some(json!("Done"))),
            (".status.conditions[-1].type", Some(json!("Ready"))),
            (".status.conditions[-3].type", None),
            (".status.nothing", None),
            ("[", None),
            ("", Some(value.clone())),
        ] {
            assert_eq!(first(&value, path), expected.as_ref(), "{path}");
        }
        for odd in ["....", "[[", "[?(@.", "ä[", ".[0]", "\\"] {
            let _ = first(&value, odd);
        }
    }
}
