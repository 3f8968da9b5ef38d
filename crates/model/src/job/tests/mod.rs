//! The controller's handlers on deliveries made by hand: nothing is stored and no worker runs.

mod handlers;

use std::sync::Arc;
use std::time::Duration;

use super::informer::KeyId;
use super::{ControllerConfig, JobController};
use crate::engine::{EventQueue, RandomStreams};
use crate::objects::*;
use crate::server::{Change, Server, Versions};
use crate::simulation::{Context, Controller as _, Event};
use crate::time::Time;
use crate::version::{Features, KubernetesVersion};

/// A controller whose workers never start.
struct Rig {
    controller: JobController,
    events: EventQueue<Event>,
    server: Server,
    random: RandomStreams,
    jobs: u32,
    pods: u32,
    version: ResourceVersion,
}

impl Rig {
    fn new(minor: u16) -> Self {
        let features = Features::of(KubernetesVersion::from_minor(minor).unwrap());
        let config =
            ControllerConfig { cache_sync_delay: Duration::from_secs(1_000_000), ..Default::default() };
        let mut rig = Self {
            controller: JobController::new(config, features, false),
            events: EventQueue::default(),
            server: Server::new(features, false),
            random: RandomStreams::new(1),
            jobs: 0,
            pods: 0,
            version: 0,
        };
        rig.with(|controller, ctx| controller.start(ctx));
        rig
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut JobController, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context {
            now: self.events.now(),
            events: &mut self.events,
            server: &mut self.server,
            random: &mut self.random,
        };
        act(&mut self.controller, &mut ctx)
    }

    /// A change arrives at once.
    fn deliver(&mut self, change: &Change) {
        self.with(|controller, ctx| controller.observe(change, ctx));
        let now = self.events.now();
        while let Some((_, Event::Controller(event))) = self.events.pop_until(now) {
            self.with(|controller, ctx| controller.handle(event, ctx));
        }
    }

    fn next_version(&mut self) -> ResourceVersion {
        self.version += 1;
        self.version
    }

    /// Delivers a new Job and empties the queue.
    fn add_job(&mut self, name: &str, edit: impl FnOnce(&mut Job)) -> Arc<Job> {
        let mut job = job(name, Uid(self.jobs));
        self.jobs += 1;
        job.resource_version = self.next_version();
        edit(&mut job);
        let job = Arc::new(job);
        self.deliver_job(None, Some(&job));
        assert_eq!(self.take_ready(), [name], "a new Job is synced at once");
        job
    }

    fn update_job(&mut self, old: &Arc<Job>, edit: impl FnOnce(&mut Job)) -> Arc<Job> {
        let mut new = Job::clone(old);
        new.resource_version = self.next_version();
        edit(&mut new);
        let new = Arc::new(new);
        self.deliver_job(Some(old), Some(&new));
        new
    }

    fn deliver_job(&mut self, old: Option<&Arc<Job>>, new: Option<&Arc<Job>>) {
        let change = Change::Job(Versions { old: old.cloned(), new: new.cloned() });
        self.deliver(&change);
    }

    /// Delivers a new pod of `owner`.
    fn add_pod(&mut self, owner: &Job, edit: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let mut pod = pod(owner, Uid(self.pods));
        self.pods += 1;
        pod.resource_version = self.next_version();
        edit(&mut pod);
        let pod = Arc::new(pod);
        self.deliver_pod(None, Some(&pod));
        pod
    }

    fn update_pod(&mut self, old: &Arc<Pod>, edit: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let mut new = Pod::clone(old);
        new.resource_version = self.next_version();
        edit(&mut new);
        let new = Arc::new(new);
        self.deliver_pod(Some(old), Some(&new));
        new
    }

    fn deliver_pod(&mut self, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>) {
        let change = Change::Pod(Versions { old: old.cloned(), new: new.cloned() });
        self.deliver(&change);
    }

    /// Names of the Jobs that are ready to be synced; they count as synced then.
    fn take_ready(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(key) = self.controller.pool.queue().take() {
            self.controller.pool.queue().done(key);
            names.push(self.name_of(KeyId(key)));
        }
        names
    }

    /// Names of the Jobs that wait in the delay heap, with the times left; they count as synced then.
    fn take_waiting(&mut self) -> Vec<(String, Duration)> {
        let now = self.events.now();
        let mut waiting = Vec::new();
        for key in 0..self.jobs {
            if let Some(until) = self.controller.pool.queue().waiting_until(key) {
                self.controller.pool.queue().due(until, key);
                waiting.push((self.name_of(KeyId(key)), until - now));
            }
        }
        self.take_ready();
        waiting
    }

    fn name_of(&self, key: KeyId) -> String {
        self.controller.jobs.get(key).map_or_else(|| "gone".to_owned(), |job| job.key.name.to_string())
    }

    /// Keys on the orphan queue.
    fn take_orphans(&mut self) -> usize {
        let queue = self.controller.orphans.pool.queue();
        let keys: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        for &key in &keys {
            queue.done(key);
        }
        keys.len()
    }

    fn wait(&mut self, duration: Duration) {
        let to = self.events.now() + duration;
        while self.events.pop_until(to).is_some() {}
        self.events.advance_to(to);
    }
}

fn labels(key: &str, value: &str) -> Arc<Labels> {
    Arc::new(Labels::from([(key.into(), value.into())]))
}

/// A NonIndexed Job with the selector of upstream's tests, which all their Jobs share.
fn job(name: &str, uid: Uid) -> Job {
    let spec = PodSpec { restart_policy: RestartPolicy::Never, ..PodSpec::default() };
    let template = PodTemplate {
        labels: labels("foo", "bar"),
        annotations: Arc::default(),
        finalizers: Arc::new([]),
        spec: Arc::new(spec),
    };
    Job {
        key: ObjectKey::new("default", name),
        uid,
        resource_version: 0,
        generation: 1,
        labels: Arc::default(),
        creation_time: Time::ZERO,
        deletion_time: None,
        finalizers: Vec::new(),
        spec: JobSpec {
            parallelism: 1,
            completions: Some(1),
            completion_mode: CompletionMode::NonIndexed,
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            pod_replacement_policy: None,
            pod_failure_policy: None,
            success_policy: None,
            managed_by: None,
            manual_selector: Some(false),
            selector: labels("foo", "bar"),
            template: Arc::new(template),
        },
        status: JobStatus::default(),
    }
}

fn pod(owner: &Job, uid: Uid) -> Pod {
    Pod {
        key: ObjectKey::new("default", format!("pod{}", uid.0)),
        uid,
        resource_version: 0,
        labels: Arc::clone(&owner.spec.template.labels),
        owner: Some(owner_reference(owner)),
        index: PodIndex::Absent,
        index_failure_count: None,
        index_ignored_failure_count: None,
        tracked: true,
        foreign_finalizers: Arc::new([]),
        creation_time: Time::ZERO,
        deletion: None,
        spec: Arc::clone(&owner.spec.template.spec),
        node: None,
        status: PodStatus::default(),
    }
}

fn owner_reference(job: &Job) -> OwnerReference {
    OwnerReference { is_job: true, name: Arc::clone(&job.key.name), uid: job.uid }
}

fn complete(job: &mut Job) {
    job.status.conditions.push(JobCondition {
        kind: JobConditionType::Complete,
        status: ConditionStatus::True,
        reason: "".into(),
        message: "".into(),
        last_transition_time: Time::ZERO,
    });
}
