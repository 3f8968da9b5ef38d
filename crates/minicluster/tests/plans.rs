//! What the two operators do about a size, as pure functions: the rows of Flux spec A.8, and some of A.11.

use std::sync::Arc;

use towtank_minicluster::operator::{Observed, Operator, Plan, Status, Write};
use towtank_minicluster::spec::{ContainerSpec, MiniClusterSpec};
use towtank_model::objects::{Job, ObjectKey};
use towtank_model::server::{Actor, JobManifest, Server};
use towtank_model::time::Time;
use towtank_model::version::{Features, KubernetesVersion};

fn key() -> ObjectKey {
    ObjectKey::new("default", "flux-sample")
}

fn spec(size: i32) -> MiniClusterSpec {
    MiniClusterSpec {
        size,
        is_interactive: true,
        containers: vec![ContainerSpec { runs_flux: true, ..ContainerSpec::default() }],
        ..MiniClusterSpec::default()
    }
}

/// The Job that an operator makes of a spec.
fn made(operator: Operator, spec: &MiniClusterSpec) -> JobManifest {
    let plan = plan(operator, spec, &Status::default(), None);
    let created = |write: &Write| match write {
        Write::CreateJob(manifest) => Some(JobManifest::clone(manifest)),
        _ => None,
    };
    plan.writes.iter().find_map(created).expect("it makes a Job")
}

/// The same as it is stored, of this size.
fn stored(size: i32) -> Arc<Job> {
    let mut server = Server::new(Features::of(KubernetesVersion::NEWEST), false);
    let manifest = made(Operator::Contract, &spec(size));
    server.create_job(Time::ZERO, Actor::Operator, key(), &manifest).expect("a Job")
}

fn plan(operator: Operator, spec: &MiniClusterSpec, status: &Status, job: Option<&Job>) -> Plan {
    let observed = Observed {
        key: &key(),
        spec,
        status,
        has_script: job.is_some(),
        job,
        is_own: true,
        pods: Vec::new(),
    };
    operator.plan(&observed)
}

/// What it does about a wanted size, where the Job has another and the maximum is this; in few words.
fn writes(operator: Operator, spec: &MiniClusterSpec, now: i32, maximum: i32) -> Vec<String> {
    let conditions = vec!["JobMiniClusterReady"];
    let status = Status { maximum_size: maximum, conditions, ..Status::default() };
    let told = |write: &Write| match write {
        Write::UpdateJob(job) => format!("job {:?}", job.parallelism.zip(job.completions)),
        Write::Size(size) => format!("spec.size {size}"),
        Write::Status(status) => format!("status.size {}", status.size),
        other => format!("{other:?}"),
    };
    plan(operator, spec, &status, Some(&stored(now))).writes.iter().map(told).collect()
}

#[test]
fn the_table_of_the_original() {
    let of = |spec: &MiniClusterSpec, now, maximum| writes(Operator::Upstream, spec, now, maximum);
    // S == 0, and rules that are not kept: nothing at all.
    assert_eq!(of(&spec(0), 4, 10), [""; 0]);
    assert_eq!(of(&MiniClusterSpec { min_size: Some(3), ..spec(2) }, 4, 10), [""; 0]);
    assert_eq!(of(&MiniClusterSpec { max_size: Some(10), ..spec(11) }, 4, 10), [""; 0]);
    assert_eq!(of(&MiniClusterSpec { backoff_limit: Some(-1), ..spec(3) }, 4, 10), [""; 0]);
    // 0 is the same as no maximum and no minimum.
    let zeros = MiniClusterSpec { max_size: Some(0), min_size: Some(0), ..spec(3) };
    assert_eq!(of(&zeros, 4, 10), ["job Some((3, 3))", "status.size 3"]);
    // S < 0: the status alone.
    assert_eq!(of(&spec(-1), 4, 10), ["status.size 4"]);
    // S > M: the size is taken back, and the next reconcile grows to it.
    assert_eq!(of(&spec(5), 4, 4), ["spec.size 4"]);
    assert_eq!(of(&spec(5), 3, 4), ["spec.size 4"]);
    assert_eq!(of(&spec(4), 3, 4), ["job Some((4, 4))", "status.size 4"]);
    // S == P: the status keeps what it said.
    assert_eq!(of(&spec(4), 4, 10), [""; 0]);
    // Growing and shrinking.
    assert_eq!(of(&spec(6), 4, 10), ["job Some((6, 6))", "status.size 6"]);
    assert_eq!(of(&spec(1), 4, 10), ["job Some((1, 1))", "status.size 1"]);
}

#[test]
fn the_contract_writes_the_job_and_nothing_else() {
    let of = |size, now| writes(Operator::Contract, &spec(size), now, 10);
    assert_eq!(of(4, 4), [""; 0]);
    assert_eq!(of(6, 4), ["job Some((6, 6))"]);
    assert_eq!(of(1, 4), ["job Some((1, 1))"]);
}

#[test]
fn the_back_off_limit() {
    for (operator, limit, expected) in [
        (Operator::Contract, Some(0), 0),
        (Operator::Contract, None, 100),
        (Operator::Contract, Some(3), 3),
        (Operator::Upstream, Some(0), 100),
        (Operator::Upstream, None, 100),
        (Operator::Upstream, Some(3), 3),
    ] {
        let spec = MiniClusterSpec { backoff_limit: limit, ..spec(2) };
        assert_eq!(made(operator, &spec).backoff_limit, Some(expected), "{operator:?} {limit:?}");
    }
}

/// A.5: by the contract the size at the creation, or minSize, and never more than is wanted now.
#[test]
fn the_quorum() {
    let burst = towtank_minicluster::spec::BurstedCluster { name: None, size: Some(3) };
    let mut bursting = spec(4);
    bursting.bursting.clusters.push(burst);
    let cases = [
        (spec(4), 4, 4, 4),
        (spec(4), 3, 3, 4),
        (MiniClusterSpec { max_size: Some(10), ..spec(4) }, 6, 4, 4),
        (MiniClusterSpec { min_size: Some(2), ..spec(4) }, 4, 2, 2),
        (bursting, 4, 4, 7),
    ];
    for (made, size, contract, upstream) in cases {
        assert_eq!(Operator::Contract.quorum(&made, size), contract, "{made:?}");
        assert_eq!(Operator::Upstream.quorum(&made, size), upstream, "{made:?}");
    }
}

/// The original stores anything, but what would fill the memory of whoever plays it.
#[test]
fn what_is_stored() {
    let refused = |operator: Operator, spec: &MiniClusterSpec| !operator.refuse(spec, None).is_empty();
    for size in [0, -1, i32::MIN] {
        assert!(refused(Operator::Contract, &spec(size)), "{size}");
        assert!(!refused(Operator::Upstream, &spec(size)), "{size}");
    }
    let mut bursting = spec(1);
    let huge = towtank_minicluster::spec::BurstedCluster { name: None, size: Some(i32::MAX) };
    bursting.bursting.clusters = vec![huge.clone(), huge];
    for spec in [spec(i32::MAX), MiniClusterSpec { max_size: Some(i32::MAX), ..spec(1) }, bursting] {
        assert!(refused(Operator::Contract, &spec));
        assert!(refused(Operator::Upstream, &spec));
    }
}

#[test]
fn the_original_has_fewer_rules_and_looks_again_for_ever() {
    let with = |change: fn(&mut ContainerSpec)| {
        let mut wrong = spec(2);
        wrong.containers.iter_mut().for_each(change);
        wrong
    };
    let upstream = |spec: &MiniClusterSpec| plan(Operator::Upstream, spec, &Status::default(), None);
    // Rules of both (A.2): nothing is made, and nobody looks again.
    let both = with(|container| (container.is_launcher, container.is_batch) = (true, true));
    assert_eq!(upstream(&both), Plan::default());
    // Rules of this project alone.
    for own in
        [with(|container| container.is_batch_raw = true), with(|container| container.is_launcher = true)]
    {
        assert!(!own.faults().is_empty());
        assert!(upstream(&own).writes.iter().any(|write| matches!(write, Write::CreateJob(_))));
        assert!(upstream(&own).requeues);
    }
    assert!(!plan(Operator::Contract, &spec(2), &Status::default(), None).requeues);
}
