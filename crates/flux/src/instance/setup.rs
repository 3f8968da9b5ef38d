//! The configuration of an instance.

use std::time::Duration;

use crate::jobs::JobLatencies;
use crate::latency::Latencies;
use crate::overlay::{Quorum, Topology};
use crate::version::{Features, FluxVersion, Scheduler};
use crate::{Hostlist, Idset};

/// How an instance is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// flux-core.
    pub version: FluxVersion,
    /// What differs by version; a caller may change single fields.
    pub features: Features,
    /// Scheduler and policy.
    pub scheduler: Scheduler,
    /// Rank = position in this list.
    pub hosts: Hostlist,
    /// Cores of every rank.
    pub cores: u32,
    /// `[resource] exclude`.
    pub excluded: Idset,
    /// `tbon.topo`.
    pub topology: Topology,
    /// `broker.quorum`.
    pub quorum: Quorum,
    /// Brokers, overlay, resources.
    pub latencies: Latencies,
    /// Jobs.
    pub job_latencies: JobLatencies,
    /// Who runs the instance.
    pub user: String,
    /// What time of Unix the caller's epoch is.
    pub wall: Duration,
}

impl Setup {
    /// An instance of this version with the defaults of a MiniCluster.
    pub fn new(version: FluxVersion, scheduler: Scheduler, hosts: Hostlist, cores: u32) -> Self {
        Self {
            version,
            features: Features::of(version),
            scheduler,
            hosts,
            cores,
            excluded: Idset::new(),
            topology: Topology::Kary(256),
            quorum: Quorum::All,
            latencies: if version >= FluxVersion::V0_88 {
                Latencies::slow_start()
            } else {
                Latencies::default()
            },
            job_latencies: JobLatencies::of(version),
            user: "root".to_owned(),
            wall: Duration::ZERO,
        }
    }
}
