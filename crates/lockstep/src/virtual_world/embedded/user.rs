//! What users do to MiniClusters through the API, and what is to be seen of them there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use towtank_model::objects::ObjectKey;
use towtank_model::server::Server;
use towtank_model::simulation::Context;
use towtank_model::time::Time;
use towtank_scenario::ast::{MiniClusterEdit, MiniClusterManifest};
use towtank_scenario::observation::{MiniClusterSpecView, MiniClusterStatusView, MiniClusterView};

use super::super::upper::{Upper, command_refusal, flux_view};
use super::production::{Api, MINICLUSTERS, Production};
use crate::world::{Refusal, RefusedField};

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
pub(super) const JSON: &str = "application/json";

impl<A: Api> Production<A> {
    /// A request of the user's; the body of the answer, or the refusal.
    fn ask(
        &mut self,
        ctx: &mut Context<'_>,
        (method, path, content_type): (Method, &str, &str),
        body: &Value,
    ) -> Result<Value, Refusal> {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.send(ctx, (method, path, content_type), bytes)
    }

    /// The same with a body that is written already.
    pub(super) fn send(
        &mut self,
        ctx: &mut Context<'_>,
        (method, path, content_type): (Method, &str, &str),
        bytes: Bytes,
    ) -> Result<Value, Refusal> {
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.body(bytes).map_err(|error| Refusal::new("BadRequest", error.to_string()))?;
        let response = self.api.send(request, ctx).map_err(|why| Refusal::new("ServiceUnavailable", why))?;
        let is_refused = response.status().is_client_error() || response.status().is_server_error();
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if is_refused { Err(refusal(&body)) } else { Ok(body) }
    }

    /// Where the MiniCluster of this name is: steps know it by its name alone.
    fn path_of(&self, name: &str) -> Result<String, Refusal> {
        let known = self.miniclusters().into_iter().find(|object| object["metadata"]["name"] == *name);
        let Some(known) = known else {
            return Err(Refusal::new(
                "NotFound",
                format!("miniclusters.flux-framework.org \"{name}\" not found"),
            ));
        };
        let namespace = known["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        Ok(path(&namespace, name))
    }

    fn miniclusters(&self) -> Vec<Arc<Value>> {
        self.api.objects("flux-framework.org", "miniclusters")
    }
}

fn path(namespace: &str, name: &str) -> String {
    format!("{MINICLUSTERS}/namespaces/{namespace}/miniclusters/{name}")
}

impl<A: Api> Upper for Production<A> {
    fn apply(
        &mut self,
        key: &ObjectKey,
        manifest: &MiniClusterManifest,
        ctx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let path = path(&key.namespace, &key.name);
        let path = format!("{path}?fieldManager=kubectl&force=true&fieldValidation=Strict");
        self.ask(ctx, (Method::PATCH, &path, APPLY), &manifest.object).map(drop)
    }

    fn edit(&mut self, name: &str, edit: &MiniClusterEdit, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        let mut spec = serde_json::Map::new();
        if let Some(size) = edit.size {
            spec.insert("size".to_owned(), size.into());
        }
        if let Some(max_size) = edit.max_size {
            spec.insert("maxSize".to_owned(), max_size.into());
        }
        if let Some(min_size) = edit.min_size {
            spec.insert("minSize".to_owned(), min_size.into());
        }
        let path = self.path_of(name)?;
        self.ask(ctx, (Method::PATCH, &path, MERGE), &json!({"spec": spec})).map(drop)
    }

    fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        let path = self.path_of(name)?;
        self.ask(ctx, (Method::DELETE, &path, JSON), &Value::Null).map(drop)
    }

    fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.brokers.run(name, line, ctx).map_err(|error| command_refusal(&error))
    }

    fn signal(&mut self, name: &str, rank: u32, kills: bool, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.brokers.signal(name, rank, kills, ctx).map_err(|error| command_refusal(&error))
    }

    fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        self.brokers.print(name, line, now)
    }

    fn views(&self, _server: &Server) -> Vec<MiniClusterView> {
        self.miniclusters().iter().map(|object| self.view(object)).collect()
    }
}

impl<A: Api> Production<A> {
    fn view(&self, object: &Value) -> MiniClusterView {
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let flux = self.brokers.get(name);
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let is_true = |condition: &&Value| condition["status"] == "True";
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let true_ones: Vec<&Value> = conditions.into_iter().flatten().filter(is_true).collect();
        let is_refusal =
            |condition: &&&Value| condition["type"] == "ScalingLimited" || condition["type"] == "Degraded";
        let told = true_ones.iter().find(is_refusal).map(|condition| text(condition, "message"));
        let of_lead = flux.and_then(|flux| flux.refusal().map(str::to_owned));
        MiniClusterView {
            name: name.to_owned(),
            exists: true,
            spec: MiniClusterSpecView { size: number("/spec/size") },
            status: MiniClusterStatusView {
                size: number("/status/size"),
                ready: number("/status/ready"),
                online: number("/status/online"),
                completed_indexes: object
                    .pointer("/status/completedIndexes")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                maximum_size: number("/status/maximumSize"),
                conditions: true_ones.iter().map(|condition| text(condition, "type")).collect(),
            },
            refusal: told.or(of_lead).or_else(|| self.faults.get(name).cloned()).unwrap_or_default(),
            flux: flux.map(|flux| flux_view(flux.instance())).unwrap_or_default(),
        }
    }
}

/// A `metav1.Status`.
fn refusal(status: &Value) -> Refusal {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let field = |cause: &Value| RefusedField {
        field: text(&cause["field"]),
        kind: text(&cause["reason"]).trim_start_matches("FieldValue").to_owned(),
        detail: text(&cause["message"]),
    };
    Refusal {
        reason: text(&status["reason"]),
        message: text(&status["message"]),
        fields: causes.into_iter().flatten().map(field).collect(),
    }
}
