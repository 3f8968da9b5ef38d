//! How long the pure parts take for a Job and for a custom resource with rules:
//! `cargo run --release -p towtank-apiserver --example admission`.

use serde_json::{Value, json};
use std::hint::black_box;
use towtank_apiserver::apply::apply;
use towtank_apiserver::managed_fields::{Writer, update};
use towtank_apiserver::schema::{Schema, builtin};
use towtank_apiserver::{defaults, openapi};

const ROUNDS: u32 = 200;

#[expect(clippy::disallowed_types, reason = "a measurement reads the wall clock")]
fn measure(name: &str, rounds: u32, mut work: impl FnMut()) {
    // The best of some batches: what the work takes when nothing else runs.
    let batch = || {
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    };
    let best =
        std::iter::repeat_with(batch).take(if rounds == 1 { 1 } else { 20 }).fold(f64::INFINITY, f64::min);
    println!("{name:<40} {best:>9.1} us");
}

fn job() -> Value {
    let containers: Vec<_> = (0..2)
        .map(|number| {
            json!({"name": format!("c{number}"), "image": "busybox", "command": ["sh", "-c", "true"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "ports": [{"containerPort": 80 + number}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]})
        })
        .collect();
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"parallelism": 4, "completions": 4, "completionMode": "Indexed",
            "template": {"metadata": {"labels": {"app": "flux", "job": "a"}}, "spec": {"restartPolicy": "OnFailure",
                "containers": containers, "volumes": [{"name": "v", "configMap": {"name": "c"}}]}}}})
}

fn main() {
    measure("build all built-in schemas (once)", 1, || {
        black_box(builtin::all().count());
    });
    let schema = builtin::schema("batch", "v1", "Job").expect("a built-in kind");
    let writer = |manager| Writer {
        manager,
        api_version: "batch/v1",
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        reset: &[&["status"]],
    };
    let sent = job();
    let mut full = job();
    defaults::apply("batch", "Job", &mut full);
    measure("Job: decode check and unknown fields", ROUNDS, || {
        black_box((schema.decode_error(&sent), schema.unknown_fields(&sent)));
    });
    measure("Job: defaults (with the copy)", ROUNDS, || {
        let mut object = sent.clone();
        defaults::apply("batch", "Job", &mut object);
        black_box(object);
    });
    let mut created = full.clone();
    measure("Job: managed fields of a create", ROUNDS, || {
        created = full.clone();
        update(schema, None, &mut created, &writer("a"));
    });
    measure("Job: managed fields of a status write", ROUNDS, || {
        let mut object = created.clone();
        object["status"] = json!({"active": 3});
        update(
            schema,
            Some(&created),
            &mut object,
            &Writer { subresource: "status", reset: &[&["spec"]], ..writer("b") },
        );
        black_box(object);
    });
    let applied = apply(schema, None, &sent, false, &writer("a")).expect("no conflicts");
    measure("Job: apply that changes nothing", ROUNDS, || {
        black_box(apply(schema, Some(&applied), &sent, false, &writer("a")).is_ok());
    });
    let rules: Vec<_> = (0..12)
        .map(|number| json!({"rule": format!("!has(self.f{number}) || self.f{number} <= self.size"), "message": "no"}))
        .chain([json!({"rule": "self.size == oldSelf.size", "message": "no"})])
        .collect();
    let mut properties = json!({"size": {"type": "integer", "minimum": 1}});
    for number in 0..12 {
        properties[format!("f{number}")] = json!({"type": "integer"});
    }
    let custom = json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"],
        "properties": properties, "x-kubernetes-validations": rules}}});
    measure("custom resource: compile 13 rules", 2, || {
        black_box(Schema::from_crd(&custom, "").is_ok());
    });
    let custom = Schema::from_crd(&custom, "").expect("a good schema");
    let object = json!({"metadata": {"name": "a"}, "spec": {"size": 4, "f1": 1, "f2": 2, "f3": 3}});
    measure("custom resource: validate with 13 rules", ROUNDS, || {
        black_box(custom.validate(&object, None));
    });
    let mut next = object.clone();
    next["spec"]["f4"] = json!(1);
    measure("custom resource: update with 13 rules", ROUNDS, || {
        black_box(custom.validate(&next, Some(&object)));
    });
    measure("OpenAPI document of batch/v1", 3, || {
        let kind = schema.kinds[0].clone();
        let resource = openapi::Resource {
            plural: "jobs",
            kind,
            namespaced: true,
            custom: false,
            subresources: &["status"],
            schema,
        };
        black_box(openapi::document("batch", "v1", &[resource]).to_string());
    });
}
