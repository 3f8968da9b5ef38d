//! What a running control plane does.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};
use towtank_control_plane::{Component, ControlPlane, ControlPlaneError};

use crate::{config, ensure, eventually};

/// A client of a control plane.
struct User {
    runtime: Runtime,
    client: Client,
}

impl User {
    fn of(kubeconfig: &Path) -> Result<Self, Failed> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
            let config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            Ok::<_, Failed>(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client })
    }

    /// The names of all namespaces; an error while the API server is away.
    fn namespaces(&self) -> Result<Vec<String>, kube::Error> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let list = self.runtime.block_on(namespaces.list(&ListParams::default()))?;
        Ok(list.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect())
    }

    fn create_job(&self, name: &str, pods: i32) -> Result<(), Failed> {
        let job = serde_json::json!({
            "metadata": {"name": name},
            "spec": {
                "completionMode": "Indexed", "completions": pods, "parallelism": pods,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}},
            },
        });
        let jobs = Api::<Job>::default_namespaced(self.client.clone());
        self.runtime.block_on(jobs.create(&PostParams::default(), &serde_json::from_value(job)?))?;
        Ok(())
    }

    fn pods_of(&self, job: &str) -> Result<Vec<Pod>, Failed> {
        let pods = Api::<Pod>::default_namespaced(self.client.clone());
        let of_job = ListParams::default().labels(&format!("job-name={job}"));
        Ok(self.runtime.block_on(pods.list(&of_job))?.items)
    }

    fn has_pods(&self, job: &str, pods: usize) -> Result<(), Failed> {
        eventually("the Job has its pods", || Ok(self.pods_of(job)?.len() == pods))
    }
}

pub(crate) fn an_administrator_is_served(dir: &Path) -> Result<(), Failed> {
    let mut plane = ControlPlane::start(config(dir)?)?;
    let user = User::of(plane.kubeconfig())?;
    ensure(user.namespaces()?.contains(&"kube-system".to_owned()), "the namespaces are there")?;
    plane.check()?;
    ensure(plane.server().starts_with("https://127.0.0.1:"), "on the loopback interface")?;
    ensure(plane.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"), "a certificate")?;
    let logs = dir.join("kept");
    plane.keep_logs(&logs);
    let run = plane.dir().to_owned();
    drop(plane);
    ensure(!run.exists(), "nothing is left of the run")?;
    for component in Component::ALL {
        ensure(logs.join(format!("{component}.log")).is_file(), format!("the log of {component} is kept"))?;
    }
    Ok(())
}

/// They are who Kubernetes' own roles are meant for, and no administrators.
pub(crate) fn the_components_have_their_own_rights(dir: &Path) -> Result<(), Failed> {
    let plane = ControlPlane::start(config(dir)?)?;
    let scheduler = User::of(&plane.dir().join("kube-scheduler.kubeconfig"))?;
    ensure(scheduler.namespaces().is_ok(), "the scheduler reads namespaces")?;
    let created = scheduler.create_job("forbidden", 1);
    ensure(created.is_err(), "the scheduler creates no Jobs")?;
    // The service account controller works with an account of its own, which the controller manager has made.
    let user = User::of(plane.kubeconfig())?;
    let accounts = Api::<ServiceAccount>::default_namespaced(user.client.clone());
    eventually("the default service account", || {
        Ok(user.runtime.block_on(accounts.get_opt("default"))?.is_some())
    })?;
    let system = Api::<ServiceAccount>::namespaced(user.client.clone(), "kube-system");
    let found = user.runtime.block_on(system.get_opt("job-controller"))?;
    ensure(found.is_some(), "the Job controller has an account of its own")
}

pub(crate) fn a_job_becomes_pods(dir: &Path) -> Result<(), Failed> {
    let plane = ControlPlane::start(config(dir)?)?;
    let user = User::of(plane.kubeconfig())?;
    user.create_job("three", 3)?;
    user.has_pods("three", 3)?;
    eventually("the scheduler has looked at them", || {
        let looked_at = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|condition| condition.type_ == "PodScheduled")
        };
        Ok(user.pods_of("three")?.iter().all(looked_at))
    })
}

/// Killed, and stopped in order; with what was stored before, on the same port.
pub(crate) fn each_component_comes_back(dir: &Path) -> Result<(), Failed> {
    let mut plane = ControlPlane::start(config(dir)?)?;
    let user = User::of(plane.kubeconfig())?;
    for (number, component) in Component::ALL.into_iter().enumerate() {
        let before = plane.id(component);
        plane.kill(component);
        ensure(plane.id(component).is_none(), format!("{component} is gone"))?;
        plane.check().map_err(|error| format!("whoever was killed on purpose is no error: {error}"))?;
        plane.restart(component)?;
        ensure(plane.id(component) != before, format!("{component} is another process"))?;
        // The API server may be busy with its new etcd for a moment.
        let job = format!("after-kill-{number}");
        eventually("a Job is created", || Ok(user.create_job(&job, 2).is_ok()))?;
        user.has_pods(&job, 2)?;
        plane.stop(component);
        plane.restart(component)?;
        eventually("the pods are still there", || Ok(user.pods_of(&job).is_ok_and(|pods| pods.len() == 2)))?;
        plane.check()?;
    }
    Ok(())
}

pub(crate) fn a_component_that_ends_by_itself_is_an_error(dir: &Path) -> Result<(), Failed> {
    let mut plane = ControlPlane::start(config(dir)?)?;
    let id = plane.id(Component::Scheduler).ok_or("the scheduler runs")?;
    kill_process(Pid::from_raw(i32::try_from(id)?).ok_or("no id")?, Signal::KILL)?;
    let mut error = None;
    eventually("it is noticed", || {
        error = plane.check().err();
        Ok(error.is_some())
    })?;
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    let run = plane.dir().file_name().unwrap_or_default().to_owned();
    let log = plane.dir().with_file_name("failed").join(run).join("kube-scheduler.log");
    let names_both = text.contains("kube-scheduler-") && text.contains(&log.display().to_string());
    ensure(names_both, format!("names component and log: {text}"))?;
    plane.restart(Component::Scheduler)?;
    plane.check()?;
    drop(plane);
    ensure(log.is_file(), "the log is kept")
}

/// Since 1.36 there is no way back.
const LOCKED: &str = "JobManagedBy";
/// The scheduler does not know this gate, and ends when it is told of it.
const NOT_THE_SCHEDULERS: &str = "ControllerManagerReleaseLeaderElectionLockOnExit";

pub(crate) fn gates_go_to_those_that_know_them(dir: &Path) -> Result<(), Failed> {
    let mut config = config(dir)?;
    config.feature_gates = vec![(NOT_THE_SCHEDULERS.to_owned(), true)];
    let plane = ControlPlane::start(config.clone())?;
    let args = |component| -> Result<String, Failed> {
        let id = plane.id(component).ok_or("it runs")?;
        Ok(String::from_utf8_lossy(&std::fs::read(format!("/proc/{id}/cmdline"))?).into_owned())
    };
    let wanted = format!("--feature-gates={NOT_THE_SCHEDULERS}=true");
    ensure(args(Component::ControllerManager)?.contains(&wanted), "the controllers get the gate")?;
    ensure(!args(Component::Scheduler)?.contains("--feature-gates"), "the scheduler does not")?;
    drop(plane);

    config.feature_gates.push(("NoSuchGate".to_owned(), true));
    let error = ControlPlane::start(config.clone()).err();
    let unknown = matches!(&error, Some(ControlPlaneError::UnknownGate(name)) if name == "NoSuchGate");
    ensure(unknown, format!("the gate is unknown: {error:?}"))?;

    config.feature_gates = vec![(LOCKED.to_owned(), false)];
    let error = ControlPlane::start(config).err();
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    ensure(text.contains("locked"), format!("the component's own words: {text}"))
}

pub(crate) fn a_failed_start_keeps_its_logs(dir: &Path) -> Result<(), Failed> {
    let mut config = config(dir)?;
    config.extra_flags.insert(Component::Scheduler, vec!["--no-such-flag".to_owned()]);
    let Err(ControlPlaneError::Ended { name, log, last_lines, .. }) = ControlPlane::start(config) else {
        return Err("a scheduler that ends is an error".into());
    };
    ensure(name.starts_with("kube-scheduler"), name)?;
    ensure(last_lines.contains("no-such-flag"), last_lines)?;
    let kept = std::fs::read_to_string(&log)?;
    ensure(kept.contains("no-such-flag"), format!("the log is at {}", log.display()))?;

    let mut config = crate::config(dir)?;
    config.start_limit = Duration::ZERO;
    let Err(ControlPlaneError::Unhealthy { component, log, .. }) = ControlPlane::start(config) else {
        return Err("nobody is healthy at once".into());
    };
    ensure(component == Component::Etcd && log.is_file(), "the first component")
}

pub(crate) fn taken_ports_are_tried_again_but_not_for_ever(dir: &Path) -> Result<(), Failed> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let mut config = config(dir)?;
    let flag = format!("--listen-peer-urls=https://{}", taken.local_addr()?);
    config.extra_flags.insert(Component::Etcd, vec![flag]);
    let error = ControlPlane::start(config).err();
    ensure(matches!(error, Some(ControlPlaneError::NoPorts(_))), format!("no ports: {error:?}"))
}
