//! The configuration of an instance.

use std::time::Duration;

use crate::jobs::JobLatencies;
use crate::latency::{Latencies, Place};
use crate::overlay::{Quorum, RANKS_MAX, Topology};
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

/// What is wrong with a configuration: the broker that reads it exits with 1 (recordings 07 and 13).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `bootstrap.hosts` cannot be read.
    #[error("Config file error [bootstrap]: host value '{0}' is not a valid hostlist")]
    Hosts(String),
    /// A broker's host is not in `bootstrap.hosts`.
    #[error("Config file error [bootstrap]: {host} not found in hosts: they are {hosts}")]
    UnknownHost {
        /// The host.
        host: String,
        /// Those that are configured.
        hosts: String,
    },
    /// More hosts than an instance can have.
    #[error("{0} hosts: an instance has at most {RANKS_MAX}")]
    TooMany(usize),
}

impl Setup {
    /// The hosts of `bootstrap.hosts`.
    pub fn read_hosts(text: &str) -> Result<Hostlist, ConfigError> {
        let hosts: Hostlist = text.parse().map_err(|_| ConfigError::Hosts(text.to_owned()))?;
        if hosts.len() > RANKS_MAX { Err(ConfigError::TooMany(hosts.len())) } else { Ok(hosts) }
    }

    /// The rank of a host: its first position in the list.
    pub fn rank_of(&self, host: &str) -> Result<u32, ConfigError> {
        let rank = self.hosts.find(host).and_then(|at| u32::try_from(at).ok());
        rank.ok_or_else(|| ConfigError::UnknownHost { host: host.to_owned(), hosts: self.hosts.to_string() })
    }

    /// An instance of this version with the defaults of a MiniCluster, as fast as on the rig.
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
            latencies: Latencies::of(version, Place::Rig),
            job_latencies: JobLatencies::of(version),
            user: "root".to_owned(),
            wall: Duration::ZERO,
        }
    }
}
