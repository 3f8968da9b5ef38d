//! A request on its way through the server, and its answer on the way out.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use towtank_model::server::Server;
use towtank_model::time::Time;

use crate::error::ApiError;
use crate::kinds::Resource;
use crate::request::{Parsed, Target, View};
use crate::server::Caller;
use crate::store::to_bytes;
use crate::watch::WatchId;

/// A request on its way through the server.
pub(crate) struct Call<'a> {
    pub(crate) rows: &'a mut Server,
    pub(crate) now: Time,
    pub(crate) caller: &'a Caller,
    pub(crate) parsed: &'a Parsed,
    pub(crate) target: &'a Target,
    pub(crate) resource: Arc<Resource>,
    pub(crate) view: View,
    pub(crate) is_dry_run: bool,
    pub(crate) warnings: Vec<String>,
}

impl Call<'_> {
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, &self.target.name)
    }

    pub(crate) fn key(&self) -> Arc<str> {
        crate::store::key(&self.target.namespace, &self.target.name)
    }

    /// The prefix of keys of the namespace asked for.
    pub(crate) fn prefix(&self) -> String {
        if self.target.namespace.is_empty() { String::new() } else { format!("{}/", self.target.namespace) }
    }
}

/// A response on its way out.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(code: u16, value: &Value) -> Self {
        Self { code, body: to_bytes(value) }
    }
}

/// What an answer is made of.
pub(crate) enum Outcome {
    Reply(Reply),
    Watch(WatchId),
    Text(Bytes),
    Typed(Bytes, String),
}

pub(crate) fn response(reply: Reply, warnings: &[String], retry_after: Option<u32>) -> http::Response<Bytes> {
    let mut response = http::Response::new(reply.body);
    *response.status_mut() =
        http::StatusCode::from_u16(reply.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after
        && let Ok(value) = seconds.to_string().parse()
    {
        headers.insert("retry-after", value);
    }
    for warning in warnings {
        let text: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            headers.append("warning", value);
        }
    }
    response
}
