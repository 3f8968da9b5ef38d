//! Waiting until a component serves.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use http::Request;
use kube::{Client, config::AuthInfo};
use tokio::runtime;
use tokio::time::timeout;

use crate::error::ControlPlaneError;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// For one question: a server that has just bound its port may not answer yet.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What is asked, and as whom.
pub(crate) struct Probe {
    pub(crate) server: String,
    pub(crate) path: &'static str,
    pub(crate) ca_der: Vec<u8>,
    /// A bearer token, or a certificate and its key in files.
    pub(crate) auth: AuthInfo,
}

/// What became of waiting.
pub(crate) enum Health {
    Healthy,
    /// Not within the limit, and what it answered last.
    Late(String),
}

/// Asks until the answer is 200. Before each question `goes_on` can break it off.
///
/// It has a thread of its own, so that callers may be asynchronous tasks.
pub(crate) fn wait(
    probe: &Probe,
    limit: Duration,
    goes_on: &mut (dyn FnMut() -> Result<(), ControlPlaneError> + Send),
) -> Result<Health, ControlPlaneError> {
    let asked = thread::scope(|scope| scope.spawn(|| ask(probe, limit, goes_on)).join());
    asked.unwrap_or_else(|_| Err(ControlPlaneError::Machine("asking for health panicked".to_owned())))
}

fn ask(
    probe: &Probe,
    limit: Duration,
    goes_on: &mut dyn FnMut() -> Result<(), ControlPlaneError>,
) -> Result<Health, ControlPlaneError> {
    let machine = |error: &dyn std::fmt::Display| ControlPlaneError::Machine(format!("no client: {error}"));
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(|error| machine(&error))?;
    let _context = runtime.enter();
    let server = probe.server.parse().map_err(|error| machine(&error))?;
    let mut config = kube::Config::new(server);
    config.root_cert = Some(vec![probe.ca_der.clone()]);
    config.auth_info = probe.auth.clone();
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| machine(&error))?;
    let start = Instant::now();
    loop {
        goes_on()?;
        let request = Request::get(probe.path).body(Vec::new()).map_err(|error| machine(&error))?;
        let answer = runtime.block_on(async { timeout(ANSWER_LIMIT, client.request_text(request)).await });
        let why = match answer {
            Ok(Ok(_)) => return Ok(Health::Healthy),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "no answer".to_owned(),
        };
        if start.elapsed() >= limit {
            return Ok(Health::Late(why));
        }
        thread::sleep(PAUSE);
    }
}

/// A client's error says little without what it comes from.
fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let says = error.to_string();
        // Some say what they come from themselves.
        if !said.ends_with(&says) {
            said.push_str(": ");
            said.push_str(&says);
        }
        cause = error.source();
    }
    said
}
