//! An operator that runs Flux MiniClusters (`flux-framework.org/v1alpha2`) on Kubernetes.
//!
//! One reconcile is a pure function, [`plan::plan`]: what is seen of a MiniCluster, and what is to be done about it. [`objects`] makes the
//! objects, again as pure functions; the rest of the crate watches, carries plans out, and counts.
//!
//! Clock, randomness and client come from outside ([`Settings`]), and decisions depend on nothing else: on a virtual clock and
//! a simulated API server the same story gives the same requests.
//!
//! ```no_run
//! # async fn example(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! let settings = towtank_operator::Settings::new(Arc::new(jiff::Timestamp::now), Arc::new(|| [7; 32]));
//! towtank_operator::run(client, settings).await;
//! # Ok(())
//! # }
//! ```

mod cache;
mod execute;
mod failure;
mod lease;
mod metrics;
pub mod objects;
mod observe;
pub mod plan;
mod reconcile;

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;

pub use failure::Failure;
pub use lease::{Election, End, run_elected};
pub use metrics::Metrics;

/// Field manager of every write, and component of every Event.
pub const MANAGER: &str = "towtank-operator";

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Gives bytes that nobody can guess, for one CURVE key.
pub type Random = Arc<dyn Fn() -> [u8; 32] + Send + Sync>;

/// What the operator gets from outside.
#[derive(Clone)]
pub struct Settings {
    /// The namespace that it looks after; all when there is none.
    pub namespace: Option<String>,
    /// The clock.
    pub now: Clock,
    /// Randomness.
    pub random: Random,
    /// Reconciles that run at the same time; 0 is no limit, as kube has it.
    pub concurrency: u16,
    /// How long until a reconcile that failed is tried again: first, doubled with each failure.
    pub retry_first: Duration,
    /// The longest such time.
    pub retry_max: Duration,
    /// What it counts.
    pub metrics: Metrics,
}

impl Settings {
    /// The usual settings, with this clock and this randomness.
    pub fn new(now: Clock, random: Random) -> Self {
        Self {
            namespace: None,
            now,
            random,
            concurrency: 0,
            retry_first: Duration::from_millis(200),
            retry_max: Duration::from_secs(60),
            metrics: Metrics::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Looks after MiniClusters, for ever.
pub fn run(client: Client, settings: Settings) -> impl Future<Output = ()> + Send {
    run_until(client, settings, pending())
}

/// Looks after MiniClusters until `stop` is ready; what is under way then is finished first.
pub fn run_until(
    client: Client,
    settings: Settings,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) -> impl Future<Output = ()> + Send {
    reconcile::run(client, settings, stop)
}
