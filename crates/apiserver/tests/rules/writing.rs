//! Create, update and patch.

use serde_json::json;

use crate::support::{CONFIG_MAPS, Cluster, JOBS, config_map, job};

#[test]
fn a_name_is_taken_once() {
    let mut cluster = Cluster::new();
    cluster.post(CONFIG_MAPS, config_map("a", json!({}))).ok();
    let got = cluster.post(CONFIG_MAPS, config_map("a", json!({})));
    assert_eq!(got.refused(409, "AlreadyExists"), "configmaps \"a\" already exists");
}

#[test]
fn names_are_generated_by_the_seed() {
    let generated = |seed: u64| {
        let config = towtank_apiserver::Config { seed, ..towtank_apiserver::Config::default() };
        let mut cluster = Cluster::with(config);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}});
        cluster.post(CONFIG_MAPS, map).ok()["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    let name = generated(1);
    assert!(name.starts_with("a-") && name.len() == 7, "{name}");
    assert_eq!(name, generated(1));
    assert_ne!(name, generated(2));
    let mut cluster = Cluster::new();
    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    assert!(
        cluster
            .post(CONFIG_MAPS, nameless)
            .refused(422, "Invalid")
            .contains("name or generateName is required")
    );
}

#[test]
fn system_fields_are_the_servers() {
    let mut cluster = Cluster::new();
    let mut map = config_map("a", json!({}));
    map["metadata"]["uid"] = "mine".into();
    map["metadata"]["creationTimestamp"] = "1999-01-01T00:00:00Z".into();
    map["metadata"]["deletionTimestamp"] = "1999-01-01T00:00:00Z".into();
    let made = cluster.post(CONFIG_MAPS, map).ok();
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_eq!(made["metadata"]["creationTimestamp"], "2000-01-01T00:16:40Z");
    assert!(made["metadata"].get("deletionTimestamp").is_none());
    let mut with_version = config_map("b", json!({}));
    with_version["metadata"]["resourceVersion"] = "7".into();
    cluster.post(CONFIG_MAPS, with_version).refused(400, "BadRequest");
}

#[test]
fn the_namespace_has_to_be_there_and_fit() {
    let mut cluster = Cluster::new();
    let nowhere = "/api/v1/namespaces/nowhere/configmaps";
    let got = cluster.post(nowhere, config_map("a", json!({})));
    assert_eq!(got.refused(404, "NotFound"), "namespaces \"nowhere\" not found");
    let mut map = config_map("a", json!({}));
    map["metadata"]["namespace"] = "kube-system".into();
    cluster.post(CONFIG_MAPS, map).refused(400, "BadRequest");
}

#[test]
fn the_kind_has_to_fit_the_path() {
    let mut cluster = Cluster::new();
    cluster
        .post(CONFIG_MAPS, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}))
        .refused(400, "BadRequest");
    cluster.call("POST", CONFIG_MAPS, "application/json", "{").refused(400, "BadRequest");
    cluster.call("POST", CONFIG_MAPS, "text/plain", "x").refused(415, "UnsupportedMediaType");
}

#[test]
fn a_write_that_comes_too_late_is_a_conflict() {
    let mut cluster = Cluster::new();
    let old = cluster.post(CONFIG_MAPS, config_map("a", json!({}))).ok();
    let path = format!("{CONFIG_MAPS}/a");
    cluster.merge(&path, json!({"data": {"k": "v"}})).ok();
    let got = cluster.put(&path, old.clone());
    assert_eq!(
        got.refused(409, "Conflict"),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    // Without a version the write is unconditional.
    cluster.put(&path, config_map("a", json!({"k": "w"}))).ok();
    let rv = json!({"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}});
    cluster.merge(&path, rv).refused(409, "Conflict");
    let mut other = config_map("a", json!({}));
    other["metadata"]["uid"] = json!("another");
    assert!(cluster.put(&path, other).refused(409, "Conflict").contains("Precondition failed: UID"));
    // What a patch comes to is compared by version, and then validated.
    let other = json!({"metadata": {"uid": "another"}});
    assert!(
        cluster
            .merge(&path, other)
            .refused(422, "Invalid")
            .contains("metadata.uid: Invalid value: \"another\": field is immutable")
    );
    let late = json!({"metadata": {"uid": "another", "resourceVersion": old["metadata"]["resourceVersion"]}});
    cluster.merge(&path, late).refused(409, "Conflict");
}

#[test]
fn a_write_of_nothing_makes_no_version() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch("/api/v1/configmaps?watch=1");
    let made = cluster.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).ok();
    let path = format!("{CONFIG_MAPS}/a");
    let rv = &made["metadata"]["resourceVersion"];
    assert_eq!(&cluster.put(&path, made.clone()).ok()["metadata"]["resourceVersion"], rv);
    assert_eq!(&cluster.merge(&path, json!({})).ok()["metadata"]["resourceVersion"], rv);
    assert_eq!(cluster.told(watch), ["ADDED a"]);
}

#[test]
fn the_name_in_the_body_is_that_of_the_path() {
    let mut cluster = Cluster::new();
    cluster.post(CONFIG_MAPS, config_map("a", json!({}))).ok();
    cluster.put(&format!("{CONFIG_MAPS}/a"), config_map("b", json!({}))).refused(400, "BadRequest");
    cluster.put(&format!("{CONFIG_MAPS}/b"), config_map("b", json!({}))).refused(404, "NotFound");
}

#[test]
fn leases_are_created_by_an_update() {
    let mut cluster = Cluster::new();
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}});
    let made = cluster.put(path, lease);
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.at("/spec/holderIdentity"), "me");
}

#[test]
fn four_kinds_of_patches() {
    let mut cluster = Cluster::new();
    cluster.post(CONFIG_MAPS, config_map("a", json!({"x": "1", "y": "2"}))).ok();
    let path = format!("{CONFIG_MAPS}/a");
    let mut patch = |kind: &str, body: serde_json::Value| {
        cluster.call("PATCH", &path, &format!("application/{kind}"), &body.to_string())
    };
    let got = patch("json-patch+json", json!([{"op": "replace", "path": "/data/x", "value": "3"}])).ok();
    assert_eq!(got["data"]["x"], "3");
    assert_eq!(patch("merge-patch+json", json!({"data": {"y": null}})).ok()["data"], json!({"x": "3"}));
    assert_eq!(
        patch("strategic-merge-patch+json", json!({"data": {"z": "4"}})).ok()["data"],
        json!({"x": "3", "z": "4"})
    );
    patch("json-patch+json", json!([{"op": "test", "path": "/data/x", "value": "9"}]))
        .refused(422, "Invalid");
    patch("unheard-of", json!({})).refused(415, "UnsupportedMediaType");
    let apply = format!("{path}?fieldManager=me&force=true");
    let body = config_map("a", json!({"w": "5"})).to_string();
    let applied = cluster.call("PATCH", &apply, "application/apply-patch+yaml", &body).ok();
    assert_eq!(applied["data"], json!({"x": "3", "z": "4", "w": "5"}));
    let unmanaged = cluster.call("PATCH", &path, "application/apply-patch+yaml", &body);
    assert!(unmanaged.refused(422, "Invalid").contains("fieldManager"));
}

#[test]
fn bodies_may_be_yaml() {
    let mut cluster = Cluster::new();
    let path = format!("{CONFIG_MAPS}/a");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {x: \"1\"}\n";
    let made = cluster.call("POST", CONFIG_MAPS, "application/yaml", text);
    assert_eq!((made.code, made.at("/data")), (201, &json!({"x": "1"})));
    let applied = text.replace("x:", "y:");
    let got =
        cluster.call("PATCH", &format!("{path}?fieldManager=me"), "application/apply-patch+yaml", &applied);
    assert_eq!(got.ok()["data"], json!({"x": "1", "y": "1"}));
    for wrong in ["a: [", "a: b\n--- \nc: d\n", "\u{7f}"] {
        let got =
            cluster.call("PATCH", &format!("{path}?fieldManager=me"), "application/apply-patch+yaml", wrong);
        assert!(got.refused(400, "BadRequest").lines().count() == 1, "{:?}", got.body);
    }
    assert_eq!(cluster.call("DELETE", &path, "application/yaml", "gracePeriodSeconds: 0\n").code, 200);
}

#[test]
fn names_of_services_began_with_a_letter_up_to_1_35() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1a"}, "spec": {"clusterIP": "None"}});
    let services = "/api/v1/namespaces/default/services";
    let got = Cluster::of(35).post(services, service.clone());
    assert!(got.refused(422, "Invalid").contains("a DNS-1035 label must consist of"));
    assert_eq!(Cluster::of(36).post(services, service).code, 201);
}

#[test]
fn applying_meets_the_fields_of_others() {
    let mut cluster = Cluster::new();
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(cluster.apply(&path, "one", config_map("a", json!({"x": "1"}))).code, 201);
    let got = cluster.apply(&path, "two", config_map("a", json!({"x": "2"})));
    assert!(got.refused(409, "Conflict").contains("conflict"), "{}", got.body);
    assert_eq!(got.at("/details/causes/0/field"), ".data.x");
    cluster.apply(&path, "two", config_map("a", json!({"x": "1"}))).ok();
    // What one manager gives up stays while another holds it.
    let left = cluster.apply(&path, "one", config_map("a", json!({}))).ok();
    assert_eq!(left["data"], json!({"x": "1"}));
    let gone = cluster.apply(&path, "two", config_map("a", json!({}))).ok();
    assert!(gone.get("data").is_none_or(|data| data == &json!({})), "{gone}");
}

#[test]
fn a_rehearsal_stores_nothing() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch("/api/v1/configmaps?watch=1");
    let got = cluster.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a", json!({"k": "v"}))).ok();
    assert_eq!(got["data"]["k"], "v");
    cluster.get(&format!("{CONFIG_MAPS}/a")).refused(404, "NotFound");
    let rv = cluster.rows.resource_version();
    let got = cluster.post(&format!("{JOBS}?dryRun=All"), job("j", 2)).ok();
    assert_eq!(got["spec"]["backoffLimit"], 6);
    assert!(got["metadata"].get("resourceVersion").is_none());
    cluster.post(&format!("{JOBS}?dryRun=All"), job("j", -2)).refused(422, "Invalid");
    cluster.get(&format!("{JOBS}/j")).refused(404, "NotFound");
    cluster.post(JOBS, job("j", 2)).ok();
    let path = format!("{JOBS}/j?dryRun=All");
    assert_eq!(cluster.merge(&path, json!({"spec": {"suspend": true}})).ok()["spec"]["suspend"], true);
    cluster.delete(&path).ok();
    assert_eq!(cluster.get(&format!("{JOBS}/j")).ok()["spec"]["suspend"], false);
    assert_eq!(cluster.rows.resource_version(), rv + 1);
    assert_eq!(cluster.told(watch), Vec::<String>::new());
    cluster
        .post(&format!("{CONFIG_MAPS}?dryRun=Some"), config_map("a", json!({})))
        .refused(400, "BadRequest");
}

#[test]
fn unknown_fields_are_refused_told_of_or_dropped() {
    let mut cluster = Cluster::new();
    let mut odd = config_map("a", json!({}));
    odd["spce"] = json!(1);
    let got = cluster.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), odd.clone());
    assert_eq!(
        got.refused(400, "BadRequest"),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"spce\""
    );
    let got = cluster.post(&format!("{CONFIG_MAPS}?fieldValidation=Warn"), odd.clone());
    assert_eq!(got.warnings, ["299 - \"unknown field \\\"spce\\\"\""]);
    assert!(got.at("/spce").is_null());
    odd["metadata"]["name"] = "b".into();
    let got = cluster.post(&format!("{CONFIG_MAPS}?fieldValidation=Ignore"), odd);
    assert!(got.warnings.is_empty() && got.at("/spce").is_null());
}

#[test]
fn immutable_things_stay() {
    let mut cluster = Cluster::new();
    let mut map = config_map("a", json!({"k": "v"}));
    map["immutable"] = true.into();
    cluster.post(CONFIG_MAPS, map).ok();
    let path = format!("{CONFIG_MAPS}/a");
    let got = cluster.merge(&path, json!({"data": {"k": "w"}}));
    assert!(got.refused(422, "Invalid").contains("field is immutable when `immutable` is set"));
    cluster.merge(&path, json!({"metadata": {"labels": {"x": "y"}}})).ok();
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "text"}});
    let made = cluster.post(secrets, secret).ok();
    assert_eq!((&made["type"], &made["data"]["k"]), (&json!("Opaque"), &json!("dGV4dA==")));
    cluster.merge(&format!("{secrets}/s"), json!({"type": "other"})).refused(422, "Invalid");
}

#[test]
fn generation_counts_changes_of_the_spec() {
    let mut cluster = Cluster::new();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(cluster.post(deployments, deployment).ok()["metadata"]["generation"], 1);
    let path = format!("{deployments}/d");
    assert_eq!(
        cluster.merge(&path, json!({"metadata": {"labels": {"x": "y"}}})).ok()["metadata"]["generation"],
        1
    );
    assert_eq!(cluster.merge(&path, json!({"spec": {"replicas": 3}})).ok()["metadata"]["generation"], 2);
    let status = cluster
        .merge(&format!("{path}/status"), json!({"status": {"replicas": 3}, "spec": {"replicas": 9}}))
        .ok();
    assert_eq!((&status["metadata"]["generation"], &status["spec"]["replicas"]), (&json!(2), &json!(3)));
    assert_eq!(cluster.merge(&path, json!({"status": {"replicas": 5}})).ok()["status"]["replicas"], 3);
    let scale = cluster.get(&format!("{path}/scale")).ok();
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]),
        (&json!(3), &json!({"replicas": 3, "selector": "a=b"}))
    );
    let scaled = cluster.merge(&format!("{path}/scale"), json!({"spec": {"replicas": 1}})).ok();
    assert_eq!(scaled["spec"]["replicas"], 1);
    assert_eq!(cluster.get(&path).ok()["metadata"]["generation"], 3);
    let below = cluster.merge(&format!("{path}/scale"), json!({"spec": {"replicas": -1}}));
    assert!(below.refused(422, "Invalid").contains("must be greater than or equal to 0"));
}

#[test]
fn events_are_one_object_in_two_groups() {
    let mut cluster = Cluster::new();
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "Ready", "note": "it is", "type": "Normal",
        "eventTime": "2000-01-01T00:00:00.000000Z", "reportingController": "me", "reportingInstance": "me-1", "action": "Look"});
    let made = cluster.post("/apis/events.k8s.io/v1/namespaces/default/events", event).ok();
    assert_eq!((&made["note"], &made["apiVersion"]), (&json!("it is"), &json!("events.k8s.io/v1")));
    let core = cluster.get("/api/v1/namespaces/default/events/e").ok();
    assert_eq!((&core["message"], &core["involvedObject"]["name"]), (&json!("it is"), &json!("p")));
    let chosen = cluster.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp").ok();
    assert_eq!(chosen["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn kubectl_takes_over_what_it_has_applied_on_the_clients_side() {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut cluster = Cluster::new();
    let said = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value, "l": "1"}});
    let mut object = said("1");
    object["metadata"]["annotations"] = json!({LAST: said("1").to_string()});
    cluster.post(&format!("{CONFIG_MAPS}?fieldManager=kubectl-client-side-apply"), object).ok();
    let path = format!("{CONFIG_MAPS}/a");
    // Others do not, and neither does kubectl what somebody has changed since.
    cluster.apply(&path, "other", said("2")).refused(409, "Conflict");
    cluster.merge(&format!("{path}?fieldManager=editor"), json!({"data": {"l": "2"}})).ok();
    let why = cluster.apply(&path, "kubectl", said("2")).refused(409, "Conflict").to_owned();
    assert_eq!(why, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.l");
    cluster.merge(&format!("{path}?fieldManager=editor"), json!({"data": {"l": "1"}})).ok();
    let applied = cluster.apply(&path, "kubectl", said("2")).ok();
    assert_eq!(applied["data"], json!({"k": "2", "l": "1"}));
    let last: serde_json::Value =
        serde_json::from_str(applied["metadata"]["annotations"][LAST].as_str().expect("text")).expect("JSON");
    assert_eq!(last["data"]["k"], "2");
}
