//! What a status template writes, as far as that can be told without running it.
//!
//! A template is text of YAML with actions in `{{ … }}`. Lines that hold nothing but an action are left out, and actions within a line become a word
//! that stands for anything; what is left is read as YAML. So the branches of a condition are read as if all of them were written, and what must be known
//! may not depend on one.

use serde_json::Value;

/// Stands for what an action writes.
const ANYTHING: &str = "anything";
/// What is compared, and so may not stand in a branch.
const PHASE: &str = "phase:";

/// What is read of a template.
#[derive(Debug)]
pub(super) struct Status(Value);

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It is not written.
    Nothing,
    /// It is, whenever it is written.
    True,
    /// Somewhere it is not.
    Otherwise,
}

impl Status {
    /// Reads a template.
    pub(super) fn read(template: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! {
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        };
        let value: Value = serde_saphyr::from_str_with_options(&skeleton(template)?, options)
            .map_err(|error| format!("without its actions it is no YAML: {}", error.without_snippet()))?;
        match value {
            Value::Object(_) => Ok(Self(value)),
            _ => Err("it writes no fields".to_owned()),
        }
    }

    /// The phase that it writes.
    pub(super) fn phase(&self) -> Option<String> {
        self.0.get("phase").map(|phase| phase.as_str().map_or_else(|| phase.to_string(), str::to_owned))
    }

    /// Of the condition Ready.
    pub(super) fn ready(&self) -> Says {
        self.entries(
            "conditions",
            |entry| entry.get("type") == Some(&"Ready".into()),
            |entry| entry.get("status") == Some(&"True".into()),
        )
    }

    /// Of the containers' being ready and running.
    pub(super) fn containers_run(&self) -> Says {
        self.entries(
            "containerStatuses",
            |_| true,
            |entry| {
                let state = entry.get("state").and_then(Value::as_object);
                entry.get("ready") == Some(&Value::Bool(true))
                    && state.is_some_and(|state| state.keys().all(|key| key == "running"))
            },
        )
    }

    /// Of each condition's being as KWOK has it of its own accord.
    pub(super) fn conditions_are_the_usual(&self) -> Says {
        self.entries(
            "conditions",
            |_| true,
            |entry| {
                let text = |field| entry.get(field).and_then(Value::as_str);
                matches!(
                    (text("type"), text("status")),
                    (Some("Ready"), Some("True")) | (Some(ANYTHING), Some(ANYTHING))
                )
            },
        )
    }

    /// Whether all entries of a list that are meant are so.
    fn entries(&self, list: &str, is_meant: fn(&Value) -> bool, is_so: fn(&Value) -> bool) -> Says {
        let mut says = Says::Nothing;
        let entries = self.0.get(list).and_then(Value::as_array).into_iter().flatten();
        for entry in entries.filter(|entry| is_meant(entry)) {
            if !is_so(entry) {
                return Says::Otherwise;
            }
            says = Says::True;
        }
        says
    }
}

/// A template without its actions.
fn skeleton(template: &str) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut depth = 0_usize;
    for line in template.lines() {
        let (text, actions) = without_actions(line)?;
        for action in &actions {
            match action.split_whitespace().next() {
                Some("if" | "range" | "with" | "define" | "block") => depth += 1,
                Some("end") => {
                    depth = depth.checked_sub(1).ok_or("an `{{ end }}` ends nothing".to_owned())?;
                }
                _ => {}
            }
        }
        if depth > 0 && text.trim_start().starts_with(PHASE) {
            return Err("its phase depends on a condition".to_owned());
        }
        let is_of_actions_alone = !actions.is_empty() && text.replace(ANYTHING, "").trim().is_empty();
        if !is_of_actions_alone {
            out.push_str(&text);
            out.push('\n');
        }
    }
    Ok(out)
}

/// A line with a word for each action in it, and the actions.
fn without_actions(line: &str) -> Result<(String, Vec<&str>), String> {
    let (mut text, mut actions, mut rest) = (String::new(), Vec::new(), line);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (action, after) = behind
            .split_once("}}")
            .ok_or_else(|| format!("an action does not end in its line: `{}`", line.trim()))?;
        text.push_str(before);
        text.push_str(ANYTHING);
        actions.push(action.trim_matches('-').trim());
        rest = after;
    }
    text.push_str(rest);
    Ok((text, actions))
}
