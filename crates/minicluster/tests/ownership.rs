//! What is the operator's, what is not, and that the user is told.

use std::time::Duration;

use towtank_minicluster::fleet::{Fleet, FleetError, Settings};
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::job::JobController;
use towtank_model::objects::{CompletionMode, ObjectKey, RestartPolicy};
use towtank_model::server::{JobManifest, Propagation};
use towtank_model::simulation::{Simulation, SimulationConfig};
use towtank_model::version::{Features, KubernetesVersion};

type Tank = Simulation<JobController, Fleet>;

const NAME: &str = "flux-sample";

fn tank() -> Tank {
    let config = SimulationConfig::new(Features::of(KubernetesVersion::NEWEST), 1);
    let controller = JobController::new(config.controller.clone(), config.features, false);
    Tank::with_application(config, controller, None, Fleet::new(Settings::default()))
}

fn spec(command: Option<&str>) -> MiniClusterSpec {
    let command = command.map(str::to_owned);
    MiniClusterSpec {
        size: 2,
        max_size: Some(4),
        is_interactive: command.is_none(),
        containers: vec![ContainerSpec { runs_flux: true, command, ..ContainerSpec::default() }],
        ..MiniClusterSpec::default()
    }
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new(namespace, name)
}

fn apply(tank: &mut Tank, key: &ObjectKey, spec: MiniClusterSpec) -> Result<(), FleetError> {
    tank.apply_to(|fleet, ctx| fleet.apply(key, spec, ctx))
}

fn wait(tank: &mut Tank, seconds: u64) {
    let limit = tank.now() + Duration::from_secs(seconds);
    tank.run_until(limit).expect("it comes to rest");
}

fn refusal(tank: &Tank) -> String {
    let cluster = tank.application().get(NAME).expect("it is there");
    cluster.refusal().unwrap_or_default().to_owned()
}

fn parallelism(tank: &Tank) -> Option<i32> {
    tank.server().job_by_key(&key("default", NAME)).map(|job| job.spec.parallelism)
}

#[test]
fn a_job_scaled_by_hand_is_put_back() {
    let mut tank = tank();
    apply(&mut tank, &key("default", NAME), spec(None)).expect("it keeps all rules");
    wait(&mut tank, 60);
    let by_hand = JobManifest { parallelism: Some(1), completions: Some(1), ..JobManifest::default() };
    tank.update_job(&key("default", NAME), &by_hand).expect("the API server takes it");
    wait(&mut tank, 60);
    assert_eq!(parallelism(&tank), Some(2));
    assert_eq!(refusal(&tank), "");
}

#[test]
fn a_job_of_somebody_else_is_left_alone() {
    let mut tank = tank();
    let template = towtank_model::objects::PodTemplate {
        spec: std::sync::Arc::new(towtank_model::objects::PodSpec {
            restart_policy: towtank_model::objects::RestartPolicy::Never,
            containers: vec![towtank_model::objects::Container {
                name: "main".into(),
                cpu_request_milli: 0,
                is_sidecar: false,
            }],
            ..towtank_model::objects::PodSpec::default()
        }),
        ..towtank_model::objects::PodTemplate::default()
    };
    let foreign = JobManifest {
        parallelism: Some(3),
        completions: Some(3),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(std::sync::Arc::new(template)),
        ..JobManifest::default()
    };
    tank.create_job(key("default", NAME), &foreign).expect("a Job");
    apply(&mut tank, &key("default", NAME), spec(None)).expect("it keeps all rules");
    wait(&mut tank, 60);
    assert_eq!(parallelism(&tank), Some(3));
    assert!(refusal(&tank).starts_with("Job `flux-sample` is there already"), "{}", refusal(&tank));
    let cluster = tank.application().get(NAME).expect("it is there");
    assert_eq!(cluster.status(tank.server()).conditions, ["Degraded"]);
    assert!(cluster.instance().overlay().online().is_empty());
    // Its owner takes it away.
    tank.delete_job(&key("default", NAME), Propagation::Background).expect("it is there");
    wait(&mut tank, 120);
    assert_eq!((parallelism(&tank), refusal(&tank)), (Some(2), String::new()));
}

#[test]
fn a_name_is_one_minicluster() {
    let mut tank = tank();
    apply(&mut tank, &key("default", NAME), spec(None)).expect("it keeps all rules");
    let error = apply(&mut tank, &key("other", NAME), spec(None)).expect_err("the name is taken");
    assert!(error.to_string().contains("metadata.namespace: other: "), "{error}");
    let shared = MiniClusterSpec { headless_name: Some(NAME.to_owned()), ..spec(None) };
    let error = apply(&mut tank, &key("default", "second"), shared).expect_err("the service is taken");
    assert!(error.to_string().contains("spec.network.headlessName: flux-sample: "), "{error}");
    apply(&mut tank, &key("default", "second"), spec(None)).expect("it has a service of its own");
}

#[test]
fn a_finished_cluster_cannot_be_resized_and_says_so() {
    let mut tank = tank();
    apply(&mut tank, &key("default", NAME), spec(Some("sleep 1"))).expect("it keeps all rules");
    wait(&mut tank, 120);
    assert!(tank.server().job_by_key(&key("default", NAME)).is_some_and(|job| job.is_finished()));
    tank.apply_to(|fleet, ctx| fleet.edit(NAME, |spec| spec.size = 3, ctx)).expect("a size like any other");
    wait(&mut tank, 60);
    assert_eq!(parallelism(&tank), Some(2));
    assert!(refusal(&tank).contains("has finished"), "{}", refusal(&tank));
}

#[test]
fn a_cluster_that_cleans_up_goes_with_its_lead() {
    let mut tank = tank();
    let spec = MiniClusterSpec { cleans_up: true, ..spec(Some("sleep 1")) };
    apply(&mut tank, &key("default", NAME), spec).expect("it keeps all rules");
    wait(&mut tank, 120);
    assert!(tank.application().get(NAME).is_none());
    assert_eq!(parallelism(&tank), None);
}

/// The original's lead would wait for the first size for ever (Flux spec A.8, quorum trap).
#[test]
fn a_lead_that_restarts_in_a_smaller_cluster_runs() {
    let mut tank = tank();
    let four = MiniClusterSpec { size: 4, ..spec(None) };
    apply(&mut tank, &key("default", NAME), four).expect("it keeps all rules");
    wait(&mut tank, 60);
    tank.apply_to(|fleet, ctx| fleet.edit(NAME, |spec| spec.size = 3, ctx)).expect("three of four");
    wait(&mut tank, 60);
    let lead = tank.server().pods().find(|pod| pod.index.get() == Some(0)).map(|pod| pod.uid);
    tank.delete_pod(lead.expect("a lead"), None).expect("it is there");
    wait(&mut tank, 180);
    let cluster = tank.application().get(NAME).expect("it is there");
    assert_eq!(cluster.instance().overlay().online().len(), 3);
    assert!(cluster.instance().runs());
    assert_eq!(cluster.status(tank.server()).conditions, ["Ready"]);
}

/// The lead ends with what its command ended with.
#[test]
fn a_command_that_fails_is_told_of() {
    for (command, conditions) in [("true", &[][..]), ("false", &["Degraded"])] {
        let mut tank = tank();
        let policy = RestartPolicy::Never;
        let spec = MiniClusterSpec { backoff_limit: Some(0), restart_policy: policy, ..spec(Some(command)) };
        apply(&mut tank, &key("default", NAME), spec).expect("it keeps all rules");
        wait(&mut tank, 120);
        assert!(tank.server().job_by_key(&key("default", NAME)).is_some_and(|job| job.is_finished()));
        let cluster = tank.application().get(NAME).expect("it is there");
        assert_eq!(cluster.status(tank.server()).conditions, conditions, "{command}");
    }
}
