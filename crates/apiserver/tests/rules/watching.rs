//! Watches.

use serde_json::json;

use crate::support::{CONFIG_MAPS, Cluster, config_map};

const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true";

fn make(cluster: &mut Cluster, name: &str) -> String {
    let made = cluster.post(CONFIG_MAPS, config_map(name, json!({}))).ok();
    made["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

#[test]
fn without_a_version_a_watch_begins_with_all() {
    let mut cluster = Cluster::new();
    make(&mut cluster, "b");
    make(&mut cluster, "a");
    for path in [WATCH.to_owned(), format!("{WATCH}&resourceVersion=0")] {
        let watch = cluster.watch(&path);
        assert_eq!(cluster.told(watch), ["ADDED a", "ADDED b"], "{path}");
    }
}

#[test]
fn from_a_version_a_watch_tells_what_happened_since() {
    let mut cluster = Cluster::new();
    let rv = make(&mut cluster, "a");
    make(&mut cluster, "b");
    cluster.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"x": "y"}})).ok();
    let watch = cluster.watch(&format!("{WATCH}&resourceVersion={rv}"));
    assert_eq!(cluster.told(watch), ["ADDED b", "MODIFIED a"]);
    cluster.delete(&format!("{CONFIG_MAPS}/a")).ok();
    let events = cluster.events(watch);
    assert_eq!(events[0].0, "DELETED");
    let deleted = events[0].1["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version")
        .parse::<u64>()
        .expect("a number");
    assert_eq!(deleted, cluster.rows.resource_version());
    assert_eq!(cluster.told(watch), Vec::<String>::new());
}

#[test]
fn an_expired_version_is_an_error_event_with_410() {
    let mut cluster = Cluster::new();
    let rv = make(&mut cluster, "a");
    make(&mut cluster, "b");
    let now = cluster.rows.resource_version();
    cluster.server.compact(now);
    let watch = cluster.watch(&format!("{WATCH}&resourceVersion={rv}"));
    let events = cluster.events(watch);
    assert_eq!(
        (events[0].0.as_str(), &events[0].1["code"], &events[0].1["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    assert_eq!(events[1].0, "CLOSED");
    assert_eq!(events.len(), 2);
}

#[test]
fn a_watch_that_falls_behind_the_history_is_closed() {
    let config = towtank_apiserver::Config { history_max: 3, ..towtank_apiserver::Config::default() };
    let mut cluster = Cluster::with(config);
    let watch = cluster.watch(WATCH);
    for name in ["a", "b", "c"] {
        make(&mut cluster, name);
    }
    assert_eq!(cluster.told(watch), ["ADDED a", "ADDED b", "ADDED c"]);
    for name in ["d", "e", "f", "g"] {
        make(&mut cluster, name);
    }
    assert_eq!(cluster.told(watch), ["CLOSED"]);
}

#[test]
fn objects_come_and_go_with_their_labels() {
    let mut cluster = Cluster::new();
    make(&mut cluster, "a");
    let watch = cluster.watch(&format!("{WATCH}&labelSelector=x%3D1"));
    let path = format!("{CONFIG_MAPS}/a");
    for labels in [json!({"x": "1"}), json!({"x": "1", "y": "2"}), json!({"x": "2"}), json!({"y": null})] {
        cluster.merge(&path, json!({"metadata": {"labels": labels}})).ok();
    }
    let events = cluster.events(watch);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
    // What goes is shown as it was last selected, at the version at which it ceased to be.
    assert_eq!(events[2].1["metadata"]["labels"]["x"], "1");
    assert!(
        events[2].1["metadata"]["resourceVersion"].as_str()
            > events[1].1["metadata"]["resourceVersion"].as_str()
    );
}

#[test]
fn a_streamed_list_ends_with_a_bookmark() {
    let mut cluster = Cluster::new();
    make(&mut cluster, "a");
    let rv = cluster.rows.resource_version().to_string();
    let watch = cluster.watch(&format!(
        "{WATCH}&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    ));
    make(&mut cluster, "b");
    let events = cluster.events(watch);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "BOOKMARK", "ADDED"]);
    let mark = &events[1].1["metadata"];
    assert_eq!(mark["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["resourceVersion"], json!(rv));
    cluster.get(&format!("{WATCH}&sendInitialEvents=true")).refused(422, "Invalid");
}

#[test]
fn bookmarks_come_when_there_is_something_new() {
    let mut cluster = Cluster::new();
    let asked = cluster.watch(&format!("{WATCH}&allowWatchBookmarks=true"));
    let not_asked = cluster.watch(WATCH);
    cluster
        .post(
            "/api/v1/namespaces/default/services",
            json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}),
        )
        .ok();
    cluster.wait(120);
    assert_eq!(cluster.told(asked), ["BOOKMARK"]);
    assert_eq!(cluster.told(not_asked), Vec::<String>::new());
    cluster.wait(120);
    assert_eq!(cluster.told(asked), Vec::<String>::new());
}

#[test]
fn a_watch_ends_when_its_time_is_over() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch(&format!("{WATCH}&timeoutSeconds=10"));
    cluster.wait(9);
    assert_eq!(cluster.told(watch), Vec::<String>::new());
    cluster.wait(2);
    assert_eq!(cluster.told(watch), ["CLOSED"]);
}

#[test]
fn a_watch_of_one_namespace_does_not_see_the_others() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch(WATCH);
    let all = cluster.watch("/api/v1/configmaps?watch=true&fieldSelector=metadata.name%3Dz");
    cluster.post("/api/v1/namespaces/kube-system/configmaps", config_map("z", json!({}))).ok();
    assert_eq!(cluster.told(watch), Vec::<String>::new());
    assert_eq!(cluster.told(all), ["ADDED z"]);
}

#[test]
fn the_adapter_is_told_which_watches_to_wake() {
    let mut cluster = Cluster::new();
    let (one, other) = (cluster.watch(WATCH), cluster.watch("/api/v1/secrets?watch=1"));
    assert_eq!(cluster.server.take_ready(), [one, other]);
    cluster.told(one);
    cluster.told(other);
    make(&mut cluster, "a");
    make(&mut cluster, "b");
    assert_eq!(cluster.server.take_ready(), [one]);
    assert_eq!(cluster.told(one), ["ADDED a", "ADDED b"]);
    cluster.server.close_watch(one);
    make(&mut cluster, "c");
    assert_eq!(cluster.server.take_ready(), []);
}
