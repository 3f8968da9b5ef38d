use std::sync::Arc;

use serde_json::{Value, json};
use towtank_model::objects::{
    Container, ContainerState, ContainerStatus, Deletion, Job, JobCondition, JobConditionType, JobStatus,
    NodeId, OwnerReference, Pod, PodCondition, PodIndex, PodPhase, PodSpec, PodStatus, PodTemplate,
    RestartPolicy, TaintEffect, Termination, Toleration, UncountedPods,
};
use towtank_model::server::{Actor, ClearedField, JobManifest, PodManifest, PodPatch, Server};
use towtank_model::version::{Features, KubernetesVersion};

use super::*;

/// A Job as Kubernetes 1.36 stores it.
const JOB: &str = r#"{
  "apiVersion": "batch/v1", "kind": "Job",
  "metadata": {
    "name": "pi", "namespace": "default", "uid": "00000000-0000-4000-8000-000100000000",
    "resourceVersion": "7", "generation": 1, "creationTimestamp": "2000-01-01T00:00:05Z",
    "labels": {"app": "pi"},
    "managedFields": [{"manager": "kubectl", "operation": "Update"}]
  },
  "spec": {
    "parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimit": 2147483647,
    "backoffLimitPerIndex": 1, "suspend": false, "podReplacementPolicy": "Failed", "manualSelector": false,
    "podFailurePolicy": {"rules": [
      {"action": "FailIndex", "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [1, 2]}, "onPodConditions": null},
      {"action": "Ignore", "onExitCodes": null, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]},
    "successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 1}]},
    "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "00000000-0000-4000-8000-000100000000"}},
    "template": {
      "metadata": {
        "creationTimestamp": null,
        "labels": {
          "a": "b",
          "batch.kubernetes.io/controller-uid": "00000000-0000-4000-8000-000100000000",
          "batch.kubernetes.io/job-name": "pi",
          "controller-uid": "00000000-0000-4000-8000-000100000000",
          "job-name": "pi"
        },
        "annotations": {"note": "x"}
      },
      "spec": {
        "containers": [{"name": "main", "image": "main", "resources": {"requests": {"cpu": "500m"}},
          "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}],
        "initContainers": [{"name": "side", "image": "main", "resources": {}, "restartPolicy": "Always"}],
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "dnsPolicy": "ClusterFirst",
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
        "schedulingGates": [{"name": "gate"}],
        "securityContext": {}, "schedulerName": "default-scheduler"
      }
    }
  },
  "status": {
    "conditions": [
      {"type": "SuccessCriteriaMet", "status": "True", "lastProbeTime": "2000-01-01T00:01:00Z",
       "lastTransitionTime": "2000-01-01T00:01:00Z", "reason": "SuccessPolicy", "message": "Matched rules at index 0"},
      {"type": "acme.io/Own", "status": "True"}
    ],
    "startTime": "2000-01-01T00:00:06Z", "active": 1, "ready": 0, "terminating": 1, "succeeded": 1, "failed": 2,
    "completedIndexes": "0", "failedIndexes": "",
    "uncountedTerminatedPods": {"succeeded": ["00000000-0000-4000-8000-00020000000a"]}
  }
}"#;

/// A pod of that Job.
const POD: &str = r#"{
  "metadata": {
    "name": "pi-3-abcde", "generateName": "pi-3-", "namespace": "default",
    "uid": "00000000-0000-4000-8000-000200000011", "resourceVersion": "9",
    "creationTimestamp": "2000-01-01T00:00:07Z", "deletionTimestamp": "2000-01-01T00:00:40Z",
    "deletionGracePeriodSeconds": 30,
    "labels": {"a": "b", "batch.kubernetes.io/controller-uid": "00000000-0000-4000-8000-000100000000",
      "batch.kubernetes.io/job-completion-index": "3"},
    "annotations": {"batch.kubernetes.io/job-completion-index": "3", "batch.kubernetes.io/job-index-failure-count": "2"},
    "ownerReferences": [
      {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "c"},
      {"apiVersion": "batch/v1", "kind": "Job", "name": "pi", "uid": "00000000-0000-4000-8000-000100000000",
       "controller": true, "blockOwnerDeletion": true}],
    "finalizers": ["batch.kubernetes.io/job-tracking", "acme.io/keep"]
  },
  "spec": {"containers": [{"name": "main", "image": "main"}], "restartPolicy": "OnFailure", "nodeName": "n1",
    "hostname": "pi-3", "serviceAccountName": "default"},
  "status": {
    "phase": "Failed", "reason": "Evicted", "qosClass": "BestEffort", "startTime": "2000-01-01T00:00:08Z",
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m",
      "lastProbeTime": null, "lastTransitionTime": "2000-01-01T00:00:09Z"}],
    "containerStatuses": [
      {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 2,
       "state": {"terminated": {"exitCode": 137, "startedAt": null, "finishedAt": "2000-01-01T00:00:10Z"}}},
      {"name": "b", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": null}}},
      {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    ]
  }
}"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn nodes(name: &str) -> Option<NodeId> {
    name.strip_prefix('n')?.parse().ok().map(NodeId)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(label, value)| (label.into(), value.into())).collect()
}

/// The manifest that [`JOB`] was made from.
fn manifest() -> JobManifest {
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "main".into(), cpu_request_milli: 500, is_sidecar: false }],
        init_containers: vec![Container { name: "side".into(), cpu_request_milli: 0, is_sidecar: true }],
        termination_grace_period_s: 10,
        node_selector: labels(&[("zone", "a")]),
        tolerations: vec![Toleration {
            key: Some("k".into()),
            value: None,
            effect: Some(TaintEffect::NoExecute),
            toleration_seconds: Some(3),
        }],
        scheduling_gates: vec!["gate".into()],
    };
    let template = PodTemplate {
        labels: Arc::new(labels(&[("a", "b")])),
        annotations: Arc::new(labels(&[("note", "x")])),
        finalizers: [].into(),
        spec: Arc::new(spec),
    };
    let job = job_row(&parsed(JOB)).unwrap();
    JobManifest {
        labels: labels(&[("app", "pi")]),
        parallelism: Some(2),
        completions: Some(4),
        completion_mode: Some(job.spec.completion_mode.clone()),
        backoff_limit_per_index: Some(1),
        pod_failure_policy: job.spec.pod_failure_policy.clone(),
        success_policy: job.spec.success_policy.clone(),
        template: Some(Arc::new(template)),
        ..JobManifest::default()
    }
}

fn server() -> Server {
    Server::new(Features::of(KubernetesVersion::from_minor(36).unwrap()), false)
}

#[test]
fn a_job_that_the_driver_stores_is_the_row_that_the_model_makes() {
    let mut row = job_row(&parsed(JOB)).unwrap();
    let expected = JobStatus {
        conditions: vec![JobCondition {
            kind: JobConditionType::SuccessCriteriaMet,
            status: ConditionStatus::True,
            reason: "SuccessPolicy".into(),
            message: "Matched rules at index 0".into(),
            last_transition_time: Time::from_secs(60),
        }],
        start_time: Some(Time::from_secs(6)),
        completion_time: None,
        active: 1,
        ready: Some(0),
        terminating: Some(1),
        succeeded: 1,
        failed: 2,
        completed_indexes: "0".into(),
        failed_indexes: Some("".into()),
        uncounted: Some(UncountedPods { succeeded: vec![Uid(10)], failed: vec![] }),
    };
    assert_eq!(std::mem::take(&mut row.status), expected);
    assert_eq!(row.resource_version, 7);
    let key = ObjectKey::new("default", "pi");
    let made = server().create_job(Time::from_secs(5), Actor::User, key, &manifest()).unwrap();
    assert_eq!(row, Job { resource_version: 7, ..Job::clone(&made) });
}

#[test]
fn a_new_job_says_what_its_manifest_says() {
    let key = ObjectKey::new("default", "pi");
    let minimal = JobManifest { suspend: Some(true), ..JobManifest::default() };
    assert_eq!(
        job_object(&key, &minimal),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pi", "namespace": "default"}, "spec": {"suspend": true}})
    );
    let object = job_object(&key, &manifest());
    let stored = parsed(JOB);
    let policy = "/spec/successPolicy";
    assert_eq!(object.pointer(policy), stored.pointer(policy));
    assert_eq!(object.pointer("/spec/template/metadata/labels"), Some(&json!({"a": "b"})));
    assert_eq!(object.pointer("/spec/backoffLimit"), None, "what the server fills in is left to it");
}

/// A merge patch adds to mappings; a manifest replaces them.
#[test]
fn a_patch_makes_the_object_that_the_manifest_makes_the_row() {
    let mut server = server();
    let key = ObjectKey::new("default", "pi");
    let stored = server.create_job(Time::from_secs(5), Actor::User, key.clone(), &manifest()).unwrap();
    let spec = PodSpec {
        node_selector: labels(&[("disk", "ssd")]),
        tolerations: Vec::new(),
        scheduling_gates: Vec::new(),
        ..PodSpec::clone(&manifest().template.unwrap().spec)
    };
    let template = PodTemplate {
        labels: Arc::new(labels(&[("c", "d")])),
        spec: Arc::new(spec),
        ..PodTemplate::default()
    };
    let change = JobManifest {
        labels: labels(&[("tier", "x")]),
        finalizers: vec!["acme.io/keep".into()],
        parallelism: Some(5),
        template: Some(Arc::new(template)),
        cleared: vec![ClearedField::SuccessPolicy, ClearedField::ActiveDeadlineSeconds],
        ..JobManifest::default()
    };
    let mut object = parsed(JOB);
    merge(&mut object, &job_patch(&stored, &change));
    let mut row = job_row(&object).unwrap();
    row.status = JobStatus::default();
    let merged = towtank_model::admission::defaults::merged_job(&stored, &change, server.features());
    assert_eq!(row, Job { resource_version: 7, ..merged });
    assert_eq!(job_patch(&stored, &JobManifest::default()), json!({}));
}

#[test]
fn a_status_comes_back_as_it_was() {
    for text in [
        JOB,
        r#"{"metadata":{"name":"j","uid":"00000000-0000-4000-8000-000100000000"},
        "spec":{"parallelism":1,"completionMode":"NonIndexed","backoffLimit":6,"template":{}},
        "status":{"uncountedTerminatedPods":{}}}"#,
    ] {
        let mut object = parsed(text);
        let row = job_row(&object).unwrap();
        object["status"] = job_status(&row.status);
        assert_eq!(job_row(&object).unwrap(), row);
    }
}

#[test]
fn a_pod_becomes_a_row() {
    let row = pod_row(&parsed(POD), nodes).unwrap();
    let containers = vec![Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false }];
    let status = |name: &str, ready, restart_count, state| ContainerStatus {
        name: name.into(),
        restart_count,
        ready,
        state,
    };
    let ended = Termination { exit_code: 137, finished_at: Some(Time::from_secs(10)) };
    let expected = Pod {
        key: ObjectKey::new("default", "pi-3-abcde"),
        uid: Uid(17),
        resource_version: 9,
        labels: Arc::new(labels(&[("a", "b"), (CONTROLLER_UID_LABEL, "uid-0")])),
        owner: Some(OwnerReference { is_job: true, name: "pi".into(), uid: Uid(0) }),
        index: PodIndex::At(3),
        index_failure_count: Some(2),
        index_ignored_failure_count: None,
        tracked: true,
        foreign_finalizers: ["acme.io/keep".into()].into(),
        creation_time: Time::from_secs(7),
        deletion: Some(Deletion { timestamp: Time::from_secs(40), grace_period_s: 30 }),
        spec: Arc::new(PodSpec {
            restart_policy: RestartPolicy::OnFailure,
            containers,
            ..PodSpec::default()
        }),
        node: Some(NodeId(1)),
        status: PodStatus {
            phase: PodPhase::Failed,
            reason: "Evicted".into(),
            conditions: vec![PodCondition {
                kind: "DisruptionTarget".into(),
                status: ConditionStatus::True,
                reason: "PreemptionByScheduler".into(),
                last_transition_time: Time::from_secs(9),
            }],
            containers: vec![
                status("main", false, 2, ContainerState::Terminated(ended)),
                status("b", true, 0, ContainerState::Running),
                status("c", false, 0, ContainerState::Waiting("PodInitializing".into())),
            ],
            init_containers: vec![],
            start_time: Some(Time::from_secs(8)),
        },
    };
    assert_eq!(row, expected);
}

#[test]
fn a_patched_status_leaves_nothing_of_the_old_one() {
    let mut object = parsed(POD);
    let old = pod_row(&object, nodes).unwrap();
    merge(&mut object, &pod_status(&old.status));
    assert_eq!(pod_row(&object, nodes).unwrap(), old);
    merge(&mut object, &pod_status(&PodStatus::default()));
    assert_eq!(pod_row(&object, nodes).unwrap().status, PodStatus::default());
}

#[test]
fn a_pod_is_patched_as_the_model_patches_it() {
    let owner = OwnerReference { is_job: true, name: "pi".into(), uid: Uid(0) };
    let release = PodPatch { release: true, ..PodPatch::default() };
    let orphan = PodPatch { orphan: true, ..PodPatch::default() };
    let untrack = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
    let let_go = PodPatch { remove_finalizer: Some("acme.io/keep".into()), ..PodPatch::default() };
    let adopt = PodPatch { adopt: Some(owner), ..PodPatch::default() };
    let relabel = PodPatch {
        labels: vec![("a".into(), None), (CONTROLLER_UID_LABEL.into(), Some("uid-1".into()))],
        ..PodPatch::default()
    };
    let mut object = parsed(POD);
    let mut expected = pod_row(&object, nodes).unwrap();
    let mut step = |patch: &PodPatch, change: &dyn Fn(&mut Pod)| {
        change(&mut expected);
        let patch = pod_patch(&pod_row(&object, nodes).unwrap(), patch);
        merge(&mut object, &patch);
        assert_eq!(pod_row(&object, nodes).unwrap(), expected, "{patch}");
    };
    step(&untrack, &|pod| pod.tracked = false);
    step(&let_go, &|pod| pod.foreign_finalizers = [].into());
    step(&orphan, &|pod| pod.owner = None);
    step(&adopt, &|pod| {
        pod.owner = adopt.adopt.clone();
        pod.tracked = true;
    });
    step(&relabel, &|pod| pod.labels = Arc::new(labels(&[(CONTROLLER_UID_LABEL, "uid-1")])));
    step(&release, &|pod| {
        pod.owner = None;
        pod.tracked = false;
    });
}

#[test]
fn a_bare_pod_comes_back_as_the_model_makes_it() {
    let key = ObjectKey::new("default", "p");
    let manifest = PodManifest {
        labels: labels(&[("a", "b")]),
        annotations: labels(&[(towtank_model::objects::COMPLETION_INDEX, "-1")]),
        finalizers: vec!["acme.io/keep".into()],
        spec: manifest().template.unwrap().spec.clone(),
    };
    let made = server().create_pod(Time::ZERO, Actor::User, key.clone(), &manifest).unwrap();
    let mut object = pod_object(&key, &manifest);
    merge(&mut object, &json!({"metadata": {"uid": Kind::Pod.uid_text(Uid(0)), "resourceVersion": "1"}}));
    let mut row = pod_row(&object, nodes).unwrap();
    row.status = made.status.clone();
    assert_eq!(row, *made);
}

#[test]
fn small_bodies() {
    let key = ObjectKey::new("default", "p");
    assert_eq!(binding(&key, "n1")["target"]["name"], "n1");
    assert_eq!(eviction(&key)["metadata"], json!({"name": "p", "namespace": "default"}));
    let bare = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    assert_eq!(delete_options(None, None, pod::Preconditions::default()), bare);
    let preconditions = pod::Preconditions { uid: Some((Kind::Job, Uid(2))), resource_version: Some(9) };
    let propagation = towtank_model::server::Propagation::Foreground;
    assert_eq!(
        delete_options(Some(0), Some(propagation), preconditions),
        json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Foreground",
            "preconditions": {"uid": "00000000-0000-4000-8000-000100000002", "resourceVersion": "9"},
        })
    );
}

#[test]
fn times_are_counted_from_the_start_of_a_run() {
    for (micros, text) in [
        (0, "2000-01-01T00:00:00Z"),
        (86_400_000_000, "2000-01-02T00:00:00Z"),
        (1_500_000, "2000-01-01T00:00:01Z"),
    ] {
        assert_eq!(time_text(Time::from_micros(micros)), text);
        let read: MetaTime = serde_json::from_value(json!(text)).unwrap();
        assert_eq!(time_at("t", &read), Ok(Time::from_micros(micros).truncated_to_second()));
    }
    let exact: MetaTime = serde_json::from_value(json!("2000-01-01T00:00:01.000005Z")).unwrap();
    assert_eq!(time_at("t", &exact), Ok(Time::from_micros(1_000_005)));
    let before: MetaTime = serde_json::from_value(json!("1999-12-31T23:59:59Z")).unwrap();
    assert!(time_at("t", &before).is_err());
    assert!(!time_text(Time::MAX).is_empty());
}

#[test]
fn what_is_no_row_is_an_error_with_its_field() {
    let broken = |pointer: &str, value: Value| {
        let mut object = parsed(JOB);
        *object.pointer_mut(pointer).unwrap() = value;
        job_row(&object).unwrap_err().field
    };
    assert_eq!(broken("/metadata/uid", json!("0")), "metadata.uid");
    assert_eq!(broken("/metadata/resourceVersion", json!("x")), "metadata.resourceVersion");
    assert_eq!(broken("/spec/parallelism", Value::Null), "spec.parallelism");
    assert_eq!(broken("/spec/podReplacementPolicy", json!("x")), "spec.podReplacementPolicy");
    assert_eq!(broken("/status/startTime", json!("1970-01-01T00:00:00Z")), "status.startTime");
    assert_eq!(broken("/status/conditions/0/status", json!("maybe")), "status.conditions");
    assert_eq!(broken("/spec/parallelism", json!("two")), "Job");
    assert_eq!(pod_row(&parsed(POD), |_| None).unwrap_err().field, "spec.nodeName");
}
