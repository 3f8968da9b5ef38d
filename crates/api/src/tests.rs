//! What is read and written, the schema, and the rules: each refuses what it must, with the field and what would be right.

use std::path::Path;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Program, Value as Cel};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{MiniCluster, MiniClusterSpec, RULES, crd};

const MANIFEST: &str = r#"
apiVersion: flux-framework.org/v1alpha2
kind: MiniCluster
metadata:
  name: flux-sample
spec:
  size: 4
  maxSize: 10
  minSize: 2
  tasks: 8
  interactive: true
  backoffLimit: 0
  jobLabels: {team: red}
  archive: {path: /state/archive.tar.gz}
  network: {headlessName: my-network, disableAffinity: true}
  logging: {quiet: true, zeromq: true}
  flux:
    connectTimeout: 5s
    logLevel: 7
    topology: kary:2
    completeWorkers: true
    minimalService: true
    optionFlags: -ompi=openmpi@5
    container: {image: "ghcr.io/example/view:1", name: flux-view, mountPath: /mnt/other, disable: true, pullAlways: true}
    scheduler: {simple: true, queuePolicy: easy}
    bursting:
      leadBroker: {address: 10.0.0.1, name: lead, size: 4, port: 8050}
      clusters: [{name: burst-0, size: 4}, {}]
  pod:
    annotations: {a: b}
    labels: {c: d}
    restartPolicy: Never
    nodeSelector: {pool: spot}
    nodeAffinity: {zone: [a, b]}
    tolerations: [{key: gpu, operator: Exists}]
    resources: {cpu: 1, memory: 2Gi}
    hostIPC: true
    hostPID: true
    securityContext: {fsGroup: 1000}
  containers:
    - image: rockylinux:9
      runFlux: true
      command: lmp -in in.lammps
      workingDir: /home
      environment: {OMP_NUM_THREADS: "1"}
      secrets: {TOKEN: {name: tokens, key: token}}
      ports: [5000]
      lifeCycle: {postStartExec: echo hello, preStopExec: echo bye}
      securityContext: {privileged: true, addCapabilities: [SYS_PTRACE]}
      resources: {limits: {cpu: 4, memory: 1Gi}, requests: {cpu: "500m"}}
      commands: {pre: source /env, workerPre: "true", brokerPre: "true", post: "true", init: "true", prefix: fuse}
      volumes:
        data: {path: /data, claimName: data, readOnly: true}
        host: {path: /host, hostPath: /srv}
        scripts: {path: /scripts, configMapName: scripts, items: {a.sh: a.sh}}
        keys: {path: /keys, secretName: keys}
        shm: {emptyDir: true, emptyDirMedium: Memory, emptyDirSizeLimit: 64Gi}
        bucket: {path: /bucket, csiDriver: gcsfuse.csi.storage.gke.io, csiDriverAttributes: {bucketName: b}}
    - {image: redis, name: redis, noWrapEntrypoint: true}
  services:
    - {image: db, name: db, ports: [5432], commands: {servicePre: "true"}}
"#;

fn manifest() -> Value {
    serde_saphyr::from_str(MANIFEST).unwrap()
}

/// Absent, empty and default say the same: what is left is what was meant.
fn assert_kept(written: &Value, read: &Value, path: &str) {
    match (written, read) {
        (Value::Object(written), _) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(read) => assert_kept(value, read, &path),
                    None => panic!("{path}: lost {value}"),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{path}");
            written
                .iter()
                .zip(read)
                .enumerate()
                .for_each(|(i, (a, b))| assert_kept(a, b, &format!("{path}[{i}]")));
        }
        _ => assert_eq!(written, read, "{path}"),
    }
}

#[test]
fn every_field_is_kept() {
    let written = manifest();
    let cluster: MiniCluster = serde_json::from_value(written.clone()).unwrap();
    let read = serde_json::to_value(&cluster).unwrap();
    assert_kept(&written, &read, "");
    assert_eq!(serde_json::from_value::<MiniCluster>(read).unwrap(), cluster);
}

/// Defaults of the original (A.1).
#[test]
fn defaults() {
    let spec: MiniClusterSpec = serde_json::from_value(json!({"containers": [{}]})).unwrap();
    assert_eq!((spec.size, spec.tasks, spec.deadline_seconds), (1, 1, 31_500_000));
    assert_eq!((spec.max_size, spec.min_size, spec.backoff_limit), (None, None, None));
    assert_eq!((spec.flux.connect_timeout.as_str(), spec.flux.log_level), ("5s", 6));
    let view = &spec.flux.container;
    assert_eq!((view.name.as_str(), view.mount_path.as_str()), ("flux-view", "/mnt/flux"));
    assert_eq!(view.image, "ghcr.io/converged-computing/flux-view-ubuntu:tag-noble");
    assert_eq!(spec.containers[0].image, "ghcr.io/rse-ops/accounting:app-latest");
    let spec: MiniClusterSpec =
        serde_json::from_value(json!({"containers": [{}], "flux": {"connectTimeout": ""}})).unwrap();
    assert_eq!(spec.flux.connect_timeout, "");
}

proptest! {
    /// What is written is read as it was.
    #[test]
    fn round_trip(
        size in 1..100,
        max in proptest::option::of(1..100),
        limit in proptest::option::of(0..9),
        timeout in "[0-9]{0,2}s?",
        command in ".{0,20}",
        flags in prop::array::uniform5(any::<bool>()),
        labels in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..3),
    ) {
        let mut spec: MiniClusterSpec = serde_json::from_value(json!({"containers": [{}]})).unwrap();
        (spec.size, spec.max_size, spec.backoff_limit) = (size, max, limit);
        spec.flux.connect_timeout = timeout;
        spec.containers[0].command = command;
        [spec.interactive, spec.cleanup, spec.logging.quiet, spec.flux.complete_workers, spec.containers[0].launcher] = flags;
        spec.pod.labels = labels;
        let text = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<MiniClusterSpec>(&text).unwrap(), spec);
    }
}

#[test]
fn the_file_is_current() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds/flux-framework.org_miniclusters.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    assert!(file == crate::manifest(), "{} is not current: cargo xtask crds", path.display());
}

#[test]
fn every_rule_stands_in_the_schema() {
    let text = serde_json::to_string(&crd()).unwrap();
    for rule in RULES {
        assert!(text.contains(&serde_json::to_string(rule.rule).unwrap()), "{:?} is nowhere", rule.place);
    }
}

/// Kubernetes takes structural schemas only, and numbers of formats that it knows.
#[test]
fn the_schema_is_structural() {
    fn walk(schema: &JSONSchemaProps, path: &str) {
        let any = schema.x_kubernetes_int_or_string == Some(true);
        assert!(schema.type_.is_some() || any, "{path} has no type");
        assert_ne!(schema.nullable, Some(true), "{path}: an absent field is absent");
        let format = schema.format.as_deref();
        assert!(!format.is_some_and(|format| format.starts_with("uint")), "{path}: {format:?}");
        for (name, inner) in schema.properties.iter().flatten() {
            walk(inner, &format!("{path}.{name}"));
        }
    }
    let crd = crd();
    walk(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap(), "");
}

/// Messages of the rules that a MiniCluster breaks, each with its field.
fn faults(cluster: &Value, old: Option<&Value>) -> Vec<String> {
    let crd = crd();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    let mut found = Vec::new();
    check(schema, cluster, old, "", &mut found);
    found
}

fn check(schema: &JSONSchemaProps, value: &Value, old: Option<&Value>, path: &str, found: &mut Vec<String>) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    };
    if let (Some(number), Some(minimum)) = (value.as_f64(), schema.minimum)
        && number < minimum
    {
        found.push(format!("{path}: minimum"));
    }
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        if rule.rule.contains("oldSelf") && old.is_none() {
            continue;
        }
        if evaluate(&rule.rule, value, old) != Cel::Bool(true) {
            found.push(format!(
                "{path}{}: {}",
                rule.field_path.as_deref().unwrap_or_default(),
                message(rule, value)
            ));
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = schema.properties.as_ref().and_then(|properties| properties.get(name));
                let old = old.and_then(|old| old.get(name));
                if let Some(inner) = inner {
                    check(inner, value, old, &format!("{path}.{name}"), found);
                } else if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &schema.additional_properties {
                    check(inner, value, old, &format!("{path}[{name}]"), found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
                for (position, item) in items.iter().enumerate() {
                    check(inner, item, None, &format!("{path}[{position}]"), found);
                }
            }
        }
        _ => {}
    }
}

fn message(rule: &ValidationRule, value: &Value) -> String {
    match (&rule.message, &rule.message_expression) {
        (Some(message), _) => message.clone(),
        (_, Some(expression)) => match evaluate(expression, value, None) {
            Cel::String(text) => text.to_string(),
            other => panic!("{expression}: {other:?}"),
        },
        _ => panic!("{} has no message", rule.rule),
    }
}

fn evaluate(rule: &str, value: &Value, old: Option<&Value>) -> Cel {
    let mut context = Context::default();
    // Of Kubernetes' own library.
    context.add_function("replace", replace).unwrap();
    context.add_variable("self", value).unwrap();
    if let Some(old) = old {
        context.add_variable("oldSelf", old).unwrap();
    }
    let program = Program::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    program.execute(&context).unwrap_or_else(|error| panic!("{rule}: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "as the interpreter wants it")]
fn replace(This(text): This<Arc<String>>, old: Arc<String>, new: Arc<String>) -> String {
    text.replace(&*old, &new)
}

fn cluster(spec: Value) -> Value {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"image": "flux"}]);
    }
    if spec.get("size").is_none() {
        spec["size"] = json!(1);
    }
    json!({"metadata": {"name": "sample"}, "spec": spec})
}

#[test]
fn rules_take_what_is_right() {
    let mut read = manifest();
    // It names all hosts once.
    read["spec"]["flux"]["bursting"]["hostlist"] = json!("");
    assert_eq!(faults(&read, None), [] as [String; 0]);
    assert_eq!(faults(&read, Some(&read)), [] as [String; 0]);
}

/// A.2, A.8 and what the original does not look at.
#[test]
fn rules_refuse_what_is_wrong() {
    let flux = json!({"image": "flux", "runFlux": true});
    let table = [
        (json!({"size": 0}), ".spec.size: must be at least 1: delete the MiniCluster to have no pods"),
        (json!({"size": -1}), ".spec.size: must be at least 1: delete the MiniCluster to have no pods"),
        (
            json!({"size": 100_001}),
            ".spec.size: must be no more than 100000, the parallelism that an Indexed Job can have",
        ),
        (
            json!({"maxSize": 100_001}),
            ".spec.maxSize: must be no more than 100000, the parallelism that an Indexed Job can have",
        ),
        (json!({"size": 5, "maxSize": 4}), ".spec.size: must be no more than maxSize, 4"),
        (json!({"size": 1, "minSize": 2}), ".spec.size: must be no less than minSize, 2"),
        (json!({"size": 2, "minSize": 3, "maxSize": 2}), ".spec.minSize: must be no more than maxSize, 2"),
        (json!({"backoffLimit": -1}), ".spec.backoffLimit: minimum"),
        (json!({"tasks": -1}), ".spec.tasks: minimum"),
        (json!({"deadlineSeconds": 0}), ".spec.deadlineSeconds: minimum"),
        (
            json!({"containers": [flux, flux]}),
            ".spec.containers: exactly one container must have runFlux: true",
        ),
        (
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            ".spec.containers: exactly one container must have runFlux: true",
        ),
        (json!({"containers": [flux, {}]}), ".spec.containers: a container without Flux needs a name"),
        (
            json!({"containers": [flux, {"name": "a"}, {"name": "a"}]}),
            ".spec.containers: two containers have the same name: each needs its own",
        ),
        (
            json!({"containers": [{"command": "a", "commands": {"script": "b"}}]}),
            ".spec.containers: commands.script stands in the place of command: write one of the two",
        ),
        (
            json!({"containers": [{"launcher": true}]}),
            ".spec.containers: launcher and batch need a command, and Flux in the same container",
        ),
        (
            json!({"containers": [{"command": "a", "launcher": true, "batch": true}]}),
            ".spec.containers[0].batch: a container is a launcher or a batch, not both",
        ),
        (
            json!({"containers": [{"command": "a", "batchRaw": true}]}),
            ".spec.containers[0].batchRaw: needs batch: true",
        ),
        (
            json!({"containers": [{"volumes": {"v": {"claimName": "c"}}}]}),
            ".spec.containers[0].volumes[v]: needs a path, where in the container it is mounted, or emptyDir: true",
        ),
        (
            json!({"services": [{"name": "s", "volumes": {"v": {"hostPath": "/c"}}}]}),
            ".spec.services[0].volumes[v]: needs a path, where in the container it is mounted, or emptyDir: true",
        ),
        (json!({"services": [{}]}), ".spec.services: a service needs a name"),
        (
            json!({"services": [{"name": "a"}, {"name": "a"}]}),
            ".spec.services: two services have the same name: each needs its own",
        ),
        (
            json!({"services": [{"name": "s", "commands": {"workerPre": "x"}}]}),
            ".spec.services: a service runs no Flux, so it has no commands.pre, brokerPre or workerPre: commands.servicePre is what runs first in it",
        ),
        (
            json!({"pod": {"restartPolicy": "Always"}}),
            ".spec.pod.restartPolicy: must be OnFailure or Never: the pods are a Job's",
        ),
        (
            json!({"flux": {"scheduler": {"queuePolicy": "fifo"}}}),
            ".spec.flux.scheduler.queuePolicy: must be fcfs, easy, hybrid or conservative",
        ),
        (json!({"flux": {"topology": "ring"}}), ".spec.flux.topology: must be `kary:K` or `flat`"),
        (
            json!({"flux": {"bursting": {"hostlist": "a", "clusters": [{"name": "b"}]}}}),
            ".spec.flux.bursting.hostlist: names all hosts, and so do clusters: write one of the two",
        ),
        (
            json!({"flux": {"bursting": {"clusters": [{"name": "b"}, {"name": "b"}]}}}),
            ".spec.flux.bursting.clusters: two clusters have the same name: each needs its own",
        ),
        (
            json!({"flux": {"bursting": {"leadBroker": {"address": "a"}}}}),
            ".spec.flux.bursting.leadBroker: address needs name and size: the hosts of the lead's cluster are made of them",
        ),
    ];
    for (spec, fault) in table {
        assert_eq!(faults(&cluster(spec.clone()), None), [fault], "{spec}");
    }
    for name in ["a".repeat(53).as_str(), "a.b", "1a", "a-"] {
        let mut named = cluster(json!({}));
        named["metadata"]["name"] = json!(name);
        assert_eq!(faults(&named, None).len(), 1, "{name}");
    }
}

/// What cannot change, and what can.
#[test]
fn rules_compare_with_what_was() {
    let with_maximum = |spec: Value| {
        let mut cluster = cluster(spec);
        cluster["status"] = json!({"size": 4, "selector": "", "jobid": "", "maximumSize": 4});
        cluster
    };
    let (four, with_max) = (with_maximum(json!({"size": 4})), with_maximum(json!({"size": 2, "maxSize": 4})));
    // Taken before the maximum was told.
    let five = with_maximum(json!({"size": 5}));
    let fixed = ".spec.maxSize: cannot change: every broker was told of it when it started";
    let over = ".spec.size: must be no more than 4, the maximum since the MiniCluster was created";
    let table = [
        (&four, json!({"size": 3}), None),
        (&four, json!({"size": 5}), Some(over)),
        (&five, json!({"size": 5}), None),
        (&five, json!({"size": 6}), Some(over)),
        (&four, json!({"size": 4, "maxSize": 8}), Some(fixed)),
        (&with_max, json!({"size": 4, "maxSize": 4}), None),
        (&with_max, json!({"size": 2, "maxSize": 8}), Some(fixed)),
        (&with_max, json!({"size": 2}), Some(fixed)),
        (&four, json!({"size": 4, "minSize": 2, "cleanup": true}), None),
        (
            &four,
            json!({"size": 4, "tasks": 2}),
            Some(".spec.tasks: cannot change: the command was submitted with it"),
        ),
        (
            &four,
            json!({"size": 4, "containers": [{"image": "another"}]}),
            Some(".spec.containers: cannot change: the Job took them when it was made"),
        ),
    ];
    for (old, spec, fault) in table {
        let found = faults(&with_maximum(spec.clone()), Some(old));
        assert_eq!(found, fault.into_iter().map(str::to_owned).collect::<Vec<_>>(), "{spec}");
    }
}
