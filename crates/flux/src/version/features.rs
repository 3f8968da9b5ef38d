//! What differs between versions, one field per behaviour.

use super::{FluxVersion, Fluxion};

/// The behaviours of one version of flux-core with one version of Fluxion. A caller may change single fields to ask
/// what would be if.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    // Names and sets.
    /// `flux hostlist` knows `-F`, takes an idset for `-x` and reads stdin by default (recording 08).
    pub hostlist_finds: bool,

    // Overlay.
    /// A parent refuses a child whose host name is not the one configured for its rank (part I 9).
    pub checks_host_names: bool,
    /// `broker.quorum` is a size; before 0.51 it was an idset (B.3).
    pub quorum_is_size: bool,
    /// A torpid rank is drained and stays so; later versions only hide it from the scheduler while it is torpid (I, B.6).
    pub torpid_drains: bool,
    /// A broker that has heard no heartbeat for five minutes gives its parent up and exits with 1 (B.4, since 0.72; recording 09 shows
    /// the time as `timeout`).
    pub heartbeat_times_out: bool,
    /// `flux overlay errors` exists and `flux overlay status` says why a rank is not there (recordings 01, 03).
    pub overlay_errors: bool,

    // Resources.
    /// A drain is kept by rank and host name; up to 0.61 by rank alone (part I 6).
    pub drain_by_host: bool,
    /// Who is online is a journal that `flux resource eventlog` reads; before, the KVS kept it (recordings 01, 06).
    pub resource_journal: bool,
    /// `flux resource status` knows allocated, torpid and housekeeping nodes (recording 01).
    pub status_shows_allocated: bool,
    /// `flux resource list` shows the column NGPUS even if all are zero; hidden up to 0.50 (part I).
    pub list_shows_zero_gpus: bool,
    /// The narrow columns and the joined header `STATEUP` of 0.88 (part I).
    pub narrow_tables: bool,

    // Jobs.
    /// A host that does not exist is refused at submission; before, the job was denied by the scheduler (recording 04).
    pub checks_host_constraints: bool,
    /// `flux jobs -c` says on stderr that it left jobs out (recording 04).
    pub tells_truncation: bool,
    /// INFO of a job with urgency 0 is `held` (part I 8).
    pub info_held: bool,
    /// A lost node is `node failure on HOST (rank R)`; before, `lost contact with job shell on broker HOST (rank R)`.
    pub node_failure_note: bool,
    /// The note of sched-simple says what was needed: `need 5 exclusive node(s), only 4 eligible` (part I 2).
    pub unsatisfiable_says_need: bool,

    /// `flux queue` takes the name of a queue where it took a reason before, and `flux queue list` shows whether it is
    /// enabled and started (recording 11).
    pub queue_by_name: bool,
    /// `job.exception` lines name the job (recording 03).
    pub exception_names_job: bool,
    /// `flux job info ID R` of a job without resources says which key is missing (recording 04).
    pub info_names_key: bool,

    // State.
    /// A restored queue that was stopped stays stopped; up to 0.61 it only says so (part I, D.4).
    pub restores_stopped_queue: bool,
    /// Of jobs that ran when the archive was made the oldest fails first, before it was the newest (recording 06).
    pub restores_oldest_first: bool,
    /// `flux shutdown --dump` says where the dump goes (recording 06).
    pub shutdown_names_dump: bool,
    /// A missing archive is ignored; up to 0.61 the lead exits 1 (part I 16).
    pub missing_archive_boots: bool,

    // Fluxion.
    /// Node counts are compared with the nodes that are *up* before matching, because the default prune filter counts
    /// nodes (B.8): under fcfs a request for more is unsatisfiable at once. `prune-filters = "ALL:core"` takes it away.
    pub prunes_nodes: bool,
    /// Fluxion annotates an allocation with how it was made (recording 04).
    pub fluxion_annotates: bool,
    /// A denial ends the pass of the scheduler over its queue; the next job is looked at when something else happens
    /// (recordings 04 and 07, fcfs of 0.34).
    pub denial_ends_pass: bool,
}

impl Features {
    /// The behaviours of a version with the Fluxion of its time.
    pub fn of(version: FluxVersion) -> Self {
        let since = |first: FluxVersion| version >= first;
        Self {
            hostlist_finds: since(FluxVersion::V0_88),
            checks_host_names: since(FluxVersion::V0_88),
            quorum_is_size: since(FluxVersion::V0_61),
            heartbeat_times_out: since(FluxVersion::V0_88),
            overlay_errors: since(FluxVersion::V0_88),
            torpid_drains: !since(FluxVersion::V0_88),
            drain_by_host: since(FluxVersion::V0_88),
            resource_journal: since(FluxVersion::V0_88),
            status_shows_allocated: since(FluxVersion::V0_88),
            list_shows_zero_gpus: since(FluxVersion::V0_61),
            narrow_tables: since(FluxVersion::V0_88),
            checks_host_constraints: since(FluxVersion::V0_88),
            tells_truncation: since(FluxVersion::V0_88),
            info_held: since(FluxVersion::V0_88),
            node_failure_note: since(FluxVersion::V0_88),
            unsatisfiable_says_need: since(FluxVersion::V0_88),
            queue_by_name: since(FluxVersion::V0_88),
            exception_names_job: since(FluxVersion::V0_88),
            info_names_key: since(FluxVersion::V0_88),
            restores_stopped_queue: since(FluxVersion::V0_88),
            restores_oldest_first: since(FluxVersion::V0_88),
            shutdown_names_dump: since(FluxVersion::V0_88),
            missing_archive_boots: since(FluxVersion::V0_88),
            prunes_nodes: version.fluxion() == Fluxion::V0_54,
            fluxion_annotates: version.fluxion() == Fluxion::V0_54,
            denial_ends_pass: version.fluxion() == Fluxion::V0_34,
        }
    }
}
