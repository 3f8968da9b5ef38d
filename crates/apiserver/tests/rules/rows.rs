//! Jobs, pods and nodes: rows of the model with a document beside them.

use std::sync::Arc;

use serde_json::json;
use towtank_model::engine::RandomStreams;
use towtank_model::objects::JobStatus;
use towtank_model::server::{Actor, PodDraft};

use crate::support::{Cluster, JOBS, NODES, PODS, job, pod};

fn with_pod(cluster: &mut Cluster) -> String {
    cluster.post(JOBS, job("j", 2)).ok();
    let row = Arc::clone(cluster.rows.jobs().next().expect("a row"));
    let draft = PodDraft { index: Some(0), index_failure_count: None, index_ignored_failure_count: None };
    let made = cluster.rows.create_job_pod(
        cluster.now,
        Actor::JobController,
        &row,
        draft,
        &mut RandomStreams::new(1),
    );
    cluster.server.follow(&mut cluster.rows, cluster.now);
    format!("{PODS}/{}", made.expect("a pod").key.name)
}

#[test]
fn the_model_admits_jobs() {
    let mut cluster = Cluster::new();
    let mut odd = job("j", 2);
    odd["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    let got = cluster.post(JOBS, odd);
    assert!(
        got.refused(422, "Invalid").contains("spec.template.spec.restartPolicy: Required value"),
        "{}",
        got.body
    );
    let made = cluster.post(JOBS, job("j", 2)).ok();
    let uid = &made["metadata"]["uid"];
    assert_eq!(&made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"], uid);
    assert_eq!(&made["spec"]["template"]["metadata"]["labels"]["controller-uid"], uid);
    let got = cluster.merge(&format!("{JOBS}/j"), json!({"spec": {"completions": 5}}));
    assert!(got.refused(422, "Invalid").contains("spec.completions"), "{}", got.body);
    let image = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}});
    assert!(
        cluster.merge(&format!("{JOBS}/j"), image).refused(422, "Invalid").contains("field is immutable")
    );
}

#[test]
fn a_put_of_what_was_read_changes_nothing() {
    let mut cluster = Cluster::new();
    let path = with_pod(&mut cluster);
    let rv = cluster.rows.resource_version();
    for path in [&path, &format!("{JOBS}/j")] {
        let read = cluster.get(path).ok();
        assert_eq!(cluster.put(path, read.clone()).ok(), read);
    }
    assert_eq!(cluster.rows.resource_version(), rv);
}

#[test]
fn what_only_the_document_has_is_a_write_too() {
    let mut cluster = Cluster::new();
    let path = with_pod(&mut cluster);
    let watch = cluster.watch("/api/v1/pods?watch=1");
    cluster.events(watch);
    let noted = cluster.merge(&path, json!({"metadata": {"annotations": {"a": "1"}}})).ok();
    let row = Arc::clone(cluster.rows.pods().next().expect("a row"));
    assert_eq!(noted["metadata"]["resourceVersion"], json!(row.resource_version.to_string()));
    let status = cluster.merge(&format!("{path}/status"), json!({"status": {"podIP": "10.0.0.1"}})).ok();
    assert_eq!(status["status"]["podIP"], "10.0.0.1");
    let kinds: Vec<String> = cluster.events(watch).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["MODIFIED", "MODIFIED"]);
    // What the model writes afterwards leaves it alone.
    cluster.rows.delete_pod(cluster.now, Actor::User, row.uid, Some(3)).expect("deleted");
    cluster.server.follow(&mut cluster.rows, cluster.now);
    let left = cluster.get(&path).ok();
    assert_eq!(
        (&left["metadata"]["annotations"]["a"], &left["status"]["podIP"]),
        (&json!("1"), &json!("10.0.0.1"))
    );
    assert!(left["metadata"]["deletionTimestamp"].is_string());
}

#[test]
fn the_controllers_writes_are_seen_at_once() {
    let mut cluster = Cluster::new();
    cluster.post(JOBS, job("j", 2)).ok();
    let watch = cluster.watch("/apis/batch/v1/jobs?watch=1");
    cluster.events(watch);
    let row = Arc::clone(cluster.rows.jobs().next().expect("a row"));
    let status = JobStatus { active: 2, ..JobStatus::default() };
    cluster
        .rows
        .update_job_status(cluster.now, Actor::JobController, row.uid, row.resource_version, status)
        .expect("written");
    // Even without being followed: a request sees everything.
    assert_eq!(cluster.get(&format!("{JOBS}/j")).ok()["status"]["active"], 2);
    assert_eq!(cluster.told(watch), ["MODIFIED j"]);
    let late =
        json!({"metadata": {"resourceVersion": row.resource_version.to_string()}, "status": {"active": 1}});
    cluster.merge(&format!("{JOBS}/j/status"), late).refused(409, "Conflict");
}

#[test]
fn few_fields_of_a_pods_spec_can_change() {
    let mut cluster = Cluster::new();
    cluster.post(PODS, pod("p")).ok();
    let path = format!("{PODS}/p");
    let patch = |body: serde_json::Value| ("application/strategic-merge-patch+json", body.to_string());
    let (kind, body) = patch(json!({"spec": {"containers": [{"name": "main", "image": "other"}]}}));
    assert_eq!(cluster.call("PATCH", &path, kind, &body).ok()["spec"]["containers"][0]["image"], "other");
    let (kind, body) = patch(json!({"spec": {"containers": [{"name": "main", "command": ["x"]}]}}));
    let got = cluster.call("PATCH", &path, kind, &body);
    assert!(
        got.refused(422, "Invalid").contains("pod updates may not change fields other than"),
        "{}",
        got.body
    );
}

#[test]
fn pods_have_generations_since_1_33() {
    for (minor, first) in [(32, json!(null)), (33, json!(1))] {
        let mut cluster = Cluster::of(minor);
        let made = cluster.post(PODS, pod("p")).ok();
        assert_eq!(made["metadata"]["generation"], first);
        let path = format!("{PODS}/p");
        assert_eq!(
            cluster.merge(&path, json!({"metadata": {"labels": {"a": "b"}}})).ok()["metadata"]["generation"],
            first
        );
        let spec = json!({"spec": {"activeDeadlineSeconds": 9}});
        let second = first.as_i64().map_or(json!(null), |first| json!(first + 1));
        assert_eq!(cluster.merge(&path, spec).ok()["metadata"]["generation"], second);
    }
}

#[test]
fn the_row_and_the_document_are_refused_together() {
    let mut cluster = Cluster::new();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"parallelism": -1, "template": {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "a", "env": [{"value": "1"}]}]}}}});
    let got = cluster.post(JOBS, job);
    let message = got.refused(422, "Invalid");
    assert!(message.contains("spec.parallelism") && message.contains("env[0].name"), "{message}");
    let empty = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {}});
    let got = cluster.post(JOBS, empty);
    let message = got.refused(422, "Invalid");
    assert!(
        message.contains("spec.template.spec.containers") && !message.contains("spec.template: Required")
    );
}

#[test]
fn what_go_leaves_out_is_no_difference() {
    let mut cluster = Cluster::new();
    let mut job = job("j", 2);
    job["spec"]["template"]["metadata"]["annotations"] = json!({});
    job["spec"]["template"]["spec"]["nodeSelector"] = json!({});
    job["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": 2, "memory": "1024Mi"}});
    let made = cluster.post(JOBS, job.clone()).ok();
    let requests = &made["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(*requests, json!({"cpu": "2", "memory": "1Gi"}));
    assert!(made["spec"]["template"]["spec"].get("nodeSelector").is_none());
    let again = cluster.merge(&format!("{JOBS}/j"), json!({"spec": job["spec"]})).ok();
    assert_eq!(again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[test]
fn nothing_of_a_jobs_template_can_change_but_what_a_suspended_one_may() {
    let mut cluster = Cluster::new();
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}});
    cluster.post(JOBS, job).ok();
    let path = format!("{JOBS}/j");
    let container = |part: serde_json::Value| {
        let mut container = json!({"name": "main"});
        container.as_object_mut().expect("an object").extend(part.as_object().expect("an object").clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string()
    };
    let kind = "application/strategic-merge-patch+json";
    let affinity = json!({"spec": {"template": {"spec": {"affinity": {"nodeAffinity": {}}}}}}).to_string();
    let memory = container(json!({"resources": {"requests": {"memory": "2Gi"}}}));
    let always = [container(json!({"image": "b"})), container(json!({"env": [{"name": "A", "value": "1"}]}))];
    let running = [&always[0], &always[1], &affinity, &memory];
    for body in running {
        let got = cluster.call("PATCH", &path, kind, body);
        assert!(got.refused(422, "Invalid").ends_with("field is immutable"), "{body}: {}", got.body);
        assert_eq!(got.at("/details/causes/0/field"), "spec.template");
    }
    // The same in other words is no change.
    cluster.call("PATCH", &path, kind, &container(json!({"resources": {"requests": {"cpu": "1000m"}}}))).ok();
    cluster.call("PATCH", &path, kind, r#"{"spec":{"suspend":true}}"#).ok();
    for body in always {
        assert_eq!(cluster.call("PATCH", &path, kind, &body).code, 422, "{body}");
    }
    cluster.call("PATCH", &path, kind, &affinity).ok();
}

#[test]
fn a_pod_is_bound_once_to_a_node_that_is_there() {
    let mut cluster = Cluster::new();
    cluster.post(PODS, pod("p")).ok();
    let path = format!("{PODS}/p/binding");
    let bind = |node: &str| json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    cluster.post(&path, bind("n")).refused(404, "NotFound");
    cluster.post(NODES, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})).ok();
    cluster.post(&path, bind("n")).ok();
    assert!(cluster.post(&path, bind("n")).refused(409, "Conflict").contains("is already assigned to node"));
    cluster.post(&path, bind("")).refused(422, "Invalid");
    assert_eq!(cluster.get(&format!("{PODS}/p")).ok()["status"]["conditions"][0]["type"], "PodScheduled");
}

#[test]
fn nodes_are_cordoned_and_tainted() {
    let mut cluster = Cluster::new();
    cluster
        .post(
            NODES,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "annotations": {"a": "b"}}}),
        )
        .ok();
    let path = format!("{NODES}/n");
    cluster
        .merge(
            &path,
            json!({"spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]}}),
        )
        .ok();
    let row = Arc::clone(cluster.rows.nodes().next().expect("a row"));
    assert!(row.unschedulable && row.taints.len() == 1);
    let shown = cluster.get(&path).ok();
    assert_eq!(
        (&shown["spec"]["unschedulable"], &shown["metadata"]["annotations"]["a"]),
        (&json!(true), &json!("b"))
    );
    cluster.merge(&path, json!({"metadata": {"labels": {"x": "y"}}})).ok();
    assert_eq!(cluster.rows.nodes().next().expect("a row").labels.get("x").map(|value| &**value), Some("y"));
    let down = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    cluster.merge(&format!("{path}/status"), down).ok();
    assert!(!cluster.rows.nodes().next().expect("a row").is_ready);
    cluster.delete(&path).ok();
    assert_eq!(cluster.rows.nodes().count(), 0);
}

#[test]
fn jobs_leave_their_pods_unless_told_otherwise() {
    let mut cluster = Cluster::new();
    with_pod(&mut cluster);
    let left = cluster.delete(&format!("{JOBS}/j")).ok();
    assert_eq!(left["metadata"]["finalizers"], json!(["orphan"]));
    let mut cluster = Cluster::new();
    with_pod(&mut cluster);
    let left = cluster.delete_with(&format!("{JOBS}/j"), json!({"propagationPolicy": "Foreground"})).ok();
    assert_eq!(left["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let mut cluster = Cluster::new();
    with_pod(&mut cluster);
    let gone = cluster.delete_with(&format!("{JOBS}/j"), json!({"propagationPolicy": "Background"})).ok();
    assert_eq!(gone["status"], "Success");
    assert_eq!(cluster.rows.jobs().count(), 0);
}

#[test]
fn tables_of_rows() {
    let mut cluster = Cluster::new();
    with_pod(&mut cluster);
    cluster.headers = vec![(
        "accept".to_owned(),
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json".to_owned(),
    )];
    let pods = cluster.get(PODS).ok();
    assert_eq!(
        pods["rows"][0]["cells"].as_array().expect("cells")[1..6],
        [json!("0/1"), json!("Pending"), json!("0"), json!("0s"), json!("<none>")]
    );
    let jobs = cluster.get(JOBS).ok();
    assert_eq!(
        jobs["rows"][0]["cells"].as_array().expect("cells")[..5],
        [json!("j"), json!("Running"), json!("0/2"), json!(""), json!("0s")]
    );
    let watch = cluster.watch(&format!("{PODS}?watch=1"));
    let first = cluster.events(watch);
    assert_eq!(first[0].1["kind"], "Table");
    assert!(first[0].1["columnDefinitions"].is_array());
}

#[test]
fn events_of_the_models_controllers_are_objects() {
    let mut cluster = Cluster::new();
    cluster.post(JOBS, job("j", 2)).ok();
    let job = cluster.rows.jobs().next().expect("a row").uid;
    let draft = towtank_model::server::EventDraft {
        job,
        is_warning: true,
        reason: "BackoffLimitExceeded".into(),
        message: "too often".to_owned(),
    };
    for _ in 0..2 {
        cluster.rows.record(cluster.now, Actor::JobController, draft.clone());
    }
    let list = cluster.get("/api/v1/namespaces/default/events").ok();
    let events = list["items"].as_array().expect("a list");
    assert_eq!(events.len(), 1, "{list}");
    assert_eq!((&events[0]["count"], &events[0]["involvedObject"]["name"]), (&json!(2), &json!("j")));
    assert_eq!(events[0]["source"]["component"], "job-controller");
}

/// What the real Job controller asks for (`IsNotFound`, `HasStatusCause`) before it gives up.
#[test]
fn a_namespace_that_ends_is_named_as_the_cause() {
    let mut cluster = Cluster::new();
    cluster.rows.terminate_namespace("default");
    let got = cluster.post(PODS, pod("late"));
    got.refused(403, "Forbidden");
    assert_eq!(got.at("/details/causes/0/reason"), "NamespaceTerminating", "{}", got.body);
}

/// Up to 1.33 the uid was compared before the object was missed.
#[test]
fn an_update_of_what_is_gone_is_a_conflict_up_to_1_33() {
    for (minor, code, reason) in [(33, 409, "Conflict"), (34, 404, "NotFound")] {
        let mut cluster = Cluster::of(minor);
        let mut gone = cluster.post(JOBS, job("j", 2)).ok();
        cluster.delete_with(&format!("{JOBS}/j"), json!({"propagationPolicy": "Background"})).ok();
        let path = format!("{JOBS}/j/status");
        cluster.put(&path, gone.clone()).refused(code, reason);
        gone["metadata"]["uid"].take();
        cluster.put(&path, gone).refused(404, "NotFound");
    }
}

/// The scheduler tries pods of one spec together.
#[test]
fn pods_of_one_spec_share_it() {
    let mut cluster = Cluster::new();
    for name in ["a", "b"] {
        cluster.post(PODS, pod(name)).ok();
    }
    let rows: Vec<_> = cluster.rows.pods().cloned().collect();
    assert!(Arc::ptr_eq(&rows[0].spec, &rows[1].spec));
}
