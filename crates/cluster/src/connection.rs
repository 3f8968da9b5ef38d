//! A client of a real API server, for code that waits for its answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, AttachParams, DynamicObject};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::{Handle, Runtime};

use crate::namespaces::Namespaces;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection to an API server, and the threads on which requests and watches run. Copies share both.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    runtime: Arc<Runtime>,
    /// It is a story's, whose namespaces have other names in the cluster, and reaches these alone.
    namespaces: Option<Arc<Namespaces>>,
}

/// An answer that is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{method} {path}: {why}")]
pub struct Unanswered {
    method: Method,
    path: String,
    why: String,
}

/// A status code and what it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub code: u16,
    /// The object, or the `metav1.Status` of a refusal.
    pub body: Value,
}

impl Answer {
    /// Whether the request was carried out.
    pub const fn is_success(&self) -> bool {
        self.code < 400
    }
}

/// What a command in a container came to.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    /// How it failed; `None`: it ended with 0.
    pub(crate) failure: Option<String>,
    /// What it complained about.
    pub(crate) stderr: String,
}

/// So much of what a command prints is read.
const OUTPUT_MAX: u64 = 1 << 20;

async fn read(output: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        // What came before an error is what there is.
        let _ = output.take(OUTPUT_MAX).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Connection {
    /// Connects with these settings.
    ///
    /// # Errors
    ///
    /// The settings make no client, or there are no threads to be had.
    pub fn new(config: kube::Config) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| format!("no threads for the client: {error}"))?;
        let client = {
            let _inside = runtime.enter();
            Client::try_from(config).map_err(|error| format!("no client: {error}"))?
        };
        Ok(Self { client, runtime: Arc::new(runtime), namespaces: None })
    }

    /// The same for a story whose namespaces have other names in the cluster: it reaches these, and nothing else.
    #[must_use]
    pub fn within(&self, namespaces: Namespaces) -> Self {
        Self { namespaces: Some(Arc::new(namespaces)), ..self.clone() }
    }

    /// Connects as a kubeconfig says, in this context or in its current one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, it has no such context, or as of [`Self::new`].
    pub fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Self, String> {
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(|why| told(&why))?;
        let context = context.map(str::to_owned);
        let options = kube::config::KubeConfigOptions { context, ..Default::default() };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| told(&why))?;
        let settings = runtime.block_on(kube::Config::from_custom_kubeconfig(kubeconfig, &options));
        Self::new(settings.map_err(|why| told(&why))?)
    }

    /// The client behind it, which knows nothing of a story's namespaces.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What the cluster calls a namespace.
    fn real_namespace<'a>(&'a self, name: &'a str) -> Result<&'a str, String> {
        self.namespaces.as_ref().map_or(Ok(name), |namespaces| namespaces.real(name))
    }

    /// The objects of a kind in a namespace, for watches; what they show is to go through [`Self::namespaces`].
    pub(crate) fn objects(&self, namespace: &str, kind: &ApiResource) -> Result<Api<DynamicObject>, String> {
        Ok(Api::namespaced_with(self.client(), self.real_namespace(namespace)?, kind))
    }

    /// The story's namespaces, where they have other names in the cluster.
    pub(crate) fn namespaces(&self) -> Option<Arc<Namespaces>> {
        self.namespaces.clone()
    }

    fn outward(&self, request: Request<Bytes>) -> Result<Request<Bytes>, String> {
        let Some(namespaces) = &self.namespaces else { return Ok(request) };
        let (mut head, body) = request.into_parts();
        let path = namespaces.outward_path(&head.uri.to_string())?;
        head.uri = path.parse().map_err(|error| format!("{path}: {error}"))?;
        if body.is_empty() {
            return Ok(Request::from_parts(head, body));
        }
        let mut object: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        namespaces.outward(&mut object);
        Ok(Request::from_parts(head, Bytes::from(object.to_string())))
    }

    fn inward(&self, body: Bytes) -> Bytes {
        let Some(namespaces) = &self.namespaces else { return body };
        match serde_json::from_slice(&body) {
            // Logs, for one, are no objects.
            Err(_) => body,
            Ok(mut object) => {
                namespaces.inward(&mut object);
                Bytes::from(object.to_string())
            }
        }
    }

    /// Where watches run.
    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    ///
    /// There is no answer: nobody knows whether the request was carried out.
    pub fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unanswered> {
        let (method, path) = (request.method().clone(), request.uri().to_string());
        let unanswered = |why: String| Unanswered { method: method.clone(), path: path.clone(), why };
        let request = self.outward(request).map_err(unanswered)?;
        let exchange = async {
            let response =
                self.client.send(request.map(Body::from)).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Response::from_parts(head, self.inward(body)))
        };
        let bounded = async { tokio::time::timeout(ANSWER_MAX, exchange).await };
        match self.runtime.block_on(bounded) {
            Ok(answer) => answer.map_err(unanswered),
            Err(_) => Err(unanswered(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
        }
    }

    /// The same with JSON on both sides; `null` is no body.
    ///
    /// # Errors
    ///
    /// As for [`Connection::send`].
    pub fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Answer, Unanswered> {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let failed = |why: String| Unanswered { method: method.clone(), path: path.to_owned(), why };
        let request =
            Request::builder().method(method.clone()).uri(path).header("content-type", content_type);
        let request = request.body(bytes).map_err(|error| failed(error.to_string()))?;
        let response = self.send(request)?;
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        Ok(Answer { code: response.status().as_u16(), body })
    }

    /// Runs a command in a container (namespace, pod, container) and waits for its end.
    ///
    /// # Errors
    ///
    /// It cannot be run there.
    pub(crate) fn execute(
        &self,
        (namespace, pod, container): (&str, &str, &str),
        command: &[&str],
    ) -> Result<Executed, String> {
        let pods: Api<Pod> = Api::namespaced(self.client(), self.real_namespace(namespace)?);
        let params = AttachParams::default().container(container).stdin(false).stdout(false).stderr(true);
        let exchange = async {
            let mut process =
                pods.exec(pod, command.iter().copied(), &params).await.map_err(|error| error.to_string())?;
            let status = process.take_status();
            let stderr = read(process.stderr()).await;
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            let failure = match status {
                None => Some("nobody tells how it ended".to_owned()),
                Some(status) if status.status.as_deref() == Some("Success") => None,
                Some(status) => Some(status.message.unwrap_or_default()),
            };
            Ok(Executed { failure, stderr })
        };
        let bounded = async { tokio::time::timeout(ANSWER_MAX, exchange).await };
        self.runtime
            .block_on(bounded)
            .unwrap_or_else(|_| Err(format!("`{}` runs for {} s", command.join(" "), ANSWER_MAX.as_secs())))
    }

    /// Reads an object; `None`: there is none.
    ///
    /// # Errors
    ///
    /// As for [`Connection::send`], and every answer that tells neither.
    pub fn get(&self, path: &str) -> Result<Option<Value>, Unanswered> {
        let answer = self.ask(Method::GET, path, "application/json", &Value::Null)?;
        match answer.code {
            404 => Ok(None),
            _ if answer.is_success() => Ok(Some(answer.body)),
            code => {
                let why = format!("{code}: {}", answer.body["message"].as_str().unwrap_or_default());
                Err(Unanswered { method: Method::GET, path: path.to_owned(), why })
            }
        }
    }
}
