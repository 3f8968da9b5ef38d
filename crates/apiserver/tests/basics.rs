//! The first things that an operator does.

mod support;

use serde_json::json;
use support::{CONFIG_MAPS, Cluster, JOBS, NODES, PODS, config_map, job, pod};
use towtank_model::engine::RandomStreams;
use towtank_model::server::{Actor, PodDraft};

#[test]
fn a_document_lives_and_is_watched() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch("/api/v1/configmaps?watch=true");
    let made = cluster.post(CONFIG_MAPS, config_map("a", json!({"k": "v"}))).ok();
    assert_eq!(made["data"]["k"], "v");
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(cluster.get(&path).ok(), made);
    let merged = cluster.merge(&path, json!({"data": {"l": "w"}})).ok();
    assert_eq!(merged["data"], json!({"k": "v", "l": "w"}));
    let same = cluster.merge(&path, json!({"data": {"l": "w"}})).ok();
    assert_eq!(same["metadata"]["resourceVersion"], merged["metadata"]["resourceVersion"]);
    cluster.delete(&path).ok();
    assert_eq!(cluster.get(&path).code, 404);
    assert_eq!(cluster.told(watch), ["ADDED a", "MODIFIED a", "DELETED a"]);
}

#[test]
fn a_job_is_a_row_with_a_document_and_so_are_its_pods() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch("/api/v1/pods?watch=true");
    let made = cluster.post(JOBS, job("j", 2)).ok();
    assert_eq!(made["spec"]["backoffLimit"], 6);
    assert_eq!(made["spec"]["template"]["spec"]["volumes"][0]["name"], "v");
    let row = cluster.rows.jobs().next().expect("the row").clone();
    assert_eq!(row.spec.parallelism, 2);
    let mut random = RandomStreams::new(1);
    let draft = PodDraft { index: Some(1), index_failure_count: None, index_ignored_failure_count: None };
    cluster.rows.create_job_pod(cluster.now, Actor::JobController, &row, draft, &mut random).expect("a pod");
    cluster.server.follow(&mut cluster.rows, cluster.now);
    let events = cluster.events(watch);
    assert_eq!(events.len(), 1);
    let pod = &events[0].1;
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], made["metadata"]["uid"]);
    assert_eq!(pod["spec"]["hostname"], "j-1");
    assert_eq!(pod["spec"]["subdomain"], "svc");
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!(pod["metadata"]["annotations"]["note"], "t");
    assert_eq!(pod["metadata"]["generateName"], "j-1-");
    let path = format!("{JOBS}/j");
    let scaled = cluster.merge(&path, json!({"spec": {"completions": 3, "parallelism": 3}})).ok();
    assert_eq!(scaled["metadata"]["generation"], 2);
    assert_eq!(cluster.rows.jobs().next().expect("the row").spec.completions, Some(3));
    let noted = cluster.merge(&path, json!({"metadata": {"annotations": {"a": "b"}}})).ok();
    assert_eq!(noted["metadata"]["generation"], 2);
    assert!(noted["metadata"]["resourceVersion"] != scaled["metadata"]["resourceVersion"]);
    let status = cluster.merge(&format!("{path}/status"), json!({"status": {"active": 1}})).ok();
    assert_eq!(status["status"]["active"], 1);
    let message = cluster.merge(&path, json!({"spec": {"parallelism": -1}}));
    assert!(
        message.refused(422, "Invalid").contains("spec.parallelism: Invalid value: -1"),
        "{}",
        message.body
    );
}

#[test]
fn pods_and_nodes_are_rows() {
    let mut cluster = Cluster::new();
    cluster
        .post(
            NODES,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "status": {"capacity": {"cpu": "8", "pods": "10"}}}),
        )
        .ok();
    let made = cluster.post(PODS, pod("p")).ok();
    assert_eq!(made["status"]["phase"], "Pending");
    let path = format!("{PODS}/p");
    let bind = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    cluster.post(&format!("{path}/binding"), bind).ok();
    assert_eq!(cluster.get(&path).ok()["spec"]["nodeName"], "n1");
    assert_eq!(
        cluster.get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn1")).ok()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let changed =
        cluster.merge(&path, json!({"metadata": {"labels": {"x": "y"}, "annotations": {"n": "1"}}})).ok();
    assert_eq!(changed["metadata"]["labels"]["x"], "y");
    let left = cluster.delete(&path).ok();
    assert_eq!(left["metadata"]["deletionGracePeriodSeconds"], 30);
    cluster.delete_with(&path, json!({"gracePeriodSeconds": 0})).ok();
    assert_eq!(cluster.get(&path).code, 404);
}

#[test]
fn applying_notes_owners_and_meets_conflicts() {
    let mut cluster = Cluster::new();
    let path = format!("{JOBS}/j");
    let made = cluster.apply(&path, "operator", job("j", 2));
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.at("/metadata/managedFields/0/operation"), "Apply");
    assert_eq!(cluster.rows.jobs().next().expect("the row").spec.completions, Some(2));
    let again = cluster.apply(&path, "operator", job("j", 2)).ok();
    assert_eq!(again["metadata"]["resourceVersion"], made.body["metadata"]["resourceVersion"], "{again}");
    let grown = cluster.apply(&path, "operator", job("j", 3)).ok();
    assert_eq!(grown["spec"]["completions"], 3);
    let other = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"completions": 4, "parallelism": 4}});
    let refused = cluster.apply(&path, "other", other.clone());
    refused.refused(409, "Conflict");
    cluster.apply(&format!("{path}?force=true"), "other", other).ok();
    let map = format!("{CONFIG_MAPS}/m");
    cluster.apply(&map, "a", config_map("m", json!({"x": "1", "y": "2"}))).ok();
    let less = cluster.apply(&map, "a", config_map("m", json!({"x": "1"}))).ok();
    assert_eq!(less["data"], json!({"x": "1"}));
}
