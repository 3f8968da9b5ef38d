//! The control plane itself: starting, killing and restarting its components, and its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kube::config::AuthInfo;

use crate::certificates::Identity;
use crate::child::{Child, Launch, last_lines, spawn_child};
use crate::config::{Component, Config, Program};
use crate::error::{ControlPlaneError, at};
use crate::flags::{Layout, args, url};
use crate::gates::Gates;
use crate::health::{self, Health, Probe};
use crate::kubeconfig;
use crate::ports::Ports;
use crate::run::RunDir;

/// How often another set of ports is tried when another process was faster.
const PORT_TRIES: usize = 5;
/// What Go's `net` says of a port that is taken.
const PORT_TAKEN: &str = "address already in use";
/// How often a component is started that ends by itself, and what lies between: whoever watches over such programs waits, too.
pub const BRING_BACK_TRIES: u32 = 10;
const BRING_BACK_PAUSE: Duration = Duration::from_secs(1);
/// How long a component may take to end in order.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The same at the end of all, when its data is not needed any more.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A running control plane. When it is dropped, its children end and its directory is removed.
pub struct ControlPlane {
    // In this order: children end before their directory goes.
    children: BTreeMap<Component, Child>,
    config: Config,
    gates: Gates,
    identity: Identity,
    ports: Ports,
    server: String,
    kubeconfig: PathBuf,
    layout: Layout,
    run: RunDir,
}

impl ControlPlane {
    /// Starts everything and returns when the API server is ready and the controllers and the scheduler are healthy.
    ///
    /// # Errors
    /// A program is missing or ends, does not become healthy within the limit, or the machine refuses something. The logs of a start that failed are kept, and named in the error.
    pub fn start(config: Config) -> Result<Self, ControlPlaneError> {
        config.binaries.check()?;
        if !crate::shim::is_called() {
            return Err(ControlPlaneError::NoShim);
        }
        for _ in 0..PORT_TRIES {
            let mut plane = Self::prepare(config.clone())?;
            match plane.bring_up() {
                Ok(()) => return Ok(plane),
                Err(error) if is_port_taken(&error) => {}
                Err(error) => return Err(plane.failed(error)),
            }
        }
        Err(ControlPlaneError::NoPorts(PORT_TRIES))
    }

    /// A directory with all files that the components read.
    fn prepare(config: Config) -> Result<Self, ControlPlaneError> {
        // Its children are all that a killed one leaves beside its directory.
        let run = RunDir::create(&config.dir, &|_| Ok(()))?;
        let layout = run.layout();
        at(run.path(), fs::create_dir(run.path().join("pki")))?;
        let identity = Identity::create()?;
        let ports = Ports::choose()?;
        let gates = Gates::ask(&config, run.path(), &layout.logs().join("feature-gates.log"))?;
        let server = url(ports.apiserver);
        let tokens = &identity.tokens;
        let kubeconfig = |user: &str, token: &str| {
            let text = kubeconfig::text(&server, &layout.ca(), user, token);
            run.write(Path::new(&layout.kubeconfig(user)), text.as_bytes())
        };
        kubeconfig(ADMIN, &tokens.admin)?;
        kubeconfig(Component::ControllerManager.name(), &tokens.controller_manager)?;
        kubeconfig(Component::Scheduler.name(), &tokens.scheduler)?;
        for (path, text) in [
            (layout.ca(), &identity.ca_pem),
            (layout.cert(), &identity.cert_pem),
            (layout.key(), &identity.key_pem),
            (layout.service_account_key(), &identity.service_account_pem),
            (layout.service_account_public_key(), &identity.service_account_public_pem),
            (layout.tokens(), &tokens.file()),
        ] {
            run.write(Path::new(&path), text.as_bytes())?;
        }
        let kubeconfig = PathBuf::from(layout.kubeconfig(ADMIN));
        let children = BTreeMap::new();
        Ok(Self { children, config, gates, identity, ports, server, kubeconfig, layout, run })
    }

    fn bring_up(&mut self) -> Result<(), ControlPlaneError> {
        for component in [Component::Etcd, Component::Apiserver] {
            self.launch_component(component)?;
            self.wait_until_healthy(component)?;
        }
        let clients = [Component::ControllerManager, Component::Scheduler];
        for component in clients {
            self.launch_component(component)?;
        }
        for component in clients {
            self.wait_until_healthy(component)?;
        }
        self.children.values_mut().try_for_each(Child::check)
    }

    /// Keeps the logs and names them where they will be.
    fn failed(&mut self, mut error: ControlPlaneError) -> ControlPlaneError {
        if let ControlPlaneError::Ended { log, .. } | ControlPlaneError::Unhealthy { log, .. } = &mut error {
            let kept = self.run.keep_logs_of_failed();
            *log = kept.join(log.file_name().unwrap_or_default());
        }
        error
    }

    /// The address of the API server: `https://127.0.0.1:PORT`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The certificate of the authority that signs the API server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.identity.ca_pem
    }

    /// A bearer token that is allowed everything.
    pub fn admin_token(&self) -> &str {
        &self.identity.tokens.admin
    }

    /// A file for kubectl, with that token. Only this user can read it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig for another user into the directory of this run, and returns where it is. Only this user can read it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf, ControlPlaneError> {
        let path = PathBuf::from(self.layout.kubeconfig(user));
        let text = kubeconfig::text(&self.server, &self.layout.ca(), user, token);
        self.run.write(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The directory of this run. It is removed at the end.
    pub fn dir(&self) -> &Path {
        self.run.path()
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.layout.log(component)
    }

    /// The id of a component's process, if it runs and is one.
    pub fn id(&self, component: Component) -> Option<u32> {
        self.children.get(&component).and_then(Child::id)
    }

    /// Bytes of memory that all components have resident together.
    pub fn resident_bytes(&self) -> u64 {
        self.children.values().filter_map(Child::resident_bytes).sum()
    }

    /// A child of this run besides its components, for [`spawn_child`]: its log is `NAME.log` beside theirs, and what cleans up after this process knows it.
    pub fn launch(&self, name: &str, program: impl Into<Program>) -> Launch {
        let mut launch = Launch::new(program, self.layout.logs().join(format!("{name}.log")));
        launch.run = Some(self.run.path().to_owned());
        launch
    }

    /// Ends a component at once, as a crash would. It stays away until [`Self::restart`].
    pub fn kill(&mut self, component: Component) {
        if let Some(mut child) = self.children.remove(&component) {
            child.kill();
        }
    }

    /// Ends a component in order. It stays away until [`Self::restart`].
    pub fn stop(&mut self, component: Component) {
        if let Some(mut child) = self.children.remove(&component) {
            child.stop(STOP_LIMIT);
        }
    }

    /// Further flags of a component from its next start on, in the place of those of [`Config::extra_flags`].
    pub fn set_extra_flags(&mut self, component: Component, flags: Vec<String>) {
        self.config.extra_flags.insert(component, flags);
    }

    /// Starts a component again, on the same port and with the same data, and returns when it is healthy. One that runs is ended in order first.
    ///
    /// # Errors
    /// As of [`Self::check`], or it is not healthy within the limit.
    pub fn restart(&mut self, component: Component) -> Result<(), ControlPlaneError> {
        self.stop(component);
        let started = self.launch_component(component).and_then(|()| self.wait_until_healthy(component));
        started.map_err(|error| self.failed(error))
    }

    /// Starts a component that has ended or was killed, again and again until it is healthy: it may end by itself while what it talks to comes back.
    ///
    /// # Errors
    /// As of [`Self::restart`], after [`BRING_BACK_TRIES`] tries.
    pub fn bring_back(&mut self, component: Component) -> Result<(), ControlPlaneError> {
        for _ in 1..BRING_BACK_TRIES {
            self.kill(component);
            match self.launch_component(component).and_then(|()| self.wait_until_healthy(component)) {
                Err(ControlPlaneError::Ended { .. }) => std::thread::sleep(BRING_BACK_PAUSE),
                Err(error) => return Err(self.failed(error)),
                Ok(()) => return Ok(()),
            }
        }
        self.restart(component)
    }

    /// The components that have ended and were not ended.
    pub fn ended(&mut self) -> Vec<Component> {
        let ended =
            self.children.iter_mut().filter_map(|(component, child)| child.has_ended().map(|_| *component));
        ended.collect()
    }

    /// An error when a component has ended that nobody ended. From then on this is a run that failed: its logs are kept.
    ///
    /// # Errors
    /// [`ControlPlaneError::Ended`] names the component, and the place where its log is kept when the run is over.
    pub fn check(&mut self) -> Result<(), ControlPlaneError> {
        let ended = self.children.values_mut().try_for_each(Child::check);
        ended.map_err(|error| self.failed(error))
    }

    /// At the end, the directory of logs is moved to `to`, which must not exist yet.
    pub fn keep_logs(&mut self, to: impl Into<PathBuf>) {
        self.run.keep_logs(to.into());
    }

    /// At the end, the directory of logs is moved beside the directories of runs, unless somebody has said where to. Returns where it will be.
    pub fn keep_logs_of_failed(&mut self) -> PathBuf {
        self.run.keep_logs_of_failed()
    }

    fn launch_component(&mut self, component: Component) -> Result<(), ControlPlaneError> {
        let gates = self.gates.of(component);
        let args = args(component, &self.layout, &self.ports, &gates, &self.config);
        let launch = self.launch(component.name(), self.config.binaries.of(component).clone()).args(args);
        self.children.insert(component, spawn_child(&launch)?);
        Ok(())
    }

    fn wait_until_healthy(&mut self, component: Component) -> Result<(), ControlPlaneError> {
        let limit = self.config.start_limit;
        let interrupt = self.config.interrupt.clone();
        let probe = self.probe(component);
        let Some(child) = self.children.get_mut(&component) else { return Ok(()) };
        let mut goes_on = || {
            if interrupt.as_ref().is_some_and(|interrupt| interrupt.is_raised()) {
                return Err(ControlPlaneError::Interrupted);
            }
            child.check()
        };
        match health::wait(&probe, limit, &mut goes_on)? {
            Health::Healthy => Ok(()),
            Health::Late(why) => {
                let log = self.log(component);
                let last_lines = last_lines(&log);
                Err(ControlPlaneError::Unhealthy { component, limit, why, log, last_lines })
            }
        }
    }

    fn probe(&self, component: Component) -> Probe {
        let (port, path) = match component {
            Component::Etcd => (self.ports.etcd, "/health"),
            Component::Apiserver => (self.ports.apiserver, "/readyz"),
            Component::ControllerManager => (self.ports.controller_manager, "/healthz"),
            Component::Scheduler => (self.ports.scheduler, "/healthz"),
        };
        let mut auth = AuthInfo::default();
        match component {
            Component::Etcd => {
                auth.client_certificate = Some(self.layout.cert());
                auth.client_key = Some(self.layout.key());
            }
            Component::Apiserver => auth.token = Some(self.identity.tokens.admin.clone().into()),
            // Everybody may ask them for their health.
            Component::ControllerManager | Component::Scheduler => {}
        }
        Probe { server: url(port), path, ca_der: self.identity.ca_der.clone(), auth }
    }
}

/// The user that is allowed everything.
const ADMIN: &str = "admin";

fn is_port_taken(error: &ControlPlaneError) -> bool {
    matches!(error, ControlPlaneError::Ended { last_lines, .. } if last_lines.contains(PORT_TAKEN))
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.run.keep_logs_of_failed();
        }
        for child in self.children.values_mut() {
            child.terminate();
        }
        let start = Instant::now();
        for child in self.children.values_mut() {
            child.wait(END_LIMIT.saturating_sub(start.elapsed()));
            child.kill();
        }
    }
}
