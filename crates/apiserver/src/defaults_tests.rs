use super::*;

fn defaulted(group: &str, kind: &str, mut object: Value) -> Value {
    apply(group, kind, &mut object);
    let once = object.clone();
    apply(group, kind, &mut object);
    assert_eq!(once, object, "the second time changes nothing");
    object
}

#[test]
fn a_pod() {
    let pod = json!({"metadata": {"creationTimestamp": null}, "spec": {"serviceAccountName": "flux",
        "containers": [{"name": "a", "image": "busybox", "ports": [{"containerPort": 1}],
            "readinessProbe": {"exec": {}}, "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "c"}}]}});
    let pod = defaulted("", "Pod", pod);
    assert_eq!(
        pod["spec"],
        json!({"serviceAccountName": "flux", "serviceAccount": "flux", "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {},
            "schedulerName": "default-scheduler", "enableServiceLinks": true,
            "containers": [{"name": "a", "image": "busybox",
                "ports": [{"containerPort": 1, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "readinessProbe": {"exec": {}, "timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always"}],
            "volumes": [{"name": "a", "emptyDir": {}},
                {"name": "b", "configMap": {"name": "c", "defaultMode": 420}}]})
    );
    assert_eq!(pod["metadata"], json!({}));
}

#[test]
fn a_job_and_its_template() {
    let job = json!({"metadata": {}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {
        "restartPolicy": "OnFailure", "containers": [{"name": "a", "image": "r:5000/busybox:1.36",
        "resources": {"limits": {"cpu": "1"}}}]}}}});
    let job = defaulted("batch", "Job", job);
    let spec = &job["spec"];
    assert_eq!(
        (&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]),
        (&json!(1), &json!(1), &json!(6))
    );
    assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
    assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["resources"], json!({"limits": {"cpu": "1"}}), "only pods get requests from limits");
    let unset = defaulted("batch", "Job", json!({"spec": {"parallelism": 3}}));
    assert!(unset["spec"].get("completions").is_none());
}

#[test]
fn a_service() {
    let service = json!({"spec": {"clusterIP": "None", "ports": [{"port": 80}]}});
    assert_eq!(
        defaulted("", "Service", service)["spec"],
        json!({"clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
            "clusterIPs": ["None"]})
    );
}

#[test]
fn tags_of_images() {
    for (image, wanted) in
        [("a", "latest"), ("a:1", "1"), ("h:5000/a", "latest"), ("a@sha256:0", ""), ("a:latest", "latest")]
    {
        assert_eq!(tag(image), wanted, "{image}");
    }
}
