//! The script that starts a broker in a pod, as the original writes it (Flux spec A.6 and A.7).

use std::time::Duration;

use towtank_flux::JobId;
use towtank_model::objects::Uid;

/// How long a worker waits before it starts its broker again.
pub(crate) const RETRY: Duration = Duration::from_secs(15);

/// What runs as the first process of the container with Flux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pid1 {
    /// A shell that does not forward SIGTERM, as upstream: the broker learns nothing of the end, until SIGKILL.
    #[default]
    Shell,
    /// The broker itself, or a shell that forwards: SIGTERM makes it leave Flux in order.
    Broker,
}

/// Where the script of a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No process.
    Stopped,
    /// Its broker runs.
    Broker,
    /// It waits before it starts the broker again.
    Waiting,
    /// Its broker runs and finds no other: it is not a rank of the instance.
    Unreachable,
    /// A newer pod has taken its rank over; its broker runs on until it learns that.
    Superseded,
}

/// The script of one pod.
#[derive(Clone, Debug)]
pub(crate) struct Entrypoint {
    pub(crate) pod: Uid,
    pub(crate) rank: u32,
    pub(crate) stage: Stage,
    /// The lead's command, once it is submitted.
    pub(crate) job: Option<JobId>,
    /// The former instance that its broker is of, if it is not the MiniCluster's own.
    pub(crate) former: Option<u64>,
}

/// What becomes of the script when its broker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The container ends with this code.
    Exit(i32),
    /// The broker starts again, a while later.
    Retry,
}

impl Entrypoint {
    pub(crate) const fn new(pod: Uid, rank: u32) -> Self {
        Self { pod, rank, stage: Stage::Stopped, job: None, former: None }
    }

    pub(crate) const fn is_lead(&self) -> bool {
        self.rank == 0
    }

    /// The broker has ended with this code. The script of the lead ends with 0 whatever happened; a worker tries for ever,
    /// unless its broker left in order or `completeWorkers` is set.
    pub(crate) const fn after(&self, code: i32, completes_workers: bool) -> Next {
        match (self.is_lead(), code) {
            (true, _) | (_, 0) => Next::Exit(0),
            _ if completes_workers => Next::Exit(0),
            _ => Next::Retry,
        }
    }
}
