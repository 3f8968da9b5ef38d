//! What the operator counts, for Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters and histograms. Clones share what they count.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciles: Counter,
    pub(crate) errors: Counter,
    pub(crate) watch_errors: Counter,
    pub(crate) writes: Counter,
    pub(crate) reconcile_seconds: Histogram,
    pub(crate) resize_seconds: Histogram,
    /// Whether this replica leads.
    pub is_leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Counter::default(),
            errors: Counter::default(),
            watch_errors: Counter::default(),
            writes: Counter::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            resize_seconds: Histogram::new(exponential_buckets(0.25, 2.0, 13)),
            is_leader: Gauge::default(),
        }
    }
}

impl Metrics {
    /// The text that Prometheus reads (OpenMetrics).
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("towtank_operator");
        registry.register("reconciles", "Reconciles of MiniClusters", self.reconciles.clone());
        registry.register("reconcile_errors", "Reconciles that failed", self.errors.clone());
        registry.register(
            "watch_errors",
            "Watches that failed and were started again",
            self.watch_errors.clone(),
        );
        registry.register("writes", "Writes to the API server", self.writes.clone());
        registry.register("reconcile_seconds", "How long a reconcile takes", self.reconcile_seconds.clone());
        registry.register(
            "resize_seconds",
            "From the write of a new size until all brokers that are wanted are online",
            self.resize_seconds.clone(),
        );
        registry.register("leader", "1 while this replica leads", self.is_leader.clone());
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
