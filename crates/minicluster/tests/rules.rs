//! Every rule of a MiniCluster, broken alone (Flux spec A.2): which field, what is in it, and what would be right.

use std::collections::BTreeMap;

use towtank_minicluster::spec::{BurstedCluster, ContainerSpec, MiniClusterSpec, Volume};
use towtank_model::objects::{Labels, RestartPolicy};

fn good() -> MiniClusterSpec {
    MiniClusterSpec {
        size: 4,
        max_size: Some(10),
        containers: vec![ContainerSpec {
            runs_flux: true,
            command: Some("sleep 1".to_owned()),
            ..ContainerSpec::default()
        }],
        ..MiniClusterSpec::default()
    }
}

fn sidecar(name: &str) -> ContainerSpec {
    ContainerSpec { name: Some(name.to_owned()), ..ContainerSpec::default() }
}

/// What is said of the good spec with one change.
fn texts(change: impl FnOnce(&mut MiniClusterSpec)) -> Vec<String> {
    let mut spec = good();
    change(&mut spec);
    spec.faults().iter().map(ToString::to_string).collect()
}

/// The same where it takes the place of the good one.
fn texts_after(change: impl FnOnce(&mut MiniClusterSpec)) -> Vec<String> {
    let mut spec = good();
    change(&mut spec);
    spec.faults_after(&good(), good().maximum()).iter().map(ToString::to_string).collect()
}

#[test]
fn the_good_spec_is_good() {
    assert_eq!(texts(|_| {}), [""; 0]);
    assert_eq!(texts_after(|_| {}), [""; 0]);
}

#[test]
fn sizes() {
    let none = "must be at least 1: delete the MiniCluster to have no pods";
    for size in [0, -1] {
        assert_eq!(texts(|spec| spec.size = size), [format!("spec.size: {size}: {none}")]);
    }
    assert_eq!(texts(|spec| spec.size = 11), ["spec.size: 11: must be no more than maxSize, 10"]);
    assert_eq!(
        texts(|spec| spec.max_size = Some(0)),
        ["spec.maxSize: 0: must be at least 1", "spec.size: 4: must be no more than maxSize, 0"]
    );
    assert_eq!(texts(|spec| spec.min_size = Some(-1)), ["spec.minSize: -1: must be at least 1"]);
    assert_eq!(texts(|spec| spec.min_size = Some(5)), ["spec.size: 4: must be no less than minSize, 5"]);
    assert_eq!(
        texts(|spec| (spec.size, spec.min_size) = (10, Some(11))),
        // One cause, one fault.
        ["spec.minSize: 11: must be no more than maxSize, 10"]
    );
    assert_eq!(
        texts(|spec| spec.max_size = Some(20_000)),
        ["spec.maxSize: 20000: at most 10000 ranks are played, these are 20000"]
    );
}

#[test]
fn the_job() {
    assert_eq!(texts(|spec| spec.backoff_limit = Some(-1)), ["spec.backoffLimit: -1: must not be negative"]);
    assert_eq!(texts(|spec| spec.backoff_limit = Some(0)), [""; 0]);
    assert_eq!(
        texts(|spec| spec.tasks = -1),
        ["spec.tasks: -1: must not be negative; 0 is one for each node"]
    );
    assert_eq!(texts(|spec| spec.deadline_s = 0), ["spec.deadlineSeconds: 0: must be at least 1"]);
    assert_eq!(
        texts(|spec| spec.restart_policy = RestartPolicy::Always),
        ["spec.pod.restartPolicy: Always: must be OnFailure or Never: the pods are a Job's"]
    );
}

#[test]
fn containers() {
    assert_eq!(texts(|spec| spec.containers.clear()), ["spec.containers: []: one container must run Flux"]);
    let exactly = "exactly one container must have runFlux: true";
    assert_eq!(
        texts(|spec| spec.containers.push(ContainerSpec { runs_flux: true, ..sidecar("b") })),
        [format!("spec.containers: 2 with runFlux: {exactly}")]
    );
    assert_eq!(
        texts(|spec| spec.containers = vec![sidecar("a"), sidecar("b")]),
        [format!("spec.containers: 0 with runFlux: {exactly}")]
    );
    assert_eq!(
        texts(|spec| spec.containers.push(ContainerSpec::default())),
        ["spec.containers[1].name: none: a container without Flux needs a name"]
    );
    assert_eq!(
        texts(|spec| spec.containers.extend([sidecar("a"), sidecar("a")])),
        ["spec.containers[2].name: a: another container has this name"]
    );
    let first = |change: fn(&mut ContainerSpec)| texts(|spec| spec.containers.iter_mut().for_each(change));
    assert_eq!(
        first(|it| (it.is_launcher, it.is_batch) = (true, true)),
        ["spec.containers[0].batch: true: a container is a launcher or a batch, not both"]
    );
    assert_eq!(
        first(|it| it.commands.script = Some("echo".to_owned())),
        ["spec.containers[0].commands.script: echo: stands in the place of command: write one of the two"]
    );
    assert_eq!(first(|it| it.is_batch_raw = true), ["spec.containers[0].batchRaw: true: needs batch: true"]);
    assert_eq!(
        first(|it| (it.command, it.is_launcher) = (None, true)),
        ["spec.containers[0].launcher: true: needs a command, and Flux in the same container"]
    );
}

#[test]
fn volumes() {
    let with = |volume: Volume| {
        texts(|spec| {
            for container in &mut spec.containers {
                container.volumes = BTreeMap::from([("data".to_owned(), volume.clone())]);
            }
        })
    };
    let some = |text: &str| Some(text.to_owned());
    let why = "needs a path: where in the container it is mounted";
    assert_eq!(
        with(Volume { claim_name: some("claim"), ..Volume::default() }),
        [format!("spec.containers[0].volumes.data.claimName: claim: {why}")]
    );
    assert_eq!(
        with(Volume { host_path: some("/data"), ..Volume::default() }),
        [format!("spec.containers[0].volumes.data.hostPath: /data: {why}")]
    );
    assert_eq!(with(Volume { claim_name: some("claim"), path: some("/data"), ..Volume::default() }), [""; 0]);
}

#[test]
fn services() {
    assert_eq!(
        texts(|spec| spec.services.push(ContainerSpec::default())),
        ["spec.services[0].name: none: a service needs a name"]
    );
    assert_eq!(
        texts(|spec| spec.services.extend([sidecar("a"), sidecar("a")])),
        ["spec.services[1].name: a: another container has this name"]
    );
    let why = "a service runs no Flux: commands.servicePre is what runs first in it";
    type Set = fn(&mut ContainerSpec);
    let cases: [(&str, Set); 3] = [
        ("pre", |it| it.commands.pre = Some("x".to_owned())),
        ("brokerPre", |it| it.commands.broker_pre = Some("x".to_owned())),
        ("workerPre", |it| it.commands.worker_pre = Some("x".to_owned())),
    ];
    for (field, set) in cases {
        let mut service = sidecar("a");
        set(&mut service);
        assert_eq!(
            texts(|spec| spec.services.push(service)),
            [format!("spec.services[0].commands.{field}: x: {why}")]
        );
    }
}

#[test]
fn flux() {
    let why = "must be fcfs, easy, hybrid or conservative";
    for is_simple in [false, true] {
        assert_eq!(
            texts(|spec| {
                spec.queue_policy = Some("banana".to_owned());
                spec.is_scheduler_simple = is_simple;
            }),
            [format!("spec.flux.scheduler.queuePolicy: banana: {why}")]
        );
    }
    assert_eq!(
        texts(|spec| spec.topology = Some("ring".to_owned())),
        ["spec.flux.topology: ring: must be `kary:K` or `flat`"]
    );
    let burst = |name: &str, size| BurstedCluster { name: Some(name.to_owned()), size };
    assert_eq!(
        texts(|spec| {
            spec.bursting.hostlist = Some("a,b".to_owned());
            spec.bursting.clusters.push(burst("b", None));
        }),
        ["spec.flux.bursting.hostlist: a,b: names all hosts, and so do clusters: write one of the two"]
    );
    assert_eq!(
        texts(|spec| spec.bursting.clusters.extend([burst("b", Some(-1)), burst("b", None)])),
        [
            "spec.flux.bursting.clusters[0].size: -1: must be at least 1",
            "spec.flux.bursting.clusters[1].name: b: another cluster has this name"
        ]
    );
}

/// What Job, script and brokers took when they were made stays as it is: another value is refused, not ignored.
#[test]
fn what_cannot_change() {
    type Change = fn(&mut MiniClusterSpec);
    let labels = || Labels::from([("a".into(), "b".into())]);
    let cases: [(&str, Change); 16] = [
        ("spec.maxSize", |spec| spec.max_size = Some(12)),
        ("spec.maxSize", |spec| spec.max_size = None),
        ("spec.tasks", |spec| spec.tasks = 2),
        ("spec.interactive", |spec| spec.is_interactive = true),
        ("spec.backoffLimit", |spec| spec.backoff_limit = Some(3)),
        ("spec.deadlineSeconds", |spec| spec.deadline_s = 3),
        ("spec.logging.strict", |spec| spec.is_strict = true),
        ("spec.pod.restartPolicy", |spec| spec.restart_policy = RestartPolicy::Never),
        ("spec.network.headlessName", |spec| spec.headless_name = Some("flux".to_owned())),
        ("spec.flux.completeWorkers", |spec| spec.completes_workers = true),
        ("spec.flux.topology", |spec| spec.topology = Some("kary:2".to_owned())),
        ("spec.flux.scheduler.queuePolicy", |spec| spec.queue_policy = Some("easy".to_owned())),
        ("spec.flux.scheduler.simple", |spec| spec.is_scheduler_simple = true),
        ("spec.flux.bursting", |spec| spec.bursting.clusters.push(BurstedCluster::default())),
        ("spec.containers", |spec| spec.containers.push(sidecar("a"))),
        ("spec.services", |spec| spec.services.push(sidecar("a"))),
    ];
    let refused = |field: &str, texts: &[String]| {
        let is_it =
            |text: &String| text.starts_with(&format!("{field}: ")) && text.contains(": cannot change: ");
        assert!(matches!(texts, [text] if is_it(text)), "{field}: {texts:?}");
    };
    for (field, change) in cases {
        refused(field, &texts_after(change));
    }
    refused("spec.jobLabels", &texts_after(|spec| spec.job_labels = labels()));
    refused("spec.pod.labels", &texts_after(|spec| spec.pod_labels = labels()));
    let first =
        |change: fn(&mut ContainerSpec)| texts_after(|spec| spec.containers.iter_mut().for_each(change));
    refused("spec.containers[0].command", &first(|it| it.command = Some("sleep 2".to_owned())));
    refused("spec.containers[0]", &first(|it| it.image = "other".to_owned()));
    let other = || ("pod.nodeSelector.zone".to_owned(), "\"a\"".to_owned());
    refused("spec.pod.nodeSelector.zone", &texts_after(|spec| spec.others = BTreeMap::from([other()])));
    for change in [
        (|spec| spec.size = 10) as Change,
        |spec| spec.size = 1,
        |spec| spec.min_size = Some(2),
        |spec| spec.cleans_up = true,
    ] {
        assert_eq!(texts_after(change), [""; 0]);
    }
}
