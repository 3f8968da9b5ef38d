//! What survives the lead: its statedir, and archives (Flux spec D.1 to D.4, part I 6, 10, 16, recordings
//! 03b and 06).
//!
//! A lead that ends in order leaves a checkpoint; one that is killed leaves the checkpoint of the last time,
//! and what happened since is gone. A live dump holds a started queue, whatever it was; a dump at shutdown
//! holds the queue as the user left it.

use super::{Instance, Lead};
use crate::Idset;
use crate::jobs::{Checkpoint, JobManager, Setup as JobSetup};
use crate::resource::{KeptDrain, Resources};
use crate::scheduler::Inventory;
use crate::time::{Draw, Instant};

/// The content of a statedir or an archive.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Drained ranks.
    pub drains: Vec<KeptDrain>,
    /// All jobs.
    pub jobs: Checkpoint,
    /// Whether the user stopped the queue.
    pub stopped: bool,
}

impl Instance {
    /// The lead of the instance begins from this archive whenever it starts, as `-Scontent.restore=` says.
    pub fn restore_from(&mut self, archive: Option<String>) {
        self.restore = archive;
    }

    /// The lead's statedir is gone: its pod was replaced, and the directory lived in the pod (Flux spec A.5).
    pub fn wipe_statedir(&mut self) {
        self.disk = None;
    }

    /// Hands over archives that an earlier instance wrote.
    pub fn give_archives(&mut self, archives: impl IntoIterator<Item = (String, Stored)>) {
        self.archives.extend(archives);
    }

    /// The archives, for the next instance.
    pub fn take_archives(&mut self) -> Vec<(String, Stored)> {
        std::mem::take(&mut self.archives).into_iter().collect()
    }

    /// `flux dump`: false if the lead does not answer.
    pub(crate) fn dump(&mut self, archive: &str, at_shutdown: bool) -> bool {
        let Some(lead) = &self.lead else { return false };
        let stored = Stored {
            drains: lead.resources.kept(),
            jobs: lead.jobs.checkpoint(),
            stopped: at_shutdown && lead.stopped,
        };
        self.archives.insert(archive.to_owned(), stored);
        true
    }

    fn job_setup(&self, excluded: &Idset) -> JobSetup {
        let setup = &self.setup;
        JobSetup {
            features: setup.features.clone(),
            scheduler: setup.scheduler,
            inventory: Inventory {
                hosts: setup.hosts.clone(),
                cores: vec![setup.cores; setup.hosts.len()],
                excluded: excluded.clone(),
            },
            latencies: setup.job_latencies.clone(),
            user: setup.user.clone(),
            wall: setup.wall.as_secs_f64(),
        }
    }

    /// The lead's modules are loaded.
    pub(super) fn boot(&mut self, now: Instant, draw: &mut dyn Draw) {
        let setup = &self.setup;
        let resources = Resources::new(
            now,
            setup.hosts.clone(),
            setup.cores,
            setup.excluded.clone(),
            setup.features.clone(),
            setup.wall,
        );
        let jobs = self.job_setup(resources.excluded());
        let stored = match &self.restore {
            Some(archive) => match self.archives.get(archive) {
                Some(stored) => Some(stored.clone()),
                None if setup.features.missing_archive_boots => None,
                None => return self.refuse(now, draw),
            },
            None => self.disk.clone(),
        };
        let Some(stored) = stored else {
            self.lead = Some(Lead {
                resources,
                jobs: JobManager::new(jobs, now),
                up: Idset::new(),
                stopped: false,
                announced: false,
                dump: None,
            });
            return;
        };
        let Ok(resources) = resources.restored(now, &stored.drains) else { return self.refuse(now, draw) };
        let obeyed = self.setup.features.restores_stopped_queue;
        let jobs = JobManager::restore(jobs, now, stored.jobs, !(stored.stopped && obeyed));
        self.lead = Some(Lead {
            resources,
            jobs,
            up: Idset::new(),
            stopped: stored.stopped,
            announced: stored.stopped && !obeyed,
            dump: None,
        });
    }

    /// The lead cannot start: exit code 1.
    fn refuse(&mut self, now: Instant, draw: &mut dyn Draw) {
        self.overlay.fail(now, 0);
        self.settle(now, draw);
    }

    pub(super) fn lead_ended(&mut self, _now: Instant, clean: bool) {
        if clean {
            if let Some(archive) = self.lead.as_ref().and_then(|lead| lead.dump.clone()) {
                self.dump(&archive, true);
            }
            self.disk = self.lead.as_ref().map(|lead| Stored {
                drains: lead.resources.kept(),
                jobs: lead.jobs.checkpoint(),
                stopped: lead.stopped,
            });
        }
        self.lead = None;
        self.runs = false;
        self.later.clear();
    }
}
