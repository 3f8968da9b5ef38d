//! Tests of the store: what each write leaves behind, and what it refuses.

mod events;
mod jobs;
mod pods;
mod properties;

use std::sync::Arc;

use super::*;
use crate::engine::RandomStreams;
use crate::objects::{CompletionMode, Container, JobStatus, Labels, PodSpec, PodTemplate, RestartPolicy};
use crate::time::Time;
use crate::version::KubernetesVersion;

/// A store of this version that keeps a trace.
fn server(minor: u16) -> Server {
    Server::new(Features::of(KubernetesVersion::from_minor(minor).unwrap()), true)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn pod_spec() -> Arc<PodSpec> {
    Arc::new(PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![Container { name: "main".into(), cpu_request_milli: 100, is_sidecar: false }],
        ..PodSpec::default()
    })
}

fn template(finalizers: &[&str]) -> Arc<PodTemplate> {
    Arc::new(PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: finalizers.iter().map(|&finalizer| finalizer.into()).collect(),
        spec: pod_spec(),
    })
}

/// An elastic Job of three indexes.
fn elastic(finalizers: &[&str]) -> JobManifest {
    JobManifest {
        completions: Some(3),
        parallelism: Some(3),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(template(finalizers)),
        ..JobManifest::default()
    }
}

fn created(server: &mut Server, name: &str) -> Arc<Job> {
    server.create_job(Time::ZERO, Actor::User, key(name), &elastic(&[])).unwrap()
}

const DRAFT: PodDraft =
    PodDraft { index: Some(0), index_failure_count: None, index_ignored_failure_count: None };

fn pod_of(server: &mut Server, job: &Job, now: Time) -> Arc<Pod> {
    server.create_job_pod(now, Actor::JobController, job, DRAFT, &mut RandomStreams::new(1)).unwrap()
}

/// The changes since the last call, in short: `+pod`, `~job`, `-node`.
fn changes(server: &mut Server) -> Vec<String> {
    fn short<T>(kind: &str, versions: &Versions<T>) -> String {
        let sign = match (&versions.old, &versions.new) {
            (None, Some(_)) => "+",
            (Some(_), Some(_)) => "~",
            (Some(_), None) => "-",
            (None, None) => "?",
        };
        format!("{sign}{kind}")
    }
    let changes = server.take_changes();
    changes
        .iter()
        .map(|change| match change {
            Change::Pod(versions) => short("pod", versions),
            Change::Job(versions) => short("job", versions),
            Change::Node(versions) => short("node", versions),
        })
        .collect()
}

#[test]
fn tables_are_read_by_uid_and_by_name_in_order_of_creation() {
    let mut server = server(36);
    let first = created(&mut server, "b");
    let second = created(&mut server, "a");
    assert_eq!((first.uid, second.uid), (Uid(0), Uid(1)));
    assert_eq!((first.resource_version, second.resource_version), (1, 2));
    assert_eq!(server.job(Uid(1)), Some(&second));
    assert_eq!(server.job_by_key(&key("b")), Some(&first));
    assert_eq!(server.jobs().map(|job| &*job.key.name).collect::<Vec<_>>(), ["b", "a"]);

    server.delete_job(Time::ZERO, Actor::User, &key("b"), Propagation::Background).unwrap();
    assert_eq!((server.job(Uid(0)), server.job_by_key(&key("b"))), (None, None));
    assert_eq!(server.jobs.names_len(), 1, "no name is left behind");
    assert_eq!(created(&mut server, "b").uid, Uid(2), "a uid is never used twice");
    assert_eq!(server.job(Uid(99)), None);
}

#[test]
fn nodes() {
    let mut server = server(36);
    let id = server.create_node(Time::ZERO, Actor::User, "node-0", Labels::new(), 4_000, 110).unwrap();
    let again = server.create_node(Time::ZERO, Actor::User, "node-0", Labels::new(), 1, 1);
    assert!(matches!(again, Err(ApiError::AlreadyExists { kind: "nodes", .. })));
    assert_eq!(changes(&mut server), ["+node"]);

    server.update_node(Time::ZERO, Actor::NodeLifecycle, id, |node| node.is_ready = true).unwrap();
    assert_eq!(changes(&mut server), [""; 0], "nothing changed");
    server.update_node(Time::ZERO, Actor::NodeLifecycle, id, |node| node.is_ready = false).unwrap();
    server.delete_node(Time::ZERO, Actor::User, id).unwrap();
    assert_eq!(changes(&mut server), ["~node", "-node"]);
    assert!(matches!(server.delete_node(Time::ZERO, Actor::User, id), Err(ApiError::NotFound { .. })));
    let next = server.create_node(Time::ZERO, Actor::User, "node-0", Labels::new(), 1, 1).unwrap();
    assert_eq!((next, server.nodes().count()), (NodeId(1), 1));
}

#[test]
fn a_terminating_namespace_refuses_creation_only() {
    let mut server = server(36);
    let job = created(&mut server, "a");
    let pod = pod_of(&mut server, &job, Time::ZERO);
    server.terminate_namespace("default");
    let mut random = RandomStreams::new(1);
    let refused = server.create_job_pod(Time::ZERO, Actor::JobController, &job, DRAFT, &mut random);
    assert_eq!(refused, Err(ApiError::NamespaceTerminating("default".into())));
    let refused = server.create_job(Time::ZERO, Actor::User, key("b"), &elastic(&[]));
    assert_eq!(refused, Err(ApiError::NamespaceTerminating("default".into())));
    server.create_job(Time::ZERO, Actor::User, ObjectKey::new("other", "b"), &elastic(&[])).unwrap();
    let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
    server.patch_pod(Time::ZERO, Actor::JobController, pod.uid, &patch).unwrap();
    server.delete_pod(Time::ZERO, Actor::JobController, pod.uid, None).unwrap();
    assert_eq!(server.pods().count(), 0);
}

#[test]
fn the_trace_tells_changes_and_refusals() {
    let mut server = server(36);
    created(&mut server, "a");
    let at = Time::from_secs(3);
    let again = server.create_job(at, Actor::User, key("a"), &elastic(&[]));
    let error = again.unwrap_err();
    assert_eq!(error, ApiError::AlreadyExists { kind: "jobs", key: key("a") });
    let trace = server.take_trace();
    assert!(matches!(&trace[0].fact, Fact::Changed(Verb::Create, Change::Job(_))));
    let refusal = Fact::Refused(Verb::Create, key("a"), error);
    assert_eq!(trace[1], TraceEntry { at, actor: Actor::User, fact: refusal });
    assert_eq!((trace.len(), server.take_trace().len()), (2, 0));

    let mut silent = Server::new(*server.features(), false);
    created(&mut silent, "a");
    assert_eq!((silent.keeps_trace(), silent.take_trace().len()), (false, 0));
}
