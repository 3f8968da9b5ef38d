//! How the controllers of Jobs are set up: workers, client, watch.

use std::time::Duration;

use super::faults::FaultPlan;
use super::sync::Limits;
use crate::engine::Distribution;

/// Settings of the process that runs the Job controller. The default is upstream's on a network without latency and
/// without a limit on requests.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Jobs synced at the same time (`--concurrent-job-syncs`).
    pub workers: u32,
    /// Requests per second of each controller's client (`--kube-api-qps`); `None`: no limit.
    pub qps: Option<u32>,
    /// Requests that may exceed the rate for a moment (`--kube-api-burst`).
    pub burst: u32,
    /// From a change in the store to its arrival in a cache. Changes of one kind never overtake each other.
    pub watch_latency: Distribution,
    /// Each way of an API call: to the server, and back with the answer.
    pub call_latency: Distribution,
    /// From the start of the process to the first sync: client-go looks at its caches every 100 ms.
    pub cache_sync_delay: Duration,
    /// The pods of a Job come in random order, as the original lists them from a hash map, and not in the order of
    /// their creation: it shows where a NonIndexed Job chooses among interchangeable pods.
    pub has_random_map_order: bool,
    /// Caps of one sync.
    pub limits: Limits,
    /// What goes wrong with API calls.
    pub faults: FaultPlan,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            workers: 5,
            qps: None,
            burst: 30,
            watch_latency: Distribution::Constant(Duration::ZERO),
            call_latency: Distribution::Constant(Duration::ZERO),
            cache_sync_delay: Duration::from_millis(100),
            has_random_map_order: false,
            limits: Limits::default(),
            faults: FaultPlan::default(),
        }
    }
}
