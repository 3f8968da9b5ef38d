//! Random sequences of verbs over kinds, against an oracle that keeps a handful of facts of each object in a map.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Cluster, Got};
use towtank_apiserver::WatchId;

/// A kind as the test knows it.
struct Kind {
    collection: &'static str,
    api_version: &'static str,
    kind: &'static str,
    /// Where the payload is.
    payload: &'static str,
    /// The payload as JSON.
    value: fn(u8) -> Value,
    /// The rest of an object.
    rest: fn() -> Value,
    has_generation: bool,
    creates_on_update: bool,
}

const FINALIZER: &str = "example.org/wait";

fn text(payload: u8) -> Value {
    payload.to_string().into()
}

fn number(payload: u8) -> Value {
    (u32::from(payload) + 1).into()
}

fn is_odd(payload: u8) -> Value {
    (payload % 2 == 1).into()
}

const KINDS: [Kind; 10] = [
    Kind {
        collection: "/api/v1/namespaces/default/configmaps",
        api_version: "v1",
        kind: "ConfigMap",
        payload: "/data/k",
        value: text,
        rest: || json!({}),
        has_generation: false,
        creates_on_update: false,
    },
    Kind {
        collection: "/api/v1/namespaces/default/serviceaccounts",
        api_version: "v1",
        kind: "ServiceAccount",
        payload: "/metadata/annotations/k",
        value: text,
        rest: || json!({}),
        has_generation: false,
        creates_on_update: false,
    },
    Kind {
        collection: "/api/v1/namespaces/default/pods",
        api_version: "v1",
        kind: "Pod",
        payload: "/metadata/annotations/k",
        value: text,
        rest: || json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}),
        has_generation: false,
        creates_on_update: false,
    },
    Kind {
        collection: "/apis/batch/v1/namespaces/default/jobs",
        api_version: "batch/v1",
        kind: "Job",
        payload: "/spec/parallelism",
        value: number,
        rest: || json!({"metadata": {"labels": {"own": "1"}}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
        has_generation: true,
        creates_on_update: false,
    },
    Kind {
        collection: "/api/v1/nodes",
        api_version: "v1",
        kind: "Node",
        payload: "/spec/unschedulable",
        value: is_odd,
        rest: || json!({}),
        has_generation: false,
        creates_on_update: false,
    },
    Kind {
        collection: "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        api_version: "coordination.k8s.io/v1",
        kind: "Lease",
        payload: "/spec/holderIdentity",
        value: text,
        rest: || json!({"spec": {"leaseDurationSeconds": 15}}),
        has_generation: false,
        creates_on_update: true,
    },
    Kind {
        collection: "/apis/apps/v1/namespaces/default/deployments",
        api_version: "apps/v1",
        kind: "Deployment",
        payload: "/spec/replicas",
        value: number,
        rest: || json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
        has_generation: true,
        creates_on_update: false,
    },
    Kind {
        collection: "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        api_version: "policy/v1",
        kind: "PodDisruptionBudget",
        payload: "/spec/minAvailable",
        value: number,
        rest: || json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
        has_generation: true,
        creates_on_update: false,
    },
    Kind {
        collection: "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        api_version: "rbac.authorization.k8s.io/v1",
        kind: "ClusterRole",
        payload: "/metadata/annotations/k",
        value: text,
        rest: || json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        has_generation: false,
        creates_on_update: true,
    },
    Kind {
        collection: "/apis/example.org/v1/namespaces/default/fleets",
        api_version: "example.org/v1",
        kind: "Fleet",
        payload: "/spec/size",
        value: number,
        rest: || json!({}),
        has_generation: true,
        creates_on_update: false,
    },
];

/// What the oracle knows of an object.
#[derive(Clone, Debug, PartialEq)]
struct Fact {
    payload: Value,
    label: Option<u8>,
    generation: Option<i64>,
    held: bool,
    deleting: bool,
    rv: u64,
}

#[derive(Clone, Debug)]
enum Verb {
    Create { payload: u8, label: Option<u8>, held: bool, dry: bool },
    Get,
    List { label: u8 },
    Put { payload: u8, stale: bool },
    Merge { payload: u8, dry: bool },
    JsonPatch { payload: u8 },
    Label { label: Option<u8> },
    Hold { held: bool },
    Delete { wrong_uid: bool, dry: bool },
    DeleteCollection { label: u8 },
    Apply { payload: u8 },
}

fn verb() -> impl Strategy<Value = Verb> {
    let label = || proptest::option::of(0_u8..2);
    prop_oneof![
        5 => (0_u8..4, label(), prop::bool::weighted(0.3), prop::bool::weighted(0.1))
            .prop_map(|(payload, label, held, dry)| Verb::Create { payload, label, held, dry }),
        1 => Just(Verb::Get),
        1 => (0_u8..2).prop_map(|label| Verb::List { label }),
        3 => (0_u8..4, prop::bool::weighted(0.2)).prop_map(|(payload, stale)| Verb::Put { payload, stale }),
        3 => (0_u8..4, prop::bool::weighted(0.1)).prop_map(|(payload, dry)| Verb::Merge { payload, dry }),
        1 => (0_u8..4).prop_map(|payload| Verb::JsonPatch { payload }),
        2 => label().prop_map(|label| Verb::Label { label }),
        2 => any::<bool>().prop_map(|held| Verb::Hold { held }),
        3 => (prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(|(wrong_uid, dry)| Verb::Delete { wrong_uid, dry }),
        1 => (0_u8..2).prop_map(|label| Verb::DeleteCollection { label }),
        2 => (0_u8..4).prop_map(|payload| Verb::Apply { payload }),
    ]
}

struct Run {
    cluster: Cluster,
    facts: BTreeMap<(usize, String), Fact>,
    watches: Vec<WatchId>,
    /// What each watch has to tell.
    told: Vec<Vec<(&'static str, String)>>,
    rv: u64,
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').skip(1) {
        place = &mut place[part];
    }
    *place = value;
}

impl Run {
    fn new() -> Self {
        let mut cluster = Cluster::new();
        let fleet = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "fleets.example.org"},
            "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "fleets", "kind": "Fleet"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": fleet}}]},
        });
        cluster.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).ok();
        let watches =
            KINDS.iter().map(|kind| cluster.watch(&format!("{}?watch=1", kind.collection))).collect();
        let rv = cluster.rows.resource_version();
        Self { cluster, facts: BTreeMap::new(), watches, told: vec![Vec::new(); KINDS.len()], rv }
    }

    fn object(kind: &Kind, name: &str, payload: u8) -> Value {
        let mut object = (kind.rest)();
        object["apiVersion"] = kind.api_version.into();
        object["kind"] = kind.kind.into();
        object["metadata"]["name"] = name.into();
        set(&mut object, kind.payload, (kind.value)(payload));
        object
    }

    fn note(&mut self, of: usize, what: &'static str, name: &str) {
        self.told[of].push((what, name.to_owned()));
    }

    /// Takes an object for changed: its version must be newer than all before.
    fn changed(&mut self, of: usize, name: &str, what: &'static str) {
        let path = format!("{}/{name}", KINDS[of].collection);
        let read = self.cluster.get(&path).ok();
        let rv: u64 =
            read["metadata"]["resourceVersion"].as_str().expect("a version").parse().expect("a number");
        assert!(rv > self.rv, "{what} {name} has version {rv}, not above {}", self.rv);
        self.rv = rv;
        if let Some(fact) = self.facts.get_mut(&(of, name.to_owned())) {
            fact.rv = rv;
        }
        self.note(of, what, name);
    }

    fn gone(&mut self, of: usize, name: &str) {
        self.facts.remove(&(of, name.to_owned()));
        self.note(of, "DELETED", name);
        // Of several that go with one request, the last one's version is what is to be seen.
        assert!(self.cluster.rows.resource_version() > self.rv);
    }

    fn step(&mut self, of: usize, name: &str, verb: &Verb) {
        let kind = &KINDS[of];
        let path = format!("{}/{name}", kind.collection);
        let place = (of, name.to_owned());
        let fact = self.facts.get(&place).cloned();
        let before = self.cluster.rows.resource_version();
        match (verb, fact) {
            (Verb::Create { payload, label, held, dry }, fact) => {
                let mut object = Self::object(kind, name, *payload);
                if let Some(label) = label {
                    object["metadata"]["labels"]["l"] = label.to_string().into();
                }
                // Nodes have no finalizers in the model.
                let held = *held && kind.kind != "Node";
                if held {
                    object["metadata"]["finalizers"] = json!([FINALIZER]);
                }
                let query = if *dry { "?dryRun=All" } else { "" };
                let got = self.cluster.post(&format!("{}{query}", kind.collection), object);
                if fact.is_some() {
                    got.refused(409, "AlreadyExists");
                    return;
                }
                assert_eq!(got.code, 201, "{}", got.body);
                if *dry {
                    assert_eq!(self.cluster.rows.resource_version(), before);
                    return;
                }
                let generation = kind.has_generation.then_some(1);
                let payload = (kind.value)(*payload);
                self.facts
                    .insert(place, Fact { payload, label: *label, generation, held, deleting: false, rv: 0 });
                self.changed(of, name, "ADDED");
                if kind.kind == "Node" && self.facts[&(of, name.to_owned())].payload == true {
                    // A node is cordoned by a write of its own.
                    self.note(of, "MODIFIED", name);
                }
            }
            (Verb::Put { payload, .. }, None) if kind.creates_on_update => {
                let got = self.cluster.put(&path, Self::object(kind, name, *payload));
                assert_eq!(got.code, 201, "{}", got.body);
                let (payload, generation) = ((kind.value)(*payload), kind.has_generation.then_some(1));
                self.facts.insert(
                    place,
                    Fact { payload, label: None, generation, held: false, deleting: false, rv: 0 },
                );
                self.changed(of, name, "ADDED");
            }
            (Verb::Apply { payload }, fact) => {
                let got = self.cluster.apply(
                    &format!("{path}?force=true"),
                    "applier",
                    Self::object(kind, name, *payload),
                );
                assert!(got.code < 300, "{}", got.body);
                let payload = (kind.value)(*payload);
                match fact {
                    None => {
                        assert_eq!(got.code, 201);
                        let generation = kind.has_generation.then_some(1);
                        let is_cordoned = kind.kind == "Node" && payload == true;
                        self.facts.insert(
                            place,
                            Fact { payload, label: None, generation, held: false, deleting: false, rv: 0 },
                        );
                        self.changed(of, name, "ADDED");
                        if is_cordoned {
                            self.note(of, "MODIFIED", name);
                        }
                    }
                    Some(fact) => {
                        // Whether the account of fields changes is not the oracle's business: it believes the version.
                        let is_written = self.cluster.rows.resource_version() > before;
                        assert!(is_written || fact.payload == payload);
                        if is_written {
                            self.written(of, name, Some(payload));
                        }
                    }
                }
            }
            (Verb::List { label }, _) => {
                let list = self.cluster.get(&format!("{}?labelSelector=l%3D{label}", kind.collection)).ok();
                let names: Vec<&str> = list["items"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .filter_map(|one| one["metadata"]["name"].as_str())
                    .collect();
                let expected: Vec<&str> = self
                    .facts
                    .iter()
                    .filter(|((kind, _), fact)| *kind == of && fact.label == Some(*label))
                    .map(|((_, name), _)| name.as_str())
                    .collect();
                assert_eq!(names, expected);
            }
            (Verb::DeleteCollection { label }, _) => {
                let path =
                    format!("{}?labelSelector=l%3D{label}&propagationPolicy=Background", kind.collection);
                self.cluster.delete(&path).ok();
                let chosen: Vec<String> = self
                    .facts
                    .iter()
                    .filter(|((kind, _), fact)| *kind == of && fact.label == Some(*label))
                    .map(|((_, name), _)| name.clone())
                    .collect();
                for name in &chosen {
                    self.deleted(of, name);
                }
            }
            (_, None) => {
                let got = match verb {
                    Verb::Put { payload, .. } => self.cluster.put(&path, Self::object(kind, name, *payload)),
                    Verb::Delete { .. } => self.cluster.delete(&path),
                    Verb::Get => self.cluster.get(&path),
                    _ => self.cluster.merge(&path, json!({})),
                };
                got.refused(404, "NotFound");
            }
            (Verb::Get, Some(fact)) => {
                let got = self.cluster.get(&path).ok();
                self.check(kind, &fact, &got);
            }
            (Verb::Put { payload, stale }, Some(fact)) => {
                let mut object = self.cluster.get(&path).ok();
                set(&mut object, kind.payload, (kind.value)(*payload));
                if *stale {
                    object["metadata"]["resourceVersion"] = (fact.rv - 1).to_string().into();
                    self.cluster.put(&path, object).refused(409, "Conflict");
                    return;
                }
                let got = self.cluster.put(&path, object);
                self.payload(of, name, &fact, *payload, &got);
            }
            (Verb::Merge { payload, dry }, Some(fact)) => {
                let mut patch = json!({});
                set(&mut patch, kind.payload, (kind.value)(*payload));
                let query = if *dry { "?dryRun=All" } else { "" };
                let got = self.cluster.merge(&format!("{path}{query}"), patch);
                if *dry {
                    assert!(
                        got.code == 200 && self.cluster.rows.resource_version() == before,
                        "{}",
                        got.body
                    );
                    let shown = got.at(kind.payload);
                    let is_left_out =
                        shown.is_null() && kind.kind == "Node" && (kind.value)(*payload) == false;
                    assert!(is_left_out || *shown == (kind.value)(*payload), "{}", got.body);
                    return;
                }
                self.payload(of, name, &fact, *payload, &got);
            }
            (Verb::JsonPatch { payload }, Some(fact)) => {
                let patch = json!([
                    {"op": "test", "path": "/metadata/name", "value": name},
                    {"op": "add", "path": kind.payload, "value": (kind.value)(*payload)},
                ]);
                let got =
                    self.cluster.call("PATCH", &path, "application/json-patch+json", &patch.to_string());
                self.payload(of, name, &fact, *payload, &got);
            }
            (Verb::Label { label }, Some(fact)) => {
                let value = label.map(|label| label.to_string());
                let got = self.cluster.merge(&path, json!({"metadata": {"labels": {"l": value}}}));
                assert_eq!(got.code, 200, "{}", got.body);
                if fact.label != *label {
                    self.facts.get_mut(&place).expect("it is known").label = *label;
                    self.changed(of, name, "MODIFIED");
                }
            }
            (Verb::Hold { held }, Some(fact)) => {
                if kind.kind == "Node" {
                    return;
                }
                let list = if *held { json!([FINALIZER]) } else { Value::Null };
                let got = self.cluster.merge(&path, json!({"metadata": {"finalizers": list}}));
                assert_eq!(got.code, 200, "{}", got.body);
                if fact.held == *held {
                    assert_eq!(self.cluster.rows.resource_version(), before);
                } else if fact.deleting {
                    self.gone(of, name);
                } else {
                    self.facts.get_mut(&place).expect("it is known").held = *held;
                    self.changed(of, name, "MODIFIED");
                }
            }
            (Verb::Delete { wrong_uid, dry }, Some(_)) => {
                let mut options = json!({"propagationPolicy": "Background"});
                if *wrong_uid {
                    options["preconditions"] = json!({"uid": "wrong"});
                    self.cluster.delete_with(&path, options).refused(409, "Conflict");
                    return;
                }
                if *dry {
                    options["dryRun"] = json!(["All"]);
                }
                self.cluster.delete_with(&path, options).ok();
                if *dry {
                    assert_eq!(self.cluster.rows.resource_version(), before);
                } else {
                    self.deleted(of, name);
                }
            }
        }
    }

    /// An object of this name has been deleted.
    fn deleted(&mut self, of: usize, name: &str) {
        let place = (of, name.to_owned());
        let fact = self.facts.get_mut(&place).expect("it is known");
        if !fact.held {
            if KINDS[of].kind == "Pod" {
                // A pod is marked before it goes.
                self.note(of, "MODIFIED", name);
            }
            self.gone(of, name);
        } else if !fact.deleting {
            fact.deleting = true;
            fact.generation = fact.generation.map(|generation| generation + 1);
            self.changed(of, name, "MODIFIED");
        }
    }

    /// A payload has been written.
    fn payload(&mut self, of: usize, name: &str, fact: &Fact, payload: u8, got: &Got) {
        assert_eq!(got.code, 200, "{}", got.body);
        let payload = (KINDS[of].value)(payload);
        if fact.payload != payload {
            self.written(of, name, Some(payload));
        } else {
            assert_eq!(got.at("/metadata/resourceVersion"), &json!(fact.rv.to_string()), "{}", got.body);
        }
    }

    fn written(&mut self, of: usize, name: &str, payload: Option<Value>) {
        let fact = self.facts.get_mut(&(of, name.to_owned())).expect("it is known");
        if let Some(payload) = payload.filter(|payload| *payload != fact.payload) {
            fact.payload = payload;
            fact.generation = fact.generation.map(|generation| generation + 1);
        }
        self.changed(of, name, "MODIFIED");
    }

    fn check(&self, kind: &Kind, fact: &Fact, object: &Value) {
        let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
        // A node that is not cordoned does not say so.
        let payload = match at(kind.payload) {
            Value::Null if kind.kind == "Node" => false.into(),
            payload => payload,
        };
        assert_eq!(payload, fact.payload, "{object}");
        assert_eq!(
            at("/metadata/labels/l"),
            fact.label.map_or(Value::Null, |label| label.to_string().into())
        );
        if kind.has_generation {
            assert_eq!(at("/metadata/generation").as_i64(), fact.generation, "{object}");
        }
        assert_eq!(at("/metadata/finalizers"), if fact.held { json!([FINALIZER]) } else { Value::Null });
        assert_eq!(at("/metadata/deletionTimestamp").is_string(), fact.deleting, "{object}");
        assert_eq!(at("/metadata/resourceVersion"), json!(fact.rv.to_string()));
    }

    fn check_all(&mut self) {
        for (of, kind) in KINDS.iter().enumerate() {
            let list = self.cluster.get(kind.collection).ok();
            let items = list["items"].as_array().expect("a list");
            let expected: Vec<(&String, &Fact)> = self
                .facts
                .iter()
                .filter(|((one, _), _)| *one == of)
                .map(|((_, name), fact)| (name, fact))
                .collect();
            // `default` is in no kind of these; lists are in the order of names, as the map is.
            let names: Vec<&str> =
                items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
            assert_eq!(
                names,
                expected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
                "{}",
                kind.kind
            );
            for (item, (_, fact)) in items.iter().zip(&expected) {
                self.check(kind, fact, item);
            }
        }
        for (of, kind) in KINDS.iter().enumerate() {
            let events = self.cluster.events(self.watches[of]);
            let told: Vec<(String, String)> = events
                .iter()
                .map(|(what, object)| {
                    (what.clone(), object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
                })
                .collect();
            let expected: Vec<(String, String)> =
                self.told[of].drain(..).map(|(what, name)| (what.to_owned(), name)).collect();
            assert_eq!(told, expected, "{}", kind.kind);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_verbs_does_what_a_map_would(
        steps in prop::collection::vec((0..KINDS.len(), 0_usize..3, verb()), 1..40),
    ) {
        let mut run = Run::new();
        for (of, name, verb) in &steps {
            run.step(*of, ["a", "b", "c"][*name], verb);
            run.rv = run.rv.max(run.cluster.rows.resource_version());
        }
        run.check_all();
    }
}
