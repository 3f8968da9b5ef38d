//! A cluster that ends with the process that made it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use towtank_control_plane::{Child, ControlPlaneError, Interrupt, Launch, RunDir, spawn_child};
use towtank_model::version::KubernetesVersion;
use towtank_reference::build::Program;

use crate::command::{SOON, docker, last_lines, name_of, run};
use crate::daemon::check_docker;
use crate::error::{KindError, at};
use crate::node_image::{NodeImage, has_image};

/// Names of clusters begin so; the rest is that of the directory of their run.
const PREFIX: &str = "towtank-";
/// More nodes than this are refused: they are whole machines.
const WORKERS_MAX: u32 = 16;
/// How long a cluster may take to come up, and to be deleted.
const CREATE_LIMIT: Duration = Duration::from_mins(10);
const DELETE_LIMIT: Duration = Duration::from_mins(2);
/// How long an image may take to get into all nodes.
const LOAD_LIMIT: Duration = Duration::from_mins(5);
/// How long the logs of the nodes may take at the end.
const LOGS_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// How often a cluster is deleted: a node may come up after they were listed, on behalf of a client that is gone.
const DELETE_TRIES: usize = 3;
/// With this label and the name of its cluster kind marks the container of a node.
const LABEL: &str = "io.x-k8s.kind.cluster";
/// The newest Kubernetes that runs on cgroup v1.
pub const NEWEST_ON_CGROUP_V1: KubernetesVersion = match KubernetesVersion::from_minor(36) {
    Some(version) => version,
    None => KubernetesVersion::OLDEST,
};
/// What of the user's environment reaches kind: where docker is, and how to speak to it.
const INHERITED: [&str; 5] = ["HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH"];

/// What cluster is wanted.
#[derive(Clone, Debug)]
pub struct Config {
    /// Cargo's target directory: where kind and kubectl are.
    pub target_dir: PathBuf,
    /// Where directories of runs are made. Whoever uses the same one cleans up after the others.
    pub runs: PathBuf,
    /// The version of kubectl, and of the node image that is built here.
    pub version: KubernetesVersion,
    /// The image of the nodes; when there is none, that which is built here.
    pub node_image: Option<String>,
    /// Nodes beside the control plane. Without any, pods run beside the control plane.
    pub workers: u32,
    /// Ends everything that is waited for.
    pub interrupt: Option<Interrupt>,
}

impl Config {
    /// A cluster with two workers.
    pub fn new(target_dir: impl Into<PathBuf>, runs: impl Into<PathBuf>, version: KubernetesVersion) -> Self {
        Self {
            target_dir: target_dir.into(),
            runs: runs.into(),
            version,
            node_image: None,
            workers: 2,
            interrupt: None,
        }
    }

    fn program(&self, program: Program) -> PathBuf {
        program.path(&self.target_dir, self.version)
    }
}

/// A cluster of kind. It is deleted when this is dropped.
#[derive(Debug)]
pub struct Kind {
    config: Config,
    name: String,
    kubeconfig: PathBuf,
    failed: bool,
    run: RunDir,
}

impl Kind {
    /// Makes a cluster and returns when all its nodes are ready and names are served. Before, clusters of killed processes are deleted.
    ///
    /// # Errors
    /// Docker, kind or the image is missing, the machine is not fit for kind, or the cluster does not come up in time. The logs of a start that failed are
    /// kept, and named in the error.
    pub fn create(config: Config) -> Result<Self, KindError> {
        check(&config)?;
        let image = match &config.node_image {
            Some(name) => name.clone(),
            None => NodeImage::new(&config.target_dir, config.version).name(),
        };
        if !has_image(&image)? {
            return Err(KindError::NoImage(image));
        }
        let run = RunDir::create(&config.runs, &|dir| undo(&config.program(Program::Kind), dir))?;
        let name = cluster_name(run.path());
        let kubeconfig = run.path().join("kubeconfig");
        let mut kind = Self { config, name, kubeconfig, failed: false, run };
        match kind.bring_up(&image) {
            Ok(()) => Ok(kind),
            Err(error) => Err(kind.logged(error)),
        }
    }

    fn bring_up(&self, image: &str) -> Result<(), KindError> {
        let path = self.run.path().join("kind.yaml");
        self.run.write(&path, cluster_config(self.config.workers, image).as_bytes())?;
        // Without a network of kind's own, nodes are ready as soon as they have that of their image.
        let path = path.to_string_lossy();
        // Nodes that do not come up are deleted at the end, after their logs are saved.
        self.kind(
            "create",
            &["create", "cluster", "--retain", "--config", &path, "--wait", "0s"],
            CREATE_LIMIT,
        )?;
        self.kubectl(
            "ready",
            &["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=300s"],
            CREATE_LIMIT,
        )?;
        self.kubectl(
            "names",
            &["--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=300s"],
            CREATE_LIMIT,
        )
    }

    /// An error with the place where the logs will be, if they tell something of it.
    fn logged(&mut self, error: KindError) -> KindError {
        match error {
            KindError::Slow { .. } | KindError::Failed { .. } => {
                KindError::Logged { error: Box::new(error), logs: self.keep_logs_of_failed() }
            }
            error => error,
        }
    }

    /// Its name, with which kind and docker know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file for kubectl, with all rights. Only this user can read it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubectl of the cluster's version, that speaks to it.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.config.program(Program::Kubectl));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    /// The directory of this run. It is removed at the end.
    pub fn dir(&self) -> &Path {
        self.run.path()
    }

    /// Copies an image from docker into all nodes, so that no pod need pull it. Pods find it if their pull policy is not `Always`.
    ///
    /// # Errors
    /// Docker has no such image, or kind cannot copy it.
    pub fn load_image(&self, name: &str) -> Result<(), KindError> {
        if !has_image(name)? {
            return Err(KindError::NoImage(name.to_owned()));
        }
        self.kind("load", &["load", "docker-image", name], LOAD_LIMIT)
    }

    /// Something went wrong with what runs in the cluster: at the end the logs of its nodes are moved to `to`, which must not exist yet.
    pub fn keep_logs(&mut self, to: impl Into<PathBuf>) {
        self.failed = true;
        self.run.keep_logs(to.into());
    }

    /// The same with logs that are moved beside the directories of runs. Returns where they will be.
    pub fn keep_logs_of_failed(&mut self) -> PathBuf {
        self.failed = true;
        self.run.keep_logs_of_failed()
    }

    fn kind(&self, log: &str, args: &[&str], limit: Duration) -> Result<(), KindError> {
        let args = args.iter().copied().chain(["--name", &self.name]);
        let launch = self.launch(Program::Kind, log).args(args).env("KUBECONFIG", &self.kubeconfig);
        self.wait_for(launch, limit)
    }

    fn kubectl(&self, log: &str, args: &[&str], limit: Duration) -> Result<(), KindError> {
        let launch = self.launch(Program::Kubectl, log).args(args.iter().copied());
        self.wait_for(launch.env("KUBECONFIG", &self.kubeconfig), limit)
    }

    fn launch(&self, program: Program, log: &str) -> Launch {
        let log = self.run.path().join("logs").join(format!("{}-{log}.log", program.name()));
        let launch = Launch::new(self.config.program(program), log);
        inherited().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// Runs a child to its end. It ends with this process.
    fn wait_for(&self, launch: Launch, limit: Duration) -> Result<(), KindError> {
        let mut words = vec![launch.program.name()];
        words.extend(launch.args.iter().map(|word| word.to_string_lossy().into_owned()));
        let command = words.join(" ");
        let mut child = spawn_child(&launch)?;
        let status = self.wait_until_ended(&mut child, limit)?;
        let Some(status) = status else { return Err(KindError::Slow { command, limit }) };
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&launch.log).unwrap_or_default();
        Err(KindError::Failed { command, how: format!("ended with {status}"), said: last_lines(&said) })
    }

    fn wait_until_ended(
        &self,
        child: &mut Child,
        limit: Duration,
    ) -> Result<Option<std::process::ExitStatus>, KindError> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.has_ended() {
                return Ok(Some(status));
            }
            if self.config.interrupt.as_ref().is_some_and(Interrupt::is_raised) {
                return Err(KindError::Interrupted);
            }
            if start.elapsed() > limit {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        // Nobody is there to be told of an error, and the next cluster's start tries again.
        let kind = self.config.program(Program::Kind);
        if self.failed || thread::panicking() {
            self.run.keep_logs_of_failed();
            let mut export = kind_command(&kind);
            export.args(["export", "logs", "--name", &self.name]).arg(self.run.path().join("logs/nodes"));
            let _ = run(&mut export, LOGS_LIMIT);
        }
        if delete(&kind, self.run.path()).is_err() {
            self.run.leave();
        }
    }
}

/// Deletes the clusters of processes that were killed. Returns how many directories of runs there were.
///
/// # Errors
/// kind cannot delete one, or a directory cannot be removed.
pub fn clean_up(config: &Config) -> Result<usize, KindError> {
    Ok(towtank_control_plane::clean_up(&config.runs, &|dir| undo(&config.program(Program::Kind), dir))?)
}

/// Ends the clusters whose directories of runs are in the same place, and what killed processes have left. Returns how many lived.
///
/// # Errors
/// As [`clean_up`], or a process does not end.
pub fn end_clusters(config: &Config) -> Result<usize, KindError> {
    Ok(towtank_control_plane::end_runs(&config.runs, &|dir| undo(&config.program(Program::Kind), dir))?)
}

/// What a killed process has left in docker.
fn undo(kind: &Path, dir: &Path) -> Result<(), ControlPlaneError> {
    delete(kind, dir).map_err(|error| ControlPlaneError::Machine(error.to_string()))
}

/// Deletes the cluster of a run, unless there is none, and sees that nothing of it is left.
fn delete(kind: &Path, dir: &Path) -> Result<(), KindError> {
    let name = cluster_name(dir);
    // kind takes a cluster out of a kubeconfig, under a lock beside it. One that was killed leaves the lock, so this file is only for deleting.
    let kubeconfig = dir.join("deleted");
    let lock = dir.join("deleted.lock");
    let mut command = kind_command(kind);
    command.args(["delete", "cluster", "--name", &name]).env("KUBECONFIG", &kubeconfig);
    let label = format!("--filter=label={LABEL}={name}");
    let mut left = String::new();
    for _ in 0..DELETE_TRIES {
        if lock.exists() {
            at(&lock, std::fs::remove_file(&lock))?;
        }
        run(&mut command, DELETE_LIMIT)?;
        left = run(&mut docker(["ps", "--all", "--quiet", &label]), SOON)?;
        if left.trim().is_empty() {
            return Ok(());
        }
    }
    Err(KindError::Failed { command: name_of(&command), how: "has left containers".to_owned(), said: left })
}

/// kind, in the environment in which it makes clusters.
fn kind_command(kind: &Path) -> Command {
    let mut command = Command::new(kind);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(inherited());
    command
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The name of the cluster of a run.
fn cluster_name(dir: &Path) -> String {
    let run = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{PREFIX}{}", run.trim_start_matches("run-"))
}

/// Whether a cluster can be made at all.
fn check(config: &Config) -> Result<(), KindError> {
    if config.workers > WORKERS_MAX {
        return Err(KindError::Unfit(format!("{} workers are more than {WORKERS_MAX}", config.workers)));
    }
    for program in [Program::Kind, Program::Kubectl] {
        let path = config.program(program);
        at(&path, std::fs::metadata(&path)).map_err(|_| KindError::Missing {
            program: path.display().to_string(),
            advice: "`cargo xtask kind build-node-image` builds it",
        })?;
    }
    check_docker()?;
    let cgroup = run(&mut docker(["info", "--format", "{{.CgroupVersion}}"]), SOON)?;
    if cgroup.trim() == "1" && config.version > NEWEST_ON_CGROUP_V1 {
        let version = config.version;
        return Err(KindError::Unfit(format!(
            "the kubelet of {version} wants cgroup v2, and this machine has v1: choose {NEWEST_ON_CGROUP_V1} or older"
        )));
    }
    Ok(())
}

/// What kind is told.
fn cluster_config(workers: u32, image: &str) -> String {
    let node = |role: &str| format!("  - role: {role}\n    image: \"{image}\"\n");
    let workers = node("worker").repeat(workers as usize);
    format!(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  disableDefaultCNI: {}\nnodes:\n{}{workers}",
        // Images that are built here bring their network.
        image.starts_with("towtank/"),
        node("control-plane"),
    )
}

#[cfg(test)]
mod tests;
