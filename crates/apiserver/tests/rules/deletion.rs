//! Deletion and what follows from it.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Cluster, JOBS, NODES, PODS, config_map, job, pod};

fn owned(name: &str, owner: &Value) -> Value {
    let mut map = config_map(name, json!({}));
    map["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    map
}

fn exists(cluster: &mut Cluster, name: &str) -> bool {
    cluster.get(&format!("{CONFIG_MAPS}/{name}")).code == 200
}

#[test]
fn a_deletion_answers_with_what_is_gone() {
    let mut cluster = Cluster::new();
    let made = cluster.post(CONFIG_MAPS, config_map("a", json!({}))).ok();
    let got = cluster.delete(&format!("{CONFIG_MAPS}/a")).ok();
    assert_eq!((&got["kind"], &got["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(got["details"], json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    cluster.delete(&format!("{CONFIG_MAPS}/a")).refused(404, "NotFound");
}

#[test]
fn finalizers_keep_an_object() {
    let mut cluster = Cluster::new();
    let mut map = config_map("a", json!({}));
    map["metadata"]["finalizers"] = json!(["example.org/wait"]);
    cluster.post(CONFIG_MAPS, map).ok();
    let path = format!("{CONFIG_MAPS}/a");
    let left = cluster.delete(&path).ok();
    assert_eq!(left["metadata"]["deletionGracePeriodSeconds"], 0);
    let added = json!({"metadata": {"finalizers": ["example.org/wait", "example.org/more"]}});
    assert!(cluster.merge(&path, added).refused(422, "Invalid").contains("no new finalizers can be added"));
    let rv = left["metadata"]["resourceVersion"].clone();
    assert_eq!(cluster.delete(&path).ok()["metadata"]["resourceVersion"], rv);
    cluster.merge(&path, json!({"metadata": {"finalizers": null}})).ok();
    assert!(!exists(&mut cluster, "a"));
}

#[test]
fn preconditions_are_of_uid_and_version() {
    let mut cluster = Cluster::new();
    let made = cluster.post(CONFIG_MAPS, config_map("a", json!({}))).ok();
    let path = format!("{CONFIG_MAPS}/a");
    for preconditions in [json!({"uid": "another"}), json!({"resourceVersion": "1"})] {
        cluster.delete_with(&path, json!({"preconditions": preconditions})).refused(409, "Conflict");
    }
    let uid = &made["metadata"]["uid"];
    cluster.delete_with(&path, json!({"preconditions": {"uid": uid}})).ok();
}

#[test]
fn in_the_background_dependents_follow() {
    let mut cluster = Cluster::new();
    let owner = cluster.post(CONFIG_MAPS, config_map("owner", json!({}))).ok();
    cluster.post(CONFIG_MAPS, owned("a", &owner)).ok();
    let mut shared = owned("b", &owner);
    let other = cluster.post(CONFIG_MAPS, config_map("other", json!({}))).ok();
    let mut second = owned("x", &other)["metadata"]["ownerReferences"][0].clone();
    second["controller"] = false.into();
    shared["metadata"]["ownerReferences"].as_array_mut().expect("a list").push(second);
    cluster.post(CONFIG_MAPS, shared).ok();
    cluster
        .post(JOBS, {
            let mut job = job("j", 1);
            job["metadata"]["ownerReferences"] = owned("x", &owner)["metadata"]["ownerReferences"].clone();
            job
        })
        .ok();
    cluster.delete(&format!("{CONFIG_MAPS}/owner")).ok();
    assert!(exists(&mut cluster, "a"), "the collector is not that fast");
    cluster.wait(1);
    assert!(!exists(&mut cluster, "a"));
    assert_eq!(cluster.get(&format!("{JOBS}/j")).code, 404);
    let left = cluster.get(&format!("{CONFIG_MAPS}/b")).ok();
    assert_eq!(left["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(1));
}

#[test]
fn in_the_foreground_dependents_go_first() {
    let mut cluster = Cluster::new();
    let owner = cluster.post(CONFIG_MAPS, config_map("owner", json!({}))).ok();
    let mut held = owned("a", &owner);
    held["metadata"]["finalizers"] = json!(["example.org/wait"]);
    cluster.post(CONFIG_MAPS, held).ok();
    let left =
        cluster.delete_with(&format!("{CONFIG_MAPS}/owner"), json!({"propagationPolicy": "Foreground"})).ok();
    assert_eq!(left["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    cluster.wait(1);
    assert!(exists(&mut cluster, "owner") && exists(&mut cluster, "a"));
    cluster.merge(&format!("{CONFIG_MAPS}/a"), json!({"metadata": {"finalizers": null}})).ok();
    cluster.wait(1);
    assert!(!exists(&mut cluster, "owner") && !exists(&mut cluster, "a"));
}

#[test]
fn in_the_foreground_dependents_of_dependents_go_first() {
    let mut cluster = Cluster::new();
    let owner = cluster.post(CONFIG_MAPS, config_map("owner", json!({}))).ok();
    let middle = cluster.post(CONFIG_MAPS, owned("middle", &owner)).ok();
    let mut held = owned("last", &middle);
    held["metadata"]["finalizers"] = json!(["example.org/wait"]);
    cluster.post(CONFIG_MAPS, held).ok();
    cluster.delete_with(&format!("{CONFIG_MAPS}/owner"), json!({"propagationPolicy": "Foreground"})).ok();
    cluster.wait(1);
    let waits = cluster.get(&format!("{CONFIG_MAPS}/middle")).ok();
    assert_eq!(waits["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert!(exists(&mut cluster, "owner") && exists(&mut cluster, "last"));
    cluster.merge(&format!("{CONFIG_MAPS}/last"), json!({"metadata": {"finalizers": null}})).ok();
    cluster.wait(1);
    for name in ["owner", "middle", "last"] {
        assert!(!exists(&mut cluster, name), "{name}");
    }
}

#[test]
fn orphans_stay_without_their_owner() {
    let mut cluster = Cluster::new();
    let owner = cluster.post(CONFIG_MAPS, config_map("owner", json!({}))).ok();
    cluster.post(CONFIG_MAPS, owned("a", &owner)).ok();
    cluster.delete_with(&format!("{CONFIG_MAPS}/owner"), json!({"propagationPolicy": "Orphan"})).ok();
    cluster.wait(1);
    assert!(!exists(&mut cluster, "owner"));
    let left = cluster.get(&format!("{CONFIG_MAPS}/a")).ok();
    assert!(left["metadata"].get("ownerReferences").is_none(), "{left}");
    let odd = cluster.delete_with(&format!("{CONFIG_MAPS}/a"), json!({"propagationPolicy": "Sideways"}));
    odd.refused(422, "Invalid");
}

#[test]
fn an_object_whose_owner_was_never_there_is_garbage() {
    let mut cluster = Cluster::new();
    let ghost =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}});
    cluster.post(CONFIG_MAPS, owned("a", &ghost)).ok();
    cluster.wait(1);
    assert!(!exists(&mut cluster, "a"));
}

#[test]
fn a_collection_is_deleted_by_selector() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        cluster.post(CONFIG_MAPS, config_map(name, json!({}))).ok();
    }
    cluster.merge(&format!("{CONFIG_MAPS}/c"), json!({"metadata": {"labels": {"keep": "1"}}})).ok();
    let gone = cluster.delete(&format!("{CONFIG_MAPS}?labelSelector=!keep")).ok();
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        [exists(&mut cluster, "a"), exists(&mut cluster, "b"), exists(&mut cluster, "c")],
        [false, false, true]
    );
}

#[test]
fn a_namespace_takes_everything_with_it() {
    let mut cluster = Cluster::new();
    let namespaces = "/api/v1/namespaces";
    let made = cluster
        .post(namespaces, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}))
        .ok();
    assert_eq!(
        (&made["status"]["phase"], &made["spec"]["finalizers"]),
        (&json!("Active"), &json!(["kubernetes"]))
    );
    let maps = "/api/v1/namespaces/n/configmaps";
    let mut held = config_map("a", json!({}));
    held["metadata"]["finalizers"] = json!(["example.org/wait"]);
    cluster.post(maps, held).ok();
    cluster.post(maps, config_map("b", json!({}))).ok();
    let left = cluster.delete(&format!("{namespaces}/n")).ok();
    assert_eq!(left["status"]["phase"], "Terminating");
    let late = cluster.post(maps, config_map("c", json!({})));
    assert!(late.refused(403, "Forbidden").contains("because it is being terminated"));
    cluster.wait(2);
    assert_eq!(cluster.get(&format!("{namespaces}/n")).code, 200);
    cluster.merge(&format!("{maps}/a"), json!({"metadata": {"finalizers": null}})).ok();
    cluster.wait(2);
    assert_eq!(cluster.get(&format!("{namespaces}/n")).code, 404);
    cluster
        .post(namespaces, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}))
        .ok();
    cluster.post("/apis/batch/v1/namespaces/n/jobs", job("j", 1)).ok();
    cluster.delete(&format!("{namespaces}/default")).refused(403, "Forbidden");
}

#[test]
fn pods_are_deleted_with_grace() {
    let mut cluster = Cluster::new();
    cluster.post(NODES, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})).ok();
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = "n".into();
    cluster.post(PODS, bound).ok();
    let path = format!("{PODS}/p");
    let left = cluster.delete_with(&path, json!({"gracePeriodSeconds": 5})).ok();
    assert_eq!(left["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(left["metadata"]["deletionTimestamp"], "2000-01-01T00:16:45Z");
    let gone = cluster.delete(&format!("{path}?gracePeriodSeconds=0")).ok();
    assert_eq!(gone["kind"], "Pod");
    assert_eq!(cluster.get(&path).code, 404);
}

#[test]
fn a_budget_holds_an_eviction_back() {
    let mut cluster = Cluster::new();
    cluster.post(PODS, pod("p")).ok();
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    cluster.merge(&format!("{PODS}/p/status"), ready).ok();
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}});
    cluster.post(budgets, budget).ok();
    let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let path = format!("{PODS}/p/eviction");
    let refused = cluster.post(&path, evict.clone());
    assert!(refused.refused(429, "TooManyRequests").contains("violate the pod's disruption budget"));
    assert_eq!(refused.at("/details/causes/0/reason"), "DisruptionBudget");
    cluster.delete(&format!("{budgets}/b")).ok();
    assert_eq!(cluster.post(&path, evict).code, 201);
    assert_eq!(cluster.get(&format!("{PODS}/p")).code, 404);
}
