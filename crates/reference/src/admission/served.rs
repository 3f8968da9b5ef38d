//! The same writes as requests to the embedded API server, and its answers beside the original's: whether a write is
//! accepted, whether it changes anything, the object as it is stored, and of a refusal its code, its reason and the causes'
//! reasons and fields.

use bytes::Bytes;
use serde_json::Value;
use towtank_apiserver::{Answer, ApiServer, Caller, Config};
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::Features;

/// An API server with one object.
pub(super) struct Served {
    api: ApiServer,
    rows: Server,
    features: Features,
    /// The questions that were agreed on.
    asked: Vec<Value>,
}

/// What two answers have alone, line by line: the server's, the original's.
pub(super) type Alone = (Vec<String>, Vec<String>);

impl Served {
    pub(super) fn new(features: Features) -> Self {
        let mut rows = Server::new(features, false);
        let config = Config { version: features.version, ..Config::default() };
        let api = ApiServer::new(config, &mut rows, Time::ZERO);
        Self { api, rows, features, asked: Vec::new() }
    }

    /// Puts the driver's question to the server; in what its answer and the driver's differ, if they do.
    pub(super) fn differs(&mut self, question: &Value, answer: &Value) -> Option<Alone> {
        // What the driver cannot read was never put to the original's rules.
        if answer.get("error").is_some() {
            return None;
        }
        let (ours, theirs) = (self.answer(question), original(question, answer));
        let is_refused = ours.first().is_some_and(|line| line.starts_with('4'));
        if ours == theirs || (is_refused && theirs.first().is_some_and(|line| line.starts_with("500"))) {
            return None;
        }
        let alone = |lines: &[String], others: &[String]| {
            lines.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<String>>()
        };
        Some((alone(&ours, &theirs), alone(&theirs, &ours)))
    }

    /// Notes that the answers to this question were the same.
    pub(super) fn go_on(&mut self, question: Value) {
        self.asked.push(question);
    }

    /// The same server before its last question, for another try.
    pub(super) fn again(&self) -> Self {
        let mut served = Self::new(self.features);
        for question in &self.asked {
            let _ = served.answer(question);
        }
        served.asked.clone_from(&self.asked);
        served
    }

    /// The server's answer, as lines.
    fn answer(&mut self, question: &Value) -> Vec<String> {
        let text = |field: &str| question.get(field).and_then(Value::as_str).unwrap_or_default();
        let prefix = if text("resource") == "jobs" { "/apis/batch/v1" } else { "/api/v1" };
        let collection = format!("{prefix}/namespaces/default/{}", text("resource"));
        let named = if text("verb") == "create" { "new" } else { "old" };
        let name = question.get(named).and_then(|object| object.pointer("/metadata/name"));
        let path = format!("{collection}/{}", name.and_then(Value::as_str).unwrap_or_default());
        let mut body = question.get("new").cloned().unwrap_or_default();
        // Either side counts its own versions.
        let before = self.send("GET", &path, Bytes::new());
        if let (Some(given), Some(stored)) =
            (body.pointer_mut("/metadata/resourceVersion"), before.1.pointer("/metadata/resourceVersion"))
        {
            *given = stored.clone();
        }
        let body = Bytes::from(body.to_string());
        let (code, told) = match text("verb") {
            "create" => self.send("POST", &collection, body),
            "update" => self.send("PUT", &path, body),
            "updateStatus" => self.send("PUT", &format!("{path}/status"), body),
            _ => self.send("DELETE", &path, body),
        };
        if code >= 400 {
            return refusal(code, &told);
        }
        match self.send("GET", &path, Bytes::new()) {
            (200, after) => stored(&after, before.0 != 200 || before.1 != after),
            _ => vec!["gone".to_owned()],
        }
    }

    fn send(&mut self, method: &str, path: &str, body: Bytes) -> (u64, Value) {
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        // A name that is no path is no object's.
        let Ok(request) = request.body(body) else { return (404, Value::Null) };
        let caller = Caller::master("somebody", Actor::User);
        let answer = self.api.handle(&mut self.rows, Time::ZERO, &caller, request);
        drop(self.rows.take_changes());
        match answer {
            Answer::Response(response) => {
                let code = u64::from(response.status().as_u16());
                (code, serde_json::from_slice(response.body()).unwrap_or_default())
            }
            Answer::Watch(_) => (0, Value::Null),
        }
    }
}

/// The driver's answer, as lines.
fn original(question: &Value, answer: &Value) -> Vec<String> {
    let code = answer.get("code").and_then(Value::as_u64).unwrap_or(0);
    let body = answer.get("body").unwrap_or(&Value::Null);
    if code >= 400 {
        return refusal(code, body);
    }
    if answer.get("deleted") == Some(&Value::Bool(true)) {
        return vec!["gone".to_owned()];
    }
    let version =
        |object: Option<&Value>| object.and_then(|it| it.pointer("/metadata/resourceVersion")).cloned();
    let is_new = question["verb"] == "create" || version(question.get("old")) != version(Some(body));
    stored(body, is_new)
}

fn refusal(code: u64, status: &Value) -> Vec<String> {
    let reason = status.get("reason").and_then(Value::as_str).unwrap_or_default();
    let causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
    let text =
        |cause: &Value, field: &str| cause.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut causes: Vec<String> =
        causes.map(|cause| format!("{} {}", text(cause, "reason"), text(cause, "field"))).collect();
    causes.sort();
    causes.dedup();
    causes.insert(0, format!("{code} {reason}"));
    causes
}

/// An object, a line for each value: but for its version, and who owns which field, of which the driver keeps no account.
fn stored(object: &Value, is_new: bool) -> Vec<String> {
    let mut lines = vec![if is_new { "stored" } else { "nothing changed" }.to_owned()];
    leaves(object, "", &mut lines);
    lines.retain(|line| {
        !line.starts_with(".metadata.managedFields") && !line.starts_with(".metadata.resourceVersion")
    });
    lines[1..].sort();
    lines
}

fn leaves(value: &Value, path: &str, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{path}.{name}"), lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{index}]"), lines);
            }
        }
        // Go writes some values that are not there, and leaves out others that are empty: to its types they are the same.
        Value::Array(_) | Value::Object(_) | Value::Null => {}
        value => lines.push(format!("{path}: {value}")),
    }
}
