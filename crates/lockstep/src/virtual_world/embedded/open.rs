//! The real Job controller as a client of the API server: its requests as it sends them, and a watch each of Jobs and pods.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use towtank_apiserver::{Caller, WatchId, WatchPoll};
use towtank_model::job::WatchKind;
use towtank_model::server::Actor;
use towtank_model::simulation::Context;
use towtank_reference::open::{Answer, Request, Shown, Upstream};

use super::SharedApi;

/// Who the controllers are at the API server: a user for each, in one process.
const PROCESS: &str = "kube-controller-manager";

/// The controllers' way to the API server.
pub(super) struct Client {
    api: SharedApi,
    job_controller: Caller,
    ttl_controller: Caller,
    watches: [Watch; 2],
}

/// A watch, begun again whenever it ends.
struct Watch {
    kind: WatchKind,
    path: &'static str,
    id: Option<WatchId>,
    /// The version that it has shown last. Nothing watched is older than 1.
    version: u64,
}

impl Client {
    pub(super) fn new(api: SharedApi) -> Self {
        let account = |name: &str| format!("system:serviceaccount:kube-system:{name}");
        let watch = |kind, path| Watch { kind, path, id: None, version: 1 };
        Self {
            api,
            job_controller: Caller::master(&account("job-controller"), Actor::JobController),
            ttl_controller: Caller::master(&account("ttl-after-finished-controller"), Actor::TtlController),
            watches: [watch(WatchKind::Pods, "/api/v1/pods"), watch(WatchKind::Jobs, "/apis/batch/v1/jobs")],
        }
    }
}

impl Upstream for Client {
    fn handle(&mut self, request: Request<'_>, ctx: &mut Context<'_>) -> Answer {
        let caller = match request.actor {
            Actor::TtlController => &self.ttl_controller,
            _ => &self.job_controller,
        };
        let body = request.body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
        let sent = http::Request::builder()
            .method(method)
            .uri(request.path)
            .header("content-type", request.content_type)
            .header("user-agent", PROCESS);
        let sent = match sent.body(body) {
            Ok(sent) => sent,
            Err(error) => return failed(400, &error.to_string()),
        };
        match self.api.borrow_mut().handle(ctx.server, ctx.now, caller, sent) {
            towtank_apiserver::Answer::Response(response) => {
                let code = response.status().as_u16();
                match serde_json::from_slice(response.body()) {
                    Ok(body) => Answer { code, body },
                    Err(error) => failed(500, &format!("an answer is no JSON: {error}")),
                }
            }
            towtank_apiserver::Answer::Watch(watch) => {
                self.api.borrow_mut().close_watch(watch);
                failed(400, "a watch is no call")
            }
        }
    }

    fn changes(&mut self, ctx: &mut Context<'_>) -> Result<Vec<Shown>, String> {
        let api = &mut *self.api.borrow_mut();
        api.follow(ctx.server, ctx.now);
        let mut changes = Vec::new();
        for watch in &mut self.watches {
            loop {
                let id = match watch.id {
                    Some(id) => id,
                    None => *watch.id.insert(watch.begin(api, &self.job_controller, ctx)?),
                };
                match api.poll_watch(id) {
                    WatchPoll::Empty => break,
                    WatchPoll::Closed => watch.id = None,
                    WatchPoll::Event(line) => changes.push(watch.read(&line)?),
                }
            }
        }
        changes.sort_by_key(|(version, _)| *version);
        Ok(changes.into_iter().map(|(_, shown)| shown).collect())
    }
}

impl Watch {
    fn begin(
        &self,
        api: &mut towtank_apiserver::ApiServer,
        caller: &Caller,
        ctx: &mut Context<'_>,
    ) -> Result<WatchId, String> {
        let uri = format!("{}?watch=true&resourceVersion={}", self.path, self.version);
        let request = http::Request::builder().uri(uri).body(Bytes::new());
        let request = request.map_err(|error| error.to_string())?;
        match api.handle(ctx.server, ctx.now, caller, request) {
            towtank_apiserver::Answer::Watch(id) => Ok(id),
            towtank_apiserver::Answer::Response(response) => Err(format!(
                "a watch of {} is refused: {}",
                self.path,
                String::from_utf8_lossy(response.body())
            )),
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<(u64, Shown), String> {
        let unreadable = |why: &str| format!("a watch of {} shows what cannot be read: {why}", self.path);
        let event: Value = serde_json::from_slice(line).map_err(|error| unreadable(&error.to_string()))?;
        let version = event.pointer("/object/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.and_then(|version| version.parse().ok());
        // An ERROR has none.
        self.version = version.ok_or_else(|| unreadable(&event.to_string()))?;
        Ok((self.version, Shown { kind: self.kind, event }))
    }
}

fn failed(code: u16, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "InternalError", "code": code,
    });
    Answer { code, body }
}
