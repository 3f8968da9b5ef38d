//! The cluster without a Job controller: pods made by hand, and what becomes of them.

mod deletion;
mod garbage;
mod kubelets;
mod nodes;
mod property;
mod scheduling;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::engine::{EventQueue, RandomStreams};
use crate::objects::{
    Container, ContainerState, ContainerStatus, ObjectKey, Pod, PodPhase, PodSpec, READY, RestartPolicy,
    Termination, Toleration,
};
use crate::server::{PodManifest, Server, Versions};
use crate::time::Time;
use crate::version::{Features, KubernetesVersion};

/// A cluster with its store and its queue.
struct Bench {
    cluster: Cluster,
    server: Server,
    events: EventQueue<Event>,
    random: RandomStreams,
    /// Every change of a pod, with its time.
    history: Vec<(Time, Versions<Pod>)>,
    /// Events that were handled.
    handled: u64,
}

impl Bench {
    fn new(config: ClusterConfig) -> Self {
        Self::with_version(config, 36)
    }

    fn with_version(config: ClusterConfig, minor: u16) -> Self {
        let version = KubernetesVersion::from_minor(minor).unwrap();
        let mut bench = Self {
            cluster: Cluster::new(config),
            server: Server::new(Features::of(version), false),
            events: EventQueue::default(),
            random: RandomStreams::new(7),
            history: Vec::new(),
            handled: 0,
        };
        bench.act(|cluster, ctx| cluster.start(ctx).unwrap());
        bench
    }

    /// Does something now, and everything that follows at this instant without an event.
    fn act<R>(&mut self, action: impl FnOnce(&mut Cluster, &mut Context<'_>) -> R) -> R {
        let now = self.events.now();
        let mut ctx =
            Context { now, events: &mut self.events, server: &mut self.server, random: &mut self.random };
        let result = action(&mut self.cluster, &mut ctx);
        loop {
            let changes = ctx.server.take_changes();
            if changes.is_empty() {
                return result;
            }
            for change in changes {
                self.cluster.observe(&change, &mut ctx);
                if let Change::Pod(versions) = change {
                    self.history.push((now, versions));
                }
            }
        }
    }

    /// Runs until this instant.
    fn run_to(&mut self, limit: Time) {
        while let Some((_, Event::Cluster(event))) = self.events.pop_until(limit) {
            self.handled += 1;
            self.act(|cluster, ctx| cluster.handle(event, ctx));
        }
        self.events.advance_to(limit);
    }

    fn run_for(&mut self, length: Duration) {
        self.run_to(self.events.now() + length);
    }

    fn run_for_secs(&mut self, secs: u64) {
        self.run_for(Duration::from_secs(secs));
    }

    fn create(&mut self, name: &str, spec: PodSpec) -> Uid {
        self.create_shared(name, &Arc::new(spec))
    }

    fn create_shared(&mut self, name: &str, spec: &Arc<PodSpec>) -> Uid {
        let manifest = PodManifest {
            labels: Labels::new(),
            annotations: Labels::new(),
            finalizers: Vec::new(),
            spec: Arc::clone(spec),
        };
        let key = ObjectKey::new("default", name);
        self.act(|_, ctx| ctx.server.create_pod(ctx.now, Actor::User, key, &manifest)).unwrap().uid
    }

    fn delete(&mut self, pod: Uid, grace_period_s: Option<u32>) {
        self.act(|_, ctx| ctx.server.delete_pod(ctx.now, Actor::User, pod, grace_period_s)).unwrap();
    }

    fn node(&mut self, name: &str, change: NodeChange) {
        self.act(|cluster, ctx| cluster.set_node(name, change, ctx)).unwrap();
    }

    fn pod(&self, pod: Uid) -> Option<&Pod> {
        self.server.pod(pod).map(|pod| &**pod)
    }

    fn phase(&self, pod: Uid) -> Option<PodPhase> {
        self.pod(pod).map(|pod| pod.status.phase)
    }

    /// The last state of a pod that is gone, or its present one.
    fn last(&self, pod: Uid) -> &Pod {
        let of_pod = |(_, versions): &&(Time, Versions<Pod>)| {
            versions.old.as_ref().or(versions.new.as_ref()).is_some_and(|version| version.uid == pod)
        };
        let (_, versions) = self.history.iter().rev().find(of_pod).unwrap();
        versions.new.as_ref().or(versions.old.as_ref()).unwrap()
    }

    /// When something about a pod became true for the first time.
    fn when(&self, pod: Uid, holds: impl Fn(&Pod) -> bool) -> Option<Time> {
        let hit = |(_, versions): &&(Time, Versions<Pod>)| {
            versions.new.as_ref().is_some_and(|version| version.uid == pod && holds(version))
        };
        self.history.iter().find(hit).map(|&(at, _)| at)
    }

    /// When a pod's object went.
    fn gone_at(&self, pod: Uid) -> Option<Time> {
        let hit = |(_, versions): &&(Time, Versions<Pod>)| {
            versions.new.is_none() && versions.old.as_ref().is_some_and(|version| version.uid == pod)
        };
        self.history.iter().find(hit).map(|&(at, _)| at)
    }
}

fn container(name: &str, cpu_request_milli: u32, is_sidecar: bool) -> Container {
    Container { name: name.into(), cpu_request_milli, is_sidecar }
}

/// A pod of one container.
fn spec(restart_policy: RestartPolicy) -> PodSpec {
    PodSpec { restart_policy, containers: vec![container("main", 0, false)], ..PodSpec::default() }
}

fn config(nodes: u32) -> ClusterConfig {
    ClusterConfig { nodes, ..ClusterConfig::default() }
}

fn profile(name: &str, nodes: u32) -> ClusterConfig {
    ClusterConfig { timing: TimingProfile::by_name(name).unwrap(), ..config(nodes) }
}

/// Every pod does this.
fn behaving(behaviour: Behaviour) -> ClusterConfig {
    let rule = WorkloadRule { job: None, indexes: None, incarnation: None, behaviour };
    ClusterConfig { workload: vec![rule], ..config(1) }
}

fn reason<'a>(pod: &'a Pod, kind: &str) -> Option<&'a str> {
    pod.condition(kind).map(|condition| &*condition.reason)
}

fn secs(secs: u64) -> Time {
    Time::from_secs(secs)
}

#[test]
fn events_stay_small() {
    assert!(size_of::<ClusterEvent>() <= 16, "{}", size_of::<ClusterEvent>());
}
