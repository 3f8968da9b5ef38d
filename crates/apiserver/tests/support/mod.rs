//! A server, the model's rows under it, and a client that speaks JSON.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes,
    clippy::new_without_default,
    clippy::missing_panics_doc,
    reason = "every test uses its own part"
)]

use bytes::Bytes;
use serde_json::{Value, json};
use towtank_apiserver::{Answer, ApiServer, Caller, Config, WatchId, WatchPoll};
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

pub struct Cluster {
    pub server: ApiServer,
    pub rows: Server,
    pub now: Time,
    pub caller: Caller,
    pub headers: Vec<(String, String)>,
}

/// An answer: code, body, warnings.
#[derive(Debug)]
pub struct Got {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
    pub text: Bytes,
}

impl Got {
    /// The value at a JSON pointer.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.code < 300, "{} {}", self.code, self.body);
        self.body
    }

    /// The reason of a refusal with this code.
    #[track_caller]
    pub fn refused(&self, code: u16, reason: &str) -> &str {
        assert_eq!((self.code, self.at("/reason")), (code, &json!(reason)), "{}", self.body);
        self.at("/message").as_str().unwrap_or_default()
    }
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::of_version(config, 36)
    }

    /// A cluster of this version.
    pub fn of(minor: u16) -> Self {
        Self::of_version(Config::default(), minor)
    }

    fn of_version(config: Config, minor: u16) -> Self {
        let features = Features::of(KubernetesVersion::from_minor(minor).expect("known"));
        let mut rows = Server::new(features, true);
        let now = Time::from_secs(1_000);
        let server = ApiServer::new(config, &mut rows, now);
        let caller = Caller::master("admin", Actor::User);
        Self { server, rows, now, caller, headers: Vec::new() }
    }

    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("user-agent", "tester/1");
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
        self.server.handle(&mut self.rows, self.now, &self.caller, request)
    }

    #[track_caller]
    pub fn call(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Got {
        match self.send(method, path, kind, body) {
            Answer::Response(response) => {
                let warnings = response.headers().get_all("warning").iter();
                let warnings = warnings.map(|one| one.to_str().expect("text").to_owned()).collect();
                let text = response.body().clone();
                Got {
                    code: response.status().as_u16(),
                    body: serde_json::from_slice(&text).unwrap_or_default(),
                    warnings,
                    text,
                }
            }
            Answer::Watch(_) => panic!("a watch was opened"),
        }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Got {
        self.call("GET", path, "", "")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: Value) -> Got {
        self.call("POST", path, "application/json", &body.to_string())
    }

    #[track_caller]
    pub fn put(&mut self, path: &str, body: Value) -> Got {
        self.call("PUT", path, "application/json", &body.to_string())
    }

    #[track_caller]
    pub fn merge(&mut self, path: &str, body: Value) -> Got {
        self.call("PATCH", path, "application/merge-patch+json", &body.to_string())
    }

    #[track_caller]
    pub fn apply(&mut self, path: &str, manager: &str, body: Value) -> Got {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}fieldManager={manager}");
        self.call("PATCH", &path, "application/apply-patch+yaml", &body.to_string())
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Got {
        self.call("DELETE", path, "", "")
    }

    #[track_caller]
    pub fn delete_with(&mut self, path: &str, options: Value) -> Got {
        self.call("DELETE", path, "application/json", &options.to_string())
    }

    #[track_caller]
    pub fn watch(&mut self, path: &str) -> WatchId {
        match self.send("GET", path, "", "") {
            Answer::Watch(id) => id,
            Answer::Response(response) => panic!("{response:?}"),
        }
    }

    /// All events of a watch that there are; `CLOSED` at its end.
    pub fn events(&mut self, watch: WatchId) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        loop {
            match self.server.poll_watch(watch) {
                WatchPoll::Event(line) => {
                    let mut event: Value = serde_json::from_slice(&line).expect("a line of JSON");
                    events.push((
                        event["type"].as_str().unwrap_or_default().to_owned(),
                        event["object"].take(),
                    ));
                }
                WatchPoll::Empty => return events,
                WatchPoll::Closed => {
                    events.push(("CLOSED".to_owned(), Value::Null));
                    return events;
                }
            }
        }
    }

    /// Types and names of all events that there are.
    pub fn told(&mut self, watch: WatchId) -> Vec<String> {
        let events = self.events(watch);
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        events.iter().map(|(kind, object)| format!("{kind} {}", name(object)).trim_end().to_owned()).collect()
    }

    /// Lets time go by, with everything that the server does by itself.
    pub fn wait(&mut self, seconds: u64) {
        let end = Time::from_micros(self.now.as_micros() + seconds * 1_000_000);
        while let Some(at) = self.server.next_time(&self.rows).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.fire(&mut self.rows, self.now);
        }
        self.now = end;
        self.server.follow(&mut self.rows, end);
    }
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    })
}

pub fn job(name: &str, size: i32) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {
            "completions": size, "parallelism": size, "completionMode": "Indexed",
            "template": {
                "metadata": {"labels": {"app": "x"}, "annotations": {"note": "t"}},
                "spec": {
                    "restartPolicy": "OnFailure", "subdomain": "svc",
                    "containers": [{"name": "main", "image": "flux:1", "command": ["sleep", "1"],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                    "volumes": [{"name": "v", "emptyDir": {}}],
                },
            },
        },
    })
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
pub const NODES: &str = "/api/v1/nodes";
