//! The script that starts a broker in a pod, as the original writes it (Flux spec A.6 and A.7).

use std::time::Duration;

use towtank_flux::time::Instant;
use towtank_model::objects::Uid;

use crate::workload::Progress;

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
    /// Which run of a script it is: a container that starts again makes another.
    pub(crate) run: u64,
    pub(crate) stage: Stage,
    /// `logging.strict`: a command that fails ends it.
    is_strict: bool,
    /// How far the lead has come with what it runs inside of Flux.
    pub(crate) progress: Progress,
    /// When it goes on by itself.
    pub(crate) alarm: Option<Instant>,
    /// What that ended with.
    pub(crate) result: Option<i32>,
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
    pub(crate) fn new(pod: Uid, rank: u32, run: u64, is_strict: bool) -> Self {
        let (progress, alarm) = (Progress::default(), None);
        Self { pod, rank, run, stage: Stage::Stopped, is_strict, progress, alarm, result: None, former: None }
    }

    pub(crate) const fn is_lead(&self) -> bool {
        self.rank == 0
    }

    /// The broker has ended with this code. The script of the lead ends with 0 whatever happened; a worker tries for ever,
    /// unless its broker left in order or `completeWorkers` is set. A strict script ends with the first command that fails: the
    /// container starts again and with it everything, and the loop of a worker never comes to a second round.
    pub(crate) fn after(&self, code: i32, completes_workers: bool) -> Next {
        if self.is_strict {
            // `flux start` ends with what it has run, if that failed.
            return Next::Exit(self.result.filter(|result| *result != 0).unwrap_or(code));
        }
        match (self.is_lead(), code) {
            (true, _) | (_, 0) => Next::Exit(0),
            _ if completes_workers => Next::Exit(0),
            _ => Next::Retry,
        }
    }
}
