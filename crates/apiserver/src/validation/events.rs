//! Events, in the form of v1.

use serde_json::Value;

use super::{Errors, is_set};
use crate::names;
use crate::store::{At as _, text};

impl Errors {
    pub(super) fn event(&mut self, object: &Value) {
        const TEXT_MAX: usize = 128;
        const MESSAGE_MAX: usize = 1024;
        let namespace = text(object, "/metadata/namespace");
        let about = text(object, "/involvedObject/namespace");
        let is_new = is_set(object, "/eventTime");
        let fits = match (about, is_new) {
            ("", false) => matches!(namespace, "" | "default"),
            ("", true) => matches!(namespace, "default" | "kube-system"),
            (about, false) => about == namespace,
            (_, true) => true,
        };
        if !fits {
            self.invalid("involvedObject.namespace", about, "does not match event.namespace");
        }
        if !is_new {
            return;
        }
        let controller = text(object, "/reportingComponent");
        if controller.is_empty() {
            self.required("reportingComponent", "");
        }
        self.complain("reportingComponent", controller, names::label_key(controller));
        for (field, most) in [
            ("reportingInstance", TEXT_MAX),
            ("action", TEXT_MAX),
            ("reason", TEXT_MAX),
            ("message", MESSAGE_MAX),
        ] {
            let value = object.get(field).and_then(Value::as_str).unwrap_or_default();
            if value.is_empty() && field != "message" {
                self.required(field, "");
            }
            if value.len() > most {
                self.invalid(field, "", &format!("can have at most {most} characters"));
            }
        }
    }

    /// What `events.k8s.io/v1` asks for besides, which names one field otherwise.
    pub(super) fn strict_event(&mut self, object: &Value, before: Option<&Value>) {
        for error in self.0.iter_mut().filter(|error| error.field == "reportingComponent") {
            error.field = "reportingController".to_owned();
        }
        if before.is_none_or(|before| before.get("series") != object.get("series"))
            && is_set(object, "/series")
        {
            if object.at("/series/count").and_then(Value::as_i64).unwrap_or(0) < 2 {
                self.invalid("series.count", "", "should be at least 2");
            }
            if !is_set(object, "/series/lastObservedTime") {
                self.required("series.lastObservedTime", "");
            }
        }
        let Some(before) = before else {
            if !is_set(object, "/eventTime") {
                self.required("eventTime", "");
            }
            let kind = text(object, "/type");
            if !matches!(kind, "Normal" | "Warning") {
                self.invalid("type", "", &format!("has invalid value: {kind}"));
            }
            let is_from_somewhere = is_set(object, "/source/component") || is_set(object, "/source/host");
            for (field, is_given) in [
                ("firstTimestamp", is_set(object, "/firstTimestamp")),
                ("lastTimestamp", is_set(object, "/lastTimestamp")),
                ("count", is_set(object, "/count")),
                ("source", is_from_somewhere),
            ] {
                if is_given {
                    self.invalid(field, "", "needs to be unset");
                }
            }
            return;
        };
        const STAY: [&str; 13] = [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingComponent",
            "reportingInstance",
        ];
        for field in STAY.into_iter().filter(|field| before.get(field) != object.get(field)) {
            let told = if field == "reportingComponent" { "reportingController" } else { field };
            self.invalid(told, object.get(field).cloned().unwrap_or_default(), "field is immutable");
        }
    }
}
