//! Tables: what `kubectl get` prints (`pkg/printers/internalversion`, and the table convertor of custom resources).

mod cells;
mod path;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use towtank_model::time::Time;
use towtank_wire::printers::{PrinterFeatures, human_duration};

use crate::kinds::{Class, Resource};
use crate::present::{Filter, Include, partial};
use crate::store::{Version, text};

/// A column: name, type, format, and whether only wide tables show it.
type Column = (String, String, String, i64);

/// A table of these objects.
pub(crate) fn of(resource: &Resource, versions: &[Arc<Version>], filter: &Filter, now: Time) -> Value {
    let columns = columns(resource, filter.printers);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, kind, format, priority)| {
            json!({"name": name, "type": kind, "format": format, "description": name, "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = versions
        .iter()
        .map(|version| {
            let value = version.value();
            let cells = match resource.is_custom {
                true => custom_cells(resource, &value, now),
                false => cells::of(resource, version, &value, filter.printers, now),
            };
            let mut row = json!({"cells": cells});
            match filter.include {
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

/// Columns of the built-in kinds; those behind the bar are for wide tables.
fn built_in_columns(resource: &Resource, printers: PrinterFeatures) -> &'static str {
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => "Name Ready Status Restarts Age | IP Node Nominated_Node Readiness_Gates",
        ("batch", "Job") if printers.job_status_column => {
            "Name Status Completions Duration Age | Containers Images Selector"
        }
        ("batch", "Job") => "Name Completions Duration Age | Containers Images Selector",
        ("", "Node") => {
            "Name Status Roles Age Version | Internal-IP External-IP OS-Image Kernel-Version Container-Runtime"
        }
        ("", "Service") => "Name Type Cluster-IP External-IP Port(s) Age | Selector",
        ("", "ConfigMap") => "Name Data Age",
        ("", "Secret") => "Name Type Data Age",
        ("", "Namespace") => "Name Status Age",
        ("" | "events.k8s.io", "Event") => {
            "Last_Seen Type Reason Object | Subobject Source \
                                            / Message | First_Seen Count Name"
        }
        ("coordination.k8s.io", "Lease") => "Name Holder Age",
        ("apps", "Deployment") => "Name Ready Up-to-date Available Age | Containers Images Selector",
        ("policy", _) => "Name Min_Available Max_Unavailable Allowed_Disruptions Age",
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            "Name Role Age | Users Groups ServiceAccounts"
        }
        ("", "ServiceAccount") => "Name Age",
        _ => "Name Created_At",
    }
}

fn columns(resource: &Resource, printers: PrinterFeatures) -> Vec<Column> {
    if resource.is_custom {
        let mut columns = vec![("Name".to_owned(), "string".to_owned(), "name".to_owned(), 0)];
        for column in &resource.columns {
            columns.push((column.name.clone(), column.kind.clone(), column.format.clone(), column.priority));
        }
        if resource.columns.is_empty() {
            columns.push(("Age".to_owned(), "date".to_owned(), String::new(), 0));
        }
        return columns;
    }
    let mut priority = 0;
    let mut columns = Vec::new();
    for word in built_in_columns(resource, printers).split_whitespace() {
        match word {
            "|" => priority = 1,
            "/" => priority = 0,
            name => {
                let format = if name == "Name" { "name" } else { "" };
                let kind = match name {
                    "Created_At" => "date",
                    "Allowed_Disruptions" => "integer",
                    _ => "string",
                };
                columns.push((name.replace('_', " "), kind.to_owned(), format.to_owned(), priority));
            }
        }
    }
    columns
}

fn custom_cells(resource: &Resource, value: &Value, now: Time) -> Vec<Value> {
    let mut cells = vec![Value::from(text(value, "/metadata/name"))];
    if resource.columns.is_empty() {
        cells.push(age(text(value, "/metadata/creationTimestamp"), now).into());
    }
    for column in &resource.columns {
        let found = path::first(value, &column.json_path);
        cells.push(match (column.kind.as_str(), found) {
            (_, None) => Value::Null,
            ("date", Some(time)) => age(time.as_str().unwrap_or_default(), now).into(),
            ("integer" | "number" | "boolean", Some(value)) => value.clone(),
            (_, Some(Value::String(text))) => text.as_str().into(),
            (_, Some(other)) => other.to_string().into(),
        });
    }
    cells
}

/// The time since a timestamp, as people read it.
fn age(timestamp: &str, now: Time) -> String {
    match towtank_wire::time_of(timestamp) {
        Some(then) => human_duration(now.since(then)),
        None => "<unknown>".to_owned(),
    }
}

/// The time between two instants, as people read it.
fn between(start: Time, end: Time) -> String {
    human_duration(Duration::from_micros(end.as_micros().saturating_sub(start.as_micros())))
}

/// Whether the resource's rows are the model's.
fn is_row(resource: &Resource) -> bool {
    matches!(resource.class, Class::Pod | Class::Job | Class::Node)
}
