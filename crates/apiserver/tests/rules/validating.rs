//! What built-in kinds must look like, in Kubernetes' words.

use serde_json::{Value, json};

use crate::support::{Cluster, Got};

/// What a refusal names: a line for each cause.
#[track_caller]
fn causes(got: &Got) -> Vec<String> {
    got.refused(422, "Invalid");
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    let causes = got.at("/details/causes").as_array().into_iter().flatten();
    causes.map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
}

fn path(api: &str, plural: &str) -> String {
    format!("/{api}/namespaces/default/{plural}")
}

/// An object of this kind with these fields.
fn object(version: &str, kind: &str, fields: Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}});
    for (name, value) in fields.as_object().expect("fields") {
        object[name] = value.clone();
    }
    object
}

#[test]
fn config_maps() {
    let mut cluster = Cluster::new();
    let path = path("api/v1", "configmaps");
    let mut made = |fields| cluster.post(&path, object("v1", "ConfigMap", fields));
    let key = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or \
               'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    assert_eq!(
        causes(&made(json!({"data": {"a/b": "1"}}))),
        [format!("data[a/b]: Invalid value: \"a/b\": {key}")]
    );
    assert_eq!(
        causes(&made(json!({"data": {"..": "1"}, "binaryData": {"..a": ""}}))),
        [
            "data[..]: Invalid value: \"..\": must not be '..'",
            "binaryData[..a]: Invalid value: \"..a\": must not start with '..'"
        ]
    );
    assert_eq!(
        causes(&made(json!({"data": {"a": "1"}, "binaryData": {"a": "AAAA"}}))),
        ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]
    );
    let large = "x".repeat(1024 * 1024);
    made(json!({"data": {"a": large}})).ok();
    assert_eq!(
        causes(&made(json!({"data": {"a": large}, "binaryData": {"b": "AAAA"}}))),
        [": Too long: may not be more than 1048576 bytes"]
    );
}

#[test]
fn secrets() {
    let mut cluster = Cluster::new();
    let path = path("api/v1", "secrets");
    let mut made =
        |kind: &str, data| cluster.post(&path, object("v1", "Secret", json!({"type": kind, "data": data})));
    assert_eq!(causes(&made("kubernetes.io/tls", json!({"tls.crt": ""}))), ["data[tls.key]: Required value"]);
    assert_eq!(
        causes(&made("kubernetes.io/basic-auth", json!({}))),
        ["data[username]: Required value", "data[password]: Required value"]
    );
    assert_eq!(
        causes(&made("kubernetes.io/ssh-auth", json!({"ssh-privatekey": ""}))),
        ["data[ssh-privatekey]: Required value"]
    );
    assert_eq!(
        causes(&made("kubernetes.io/dockerconfigjson", json!({}))),
        ["data[.dockerconfigjson]: Required value"]
    );
    assert_eq!(
        causes(&made("kubernetes.io/service-account-token", json!({}))),
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
    );
    made("kubernetes.io/basic-auth", json!({"password": ""})).ok();
}

#[test]
fn services() {
    let mut cluster = Cluster::new();
    let path = path("api/v1", "services");
    let mut made = |spec| cluster.post(&path, object("v1", "Service", json!({"spec": spec})));
    assert_eq!(causes(&made(json!({}))), ["spec.ports: Required value"]);
    assert_eq!(
        causes(&made(json!({"ports": [{"port": 99_999, "targetPort": "a--b"}]}))),
        [
            "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: \"a--b\": must not contain consecutive hyphens",
        ]
    );
    assert_eq!(
        causes(&made(json!({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}, {"port": 3}]}))),
        ["spec.ports[1].name: Duplicate value: \"a\"", "spec.ports[2].name: Required value"]
    );
    assert_eq!(
        causes(&made(json!({"ports": [{"port": 1, "protocol": "tcp", "nodePort": 30_000}]}))),
        [
            "spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ]
    );
    assert_eq!(
        causes(&made(json!({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}))),
        [
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":1,\"TargetPort\":0,\"NodePort\":0}"
        ]
    );
    assert_eq!(
        causes(&made(json!({"type": "Other", "ports": [{"port": 1}]}))),
        [
            "spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""
        ]
    );
    assert_eq!(causes(&made(json!({"type": "ExternalName"}))), ["spec.externalName: Required value"]);
    made(json!({"clusterIP": "None"})).ok();
}

#[test]
fn leases() {
    let mut cluster = Cluster::new();
    let path = path("apis/coordination.k8s.io/v1", "leases");
    let spec = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
    let lease = object("coordination.k8s.io/v1", "Lease", spec);
    assert_eq!(
        causes(&cluster.post(&path, lease)),
        [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"
        ]
    );
}

#[test]
fn budgets() {
    let mut cluster = Cluster::new();
    let path = path("apis/policy/v1", "poddisruptionbudgets");
    let mut made =
        |spec| cluster.post(&path, object("policy/v1", "PodDisruptionBudget", json!({"spec": spec})));
    assert_eq!(
        causes(&made(json!({"minAvailable": 1, "maxUnavailable": 1}))),
        [
            "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":1,\"UnhealthyPodEvictionPolicy\":null}: \
          minAvailable and maxUnavailable cannot be both set"
        ]
    );
    assert_eq!(
        causes(&made(json!({"minAvailable": "101%"}))),
        ["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"]
    );
    assert_eq!(
        causes(&made(json!({"maxUnavailable": -1}))),
        ["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert!(causes(&made(json!({"maxUnavailable": "half"})))[0].contains("a valid percent string"));
    assert_eq!(
        causes(&made(json!({"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "Never"}))),
        [
            "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\""
        ]
    );
    made(json!({"maxUnavailable": "50%"})).ok();
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

#[test]
fn roles() {
    let mut cluster = Cluster::new();
    let rules = json!({"rules": [
        {"resources": ["pods"], "apiGroups": [""], "verbs": []},
        {"verbs": ["get"]},
        {"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["pods"]},
    ]});
    let made = cluster.post(&path(&format!("apis/{RBAC}"), "roles"), object(RBAC, "Role", rules.clone()));
    let mixed = "rules[2].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and non-resource URLs";
    let common = [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[1].resources: Required value: resource rules must supply at least one resource",
    ];
    let of_roles = "rules[2].nonResourceURLs: Invalid value: [\"/a\"]: namespaced rules cannot apply to non-resource URLs";
    assert_eq!(causes(&made), [&common[..], &[of_roles, mixed]].concat());
    let made = cluster.post(&format!("/apis/{RBAC}/clusterroles"), object(RBAC, "ClusterRole", rules));
    assert_eq!(causes(&made), [&common[..], &[mixed]].concat());
}

#[test]
fn bindings() {
    let of = |minor| {
        let mut cluster = Cluster::of(minor);
        let path = path(&format!("apis/{RBAC}"), "rolebindings");
        let role = json!({"apiGroup": RBAC.split('/').next(), "kind": "Role", "name": "r"});
        let wrong = json!({
            "roleRef": {"apiGroup": "other", "kind": "Rule", "name": "a/b"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "s", "namespace": "default", "apiGroup": "other"},
                {"kind": "User", "name": "", "apiGroup": "other"},
                {"kind": "Robot", "name": "r"},
            ],
        });
        let known = "Unsupported value: \"other\": supported values: \"rbac.authorization.k8s.io\"";
        assert_eq!(
            causes(&cluster.post(&path, object(RBAC, "RoleBinding", wrong))),
            [
                &format!("roleRef.apiGroup: {known}"),
                "roleRef.kind: Unsupported value: \"Rule\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
                "subjects[0].apiGroup: Unsupported value: \"other\": supported values: \"\"",
                "subjects[1].name: Required value",
                &format!("subjects[1].apiGroup: {known}"),
                "subjects[2].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ]
        );
        let far = json!({"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
        let made = cluster
            .post(&format!("/apis/{RBAC}/clusterrolebindings"), object(RBAC, "ClusterRoleBinding", far));
        assert_eq!(
            causes(&made),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
            ]
        );
        cluster.post(&path, object(RBAC, "RoleBinding", json!({"roleRef": role}))).ok();
        causes(&cluster.merge(&format!("{path}/a"), json!({"roleRef": {"name": "other"}})))
    };
    let shown = "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"other\"}";
    assert_eq!(of(36), [format!("{shown}: cannot change roleRef")]);
    assert_eq!(of(37), [format!("{shown}: field is immutable")]);
}

#[test]
fn deployments() {
    let mut cluster = Cluster::new();
    let path = path("apis/apps/v1", "deployments");
    let mut made = |changes: Value| {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        });
        for (name, value) in changes.as_object().expect("fields") {
            spec[name] = value.clone();
        }
        cluster.post(&path, object("apps/v1", "Deployment", json!({"spec": spec})))
    };
    let unmatched = "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`";
    assert_eq!(causes(&made(json!({"selector": {"matchLabels": {"app": "b"}}}))), [unmatched]);
    assert_eq!(causes(&made(json!({"selector": null}))), ["spec.selector: Required value", unmatched]);
    assert_eq!(
        causes(&made(json!({"selector": {}}))),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
    );
    assert_eq!(
        causes(&made(json!({"replicas": -1, "minReadySeconds": 5, "progressDeadlineSeconds": 5}))),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
        ]
    );
    assert_eq!(
        causes(&made(json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}))),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]
    );
    let once = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(
        causes(&made(json!({"template": once}))),
        ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
    );
    made(json!({})).ok();
}

#[test]
fn events() {
    let mut cluster = Cluster::new();
    let about = |namespace: &str| json!({"kind": "Pod", "name": "p", "namespace": namespace});
    let old = path("api/v1", "events");
    let mismatch = "involvedObject.namespace: Invalid value: \"kube-system\": does not match event.namespace";
    let made = cluster.post(&old, object("v1", "Event", json!({"involvedObject": about("kube-system")})));
    assert_eq!(causes(&made), [mismatch]);
    let timed = json!({"involvedObject": about("default"), "eventTime": "2000-01-01T00:00:00.000000Z", "message": "m".repeat(1025)});
    assert_eq!(
        causes(&cluster.post(&old, object("v1", "Event", timed)))[1..],
        [
            "reportingComponent: Invalid value: \"\": name part must be non-empty",
            "reportingComponent: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
             and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "reportingInstance: Required value",
            "action: Required value",
            "reason: Required value",
            "message: Invalid value: \"\": can have at most 1024 characters",
        ]
    );
    let new = path("apis/events.k8s.io/v1", "events");
    let bare =
        json!({"regarding": about("default"), "deprecatedCount": 2, "type": "Odd", "series": {"count": 1}});
    assert_eq!(
        causes(&cluster.post(&new, object("events.k8s.io/v1", "Event", bare))),
        [
            "series.count: Invalid value: \"\": should be at least 2",
            "series.lastObservedTime: Required value",
            "eventTime: Required value",
            "type: Invalid value: \"\": has invalid value: Odd",
            "count: Invalid value: \"\": needs to be unset",
        ]
    );
    let good = json!({
        "regarding": about("default"), "eventTime": "2000-01-01T00:00:00.000000Z", "type": "Normal", "note": "n",
        "reportingController": "c", "reportingInstance": "c-0", "action": "Act", "reason": "Because",
    });
    cluster.post(&new, object("events.k8s.io/v1", "Event", good)).ok();
    assert_eq!(
        causes(&cluster.merge(&format!("{new}/a"), json!({"reason": "Other"}))),
        ["reason: Invalid value: \"Other\": field is immutable"]
    );
}

#[test]
fn jobs_have_no_scale() {
    let mut cluster = Cluster::new();
    cluster.post(crate::support::JOBS, crate::support::job("a", 1)).ok();
    let path = format!("{}/a", crate::support::JOBS);
    cluster.get(&format!("{path}/scale")).refused(404, "NotFound");
    cluster.delete(&format!("{path}/status")).refused(405, "MethodNotAllowed");
}
