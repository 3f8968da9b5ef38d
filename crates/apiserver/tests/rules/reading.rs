//! Get and list.

use serde_json::json;

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
