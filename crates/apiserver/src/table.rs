//! Tables: what `kubectl get` prints (`pkg/printers/internalversion`, and the table convertor of custom resources).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use towtank_model::time::Time;

use crate::kinds::Resource;
use crate::present::{Include, partial};
use crate::store::{Version, text};

/// A table of these objects.
pub(crate) fn of(resource: &Resource, versions: &[Arc<Version>], include: Include, now: Time) -> Value {
    let columns = columns(resource);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, kind, format, priority)| {
            json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = versions
        .iter()
        .map(|version| {
            let value = version.value();
            let cells = cells(resource, &value, now);
            let mut row = json!({"cells": cells});
            match include {
                Include::None => {}
                Include::Metadata => row["object"] = partial(&value),
                Include::Object => row["object"] = Value::clone(&value),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn columns(resource: &Resource) -> Vec<(String, String, String, i64)> {
    let mut columns = vec![("Name".to_owned(), "string".to_owned(), "name".to_owned(), 0)];
    for column in &resource.columns {
        columns.push((column.name.clone(), column.kind.clone(), column.format.clone(), column.priority));
    }
    if !resource.is_custom || resource.columns.is_empty() {
        let kind = if resource.is_custom { "date" } else { "string" };
        columns.push(("Age".to_owned(), kind.to_owned(), String::new(), 0));
    }
    columns
}

fn cells(resource: &Resource, value: &Value, now: Time) -> Vec<Value> {
    let _ = resource;
    let created = text(value, "/metadata/creationTimestamp");
    vec![text(value, "/metadata/name").into(), age(created, now).into()]
}

/// The time since a timestamp, as people read it.
pub(crate) fn age(timestamp: &str, now: Time) -> String {
    match towtank_wire::time_of(timestamp) {
        Some(then) => human_duration(now.since(then)),
        None => "<unknown>".to_owned(),
    }
}

/// `duration.HumanDuration`.
pub(crate) fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        small => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}
