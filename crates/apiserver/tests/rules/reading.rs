//! Get and list.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Cluster, config_map};

fn names(list: &serde_json::Value) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn with_maps(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::new();
    for name in names {
        cluster.post(CONFIG_MAPS, config_map(name, json!({}))).ok();
    }
    cluster
}

#[test]
fn a_missing_object_is_404_in_kubernetes_words() {
    let mut cluster = Cluster::new();
    let got = cluster.get(&format!("{CONFIG_MAPS}/a"));
    assert_eq!(got.refused(404, "NotFound"), "configmaps \"a\" not found");
    let got = cluster.get("/apis/batch/v1/namespaces/default/jobs/j");
    assert_eq!(got.refused(404, "NotFound"), "jobs.batch \"j\" not found");
    assert_eq!(cluster.get("/apis/nobody/v1/things").code, 404);
}

#[test]
fn lists_are_in_the_order_of_keys() {
    let mut cluster = with_maps(&["b", "c", "a"]);
    let list = cluster.get(CONFIG_MAPS).ok();
    assert_eq!(names(&list), ["a", "b", "c"]);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
}

#[test]
fn selectors_choose_by_labels_and_fields() {
    let mut cluster = with_maps(&["a", "b", "c"]);
    cluster.merge(&format!("{CONFIG_MAPS}/a"), json!({"metadata": {"labels": {"x": "1"}}})).ok();
    cluster.merge(&format!("{CONFIG_MAPS}/b"), json!({"metadata": {"labels": {"x": "2"}}})).ok();
    let mut chosen = |query: &str| names(&cluster.get(&format!("{CONFIG_MAPS}?{query}")).ok());
    assert_eq!(chosen("labelSelector=x"), ["a", "b"]);
    assert_eq!(chosen("labelSelector=x%3D2"), ["b"]);
    assert_eq!(chosen("labelSelector=x%20notin%20(1)"), ["b", "c"]);
    assert_eq!(chosen("fieldSelector=metadata.name%3Dc"), ["c"]);
    let refused = cluster.get(&format!("{CONFIG_MAPS}?fieldSelector=data.k%3Dc"));
    refused.refused(400, "BadRequest");
}

#[test]
fn pages_show_one_version_of_the_whole() {
    let mut cluster = with_maps(&["a", "b", "c", "d"]);
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=2")).ok();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    cluster.delete(&format!("{CONFIG_MAPS}/c")).ok();
    cluster.post(CONFIG_MAPS, config_map("e", json!({}))).ok();
    let token = first["metadata"]["continue"].as_str().expect("a token").to_owned();
    let second = cluster.get(&format!("{CONFIG_MAPS}?limit=5&continue={token}")).ok();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
    assert_eq!(names(&cluster.get(&format!("{CONFIG_MAPS}?limit=-1")).ok()).len(), 4);
    for (wrong, why) in [("x", "invalid syntax"), ("99999999999999999999", "value out of range")] {
        let got = cluster.get(&format!("{CONFIG_MAPS}?limit={wrong}"));
        assert_eq!(got.refused(400, "BadRequest"), format!("strconv.ParseInt: parsing {wrong:?}: {why}"));
    }
}

#[test]
fn a_page_of_a_forgotten_version_is_410() {
    let mut cluster = with_maps(&["a", "b"]);
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=1")).ok();
    let token = first["metadata"]["continue"].as_str().expect("a token").to_owned();
    cluster.post(CONFIG_MAPS, config_map("c", json!({}))).ok();
    let rv = cluster.rows.resource_version();
    cluster.server.compact(rv);
    cluster.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).refused(410, "Expired");
    cluster.get(&format!("{CONFIG_MAPS}?continue=nonsense")).refused(400, "BadRequest");
}

#[test]
fn an_exact_version_shows_the_past() {
    let mut cluster = with_maps(&["a"]);
    let rv = cluster.rows.resource_version();
    cluster.post(CONFIG_MAPS, config_map("b", json!({}))).ok();
    let past = cluster.get(&format!("{CONFIG_MAPS}?resourceVersion={rv}&resourceVersionMatch=Exact")).ok();
    assert_eq!(names(&past), ["a"]);
    let now =
        cluster.get(&format!("{CONFIG_MAPS}?resourceVersion={rv}&resourceVersionMatch=NotOlderThan")).ok();
    assert_eq!(names(&now), ["a", "b"]);
    assert_eq!(names(&cluster.get(&format!("{CONFIG_MAPS}?resourceVersion=0")).ok()), ["a", "b"]);
    cluster.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).refused(422, "Invalid");
}

#[test]
fn a_version_of_the_future_times_out() {
    let mut cluster = with_maps(&["a"]);
    let got = cluster.get(&format!("{CONFIG_MAPS}?resourceVersion=999999"));
    assert!(got.refused(504, "Timeout").contains("Too large resource version: 999999"));
    assert_eq!(got.at("/details/causes/0/reason"), "ResourceVersionTooLarge");
    let got = cluster.get(&format!("{CONFIG_MAPS}/a?resourceVersion=999999"));
    got.refused(504, "Timeout");
}

#[test]
fn metadata_alone_and_tables() {
    let mut cluster = with_maps(&["a"]);
    let mut accept = |kind: &str, path: &str| {
        cluster.headers =
            vec![("accept".to_owned(), format!("application/json;as={kind};v=v1;g=meta.k8s.io"))];
        cluster.get(path).ok()
    };
    let list = accept("PartialObjectMetadataList", CONFIG_MAPS);
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("PartialObjectMetadataList"), &json!("PartialObjectMetadata"))
    );
    let one = accept("PartialObjectMetadata", &format!("{CONFIG_MAPS}/a"));
    assert!(one.get("data").is_none() && one["metadata"]["name"] == "a");
    let table = accept("Table", CONFIG_MAPS);
    assert_eq!(table["columnDefinitions"][1]["name"], "Data");
    assert_eq!(table["rows"][0]["cells"], json!(["a", "0", "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    cluster.headers = vec![("accept".to_owned(), "text/html".to_owned())];
    cluster.get(CONFIG_MAPS).refused(406, "NotAcceptable");
}

#[test]
fn discovery_tells_what_is_served() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.get("/api").ok()["versions"], json!(["v1"]));
    assert!(
        cluster.get("/apis").ok()["groups"]
            .as_array()
            .expect("groups")
            .iter()
            .any(|one| one["name"] == "batch")
    );
    let core = cluster.get("/api/v1").ok();
    let names: Vec<&str> =
        core["resources"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    for name in ["pods", "pods/status", "pods/eviction", "pods/binding", "nodes", "namespaces/finalize"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(cluster.get("/apis/batch/v1").ok()["groupVersion"], "batch/v1");
    assert_eq!(cluster.get("/version").ok()["major"], "1");
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(&cluster.get(path).text[..], b"ok");
    }
    cluster.headers = vec![(
        "accept".to_owned(),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList".to_owned(),
    )];
    let all = cluster.get("/apis").ok();
    assert_eq!(all["kind"], "APIGroupDiscoveryList");
    assert!(all["items"].to_string().contains("\"resource\":\"jobs\""));
    cluster.headers.clear();
    let index = cluster.get("/openapi/v3").ok();
    assert!(index["paths"].get("apis/batch/v1").is_some(), "{index}");
    assert!(cluster.get("/openapi/v3/apis/batch/v1").ok()["components"]["schemas"].as_object().is_some());
}

#[test]
fn callers_that_are_no_masters_need_a_role() {
    let mut cluster = Cluster::new();
    cluster.caller.groups = vec!["system:authenticated".to_owned()];
    cluster.caller.name = "jane".to_owned();
    let why = cluster.get(CONFIG_MAPS).refused(403, "Forbidden").to_owned();
    assert_eq!(
        why,
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let review = |cluster: &mut Cluster, verb: &str| {
        let spec =
            json!({"resourceAttributes": {"namespace": "default", "verb": verb, "resource": "configmaps"}});
        let review =
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
        cluster.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).ok()["status"]["allowed"].clone()
    };
    assert_eq!(review(&mut cluster, "list"), false);
    let jane = std::mem::replace(&mut cluster.caller, Cluster::new().caller);
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]});
    cluster.post(&format!("{RBAC}/roles"), role).ok();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}});
    cluster.post(&format!("{RBAC}/rolebindings"), binding).ok();
    cluster.caller = jane;
    cluster.get(CONFIG_MAPS).ok();
    assert_eq!((review(&mut cluster, "list"), review(&mut cluster, "delete")), (json!(true), json!(false)));
    cluster.post(CONFIG_MAPS, config_map("a", json!({}))).refused(403, "Forbidden");
    cluster.get("/api/v1/configmaps").refused(403, "Forbidden");
}

/// A client that runs as a ServiceAccount of a namespace, and everybody else.
fn as_account(cluster: &mut Cluster) -> towtank_apiserver::Caller {
    let account =
        towtank_apiserver::Caller::service_account("robots", "arm", towtank_model::server::Actor::Operator);
    std::mem::replace(&mut cluster.caller, account)
}

/// Objects that let the ServiceAccount do what `rules` say: everywhere, or in the namespace `default`.
fn bind(cluster: &mut Cluster, kind: &str, name: &str, rules: Value) {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let root = if kind == "Role" { format!("{RBAC}/namespaces/default") } else { RBAC.to_owned() };
    let lower = kind.to_lowercase();
    let (version, meta) = ("rbac.authorization.k8s.io/v1", json!({"name": name}));
    let role = json!({"apiVersion": version, "kind": kind, "metadata": meta, "rules": rules});
    cluster.post(&format!("{root}/{lower}s"), role).ok();
    let binding = json!({"apiVersion": version, "kind": format!("{kind}Binding"), "metadata": meta,
        "subjects": [{"kind": "ServiceAccount", "name": "arm", "namespace": "robots"}],
        "roleRef": {"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}});
    cluster.post(&format!("{root}/{lower}bindings"), binding).ok();
}

#[test]
fn rules_are_of_verbs_groups_resources_and_names() {
    let mut cluster = Cluster::new();
    for name in ["mine", "other"] {
        cluster.post(CONFIG_MAPS, config_map(name, json!({}))).ok();
    }
    bind(
        &mut cluster,
        "Role",
        "one",
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "patch"], "resourceNames": ["mine"]}]),
    );
    bind(
        &mut cluster,
        "ClusterRole",
        "parts",
        json!([{"apiGroups": ["apps", "batch"], "resources": ["*/scale", "deployments/status"], "verbs": ["*"]}]),
    );
    as_account(&mut cluster);
    // A name: in the path, or the only one that a list is of; never that of a new object.
    cluster.get(&format!("{CONFIG_MAPS}/mine")).ok();
    cluster.merge(&format!("{CONFIG_MAPS}/mine"), json!({"data": {"a": "b"}})).ok();
    cluster.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dmine")).ok();
    let why = cluster.get(&format!("{CONFIG_MAPS}/other")).refused(403, "Forbidden").to_owned();
    assert_eq!(
        why,
        "configmaps \"other\" is forbidden: User \"system:serviceaccount:robots:arm\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    cluster.get(CONFIG_MAPS).refused(403, "Forbidden");
    cluster.delete(&format!("{CONFIG_MAPS}/mine")).refused(403, "Forbidden");
    cluster.get("/api/v1/namespaces/kube-system/configmaps/mine").refused(403, "Forbidden");
    // Subresources are apart from what they are of, and one of all resources is `*/scale`.
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments/none";
    cluster.get(&format!("{DEPLOYMENTS}/scale")).refused(404, "NotFound");
    cluster.get(&format!("{DEPLOYMENTS}/status")).refused(404, "NotFound");
    cluster.get(DEPLOYMENTS).refused(403, "Forbidden");
    cluster.get("/apis/batch/v1/namespaces/default/jobs/none/status").refused(403, "Forbidden");
}

#[test]
fn everybody_may_ask_what_is_served_and_who_they_are() {
    let mut cluster = Cluster::new();
    bind(
        &mut cluster,
        "ClusterRole",
        "metrics",
        json!([{"nonResourceURLs": ["/metrics/*"], "verbs": ["get"]}]),
    );
    as_account(&mut cluster);
    for path in ["/api", "/api/v1", "/apis", "/apis/batch/v1", "/version", "/healthz", "/openapi/v3"] {
        assert_eq!(cluster.get(path).code, 200, "{path}");
    }
    let why = cluster.get("/metrics").refused(403, "Forbidden").to_owned();
    assert_eq!(why, "forbidden: User \"system:serviceaccount:robots:arm\" cannot get path \"/metrics\"");
    cluster.get("/metrics/of-jobs").refused(404, "NotFound");
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review).ok();
    assert_eq!(
        who["status"]["userInfo"],
        json!({"username": "system:serviceaccount:robots:arm",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:robots", "system:authenticated"]})
    );
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}});
    let rules = cluster.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review).ok();
    assert_eq!(
        rules["status"]["nonResourceRules"][0],
        json!({"nonResourceURLs": ["/metrics/*"], "verbs": ["get"]})
    );
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}});
    let review = cluster.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).ok();
    assert_eq!(review["status"]["allowed"], false);
}

#[test]
fn to_act_as_another_is_a_right_for_users_and_groups_alike() {
    let mut cluster = Cluster::new();
    bind(
        &mut cluster,
        "ClusterRole",
        "actor",
        json!([{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}]),
    );
    // A master may act as anybody, and is no more than that then.
    cluster.headers.push(("impersonate-user".to_owned(), "system:serviceaccount:robots:arm".to_owned()));
    cluster.get(CONFIG_MAPS).refused(403, "Forbidden");
    cluster.headers[0].1 = "jane".to_owned();
    cluster.headers.push(("impersonate-group".to_owned(), "system:masters".to_owned()));
    cluster.get(CONFIG_MAPS).ok();
    as_account(&mut cluster);
    let why = cluster.get(CONFIG_MAPS).refused(403, "Forbidden").to_owned();
    assert!(why.contains("cannot impersonate resource \"groups\""), "{why}");
    cluster.headers.pop();
    let why = cluster.get(CONFIG_MAPS).refused(403, "Forbidden").to_owned();
    assert!(why.contains("User \"jane\" cannot list"), "{why}");
}
