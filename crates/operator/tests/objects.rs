//! The objects of a MiniCluster: whole ones as snapshots, and the rows of A.1, A.4, A.5, A.6, A.11 and E.3 one by one.

use serde_json::{Value, json};
use towtank_api::MiniCluster;
use towtank_operator::objects::{
    Created, broker_options, broker_toml, config_map, hostlist, job, lead_command, services, services_pod,
};

fn cluster(spec: Value) -> MiniCluster {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"image": "rockylinux:9"}]);
    }
    serde_json::from_value(json!({
        "metadata": {"name": "flux-sample", "namespace": "default", "uid": "uid-1"},
        "spec": spec,
    }))
    .unwrap()
}

fn toml(spec: Value) -> String {
    let cluster = cluster(spec);
    broker_toml(&cluster, Created::of(&cluster.spec))
}

fn hosts(spec: Value) -> String {
    let cluster = cluster(spec);
    hostlist("flux-sample", &cluster.spec, Created::of(&cluster.spec))
}

fn options(spec: Value) -> Vec<String> {
    let cluster = cluster(spec);
    broker_options(&cluster.spec, Created::of(&cluster.spec), cluster.spec.size)
}

fn template(spec: Value) -> Value {
    let cluster = cluster(spec);
    serde_json::to_value(job(&cluster, Created::of(&cluster.spec), cluster.spec.size)).unwrap()["spec"]["template"].clone()
}

fn data(spec: Value) -> Value {
    let cluster = cluster(spec);
    serde_json::to_value(config_map(&cluster, Created::of(&cluster.spec), cluster.spec.size)).unwrap()["data"]
        .clone()
}

fn yaml(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(&serde_json::to_value(value).unwrap()).unwrap()
}

#[test]
fn the_job_of_the_smallest() {
    let cluster = cluster(json!({"size": 4, "maxSize": 10}));
    insta::assert_snapshot!(yaml(&job(&cluster, Created::of(&cluster.spec), cluster.spec.size)));
}

#[test]
fn the_job_with_much() {
    let cluster = cluster(json!({
        "size": 2, "backoffLimit": 0, "deadlineSeconds": 60, "jobLabels": {"team": "red"}, "shareProcessNamespace": true,
        "network": {"headlessName": "net"},
        "flux": {"container": {"mountPath": "/opt/flux/", "pullAlways": true, "imagePullSecret": "b"}},
        "pod": {
            "annotations": {"a": "b"}, "labels": {"app": "mine", "c": "d"}, "restartPolicy": "Never", "serviceAccountName": "sa",
            "automountServiceAccountToken": false, "runtimeClassName": "kata", "schedulerName": "other", "nodeSelector": {"pool": "spot"},
            "nodeAffinity": {"zone": ["a", "b"]}, "tolerations": [{"key": "gpu", "operator": "Exists"}], "dnsPolicy": "Default",
            "hostIPC": true, "hostPID": true, "resources": {"cpu": 1}, "securityContext": {"fsGroup": 1000, "runAsUser": 5},
        },
        "containers": [
            {"image": "redis", "name": "redis", "ports": [6379], "noWrapEntrypoint": true},
            {"image": "app", "runFlux": true, "command": "hostname", "workingDir": "/w", "imagePullPolicy": "Never", "imagePullSecret": "a",
             "environment": {"X": "1"}, "secrets": {"TOKEN": {"name": "s", "key": "k"}},
             "lifeCycle": {"postStartExec": "echo hello", "preStopExec": "echo bye"},
             "securityContext": {"privileged": true, "addCapabilities": ["SYS_PTRACE"]},
             "resources": {"limits": {"cpu": 4}, "requests": {"memory": "1Gi"}},
             "volumes": {
                "data": {"path": "/data", "claimName": "claim", "readOnly": true},
                "host": {"path": "/host", "hostPath": "/srv"},
                "scripts": {"path": "/scripts", "configMapName": "their-map", "items": {"a.sh": "b.sh"}},
                "keys": {"path": "/keys", "secretName": "their-secret"},
                "shm": {"emptyDir": true, "emptyDirMedium": "Memory", "emptyDirSizeLimit": "64Gi"},
                "bucket": {"path": "/bucket", "csiDriver": "gcs", "csiDriverAttributes": {"bucketName": "b"}},
             }},
            {"image": "side", "name": "side", "command": "run", "pullAlways": true},
        ],
    }));
    insta::assert_snapshot!(yaml(&job(&cluster, Created::of(&cluster.spec), cluster.spec.size)));
}

#[test]
fn the_services_and_their_pod() {
    let cluster = cluster(json!({
        "size": 2,
        "services": [{"image": "db", "name": "db", "ports": [5432], "commands": {"servicePre": "echo first"}, "command": "serve"}],
        "containers": [{"image": "app", "runFlux": true, "ports": [1]}, {"image": "redis", "name": "redis", "ports": [6379, 6380]}],
    }));
    let objects: Vec<_> =
        services(&cluster).iter().map(yaml).chain([yaml(&services_pod(&cluster))]).collect();
    insta::assert_snapshot!(objects.join("---\n"));
}

#[test]
fn the_configuration() {
    insta::assert_snapshot!(toml(json!({"size": 4, "maxSize": 10})));
    insta::assert_snapshot!(options(json!({"size": 4, "maxSize": 10})).join("\n"));
}

/// Rank = position: what a wrong list costs is a cluster whose brokers do not join (A.5, E.2, E.3).
#[test]
fn hostlists() {
    let burst =
        |clusters: Value| json!({"size": 2, "maxSize": 4, "flux": {"bursting": {"clusters": clusters}}});
    let lead = |size: i32, clusters: Value| {
        let lead = json!({"address": "10.0.0.1", "name": "far", "size": size});
        json!({"size": 3, "flux": {"bursting": {"leadBroker": lead, "clusters": clusters}}})
    };
    let table = [
        (json!({"size": 4}), "flux-sample-[0-3]"),
        (json!({"size": 1}), "flux-sample-[0]"),
        (json!({"size": 2, "maxSize": 10}), "flux-sample-[0-9]"),
        (burst(json!([{"name": "burst-0", "size": 4}])), "flux-sample-[0-3],burst-0-[0-3]"),
        // The original's `-[...]` and `-[0--1]`.
        (burst(json!([{}, {"size": 1}])), "flux-sample-[0-3],burst-0-[0-1],burst-1-[0]"),
        (lead(4, json!([{"name": "flux-sample", "size": 3}])), "10.0.0.1,far-[1-3],flux-sample-[0-2]"),
        // The original's `[1-0]`.
        (lead(1, json!([])), "10.0.0.1,flux-sample-[0-2]"),
        (lead(2, json!([])), "10.0.0.1,far-[1],flux-sample-[0-2]"),
        (json!({"size": 2, "flux": {"bursting": {"hostlist": "a-[0-1],b-7"}}}), "a-[0-1],b-7"),
    ];
    for (spec, expected) in table {
        assert_eq!(hosts(spec.clone()), expected, "{spec}");
        assert_eq!(data(spec.clone())["hostlist"], format!("{expected}\n"), "{spec}");
    }
}

/// The original writes `%!s(int32=8050)` (E.3).
#[test]
fn a_child_reaches_its_lead() {
    let lead = json!({"address": "10.0.0.1", "name": "far", "size": 4, "port": 30093});
    let text = toml(json!({"size": 3, "flux": {"bursting": {"leadBroker": lead}}}));
    assert!(
        text.contains(
            "hosts = [\n  { host = \"10.0.0.1\", bind = \"tcp://eth0:30093\", connect = \"tcp://10.0.0.1:30093\" },\n  \
             { host = \"far-[1-3],flux-sample-[0-2]\" },\n]"
        ),
        "{text}"
    );
}

#[test]
fn configuration_follows_the_spec() {
    assert!(
        toml(json!({"size": 1, "flux": {"scheduler": {"queuePolicy": "easy"}}}))
            .contains("queue-policy = \"easy\"")
    );
    assert!(
        toml(json!({"size": 1, "network": {"headlessName": "net"}}))
            .contains("tcp://%h.net.default.svc.cluster.local:%p")
    );
    // All brokers are below the lead, and its service is the only name (A.4).
    assert!(
        toml(json!({"size": 1, "flux": {"minimalService": true}}))
            .contains("\"tcp://flux-sample.default.svc.cluster.local:%p\"")
    );
    assert_eq!(toml(json!({"size": 1, "flux": {"brokerConfig": "mine"}})), "mine");
    // The configuration is where the view is mounted (A.11.8).
    let other = toml(json!({"size": 1, "flux": {"container": {"mountPath": "/opt/flux/"}}}));
    assert!(
        other.contains("curve_cert = \"/opt/flux/config/curve/curve.cert\"") && !other.contains("/mnt/flux"),
        "{other}"
    );
}

#[test]
fn options_follow_the_spec() {
    let has = |spec: Value, option: &str| options(spec).iter().any(|it| it == option);
    assert!(has(json!({"size": 4}), "-Sbroker.quorum=4"));
    // Ranks of other clusters are not waited for (A.11.14), and those beyond the size neither.
    assert!(has(json!({"size": 2, "flux": {"bursting": {"clusters": [{"size": 4}]}}}), "-Sbroker.quorum=2"));
    assert!(has(json!({"size": 4, "minSize": 2, "maxSize": 8}), "-Sbroker.quorum=2"));
    assert!(has(json!({"size": 1, "interactive": true}), "-Sbroker.rc2_none"));
    assert!(!has(json!({"size": 1}), "-Sbroker.rc2_none"));
    assert!(has(json!({"size": 1}), "-Stbon.connect_timeout=5s"));
    let none = options(json!({"size": 1, "flux": {"connectTimeout": ""}}));
    assert!(!none.iter().any(|option| option.contains("connect_timeout")));
    assert!(has(json!({"size": 1, "flux": {"topology": "kary:2"}}), "-Stbon.topo=kary:2"));
    assert!(has(json!({"size": 1}), "-Stbon.fanout=256"));
    assert!(has(json!({"size": 1, "logging": {"quiet": true}}), "-Slog-stderr-level=0"));
    assert!(has(json!({"size": 1, "logging": {"zeromq": true}}), "-Stbon.zmqdebug=1"));
    let without = options(json!({"size": 1, "flux": {"disableSocket": true}}));
    assert!(!without.iter().any(|option| option.contains("local-uri")));
}

/// A.6, and the size at the creation in it.
#[test]
fn commands_of_the_lead() {
    let command = |spec: Value| lead_command(&cluster(spec).spec, 4);
    let container = |more: Value| {
        let mut container = json!({"image": "app", "command": "sleep 10"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([container])
    };
    let table = [
        (
            json!({"tasks": 0, "containers": container(json!({}))}),
            Some("flux submit -N 4 --quiet --watch sleep 10"),
        ),
        (
            json!({"tasks": 8, "containers": container(json!({}))}),
            Some("flux submit -N 4 -n8 --quiet --watch sleep 10"),
        ),
        (
            json!({"tasks": 4, "containers": container(json!({}))}),
            Some("flux submit -N 4 -n4 --quiet --watch sleep 10"),
        ),
        (json!({"containers": container(json!({}))}), Some("flux submit -n1 --quiet --watch sleep 10")),
        (json!({"interactive": true, "containers": container(json!({}))}), None),
        (json!({}), None),
        (json!({"containers": container(json!({"launcher": true}))}), Some("sleep 10")),
        (
            json!({"containers": container(json!({"batch": true}))}),
            Some("flux batch -n1 --flags waitable /flux_operator/batch.sh && flux job wait --all"),
        ),
        (
            json!({"containers": [{"image": "app", "commands": {"script": "echo mine"}}]}),
            Some("bash /flux_operator/script.sh"),
        ),
        (
            json!({"logging": {"debug": true, "timed": true}, "containers": container(json!({})),
                "flux": {"submitCommand": "flux run", "optionFlags": "-ompi=openmpi@5"}}),
            Some("/usr/bin/time -p flux run -n1 -vvv -ompi=openmpi@5 --quiet --watch sleep 10"),
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(command(spec.clone()).as_deref(), expected, "{spec}");
    }
}

/// A job that fails makes its batch fail (A.11.11).
#[test]
fn batches() {
    let batch = |raw: bool| {
        let container = json!({"image": "app", "command": "echo a\n# no\n\necho b", "batch": true, "batchRaw": raw, "logs": "/l"});
        data(json!({"containers": [container]}))["batch.sh"].as_str().unwrap().to_owned()
    };
    assert_eq!(batch(true), "#!/bin/bash\necho a\n# no\n\necho b\n");
    assert_eq!(
        batch(false),
        "#!/bin/bash\nmkdir -p /l\n\
         flux submit --flags waitable --error /l/job-0.err --output /l/job-0.out echo a\n\
         flux submit --flags waitable --error /l/job-1.err --output /l/job-1.out echo b\n\
         flux queue idle\nflux job wait --all\n"
    );
}

/// A key in a ConfigMap is a key that everybody reads (A.11.6).
#[test]
fn no_secret_is_in_the_configmap() {
    let text = data(json!({"size": 1, "flux": {"curveCert": "top-secret"}})).to_string();
    assert!(!text.contains("top-secret"));
}

/// The view's init container is there only when the view is used; without it nothing is mounted over /opt/software.
#[test]
fn a_disabled_view() {
    let template = template(json!({"size": 1, "flux": {"container": {"disable": true}}}));
    assert_eq!(template["spec"]["initContainers"], Value::Null);
    assert!(!template.to_string().contains("/opt/software"));
    assert!(
        data(json!({"size": 1, "flux": {"container": {"disable": true}}}))["settings.sh"]
            .as_str()
            .unwrap()
            .contains("TOWTANK_VIEW=''\n")
    );
}

/// A volume has one name where it is declared and where it is mounted (A.11.10), and one key can mean two volumes in two
/// containers, whose mounts are their own (A.11.15).
#[test]
fn volumes() {
    let template = template(json!({"size": 1, "containers": [
        {"image": "a", "runFlux": true, "volumes": {"cfg": {"path": "/a", "configMapName": "one"}, "same": {"path": "/s", "hostPath": "/s"}}},
        {"image": "b", "name": "b", "volumes": {"cfg": {"path": "/b", "configMapName": "two"}, "same": {"path": "/t", "hostPath": "/s"}}},
    ]}));
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let map = |name: &str| {
        volumes.iter().find(|volume| volume["name"] == name).unwrap()["configMap"]["name"].clone()
    };
    assert_eq!((map("cfg"), map("cfg-1")), (json!("one"), json!("two")));
    assert_eq!(volumes.iter().filter(|volume| volume["hostPath"]["path"] == "/s").count(), 1);
    let mounts = |position: usize| {
        let mounts = template["spec"]["containers"][position]["volumeMounts"].as_array().unwrap();
        let all: Vec<_> = mounts
            .iter()
            .map(|it| (it["name"].as_str().unwrap(), it["mountPath"].as_str().unwrap()))
            .collect();
        let paths: std::collections::BTreeSet<_> = all.iter().map(|(_, path)| path).collect();
        assert_eq!(paths.len(), all.len(), "one mount for each path: {all:?}");
        for (name, _) in &all {
            assert!(volumes.iter().any(|volume| volume["name"] == *name), "{name} is not declared");
        }
        all
    };
    assert!(mounts(0).contains(&("cfg", "/a")) && mounts(1).contains(&("cfg-1", "/b")));
    assert!(!mounts(1).iter().any(|(_, path)| *path == "/a" || *path == "/s"));
}

/// Services lead to this MiniCluster's pods and to no other's, by labels that Kubernetes and the template give (A.11.4, A.11.5).
#[test]
fn services_have_selectors_of_their_own() {
    let cluster = cluster(json!({"size": 2, "flux": {"minimalService": true}}));
    let minimal = serde_json::to_value(&services(&cluster)[0]).unwrap();
    assert_eq!(
        minimal["spec"]["selector"],
        json!({"hpa-selector": "flux-sample", "batch.kubernetes.io/job-completion-index": "0"})
    );
    assert_eq!(
        (&minimal["spec"]["ports"][0]["port"], &minimal["spec"]["clusterIP"]),
        (&json!(8050), &Value::Null)
    );
}

/// Text of users is one word of the shell.
#[test]
fn settings_are_quoted() {
    let flux =
        json!({"environment": {"A": "it's; rm -rf /", "not-a-name": "x"}, "wrap": "strace,-e,network"});
    let settings = data(json!({"size": 1, "flux": flux}))["settings.sh"].as_str().unwrap().to_owned();
    assert!(settings.contains("export A='it'\\''s; rm -rf /'\n"), "{settings}");
    assert!(!settings.contains("not-a-name") && settings.contains("TOWTANK_WRAP=strace,-e,network\n"));
}
