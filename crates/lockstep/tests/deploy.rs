//! `deploy/`: a server accepts every manifest strictly, and the operator of the world `embedded` has the rights that it gives and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use towtank_apiserver::{Answer, ApiServer, Caller, Config};
use towtank_lockstep::runner::{self, Limits, Setting};
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};
use towtank_scenario::NoFiles;
use towtank_scenario::ast::Stack;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn manifest(name: &str) -> Value {
    let text =
        std::fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files that `kubectl apply -k deploy` applies, in its order.
fn resources() -> Vec<String> {
    let kustomization = manifest("kustomization.yaml");
    let names = kustomization["resources"].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_kustomization_names_every_manifest() {
    let mut found = BTreeSet::new();
    for below in ["", "crds/"] {
        for entry in std::fs::read_dir(directory().join(below)).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            if name.ends_with(".yaml") && name != "kustomization.yaml" {
                found.insert(format!("{below}{name}"));
            }
        }
    }
    assert_eq!(resources().into_iter().collect::<BTreeSet<_>>(), found);
}

/// The path of the objects of a kind.
fn collection(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind").to_lowercase());
    let root = if version.contains('/') { "apis" } else { "api" };
    match text("/metadata/namespace") {
        "" => format!("/{root}/{version}/{kind}s"),
        namespace => format!("/{root}/{version}/namespaces/{namespace}/{kind}s"),
    }
}

/// What a server says to a manifest, created as `kubectl apply --validate=strict` does.
fn create(api: &mut ApiServer, rows: &mut Server, object: &Value) -> (u16, String) {
    let path = format!("{}?fieldManager=kubectl&fieldValidation=Strict", collection(object));
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(Bytes::from(object.to_string())).expect("a request");
    let admin = Caller::master("admin", Actor::User);
    let Answer::Response(response) = api.handle(rows, Time::ZERO, &admin, request) else { panic!("a watch") };
    (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
}

#[test]
fn every_manifest_is_accepted_strictly() {
    let mut rows = Server::new(Features::of(KubernetesVersion::NEWEST), false);
    let mut api = ApiServer::new(Config::default(), &mut rows, Time::ZERO);
    for name in resources() {
        let (code, answer) = create(&mut api, &mut rows, &manifest(&name));
        assert_eq!(code, 201, "{name}: {answer}");
    }
    // It would be seen.
    for name in resources() {
        let mut object = manifest(&name);
        object["metadata"]["lables"] = json!({});
        let (code, answer) = create(&mut api, &mut rows, &object);
        assert!(
            code == 400 && answer.contains("unknown field \\\"metadata.lables\\\""),
            "{name}: {code} {answer}"
        );
    }
    let mut deployment = manifest("deployment.yaml");
    deployment["spec"]["template"]["spec"]["containers"][0]["comand"] = json!([]);
    let (code, answer) = create(&mut api, &mut rows, &deployment);
    assert!(code == 400 && answer.contains("spec.template.spec.containers[0].comand"), "{answer}");
}

const STORY: &str = r#"
apiVersion: towtank.dev/v1alpha1
kind: Scenario
metadata: {name: rights}
spec:
  about: What the operator needs its rights for.
  cluster: {nodes: 4, coresPerNode: 10, timing: instant}
  steps:
    - name: create three
      apply:
        apiVersion: flux-framework.org/v1alpha2
        kind: MiniCluster
        metadata: {name: flux-sample}
        spec: {size: 3, maxSize: 4, interactive: true, containers: [{image: "rockylinux:9"}]}
      expect:
        - {within: 60s, that: flux.online == 3 && minicluster.status.ready == 3}
    - name: ask for two
      patch: {minicluster: flux-sample, spec: {size: 2}}
      expect:
        - {within: 60s, that: flux.online == 2 && minicluster.status.size == 2 && pods.size() == 2}
"#;

/// Whether the story comes true for an operator with these rules.
fn comes_true(rules: Option<&Value>) -> bool {
    let scenario = towtank_scenario::parse("rights.yaml", STORY, &NoFiles).expect("a scenario");
    let flux = scenario.cluster.flux.versions.first;
    let stack = Stack { kubernetes: KubernetesVersion::NEWEST, flux: Some(flux) };
    let mut world = EmbeddedWorld::new(&scenario, stack, 1).expect("a world");
    if let Some(rules) = rules {
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/towtank-operator";
        let body = json!({"rules": rules}).to_string();
        world
            .request(Method::PATCH, path, "application/merge-patch+json", body.into())
            .expect("a role can be changed");
    }
    let run = runner::play(&scenario, &mut world, Setting { stack, seed: 1 }, Limits::default());
    run.failure.is_none()
}

/// The operator has the rights of `deploy/` and no others: without one that the story needs it does not come true.
#[test]
fn a_right_that_is_taken_away_is_missed() {
    assert!(comes_true(None));
    let role = manifest("cluster-role.yaml");
    let mut spare = BTreeSet::new();
    for (number, rule) in role["rules"].as_array().expect("rules").iter().enumerate() {
        let list = |field: &str| rule[field].as_array().expect("a list").clone();
        for resource in list("resources") {
            for verb in list("verbs") {
                let mut rules = role["rules"].clone();
                // The rule for its other resources as it was, and for this one without the verb.
                let others: Vec<Value> =
                    list("resources").into_iter().filter(|one| *one != resource).collect();
                let verbs: Vec<Value> = list("verbs").into_iter().filter(|one| *one != verb).collect();
                let both = [(others, list("verbs")), (vec![resource.clone()], verbs)];
                let both = both.map(|(resources, verbs)| {
                    json!({"apiGroups": rule["apiGroups"], "resources": resources, "verbs": verbs})
                });
                let rules = rules.as_array_mut().expect("rules");
                rules.splice(
                    number..=number,
                    both.into_iter()
                        .filter(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([])),
                );
                if comes_true(Some(&json!(rules))) {
                    spare.insert(format!(
                        "{} {}",
                        verb.as_str().expect("a verb"),
                        resource.as_str().expect("a resource")
                    ));
                }
            }
        }
    }
    let spare: Vec<&str> = spare.iter().map(String::as_str).collect();
    // What other stories need: names that are taken, Services and labels that were changed, services, clusters that clean up. A list that cannot be watched is
    // read again and again, and nobody has to be told.
    let others = [
        "create events",
        "create pods",
        "delete miniclusters",
        "get configmaps",
        "get events",
        "get jobs",
        "get pods",
        "get secrets",
        "get services",
        "patch events",
        "patch pods",
        "patch secrets",
        "patch services",
        "update miniclusters/finalizers",
        "watch configmaps",
        "watch pods",
        "watch secrets",
        "watch services",
    ];
    assert_eq!(spare, others);
}
