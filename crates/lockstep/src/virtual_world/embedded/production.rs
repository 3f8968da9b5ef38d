//! What is above the Job controller where the production operator is: an API server, in which it and the users write, and the brokers of the model in
//! the pods that it has really made. Whose API server it is makes no difference here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use towtank_minicluster::brokers::{self, Brokers};
use towtank_model::cluster::{ProcessFact, ProcessStep};
use towtank_model::objects::{Job, ObjectKey, Pod, Uid};
use towtank_model::server::{Change, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;

use super::boot::{self, Sources};

/// What the objects of a world are read from and written to: an API server, of which the user is a client.
pub trait Api {
    /// The object of this name as it is stored now.
    fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a kind.
    fn objects(&self, group: &str, plural: &str) -> Vec<Arc<Value>>;
    /// Carries out a request of the user's, who may do everything.
    ///
    /// # Errors
    ///
    /// There is no answer.
    fn send(&mut self, request: Request<Bytes>, ctx: &mut Context<'_>) -> Result<Response<Bytes>, String>;
    /// Rows have changed.
    fn follow(&mut self, _ctx: &mut Context<'_>) {}
}

/// An API server, and the brokers in the pods.
pub struct Production<A> {
    pub(super) api: A,
    pub(super) brokers: Brokers,
    /// The Jobs whose pods run Flux.
    jobs: BTreeMap<Uid, Served>,
    /// What the pods of a MiniCluster found that was wrong.
    pub(super) faults: BTreeMap<Arc<str>, String>,
}

/// A Job that a MiniCluster owns.
struct Served {
    key: ObjectKey,
    minicluster: Arc<str>,
    sources: Sources,
    /// The ConfigMap that was read last, and whether there were names of hosts.
    read: Option<(Arc<Value>, bool)>,
}

/// Group, version and plural of the resource.
pub(super) const MINICLUSTERS: &str = "/apis/flux-framework.org/v1alpha2";

impl<A: Api> Production<A> {
    /// Without any object.
    pub fn new(api: A, settings: brokers::Settings) -> Self {
        Self { api, brokers: Brokers::new(settings), jobs: BTreeMap::new(), faults: BTreeMap::new() }
    }

    /// A Job has been made: its pods run Flux if a MiniCluster owns it.
    fn job_created(&mut self, job: &Job, ctx: &mut Context<'_>) {
        let object = self.api.object("batch", "jobs", &job.key.namespace, &job.key.name);
        let Some(object) = object else { return };
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| owner["kind"] == "MiniCluster");
        let name = owner.and_then(|owner| owner["name"].as_str()).map(Arc::<str>::from);
        let (Some(minicluster), Some(sources)) = (name, Sources::of(&object)) else { return };
        let served =
            Served { key: job.key.clone(), minicluster: Arc::clone(&minicluster), sources, read: None };
        self.jobs.insert(job.uid, served);
        self.look_into(job.uid, ctx);
        self.brokers.serve(&minicluster, job.uid);
    }

    /// Reads what the pods of a Job have mounted, as it is now.
    fn look_into(&mut self, job: Uid, ctx: &mut Context<'_>) {
        let Some(served) = self.jobs.get(&job) else { return };
        let stored = |plural: &str, name: &str| self.api.object("", plural, &served.key.namespace, name);
        let service = stored("services", &served.sources.service);
        let config_map = stored("configmaps", &served.sources.config_map);
        let Some(served) = self.jobs.get_mut(&job) else { return };
        let has_dns = service.is_some_and(|service| served.sources.are_found_by(&service));
        // A pod that mounts a ConfigMap which is not there does not start.
        let Some(config_map) = config_map else { return };
        let found = Some((Arc::clone(&config_map), has_dns));
        if std::mem::replace(&mut served.read, found.clone()) == found {
            return;
        }
        let name = Arc::clone(&served.minicluster);
        let runs_entrypoint = served.sources.runs_entrypoint;
        match boot::read(&served.key.name, &config_map, runs_entrypoint, has_dns) {
            Ok(boot) => {
                self.faults.remove(&name);
                self.brokers.put(&name, boot, ctx);
            }
            Err(fault) => drop(self.faults.insert(name, fault)),
        }
    }

    /// The Job of a pod, if its pods run Flux.
    fn job_of(pod: &Pod) -> Option<Uid> {
        pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.uid)
    }
}

impl<A: Api> Application for Production<A> {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        self.api.follow(ctx);
        match change {
            Change::Job(Versions { old: None, new: Some(job) }) => self.job_created(job, ctx),
            Change::Job(Versions { old: Some(job), new: None }) => {
                if let Some(gone) = self.jobs.remove(&job.uid) {
                    let is_served = |served: &Served| served.minicluster == gone.minicluster;
                    if !self.jobs.values().any(is_served) {
                        self.brokers.remove(&gone.minicluster);
                    }
                }
            }
            _ => {}
        }
        self.brokers.observe(change, ctx);
    }

    fn drives(&self, pod: &Pod) -> bool {
        self.brokers.drives(pod)
    }

    fn probes(&self, pod: &Pod) -> bool {
        self.brokers.probes(pod)
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        if fact.step == ProcessStep::Started
            && let Some(job) = ctx.server.pod(fact.pod).and_then(|pod| Self::job_of(pod))
        {
            self.look_into(job, ctx);
        }
        self.brokers.process(fact, ctx);
    }

    fn next_time(&self) -> Option<Time> {
        self.brokers.next_time()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        self.brokers.fire(ctx);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        self.brokers.take_exits()
    }

    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        self.brokers.take_readiness()
    }
}
