//! The operator against an API server of a few lines, on virtual time: what it asks for is what its roles allow, an operator
//! that is started again changes nothing, and nobody else's objects are touched.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Frame};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use towtank_operator::{Election, End, Settings, run, run_elected};

/// A request as the authorizer of an API server sees it: verb, group, resource with its subresource.
type Asked = (String, String, String);

#[derive(Default)]
struct Server {
    version: u64,
    /// By group and resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    asked: BTreeSet<Asked>,
    /// Method and path of what changed something.
    writes: Vec<String>,
    /// Nothing of this resource is let in.
    refused: &'static str,
    /// Somebody else is always faster with objects of this resource.
    contended: &'static str,
    /// So many patches of MiniClusters meet a conflict.
    conflicts: u32,
}

impl Server {
    fn put(&mut self, resource: &str, mut object: Value) -> Value {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata.get("uid").is_none() {
            metadata["uid"] = json!(format!("uid-{}", self.version));
        }
        let of = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        self.objects.insert((resource.to_owned(), of("namespace"), of("name")), object.clone());
        object
    }

    fn answer(&mut self, method: &str, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return (404, json!({})),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name, sub) = match *rest {
            [resource] => (resource, "", ""),
            [resource, name] => (resource, name, ""),
            [resource, name, sub] => (resource, name, sub),
            _ => return (404, json!({})),
        };
        let verb = match (method, name) {
            ("GET", "") if query.contains("watch=") => "watch",
            ("GET", "") => "list",
            ("GET", _) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            other => panic!("{other:?}"),
        };
        let full = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
        self.asked.insert((verb.to_owned(), group.to_owned(), full));
        if method != "GET" {
            self.writes.push(format!("{method} {path}"));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = if verb == "create" { body["metadata"]["name"].as_str().unwrap() } else { name };
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let there = self.objects.get(&key).cloned();
        match (verb, there) {
            ("list", _) => {
                let of_kind = self.objects.iter().filter(|((kind, ..), _)| kind == resource);
                let items: Vec<Value> =
                    of_kind.filter(|(_, item)| matches(query, item)).map(|(_, item)| item.clone()).collect();
                let kind = json!({"resourceVersion": self.version.to_string()});
                (200, json!({"kind": "List", "apiVersion": "v1", "metadata": kind, "items": items}))
            }
            ("create", None) if resource == self.refused => (422, failure(422, "Invalid")),
            ("create", None) => {
                let mut body = body;
                body["metadata"]["namespace"] = json!(namespace);
                (201, self.put(resource, body))
            }
            ("create", Some(_)) => (409, failure(409, "AlreadyExists")),
            (_, None) => (404, failure(404, "NotFound")),
            ("get", Some(there)) => (200, there),
            ("update", Some(there))
                if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] =>
            {
                (409, failure(409, "Conflict"))
            }
            ("update", Some(_)) => (200, self.put(resource, body)),
            ("patch", Some(_)) if resource == "miniclusters" && self.conflicts > 0 => {
                self.conflicts -= 1;
                (409, failure(409, "Conflict"))
            }
            ("patch", Some(mut there)) => {
                if resource == self.contended {
                    there = self.put(resource, there);
                }
                for precondition in ["uid", "resourceVersion"] {
                    let wanted = &body["metadata"][precondition];
                    if !wanted.is_null() && *wanted != there["metadata"][precondition] {
                        return (409, failure(409, "Conflict"));
                    }
                }
                merge(&mut there, &body);
                (200, self.put(resource, there))
            }
            ("delete", Some(there)) => {
                self.objects.remove(&key);
                (200, there)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn matches(query: &str, item: &Value) -> bool {
    let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector="));
    selector.is_none_or(|selector| {
        let selector = selector.replace("%2F", "/").replace("%3D", "=");
        let (key, value) = selector.split_once('=').unwrap();
        item["metadata"]["labels"][key] == value
    })
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code})
}

/// The server as kube's client calls it.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Server>>);

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let query = parts.uri.query().unwrap_or_default();
            let (code, answer) =
                server.lock().unwrap().answer(parts.method.as_str(), parts.uri.path(), query, &body);
            let body = if query.contains("watch=") {
                // Nothing happens while an operator runs: what it makes of the lists is what is tested.
                Silence.boxed_unsync()
            } else {
                http_body_util::Full::new(Bytes::from(serde_json::to_vec(&answer).unwrap())).boxed_unsync()
            };
            Ok(http::Response::builder()
                .status(code)
                .header("content-type", "application/json")
                .body(body)
                .unwrap())
        })
    }
}

struct Silence;

impl hyper::body::Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

fn settings() -> Settings {
    Settings::new(Arc::new(now), Arc::new(|| [7; 32]))
}

/// The time of the paused clock.
fn now() -> Timestamp {
    static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(tokio::time::Instant::now);
    let passed = tokio::time::Instant::now().saturating_duration_since(start);
    Timestamp::from_millisecond(1_700_000_000_000 + i64::try_from(passed.as_millis()).unwrap()).unwrap()
}

impl Service {
    fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// An operator that runs for some seconds and then is no more.
    async fn operate(&self, seconds: u64) -> Vec<String> {
        let before = self.0.lock().unwrap().writes.len();
        let _ = tokio::time::timeout(Duration::from_secs(seconds), run(self.client(), settings())).await;
        self.0.lock().unwrap().writes.split_off(before)
    }

    fn apply(&self, resource: &str, object: Value) {
        self.0.lock().unwrap().put(resource, object);
    }

    fn get(&self, resource: &str, name: &str) -> Value {
        let key = (resource.to_owned(), "default".to_owned(), name.to_owned());
        self.0.lock().unwrap().objects.get(&key).cloned().unwrap_or_default()
    }

    fn change(&self, resource: &str, name: &str, change: &Value) {
        let mut object = self.get(resource, name);
        merge(&mut object, change);
        self.apply(resource, object);
    }

    fn condition(&self, type_: &str) -> Value {
        let status = self.get("miniclusters", "sample")["status"].clone();
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.rfind(|condition| condition["type"] == type_).cloned().unwrap_or_default()
    }

    fn events(&self) -> Vec<(String, u64)> {
        let server = self.0.lock().unwrap();
        let events = server.objects.iter().filter(|((kind, ..), _)| kind == "events");
        events
            .map(|(_, event)| {
                (event["reason"].as_str().unwrap().to_owned(), event["count"].as_u64().unwrap())
            })
            .collect()
    }
}

fn minicluster(spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "flux-framework.org/v1alpha2", "kind": "MiniCluster",
        "metadata": {"name": "sample", "namespace": "default", "generation": 1},
        "spec": {"size": 4, "containers": [{"image": "flux", "runFlux": true}]},
    });
    merge(&mut object["spec"], &spec);
    object
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

const CREATED: [&str; 6] = [
    "POST /api/v1/namespaces/default/configmaps",
    "POST /api/v1/namespaces/default/secrets",
    "POST /api/v1/namespaces/default/services",
    "POST /apis/batch/v1/namespaces/default/jobs",
    "POST /api/v1/namespaces/default/events",
    "PATCH /apis/flux-framework.org/v1alpha2/namespaces/default/miniclusters/sample/status",
];

/// Objects of a MiniCluster with services that the operator finds by a label: resource and name.
const LABELLED: [(&str, &str); 4] = [
    ("configmaps", "sample-entrypoint"),
    ("secrets", "sample-curve"),
    ("services", "sample"),
    ("pods", "sample-services"),
];

#[test]
fn it_creates_resizes_and_rests() {
    paused().block_on(async {
        let server = Service::default();
        server.apply("miniclusters", minicluster(json!({})));
        assert_eq!(server.operate(60).await, CREATED);
        let job = server.get("jobs", "sample");
        // Started again, it changes nothing.
        assert_eq!(server.operate(60).await, [] as [&str; 0]);

        server.change("miniclusters", "sample", &json!({"spec": {"size": 3}, "metadata": {"generation": 2}}));
        let writes = server.operate(60).await;
        let expected = [
            "PATCH /api/v1/namespaces/default/configmaps/sample-entrypoint",
            "PATCH /apis/batch/v1/namespaces/default/jobs/sample",
            CREATED[4],
            CREATED[5],
        ];
        assert_eq!(writes, expected);
        let resized = server.get("jobs", "sample");
        assert_eq!(
            (&resized["spec"]["completions"], &resized["spec"]["parallelism"]),
            (&json!(3), &json!(3))
        );
        assert_eq!(resized["spec"]["template"], job["spec"]["template"]);
        assert_eq!(resized["metadata"]["uid"], job["metadata"]["uid"]);

        // More than there are ranks: nothing changes, and the user hears of it.
        server.change("miniclusters", "sample", &json!({"spec": {"size": 5}, "metadata": {"generation": 3}}));
        assert_eq!(server.operate(60).await, [CREATED[4], CREATED[5]]);
        assert_eq!(server.get("jobs", "sample")["spec"]["completions"], 3);
        assert!(server.events().contains(&("MaximumExceeded".to_owned(), 1)));
        let status = server.get("miniclusters", "sample")["status"].clone();
        assert_eq!(
            (&status["size"], &status["maximumSize"], &status["observedGeneration"]),
            (&json!(3), &json!(4), &json!(3))
        );
    });
}

/// The certificate is made once.
#[test]
fn a_certificate_is_never_overwritten() {
    paused().block_on(async {
        let server = Service::default();
        server.apply("miniclusters", minicluster(json!({})));
        server.operate(10).await;
        server.change("secrets", "sample-curve", &json!({"data": {"curve.cert": "bWluZQ=="}}));
        server.operate(10).await;
        assert_eq!(server.get("secrets", "sample-curve")["data"]["curve.cert"], "bWluZQ==");
        assert_eq!(server.get("configmaps", "sample-entrypoint")["data"]["curve.cert"], Value::Null);
    });
}

/// An object of the name that nobody made for the MiniCluster stays as it is; it is looked at again.
#[test]
fn objects_of_others_stay_as_they_are() {
    for (resource, name) in [
        ("configmaps", "sample-entrypoint"),
        ("secrets", "sample-curve"),
        ("services", "sample"),
        ("jobs", "sample"),
    ] {
        paused().block_on(async {
            let server = Service::default();
            server.apply("miniclusters", minicluster(json!({})));
            server.apply(
                resource,
                json!({"metadata": {"name": name, "namespace": "default", "labels": {"theirs": "yes"}}}),
            );
            let before = server.get(resource, name);
            server.operate(20).await;
            assert_eq!(server.get(resource, name), before);
            assert_eq!(server.get("jobs", "sample").is_null(), resource != "jobs");
            let degraded = server.condition("Degraded");
            assert_eq!((&degraded["status"], &degraded["reason"]), (&json!("True"), &json!("NameTaken")));
            assert_eq!(server.events(), [("NameTaken".to_owned(), 1)]);
            let writes = server.operate(100).await;
            assert!(writes.len() <= 24 && !writes.contains(&CREATED[4].to_owned()), "{resource}: {writes:?}");
        });
    }
}

/// The watches find own objects by their labels: who takes them away hides the object, and it is found again under its name.
#[test]
fn labels_are_put_back() {
    paused().block_on(async {
        let server = Service::default();
        let services = json!([{"name": "db", "image": "db", "ports": [5432]}]);
        server.apply("miniclusters", minicluster(json!({"services": services})));
        server.operate(10).await;
        for (resource, name) in LABELLED {
            let before = server.get(resource, name);
            server.change(resource, name, &json!({"metadata": {"labels": null}}));
            let writes = server.operate(10).await;
            assert_eq!(writes.len(), 2, "{writes:?}");
            assert!(writes[1].starts_with("PATCH") && writes[1].ends_with(name), "{writes:?}");
            let after = server.get(resource, name);
            assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"], "{resource}");
            assert_eq!(after["data"], before["data"]);
            assert_eq!(server.operate(10).await, [] as [&str; 0]);
        }
    });
}

/// What the API server refuses is tried again, and told once.
#[test]
fn a_write_that_is_refused_is_told() {
    paused().block_on(async {
        let server = Service::default();
        server.0.lock().unwrap().refused = "jobs";
        server.apply("miniclusters", minicluster(json!({})));
        let writes = server.operate(60).await;
        let jobs = writes.iter().filter(|write| **write == CREATED[3]).count();
        assert!((2..20).contains(&jobs), "{writes:?}");
        // At the second look the ConfigMap is there: the maximum is told too.
        assert_eq!(writes.iter().filter(|write| **write == CREATED[5]).count(), 2, "{writes:?}");
        assert_eq!(server.events(), [("WriteRefused".to_owned(), 1)]);
        let degraded = server.condition("Degraded");
        assert_eq!((&degraded["status"], &degraded["reason"]), (&json!("True"), &json!("WriteRefused")));
        assert_eq!(degraded["message"], "create Job default/sample: Invalid");
        server.0.lock().unwrap().refused = "";
        server.operate(60).await;
        assert_eq!(server.condition("Degraded")["status"], "False");
        assert!(!server.get("jobs", "sample").is_null());
    });
}

/// What was decided about an older version is not carried out: it may be late, and undo what is newer.
#[test]
fn a_decision_about_an_older_version_is_not_carried_out() {
    for (contended, write) in
        [("jobs", "PATCH /apis/batch/v1/namespaces/default/jobs/sample"), ("miniclusters", CREATED[5])]
    {
        paused().block_on(async {
            let server = Service::default();
            server.apply("miniclusters", minicluster(json!({})));
            server.operate(10).await;
            server.change(
                "miniclusters",
                "sample",
                &json!({"spec": {"size": 3}, "metadata": {"generation": 2}}),
            );
            let before = (
                server.get("jobs", "sample")["spec"].clone(),
                server.get("miniclusters", "sample")["status"].clone(),
            );
            server.0.lock().unwrap().contended = contended;
            let writes = server.operate(10).await;
            let after = (
                server.get("jobs", "sample")["spec"].clone(),
                server.get("miniclusters", "sample")["status"].clone(),
            );
            match contended {
                "jobs" => assert_eq!(before, after),
                _ => assert_eq!(before.1, after.1),
            }
            // No watch tells of it here: it is tried again, but not in haste.
            let tries = writes.iter().filter(|made| *made == write).count();
            assert!((2..=11).contains(&tries), "{contended}: {writes:?}");
        });
    }
}

/// How long a resize took is known though the status after it met a conflict first.
#[test]
fn a_resize_is_measured_though_its_status_met_a_conflict() {
    paused().block_on(async {
        let server = Service::default();
        server.apply("miniclusters", minicluster(json!({})));
        server.operate(10).await;
        // All that is left after the resize has completed.
        server.change("jobs", "sample", &json!({"status": {"completedIndexes": "0-2"}}));
        server.change("miniclusters", "sample", &json!({"spec": {"size": 3}, "metadata": {"generation": 2}}));
        server.0.lock().unwrap().conflicts = 1;
        let settings = settings();
        let metrics = settings.metrics.clone();
        let _ = tokio::time::timeout(Duration::from_secs(60), run(server.client(), settings)).await;
        let text = metrics.text();
        assert!(text.contains("towtank_operator_resize_seconds_count 1"), "{text}");
    });
}

/// Of two replicas one works; the other takes over when the first is no more.
#[test]
fn replicas_elect_one() {
    paused().block_on(async {
        let server = Service::default();
        server.apply("miniclusters", minicluster(json!({})));
        let replica = |name: &str, seconds: u64| {
            let stop = tokio::time::sleep(Duration::from_secs(seconds));
            run_elected(server.client(), settings(), Election::new("default", name), stop)
        };
        let holder = || server.get("leases", "towtank-operator")["spec"]["holderIdentity"].clone();
        // One that crashes after five seconds.
        let _ = tokio::time::timeout(Duration::from_secs(5), replica("one", 1_000)).await;
        assert_eq!(holder(), "one");
        let (second, third) = tokio::join!(replica("two", 60), replica("three", 80));
        assert_eq!((second, third), (End::Stopped, End::Stopped));
        let lease = server.get("leases", "towtank-operator");
        // Each let go of it.
        assert_eq!(holder(), "");
        assert_eq!(lease["spec"]["leaseTransitions"], 2);
        let created = |writes: &[String]| writes.iter().filter(|write| *write == CREATED[3]).count();
        assert_eq!(created(&server.0.lock().unwrap().writes), 1);
    });
}

/// Every right of the roles is used, and no other is needed.
#[test]
fn the_roles_allow_what_is_asked_for_and_nothing_else() {
    let server = Service::default();
    paused().block_on(async {
        let services = json!([{"name": "db", "image": "db", "ports": [5432]}]);
        server.apply("miniclusters", minicluster(json!({"services": services, "cleanup": true})));
        server.operate(10).await;
        // A service that leads elsewhere, a smaller cluster, and all names taken.
        server.change("services", "db", &json!({"spec": {"selector": {"app.kubernetes.io/name": "other"}}}));
        server.change("services", "sample", &json!({"spec": {"publishNotReadyAddresses": false}}));
        server.change("miniclusters", "sample", &json!({"spec": {"size": 3}}));
        server.operate(10).await;
        // Labels that are gone.
        server.change("secrets", "sample-curve", &json!({"metadata": {"labels": null}}));
        server.change("pods", "sample-services", &json!({"metadata": {"labels": null}}));
        server.operate(10).await;
        let finished = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        // An Event that is told a second time.
        server.change("miniclusters", "sample", &json!({"spec": {"size": 2}, "status": null}));
        server.operate(10).await;
        server.change("miniclusters", "sample", &json!({"spec": {"size": 3}}));
        server.operate(10).await;
        server.change("miniclusters", "sample", &json!({"spec": {"size": 2}}));
        server.operate(10).await;
        server.change("jobs", "sample", &finished);
        server.operate(10).await;
        assert!(server.get("miniclusters", "sample").is_null());
        // Nobody collects the garbage here: all of it is another's now.
        server.apply("miniclusters", minicluster(json!({"services": services})));
        server.operate(10).await;
        for (resource, name) in LABELLED.into_iter().chain([("jobs", "sample")]) {
            let server = Service::default();
            server.apply("miniclusters", minicluster(json!({"services": services})));
            server.apply(resource, json!({"metadata": {"name": name, "namespace": "default"}}));
            server.operate(10).await;
            let asked = server.0.lock().unwrap().asked.clone();
            assert!(asked.iter().any(|(verb, _, of)| verb == "get" && of == resource), "{resource}");
            ASKED.lock().unwrap().extend(asked);
        }
        let stop = tokio::time::sleep(Duration::from_secs(10));
        run_elected(server.client(), settings(), Election::new("default", "one"), stop).await;
    });
    let mut asked = server.0.lock().unwrap().asked.clone();
    asked.append(&mut ASKED.lock().unwrap());
    // For the owner of an object whose deletion it blocks (deploy/cluster-role.yaml).
    asked.insert((
        "update".to_owned(),
        "flux-framework.org".to_owned(),
        "miniclusters/finalizers".to_owned(),
    ));
    let allowed: BTreeSet<Asked> = ["cluster-role.yaml", "role.yaml"].into_iter().flat_map(rights).collect();
    assert_eq!(asked, allowed);
}

static ASKED: Mutex<BTreeSet<Asked>> = Mutex::new(BTreeSet::new());

/// Invariant 2 of ARCHITECTURE.md.
#[test]
fn production_depends_on_no_simulation() {
    for name in ["api", "operator"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(path).unwrap();
        let ours = manifest.lines().filter(|line| line.starts_with("towtank-"));
        assert_eq!(ours.filter(|line| !line.starts_with("towtank-api")).count(), 0, "{name}");
    }
}

fn rights(file: &str) -> Vec<Asked> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    let role: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(
                    texts(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())),
                );
            }
        }
    }
    rights
}
