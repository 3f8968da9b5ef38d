//! The program: command line, log, probes and metrics around [`towtank_operator::run_until`].

mod serve;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use towtank_operator::{Election, End, Settings, run_elected, run_until};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// How long until the API server is asked for the next time whether it is there.
const API_SERVER_RETRY: Duration = Duration::from_secs(2);

/// Runs Flux MiniClusters on Kubernetes.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Looks after this namespace only; after all when it is not given.
    #[arg(long, env = "WATCH_NAMESPACE")]
    namespace: Option<String>,
    /// Of several replicas one works: they elect it with a Lease.
    #[arg(long)]
    leader_elect: bool,
    /// Namespace of the Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "towtank-system")]
    lease_namespace: String,
    /// Who this replica is in an election; no two may say the same.
    #[arg(long, env = "POD_NAME", default_value = "towtank-operator")]
    identity: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,
    /// Reconciles at the same time; 0 is no limit.
    #[arg(long, default_value_t = 16)]
    concurrency: u16,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,towtank_operator=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("towtank-operator: --log {}: {error}", cli.log);
            return ExitCode::from(2);
        }
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("towtank-operator: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(operate(cli)) {
        Ok(code) => code,
        Err(error) => {
            error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn operate(cli: Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    // A machine without randomness is found now, not when a certificate is made.
    random()?;
    let mut settings = Settings::new(
        Arc::new(jiff::Timestamp::now),
        Arc::new(|| random().unwrap_or_else(|error| panic!("no randomness any more: {error}"))),
    );
    settings.namespace = cli.namespace;
    settings.concurrency = cli.concurrency;
    let is_ready = Arc::new(AtomicBool::new(false));
    serve::serve(cli.metrics_address, settings.metrics.clone(), Arc::clone(&is_ready)).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to stop");
    };
    let client = Client::try_default().await?;
    tokio::spawn(reach(client.clone(), is_ready));
    if !cli.leader_elect {
        info!("looking after MiniClusters");
        run_until(client, settings, stop).await;
        return Ok(ExitCode::SUCCESS);
    }
    let election = Election::new(cli.lease_namespace, cli.identity);
    Ok(match run_elected(client, settings, election, stop).await {
        End::Stopped => ExitCode::SUCCESS,
        // Started again, it waits for its next turn.
        End::Lost => ExitCode::FAILURE,
    })
}

/// Ready is who has reached the API server once.
async fn reach(client: Client, is_ready: Arc<AtomicBool>) {
    loop {
        match client.apiserver_version().await {
            Ok(_) => return is_ready.store(true, Ordering::Relaxed),
            Err(error) => warn!(%error, "cannot reach the API server"),
        }
        tokio::time::sleep(API_SERVER_RETRY).await;
    }
}

fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
