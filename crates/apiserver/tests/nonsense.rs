//! No request makes the server fail, however odd: it answers, and goes on.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Cluster, config_map, job, pod};
use towtank_apiserver::Answer;

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..5).prop_map(Value::from),
        "[a-z./=-]{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "a",
            "Indexed",
            "Always",
            "v1",
            "50%",
            "2000-01-01T00:00:00Z",
            "1999-01-01T00:00:00Z",
            "uid-1"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let names = prop::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "name",
            "namespace",
            "labels",
            "annotations",
            "finalizers",
            "uid",
            "resourceVersion",
            "ownerReferences",
            "managedFields",
            "template",
            "containers",
            "resources",
            "requests",
            "cpu",
            "completions",
            "parallelism",
            "selector",
            "matchLabels",
            "conditions",
            "type",
            "data",
            "replicas",
            "size",
            "taints",
            "versions",
            "schema",
            "openAPIV3Schema",
            "properties",
            "op",
            "path",
            "value",
            "deletionTimestamp",
            "target",
            "kind",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

/// A body that is nearly right: a good one with something else put into it.
fn body() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        pod("p"),
        job("j", 2),
        config_map("a", json!({"k": "v"})),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
        json!([{"op": "add", "path": "/metadata/labels/x", "value": "y"}]),
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}),
    ]);
    let pointer = prop::sample::select(vec![
        "",
        "/metadata",
        "/metadata/name",
        "/metadata/labels",
        "/metadata/ownerReferences",
        "/metadata/finalizers",
        "/metadata/managedFields",
        "/spec",
        "/spec/template",
        "/spec/template/spec",
        "/spec/containers",
        "/spec/containers/0",
        "/status",
        "/spec/taints/0",
        "/0",
        "/0/path",
        "/data",
    ]);
    prop_oneof![
        6 => (good, pointer, tree()).prop_map(|(mut body, pointer, value)| {
            if let Some(place) = body.pointer_mut(pointer) {
                *place = value;
            }
            body.to_string()
        }),
        1 => tree().prop_map(|tree| tree.to_string()),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/pods/p",
        "/api/v1/namespaces/default/pods/p/status",
        "/api/v1/namespaces/default/pods/p/eviction",
        "/api/v1/namespaces/default/pods/p/binding",
        "/apis/batch/v1/namespaces/default/jobs",
        "/apis/batch/v1/namespaces/default/jobs/j",
        "/apis/batch/v1/namespaces/default/jobs/j/status",
        "/api/v1/nodes",
        "/api/v1/nodes/n",
        "/api/v1/nodes/n/status",
        "/api/v1/namespaces",
        "/api/v1/namespaces/x",
        "/api/v1/namespaces/x/finalize",
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/configmaps/a",
        "/api/v1/configmaps",
        "/api/v1/pods",
        "/api/v1/namespaces/default/services",
        "/apis/apps/v1/namespaces/default/deployments",
        "/apis/apps/v1/namespaces/default/deployments/a/scale",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/batch",
        "/apis/batch/v1",
        "/version",
        "/openapi/v3",
        "/openapi/v3/apis/batch/v1",
    ]);
    prop_oneof![8 => good.prop_map(str::to_owned), 1 => "/[a-z0-9/%.-]{0,24}"]
}

fn query() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "watch=1",
        "limit=1",
        "limit=x",
        "continue=1.61",
        "continue=%00",
        "resourceVersion=0",
        "resourceVersion=3",
        "resourceVersion=x",
        "resourceVersionMatch=Exact",
        "labelSelector=a",
        "labelSelector=a,,!b",
        "labelSelector=a%20in%20(",
        "fieldSelector=metadata.name=p",
        "fieldSelector=x",
        "dryRun=All",
        "fieldManager=m",
        "force=1",
        "fieldValidation=Strict",
        "fieldValidation=Odd",
        "sendInitialEvents=true",
        "timeoutSeconds=1",
        "propagationPolicy=Foreground",
        "gracePeriodSeconds=-1",
        "gracePeriodSeconds=0",
        "includeObject=None",
        "orphanDependents=1",
        "pretty",
    ]);
    prop::collection::vec(part, 0..3).prop_map(|parts| parts.join("&"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered(
        requests in prop::collection::vec((
            prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
            path(),
            query(),
            prop::sample::select(vec![
                "application/json", "application/merge-patch+json", "application/json-patch+json",
                "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/vnd.kubernetes.protobuf", "text/plain", "",
            ]),
            prop::sample::select(vec!["", "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"]),
            body(),
        ), 1..40),
    ) {
        let mut cluster = Cluster::new();
        cluster.post(support::PODS, pod("p")).ok();
        cluster.post(support::JOBS, job("j", 2)).ok();
        let mut watches = Vec::new();
        for (method, path, query, content_type, accept, body) in &requests {
            cluster.headers = if accept.is_empty() { Vec::new() } else { vec![("accept".to_owned(), (*accept).to_owned())] };
            let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
            if target.parse::<http::Uri>().is_err() {
                continue;
            }
            let body = if matches!(*method, "GET" | "HEAD") { "" } else { body.as_str() };
            match cluster.send(method, &target, content_type, body) {
                Answer::Response(response) => {
                    let code = response.status().as_u16();
                    prop_assert!((200..600).contains(&code) && code != 500, "{method} {target} {body}: {response:?}");
                    if code >= 300 {
                        let status: Value = serde_json::from_slice(response.body()).expect("a Status");
                        prop_assert_eq!(&status["kind"], "Status");
                    }
                }
                Answer::Watch(watch) => watches.push(watch),
            }
            for watch in &watches {
                cluster.events(*watch);
            }
            cluster.wait(1);
        }
    }
}
