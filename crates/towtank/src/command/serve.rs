//! `towtank serve`: a simulated cluster on a port of this machine.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use towtank_apiserver::Caller;
use towtank_apiserver::adapter::loopback::Loopback;
use towtank_lockstep::virtual_world::embedded;
use towtank_minicluster::brokers::Settings;
use towtank_model::cluster::{ClusterConfig, TimingProfile};
use towtank_model::server::Actor;
use towtank_model::simulation::SimulationConfig;
use towtank_model::time::Time;
use towtank_model::version::Features;

use crate::args::ServeArguments;
use crate::failure::{AGREE, Failure};

/// Serves until somebody interrupts it.
pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| output("the runtime", error))?;
    runtime.block_on(serve(arguments))?;
    // Tasks of the operator wait for answers that nobody gives any more.
    runtime.shutdown_background();
    Ok(ExitCode::from(AGREE))
}

async fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| output("signals", error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| output("signals", error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await.map_err(|error| {
        Failure::Usage(format!("port {} of this machine cannot be had: {error}", arguments.port))
    })?;
    let address = listener.local_addr().map_err(|error| output("the port", error))?;
    let timing = TimingProfile::by_name("kind").unwrap_or_else(TimingProfile::instant);
    let simulation = embedded::simulation(
        configuration(arguments, timing),
        arguments.kubernetes,
        Settings { flux: arguments.flux, cores: arguments.cores, timing },
    )?;
    let admin = Caller::master("kubernetes-admin", Actor::User);
    let mut loopback = Loopback::new(simulation, admin, arguments.speed);
    if !arguments.no_operator {
        let client = kube::Client::new(loopback.connect(embedded::operator_caller()), "default");
        tokio::spawn(embedded::operator(client, loopback.clock(), arguments.seed));
    }
    let path = arguments.kubeconfig.clone().unwrap_or_else(default_path);
    let kubeconfig = Kubeconfig::write(path, &format!("http://{address}"))?;
    let ready = format!(
        "Kubernetes {} with {} nodes on http://{address}\n{}export KUBECONFIG={}\n",
        arguments.kubernetes,
        arguments.nodes,
        if arguments.no_operator { "no operator\n" } else { "" },
        kubeconfig.path.display(),
    );
    std::io::stdout().write_all(ready.as_bytes()).map_err(|error| output("the address", error))?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    loopback.serve(listener, stop).await.map_err(Failure::Usage)
}

fn configuration(arguments: &ServeArguments, timing: &'static TimingProfile) -> SimulationConfig {
    const MILLI_PER_CORE: u32 = 1_000;
    let mut config = SimulationConfig::new(Features::of(arguments.kubernetes), arguments.seed);
    config.start = present();
    config.cluster = ClusterConfig {
        nodes: arguments.nodes,
        cpu_milli: arguments.cores.saturating_mul(MILLI_PER_CORE),
        timing,
        ..ClusterConfig::default()
    };
    config.controller.watch_latency = timing.watch_delivery;
    config.controller.call_latency = timing.api_call;
    config
}

/// The simulation's time that is now here: clients show ages by their own clock.
#[expect(clippy::disallowed_types, reason = "what is served is seen in real time")]
fn present() -> Time {
    let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    Time::from_secs(unix.saturating_sub(embedded::EPOCH_S.unsigned_abs()))
}

fn default_path() -> PathBuf {
    std::env::temp_dir().join(format!("towtank-{}.kubeconfig", std::process::id()))
}

/// A kubeconfig, for as long as there is somebody to talk to.
struct Kubeconfig {
    path: PathBuf,
}

impl Kubeconfig {
    fn write(path: PathBuf, server: &str) -> Result<Self, Failure> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: towtank\n\
             clusters: [{{name: towtank, cluster: {{server: \"{server}\"}}}}]\n\
             contexts: [{{name: towtank, context: {{cluster: towtank, user: admin, namespace: default}}}}]\n\
             users: [{{name: admin, user: {{}}}}]\n"
        );
        Self::create(&path, &text).map_err(|error| output(&path.display().to_string(), error))?;
        Ok(Self { path })
    }

    /// Whatever is there already is somebody else's.
    fn create(path: &Path, text: &str) -> std::io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // It leads nowhere now.
        let _ = fs::remove_file(&self.path);
    }
}

fn output(what: &str, error: std::io::Error) -> Failure {
    Failure::Output { what: what.to_owned(), error }
}
